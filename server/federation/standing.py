"""Why a run waits for each silo, in words that tell the cases apart, for whoever watches."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from silosynth.common.errors import InvalidArgument
from silosynth.common.files import replace_file

_MOST_WORDS = 300


class Standing(StrEnum):
    """What a silo that has not answered is doing, as far as the coordinator can tell."""

    ABSENT = "not connected"
    GATEWAY_AWAY = "connected, but its gateway does not answer"
    ASKED = "asked"
    PENDING = "waits for a person there"


class Waiting(BaseModel):
    """One silo's standing; ``why`` is what the silo itself says of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: Standing
    since: datetime
    why: str | None = None

    def words(self) -> str:
        """Say it in one line."""
        said = f"{self.what.value} since {self.since:%Y-%m-%d %H:%M:%S}"
        return f"{said}: {self.why}" if self.why else said


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    silos: Mapping[str, Waiting]


def printable(text: str | None) -> str | None:
    """Return what another party said as one line that no terminal obeys."""
    if not text:
        return None
    return "".join(c if c.isprintable() else " " for c in text)[:_MOST_WORDS]


def keep_standing(path: Path, silos: Mapping[str, Waiting]) -> None:
    """Write the standing of the silos that are waited for, whole or not at all."""
    replace_file(path, _Kept(silos=silos).model_dump_json(indent=1).encode() + b"\n")


def read_standing(path: Path) -> Mapping[str, Waiting]:
    """Return what was written last; nothing where nothing was.

    Raises InvalidArgument for a file that is damaged or of another version.
    """
    if not path.is_file():
        return {}
    try:
        return _Kept.model_validate_json(path.read_bytes()).silos
    except ValidationError:
        raise InvalidArgument(f"{path} is damaged, or of another version") from None


def summarise(silos: Mapping[str, Waiting]) -> str:
    """Say in one line for whom a run waits and why; nothing while all are merely asked."""
    groups: dict[Standing, list[str]] = {}
    for silo, waiting in silos.items():
        groups.setdefault(waiting.what, []).append(silo)
    return "; ".join(
        f"{what.value}: {', '.join(groups[what])}"
        for what in Standing
        if what in groups and what is not Standing.ASKED
    )
