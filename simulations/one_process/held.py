"""What the silos of one process share: a schema, tables in memory, ledgers with one sync a phase.

For simulations alone, where one user runs all silos on one machine. In a deployment every charge
and every release is synced by itself, and nothing here is used.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import pyarrow as pa

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope
from silosynth.common.codec import Codec
from silosynth.common.errors import LedgerUnavailable, RequestConflict
from silosynth.common.plan import Plan

T = TypeVar("T")
_HELD_BYTES = 1 << 22
_MOST_REMEMBERED = 16


class Remembered:
    """Own what was worked out from bytes that all silos read, the newest few of it.

    Guarantees: a value is given again for an equal key alone, and an error is never kept.
    """

    def __init__(self, most: int = _MOST_REMEMBERED) -> None:
        """Take how many values are kept."""
        self._most = most
        self._known: dict[tuple[object, ...], object] = {}
        self._lock = threading.Lock()

    def __call__(self, key: tuple[object, ...], work: Callable[[], T]) -> T:
        """Return what ``work`` returns, or returned for an equal key before."""
        with self._lock:
            if key in self._known:
                return cast(T, self._known[key])
        value = work()
        with self._lock:
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = value
        return value


class HeldRecords:
    """Own what a simulated silo keeps beside its ledger, in memory: see :class:`Records`.

    A thousand silos of one process keep the same plan and result, which is one object in memory
    and would be a thousand files.
    """

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._plans: dict[str, bytes] = {}
        self._ids: dict[tuple[str, str], str] = {}
        self._results: dict[str, bytes] = {}
        self._samplers: dict[str, bytes] = {}

    def check_id(self, *, consumer: str, plan_id: str, digest: str) -> None:
        """Raise RequestConflict when a coordinator gave ``plan_id`` to another plan before."""
        if self._ids.get((consumer, plan_id), digest) != digest:
            raise RequestConflict(
                f"plan {plan_id} was approved here with other content",
                hint="give a new plan a new id",
            )

    def keep_plan(self, sealed: bytes, *, consumer: str, plan_id: str, digest: str) -> None:
        """Keep an approved plan, and its id for it."""
        self.check_id(consumer=consumer, plan_id=plan_id, digest=digest)
        self._plans.setdefault(digest, sealed)
        self._ids[consumer, plan_id] = digest

    def plan(self, digest: str) -> bytes | None:
        """Return the sealed bytes of an approved plan, if it is kept."""
        return self._plans.get(digest)

    def keep_result(self, digest: str, *, bundle: bytes, sampler: bytes) -> None:
        """Keep the result of a plan; raise RequestConflict when another one is kept already."""
        self._samplers.setdefault(digest, sampler)
        if self._results.setdefault(digest, bundle) != bundle:
            raise RequestConflict("another result of this plan was delivered before")

    def sampler(self, digest: str) -> bytes | None:
        """Return the sampler that was delivered under a plan, if it is kept."""
        return self._samplers.get(digest)


class HeldLedgers:
    """Own the ledgers of many silos in memory, and write them to their files when it is said.

    Guarantees: a file holds what it held, or the whole ledger of a later moment; what
    :meth:`settle` has written is still there after a loss of power.
    """

    def __init__(self) -> None:
        """Hold none."""
        self._open: dict[Path, Ledger] = {}
        self._written: dict[Path, str] = {}
        self._unsynced = False

    def open(self, path: Path, *, caps: Mapping[Scope, int]) -> Ledger:
        """Open a ledger's file in memory; raise LedgerUnavailable as :meth:`Ledger.open` does."""
        try:
            image = path.read_bytes()
        except FileNotFoundError as err:
            raise LedgerUnavailable(f"there is no ledger at {path}", hint="make one first") from err
        self._open[path] = Ledger.hold(image, path=path, caps=caps)
        return self._open[path]

    def settle(self, *, sync: bool = True) -> None:
        """Write what was added to each ledger since it was written, and sync once for all.

        Args: sync: False where another process syncs before anybody hears of an answer.
        """
        for path in self._open:
            self.write(path)
        if self._unsynced and sync:
            os.sync()
            self._unsynced = False

    def write_after(self, ledger: Path, path: Path, data: bytes) -> None:
        """Write a silo's file, its ledger before it where that has changed.

        A secret is dropped once what it masked is stored: a run that is stopped in between would
        find neither.
        """
        self.write(ledger)
        write_private(path, data)
        self._unsynced = True

    def write(self, path: Path) -> None:
        """Write a ledger whole where it has changed since it was written; nobody syncs here."""
        ledger = self._open[path]
        if ledger.head != self._written.get(path):
            write_private(path, ledger.image())
            self._written[path] = ledger.head
            self._unsynced = True

    def let_go(self, path: Path) -> None:
        """Forget a ledger that is settled, or is not to be: its file holds what it holds."""
        self._written.pop(path, None)
        if ledger := self._open.pop(path, None):
            ledger.close()

    def close(self) -> None:
        """Let all of them go; what was not settled is forgotten, as after a crash."""
        for ledger in self._open.values():
            ledger.close()
        self._open.clear()


@dataclass(frozen=True, slots=True, kw_only=True)
class OneProcess:
    """What the gateways of one process share; ``ledgers`` is None where each syncs by itself."""

    codec: Codec
    tables: Mapping[str, pa.Table] = field(default_factory=dict, repr=False)
    ledgers: HeldLedgers | None = None
    once: Remembered = field(default_factory=Remembered)


def fits_memory(plan: Plan) -> bool:
    """Say whether a plan's releases are small enough to write a silo's ledger whole each phase."""
    rounds = plan.training.rounds if plan.training else 1
    return 8 * rounds * sum(phase.cells for phase in plan.phases) <= _HELD_BYTES


def write_private(path: Path, data: bytes | pa.Buffer) -> None:
    """Write a file whole or not at all, for its owner alone."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(data)
    part.replace(path)
