"""How a numeric attribute is split into bins: each way says itself which edges it has."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

Rising = tuple[float, ...]
_DURATION = re.compile(r"^(-?)(\d+) (\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)$")


class PlainModel(BaseModel):
    """Hold plain data; refuse unknown fields, NaN and infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def epoch_seconds(moment: datetime) -> float:
    """Return seconds since 1970 in UTC, taking a naive datetime as UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def day_seconds(moment: time) -> float:
    """Return seconds since midnight; the last microsecond of the day counts as its end."""
    if moment == time.max:
        return 86_400.0
    return moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6


def spell_duration(span: timedelta) -> str:
    """Write a span of time as it is read: ``1 02:30:00``, ``-0 00:00:05.25``."""
    sign, whole = ("-", -span) if span < timedelta(0) else ("", span)
    minutes, seconds = divmod(whole.seconds, 60)
    text = f"{sign}{whole.days} {minutes // 60:02}:{minutes % 60:02}:{seconds:02}"
    return f"{text}.{whole.microseconds:06}" if whole.microseconds else text


def read_duration(value: object) -> object:
    """Take ``1 02:30:00`` for a day and two and a half hours; leave other spellings alone."""
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None:
        return value
    sign, days, hours, minutes, seconds = found.groups()
    span = timedelta(days=int(days), hours=int(hours), minutes=int(minutes), seconds=float(seconds))
    return -span if sign else span


def _clock(value: object) -> object:
    """Take 24:00 for the end of a day."""
    return time.max if value in ("24:00", "24:00:00") else value


def _spell_clock(value: time) -> str:
    return "24:00" if value == time.max else value.isoformat()


Clock = Annotated[time, BeforeValidator(_clock), PlainSerializer(_spell_clock)]
Span = Annotated[timedelta, BeforeValidator(read_duration), PlainSerializer(spell_duration)]


def rises(numbers: Sequence[float]) -> bool:
    """Say whether the numbers rise strictly."""
    return all(a < b for a, b in pairwise(numbers))


def put_on_points(edges: Rising, *, start: Fraction, step: Fraction) -> Rising:
    """Return rising edges, inner ones that are ``start + k * step`` but for rounding exactly on it.

    A point just below its own edge would lie in the bin before, and a bin might hold none.

    >>> put_on_points((0.1, 0.1 + 0.2, 0.35, 0.5), start=Fraction(1, 10), step=Fraction(1, 10))
    (0.1, 0.3, 0.35, 0.5)
    """
    slack = 8 * math.ulp(max(abs(edges[0]), abs(edges[-1])))
    if step <= 16 * slack:
        return edges
    shared = math.lcm(start.denominator, step.denominator)
    base, stride = int(start * shared), int(step * shared)
    first, width = float(start), float(step)
    points = ((base + round((edge - first) / width) * stride) / shared for edge in edges[1:-1])
    inner = (
        point if abs(point - edge) <= slack else edge
        for edge, point in zip(edges[1:-1], points, strict=True)
    )
    return (edges[0], *inner, edges[-1])


def first_whole(number: float) -> int:
    """Return the first whole number from ``number`` on; one that it is but for rounding is it."""
    near = round(number)
    return near if abs(near - number) <= 2 * math.ulp(number) else math.ceil(number)


def _edge_seconds(value: object) -> object:
    """Turn a date into seconds since 1970, and leave numbers alone."""
    if isinstance(value, str) and "-" in value[1:]:
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if isinstance(value, datetime):
        return epoch_seconds(value)
    if isinstance(value, date):
        return epoch_seconds(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return value


Edge = Annotated[float, BeforeValidator(_edge_seconds)]
Even = Callable[[int], Rising]
"""Return the edges of so many bins of one width, bounds included."""


class _Bins(PlainModel):
    def fault(self, low: float, high: float) -> str | None:
        """Return why these bounds cannot be split so; None where they can."""
        return None


class EqualWidth(_Bins):
    """Split the bounds into ``count`` bins of one width."""

    kind: Literal["width"] = "width"
    count: int = Field(default=32, ge=1, le=4096)

    def split(self, low: float, high: float, *, even: Even) -> Rising:
        """Return all edges, bounds included."""
        return even(self.count)


class Edges(_Bins):
    """Split at declared inner edges: bin i holds edge[i-1] <= x < edge[i].

    Edges of a datetime attribute may be written as dates; they are kept as seconds since 1970.
    """

    kind: Literal["edges"] = "edges"
    edges: tuple[Edge, ...] = Field(min_length=1, max_length=4095)

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not rises(self.edges):
            raise ValueError("edges must rise strictly")
        return self

    def split(self, low: float, high: float, *, even: Even) -> Rising:
        """Return all edges, bounds included."""
        return (low, *self.edges, high)

    def fault(self, low: float, high: float) -> str | None:
        """Return why these bounds cannot be split so; None where they can."""
        if low < self.edges[0] and self.edges[-1] < high:
            return None
        return "edges must lie strictly inside the bounds"


class Quantiles(_Bins):
    """Count ``grid`` bins of one width, then merge them to about ``count`` bins of equal mass.

    The merge is chosen from the noised 1-way marginal, so it is bought with epsilon.
    """

    kind: Literal["quantiles"] = "quantiles"
    count: int = Field(default=32, ge=2, le=1024)
    grid: int = Field(default=256, ge=2, le=4096)

    @model_validator(mode="after")
    def _finer(self) -> Self:
        if self.grid < self.count:
            raise ValueError("grid must be at least count")
        return self

    def split(self, low: float, high: float, *, even: Even) -> Rising:
        """Return all edges of the grid, bounds included."""
        return even(self.grid)


Bins = Annotated[EqualWidth | Edges | Quantiles, Field(discriminator="kind")]
