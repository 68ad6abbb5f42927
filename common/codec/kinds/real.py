"""Real numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.common.codec.bins import Grid, bin_words, grid_of, stepped_bounds, two_digits
from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.integer import wearing
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.written.columns import is_number
from silosynth.common.codec.written.dress import decimals_of, dress, fewest_decimals, powers_of
from silosynth.common.codec.written.parsing import to_numbers
from silosynth.common.schema import RealAttribute

_LARGEST = 1e300
_MOST_DECIMALS = 8
_EXACT = 2.0**50
_GROUPED = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_ZEROLESS = r"^[+-]?\.\d"
_WHOLE = r"^[+-]?\d+$"
_GROUPED_WHY = (
    "every value has three decimals; if the point parts thousands, make it an integer with "
    "spelled: {thousands: '.', decimal: ','}"
)


def _read(attribute: RealAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    return to_numbers(column, spelled=attribute.spelled)


def _build(attribute: RealAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    del attribute
    return pa.array(numbers, mask=absent)


def _grid(attribute: RealAttribute) -> Grid | None:
    step = attribute.grid
    if step is None:
        return None
    points = Fraction(attribute.maximum - attribute.minimum) / step
    finest = step.denominator * max(abs(attribute.minimum), abs(attribute.maximum))
    if points >= _EXACT or finest >= _EXACT:
        return None
    return grid_of(step, start=Fraction(repr(attribute.minimum)))


def _edge(number: float) -> str:
    return f"{number:.12g}"


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose real numbers with as many decimals as write every value."""
    powers = powers_of(column.trimmed) if column.is_text and len(column.values) else None
    column, spelled = wearing(column)
    numbers = column.numbers
    if numbers is None or (column.is_text and column.some_match(r"^[+-]?0\d")):
        return None
    finite = numbers[np.isfinite(numbers)]
    if not len(finite) or np.abs(finite).max() > _LARGEST:
        return None
    low, high = float(finite.min()), float(finite.max())
    most = column.kind.scale if pt.is_decimal(column.kind) else _MOST_DECIMALS
    decimals = None if powers else fewest_decimals(finite, most=most, kind=_float_of(column))
    facts: dict[str, Any] = {"kind": "real"}
    bottom, top = two_digits(low, high, step=10.0**-decimals if decimals is not None else 0.0)
    if decimals is not None:
        bottom, top = round(bottom, decimals), round(top, decimals)
        facts |= {"decimals": decimals}
        if (step := _step(finite, decimals=decimals)) > 1:
            facts |= {"step": step / 10**decimals}
            del facts["decimals"]
            bottom, top = (
                round(x, decimals)
                for x in stepped_bounds(low, bottom, top, step=Fraction(step, 10**decimals))
            )
    places = _places(column, most=decimals)
    if places:
        spelled = {"spelled": {**spelled.get("spelled", {}), "places": places}}
    if column.is_text and column.some_match(_ZEROLESS) and not column.some_match(r"^[+-]?0\."):
        spelled = {"spelled": {**spelled.get("spelled", {}), "leading_zero": False}}
    if column.is_text and column.some_match(r"\d\.$") and not column.some_match(_WHOLE):
        spelled = {"spelled": {**spelled.get("spelled", {}), "trailing_point": True}}
    if powers is not None:
        spelled = {"spelled": powers.model_dump(exclude_defaults=True)}
    why = [] if decimals is not None or powers else ["values have more decimals than are kept"]
    if column.is_text and len(finite) > 1 and column.matches(_GROUPED):
        why.append(_GROUPED_WHY)
    if len(finite) < len(numbers):
        why.append("infinite values count as the nearest bound; list them in missing_apart to keep")
    return Proposal(facts={**facts, "minimum": bottom, "maximum": top, **spelled}, why=tuple(why))


def _step(numbers: np.ndarray, *, decimals: int) -> int:
    """Return the step between values as so many last decimals, 1 where there are few values."""
    ticks = np.rint(numbers * 10.0**decimals)
    if len(numbers) <= FEW or np.abs(ticks).max() >= _EXACT:
        return 1
    step = int(np.gcd.reduce((ticks - ticks.min()).astype(np.int64)))
    # Values that are off a coarser step are written by their decimals.
    return step if len(repr(step / 10**decimals).partition(".")[2]) >= decimals else 1


def _float_of(column: ColumnFacts) -> type[np.floating[Any]]:
    """Return the type that a column's decimals are to be told apart in."""
    if column.kind == pa.float16():
        return np.float16
    return np.float32 if column.kind == pa.float32() else np.float64


def _places(column: ColumnFacts, *, most: int | None) -> int:
    """Return how many decimals are always written, where zeros show it: 12.50, or 3.0."""
    if not column.is_text:
        return 0
    written = decimals_of(column.trimmed)
    if written is None or most is None:
        return 0
    longest, shortest = written
    return shortest if longest == shortest else min(shortest, 1)


KIND = Kind(
    accepts=lambda _, kind: is_number(kind),
    store_as="store it as numbers",
    codec=lambda attribute: NumericCodec(
        attribute=attribute, scale=Scale(read=_read, build=_build, grid=_grid, whole=False)
    ),
    spell=lambda attribute, column: dress(
        column, attribute.spelled, decimals=_written_decimals(attribute)
    ),
    as_text=lambda attribute: attribute.spelled is not None and attribute.spelled.dressed,
    words=lambda attribute: bin_words(attribute, spell=_edge),
    edge=_edge,
    read_edge=float,
    draft=_draft,
    needs=("minimum", "maximum"),
    natural="double",
    reason="numbers with decimals",
)


def _written_decimals(attribute: RealAttribute) -> int | None:
    """Return the most decimals that are written: those declared, or those of the step."""
    if attribute.decimals is not None or attribute.step is None:
        return attribute.decimals
    return len(repr(attribute.step).partition(".")[2])
