"""A gate: what an evaluation must reach for a table to pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from silosynth.common.document import load_document
from silosynth.common.errors import InvalidArgument
from silosynth.common.report import Measure


class Bar(BaseModel):
    """One bar: a measure by name, and the least or the most that passes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    target: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a bar needs at_least or at_most")
        return self


class Gate(BaseModel):
    """Bars that must all be passed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, le=1)
    bars: tuple[Bar, ...] = Field(min_length=1)


def load_gate(path: Path) -> Gate:
    """Read a gate in YAML or JSON; raise InvalidArgument naming the fault."""
    try:
        return Gate.model_validate(load_document(path))
    except ValidationError as err:
        fault = err.errors()[0]
        where = ".".join(map(str, fault["loc"])) or "gate"
        raise InvalidArgument(
            f"{path}: {where}: {fault['msg']}",
            hint="write 'version: 1' and 'bars:', each with name and at_least or at_most",
        ) from err


def hold_gate(gate: Gate, measures: Sequence[Measure]) -> tuple[str, ...]:
    """Return one line for each bar that is not passed.

    Raises InvalidArgument for a bar whose measure was not taken: a gate that is never looked at
    would always be open.
    """
    missed = []
    for bar in gate.bars:
        for measure in _measures(bar, measures):
            about = f" of {measure.target}" if measure.target else ""
            if bar.at_least is not None and measure.value < bar.at_least:
                missed.append(f"{bar.name}{about}: {measure.value:g} is below {bar.at_least:g}")
            if bar.at_most is not None and measure.value > bar.at_most:
                missed.append(f"{bar.name}{about}: {measure.value:g} is above {bar.at_most:g}")
    return tuple(missed)


def _measures(bar: Bar, measures: Sequence[Measure]) -> list[Measure]:
    """Return the measures that a bar names; of all targets unless it names one."""
    found = [m for m in measures if m.name == bar.name and bar.target in (None, m.target)]
    if not found:
        names = sorted({m.name for m in measures})
        raise InvalidArgument(
            f"the gate names {bar.name!r}, which was not measured",
            hint=f"measured were: {', '.join(names)}",
        )
    return found
