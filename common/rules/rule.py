"""What a rule says, as plain values: expressions, conditions, and the rules made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from dataclasses import field as later
from typing import TypeAlias

Scalar: TypeAlias = "bool | float | str"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time: ``count`` times ``unit``."""

    count: float
    unit: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two expressions and what joins them: ``+``, ``-``, ``*``, ``/``, ``//`` or ``%``."""

    sign: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a public table has for the value of a column, in ``field`` or the column to work out.

    ``pairs`` are the numbers of keys and values, once the table is known, and ``gives`` is the kind
    of the values.
    """

    reference: str
    column: str
    field: str = ""
    pairs: tuple[tuple[float, float], ...] = later(default=(), compare=False, repr=False)
    gives: str = later(default="a number", compare=False, repr=False)


Expression: TypeAlias = Column | Number | Span | Arithmetic | Lookup


@dataclass(frozen=True, slots=True)
class Compare:
    """``left`` stands in the relation ``sign`` to ``right``; false where either is null."""

    left: Expression
    sign: str
    right: Expression | str | bool


@dataclass(frozen=True, slots=True)
class Among:
    """The column holds one of the values."""

    column: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """The column is null, or is not."""

    column: str
    null: bool = True


@dataclass(frozen=True, slots=True)
class Not:
    """The condition does not hold."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Both:
    """All conditions hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One condition holds at least."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Compare | Among | IsNull | Not | Both | Either


@dataclass(frozen=True, slots=True)
class Order:
    """``terms[0] signs[0] terms[1] ...``, each sign ``<`` or ``<=``; null passes."""

    terms: tuple[Expression, ...]
    signs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """The column follows from the others."""

    column: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Difference:
    """``column`` is ``high - low``, and ``high`` is worked out from the two."""

    column: str
    high: str
    low: str


@dataclass(frozen=True, slots=True)
class NullWhen:
    """The column is null ``iff``, ``if`` or ``unless`` the condition holds."""

    column: str
    word: str
    condition: Condition


@dataclass(frozen=True, slots=True)
class NullTogether:
    """The columns are null in the same rows."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Never:
    """No row meets the condition."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Keep:
    """Every row meets the condition."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class OneOf:
    """Exactly one of the columns is true, or 1."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """The column holds multiples of ``size``."""

    column: str
    size: float


@dataclass(frozen=True, slots=True)
class Unique:
    """No two rows agree on all of the columns."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """The columns hold only combinations that a public table lists; null goes with any.

    ``allowed`` are the combinations as numbers, once the table is known.
    """

    columns: tuple[str, ...]
    reference: str
    allowed: tuple[tuple[float, ...], ...] = later(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Like:
    """The column's keys are words of the pattern."""

    column: str
    pattern: str


Rule: TypeAlias = (
    Order
    | Derived
    | Difference
    | NullWhen
    | NullTogether
    | Never
    | Keep
    | OneOf
    | Step
    | Unique
    | Like
    | Together
)


def columns_of(part: object) -> tuple[str, ...]:
    """Return the columns that a rule, condition or expression names, each once, in order."""
    return tuple(dict.fromkeys(_names(part)))


def _names(part: object) -> Iterator[str]:
    if isinstance(part, Column):
        yield part.name
    elif isinstance(part, tuple):
        for item in part:
            yield from _names(item)
    elif isinstance(part, Among | IsNull | Lookup):
        yield part.column
    elif isinstance(part, OneOf | NullTogether | Unique | Together):
        yield from part.columns
    elif isinstance(part, Difference):
        yield from (part.column, part.high, part.low)
    elif isinstance(part, Derived | NullWhen | Step | Like):
        yield part.column
        if not isinstance(part, Step | Like):
            yield from _names(part.value if isinstance(part, Derived) else part.condition)
    elif hasattr(part, "__dataclass_fields__"):
        for item in fields(part):  # type: ignore[arg-type]
            value = getattr(part, item.name)
            if not isinstance(value, str):
                yield from _names(value)
