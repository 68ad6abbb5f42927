"""Run a command and watch the resident memory of it and of everything that it starts (Linux)."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_INTERVAL_SECONDS = 0.2
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """How a command went. ``peak_bytes`` sums resident sets, so shared pages count once each.

    Where it was asked for, pages are counted for what each process has of them instead.
    ``cpu_seconds`` are of it and of those that it waited for.
    """

    returncode: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    error: str


def watch(
    command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, shared: bool = False
) -> Watched:
    """Run ``command`` to its end; its output is dropped, except for the end of its errors.

    Args: shared: divide a page by the processes that share it: looked at twice in a second alone,
        for the kernel walks all pages for it.
    """
    start, before = time.perf_counter(), _children_seconds()
    peak, interval = 0, 0.5 if shared else _INTERVAL_SECONDS
    with subprocess.Popen(
        command,
        env={**os.environ, **(env or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while True:
                peak = max(peak, tree_bytes(process.pid, shared=shared))
                try:
                    _, error = process.communicate(timeout=interval)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.kill()
    return Watched(
        returncode=process.returncode,
        seconds=time.perf_counter() - start,
        cpu_seconds=_children_seconds() - before,
        peak_bytes=peak,
        error=error[-2000:],
    )


def _children_seconds() -> float:
    """Return the CPU that children took which were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tree_bytes(root: int, *, shared: bool = False) -> int:
    """Return the sum of the resident sets of a process and all its descendants.

    Args: shared: a page that several have counts for each as a part.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            parents[int(entry.name)], resident[int(entry.name)] = int(fields[1]), int(fields[21])
    family = [pid for pid in parents if _descends(pid, root, parents)]
    if shared:
        return sum(_proportional(pid) for pid in family)
    return page * sum(resident[pid] for pid in family)


def tree_seconds(root: int) -> dict[int, float]:
    """Return the CPU seconds that a process and each of its descendants took, by process."""
    tick = os.sysconf("SC_CLK_TCK")
    known = {int(e.name): _stat(e) for e in _PROC.iterdir() if e.name.isdigit()}
    parents = {pid: int(fields[1]) for pid, fields in known.items() if fields}
    return {
        pid: (int(known[pid][11]) + int(known[pid][12])) / tick
        for pid in parents
        if _descends(pid, root, parents)
    }


def _proportional(pid: int) -> int:
    """Return the bytes of a process, of what it shares its part; 0 when it has ended."""
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def _stat(entry: Path) -> list[str]:
    """Return what stands after the process's name in its stat file; nothing when it has ended."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _descends(pid: int, root: int, parents: Mapping[int, int]) -> bool:
    while pid not in (root, 0):
        pid = parents.get(pid, 0)
    return pid == root
