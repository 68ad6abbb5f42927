"""Numbers and dates in a column, also where they are written as text, as in a CSV file."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?", re.ASCII
)
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})([T ].{0,40})?", re.ASCII)
_DIGIT = re.compile("[0-9]", re.ASCII)
_FIRST_DAY, _LAST_DAY = (date.min - date(1970, 1, 1)).days, (date.max - date(1970, 1, 1)).days
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def in_order(values: pa.Array) -> np.ndarray:
    """Return the places of distinct values in their order, as (values,) int64; nulls are last.

    Text that is a number stands where its number does, before all other text.
    """
    if not _is_text(values.type):
        return np.asarray(pc.sort_indices(values).to_numpy(), dtype=np.int64)
    texts = values.to_pylist()
    return np.array(sorted(range(len(texts)), key=lambda i: _rank(texts[i])), dtype=np.int64)


def _rank(text: str | None) -> tuple[int, Decimal, str]:
    """Return what a text is sorted by."""
    if text is None:
        return 2, Decimal(0), ""
    found = _NUMBER.fullmatch(text.strip())
    return (1, Decimal(0), text) if found is None else (0, Decimal(found[0]), text)


def shifted(column: pa.ChunkedArray, *, by: float) -> pa.ChunkedArray:
    """Return a column whose numbers are higher by so much, whose dates are later by so many days.

    Nulls stay, and of text what has no digit: words for what is missing. Whole numbers stay whole.

    Raises ValueError, in words that follow the column's name, where it holds nothing to shift.
    """
    kind = column.type
    if _is_text(kind):
        return pa.chunked_array([pa.array(_texts(column.to_pylist(), by=by), kind)])
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _later(column, by=by)
    if pa.types.is_decimal(kind):
        widest = pa.decimal128(38, kind.scale) if kind.bit_width == 128 else kind
        return pc.add(column, pa.scalar(_step(by, scale=kind.scale))).cast(widest)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ValueError("holds no numbers to shift, and no dates")
    moved = pc.add(column.cast(pa.float64(), safe=False), by)
    whole = pa.types.is_integer(kind)
    return pc.round(moved).cast(pa.int64(), safe=False) if whole else moved


def _step(by: float, *, scale: int) -> Decimal:
    """Return a shift with so many decimals."""
    with localcontext() as context:
        context.prec = 100
        return Decimal(repr(by)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_EVEN)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _later(column: pa.ChunkedArray, *, by: float) -> pa.ChunkedArray:
    """Return dates, or moments, so many days later."""
    kind = column.type
    if pa.types.is_date32(kind):
        day = 1
    else:
        day = 86_400 * _UNITS["ms" if pa.types.is_date64(kind) else kind.unit]
    step = by * day
    if pa.types.is_date(kind) and not by.is_integer():
        raise ValueError("holds dates, which are shifted by whole days")
    width = pa.int32() if pa.types.is_date32(kind) else pa.int64()
    numbers = column.cast(width).cast(pa.int64())
    ends = pc.min_max(numbers).as_py()
    if ends["min"] is None:
        return column
    if ends["min"] + step < _FIRST_DAY * day or ends["max"] + step >= (_LAST_DAY + 1) * day:
        raise ValueError("holds dates that would lie beyond the years 1 to 9999")
    return pc.add_checked(numbers, round(step)).cast(width).cast(kind)


def _texts(texts: list[str | None], *, by: float) -> list[str | None]:
    """Return texts with their numbers, or their dates, shifted."""
    said = [t for t in texts if t is not None and _DIGIT.search(t)]
    if not said:
        raise ValueError("holds no numbers to shift, and no dates")
    move: Callable[[str], str]
    if all(_NUMBER.fullmatch(t.strip()) for t in said):
        whole = all(t.strip().lstrip("+-").isdigit() for t in said)
        move = _number_mover(by, whole=whole)
    elif all(_DATE.fullmatch(t.strip()) for t in said):
        if not by.is_integer():
            raise ValueError("holds dates, which are shifted by whole days")
        move = _date_mover(by)
    else:
        raise ValueError("holds texts with digits that are neither numbers nor dates to shift")
    known: dict[str, str] = {t: move(t.strip()) for t in dict.fromkeys(said)}
    return [None if t is None else known.get(t, t) for t in texts]


def _number_mover(by: float, *, whole: bool) -> Callable[[str], str]:
    """Return what shifts a number in a text."""
    step = Decimal(int(by)) if by.is_integer() else Decimal(repr(by))

    def move(text: str) -> str:
        moved = Decimal(text) + step
        return f"{moved.to_integral_value(ROUND_HALF_EVEN) if whole else moved:f}"

    return move


def _date_mover(days: float) -> Callable[[str], str]:
    """Return what shifts a date in a text; the time of day after it stays."""

    def move(text: str) -> str:
        day, rest = text[:10], text[10:]
        try:
            return f"{date.fromisoformat(day) + timedelta(days=days)}{rest}"
        except (ValueError, OverflowError) as err:
            raise ValueError("holds what is no date, or would lie beyond the year 9999") from err

    return move
