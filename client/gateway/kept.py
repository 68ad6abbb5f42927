"""What a silo keeps beside its ledger: the plans that it approved, and the results it was given.

Names of files are made from digests alone, never from what a plan or a result calls itself.
"""

from __future__ import annotations

import secrets
import shutil
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from silosynth.common.errors import CapExceeded, RequestConflict
from silosynth.common.files import create_file, make_directory, replace_file, sync_directory

FindSampler = Callable[[str], bytes | None]
"""Returns the sampler that was delivered under a plan, by the plan's digest."""
MAX_PLANS = 4096
PLANS = "plans"
PLAN, BUNDLE, SAMPLER = "plan.sealed", "result.bundle", "result.sampler"
DROPPED = "dropped.sha256"
"""Stands for a result that was dropped: the hash of its bundle."""


class KeepsRecords(Protocol):
    """Where a gateway keeps approved plans and results; see :class:`Records`."""

    def check_id(self, *, consumer: str, plan_id: str, digest: str) -> None:
        """Raise RequestConflict when a coordinator gave ``plan_id`` to another plan before."""

    def keep_plan(self, sealed: bytes, *, consumer: str, plan_id: str, digest: str) -> None:
        """Keep an approved plan, and its id for it."""

    def plan(self, digest: str) -> bytes | None:
        """Return the sealed bytes of an approved plan, if it is kept."""

    def keep_result(self, digest: str, *, bundle: bytes, sampler: bytes) -> object:
        """Keep the result of a plan."""

    def sampler(self, digest: str) -> bytes | None:
        """Return the sampler that was delivered under a plan, if it is kept."""


class Records:
    """Own the folders ``plans`` and ``results`` of a silo's directory.

    Guarantees: what is there is whole, and durable before a call returns; nothing is ever written
    over. A plan's id belongs to the first plan that a coordinator gave it to.
    """

    def __init__(
        self, directory: Path, *, max_plans: int = MAX_PLANS, beside: bool = False
    ) -> None:
        """Take a directory of the silo's own; its folders are made where they are missing.

        Args: beside: leave alone what a gateway that runs may be writing.
        """
        self._plans = directory / PLANS
        self._ids = directory / "plan-ids"
        self._results = directory / "results"
        self._max_plans = max_plans
        self._lock = threading.Lock()
        for folder in (self._plans, self._ids, self._results):
            make_directory(folder, mode=0o700)
            for left_over in () if beside else folder.glob(".new-*"):
                shutil.rmtree(left_over)

    def check_id(self, *, consumer: str, plan_id: str, digest: str) -> None:
        """Raise RequestConflict when a coordinator gave ``plan_id`` to another plan before."""
        owner = _read(self._ids / _id_name(consumer, plan_id) / "digest")
        if owner is not None and owner != digest.encode():
            raise RequestConflict(
                f"plan {plan_id} was approved here with other content",
                hint="give a new plan a new id",
            )

    def keep_plan(self, sealed: bytes, *, consumer: str, plan_id: str, digest: str) -> None:
        """Keep an approved plan, and its id for it; raise CapExceeded when there are too many."""
        with self._lock:
            self.check_id(consumer=consumer, plan_id=plan_id, digest=digest)
            if not (self._plans / _hex(digest) / PLAN).exists():
                if sum(1 for _ in self._plans.iterdir()) >= self._max_plans:
                    raise CapExceeded(f"this silo keeps at most {self._max_plans} plans")
                _write(self._plans, _hex(digest), {PLAN: sealed})
            if not (self._ids / _id_name(consumer, plan_id)).exists():
                _write(self._ids, _id_name(consumer, plan_id), {"digest": digest.encode()})

    def plan(self, digest: str) -> bytes | None:
        """Return the sealed bytes of an approved plan, if it is kept."""
        return _read(self._plans / _hex(digest) / PLAN)

    def keep_result(self, digest: str, *, bundle: bytes, sampler: bytes) -> Path:
        """Keep the result of a plan and return its folder.

        Raises RequestConflict when another result of the plan is kept already.
        """
        with self._lock:
            folder = self._results / _hex(digest)
            kept = _read(folder / BUNDLE)
            dropped = _read(folder / DROPPED)
            if dropped is not None:
                if dropped != sha256(bundle).hexdigest().encode():
                    raise RequestConflict("another result of this plan was delivered before")
            elif kept is None:
                _write(self._results, _hex(digest), {BUNDLE: bundle, SAMPLER: sampler})
            elif kept != bundle:
                raise RequestConflict("another result of this plan was delivered before")
            return folder

    def sampler(self, digest: str) -> bytes | None:
        """Return the sampler that was delivered under a plan, if it is kept."""
        return _read(self._results / _hex(digest) / SAMPLER)

    def old_results(self, *, before: datetime) -> tuple[Path, ...]:
        """Return the folders of results that were delivered before a time and are kept whole."""
        stamp = before.timestamp()
        found = (f for f in self._results.glob("[!.]*") if (f / BUNDLE).is_file())
        return tuple(sorted(f for f in found if (f / BUNDLE).stat().st_mtime < stamp))

    def drop_result(self, folder: Path) -> None:
        """Drop a result but for its hash, by which another result of its plan is still refused."""
        with self._lock:
            if not (folder / DROPPED).exists():
                digest = sha256((folder / BUNDLE).read_bytes()).hexdigest().encode()
                replace_file(folder / DROPPED, digest)
            for name in (SAMPLER, BUNDLE):
                (folder / name).unlink(missing_ok=True)

    def result(self, digest: str) -> Path | None:
        """Return the folder of a plan's result, if one is kept."""
        folder = self._results / _hex(digest)
        return folder if folder.is_dir() else None


def _hex(digest: str) -> str:
    """Return the 64 characters of a digest that was checked as one."""
    return digest.removeprefix("sha256:")


def _id_name(consumer: str, plan_id: str) -> str:
    """Return the name under which a coordinator's plan id is kept."""
    return sha256(f"{consumer}\0{plan_id}".encode()).hexdigest()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(parent: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write a folder of files whole and durably, or not at all."""
    new = parent / f".new-{secrets.token_hex(8)}"
    new.mkdir(mode=0o700)
    try:
        for file, data in files.items():
            create_file(new / file, data)
        new.rename(parent / name)
        sync_directory(parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
