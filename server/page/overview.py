"""All runs of a home, told again without reading again what has not changed."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock

from silosynth.common.certificate import Certificate
from silosynth.common.messages import Left
from silosynth.common.plan import load_plan
from silosynth.server.federation import (
    Begun,
    Ended,
    RunFiles,
    RunState,
    Waiting,
    find_run,
    read_ended,
    read_left,
    read_standing,
    runs_directory,
)
from silosynth.server.page.progress import JournalReader

_MOST_READERS = 64
_Stamp = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run as it stands."""

    files: RunFiles
    begun: Begun
    ended: Ended

    @property
    def is_open(self) -> bool:
        """Tell whether more will come of it by itself."""
        return self.ended.state in (RunState.RUNNING, RunState.QUEUED)


class Overview:
    """Own what was read of the runs of a home."""

    def __init__(self, home: Path) -> None:
        """Begin with nothing read."""
        self.home = home
        self._lock = Lock()
        self._known: dict[str, tuple[_Stamp, Seen]] = {}
        self._readers: OrderedDict[str, JournalReader] = OrderedDict()
        self._certificates: dict[str, Certificate] = {}

    def runs(self) -> list[Seen]:
        """Return every run, newest first."""
        directory = runs_directory(self.home)
        with self._lock:
            found = {n: self._look(directory / n) for n in _names(directory)}
            seen = {name: run for name, run in found.items() if run is not None}
            self._known = {n: k for n, k in self._known.items() if n in seen}
        return sorted(seen.values(), key=lambda run: run.begun.started, reverse=True)

    def find(self, run_id: str) -> Seen:
        """Return one run; raise InvalidArgument where there is none."""
        files, begun = find_run(self.home, run_id)
        return Seen(files=files, begun=begun, ended=read_ended(files))

    def reader(self, run: Seen) -> JournalReader:
        """Return a run's journal as far as it is written now."""
        with self._lock:
            reader = self._readers.pop(run.files.id, None)
            if reader is None:
                reader = JournalReader(run.files, load_plan(run.files.plan))
            reader.read()
            self._readers[run.files.id] = reader
            while len(self._readers) > _MOST_READERS:
                self._readers.popitem(last=False)
        return reader

    def waiting(self, run: Seen) -> Mapping[str, Waiting]:
        """Return for whom a run waits, while it runs."""
        if run.ended.state is not RunState.RUNNING:
            return {}
        return read_standing(run.files.standing)

    def left(self) -> list[tuple[str, str, Left, datetime]]:
        """Return silo, project and what the silo said last is left, of budgets that are public."""
        last: dict[tuple[str, str], tuple[Left, datetime]] = {}
        for run in self.runs()[:_MOST_READERS]:
            told = read_left(run.files.left)
            if told is not None:
                for silo, projects in told.silos.items():
                    for project, left in projects.items():
                        last.setdefault((silo, project), (left, told.at))
        return [(*key, *said) for key, said in sorted(last.items())]

    def certificate(self, run: Seen) -> Certificate | None:
        """Return what a run promises, once it has ended well."""
        if run.ended.state is not RunState.COMPLETED or not run.files.certificate.is_file():
            return None
        known = self._certificates.get(run.files.id)
        if known is None:
            known = Certificate.model_validate_json(run.files.certificate.read_bytes())
            self._certificates[run.files.id] = known
        return known

    def mark(self) -> str:
        """Return all that may be shown, in short: it changes when a file of a run does."""
        told = hashlib.sha256()
        for run in self.runs():
            names = ("journal.jsonl", "standing.json", "left.json") if run.is_open else ()
            stamps = [_stamp(run.files.path / name) for name in names]
            told.update(f"{run.files.id} {run.ended.state.value} {stamps}\n".encode())
        return told.hexdigest()[:16]

    def _look(self, path: Path) -> Seen | None:
        """Return a run, read again where how it ended was written or may be being written."""
        stamp, known = _stamp(path / "outcome.json"), self._known.get(path.name)
        if known is not None and known[0] == stamp and not _may_move(known[1].ended.state):
            return known[1]
        files = RunFiles(path=path)
        if known is None and not files.begun.is_file():
            return None
        begun = known[1].begun if known is not None else find_run(self.home, path.name)[1]
        seen = Seen(files=files, begun=begun, ended=read_ended(files))
        self._known[path.name] = (stamp, seen)
        return seen


def _may_move(state: RunState) -> bool:
    """Tell whether a run's state changes without a file that says so: by its lock."""
    return state in (RunState.RUNNING, RunState.INTERRUPTED, RunState.QUEUED)


def _names(directory: Path) -> list[str]:
    """Return the names of the folders of runs."""
    try:
        with os.scandir(directory) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _stamp(path: Path) -> _Stamp:
    """Return when a file was written and how long it is; zeros where it is not."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
