"""A disk that forgets: what is left of a directory when the power goes.

A file keeps what it held when it was last synced, a directory the names that it held when it was
last synced; everything else is lost, which is the worst that a file system may do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Disk:
    """Own what has been synced below ``root``; ``root`` itself was there before."""

    root: Path
    contents: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, dict[str, tuple[int, bool]]] = field(default_factory=dict)

    def synced(self, descriptor: int) -> None:
        """Note what an open file or directory holds now."""
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        inode = os.fstat(descriptor).st_ino
        if path.is_dir():
            self.names[inode] = {
                entry.name: (entry.inode(), entry.is_dir(follow_symlinks=False))
                for entry in os.scandir(path)
            }
        else:
            self.contents[inode] = path.read_bytes()

    def after_loss(self, target: Path) -> Path:
        """Write what is left of ``root`` to ``target`` and return it."""
        self._restore(self.root.stat().st_ino, target)
        return target

    def _restore(self, inode: int, target: Path) -> None:
        target.mkdir()
        for name, (child, is_directory) in self.names.get(inode, {}).items():
            if is_directory:
                self._restore(child, target / name)
            else:
                (target / name).write_bytes(self.contents.get(child, b""))


@contextmanager
def forgetful_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """Watch every sync below ``root`` while the block runs."""
    disk, sync = Disk(root), os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        disk.synced(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", watched)
        yield disk
