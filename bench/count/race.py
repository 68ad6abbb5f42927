"""Run contenders in turn, round by round, and compare every table that they count."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.count.data import SHAPE
from bench.peers.run import PEERS, ROOT

PYTHON = PEERS / "count" / "bin" / "python"
Run = Callable[[], tuple[float, float, list[np.ndarray]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Wall and processor seconds of each round."""

    wall: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def best(self) -> float:
        """Return the least wall time: what the machine can do when it is let."""
        return min(self.wall)

    @property
    def spread(self) -> float:
        """Return half the range of the wall times."""
        return (max(self.wall) - min(self.wall)) / 2


def timed(work: Callable[[], list[np.ndarray]]) -> Run:
    """Return a run of our own code, timed."""

    def run() -> tuple[float, float, list[np.ndarray]]:
        start, cpu = time.perf_counter(), time.process_time()
        tables = work()
        return time.perf_counter() - start, time.process_time() - cpu, tables

    return run


def race(
    contenders: Mapping[str, Run], *, rounds: int, once: Sequence[str] = ()
) -> dict[str, Times]:
    """Run every contender in each round, those in ``once`` in the first alone.

    Raises SystemExit when any table of any round differs.
    """
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    expected: np.ndarray | None = None
    for number in range(rounds):
        for name, run in contenders.items():
            if number and name in once:
                continue
            seconds, cpu_seconds, tables = run()
            wall[name].append(seconds)
            cpu[name].append(cpu_seconds)
            flat = np.concatenate(tables)
            expected = flat if expected is None else expected
            if not np.array_equal(flat, expected):
                raise SystemExit(f"{name} counted other tables")
    return {name: Times(wall=tuple(wall[name]), cpu=tuple(cpu[name])) for name in contenders}


@contextmanager
def peers(names: Sequence[str], directory: Path, *, rows: int) -> Iterator[dict[str, Peer]]:
    """Start a process for each peer, and end them afterwards."""
    if not (PYTHON.parents[1] / "READY").exists():
        raise SystemExit("the peers are not set up; run 'python bench/peers/setup.py count'")
    with ExitStack() as stack:
        yield {n: stack.enter_context(_peer(n, directory, rows=rows)) for n in names}


class Peer:
    """A process that holds the data and counts when it is told to."""

    def __init__(self, process: subprocess.Popen[str], out: Path) -> None:
        self._process = process
        self._out = out

    def task(self, **task: Any) -> Run:
        """Return a run of a task."""

        def run() -> tuple[float, float, list[np.ndarray]]:
            answer = self.ask({"out": str(self._out), **task})
            return answer["seconds"], answer["cpu"], [np.load(self._out)]

        return run

    def ask(self, task: dict[str, Any] | None) -> dict[str, Any]:
        """Send a task and wait for the answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise SystemExit("the peer has no pipes")
        if task is not None:
            self._process.stdin.write(json.dumps(task) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a peer ended; its errors stand above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def _peer(name: str, directory: Path, *, rows: int) -> Iterator[Peer]:
    shape = json.dumps(list(SHAPE))
    command: list[str | Path] = [
        PYTHON,
        "-m",
        "bench.count.peer",
        name,
        directory,
        str(rows),
        shape,
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        peer = Peer(process, directory / f"{name}.out.npy")
        peer.ask(None)
        try:
            yield peer
        finally:
            process.kill()
