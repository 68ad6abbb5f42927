"""Attributes: what a column of the table may hold, and how many codes that makes."""

from __future__ import annotations

import math
from abc import abstractmethod
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from silosynth.common.schema.bins import Bins, Edges, EqualWidth, PlainModel, epoch_seconds, rises

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
    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")
    description: str | None = Field(default=None, max_length=2000)
    source: Source = Source.UNREVIEWED


class _Coded(_Attribute):
    missing: bool = Field(default=False, description="give missing values a code of their own")
    missing_tokens: tuple[str, ...] = Field(
        default=(), description="texts that stand for a missing value, beside null and NaN"
    )

    @model_validator(mode="after")
    def _tokens_need_a_code(self) -> Self:
        if self.missing_tokens and not self.missing:
            raise ValueError("missing_tokens are listed, so missing must be true")
        return self


class _Listed(_Coded):
    categories: tuple[Category, ...] = Field(min_length=1, max_length=MAX_CODES)
    other: bool = Field(default=True, description="give values that are not listed a code")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({str(c) for c in self.categories}) != len(self.categories):
            raise ValueError("a category is listed twice")
        if len(self.categories) + self.other + self.missing < 2:
            raise ValueError(
                "one category alone says nothing; list at least two, or allow other or missing"
            )
        if len(self.categories) + self.other + self.missing > MAX_CODES:
            raise ValueError(f"more than {MAX_CODES} codes; merge rare categories into other")
        if {str(c) for c in self.categories} & set(self.missing_tokens):
            raise ValueError("a missing token is also listed as a category")
        return self

    @property
    def values(self) -> int:
        """Return the number of codes before ``other`` and ``missing``."""
        return len(self.categories)

    @property
    def size(self) -> int:
        """Return the number of codes: listed values, then ``other``, then ``missing``."""
        return self.values + self.other + self.missing


class CategoricalAttribute(_Listed):
    """Unordered listed values; text or integers."""

    kind: Literal["categorical"] = "categorical"


class OrdinalAttribute(_Listed):
    """Listed values in rising order; text or integers."""

    kind: Literal["ordinal"] = "ordinal"


class BooleanAttribute(_Coded):
    """False, then true."""

    kind: Literal["boolean"] = "boolean"
    source: Source = Source.DECLARED

    @property
    def values(self) -> int:
        """Return 2."""
        return 2

    @property
    def size(self) -> int:
        """Return the number of codes: false, true, then ``missing``."""
        return 2 + self.missing


class _Numeric(_Coded):
    bins: Bins = Field(default_factory=EqualWidth)

    @abstractmethod
    def limits(self) -> tuple[float, float]:
        """Return the bounds as numbers; datetimes as seconds since 1970 in UTC."""

    def edges(self) -> tuple[float, ...]:
        """Return all rising bin edges, bounds included: ``values + 1`` numbers.

        An integer attribute's edges are integers, and its last edge is ``maximum + 1``.
        """
        low, high = self.limits()
        if isinstance(self.bins, Edges):
            return (low, *self.bins.edges, high)
        count = self.bins.count if isinstance(self.bins, EqualWidth) else self.bins.grid
        if isinstance(self, IntegerAttribute):
            span = int(high) - int(low)
            count = min(count, span)
            return tuple(int(low) + -(-i * span // count) for i in range(count + 1))
        return (*(low + (high - low) * i / count for i in range(count)), high)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        low, high = self.limits()
        if not low < high:
            raise ValueError("minimum must be below maximum")
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
    def size(self) -> int:
        """Return the number of codes: bins, then ``missing``."""
        return self.values + self.missing


class IntegerAttribute(_Numeric):
    """Whole numbers in [minimum, maximum], both included."""

    kind: Literal["integer"] = "integer"
    minimum: int = Field(ge=-(2**53), le=2**53)
    maximum: int = Field(ge=-(2**53), le=2**53)
    step: int | None = Field(
        default=None, ge=1, le=2**53, description="values are minimum + k * step; 1 without it"
    )

    def limits(self) -> tuple[float, float]:
        """Return (minimum, maximum + 1)."""
        return self.minimum, self.maximum + 1

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if isinstance(self.bins, Edges) and any(e != math.floor(e) for e in self.bins.edges):
            raise ValueError("edges of an integer attribute must be integers")
        if self.minimum == self.maximum and not self.missing:
            raise ValueError("one value alone says nothing; widen the bounds")
        return self


class RealAttribute(_Numeric):
    """Real numbers in [minimum, maximum]."""

    kind: Literal["real"] = "real"
    minimum: float
    maximum: float
    decimals: int | None = Field(
        default=None, ge=0, le=15, description="digits after the point that values have at most"
    )

    def limits(self) -> tuple[float, float]:
        """Return (minimum, maximum)."""
        return self.minimum, self.maximum


class DatetimeAttribute(_Numeric):
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

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds since 1970-01-01T00:00:00Z."""
        return epoch_seconds(self.minimum), epoch_seconds(self.maximum)

    def _distinguishes(self, edges: tuple[float, ...]) -> bool:
        """Say whether every bin holds at least one whole microsecond."""
        return rises([math.ceil(edge * 1e6) for edge in edges])


class IdentifierAttribute(_Attribute):
    """A key such as a patient number: never modelled; synthetic rows get fresh numbers."""

    kind: Literal["identifier"] = "identifier"
    source: Source = Source.DECLARED
    prefix: str = Field(default="", max_length=64)


class TextAttribute(_Attribute):
    """Free text: not for marginals; a generator learns it where ``max_bytes`` is given."""

    kind: Literal["text"] = "text"
    source: Source = Source.DECLARED
    max_bytes: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="how much of a text, in bytes of UTF-8, a generator learns; none without it",
    )


CodedAttribute = (
    CategoricalAttribute
    | OrdinalAttribute
    | BooleanAttribute
    | IntegerAttribute
    | RealAttribute
    | DatetimeAttribute
)
NumericAttribute = IntegerAttribute | RealAttribute | DatetimeAttribute
ListedAttribute = CategoricalAttribute | OrdinalAttribute
Attribute = Annotated[
    CodedAttribute | IdentifierAttribute | TextAttribute, Field(discriminator="kind")
]
