"""Why a run waits for each silo, in words that tell the cases apart, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from silosynth.common.errors import InvalidArgument
from silosynth.common.files import replace_file
from silosynth.common.messages import Left
from silosynth.common.telemetry import log

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


class Watch:
    """Own why each silo is waited for, and tell whoever watches when that changes."""

    def __init__(self, tell: Callable[[Mapping[str, Waiting]], None]) -> None:
        """Take who is told; nobody is waited for yet."""
        self._tell = tell
        self._waiting: dict[str, Waiting] = {}
        self._told: dict[str, Waiting] = {}

    def begin(self, silos: Mapping[str, Standing]) -> None:
        """Wait for these silos, and for no others."""
        now = datetime.now(UTC)
        self._waiting = {silo: Waiting(what=what, since=now) for silo, what in silos.items()}

    def stand(self, silo: str, what: Standing, *, why: str | None = None) -> None:
        """Note why a silo that is waited for has not answered, and since when."""
        known = self._waiting.get(silo)
        if known is None or (known.what, known.why) == (what, why):
            return
        self._waiting[silo] = Waiting(what=what, since=datetime.now(UTC), why=why)
        if what is Standing.PENDING:
            log("waits-for-approval", silo=silo, why=why)

    def is_absent(self, silo: str) -> bool:
        """Tell whether a silo is waited for that has shown no sign of itself."""
        return silo in self._waiting and self._waiting[silo].what is Standing.ABSENT

    def heard(self, silo: str) -> None:
        """Wait for a silo no longer."""
        del self._waiting[silo]

    def tell(self) -> None:
        """Tell what has changed since the last time."""
        if self._waiting != self._told:
            self._told = dict(self._waiting)
            self._tell(self._told)


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


class Told(BaseModel):
    """What silos said last is left of budgets that their policies make public, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    at: datetime
    silos: dict[str, dict[str, Left]]


def keep_left(path: Path, silo: str, left: Mapping[str, Left]) -> None:
    """Write what one silo said beside what the others did; no file where nobody says anything."""
    known = read_left(path)
    silos = {} if known is None else dict(known.silos)
    if silos.pop(silo, None) or left:
        said = {silo: dict(left)} if left else {}
        told = Told(at=datetime.now(UTC), silos=silos | said)
        replace_file(path, told.model_dump_json(indent=1).encode() + b"\n")


def read_left(path: Path) -> Told | None:
    """Return what was written last; None where nothing was, or nothing that is understood."""
    try:
        return Told.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


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
