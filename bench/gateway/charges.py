"""Durable charges a second, beside the rate at which the disk syncs: it bounds them all.

    make bench-gateway-charges

measures beside this file (a file system in memory would flatter) or in the directory given, and
prints a table. ``charge_figures`` returns the same figures to other benchmarks.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.support.results import Figure, is_quick, publish
from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind

GATE = 500
THREADS = 16
REPETITIONS = 2 if is_quick() else 5
SECONDS = 1.0 if is_quick() else 3.0
SCOPES = tuple(Scope(kind=kind, name="bench") for kind in ScopeKind)


def charge_figures(directory: Path) -> tuple[Figure, ...]:
    """Measure in turns, so that a disk that slows down slows all of them; return medians."""
    syncs, alone, together = [], [], []
    for _ in range(REPETITIONS):
        syncs.append(syncs_a_second(directory, seconds=SECONDS))
        alone.append(charges_a_second(directory, threads=1, seconds=SECONDS))
        together.append(charges_a_second(directory, threads=THREADS, seconds=SECONDS))
    return (
        _figure("fdatasync of one page, by the disk", syncs),
        _figure("durable charges, 1 thread", alone),
        _figure(f"durable charges, {THREADS} threads", together, at_least=GATE),
    )


def charges_a_second(directory: Path, *, threads: int, seconds: float) -> float:
    """Charge new requests to three scopes from many threads; return those done a second."""
    with tempfile.TemporaryDirectory(dir=directory) as folder:
        path = Path(folder) / "ledger.sqlite"
        Ledger.create(path)
        with Ledger.open(path, caps=dict.fromkeys(SCOPES, 2**62)) as ledger:
            ledger.charge("warm", "h", cost_units=1)
            start = time.perf_counter()
            done = _charge_until(ledger, threads=threads, end=start + seconds)
            elapsed = time.perf_counter() - start
            if ledger.spent(SCOPES[0]) != done + 1:
                raise RuntimeError(f"{done + 1} charges were made, but another sum was spent")
    return done / elapsed


def syncs_a_second(directory: Path, *, seconds: float) -> float:
    """Write one page over and over, each time until it is on the disk."""
    page, done = os.urandom(4096), 0
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            os.pwrite(file.fileno(), page, 0)
            os.fdatasync(file.fileno())
            done += 1
    return done / elapsed


def _charge_until(ledger: Ledger, *, threads: int, end: float) -> int:
    """Charge from every thread until the end; return how many were charged."""
    done = [0] * threads

    def work(thread: int) -> None:
        while time.perf_counter() < end:
            ledger.charge(f"{thread}/{done[thread]}", "h", cost_units=1, facts={"plan": "p"})
            done[thread] += 1

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done)


def _figure(name: str, rates: list[float], *, at_least: float | None = None) -> Figure:
    return Figure(
        figure=name,
        value=statistics.median(rates),
        spread=(max(rates) - min(rates)) / 2,
        unit="a second",
        at_least=at_least,
    )


def main() -> int:
    """Print the figures, and keep them in results/gateway_charges.json."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    return publish("gateway_charges", charge_figures(directory), room="gateway")


if __name__ == "__main__":
    sys.exit(main())
