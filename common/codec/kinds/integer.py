"""Whole numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.bins import Grid, bin_words, grid_of, two_digits
from silosynth.common.codec.facts import FEW, MANY, ColumnFacts, Proposal
from silosynth.common.codec.kinds.identifier import first_of_length, form_of
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.written.columns import is_number
from silosynth.common.codec.written.dress import dress, is_signed, powers_of, recognise, undress
from silosynth.common.codec.written.parsing import to_numbers
from silosynth.common.schema import IntegerAttribute

_LARGEST = 2**53
_SPREAD = 1_000
"""Numbers to a row from which on numbers that all differ are keys."""
_MOST_DIGITS, _ROOM = 18, 4
"""Digits of a key that is a number, and keys that its pattern has to a row."""
_LISTED_ROWS = 10
"""Rows to each long number from which on they are a list."""
_DENSE = 0.5
_NEAR = 4
"""Numbers to a key up to which keys run on."""
_ALIKE, _HEAPED = 0.9, 0.3
_WHOLE = r"^[+-]?\d+$"
_PADDED = r"^[+-]?0\d"
_YEAR = 365.2425 * 86_400
_FIRST_YEAR, _LAST_YEAR, _MOST_YEARS = 1998, 2038, 20
_KEYED = re.compile(r"(id|nr|no|num|number|code|key|account|acct|mrn)$", re.IGNORECASE)
_LATEST_YEAR = 2200
_YEARLY = re.compile(r"year|jahr|ann[eé]e|a[nñ]o(_|$)|^anno|yr(_|$)", re.IGNORECASE)
_CLOCKS = (("seconds", 1.0), ("milliseconds", 1e3), ("microseconds", 1e6))
_NEGATIVES = (1, 7, 8, 9, 99, 999, 9999)
"""What stands for a missing value where no other number is below zero."""
_SIGNED: dict[str, Any] = {"spelled": {"negative": "signed"}}


def _read(attribute: IntegerAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    return to_numbers(column, spelled=attribute.spelled)


def _build(attribute: IntegerAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    del attribute
    return pa.array(np.floor(numbers).astype(np.int64), mask=absent)


def _grid(attribute: IntegerAttribute) -> Grid | None:
    if attribute.step in (None, 1) or attribute.grid is None:
        return None
    return grid_of(attribute.grid, start=attribute.grid * 0 + attribute.minimum)


def _edge(number: float) -> str:
    return str(int(number))


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose codes, a key or whole numbers, by how values are spread and repeat."""
    column, spelled = wearing(column)
    if column.is_text and powers_of(column.trimmed) is not None:
        return None
    if column.is_text and not column.matches(_WHOLE):
        numbers = column.numbers
        if numbers is None or column.some_match(r"\."):
            return None
    numbers = column.numbers
    if numbers is None or (column.is_text and column.some_match(_PADDED)):
        return None
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or len(finite) < len(numbers) or (finite % 1 != 0).any():
        return None
    low, high = int(finite.min()), int(finite.max())
    if pt.is_dictionary(column.kind) and len(finite) <= MANY:
        return _listed(column, finite)
    if max(-low, high) >= _LARGEST:
        return _too_long(column)
    timed = bool(_clock(column, finite))
    if not timed and spelled in ({}, _SIGNED) and (found := _key(column, finite)):
        return found
    if not spelled and (found := _codes(column, finite)):
        return found
    facts: dict[str, Any] = {"kind": "integer", **spelled}
    step = int(np.gcd.reduce((finite - low).astype(np.int64))) if len(finite) > FEW else 1
    bottom, top = (int(b) for b in two_digits(low, high, step=1.0))
    why = [*_clock(column, finite)]
    if step > 1:
        bottom, top = low - -(-(low - bottom) // step) * step, low - (low - top) // step * step
        facts |= {"step": step}
        off = f"{low % step} more than " if low % step else ""
        why.append(f"all are {off}multiples of {step}")
    facts |= _within(column.kind, bottom, top, step=facts.get("step", 1))
    if len(finite) <= FEW and low < high:
        why.append(
            "few whole numbers; if they are codes, make it categorical or ordinal and list them"
        )
    elif column.all_differ and not timed:
        why.append("every value differs; if it is a key, make it an identifier")
    return Proposal(facts=facts, why=(*why, *_sentinels(column, finite)))


def _within(kind: pa.DataType, low: int, high: int, *, step: int) -> dict[str, int]:
    """Return bounds that the column's own type can hold."""
    if pt.is_integer(kind):
        held = np.iinfo(kind.to_pandas_dtype())
        low += max(-(-(int(held.min) - low) // step), 0) * step
        high -= max(-(-(high - int(held.max)) // step), 0) * step
    return {"minimum": low, "maximum": high}


def _clock(column: ColumnFacts, numbers: np.ndarray) -> tuple[str, ...]:
    """Say that numbers read as instants of recent years, where many do."""
    if len(numbers) <= FEW or _KEYED.search(column.name):
        return ()
    for name, scale in _CLOCKS:
        years = (numbers.min() / scale / _YEAR + 1970, numbers.max() / scale / _YEAR + 1970)
        recent = _FIRST_YEAR <= years[0] <= years[1] <= _LAST_YEAR
        if recent and years[1] - years[0] <= _MOST_YEARS:
            return (f"all read as {name} since 1970; modelled as numbers, not as a key",)
    return ()


def wearing(column: ColumnFacts) -> tuple[ColumnFacts, dict[str, Any]]:
    """Return a column with its numbers' dress taken off, and the dress as a fact."""
    if not column.is_text or not len(column.values):
        return column, {}
    if column.numbers is not None:
        return column, _SIGNED if is_signed(column.trimmed) else {}
    spelled = recognise(column.trimmed)
    if spelled is None:
        return column, {}
    plain = ColumnFacts(
        name=column.name,
        values=undress(column.trimmed, spelled),
        counts=column.counts,
        nulls=column.nulls,
        tokens=column.tokens,
        kind=column.kind,
    )
    return plain, {"spelled": spelled.model_dump(exclude_defaults=True)}


def _too_long(column: ColumnFacts) -> Proposal | None:
    """Propose a list or a key for numbers that no float can tell apart."""
    if len(column.values) <= FEW or _LISTED_ROWS * len(column.values) <= column.rows:
        facts = {"kind": "categorical", "categories": sorted(column.values.to_pylist())}
        why = "numbers of more than 15 digits that repeat are codes"
        return Proposal(facts=facts | {"other": False}, why=(why,)) if _fits(column) else None
    return Proposal(
        facts={"kind": "identifier", **_like(column)},
        why=("numbers of more than 15 digits look like a key; drafted as an identifier",),
    )


def _fits(column: ColumnFacts) -> bool:
    """Say whether values are texts or whole numbers, and no more than a person would review."""
    return len(column.values) <= MANY and (column.is_text or pt.is_integer(column.values.type))


def _like(column: ColumnFacts) -> dict[str, str]:
    """Return the pattern of keys that are numbers of about one length, if there is one."""
    texts = column.values.cast(pa.large_string(), safe=False)
    lengths = pc.min_max(pc.utf8_length(texts)).as_py()
    least, most = lengths["min"], lengths["max"]
    plain = pc.all(pc.match_substring_regex(texts, "^[1-9][0-9]*$")).as_py()
    if (
        not (plain and least >= 2 and most <= _MOST_DIGITS)
        or 10 ** (most - 1) < _ROOM * column.rows
    ):
        return {}
    often = f"{{{most - 1}}}" if least == most else f"{{{least - 1},{most - 1}}}"
    return {"like": f"[1-9][0-9]{often}"}


def _key(column: ColumnFacts, numbers: np.ndarray) -> Proposal | None:
    """Propose a key for numbers that all differ and run on, or are spread wide."""
    if not column.all_differ:
        return None
    span = float(numbers.max() - numbers.min()) + 1
    digits = np.floor(np.log10(np.maximum(np.abs(numbers), 1))).astype(np.int64) + 1
    alike = np.sort(np.bincount(digits))[-2:].sum() >= _ALIKE * len(numbers)
    heaped = (numbers % 10 == 0).mean() > _HEAPED
    form: dict[str, Any] = {}
    if span == len(numbers) and _reads_as_years(column, numbers):
        return None
    if span == len(numbers):
        why, form = "every value differs, one after the other", _running(numbers)
    elif span > _SPREAD * len(numbers) and alike and not heaped and digits.max() >= 6:
        why, form = "every value differs, in numbers of about one length", _like(column)
    else:
        return None
    return Proposal(facts={"kind": "identifier", **form}, why=(f"{why}; drafted as an identifier",))


def key_form_of(column: ColumnFacts) -> dict[str, Any]:
    """Return the form of a column of keys, whatever it would be drafted as by itself.

    Numbers that lie near one another run on, from the first that has as many digits as the least;
    those that lie wide apart have their pattern.
    """
    if column.numbers is None:
        return form_of(column) if column.is_text and len(column.values) else {}
    numbers = column.numbers[np.isfinite(column.numbers)]
    if not len(numbers) or (numbers % 1).any():
        return {}
    wide = float(numbers.max() - numbers.min()) + 1 > _NEAR * len(numbers)
    like = _like(column) if wide and float(np.abs(numbers).max()) < _LARGEST else {}
    return like or _running(numbers)


def _running(numbers: np.ndarray) -> dict[str, Any]:
    """Return where numbers of keys start: by the digits of the least alone, or at nought."""
    least = float(numbers.min())
    return {"start": 0} if least == 0 else first_of_length(len(str(int(least))) * (least > 0))


def _reads_as_years(column: ColumnFacts, numbers: np.ndarray) -> bool:
    """Say whether numbers that run on are years: by their size, and by what they are called."""
    inside = numbers.min() >= 1000 and numbers.max() <= _LATEST_YEAR
    return bool(inside) and _YEARLY.search(column.name) is not None


def _listed(column: ColumnFacts, numbers: np.ndarray) -> Proposal:
    """Propose the list that a column's type declares."""
    whole = [int(n) for n in numbers]
    kind = "ordinal" if column.ordered else "categorical"
    facts = {"kind": kind, "categories": whole if column.ordered else sorted(whole)}
    return Proposal(facts={**facts, "other": False}, why=("its type declares a list",))


def _codes(column: ColumnFacts, numbers: np.ndarray) -> Proposal | None:
    """Propose a list for whole numbers that leave most of their range empty, and repeat."""
    count, span = len(numbers), float(numbers.max() - numbers.min()) + 1
    if not 1 <= count <= MANY or (count > 1 and count >= _DENSE * span):
        return None
    lengths = {len(str(abs(int(n)))) for n in numbers}
    step = int(np.gcd.reduce((numbers - numbers.min()).astype(np.int64))) if count > 1 else 1
    if count > FEW and not (
        len(lengths) == 1
        and max(lengths) >= 4
        and column.rows >= 10 * count
        and count < span / 20
        and step == 1
        and (numbers % 10 == 0).mean() < 0.5
    ):
        return None
    if count > 2 and step > 1 and count >= _DENSE * (span - 1) / step:
        return None
    categories = sorted(int(n) for n in numbers)
    why = "one value in every row; it costs nothing"
    if count > 1:
        why = "whole numbers with wide gaps between them are codes"
    return Proposal(
        facts={"kind": "categorical", "categories": categories, "other": False}, why=(why,)
    )


def _sentinels(column: ColumnFacts, numbers: np.ndarray) -> tuple[str, ...]:
    """Name a number such as -9 or 9999 that may stand for a missing value."""
    if len(numbers) <= FEW:
        return ()
    ordered = np.sort(numbers)
    spread = ordered[-2] - ordered[1]
    if spread <= 0:
        return ()
    found = []
    for end, near in ((ordered[0], ordered[1]), (ordered[-1], ordered[-2])):
        digits = set(str(abs(int(end))))
        rows = int(column.counts[np.flatnonzero(numbers == end)[0]])
        alone = end < 0 <= near and -int(end) in _NEGATIVES
        if rows > 1 and (alone or (digits <= {"9"} and abs(end - near) > spread)):
            found.append(int(end))
    return tuple(
        f"{value} stands apart from the rest; if it means missing, put it into missing_tokens"
        for value in found
    )


KIND = Kind(
    accepts=lambda _, kind: is_number(kind),
    store_as="store it as numbers",
    codec=lambda attribute: NumericCodec(
        attribute=attribute, scale=Scale(read=_read, build=_build, grid=_grid, closed=False)
    ),
    spell=lambda attribute, column: dress(column, attribute.spelled, decimals=0),
    as_text=lambda attribute: attribute.spelled is not None and attribute.spelled.dressed,
    words=lambda attribute: bin_words(attribute, spell=_edge),
    edge=_edge,
    read_edge=int,
    draft=_draft,
    needs=("minimum", "maximum"),
    natural="int64",
    reason="whole numbers",
)
