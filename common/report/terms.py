"""The words that every fact of a report is written in: rounded numbers, labels, counts."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_LABEL = 200
_DIGITS = 6
_UPWARDS = Context(prec=_DIGITS, rounding=ROUND_CEILING)


def _nearest(value: float) -> float:
    """Keep six significant digits, so that the last bits of a sum do not change the page."""
    return float(f"{value:.{_DIGITS}g}") + 0.0


def _upwards(value: float) -> float:
    """Keep six significant digits of a privacy cost, rounded up."""
    return float(_UPWARDS.create_decimal(Decimal(repr(float(value)))))


def shorten(text: str) -> str:
    """Cut a label that is longer than any page can show."""
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"


Number = Annotated[float, AfterValidator(_nearest)]
Cost = Annotated[float, Field(ge=0), AfterValidator(_upwards)]
Label = Annotated[str, AfterValidator(shorten)]
Count = Annotated[int, Field(ge=0)]


class Facts(BaseModel):
    """Plain data that cannot change and holds no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
