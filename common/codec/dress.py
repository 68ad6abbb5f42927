"""Numbers as people write them: off with ``$`` and thousands marks, and on again."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.schema import NumberText

PLAIN = NumberText()
_MANTISSA = 15
_PAIRS = (
    ("", "."),
    (",", "."),
    ("", ","),
    (".", ","),
    (" ", ","),
    (" ", "."),
    ("'", "."),
    ("\u00a0", ","),
    ("\u202f", ","),
    ("\u2019", "."),
)
_NUMBER = re.compile(r"[\d.,'\u00a0\u202f\u2019 +-]*\d[\d.,'\u00a0\u202f\u2019 ]*\d|\d")
_CURRENCIES = {"usd", "us$", "eur", "gbp", "chf", "jpy", "rs", "rs.", "a$", "c$", "kr", "r$"}
_UNITS = {"kg", "g", "mg", "lb", "lbs", "t", "km", "m", "cm", "mm", "ft", "in", "mi", "l", "ml"}
_UNITS |= {"h", "hr", "hrs", "min", "mins", "s", "sec", "ms", "mph", "kmh", "km/h", "kwh", "kw"}
_UNITS |= {"c", "f", "k", "gb", "mb", "kb", "tb", "hz", "ghz", "mhz", "years", "days", "months"}
_UNITS |= {"°c", "°f", "°", "µg", "ug", "mcg", "iu", "bpm", "mmhg", "usd/mt", "kcal", "cal", "pt"}
_UNITS |= {"year", "day", "yrs", "hours", "minutes", "bhp", "kmpl", "cc", "nm", "mmol/l", "mg/dl"}


def undress(trimmed: pa.Array, spelled: NumberText) -> pa.Array:
    """Return texts as plain numbers; one that is not written so comes back as it is."""
    inner = _pattern(spelled)
    pattern = rf"^(?P<a>[+-]?)\s*{re.escape(spelled.prefix.strip())}\s*(?P<b>[+-]?){inner}"
    pattern += rf"\s*{re.escape(spelled.suffix.strip())}(?P<c>-?)$"
    if spelled.negative == "parentheses":
        opened = pc.match_substring_regex(trimmed, r"^\(.*\)$")
        bare = pc.replace_substring_regex(trimmed, r"^\((.*)\)$", r"-\1")
        trimmed = pc.if_else(opened, bare, trimmed)
    parts = pc.extract_regex(trimmed, pattern)
    signs = [pc.struct_field(parts, name) for name in "abc"]
    sign = join_texts(*signs)
    number = pc.struct_field(parts, "n")
    if spelled.thousands:
        number = pc.replace_substring(number, spelled.thousands, "")
    number = pc.replace_substring(number, spelled.decimal, ".")
    plain = join_texts(sign, number)
    return pc.if_else(pc.is_null(number), trimmed, plain)


def join_texts(*parts: pa.Array | str) -> pa.Array:
    """Join texts row by row; null where one is null."""
    large = [pa.scalar(p, pa.large_string()) if isinstance(p, str) else p for p in parts]
    return pc.binary_join_element_wise(*large, pa.scalar("", pa.large_string()))


def _pattern(spelled: NumberText) -> str:
    """Return the regular expression of the digits of a number."""
    mark, point = re.escape(spelled.thousands), re.escape(spelled.decimal)
    whole = rf"\d{{1,3}}(?:{mark}\d{{3}})+|\d+" if spelled.thousands else r"\d+"
    return rf"(?P<n>(?:{whole})(?:{point}\d*)?|{point}\d+)"


def dress(numbers: pa.Array, spelled: NumberText | None, *, decimals: int | None) -> pa.Array:
    """Return numbers as text, null for null.

    Args: decimals: at most so many are written; all that a number has without it.
    """
    how = spelled or PLAIN
    if how.dressed:
        values = numbers.to_pylist()
        texts = [None if v is None else _write(v, how, decimals=decimals) for v in values]
        return pa.array(texts, pa.large_string())
    plain = numbers.cast(pa.large_string())
    if not how.places:
        return plain
    pointed = pc.match_substring_regex(plain, r"[.e]|inf|nan")
    plain = pc.if_else(pointed, plain, join_texts(plain, "."))
    for written in range(how.places):
        short = pc.match_substring_regex(plain, rf"\.\d{{{written}}}$")
        plain = pc.if_else(short, join_texts(plain, "0"), plain)
    return plain


def _write(value: float, how: NumberText, *, decimals: int | None) -> str:
    """Write one number."""
    size = abs(value)
    if isinstance(value, int):
        whole, fraction = str(size), ""
    else:
        text = f"{size:.{_MANTISSA}g}" if decimals is None else f"{size:.{decimals}f}"
        if "e" in text or "inf" in text:
            text = f"{size:.{_MANTISSA}f}"
        whole, _, fraction = text.partition(".")
        fraction = fraction.rstrip("0").ljust(how.places, "0")
    whole = whole.rjust(how.digits, "0")
    if how.thousands:
        whole = f"{int(whole):,}".replace(",", how.thousands)
    number = whole + (how.decimal + fraction if fraction else "")
    text = f"{how.prefix}{number}{how.suffix}"
    negative = value < 0 and any(digit in "123456789" for digit in number)
    if not negative:
        return f"+{text}" if how.negative == "signed" else text
    if how.negative == "parentheses":
        return f"({text})"
    return f"{text}-" if how.negative == "trailing" else f"-{text}"


def recognise(trimmed: pa.Array) -> NumberText | None:
    """Return the one dress that all texts wear, or None where they wear none or several.

    Only marks that the texts show are looked for; where a comma or a point could be either
    thousands or decimals, groups of three all through mean thousands.
    """
    texts = trimmed.to_pylist()
    shown = texts[:: max(len(texts) // 1000, 1)]
    bare = [re.sub(r"^\((.*)\)$", r"\1", text) for text in shown]
    affixes = {_NUMBER.sub("\0", text) for text in bare}
    split = [a.replace("-", "").replace("+", "").split("\0") for a in affixes]
    if not split or any(len(parts) != 2 for parts in split):
        return None
    prefixes, suffixes = {p[0].strip() for p in split}, {p[1].strip() for p in split}
    if len(prefixes) != 1 or len(suffixes) != 1:
        return None
    prefix, suffix = prefixes.pop(), suffixes.pop()
    if not (_is_known(prefix, _CURRENCIES) and _is_known(suffix, _UNITS | _CURRENCIES)):
        return None
    return _marks(trimmed, bare, prefix=prefix, suffix=suffix)


def is_signed(trimmed: pa.Array) -> bool:
    """Say whether every number has a sign before it, some of them a plus."""
    plus, sign = (pc.match_substring_regex(trimmed, shape) for shape in (r"^\+.*\d", r"^[+-].*\d"))
    return bool(pc.any(plus).as_py()) and bool(pc.all(sign).as_py())


def _is_known(affix: str, known: set[str]) -> bool:
    """Say whether what stands beside a number is a unit, and not part of a key such as T123."""
    return affix.lower() in known or not re.search(r"[A-Za-z#:/_*@;]|.{5}", affix)


def _marks(trimmed: pa.Array, bare: list[str], *, prefix: str, suffix: str) -> NumberText | None:
    """Find the thousands mark, the decimal mark and how negative numbers are written."""
    spaced = " " if any(text.endswith(f" {suffix}") for text in bare) and suffix else ""
    before = " " if any(text.startswith(f"{prefix} ") for text in bare) and prefix else ""
    bracketed = bool(pc.any(pc.match_substring_regex(trimmed, r"^\(.*\)$")).as_py())
    trailing = bool(pc.any(pc.match_substring_regex(trimmed, r"\d-$")).as_py())
    negative = "parentheses" if bracketed else "trailing" if trailing else "minus"
    negative = "signed" if is_signed(trimmed) else negative
    for thousands, decimal in _PAIRS:
        if thousands and not any(thousands in text for text in bare):
            continue
        if thousands and any(re.match(rf"^\D*0{re.escape(thousands)}", text) for text in bare):
            continue
        spelled = NumberText.model_validate(
            {
                "prefix": prefix + before,
                "suffix": spaced + suffix,
                "thousands": thousands,
                "decimal": decimal,
                "negative": negative,
            }
        )
        plain = undress(trimmed, spelled)
        right = pc.match_substring_regex(plain, r"^[+-]?(\d+\.?\d*|\.\d+)$")
        if bool(pc.all(right).as_py()) and spelled.dressed:
            return spelled
    return None


def decimals_of(plain: pa.Array) -> tuple[int, int] | None:
    """Return the most and the fewest decimals of plain numbers as text; None for exponents."""
    if bool(pc.any(pc.match_substring_regex(plain, r"[eE]|inf|nan")).as_py()) or not len(plain):
        return None
    fractions = pc.replace_substring_regex(plain, r"^[^.]*\.?", "")
    lengths = pc.utf8_length(fractions).to_numpy(zero_copy_only=False)
    return int(lengths.max()), int(lengths.min())


def fewest_decimals(numbers: np.ndarray, *, most: int = 12) -> int | None:
    """Return how many decimals write every number exactly; None where more than ``most`` do."""
    left = numbers[np.isfinite(numbers)]
    for decimals in range(most + 1):
        left = left[np.round(left, decimals) != left]
        if not len(left):
            return decimals
    return None
