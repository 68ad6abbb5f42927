"""How long after the row before it a row of the same parent comes: public bins, codes, and back.

A column that rows stand in the order of is counted as it is in the first row of a parent, and in
all others as its gap from the row before. Both are whole numbers of the column's own steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from silosynth.common.codec import NumericCodec, codec_of
from silosynth.common.schema import Attribute, PlainModel, as_numeric, bounds_of, whole_steps

LONGEST_GAP = 2**53
MOST_BINS = 255


class Gaps(PlainModel):
    """Rising edges of the gaps: a bin from each edge to the next, the last with its own end.

    They are public facts. Without a unit they are days where the column's resolution is a day,
    seconds of all other times, and the column's own numbers else.
    """

    edges: tuple[int, ...] = Field(min_length=2, max_length=MOST_BINS + 1)
    unit: Literal["seconds", "minutes", "hours", "days"] | None = None

    @model_validator(mode="after")
    def _rise(self) -> Self:
        if any(a >= b for a, b in pairwise(self.edges)):
            raise ValueError("gaps must rise, as [0, 1, 8, 31, 366]")
        if self.edges[0] < 0 or self.edges[-1] > LONGEST_GAP:
            raise ValueError(f"gaps must lie between 0 and {LONGEST_GAP:,}")
        return self


def spelled_out(value: object) -> object:
    """Take a list for the edges of gaps."""
    return {"edges": value} if isinstance(value, list | tuple) else value


def short_gaps(data: Mapping[str, Any]) -> Any:
    """Return the plain data of gaps as it is written: a list where no unit is said."""
    return data if data.get("unit") is not None else list(data["edges"])


def gap_name(column: str) -> str:
    """Return the name of what is counted in the place of an order column in all rows but first."""
    return f"gap: {column}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GapScale:
    """An order column in whole steps from its least value on, and the bins of gaps between rows.

    ``edges`` are (bins + 1,) int64 in steps; the last bin holds its end. Step 0 is ``origin`` and
    step ``most`` the largest value, as rules have them; ``firsts`` is the first step of each of the
    column's codes that hold a value. In which of its other codes a row is, its gap's code says too.
    """

    column: str
    edges: np.ndarray
    origin: int
    step: int
    most: int
    firsts: np.ndarray
    size: int
    name: str = field(init=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", gap_name(self.column))

    @property
    def bins(self) -> int:
        """Return how many bins gaps have."""
        return len(self.edges) - 1

    @property
    def values(self) -> int:
        """Return how many codes of the column hold a value."""
        return len(self.firsts)

    @property
    def codes(self) -> int:
        """Return how many codes a later row's gap has: its bins, and those without a value."""
        return self.bins + self.size - self.values

    @property
    def none(self) -> int:
        """Return the code of what a second row has as the gap of the row before it."""
        return self.codes

    @property
    def lows(self) -> np.ndarray:
        """Return (bins,) int64, the shortest gap of each bin."""
        return self.edges[:-1]

    @property
    def highs(self) -> np.ndarray:
        """Return (bins,) int64, the longest gap of each bin."""
        return np.append(self.edges[1:-1] - 1, self.edges[-1])

    def points(self, values: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the steps of values as rules have them; 0 where there is none.

        Values beyond the column's bounds are at the bounds, as their codes are.
        """
        steps = np.floor((values - self.origin) / self.step)
        found: np.ndarray = np.clip(np.nan_to_num(steps), 0, self.most).astype(np.int64)
        return found

    def values_of(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) float64, the values of some steps, as rules have them."""
        found: np.ndarray = (self.origin + points * self.step).astype(np.float64)
        return found

    def column_codes(self, points: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, the column's own codes of some steps."""
        found: np.ndarray = np.searchsorted(self.firsts[1:], points, side="right")
        return found

    def steps_of(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (rows,) int64 twice: the first and the last step of the column's codes."""
        at = np.minimum(codes.astype(np.int64), self.values - 1)
        ends = np.append(self.firsts[1:], self.most + 1) - 1
        low = np.minimum(self.firsts[at], self.most)
        return low, np.maximum(ends[at], low)

    def gap_codes(self, points: np.ndarray, codes: np.ndarray, *, first: np.ndarray) -> np.ndarray:
        """Return (rows,) int64, how long after the row before it each comes; ``none`` if a first.

        Guarantees: a row's code is a function of it and of the row before it where that is of the
        same parent, and of no row otherwise.

        Args:
            points: (rows,) steps, those of a parent together and in order.
            codes: (rows,) the column's own codes.
            first: (rows,) bool, where a parent's rows begin.
        """
        gaps = np.diff(points, prepend=0)
        found = np.searchsorted(self.edges[1:-1], gaps, side="right")
        beyond = codes.astype(np.int64) - self.values
        found = np.where(beyond >= 0, self.bins + beyond, found)
        whole: np.ndarray = np.where(first, self.none, found)
        return whole


def gap_scale(gaps: Gaps, attribute: Attribute) -> GapScale:
    """Return the scale of an order column; raise ValueError for one that has no gaps, or not these.

    Args: attribute: the column as it is counted.
    """
    try:
        origin, step, unit = whole_steps(attribute, unit=gaps.unit)
    except ValueError as err:
        raise ValueError(f"gaps: order {err}, or leave gaps out") from None
    number = as_numeric(attribute)
    assert number is not None
    name, codec = number.name, codec_of(number)
    assert isinstance(codec, NumericCodec)
    most = (int(bounds_of(number)[1]) - origin) // step
    edges = [-(-edge * unit // step) for edge in gaps.edges]
    if any(a >= b for a, b in pairwise(edges)):
        raise ValueError(f"gaps: {name!r} has steps of {step}; take edges that lie as far apart")
    if edges[0] > most or edges[-1] > LONGEST_GAP:
        raise ValueError(f"gaps: {name!r} does not reach as far as they do; take shorter ones")
    inner = [-(-(int(e) - origin) // step) for e in codec.edges[:-1]]
    return GapScale(
        column=name,
        edges=np.array(edges, dtype=np.int64),
        origin=origin,
        step=step,
        most=most,
        firsts=np.maximum(np.array(inner, dtype=np.int64), 0),
        size=number.size,
    )
