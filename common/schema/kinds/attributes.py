"""Attributes: what a column of the table may hold, and how many codes that makes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import time
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from silosynth.common.schema.code_lists import CodeList, check_hierarchy
from silosynth.common.schema.kinds.bases import (
    MAX_CODES,
    WHOLE_DAYS,
    BaseAttribute,
    BaseCoded,
    BaseNumeric,
    BaseTemporal,
    Source,
)
from silosynth.common.schema.kinds.bins import (
    Clock,
    Edges,
    Span,
    day_seconds,
    epoch_seconds,
    put_on_points,
)
from silosynth.common.schema.kinds.forms import (
    MomentFormat,
    MomentWords,
    NumberText,
    SpanFormat,
    Words,
    Zone,
    since,
)
from silosynth.common.schema.kinds.generated import GeneratedAttribute, Instant


def _plain_category(value: object) -> object:
    """Refuse what YAML made of an unquoted yes, 2020-01-01 or 1.5."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("a category is text or a whole number; put it in quotes")
    return value


_WORDS = "words for months, days of the week and halves of a day; English ones without it"
Category = Annotated[str | int, BeforeValidator(_plain_category)]


class _Listed(BaseCoded):
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
    """Unordered listed values; text or integers.

    With a ``hierarchy`` rare values are merged with those that share what is above them.
    """

    kind: Literal["categorical"] = "categorical"
    codes: CodeList | None = since(
        2, default=None, description="the file that the categories are from, named by its digest"
    )
    hierarchy: dict[str, str] = since(
        2,
        default={},
        max_length=2 * MAX_CODES,
        description="what is above each category, or above what is above it",
    )

    @property
    def above(self) -> Mapping[str, str]:
        """Return the hierarchy."""
        return self.hierarchy

    @model_validator(mode="after")
    def _rises_to_an_end(self) -> Self:
        check_hierarchy(self.hierarchy)
        return self


class OrdinalAttribute(_Listed):
    """Listed values in rising order; text or integers."""

    rising: ClassVar[bool] = True
    kind: Literal["ordinal"] = "ordinal"


class BooleanAttribute(BaseCoded):
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


class IntegerAttribute(BaseNumeric):
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

    def _even_edges(self, low: float, high: float, count: int) -> tuple[float, ...]:
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


class RealAttribute(BaseNumeric):
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

    def _on_points(self, edges: tuple[float, ...], step: Fraction) -> tuple[float, ...]:
        return put_on_points(edges, start=Fraction(repr(self.minimum)), step=step)

    @model_validator(mode="after")
    def _on_a_grid(self) -> Self:
        if self.step is not None and self.decimals is not None:
            raise ValueError("declare step or decimals, not both")
        if self.decimals is not None:
            off = [b for b in (self.minimum, self.maximum) if round(b, self.decimals) != b]
            if off:
                raise ValueError(f"the bounds have more than {self.decimals} decimals")
        return self


class DatetimeAttribute(BaseTemporal):
    """Instants in [minimum, maximum]; without a zone they are UTC."""

    kind: Literal["datetime"] = "datetime"
    minimum: Instant
    maximum: Instant
    format: MomentFormat | None = Field(
        default=None, description="strptime format of text columns; ISO 8601 without it"
    )
    zone: Zone | None = since(
        2, default=None, description="the zone of what is written; none without it"
    )
    words: MomentWords | None = since(2, default=None, description=_WORDS)

    @property
    def local(self) -> bool:
        """Say whether values are days, months, years or steps as the clocks of a zone have them."""
        return self.zone is not None and (self.step is not None or self.resolution in WHOLE_DAYS)

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds since 1970-01-01T00:00:00Z."""
        return epoch_seconds(self.minimum), epoch_seconds(self.maximum)


class TimeAttribute(BaseTemporal):
    """Times of day in [minimum, maximum]."""

    came_with: ClassVar[int] = 2
    kind: Literal["time"] = "time"
    source: Source = Source.DECLARED
    minimum: Clock = time.min
    maximum: Clock = time.max
    format: MomentFormat | None = Field(
        default=None, description="strptime format; HH:MM:SS without it"
    )
    midnight: str | None = since(
        2, default=None, max_length=16, description="how it is written, as 2400, if not by format"
    )
    words: MomentWords | None = since(2, default=None, description=_WORDS)

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds since midnight."""
        return day_seconds(self.minimum), day_seconds(self.maximum)


class DurationAttribute(BaseTemporal):
    """Spans of time in [minimum, maximum], written ``1 02:30:00`` or as seconds."""

    came_with: ClassVar[int] = 2
    kind: Literal["duration"] = "duration"
    minimum: Span
    maximum: Span
    format: SpanFormat | None = None

    def limits(self) -> tuple[float, float]:
        """Return the bounds in seconds."""
        return self.minimum.total_seconds(), self.maximum.total_seconds()


class IdentifierAttribute(BaseCoded):
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
    start: int = since(
        2, default=1, ge=0, le=10**18 - 1, description="the first of the running numbers"
    )
    like: Words | None = since(2, default=None, description="the words that fresh keys are made of")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.like is not None and (self.prefix or self.digits or self.suffix or self.start != 1):
            raise ValueError("like says the whole key; leave out prefix, digits, suffix and start")
        return self

    def _codes_of(self, value: Any) -> list[int]:
        return [0] if value is True else []


class TextAttribute(BaseAttribute):
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


class EmptyAttribute(BaseAttribute):
    """A column that holds nothing, in any row; it comes out empty."""

    came_with: ClassVar[int] = 2
    kind: Literal["empty"] = "empty"


class IgnoredAttribute(BaseAttribute):
    """A column of the table that is not read, and that synthetic rows do not have."""

    came_with: ClassVar[int] = 2
    kind: Literal["ignored"] = "ignored"
    source: Source = Source.DECLARED


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
    CodedAttribute | TextAttribute | EmptyAttribute | IgnoredAttribute | GeneratedAttribute,
    Field(discriminator="kind"),
]


def as_numeric(attribute: Attribute) -> NumericAttribute | None:
    """Return the attribute if its codes are bins of numbers."""
    return attribute if isinstance(attribute, NumericAttribute) else None
