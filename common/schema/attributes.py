"""Attributes: what a column of the table may hold, and how many codes that makes."""

from __future__ import annotations

import math
from abc import abstractmethod
from datetime import datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from silosynth.common.schema.bins import (
    Bins,
    Edges,
    EqualWidth,
    PlainModel,
    day_seconds,
    epoch_seconds,
    read_duration,
    rises,
    spell_duration,
)
from silosynth.common.schema.forms import (
    SINCE,
    TEXT_TYPES,
    NumberText,
    Resolution,
    Stored,
    Zone,
    since,
)

MAX_CODES = 65_536


class Source(StrEnum):
    """Where the categories or bounds of an attribute come from."""

    DECLARED = "declared"
    PUBLIC = "public"
    BOUGHT = "bought"
    UNREVIEWED = "unreviewed"


def _plain_category(value: object) -> object:
    """Refuse what YAML made of an unquoted yes, 2020-01-01 or 1.5."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a category is text or a whole number; put it in quotes")
    return value


def _plain_instant(value: object) -> object:
    """Refuse bare numbers, which could be a year or seconds."""
    if isinstance(value, int | float):
        raise ValueError("write a date such as 2020-01-31 or 2020-01-31T12:00:00Z")
    return value


Category = Annotated[str | int, BeforeValidator(_plain_category)]
Instant = Annotated[datetime, BeforeValidator(_plain_instant)]


class _Attribute(PlainModel):
    rising: ClassVar[bool] = False
    """Whether the codes before ``other`` and ``missing`` are in an order."""

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
        return max(used, default=1)

    def codes_of(self, value: Any) -> list[int]:
        """Return the codes of one declared value, none when it has none."""
        del value
        return []


class _Coded(_Attribute):
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


class _Listed(_Coded):
    categories: tuple[Category, ...] = Field(min_length=1, max_length=MAX_CODES)
    other: bool = Field(default=True, description="give values that are not listed a code")
    other_as: str | None = since(
        2,
        default=None,
        min_length=1,
        max_length=128,
        description="the word for a value that is not listed; without it a listed one is drawn",
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({str(c) for c in self.categories}) != len(self.categories):
            raise ValueError("a category is listed twice")
        if self.size > MAX_CODES:
            raise ValueError(f"more than {MAX_CODES} codes; merge rare categories into other")
        if {str(c) for c in self.categories} & {*self.missing_tokens, *self.missing_apart}:
            raise ValueError("a missing token is also listed as a category")
        if self.other_as is not None and not self.other:
            raise ValueError("other_as gives a word for other, so other must be true")
        if self.other_as in {*map(str, self.categories), *self.missing_tokens, *self.missing_apart}:
            raise ValueError("other_as is also listed as a category or a missing token")
        return self

    @property
    def values(self) -> int:
        """Return the number of codes before ``other`` and ``missing``."""
        return len(self.categories)

    @property
    def has_other(self) -> bool:
        """Say whether values that are not listed have a code."""
        return self.other

    @property
    def whole(self) -> bool:
        """Say whether all categories are whole numbers."""
        return all(isinstance(category, int) for category in self.categories)

    def needs_version(self) -> int:
        """Return the version of the format that this needs: a constant needs the second."""
        return max(super().needs_version(), 2 if self.size == 1 else 1)

    def _codes_of(self, value: Any) -> list[int]:
        texts = [str(c) for c in self.categories]
        if not isinstance(value, bool | tuple) and str(value) in texts:
            return [texts.index(str(value))]
        return []


class CategoricalAttribute(_Listed):
    """Unordered listed values; text or integers."""

    kind: Literal["categorical"] = "categorical"


class OrdinalAttribute(_Listed):
    """Listed values in rising order; text or integers."""

    rising: ClassVar[bool] = True
    kind: Literal["ordinal"] = "ordinal"


class BooleanAttribute(_Coded):
    """False, then true."""

    kind: Literal["boolean"] = "boolean"
    source: Source = Source.DECLARED
    spelled: tuple[str, str] | None = since(
        2, default=None, description="how false and true are written, such as [no, yes]"
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.spelled and len({*self.spelled, *self.missing_tokens, *self.missing_apart}) < (
            2 + len(self.missing_tokens) + len(self.missing_apart)
        ):
            raise ValueError("false, true and missing values need different texts")
        return self

    @property
    def values(self) -> int:
        """Return 2."""
        return 2

    def _codes_of(self, value: Any) -> list[int]:
        if self.spelled and isinstance(value, str) and value in self.spelled:
            return [self.spelled.index(value)]
        return [int(value)] if isinstance(value, bool) else []


class _Numeric(_Coded):
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
        if isinstance(self.bins, Edges):
            return (low, *self.bins.edges, high)
        count = self.bins.count if isinstance(self.bins, EqualWidth) else self.bins.grid
        return self._even_edges(low, high, count=count)

    def _even_edges(self, low: float, high: float, *, count: int) -> tuple[float, ...]:
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
        if isinstance(self.bins, Edges) and not (
            low < self.bins.edges[0] and self.bins.edges[-1] < high
        ):
            raise ValueError("edges must lie strictly inside the bounds")
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


class IntegerAttribute(_Numeric):
    """Whole numbers in [minimum, maximum], both included."""

    unit: ClassVar[int] = 1

    kind: Literal["integer"] = "integer"
    minimum: int = Field(ge=-(2**53), le=2**53)
    maximum: int = Field(ge=-(2**53), le=2**53)
    step: int | None = since(
        2, default=None, ge=1, le=2**53, description="values are minimum + k * step"
    )
    spelled: NumberText | None = since(2, default=None, description="how it is written as text")

    def limits(self) -> tuple[float, float]:
        """Return (minimum, maximum + 1)."""
        return self.minimum, self.maximum + 1

    @property
    def grid(self) -> Fraction | None:
        """Return the step, 1 without one."""
        return Fraction(self.step or 1)

    def _even_edges(self, low: float, high: float, *, count: int) -> tuple[float, ...]:
        step = self.step or 1
        points = (int(high) - 1 - int(low)) // step + 1
        count = min(count, points)
        inner = (int(low) + -(-i * points // count) * step for i in range(count))
        return (*inner, int(high))

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if isinstance(self.bins, Edges) and any(e != math.floor(e) for e in self.bins.edges):
            raise ValueError("edges of an integer attribute must be integers")
        if self.step is not None and (self.maximum - self.minimum) % self.step:
            raise ValueError("maximum must be minimum plus a multiple of step")
        if self.spelled is not None and self.spelled.places:
            raise ValueError("a whole number has no decimal places")
        return self


class RealAttribute(_Numeric):
    """Real numbers in [minimum, maximum]."""

    kind: Literal["real"] = "real"
    minimum: float
    maximum: float
    step: float | None = since(2, default=None, gt=0, description="values are minimum + k * step")
    decimals: int | None = since(
        2, default=None, ge=0, le=15, description="values are written with at most so many decimals"
    )
    spelled: NumberText | None = since(2, default=None, description="how it is written as text")

    def limits(self) -> tuple[float, float]:
        """Return (minimum, maximum)."""
        return self.minimum, self.maximum

    @property
    def grid(self) -> Fraction | None:
        """Return the step, or the last decimal, if either is declared."""
        if self.step is not None:
            return Fraction(str(self.step))
        return None if self.decimals is None else Fraction(1, 10**self.decimals)

    @model_validator(mode="after")
    def _on_a_grid(self) -> Self:
        if self.step is not None and self.decimals is not None:
            raise ValueError("declare step or decimals, not both")
        if self.decimals is not None:
            off = [b for b in (self.minimum, self.maximum) if round(b, self.decimals) != b]
            if off:
                raise ValueError(f"the bounds have more than {self.decimals} decimals")
        return self


_DAYS = (Resolution.YEAR, Resolution.MONTH, Resolution.DAY)
_RESOLUTION_SECONDS = {
    Resolution.YEAR: Fraction(366 * 86_400),
    Resolution.MONTH: Fraction(31 * 86_400),
    Resolution.DAY: Fraction(86_400),
    Resolution.HOUR: Fraction(3_600),
    Resolution.MINUTE: Fraction(60),
    Resolution.SECOND: Fraction(1),
    Resolution.MILLISECOND: Fraction(1, 1_000),
    Resolution.MICROSECOND: Fraction(1, 1_000_000),
}


class _Temporal(_Numeric):
    """What is measured in seconds."""

    resolution: Resolution | None = since(
        2, default=None, description="the finest part of a value: day, minute, second, ..."
    )

    @property
    def grid(self) -> Fraction | None:
        """Return the resolution in seconds, if it is declared."""
        return None if self.resolution is None else _RESOLUTION_SECONDS[self.resolution]

    def _distinguishes(self, edges: tuple[float, ...]) -> bool:
        """Say whether every bin holds at least one whole microsecond."""
        return rises([math.ceil(edge * 1e6) for edge in edges])


class DatetimeAttribute(_Temporal):
    """Instants in [minimum, maximum]; without a zone they are UTC."""

    kind: Literal["datetime"] = "datetime"
    minimum: Instant
    maximum: Instant
    format: str | None = Field(
        default=None,
        max_length=64,
        pattern="%",
        description="strptime format of text columns; ISO 8601 without it",
    )
    zone: Zone | None = since(
        2, default=None, description="the zone that instants are written in; none without it"
    )

    @model_validator(mode="after")
    def _zoned(self) -> Self:
        if self.zone is not None and self.resolution in _DAYS:
            raise ValueError(f"a {self.resolution} has no zone; leave zone out")
        return self

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds since 1970-01-01T00:00:00Z."""
        return epoch_seconds(self.minimum), epoch_seconds(self.maximum)


def _clock(value: object) -> object:
    """Take 24:00 for the end of a day."""
    return time.max if value in ("24:00", "24:00:00") else value


def _spell_clock(value: time) -> str:
    return "24:00" if value == time.max else value.isoformat()


Clock = Annotated[time, BeforeValidator(_clock), PlainSerializer(_spell_clock)]
Span = Annotated[timedelta, BeforeValidator(read_duration), PlainSerializer(spell_duration)]


class TimeAttribute(_Temporal):
    """Times of day in [minimum, maximum]."""

    kind: Literal["time"] = "time"
    source: Source = Source.DECLARED
    minimum: Clock = time.min
    maximum: Clock = time.max
    format: str | None = Field(
        default=None, max_length=64, pattern="%", description="strptime format; HH:MM:SS without it"
    )

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds since midnight."""
        return day_seconds(self.minimum), day_seconds(self.maximum)

    def needs_version(self) -> int:
        """Return 2, which brought this kind."""
        return 2


class DurationAttribute(_Temporal):
    """Spans of time in [minimum, maximum], written ``1 02:30:00`` or as seconds."""

    kind: Literal["duration"] = "duration"
    minimum: Span
    maximum: Span
    format: Literal["days", "clock", "iso"] | None = Field(
        default=None, description="text as '1 days 02:30:00', '26:30:00' or 'P1DT2H30M'"
    )

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds."""
        return self.minimum.total_seconds(), self.maximum.total_seconds()

    def needs_version(self) -> int:
        """Return 2, which brought this kind."""
        return 2


class IdentifierAttribute(_Coded):
    """A key such as a patient number: never modelled; synthetic rows get fresh numbers.

    Where it can be missing, whether it is there is modelled.
    """

    kind: Literal["identifier"] = "identifier"
    source: Source = Source.DECLARED
    missing: bool = since(2, default=False, description="some rows have no key")
    missing_tokens: tuple[str, ...] = since(
        2, default=(), description="texts that stand for a missing key"
    )
    prefix: str = Field(default="", max_length=64)
    digits: int = since(2, default=0, ge=0, le=18, description="zeros fill up to so many digits")
    suffix: str = since(2, default="", max_length=64)

    def _codes_of(self, value: Any) -> list[int]:
        return [0] if value is True else []


class TextAttribute(_Attribute):
    """Free text: not for marginals; a generator learns it where ``max_bytes`` is given."""

    kind: Literal["text"] = "text"
    source: Source = Source.DECLARED
    max_bytes: int | None = since(
        1,
        default=None,
        ge=1,
        le=4096,
        description="how much of a text, in bytes of UTF-8, a generator learns; none without it",
    )
    blank: bool = since(
        2, default=False, description="keep its column, empty, where no generator learns it"
    )


class EmptyAttribute(_Attribute):
    """A column that holds nothing, in any row; it comes out empty."""

    kind: Literal["empty"] = "empty"

    def needs_version(self) -> int:
        """Return 2, which brought this kind."""
        return 2


class IgnoredAttribute(_Attribute):
    """A column of the table that is not read, and that synthetic rows do not have."""

    kind: Literal["ignored"] = "ignored"
    source: Source = Source.DECLARED

    def needs_version(self) -> int:
        """Return 2, which brought this kind."""
        return 2


CodedAttribute = (
    CategoricalAttribute
    | OrdinalAttribute
    | BooleanAttribute
    | IntegerAttribute
    | RealAttribute
    | DatetimeAttribute
    | TimeAttribute
    | DurationAttribute
    | IdentifierAttribute
)
NumericAttribute = (
    IntegerAttribute | RealAttribute | DatetimeAttribute | TimeAttribute | DurationAttribute
)
ListedAttribute = CategoricalAttribute | OrdinalAttribute
Attribute = Annotated[
    CodedAttribute | TextAttribute | EmptyAttribute | IgnoredAttribute,
    Field(discriminator="kind"),
]


def as_numeric(attribute: Attribute) -> NumericAttribute | None:
    """Return the attribute if its codes are bins of numbers."""
    return attribute if isinstance(attribute, NumericAttribute) else None
