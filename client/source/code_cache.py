"""Encoded columns on disk, so that a table is decoded once and may be larger than memory.

The files hold private rows as codes: they lie in the gateway's own directory, for its user alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from silosynth.common.codec.notes import code_dtype
from silosynth.common.domain import Domain

_VERSION = 1
_FACTS = "codes.json"


class CodeCache:
    """Write one table's codes column by column, and map them back into memory.

    Guarantees: what is not complete is never read: the directory gets its name at the end. Codes of
    another content are removed, so that rows do not outlive the table that they were deleted from.
    """

    def __init__(self, directory: Path, *, key: str, domain: Domain) -> None:
        """Name the place in ``directory``, one table's own; nothing is read or written yet."""
        digest = hashlib.sha256(f"{_VERSION} {key}".encode()).hexdigest()[:32]
        self._place = directory / f"codes-{digest}"
        self._partial = directory / f"codes-{digest}.{os.getpid()}.tmp"
        self._domain = domain
        self._files: list[BinaryIO] = []
        self._rows = 0

    def load(self) -> tuple[np.ndarray, ...] | None:
        """Return the codes mapped from disk, or None when they are not all there."""
        try:
            facts = json.loads((self._place / _FACTS).read_text())
            rows = int(facts["rows"])
            sizes = [(self._place / f"{i}.u").stat().st_size for i in range(len(self._kinds))]
        except (OSError, ValueError, KeyError, TypeError):
            return None
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
        for other in set(self._place.parent.glob("codes-*")) - {self._place}:
            shutil.rmtree(other, ignore_errors=True)
        return columns

    def append(self, codes: Sequence[np.ndarray]) -> None:
        """Write the codes of further rows."""
        if not self._files:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(mode=0o700, parents=True)
            self._files = [_create(self._partial / f"{i}.u") for i in range(len(self._kinds))]
        for file, column, kind in zip(self._files, codes, self._kinds, strict=True):
            file.write(np.ascontiguousarray(column, dtype=kind).data)
        self._rows += len(codes[0]) if codes else 0

    def finish(self) -> tuple[np.ndarray, ...] | None:
        """Give the directory its name, and return the codes mapped from it."""
        if not self._files:
            return None
        for file in self._files:
            file.close()
        with _create(self._partial / _FACTS) as file:
            file.write(json.dumps({"version": _VERSION, "rows": self._rows}).encode())
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


def file_digest(paths: Sequence[Path]) -> str:
    """Return the hash of some files' contents, in order."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def _create(path: Path) -> BinaryIO:
    """Open a new file that its owner alone may read."""
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")
