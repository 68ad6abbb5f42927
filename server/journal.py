"""The coordinator's append-only journal: what was asked and answered, in order, durably."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from silosynth.common.errors import RunFailed
from silosynth.common.plan import PhaseName
from silosynth.server.state import (
    Absent,
    Acknowledged,
    Answered,
    Decided,
    Event,
    Fitted,
    Mute,
    Silent,
    Stated,
    SumStage,
    Undecided,
)

JOURNAL_VERSION = 1
_RESTART = "start in a new directory"


class Journal:
    """Own a run's journal: ``journal.jsonl`` and one file for each answer's bytes.

    An answer's bytes are written and synced before the line that names them, so a crash leaves at
    worst bytes that no line names.
    """

    def __init__(self, directory: Path, *, plan_digest: str) -> None:
        """Open or make the journal in ``directory``; raise RunFailed if it is another plan's."""
        self._answers = directory / "answers"
        self._answers.mkdir(parents=True, exist_ok=True)
        self._path = directory / "journal.jsonl"
        self._plan_digest = plan_digest
        self._lines = self._read()
        self._file = self._path.open("ab")
        if not self._lines:
            self._append({"version": JOURNAL_VERSION, "plan_digest": plan_digest})

    def __enter__(self) -> Self:
        """Return the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._file.close()

    def events(self) -> Iterator[Event]:
        """Yield what was recorded before this journal was opened, in order.

        Raises RunFailed when a line or an answer is not what was written.
        """
        for line in self._lines[1:]:
            try:
                event = self._event(line)
            except (KeyError, ValueError, TypeError, OSError) as err:
                raise RunFailed(f"{self._path}: is damaged", hint=_RESTART) from err
            yield event

    def record(self, event: Event) -> None:
        """Append an event and return once it is on disk."""
        match event:
            case Answered():
                line = {"event": "answered", "phase": event.phase.value, "silo": event.silo}
            case Absent():
                line = {"event": "absent", "phase": event.phase.value, "silo": event.silo}
            case Stated() | Mute():
                line = {
                    "event": type(event).__name__.lower(),
                    "asked": event.asked.value,
                    "session": str(event.session),
                    "silo": event.silo,
                }
            case Fitted():
                line = {"event": "fitted", "sampler": event.sampler_digest}
            case Decided() | Acknowledged() | Undecided() | Silent():
                line = {"event": type(event).__name__.lower(), "silo": event.silo}
        if isinstance(event, Answered | Decided | Stated | Acknowledged):
            digest = hashlib.sha256(event.data).hexdigest()
            self._store(digest, event.data)
            line["sha256"] = digest
        self._append(dict(line))

    def _event(self, line: dict[str, str]) -> Event:
        """Return the event that a line stands for."""
        match line["event"]:
            case "answered":
                phase = PhaseName(line["phase"])
                return Answered(phase=phase, silo=line["silo"], data=self._load(line["sha256"]))
            case "absent":
                return Absent(phase=PhaseName(line["phase"]), silo=line["silo"])
            case "fitted":
                return Fitted(sampler_digest=line["sampler"])
            case "decided":
                return Decided(silo=line["silo"], data=self._load(line["sha256"]))
            case "stated" | "mute":
                return self._statement(line)
            case "undecided":
                return Undecided(silo=line["silo"])
            case "acknowledged":
                return Acknowledged(silo=line["silo"], data=self._load(line["sha256"]))
            case "silent":
                return Silent(silo=line["silo"])
        raise ValueError("unknown event")

    def _statement(self, line: dict[str, str]) -> Event:
        """Return what a silo said, or not, on the way to a sum."""
        asked, session = SumStage(line["asked"]), int(line["session"])
        if line["event"] == "mute":
            return Mute(asked=asked, session=session, silo=line["silo"])
        data = self._load(line["sha256"])
        return Stated(asked=asked, session=session, silo=line["silo"], data=data)

    def _load(self, digest: str) -> bytes:
        """Return the bytes of an answer; raise RunFailed when they are not what was written."""
        data = self._answer_path(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise RunFailed(f"{self._answer_path(digest)}: was changed after the run")
        return data

    def _store(self, digest: str, data: bytes) -> None:
        """Write an answer under its digest, whole or not at all."""
        path = self._answer_path(digest)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)

    def _append(self, line: dict[str, str | int]) -> None:
        """Append one line and sync."""
        self._file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> list[dict[str, str]]:
        """Read whole lines; cut off a last line that a crash left unfinished."""
        if not self._path.exists():
            return []
        data = self._path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with self._path.open("r+b") as file:
                file.truncate(len(whole))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
        except ValueError as err:
            raise RunFailed(f"{self._path}: is damaged", hint=_RESTART) from err
        if lines and lines[0].get("version") != JOURNAL_VERSION:
            raise RunFailed(f"{self._path}: was written by another version of silosynth")
        if lines and lines[0].get("plan_digest") != self._plan_digest:
            raise RunFailed(
                f"{self._path}: belongs to a run of another plan", hint="choose another directory"
            )
        return lines

    def _answer_path(self, digest: str) -> Path:
        """Return where the bytes of an answer lie."""
        return self._answers / f"{digest}.release"
