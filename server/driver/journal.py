"""The coordinator's append-only journal: what was asked and answered, in order, durably."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.files import make_directory, replace_file, sync_directory
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.tables import AnySchema
from silosynth.server.coordinator import (
    Absent,
    Acknowledged,
    Answered,
    Decided,
    Event,
    Fitted,
    Imagined,
    Mute,
    Silent,
    State,
    Stated,
    SumStage,
    Undecided,
    replay,
)

JOURNAL_VERSION = 1
LAST = "last.sampler"
"""The sampler that the run's plan renews, beside its journal."""

_RESTART = "start in a new directory"


class Journal:
    """Own a run's journal: ``journal.jsonl`` and one file for each answer's bytes.

    An answer's bytes are written and synced before the line that names them, so a crash leaves at
    worst bytes that no line names.
    """

    def __init__(self, directory: Path, *, plan_digest: str, durable: bool = True) -> None:
        """Open or make the journal in ``directory``; raise RunFailed if it is another plan's.

        Args: durable: False for simulations alone: what was recorded outlives the process and not
            a loss of power, after which a journal may be found damaged.
        """
        self._directory, self._durable = directory, durable
        make_directory(_answers(directory))
        self._lines, size = _read_lines(directory, plan_digest=plan_digest)
        self._file = _journal(directory).open("ab")
        self._file.truncate(size)
        if not self._lines:
            self._append({"version": JOURNAL_VERSION, "plan_digest": plan_digest})
            sync_directory(directory)

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

    @property
    def directory(self) -> Path:
        """Return where the journal lies."""
        return self._directory

    def events(self) -> Iterator[Event]:
        """Yield what was recorded before this journal was opened, in order.

        Raises RunFailed when a line or an answer is not what was written.
        """
        return _events(self._directory, self._lines)

    def record(self, event: Event) -> None:
        """Append an event and return once it is on disk."""
        line = _line(event)
        if isinstance(event, Answered | Decided | Stated | Imagined | Acknowledged):
            digest = hashlib.sha256(event.data).hexdigest()
            self._store(digest, event.data)
            line["sha256"] = digest
        self._append(dict(line))

    def _store(self, digest: str, data: bytes) -> None:
        """Write an answer under its digest, whole or not at all."""
        path = _answer_path(self._directory, digest)
        if self._durable:
            replace_file(path, data, mode=0o666)
            return
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)

    def _append(self, line: dict[str, str | int]) -> None:
        """Append one line, and sync where the journal is durable."""
        self._file.write(json.dumps(line, sort_keys=True).encode() + b"\n")
        self._file.flush()
        if self._durable:
            os.fsync(self._file.fileno())


def check_last(plan: Plan, last: bytes | None) -> None:
    """Raise InvalidArgument for a sampler that is not the one that a plan renews.

    So that a wrong one never takes the place of what a run keeps.
    """
    wanted = None if plan.renews is None else plan.renews.sampler
    if last is not None and digest_of(last) != wanted:
        raise InvalidArgument(
            f"plan {plan.id} renews no sampler"
            if wanted is None
            else f"plan {plan.id} renews another sampler than the one that was given",
            hint="leave --last out" if wanted is None else f"give the one of digest {wanted}",
        )


def keep_last(directory: Path, sampler: bytes) -> None:
    """Keep the sampler that a run renews beside its journal, durably, before anything is asked."""
    replace_file(directory / LAST, sampler)


def read_last(directory: Path, *, plan: Plan) -> bytes | None:
    """Return the sampler that a run renews; None where it renews none, or it is not there."""
    path = directory / LAST
    return path.read_bytes() if plan.renews is not None and path.is_file() else None


def read_state(directory: Path, *, plan: Plan, schema: AnySchema) -> State:
    """Return where a run stands: its journal played again, beside the sampler that it renews.

    It gives what it gave, so nothing is asked and nothing is spent.
    """
    events = read_events(directory, plan_digest=plan.digest)
    return replay(plan, schema, events, last=read_last(directory, plan=plan))[0]


def read_events(directory: Path, *, plan_digest: str) -> tuple[Event, ...]:
    """Return what a journal holds without touching it: another process may be writing."""
    lines, _ = _read_lines(directory, plan_digest=plan_digest)
    return tuple(_events(directory, lines))


def read_lines(directory: Path, *, offset: int) -> tuple[list[Mapping[str, str]], int]:
    """Return the whole lines of a journal after ``offset`` bytes, and where the next one begins.

    Nothing is checked and no answer is opened: it is for who looks often at one that grows.
    """
    path = _journal(directory)
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], offset + len(whole)


def read_answer(directory: Path, digest: str) -> bytes:
    """Return the bytes of an answer that a line names; raise RunFailed where they were changed."""
    return _load(directory, digest)


def _events(directory: Path, lines: Sequence[Mapping[str, str]]) -> Iterator[Event]:
    """Yield the events that lines stand for."""
    for line in lines[1:]:
        try:
            event = _event(directory, line)
        except (KeyError, ValueError, TypeError, OSError) as err:
            raise RunFailed(f"{_journal(directory)}: is damaged", hint=_RESTART) from err
        yield event


def _line(event: Event) -> dict[str, str]:
    """Return the line for an event, without the digest of its bytes."""
    match event:
        case Answered() | Absent():
            name = type(event).__name__.lower()
            return {"event": name, "phase": event.phase.value, "silo": event.silo}
        case Stated() | Mute():
            return {
                "event": type(event).__name__.lower(),
                "asked": event.asked.value,
                "session": str(event.session),
                "silo": event.silo,
            }
        case Imagined():
            return {"event": "imagined", "phase": event.phase.value}
        case Fitted():
            return {"event": "fitted", "sampler": event.sampler_digest}
        case Decided() | Acknowledged() | Undecided() | Silent():
            return {"event": type(event).__name__.lower(), "silo": event.silo}


def _event(directory: Path, line: Mapping[str, str]) -> Event:
    """Return the event that a line stands for."""
    match line["event"]:
        case "answered":
            data = _load(directory, line["sha256"])
            return Answered(phase=PhaseName(line["phase"]), silo=line["silo"], data=data)
        case "absent":
            return Absent(phase=PhaseName(line["phase"]), silo=line["silo"])
        case "imagined":
            data = _load(directory, line["sha256"])
            return Imagined(phase=PhaseName(line["phase"]), data=data)
        case "fitted":
            return Fitted(sampler_digest=line["sampler"])
        case "decided":
            return Decided(silo=line["silo"], data=_load(directory, line["sha256"]))
        case "stated" | "mute":
            return _statement(directory, line)
        case "undecided":
            return Undecided(silo=line["silo"])
        case "acknowledged":
            return Acknowledged(silo=line["silo"], data=_load(directory, line["sha256"]))
        case "silent":
            return Silent(silo=line["silo"])
    raise ValueError("unknown event")


def _statement(directory: Path, line: Mapping[str, str]) -> Event:
    """Return what a silo said, or not, on the way to a sum."""
    asked, session, silo = SumStage(line["asked"]), int(line["session"]), line["silo"]
    if line["event"] == "mute":
        return Mute(asked=asked, session=session, silo=silo)
    data = _load(directory, line["sha256"])
    return Stated(asked=asked, session=session, silo=silo, data=data)


def _load(directory: Path, digest: str) -> bytes:
    """Return the bytes of an answer; raise RunFailed when they are not what was written."""
    path = _answer_path(directory, digest)
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise RunFailed(f"{path}: was changed after the run")
    return data


def _read_lines(directory: Path, *, plan_digest: str) -> tuple[list[dict[str, str]], int]:
    """Read whole lines; return them and where a line begins that a crash left unfinished."""
    path = _journal(directory)
    if not path.exists():
        return [], 0
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
    except ValueError as err:
        raise RunFailed(f"{path}: is damaged", hint=_RESTART) from err
    if lines and lines[0].get("version") != JOURNAL_VERSION:
        raise RunFailed(f"{path}: was written by another version of silosynth")
    if lines and lines[0].get("plan_digest") != plan_digest:
        raise RunFailed(
            f"{path}: belongs to a run of another plan", hint="choose another directory"
        )
    return lines, len(whole)


def _journal(directory: Path) -> Path:
    """Return where the lines lie."""
    return directory / "journal.jsonl"


def _answers(directory: Path) -> Path:
    """Return where the bytes of answers lie."""
    return directory / "answers"


def _answer_path(directory: Path, digest: str) -> Path:
    """Return where the bytes of one answer lie."""
    return _answers(directory) / f"{digest}.release"
