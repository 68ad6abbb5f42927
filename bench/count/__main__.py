"""Count marginals beside DuckDB, polars and pandas: speed, memory, growth with rows.

Prints a table, writes results/count.json and count.png, and exits with 1 when a gate is
missed. QUICK=1 counts fewer rows. Parts may be named, to be run one at a time; the last run writes
the figures of all parts that have been run.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.count.data import DOMAIN, NAMES, PAIRS, TRIPLES, make_columns, write_columns
from bench.count.data import write_parquet as write_rows
from bench.count.race import PYTHON, Times, peers, race, timed
from bench.support.results import QUICK_RESULTS, ROOT, Figure, is_quick, publish, results_of
from silosynth.client.counting import lay_out
from silosynth.client.counting.count import count_marginals
from silosynth.client.counting.cover import plan_cover
from silosynth.client.counting.kernel import compiled_kernel
from silosynth.client.source import SourceFormat, SourceSpec, open_source
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery

PARTS_DIRECTORY = QUICK_RESULTS / "count-parts"
LEVELS = {"fine": Grouping()}
THREADS = 2
ROWS = 10**6 if is_quick() else 10**7
PARQUET_ROWS = 5 * 10**5 if is_quick() else 4 * 10**6
INCREMENT_NS = 0.3
Cliques = Sequence[Sequence[int]]


def queries_of(cliques: Cliques, *, names: Sequence[str] = NAMES) -> list[MarginalQuery]:
    """Return the queries over columns given by number."""
    return [MarginalQuery(clique=tuple(names[c] for c in clique)) for clique in cliques]


def counting(
    columns: Sequence[np.ndarray], cliques: Cliques, *, replan: bool
) -> Callable[[], list[np.ndarray]]:
    """Return our count, with its planning or with the plan of the run before."""
    queries = queries_of(cliques)
    kernel = compiled_kernel(cache=kernel_cache(), threads=THREADS)

    def count() -> list[np.ndarray]:
        if replan:
            plan_cover.cache_clear()
        return count_marginals(
            columns, domain=DOMAIN, queries=queries, levels=LEVELS, kernel=kernel
        )

    return count


def kernel_cache() -> Path:
    """Return a directory for compiled code that is ours alone."""
    place = QUICK_RESULTS.parent / "kernel"
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    return place


def speedup(figure: str, *, ours: Times, peer: Times, at_least: float | None) -> Figure:
    """Return how many times faster we are, by the best rounds of both."""
    ratios = [b / a for a, b in zip(ours.wall, peer.wall, strict=False)]
    return Figure(
        figure=figure,
        value=peer.best / ours.best,
        unit="times",
        spread=(max(ratios) - min(ratios)) / 2,
        at_least=None if is_quick() else at_least,
    )


def seconds(figure: str, times: Times, *, peer: Times | None = None) -> Figure:
    """Return a wall time."""
    return Figure(
        figure=figure,
        value=times.best,
        unit="s",
        spread=times.spread,
        peer=None if peer is None else peer.best,
    )


def measure_pairs(directory: Path) -> list[Figure]:
    """Race for 105 pairs in memory."""
    columns = make_columns(ROWS)
    write_columns(columns, directory)
    layout = lay_out(queries_of(PAIRS), domain=DOMAIN, levels=LEVELS, rows=ROWS)
    joint = [list(table.members) for table in layout.tables]
    numbers = {i: column.index for i, column in enumerate(layout.columns)}
    plan = {
        "joint": [[numbers[m] for m in table] for table in joint],
        "sources": list(layout.sources),
    }
    with peers(("duckdb",), directory, rows=ROWS) as processes:
        times = race(
            {
                "ours": timed(counting(columns, PAIRS, replan=False)),
                "ours with planning": timed(counting(columns, PAIRS, replan=True)),
                "duckdb": processes["duckdb"].task(cliques=PAIRS),
                "duckdb, our plan": processes["duckdb"].task(cliques=PAIRS, **plan),
            },
            rounds=3,
        )
    ours, title = times["ours with planning"], f"105 pairs, {ROWS:,} rows"
    increments = ROWS * len(layout.tables) / THREADS * INCREMENT_NS * 1e-9
    return [
        seconds(f"{title}, plan made before", times["ours"], peer=times["duckdb"]),
        seconds(f"{title}, planning included", ours, peer=times["duckdb"]),
        Figure(figure="joint tables that 105 pairs are summed from", value=len(joint), unit=""),
        speedup("the same, over DuckDB", ours=ours, peer=times["duckdb"], at_least=12),
        speedup(
            "the same, over DuckDB with our plan",
            ours=ours,
            peer=times["duckdb, our plan"],
            at_least=8,
        ),
        Figure(
            figure="time over the increment limit",
            value=times["ours"].best / increments,
            unit="times",
            spread=times["ours"].spread / increments,
            at_most=None if is_quick() else 2,
        ),
        Figure(
            figure="processor time over the increment limit",
            value=min(times["ours"].cpu) / THREADS / increments,
            unit="times",
        ),
    ]


def measure_frames(directory: Path) -> list[Figure]:
    """Race for 105 pairs in memory against frames, which run once: they take minutes."""
    columns = make_columns(ROWS)
    write_columns(columns, directory)
    figures = []
    for name, at_least in (("polars", 12), ("pandas", 100)):
        with peers((name,), directory, rows=ROWS) as processes:
            times = race(
                {
                    "ours": timed(counting(columns, PAIRS, replan=True)),
                    name: processes[name].task(cliques=PAIRS),
                },
                rounds=3,
                once=(name,),
            )
        title = f"105 pairs, {ROWS:,} rows, over {name}"
        figures.append(speedup(title, ours=times["ours"], peer=times[name], at_least=at_least))
    return figures


def measure_triples(directory: Path) -> list[Figure]:
    """Race for 64 triples in memory."""
    columns = make_columns(ROWS)
    write_columns(columns, directory)
    with peers(("duckdb",), directory, rows=ROWS) as processes:
        times = race(
            {
                "ours": timed(counting(columns, TRIPLES, replan=True)),
                "duckdb": processes["duckdb"].task(cliques=TRIPLES),
            },
            rounds=3,
        )
    title = f"64 triples, {ROWS:,} rows"
    return [
        seconds(f"{title}, planning included", times["ours"], peer=times["duckdb"]),
        speedup("the same, over DuckDB", ours=times["ours"], peer=times["duckdb"], at_least=7),
    ]


def measure_million(directory: Path) -> list[Figure]:
    """Race for 105 pairs of few rows, where planning weighs."""
    rows = ROWS // 10
    columns = make_columns(rows)
    write_columns(columns, directory)
    with peers(("duckdb",), directory, rows=rows) as processes:
        times = race(
            {
                "ours": timed(counting(columns, PAIRS, replan=True)),
                "duckdb": processes["duckdb"].task(cliques=PAIRS),
            },
            rounds=7,
        )
    title = f"105 pairs, {rows:,} rows"
    return [
        seconds(f"{title}, planning included", times["ours"], peer=times["duckdb"]),
        speedup("the same, over DuckDB", ours=times["ours"], peer=times["duckdb"], at_least=8),
    ]


def measure_parquet(directory: Path) -> list[Figure]:
    """Race from a file of text and floats; each engine reads it once in its best way."""
    schema = write_rows(make_columns(PARQUET_ROWS), directory)
    spec = SourceSpec(format=SourceFormat.PARQUET, path=directory / "rows.parquet")
    queries = queries_of(PAIRS, names=schema.domain.attributes)

    def count() -> list[np.ndarray]:
        return open_source(spec, schema=schema).count(queries, levels=LEVELS)

    direct = ("duckdb on the file", "polars on the file")
    once = ("duckdb read once", "polars read once")
    with peers((*direct, *once), directory, rows=0) as processes:
        times = race(
            {
                "ours": timed(count),
                **{name: peer.task(cliques=PAIRS) for name, peer in processes.items()},
            },
            rounds=3,
            once=direct,
        )
    ours, title = times["ours"], f"105 pairs from Parquet, {PARQUET_ROWS:,} rows"
    return [
        seconds(title, ours, peer=min((times[n] for n in direct), key=lambda t: t.best)),
        *(speedup(f"the same, over {n}", ours=ours, peer=times[n], at_least=7) for n in direct),
        *(speedup(f"the same, over {n}", ours=ours, peer=times[n], at_least=None) for n in once),
    ]


_MEMORY = """
import sys, numpy as np
from pathlib import Path
from bench.count.__main__ import PAIRS, counting
from bench.count.data import SHAPE
columns = [np.load(Path(sys.argv[1]) / f"c{i}.npy") for i in range(len(SHAPE))]
counting([c[:200_000] for c in columns], PAIRS, replan=True)()
def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
counting(columns, PAIRS, replan=True)()
print(status("VmHWM") - before)
"""


def measure_memory(directory: Path) -> list[Figure]:
    """Measure what counting needs beside the columns, and what compiling costs."""
    write_columns(make_columns(ROWS), directory)
    command = [sys.executable, "-c", _MEMORY, str(directory)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    code = (
        "import sys, time; from pathlib import Path; start = time.perf_counter();"
        "from silosynth.client.counting.kernel import compiled_kernel; "
        "compiled_kernel(cache=Path(sys.argv[1])); "
        "print(time.perf_counter() - start, time.process_time())"
    )
    compiling = []
    cache = directory / "kernel"
    cache.mkdir(mode=0o700)
    for _ in range(2):
        answer = subprocess.run(
            [sys.executable, "-c", code, str(cache)], check=True, capture_output=True, text=True
        )
        compiling.append(tuple(map(float, answer.stdout.split())))
    return [
        Figure(
            figure=f"memory beside the columns, {ROWS:,} rows",
            value=float(done.stdout),
            unit="MiB",
            at_most=100,
        ),
        *(
            Figure(figure=f"{start}, {what}", value=value, unit="s")
            for start, figures in zip(
                ("first start, compiling", "later starts"), compiling, strict=True
            )
            for what, value in zip(
                ("wall time", "processor time with all imports"), figures, strict=True
            )
        ),
    ]


def measure_scale(directory: Path) -> list[Figure]:
    """Count growing tables, and plot them beside DuckDB as far as it is run."""
    base = make_columns(ROWS)
    write_columns(base, directory)
    points: dict[str, list[tuple[int, float]]] = {"silosynth": [], "DuckDB": []}
    figures, times = [], {}
    for rows in (ROWS // 100, ROWS // 10, ROWS, 10 * ROWS):
        columns = [c[:rows] for c in base] if rows <= ROWS else [np.tile(c, 10) for c in base]
        contenders = {"silosynth": timed(counting(columns, PAIRS, replan=True))}
        with peers(("duckdb",) if rows <= ROWS else (), directory, rows=rows) as processes:
            for name, peer in processes.items():
                contenders[name] = peer.task(cliques=PAIRS)
            raced = race(contenders, rounds=5 if rows < ROWS else 3, once=("duckdb",))
        times[rows] = raced["silosynth"]
        points["silosynth"].append((rows, raced["silosynth"].best))
        if "duckdb" in raced:
            points["DuckDB"].append((rows, raced["duckdb"].best))
        figures.append(
            seconds(f"105 pairs, {rows:,} rows", raced["silosynth"], peer=raced.get("duckdb"))
        )
    target = results_of("count") / "count.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    plot: list[str | Path] = [PYTHON, "-m", "bench.count.plot", json.dumps(points), str(target)]
    subprocess.run(plot, cwd=ROOT, check=True)
    growth = min(times[10 * ROWS].cpu) / min(times[ROWS].cpu) / 10
    figures.append(
        Figure(
            figure=f"processor time a row at {10 * ROWS:,} rows over that at {ROWS:,}",
            value=growth,
            unit="times",
            at_most=1.25,
        )
    )
    return figures


PARTS: Mapping[str, Callable[[Path], list[Figure]]] = {
    "pairs": measure_pairs,
    "frames": measure_frames,
    "triples": measure_triples,
    "million": measure_million,
    "parquet": measure_parquet,
    "memory": measure_memory,
    "scale": measure_scale,
}


def main() -> int:
    """Run the parts that are named, or all, and publish what has been measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    chosen = parser.parse_args().parts or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        raise SystemExit(f"unknown part {min(unknown)!r}; known: {', '.join(PARTS)}")
    place = PARTS_DIRECTORY / ("quick" if is_quick() else "full")
    place.mkdir(parents=True, exist_ok=True)
    for part in chosen:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as name:
            figures = PARTS[part](Path(name))
        (place / f"{part}.json").write_text(json.dumps([asdict(f) for f in figures]))
        print(f"{part}: {time.perf_counter() - start:.0f} s", flush=True)
    figures = [
        Figure(**facts)
        for part in PARTS
        if (place / f"{part}.json").exists()
        for facts in json.loads((place / f"{part}.json").read_text())
    ]
    return publish("count", figures, room="count")


if __name__ == "__main__":
    sys.exit(main())
