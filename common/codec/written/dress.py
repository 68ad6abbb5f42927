"""Numbers as people write them: off with ``$`` and thousands marks, and on again."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.written.affixes import (
    above_zero,
    are_plain,
    below_zero,
    common_end,
    join_texts,
    other_digits,
    plain_digits,
    without_flags,
    zero_of,
)
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
    ("\u00a0", "."),
    ("\u202f", ","),
    ("\u202f", "."),
    ("\u2019", "."),
    ("_", "."),
    ("\u2009", "."),
    ("\u2009", ","),
    ("", "\u00b7"),
    ("", "\u066b"),
    ("\u066c", "\u066b"),
    ("\u066c", "."),
)
MINUS = "\u2212"
_MARKS = ".,'_\u00a0\u202f\u2019\u2009\u00b7\u066b\u066c "
_NUMBER = re.compile(rf"[\d{_MARKS}\u2212+-]*\d[\d{_MARKS}]*\d|\d")
_BRACKETS = {
    "parentheses": r"^()\((.*)\)()$",
    "inner-parentheses": r"^([^\d()]*)\(([^()]*)\)([^\d()]*)$",
}
"""What brackets of negative numbers stand around."""
_EXPONENT = re.compile(r"[+-]?\d(?:\.(?P<f>\d+))?(?P<e>[eEdD]|[×x*]10\^)(?P<s>[+-]?)(?P<d>\d{1,3})")
_INDIAN = re.compile(r"\d,\d{2},\d{3}(\D|$)")
_CURRENCIES = {"usd", "us$", "eur", "gbp", "chf", "jpy", "rs", "rs.", "a$", "c$", "kr", "r$"}
_CURRENCIES |= {"aud", "cad", "nzd", "sek", "nok", "dkk", "isk", "pln", "czk", "huf", "ron", "bgn"}
_CURRENCIES |= {"cny", "rmb", "hkd", "sgd", "twd", "krw", "inr", "idr", "myr", "php", "thb", "vnd"}
_CURRENCIES |= {"brl", "mxn", "ars", "clp", "cop", "zar", "ngn", "kes", "egp", "sar", "aed", "ils"}
_CURRENCIES |= {"try", "rub", "uah", "au$", "ca$", "nz$", "hk$", "s$", "nt$", "mx$", "rm", "rp"}
_CURRENCIES |= {"fr.", "sfr.", "ft", "lei", "kč", "zł", "kr."}
_UNITS = {"kg", "g", "mg", "lb", "lbs", "t", "km", "m", "cm", "mm", "ft", "in", "mi", "l", "ml"}
_UNITS |= {"h", "hr", "hrs", "min", "mins", "s", "sec", "ms", "mph", "kmh", "km/h", "kwh", "kw"}
_UNITS |= {"c", "f", "k", "gb", "mb", "kb", "tb", "hz", "ghz", "mhz", "years", "days", "months"}
_UNITS |= {"°c", "°f", "°", "µg", "ug", "mcg", "iu", "bpm", "mmhg", "usd/mt", "kcal", "cal", "pt"}
_UNITS |= {"x", "pct", "bp", "bps", "ppm", "ppb", "db", "rpm", "psi", "bar", "mbar", "pa", "hpa"}
_UNITS |= {"kpa", "v", "mv", "kv", "a", "ma", "w", "mw", "gw", "wh", "mwh", "gwh", "j", "kj", "mj"}
_UNITS |= {"oz", "gal", "yd", "kn", "kts", "ha", "ac", "sqft", "sqm", "ng", "pg", "dl", "cl", "u"}
_UNITS |= {"pcs", "pts", "wk", "wks", "weeks", "mo", "mos", "nmol/l", "g/l", "g/dl", "m/s"}
_UNITS |= {"year", "day", "yrs", "hours", "minutes", "bhp", "kmpl", "cc", "nm", "mmol/l", "mg/dl"}

_WORD = re.compile(r"(?:per )?[^\W\d_]{2,12}[.²³]?(?: [^\W\d_]{1,12})?")
_LENGTHS = 3
"""Of texts, from which on an underscore in them is no part of a key."""
_LONGEST_AFFIX = 16
"""Signs that a schema takes of what stands beside a number, its space among them."""
_RATE = re.compile(r"/ ?[^\W\d_]{1,12}")


def undress(trimmed: pa.Array, spelled: NumberText) -> pa.Array:
    """Return texts as plain numbers; one that is not written so comes back as it is."""
    if spelled.zero:
        trimmed = plain_digits(trimmed, zero=spelled.zero)
    if spelled.flags:
        trimmed = without_flags(trimmed, spelled.flags)
    if spelled.exponent:
        return pc.replace_substring(trimmed, spelled.exponent, "e")
    if spelled.below is not None:
        trimmed = above_zero(trimmed, spelled)
        spelled = spelled.model_copy(update={"prefix": "", "suffix": ""})
    if spelled.negative == "minus-sign":
        trimmed = pc.replace_substring(trimmed, MINUS, "-")
    inner = _pattern(spelled)
    pattern = rf"^(?P<a>[+-]?)\s*{re.escape(spelled.prefix.strip())}\s*(?P<b>[+-]?){inner}"
    pattern += rf"\s*{re.escape(spelled.suffix.strip())}(?P<c>-?)$"
    if (shape := _BRACKETS.get(spelled.negative)) is not None:
        opened = pc.match_substring_regex(trimmed, shape)
        bare = pc.replace_substring_regex(trimmed, shape, r"-\1\2\3")
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


def _pattern(spelled: NumberText) -> str:
    """Return the regular expression of the digits of a number."""
    mark, point = re.escape(spelled.thousands), re.escape(spelled.decimal)
    whole = rf"\d{{1,3}}(?:{mark}\d{{3}})+|\d+" if spelled.thousands else r"\d+"
    if spelled.groups == "indian":
        whole = rf"\d{{1,2}}(?:{mark}\d{{2}})*{mark}\d{{3}}|\d+"
    return rf"(?P<n>(?:{whole})(?:{point}\d*)?|{point}\d+)"


def dress(numbers: pa.Array, spelled: NumberText | None, *, decimals: int | None) -> pa.Array:
    """Return numbers as text, null for null.

    Args: decimals: at most so many are written; all that a number has without it.
    """
    how = spelled or PLAIN
    if how.exponent:
        texts = [None if v is None else _in_powers(v, how) for v in numbers.to_pylist()]
        return pa.array(texts, pa.large_string())
    if how.dressed:
        values = numbers.to_pylist()
        texts = [None if v is None else _write(v, how, decimals=decimals) for v in values]
        found = pa.array(texts, pa.large_string())
        return other_digits(found, zero=how.zero) if how.zero else found
    plain = _padded(numbers.cast(pa.large_string()), how)
    return plain if how.leading_zero else pc.replace_substring_regex(plain, r"^(-?)0\.", r"\1.")


def _padded(plain: pa.Array, how: NumberText) -> pa.Array:
    """Return plain numbers with the decimals that are always written."""
    if not (how.places or how.trailing_point):
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
    whole = whole.rjust(how.digits, "0") if how.leading_zero or not fraction else whole.lstrip("0")
    pointed = fraction or how.trailing_point
    number = _grouped(whole, how) + (how.decimal + fraction if pointed else "")
    if value < 0 and any(digit in "123456789" for digit in number):
        return _below_zero(number, how)
    text = f"{how.prefix}{number}{how.suffix}"
    return f"+{text}" if how.negative == "signed" else text


def _below_zero(number: str, how: NumberText) -> str:
    """Write a number's size as that of one below zero."""
    if how.below is not None:
        return f"{how.below[0]}{number}{how.below[1]}"
    text = f"{how.prefix}{number}{how.suffix}"
    if how.negative == "parentheses":
        return f"({text})"
    if how.negative == "inner-parentheses":
        return f"{how.prefix}({number}){how.suffix}"
    if how.negative == "inner-minus":
        return f"{how.prefix}-{number}{how.suffix}"
    minus = MINUS if how.negative == "minus-sign" else "-"
    return f"{text}-" if how.negative == "trailing" else f"{minus}{text}"


def _grouped(whole: str, how: NumberText) -> str:
    """Part the digits of a whole number into groups."""
    if not how.thousands:
        return whole
    if how.groups == "threes":
        return f"{int(whole):,}".replace(",", how.thousands)
    pairs = re.sub(r"(?<=\d)(?=(\d\d)+$)", how.thousands, whole[:-3])
    return f"{pairs}{how.thousands}{whole[-3:]}" if pairs else whole


def _in_powers(value: float, how: NumberText) -> str:
    """Write one number with a power of ten."""
    mantissa, _, power = f"{value:.{how.places}e}".partition("e")
    if how.trimmed and "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    sign = "-" if power.startswith("-") else "+" * how.exponent_plus
    return f"{mantissa}{how.exponent}{sign}{abs(int(power)):0{how.exponent_digits}}"


def powers_of(trimmed: pa.Array) -> NumberText | None:
    """Return how numbers with powers of ten are written; None unless all are written alike."""
    texts = trimmed.to_pylist()
    if _EXPONENT.fullmatch(texts[0]) is None if texts else True:
        return None
    found = [_EXPONENT.fullmatch(text) for text in texts]
    if not all(found):
        return None
    places = {len(part["f"] or "") for part in found if part}
    marks = {part["e"] for part in found if part}
    plus = any(part["s"] == "+" for part in found if part)
    digits = min(len(part["d"]) for part in found if part)
    if len(marks) != 1:
        return None
    how = NumberText.model_validate(
        {
            "places": max(places),
            "exponent": marks.pop(),
            "exponent_digits": digits,
            "exponent_plus": plus,
            "trimmed": len(places) > 1,
        }
    )
    # A plain list of 1e5 and 2e5 may be codes.
    plain = undress(trimmed, how).to_pylist()
    right = all(
        _in_powers(float(p), how) == t.removeprefix("+") for p, t in zip(plain, texts, strict=True)
    )
    return how if right else None


def recognise(trimmed: pa.Array) -> NumberText | None:
    """Return the one dress that all texts wear, or None where they wear none or several.

    A word that stands behind every number, after a space, is its unit, whatever word it is.
    Only marks that the texts show are looked for; where a comma or a point could be either
    thousands or decimals, groups of three all through mean thousands.
    """
    texts = trimmed.to_pylist()
    shown = texts[:: max(len(texts) // 1000, 1)]
    if zero := zero_of(shown):
        plain = plain_digits(trimmed, zero=zero)
        return _also(PLAIN if are_plain(plain) else recognise(plain), zero=zero)
    if (powers := powers_of(trimmed)) is not None:
        return powers if powers.dressed else None
    if (out_of := common_end(shown)) is not None:
        inner = pc.utf8_slice_codeunits(trimmed, 0, -len(out_of))
        if are_plain(inner):
            return PLAIN.model_copy(update={"suffix": out_of})
    if (below := below_zero(shown)) is not None:
        above = above_zero(trimmed, below)
        found = PLAIN if are_plain(above) else recognise(above)
        return _also(found, prefix=below.prefix, suffix=below.suffix, below=below.below)
    bare = [_without_brackets(text) for text in shown]
    affixes = {_NUMBER.sub("\0", text) for text in bare}
    split = [_signs_off(affix).split("\0") for affix in affixes]
    if not split or any(len(parts) != 2 for parts in split):
        return None
    prefixes, suffixes = {p[0].strip() for p in split}, {p[1].strip() for p in split}
    if len(prefixes) != 1 or len(suffixes) != 1:
        return None
    prefix, suffix = prefixes.pop(), suffixes.pop()
    apart = all(parts[1].startswith(" ") for parts in split)
    unit = (apart and _WORD.fullmatch(suffix)) or _RATE.fullmatch(suffix)
    known = (bool(unit) and len(suffix) < _LONGEST_AFFIX) or _is_known(suffix, _UNITS | _CURRENCIES)
    if not (known and _is_known(prefix, _CURRENCIES)):
        return None
    return _marks(trimmed, bare, prefix=prefix, suffix=suffix)


def _also(found: NumberText | None, **facts: Any) -> NumberText | None:
    """Return a dress with more facts, None where there is none or it has others already."""
    if found is None or found.negative != "minus":
        return None
    return NumberText.model_validate(found.model_dump() | facts)


def _signs_off(affix: str) -> str:
    """Take signs off what stands around a number; that of ``12,-`` is no sign."""
    bare = affix.replace("-", "").replace("+", "")
    return f"{bare}-" if re.search(r"\0[,.]-$", affix) else bare


def _without_brackets(text: str) -> str:
    for shape in _BRACKETS.values():
        text = re.sub(shape, r"\1\2\3", text)
    return text


def is_signed(trimmed: pa.Array) -> bool:
    """Say whether every number has a sign before it, some of them a plus."""
    plus, sign = (pc.match_substring_regex(trimmed, shape) for shape in (r"^\+.*\d", r"^[+-].*\d"))
    return bool(pc.any(plus).as_py()) and bool(pc.all(sign).as_py())


def _is_known(affix: str, known: set[str]) -> bool:
    """Say whether what stands beside a number is a unit, and not part of a key such as T123."""
    return affix.lower() in known or not re.search(r"[A-Za-z#:/_*@;\d\x00-\x1f]|.{5}", affix)


def _marks(trimmed: pa.Array, bare: list[str], *, prefix: str, suffix: str) -> NumberText | None:
    """Find the thousands mark, the decimal mark and how negative numbers are written."""
    spaced = " " if any(text.endswith(f" {suffix}") for text in bare) and suffix else ""
    before = " " if any(text.startswith(f"{prefix} ") for text in bare) and prefix else ""
    negative = _negative(trimmed, prefix=prefix)
    for thousands, decimal in _PAIRS:
        if thousands and not any(thousands in text for text in bare):
            continue
        if thousands == "_" and len({len(text) for text in bare}) < _LENGTHS:
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
                "groups": "indian" if thousands == "," and _indian(bare) else "threes",
            }
        )
        plain = undress(trimmed, spelled)
        right = pc.match_substring_regex(plain, r"^[+-]?(\d+\.?\d*|\.\d+)$")
        if bool(pc.all(right).as_py()) and spelled.dressed:
            return spelled
    return None


def _negative(trimmed: pa.Array, *, prefix: str) -> str:
    """Return how negative numbers are written, the first way that any text shows."""
    ways = (
        (MINUS, "minus-sign"),
        (r"^\(.*\)$", "parentheses"),
        (r"\(.*\)", "inner-parentheses"),
        (r"\d-$", "trailing"),
        (rf"{re.escape(prefix)}\s*-" if prefix else r"^$", "inner-minus"),
    )
    if is_signed(trimmed):
        return "signed"
    shown = (w for s, w in ways if bool(pc.any(pc.match_substring_regex(trimmed, s)).as_py()))
    return next(shown, "minus")


def _indian(bare: list[str]) -> bool:
    return any(_INDIAN.search(text) for text in bare)


def decimals_of(plain: pa.Array) -> tuple[int, int] | None:
    """Return the most and the fewest decimals of plain numbers as text; None for exponents."""
    if bool(pc.any(pc.match_substring_regex(plain, r"[eE]|inf|nan")).as_py()) or not len(plain):
        return None
    fractions = pc.replace_substring_regex(plain, r"^[^.]*\.?", "")
    lengths = pc.utf8_length(fractions).to_numpy(zero_copy_only=False)
    return int(lengths.max()), int(lengths.min())


def fewest_decimals(
    numbers: np.ndarray, *, most: int = 12, kind: type[np.floating[Any]] = np.float64
) -> int | None:
    """Return how many decimals write every number exactly; None where more than ``most`` do.

    Args: kind: the type in which they are stored, and so told apart.
    """
    left = numbers[np.isfinite(numbers)]
    for decimals in range(most + 1):
        left = left[np.round(left, decimals).astype(kind) != left.astype(kind)]
        if not len(left):
            return decimals
    return None
