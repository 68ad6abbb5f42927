"""Encoded columns on disk, so that a table is decoded once and may be larger than memory.

The files hold private rows as codes: they lie in the gateway's own directory, for its user alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from silosynth.client.source.caches.file_state import FileState
from silosynth.client.source.caches.held import Lifetime, Moment
from silosynth.common.codec import code_dtype
from silosynth.common.domain import Domain

_VERSION = 2
_FACTS = "codes.json"
_PLACES = "codes-*"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stored:
    """Codes mapped from disk, and when the rows that they were made of were read."""

    columns: tuple[np.ndarray, ...] = field(repr=False)
    read_at: float


class CodeCache:
    """Write one table's codes column by column, and map them back into memory.

    Guarantees: what is not complete is never read: the directory gets its name at the end. Codes of
    another content are removed, so that rows do not outlive the table that they were deleted from.
    """

    def __init__(
        self, directory: Path, *, key: str, domain: Domain, moment: Moment, lifetime: Lifetime
    ) -> None:
        """Name the place in ``directory``, one table's own; nothing is read or written yet."""
        digest = hashlib.sha256(f"{_VERSION} {key}".encode()).hexdigest()[:32]
        self._place = directory / f"codes-{digest}"
        self._partial = directory / f"codes-{digest}.{os.getpid()}.tmp"
        self._domain = domain
        self._moment = moment
        self._lifetime = lifetime
        self._files: list[BinaryIO] = []
        self._rows = 0

    def load(self) -> Stored | None:
        """Return the codes mapped from disk, or None when they are not all there, or too old."""
        facts = _read_facts(self._place)
        if facts is None or not self._lifetime.lasts(facts.moment):
            return None
        try:
            sizes = [(self._place / f"{i}.u").stat().st_size for i in range(len(self._kinds))]
        except OSError:
            return None
        rows = facts.rows
        if sizes != [rows * kind.itemsize for kind in self._kinds]:
            return None
        # As plain arrays: each slice and sum of a np.memmap costs microseconds more.
        columns = tuple(
            np.asarray(np.memmap(self._place / f"{i}.u", dtype=kind, mode="r", shape=(rows,)))
            if rows
            else np.zeros(0, dtype=kind)
            for i, kind in enumerate(self._kinds)
        )
        inside = zip(columns, self._domain.shape, strict=True)
        if not all(not len(c) or int(c.max()) < size for c, size in inside):
            return None
        for other in set(self._place.parent.glob(_PLACES)) - {self._place}:
            shutil.rmtree(other, ignore_errors=True)
        return Stored(columns=columns, read_at=facts.moment.read_at)

    def append(self, codes: Sequence[np.ndarray]) -> None:
        """Write the codes of further rows."""
        if not self._files:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(mode=0o700, parents=True)
            self._files = [_create(self._partial / f"{i}.u") for i in range(len(self._kinds))]
        for file, column, kind in zip(self._files, codes, self._kinds, strict=True):
            file.write(np.ascontiguousarray(column, dtype=kind).data)
        self._rows += len(codes[0]) if codes else 0

    def finish(self) -> Stored | None:
        """Give the directory its name, and return the codes mapped from it."""
        if not self._files:
            return None
        for file in self._files:
            file.close()
        with _create(self._partial / _FACTS) as file:
            file.write(_spell_facts(self._rows, self._moment))
        self._files = []
        shutil.rmtree(self._place, ignore_errors=True)
        self._partial.rename(self._place)
        return self.load()

    def drop(self) -> None:
        """Remove what was appended and not finished; nothing when nothing was."""
        for file in self._files:
            file.close()
        self._files = []
        shutil.rmtree(self._partial, ignore_errors=True)

    @property
    def _kinds(self) -> list[np.dtype[np.unsignedinteger]]:
        return [code_dtype(size) for size in self._domain.shape]


def forget_codes(directory: Path, *, lifetime: Lifetime | None) -> None:
    """Remove the codes of rows whose files have changed or whose time is up; all without lifetime.

    So are those that a process left half written. No count may be under way.
    """
    for place in directory.glob(_PLACES):
        facts = _read_facts(place)
        if lifetime is None or facts is None or not lifetime.holds(facts.moment, plan=None):
            shutil.rmtree(place, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What stands beside codes: their number, and when and of which files they were read."""

    rows: int
    moment: Moment


def _spell_facts(rows: int, moment: Moment) -> bytes:
    """Return what is written beside codes."""
    state = moment.state or FileState(stamps=())
    facts = {"version": _VERSION, "rows": rows, "read_at": moment.read_at}
    return json.dumps(facts | {"stamps": state.stamps, "digest": state.digest}).encode()


def _read_facts(place: Path) -> _Facts | None:
    """Return what stands beside codes; None when it is not all there, or of another version."""
    try:
        facts = json.loads((place / _FACTS).read_text())
        if facts["version"] != _VERSION:
            return None
        stamps = tuple((str(s[0]), *map(int, s[1:])) for s in facts["stamps"])
        state = FileState(stamps=stamps, digest=facts["digest"])  # type: ignore[arg-type]  # six
        moment = Moment(state=state, plan=None, read_at=float(facts["read_at"]))
        return _Facts(rows=int(facts["rows"]), moment=moment)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _create(path: Path) -> BinaryIO:
    """Open a new file that its owner alone may read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
