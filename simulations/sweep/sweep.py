"""Run a sweep over all cores, resumable: each run leaves a file, and one that is there is kept."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, NoReturn

import pyarrow as pa

from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.errors import InvalidArgument, OutputExists, RunFailed
from silosynth.common.files import write_text
from silosynth.simulations.sweep.axes import Point, check_runs, points
from silosynth.simulations.sweep.picture import curves_picture
from silosynth.simulations.sweep.point import Base, run_point

SWEEP_VERSION = 1
_NUMBERS = ("distance_1", "distance_2", "virtual_seconds", "bytes", "took_part")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepFiles:
    """Where a sweep keeps what comes of it."""

    path: Path

    @property
    def asked(self) -> Path:
        """Return the path of what was asked: a sweep goes on with the same alone."""
        return self.path / "asked.json"

    @property
    def facts(self) -> Path:
        """Return the path of all numbers as JSON."""
        return self.path / "sweep.json"

    @property
    def table(self) -> Path:
        """Return the path of all runs as CSV."""
        return self.path / "sweep.csv"

    @property
    def picture(self) -> Path:
        """Return the path of the curves."""
        return self.path / "sweep.svg"

    def run(self, point: Point, *, repeat: int) -> Path:
        """Return the path of one run's numbers."""
        words = [f"{name.value}={value}" for name, value in point.items()]
        return self.path / "runs" / f"{','.join(words)},{repeat}.json"


def sweep(
    base: Base,
    *,
    repeats: int,
    directory: Path,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> dict[str, Any]:
    """Run every point ``repeats`` times and write curves, JSON and CSV; return the JSON.

    Args:
        workers: processes; by default as many as this one may use cores, and 1 is this one.
        cluster: a Ray cluster that runs them in their place: ``HOST:PORT``, or ``local``.
        progress: gets how many runs of how many are over.

    Raises InvalidArgument for too many runs, OutputExists when the directory is another sweep's.
    """
    check_runs(base.axes, repeats=repeats)
    files = SweepFiles(path=directory)
    _claim(files, base, repeats=repeats)
    wanted = [(p, r) for p in points(base.axes) for r in range(repeats)]
    left = [(p, r) for p, r in wanted if not files.run(p, repeat=r).exists()]
    progress(len(wanted) - len(left), len(wanted))
    with closing(_begun(base, left, workers=workers, cluster=cluster)) as runs:
        for done, facts in enumerate(runs, start=len(wanted) - len(left) + 1):
            point = {a.name: facts["point"][a.name.value] for a in base.axes}
            path = files.run(point, repeat=facts["repeat"])
            write_text(path, json.dumps(facts, indent=1, sort_keys=True) + "\n", force=True)
            progress(done, len(wanted))
    return _write(files, base, [_read(files.run(p, repeat=r)) for p, r in wanted])


def _begun(
    base: Base, left: Sequence[tuple[Point, int]], *, workers: int | None, cluster: str | None
) -> Generator[dict[str, Any], None, None]:
    """Return the runs, which begin when the first one is asked for."""
    if cluster is None or not left:
        return _run(base, left, workers=workers or len(os.sched_getaffinity(0)))
    # Ray takes a second to import, which every sweep would wait for.
    from silosynth.simulations.sweep.on_ray import run_on_ray

    return run_on_ray(run_point, base, left, cluster=cluster)


def _run(
    base: Base, left: Sequence[tuple[Point, int]], *, workers: int
) -> Generator[dict[str, Any], None, None]:
    """Yield the facts of each run as it ends, in this process or in several."""
    if min(workers, len(left)) <= 1:
        for point, repeat in left:
            yield run_point(base, point, repeat=repeat)
        return
    pool = ProcessPoolExecutor(
        max_workers=min(workers, len(left)),
        mp_context=get_context("spawn"),
        initializer=_begin,
        initargs=(base,),
    )
    try:
        with _begun_deaf():
            futures = [pool.submit(_run_here, p, r) for p, r in left]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_here: list[Base] = []


def _begin(base: Base) -> None:
    """Keep what every run of a worker's process begins from; from here on it can be stopped."""
    _here[:] = [base]
    signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """End a run, or a worker that waits for one, without a word: the sweep has one to say."""
    raise SystemExit(0)


@contextmanager
def _begun_deaf() -> Iterator[None]:
    """Let processes begin that Ctrl-C does not reach while they import what they need.

    It goes to all processes of a terminal, and one that has not come to :func:`_begin` would
    write down where it was.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run_here(point: Point, repeat: int) -> dict[str, Any]:
    """Live through one run in a worker's process."""
    return run_point(_here[0], point, repeat=repeat)


def _claim(files: SweepFiles, base: Base, *, repeats: int) -> None:
    """Write down what is asked; refuse a directory that holds anything else."""
    scenario = base.scenario
    asked = {
        "version": SWEEP_VERSION,
        "plan": base.plan.digest,
        "schema": base.schema.digest,
        "rows": _digest_rows(base),
        "scenario": None if scenario is None else scenario.model_dump(mode="json", by_alias=True),
        "axes": {axis.label: list(axis.values) for axis in base.axes},
        "repeats": repeats,
    }
    if not files.path.exists() or not any(files.path.iterdir()):
        (files.path / "runs").mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(files.asked, json.dumps(asked, indent=1, sort_keys=True) + "\n", force=False)
    elif not files.asked.is_file() or _read(files.asked) != json.loads(canonical_json(asked)):
        raise OutputExists(
            f"{files.path} holds something else than this sweep",
            hint="choose another directory, or add --force",
        )


def _digest_rows(base: Base) -> str:
    """Return a digest of the rows: a sweep does not go on over others."""
    found = hashlib.sha256()
    for silo in base.plan.silos:
        sink = pa.BufferOutputStream()
        table = base.tables[silo]
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table.combine_chunks())
        found.update(sink.getvalue())
    return digest_of(found.digest())


def _read(path: Path) -> Any:
    """Return what a file of the sweep holds; raise RunFailed where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as err:
        raise RunFailed(f"{path} is damaged", hint="remove it and run the same again") from err


def _write(files: SweepFiles, base: Base, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Write the numbers and the curves; the same runs give the same bytes."""
    facts = {
        "version": SWEEP_VERSION,
        "method": base.plan.method.value,
        "axes": {axis.label: list(axis.values) for axis in base.axes},
        "note": "distances are measured on the real rows: a simulation's, and no release",
        "points": [_mean(p, runs) for p in points(base.axes)],
        "runs": list(runs),
    }
    write_text(files.facts, json.dumps(facts, indent=1, sort_keys=True) + "\n", force=True)
    write_text(files.table, _as_csv(base, runs), force=True)
    write_text(files.picture, curves_picture(facts, axes=base.axes), force=True)
    return facts


def _mean(point: Point, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean and the range of a point's runs that completed."""
    plain = {name.value: value for name, value in point.items()}
    mine = [r for r in runs if r["point"] == plain]
    whole = [r for r in mine if r["ended"] == "completed"]
    found: dict[str, Any] = {"point": plain, "runs": len(mine), "completed": len(whole)}
    for name in _NUMBERS:
        values = [r[name] for r in whole if name in r]
        if values:
            mean = sum(values) / len(values)
            found[name] = {"mean": mean, "least": min(values), "most": max(values)}
    return found


def _as_csv(base: Base, runs: Sequence[dict[str, Any]]) -> str:
    """Return one line a run."""
    names = [axis.name.value for axis in base.axes]
    known = ["repeat", "ended", "silos", "epsilon", *_NUMBERS, "invariants_held"]
    columns = [column for column in known if column not in names]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([axis.label for axis in base.axes] + columns)
    for run in runs:
        writer.writerow([run["point"][n] for n in names] + [run.get(c, "") for c in columns])
    return out.getvalue()


def check_base(base: Base) -> None:
    """Raise InvalidArgument for a plan whose table a sweep cannot hold against real rows."""
    if missing := [s for s in base.plan.silos if s not in base.tables]:
        raise InvalidArgument(f"silo {missing[0]!r} has no table", hint="give one table a silo")
    if base.plan.chosen.whole_rows:
        raise InvalidArgument(
            f"a sweep makes its plans anew, and does not for {base.plan.method.value}",
            hint="vary plans of the methods independent, fixed, mst and aim",
        )
