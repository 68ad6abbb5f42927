"""What plans and requests are written with: names, exact numbers, JSON."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import Annotated, Any, ClassVar

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from silosynth.common.errors import InvalidPlan
from silosynth.common.schema import PlainModel

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_EXACT = re.compile(r"[0-9]{1,40}(/[0-9]{1,40}|\.[0-9]{1,20})?", re.ASCII)


def _fraction(value: Any) -> Fraction:
    """Read an exact positive number from ``"p/q"`` or an integer, never from a float."""
    if isinstance(value, bool | float):
        raise ValueError("write it as a fraction in quotes, such as '625/4'")
    # Fraction("1e999999999") would write out a number of a thousand million digits.
    if isinstance(value, str) and not _EXACT.fullmatch(value):
        raise ValueError("write it as a fraction in quotes, such as '625/4'")
    try:
        fraction = Fraction(value)
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError("write it as a fraction in quotes, such as '625/4'") from None
    if fraction <= 0:
        raise ValueError("must be above 0")
    if fraction.denominator.bit_length() > 64 or fraction.numerator.bit_length() > 128:
        raise ValueError("has too many digits")
    return fraction


Exact = Annotated[Fraction, BeforeValidator(_fraction), PlainSerializer(str, return_type=str)]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class PlanModel(PlainModel):
    """Hold plain data and exact numbers; refuse unknown fields."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    _ABSENT: ClassVar[frozenset[str]] = frozenset()
    """Fields that are not written where they are None, so that older digests stay what they are."""

    @model_serializer(mode="wrap")
    def _leave_out(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {k: v for k, v in data.items() if v is not None or k not in self._ABSENT}


def read_json(data: bytes, *, origin: str) -> Any:
    """Parse JSON; raise InvalidPlan when it is not JSON or too deep."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise InvalidPlan(f"{origin}: is not JSON") from err
