"""The words that every fact of a report is written in: rounded numbers, labels, counts."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from silosynth.common.accounting import stated_epsilon

MAX_LABEL = 200
_DIGITS = 6


def _nearest(value: float) -> float:
    """Keep six significant digits, so that the last bits of a sum do not change the page."""
    return float(f"{value:.{_DIGITS}g}") + 0.0


def shorten(text: str) -> str:
    """Cut a label that is longer than any page can show."""
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 1] + "…"


Number = Annotated[float, AfterValidator(_nearest)]
Cost = Annotated[float, Field(ge=0), AfterValidator(stated_epsilon)]
Label = Annotated[str, AfterValidator(shorten)]
Count = Annotated[int, Field(ge=0)]


class Facts(BaseModel):
    """Plain data that cannot change and holds no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
