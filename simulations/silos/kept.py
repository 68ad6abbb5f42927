"""Gateways of a worker's silos, opened when they are first asked and open until the worker ends.

Each is its silo's own, with a ledger of its own: what silos share here is a process and nothing
else, as in :mod:`silosynth.simulations.one_process`.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from silosynth.client.gateway import Gateway
from silosynth.common.codec import Codec
from silosynth.common.schema import load_schema
from silosynth.simulations.one_process import HeldLedgers, OneProcess
from silosynth.simulations.silos.directory import SiloDirectory, open_gateway

_CHANGES = 24
"""Where SQLite's files hold how often they were changed, in four bytes."""
Stamp = tuple[int, int, int, bytes]
Calls = Mapping[str, bytes]
"""What is asked of each silo, by its name."""


@dataclass(slots=True, kw_only=True)
class _Kept:
    """A gateway that is open, and which state of its ledger's file it goes on from."""

    gateway: Gateway
    closing: ExitStack
    stamp: Stamp


class KeptGateways:
    """Own the gateways of some silos of a run, in a process that others may work beside.

    Guarantees: an answer is returned once its charge is in the ledger's file, whole, so that a
    process that is killed forgets a charge and its release together; whoever waits for the answer
    syncs before it goes on. A ledger whose file has become another since is read anew, so two
    processes that both have a silo never charge on from different ledgers.
    """

    def __init__(self, directory: Path, *, held: bool) -> None:
        """Take the directory of all silos.

        Args: held: keep gateways open, with their ledgers in memory. Without it each is opened for
            one request, and its ledger syncs by itself: for releases that are large.
        """
        self._directory, self._held = directory, held
        self._shared: OneProcess | None = None
        self._open: dict[str, _Kept] = {}

    def answer(self, plan: bytes, requests: Calls) -> dict[str, bytes]:
        """Answer a request of each silo; one whose gateway cannot be opened is left out."""
        return self._each(requests, lambda gateway, it: gateway.answer(plan=plan, request=it))

    def agree(self, plan: bytes, steps: Calls) -> dict[str, bytes]:
        """Take a step towards a sum with each silo, as :meth:`answer` does."""
        return self._each(steps, lambda gateway, it: gateway.agree(plan=plan, step=it))

    def close(self) -> None:
        """Close all of them; what was answered is in their files."""
        for name in list(self._open):
            self._let_go(SiloDirectory(path=self._directory / name))

    def _each(self, asked: Calls, call: Callable[[Gateway, bytes], bytes]) -> dict[str, bytes]:
        answers = {}
        for name, data in asked.items():
            try:
                answers[name] = self._ask(name, data, call)
            except Exception:
                # Refusals are answers. What is left is a silo that does not work: it stays silent,
                # and its text, which may hold a value, goes nowhere.
                continue
        return answers

    def _ask(self, name: str, data: bytes, call: Callable[[Gateway, bytes], bytes]) -> bytes:
        """Ask one gateway one thing; a failure closes it, and its ledger is as it was."""
        silo = SiloDirectory(path=self._directory / name)
        shared = self._read_once(silo)
        if shared.ledgers is None:
            with open_gateway(silo, shared=shared) as gateway:
                return call(gateway, data)
        with alone_with(silo.ledger):
            try:
                kept = self._reach(silo, shared)
                answer = call(kept.gateway, data)
                shared.ledgers.write(silo.ledger)
                kept.stamp = _stamp(silo.ledger)
            except BaseException:
                self._let_go(silo)
                raise
        return answer

    def _read_once(self, silo: SiloDirectory) -> OneProcess:
        """Return what silos of a run share in a process: a schema, and what is read alike."""
        if self._shared is None:
            ledgers = HeldLedgers() if self._held else None
            self._shared = OneProcess(codec=Codec(load_schema(silo.schema)), ledgers=ledgers)
        return self._shared

    def _reach(self, silo: SiloDirectory, shared: OneProcess) -> _Kept:
        """Return a silo's gateway, opened anew where its ledger's file is not what it was."""
        stamp = _stamp(silo.ledger)
        kept = self._open.get(silo.name)
        if kept is not None and kept.stamp == stamp:
            return kept
        self._let_go(silo)
        with ExitStack() as stack:
            gateway = stack.enter_context(open_gateway(silo, shared=shared))
            kept = _Kept(gateway=gateway, closing=stack.pop_all(), stamp=stamp)
        self._open[silo.name] = kept
        return kept

    def _let_go(self, silo: SiloDirectory) -> None:
        """Close a silo's gateway and forget its ledger; the file holds what it holds."""
        if kept := self._open.pop(silo.name, None):
            kept.closing.close()
        if self._shared is not None and self._shared.ledgers is not None:
            self._shared.ledgers.let_go(silo.ledger)


def _stamp(path: Path) -> Stamp:
    """Return what tells a ledger's file from any that takes its place.

    Numbers of files are given again, and clocks of files may tick a hundred times a second: two
    charges within a tick leave a file that looks the same, but for how often it was changed.
    """
    found = path.stat()
    with path.open("rb") as file:
        file.seek(_CHANGES)
        return found.st_ino, found.st_mtime_ns, found.st_size, file.read(4)


@contextmanager
def alone_with(ledger: Path) -> Iterator[None]:
    """Let no other process have a silo's ledger meanwhile: each would write its own over it."""
    with ledger.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
