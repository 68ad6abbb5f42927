"""What kinds of attribute share: names, missing values, bins, resolutions."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from silosynth.common.schema.kinds.bins import (
    Bins,
    EqualWidth,
    PlainModel,
    first_whole,
    put_on_points,
    rises,
    spell_duration,
)
from silosynth.common.schema.kinds.forms import (
    SINCE,
    TEXT_TYPES,
    Resolution,
    Stored,
    since,
)

MAX_CODES = 65_536


class Source(StrEnum):
    """Where the categories or bounds of an attribute come from."""

    DECLARED = "declared"
    PUBLIC = "public"
    BOUGHT = "bought"
    UNREVIEWED = "unreviewed"


class BaseAttribute(PlainModel):
    rising: ClassVar[bool] = False
    """Whether the codes before ``other`` and ``missing`` are in an order."""
    came_with: ClassVar[int] = 1
    """The version of the format that brought the kind."""

    name: str = Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f]+$")
    description: str | None = Field(default=None, max_length=2000)
    source: Source = Source.UNREVIEWED
    why: str | None = since(
        2, default=None, max_length=200, description="where the domain is written down"
    )
    stored: Stored | None = since(
        2, default=None, description="the Arrow type that synthetic rows have, such as int32"
    )

    @property
    def size(self) -> int:
        """Return the number of codes; one says nothing, so it is neither asked nor modelled."""
        return 1

    @property
    def modelled(self) -> bool:
        """Say whether there is anything to ask: a code to choose, or a value within a bin."""
        return self.size > 1

    @property
    def stored_as_text(self) -> bool:
        """Say whether the declared type is text."""
        return self.stored in TEXT_TYPES

    def needs_version(self) -> int:
        """Return the version of the format that brought what is declared here."""
        fields = type(self).model_fields.items()
        extras = [(name, field.json_schema_extra or {}) for name, field in fields]
        later = [(n, int(str(e[SINCE]))) for n, e in extras if isinstance(e, dict) and SINCE in e]
        used = [v for n, v in later if getattr(self, n) != type(self).model_fields[n].default]
        return max([self.came_with, *used])

    def codes_of(self, value: Any) -> list[int]:
        """Return the codes of one declared value, none when it has none."""
        del value
        return []


class BaseCoded(BaseAttribute):
    missing: bool = Field(default=False, description="give missing values a code of their own")
    missing_tokens: tuple[str, ...] = Field(
        default=(), description="texts that stand for a missing value, beside null and NaN"
    )
    missing_as: str | None = since(
        2,
        default=None,
        max_length=64,
        description="how a missing value is written; empty by default",
    )
    missing_apart: tuple[str, ...] = since(
        2,
        default=(),
        max_length=32,
        description="texts that each say in their own way why a value is missing: a code each",
    )

    shares: dict[str, float] = since(
        2,
        default={},
        max_length=MAX_CODES,
        description="what is publicly known of values, ranges or '' for missing: a share of each, "
        "for rows made of the schema alone",
    )

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        if not all(0 <= share <= 1 for share in self.shares.values()):
            raise ValueError("shares are from 0 to 1")
        if sum(self.shares.values()) > 1 + 1e-9:
            raise ValueError("shares add up to more than 1")
        return self

    @model_validator(mode="after")
    def _tokens_need_a_code(self) -> Self:
        if self.missing_tokens and not self.missing:
            raise ValueError("missing_tokens are listed, so missing must be true")
        if self.missing_as is not None and self.missing_as not in self.missing_tokens:
            raise ValueError("missing_as must be one of missing_tokens")
        if len({*self.missing_tokens, *self.missing_apart}) != len(self.missing_tokens) + len(
            self.missing_apart
        ):
            raise ValueError("a text stands twice in missing_tokens and missing_apart")
        return self

    @property
    def values(self) -> int:
        """Return the number of codes before ``other`` and what is missing."""
        return 1

    @property
    def size(self) -> int:
        """Return the number of codes: values, ``other``, each of missing_apart, ``missing``."""
        return self.values + self.has_other + len(self.missing_apart) + self.missing

    @property
    def has_other(self) -> bool:
        """Say whether values that are not listed have a code."""
        return False

    @property
    def above(self) -> Mapping[str, str]:
        """Return what is above each value, or above what is above it; nothing without a tree."""
        return {}

    def codes_of(self, value: Any) -> list[int]:
        """Return the codes of one declared value: null is ``missing``."""
        if value is None:
            return [self.size - 1] if self.missing else []
        if isinstance(value, str) and value in self.missing_apart:
            first = self.size - self.missing - len(self.missing_apart)
            return [first + self.missing_apart.index(value)]
        return self._codes_of(value)

    def _codes_of(self, value: Any) -> list[int]:
        """Return the codes of a value that is there."""
        del value
        return []


class BaseNumeric(BaseCoded):
    rising: ClassVar[bool] = True
    unit: ClassVar[int] = 0
    """How far the last value lies below the last edge."""

    bins: Bins = Field(default_factory=EqualWidth)

    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Return the bounds as numbers; datetimes as seconds since 1970 in UTC."""

    @property
    def grid(self) -> Fraction | None:
        """Return the distance of neighbouring values in units of the bounds, if there is one."""
        return None

    def edges(self) -> tuple[float, ...]:
        """Return all rising bin edges, bounds included: ``values + 1`` numbers.

        An integer attribute's edges are integers, and its last edge is ``maximum + 1``.
        """
        low, high = self.limits()
        if low == high:
            return (low, high)
        edges = self.bins.split(low, high, even=partial(self._even_edges, low, high))
        return edges if self.grid is None else self._on_points(edges, self.grid)

    def _on_points(self, edges: tuple[float, ...], step: Fraction) -> tuple[float, ...]:
        """Return the edges, those that are points of the grid but for rounding exactly on them."""
        return edges

    def _even_edges(self, low: float, high: float, count: int) -> tuple[float, ...]:
        """Return the edges of bins of one width; not more than there are points on the grid."""
        if self.grid is not None:
            count = min(count, max(math.floor(Fraction(high - low) / self.grid), 1))
        return (*(low + (high - low) * i / count for i in range(count)), high)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        low, high = self.limits()
        if high - low < self.unit:
            raise ValueError("minimum must be below maximum")
        if low == high:
            return self
        if fault := self.bins.fault(low, high):
            raise ValueError(fault)
        if not self._distinguishes(self.edges()):
            raise ValueError("the bounds are too close, or too far apart, for that many bins")
        return self

    def _distinguishes(self, edges: tuple[float, ...]) -> bool:
        """Say whether the edges are finite and still differ as floating-point numbers."""
        return math.isfinite(high := edges[-1] - edges[0]) and high > 0 and rises(edges)

    @property
    def values(self) -> int:
        """Return the number of bins."""
        return len(self.edges()) - 1

    @property
    def modelled(self) -> bool:
        """Say whether there is anything to ask: a code to choose, or a value within a bin."""
        low, high = self.limits()
        return self.size > 1 or high - low > self.unit

    def needs_version(self) -> int:
        """Return the version of the format that this needs: a constant needs the second."""
        return max(super().needs_version(), 1 if self.modelled else 2)

    def _codes_of(self, value: Any) -> list[int]:
        if not isinstance(value, tuple):
            return []
        edges = self.edges()
        return [
            i for i in range(len(edges) - 1) if value[0] <= edges[i] and edges[i + 1] <= value[1]
        ]


UNEVEN = (Resolution.YEAR, Resolution.QUARTER, Resolution.MONTH, Resolution.WEEK)
"""Resolutions whose points are not multiples of one length from 1970 on."""
WHOLE_DAYS = (*UNEVEN, Resolution.DAY)
_RESOLUTION_SECONDS = {
    Resolution.YEAR: Fraction(366 * 86_400),
    Resolution.QUARTER: Fraction(92 * 86_400),
    Resolution.MONTH: Fraction(31 * 86_400),
    Resolution.WEEK: Fraction(7 * 86_400),
    Resolution.DAY: Fraction(86_400),
    Resolution.HOUR: Fraction(3_600),
    Resolution.MINUTE: Fraction(60),
    Resolution.SECOND: Fraction(1),
    Resolution.MILLISECOND: Fraction(1, 1_000),
    Resolution.MICROSECOND: Fraction(1, 1_000_000),
}


class BaseTemporal(BaseNumeric):
    """What is measured in seconds."""

    resolution: Resolution | None = since(
        2, default=None, description="the finest part of a value: day, minute, second, ..."
    )
    step: int | None = since(
        2,
        default=None,
        ge=1,
        le=2**53,
        description="values are minimum + k * step, as 15 of resolution: minute",
    )

    @property
    def grid(self) -> Fraction | None:
        """Return the resolution, or the step of so many of it, in seconds if it is declared."""
        if self.resolution is None:
            return None
        return _RESOLUTION_SECONDS[self.resolution] * (self.step or 1)

    @property
    def first_tick(self) -> int:
        """Return one of the points in microseconds: the minimum where there is a step, else 0."""
        return 0 if self.step is None else round(self.limits()[0] * 1e6)

    def _on_points(self, edges: tuple[float, ...], step: Fraction) -> tuple[float, ...]:
        if self.resolution in UNEVEN:
            return edges
        return put_on_points(edges, start=Fraction(self.first_tick, 10**6), step=step)

    @model_validator(mode="after")
    def _stepped(self) -> Self:
        if self.step is None:
            return self
        if self.grid is None or self.resolution in UNEVEN:
            raise ValueError(
                "step counts days, hours, minutes, seconds or finer; declare such a resolution "
                "beside it, and for weeks resolution: day with step: 7"
            )
        stride = int(self.grid * 10**6)
        beyond = (round(self.limits()[1] * 1e6) - self.first_tick) % stride
        if beyond:
            raise ValueError(
                "maximum must be minimum plus a multiple of step; take "
                f"{spell_duration(timedelta(microseconds=beyond))} off it"
            )
        return self

    def _distinguishes(self, edges: tuple[float, ...]) -> bool:
        """Say whether every bin holds at least one whole microsecond."""
        return rises([first_whole(edge * 1e6) for edge in edges])


def scale_of(attribute: BaseNumeric) -> float:
    """Return how many of a rule's units one unit of the bounds is: times are microseconds."""
    return 1e6 if isinstance(attribute, BaseTemporal) else 1.0


def scaled(attribute: BaseNumeric, numbers: Sequence[float]) -> list[float]:
    """Return bounds or edges in a rule's units: times as the first microsecond from there on."""
    scale = scale_of(attribute)
    return [*numbers] if scale == 1 else [float(first_whole(n * scale)) for n in numbers]


def bounds_of(attribute: BaseNumeric) -> tuple[float, float]:
    """Return the least and the most value, both included, in a rule's units."""
    low, high = scaled(attribute, attribute.limits())
    return low, high - attribute.unit
