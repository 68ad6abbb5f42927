"""Keys: never modelled, but for whether they are there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.notes import EncodingNote, Uniform, code_dtype
from silosynth.common.codec.written.affixes import join_texts
from silosynth.common.codec.written.parsing import distinct, to_texts, trim
from silosynth.common.errors import InvalidArgument
from silosynth.common.rules import PatternFault, parse_pattern, words_of
from silosynth.common.schema import Attribute, IdentifierAttribute

_LONG = 50
_LONGEST = 40
"""Signs of a key that a pattern is looked for in."""
_FEWEST_ALIKE = 5
_ROOM, _MOST_LONGER = 4, 9
"""Words to a row, and by how many digits a number may be longer for them."""
_CLASSES = (("\x01", "[0-9]"), ("\x02", "[A-Z]"), ("\x03", "[a-z]"))
_HEX = tuple(
    ("\x01", group) for group in ("[0-9a-f]", "[0-9A-F]", "[0-9a-z]", "[0-9A-Z]", "[0-9A-Za-z]")
)
"""Classes of keys in which digits and letters change places, such as addresses of networks."""
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS = r"\.".join(4 * [_OCTET])
"""Of a network; no part of one is above 255."""
_AMOUNT = r"[+-]?\d[\d,' ]*(\.\d+)?"
_CURRENCY = r"usd|us\$|eur|gbp|chf|jpy|inr|rs\.?|kr|a\$|c\$|r\$"
_HINTS = (
    (
        r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})([ T].*)?$",
        "they look like dates written in several ways; write them in one to model them",
    ),
    (
        r"^\d{1,2}\.? (de )?\pL+\.? (de )?\d{4}$",
        "they look like dates with names of months; write them in numbers to model them",
    ),
    (
        rf"^{_AMOUNT}( ?/ ?|, ?|; ?| ?x ?|-){_AMOUNT}$",
        "they look like two numbers each; part them into two columns to model them",
    ),
    (
        rf"(?i)^[-+(]*(\p{{Sc}}|{_CURRENCY})? ?{_AMOUNT} ?(\p{{Sc}}|{_CURRENCY}|[%kmb])?\)?$",
        "they look like amounts in several units; put the unit into a column of its own to model "
        "them",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceCodec:
    """Code whether a key is there: 0 where it is, then the codes of missing ones."""

    attribute: IdentifierAttribute

    def encode(self, column: pa.Array) -> tuple[np.ndarray, EncodingNote]:
        """Return (rows,) codes; no key is ever bent."""
        attribute = self.attribute
        values, positions = distinct(column)
        absent = pc.is_null(values, nan_is_null=True).to_numpy(zero_copy_only=False)
        codes = np.where(absent & attribute.missing, attribute.size - 1, 0)
        texts = trim(to_texts(values))
        for word in (*attribute.missing_tokens, *attribute.missing_apart):
            apart = attribute.codes_of(word)
            found = pc.equal(texts, word.strip()).fill_null(False).to_numpy(zero_copy_only=False)
            codes[found] = apart[0] if apart else attribute.size - 1
        note = EncodingNote(attribute=attribute.name)
        return codes.astype(code_dtype(attribute.size))[positions], note

    def misfits(self, column: pa.Array) -> np.ndarray:
        """Return (rows,) False: a key is there, or it is not."""
        return np.zeros(len(column), dtype=bool)

    def decode(self, codes: np.ndarray, *, uniform: Uniform) -> pa.Array:
        """Return true where there is a key, null where there is none."""
        del uniform
        return pa.array(np.ones(len(codes), dtype=bool), mask=codes > 0)


def fresh_keys(attribute: IdentifierAttribute, *, rows: int, first_row: int) -> pa.Array:
    """Return running numbers in the form of the key: whole numbers where it has none."""
    return keys_at(attribute, np.arange(first_row, first_row + rows))


def keys_at(attribute: IdentifierAttribute, rows: np.ndarray) -> pa.Array:
    """Return the keys of the rows with these numbers, which count from 0."""
    numbers = pa.array(rows.astype(np.int64) + attribute.start)
    if not (attribute.prefix or attribute.suffix or attribute.digits or attribute.stored_as_text):
        return numbers
    digits = pc.utf8_lpad(numbers.cast(pa.large_string()), attribute.digits, "0")
    return join_texts(attribute.prefix, digits, attribute.suffix).cast(pa.string())


def where_keys(attribute: Attribute, column: pa.ChunkedArray, *, first_row: int) -> pa.ChunkedArray:
    """Return (rows,) bool: false where a decoded row has no key, or a word for none."""
    told = (*getattr(attribute, "missing_apart", ()), getattr(attribute, "missing_as", None))
    texts = column.cast(pa.large_string())
    words = pa.array([w for w in told if w is not None], pa.large_string())
    rows = np.arange(first_row, first_row + len(column))
    running = keys_at(attribute, rows).cast(pa.large_string())  # type: ignore[arg-type]  # of this kind
    # A running number that reads like such a word is a key.
    other = pc.not_equal(texts, running).fill_null(True)
    return pc.and_(column.is_valid(), pc.invert(pc.and_(pc.is_in(texts, value_set=words), other)))


def _allowed(attribute: IdentifierAttribute, value: str) -> np.ndarray:
    raise InvalidArgument(
        f"{attribute.name!r} is a key; synthetic rows have keys of their own",
        hint="ask for rows without one by an empty value",
    )


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose a key where texts differ too much for a list, and say which form they have."""
    if not column.is_text or len(column.values) <= FEW:
        return None
    length = float(pc.mean(pc.utf8_length(column.values)).as_py())
    spaced = float(pc.mean(pc.count_substring(column.values, " ")).as_py())
    if length > _LONG or spaced > 3:
        return None
    why = (
        "every value differs; drafted as an identifier"
        if column.all_differ
        else "too many different texts for a list; drafted as an identifier, list categories to "
        "model it"
    )
    form, hint = form_of(column), _hint(column)
    why = f"{why}; {hint}" if hint and not running_form(column) else why
    return Proposal(facts={"kind": "identifier", **form}, why=(why,))


def _hint(column: ColumnFacts) -> str | None:
    """Say what texts look like that are modelled once they are written otherwise."""
    return next((hint for shape, hint in _HINTS if column.matches(shape)), None)


def form_of(column: ColumnFacts) -> dict[str, Any]:
    """Return prefix, digits and suffix where all keys have one form, else their pattern."""
    if running := running_form(column):
        return running
    like = None if _reads_as_date(column) else pattern_of(column)
    return {} if like is None else {"like": like}


def _reads_as_date(column: ColumnFacts) -> bool:
    """Say whether texts look like dates, of which a pattern would make days that there are not."""
    return any(column.matches(shape) for shape, _ in _HINTS[:2])


def running_form(column: ColumnFacts) -> dict[str, Any]:
    """Return prefix, digits or start, and suffix where all keys have the same, around a number."""
    texts = column.trimmed.to_pylist()
    shape = re.match(r"^(\D*)(\d+)(\D*)$", texts[0])
    if shape is None:
        return {}
    prefix, _, suffix = shape.groups()
    pattern = re.compile(rf"{re.escape(prefix)}(\d+){re.escape(suffix)}")
    found = [pattern.fullmatch(text) for text in texts]
    if not all(found):
        return {}
    digits = [m.group(1) for m in found if m]
    padded = any(d.startswith("0") for d in digits) and len({len(d) for d in digits}) == 1
    form: dict[str, Any] = {"prefix": prefix} if prefix else {}
    form |= {"suffix": suffix} if suffix else {}
    if padded:
        return form | ({"digits": len(digits[0])} if len(digits[0]) <= 18 else {})
    return form | first_of_length(min(map(len, digits)))


def first_of_length(digits: int) -> dict[str, int]:
    """Return where running numbers start that have so many digits: no number of anybody.

    >>> first_of_length(5)
    {'start': 10001}
    """
    return {"start": 10 ** (digits - 1) + 1} if 2 <= digits <= 18 else {}


def pattern_of(column: ColumnFacts) -> str | None:
    """Return a pattern of keys that are alike: what stands before the first digit, and classes.

    The few beginnings that many keys share stay as they are; elsewhere a letter or a digit is any
    of its class, as often as in some key, and a sign between them stays. No key of anybody is in
    it, and there are several times as many words as rows.
    """
    texts = column.trimmed.cast(pa.large_string())
    if column.matches(rf"^{_OCTET}(\.{_OCTET}){{3}}$"):
        return _ADDRESS
    if int(pc.max(pc.utf8_length(texts)).as_py()) > _LONGEST:
        return None
    beginnings = _beginnings(texts)
    if beginnings:
        texts = pc.replace_substring_regex(texts, r"^[^0-9]*", "")
    runs = _runs(texts) or _hex_runs(texts)
    if runs is None or not any(group.startswith("[0-9") for group, _, _ in runs):
        return None
    start = "|".join(_escaped(b) for b in beginnings)
    start = f"({start})" if len(beginnings) > 1 else start
    padded = bool(pc.any(pc.match_substring_regex(texts, r"(^|[^0-9])0[0-9]")).as_py())
    return _roomy(start, runs, rows=column.rows, padded=padded)


def _beginnings(texts: pa.Array) -> list[str]:
    """Return what stands before the first digit, where many texts share each."""
    before = pc.struct_field(pc.extract_regex(texts, r"^(?P<p>[^0-9]*)"), "p")
    shared = pc.value_counts(before)
    often = pc.min(shared.field("counts")).as_py() >= max(_FEWEST_ALIKE, len(texts) // 50)
    return sorted(shared.field("values").to_pylist()) if often else []


def _hex_runs(texts: pa.Array) -> list[tuple[str, int, int]] | None:
    """Return :func:`_runs` of keys in hexadecimal or more digits, all of a length."""
    if not all(pc.any(pc.match_substring_regex(texts, x)).as_py() for x in ("[0-9]", "[A-Za-z]")):
        return None
    if bool(pc.all(pc.match_substring_regex(texts, "^0x")).as_py()):
        rest = _hex_runs(pc.replace_substring(texts, "0x", "", max_replacements=1))
        return None if rest is None else [("0x", 1, 1), *rest]
    for sign, group in _HEX:
        found = _runs(texts, classes=((sign, group),))
        alike = found and all(low == high for _, low, high in found)
        if found and alike and not any(re.match("[A-Za-z]", group) for group, _, _ in found):
            return found
    return None


def _runs(
    texts: pa.Array, *, classes: Sequence[tuple[str, str]] = _CLASSES
) -> list[tuple[str, int, int]] | None:
    """Return classes and signs one after the other, and how often each at least and at most.

    What is the same in all texts stays as it is. None where texts differ in more than how often.
    """
    masked = texts
    for sign, group in classes:
        masked = pc.replace_substring_regex(masked, group, sign)
    shapes = [
        [(run.group(1), len(run.group())) for run in re.finditer(r"(.)\1*", shape, re.DOTALL)]
        for shape in pc.unique(masked).to_pylist()
    ]
    first = [sign for sign, _ in shapes[0]]
    if not first or any([sign for sign, _ in shape] != first for shape in shapes):
        return None
    named = dict(classes)
    lengths = [[count for _, count in place] for place in zip(*shapes, strict=True)]
    if any(sign not in named and len(set(n)) > 1 for sign, n in zip(first, lengths, strict=True)):
        return None
    found = [
        (named.get(sign, _escaped(sign)), min(n), max(n))
        for sign, n in zip(first, lengths, strict=True)
    ]
    return _with_words(texts, found)


def _with_words(texts: pa.Array, runs: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Return runs in which letters and digits that are the same in all texts stand as they are."""
    if len(texts) < _FEWEST_ALIKE:
        return runs
    shape = "".join(
        f"(?P<r{i}>{group}{{{low},{high}}})" for i, (group, low, high) in enumerate(runs)
    )
    parts = pc.extract_regex(texts, f"^{shape}$")
    found = []
    for i, run in enumerate(runs):
        words = pc.unique(pc.struct_field(parts, f"r{i}"))
        same = len(words) == 1 and words[0].is_valid
        found.append((_escaped(words[0].as_py()), 1, 1) if same else run)
    return found


def _roomy(start: str, runs: list[tuple[str, int, int]], *, rows: int, padded: bool) -> str | None:
    """Write runs as a pattern, the last digits longer where there are too few words for rows."""
    last = max((i for i, run in enumerate(runs) if run[0] == "[0-9]"), default=-1)
    for longer in range(_MOST_LONGER):
        more = [longer * (i == last) for i in range(len(runs))]
        parts = [
            _often(group, low, high + m, padded=padded)
            for (group, low, high), m in zip(runs, more, strict=True)
        ]
        pattern = start + "".join(parts)
        try:
            if words_of(parse_pattern(pattern)) >= _ROOM * rows:
                return pattern
        except PatternFault:
            return None
    return None


def _often(group: str, least: int, most: int, *, padded: bool) -> str:
    """Write how often a class or sign stands; numbers of several lengths begin with no zero."""
    if least == most:
        return group if most == 1 else f"{group}{{{most}}}"
    if group == "[0-9]" and not padded:
        return f"[1-9][0-9]{{{least - 1},{most - 1}}}"
    return f"{group}{{{least},{most}}}"


def _escaped(text: str) -> str:
    return re.sub(r"([][(){}|?*+.^$\\])", r"\\\1", text)


KIND = Kind(
    accepts=lambda *_: True,
    codec=lambda attribute: PresenceCodec(attribute=attribute),
    spell=lambda _, column: to_texts(column),
    words=lambda _: ["there"],
    allowed=_allowed,
    draft=_draft,
)
