"""Draw rows from fitted models of Adult: speed, faithfulness, memory, beside mbi 2.0.

Prints a table, writes results/sample.json, and exits with 1 when a gate is missed. QUICK=1
writes fewer rows and leaves mbi out. Times are the best of several.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np

from bench.fit.problems import Problem, adult_problems
from bench.peers.run import PEERS, ROOT
from bench.support.results import Figure, is_quick, publish
from silosynth.common.domain import Grouping
from silosynth.common.sampler import (
    CliqueMarginal,
    Sampler,
    build_sampler,
    draw_codes,
    load_sampler,
    save_sampler,
)
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import parse_schema
from silosynth.server.model import GraphicalModel

PEER = PEERS / "mbi"
ROWS = 1_000_000
FEW_ROWS, MANY_ROWS = 4_000_000, 12_000_000 if is_quick() else 100_000_000
_WRITE = """
import resource, sys
from pathlib import Path
from silosynth.common.sampler.rows_file import write_rows
from silosynth.common.sampler.stored.file import load_sampler
sampler, path = load_sampler(Path(sys.argv[1])), Path(sys.argv[2])
write_rows(sampler, rows=int(sys.argv[3]), seed=0, path=path, force=True, threads=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def make_sampler(model: GraphicalModel) -> Sampler:
    """Return the sampler of a model; every code is a category of its own."""
    attributes = [
        {"name": name, "kind": "categorical", "other": False, "source": "public"}
        | {"categories": [str(code) for code in range(size)]}
        for name, size in zip(model.domain.attributes, model.domain.shape, strict=True)
    ]
    tree = model.tree
    return build_sampler(
        schema=parse_schema({"name": "adult", "attributes": attributes}),
        grouping=Grouping(),
        within={},
        nodes=[
            CliqueMarginal(clique=clique, separator=separator, values=table)
            for clique, separator, table in zip(
                tree.cliques, tree.separators, model.tables, strict=True
            )
        ],
        total=model.total,
        certificate={},
        plan_digest="sha256:" + "0" * 64,
    )


def mean_distance(columns: tuple[np.ndarray, ...], model: GraphicalModel) -> float:
    """Return the mean 2-way total variation distance of rows from their model."""
    domain, distances = model.domain, []
    tables = model.pair_marginals(combinations(domain.attributes, 2))
    for (a, b), table in tables.items():
        first, second = (columns[domain.index(name)].astype(np.int64) for name in (a, b))
        found = np.bincount(first * domain.size((b,)) + second, minlength=table.size)
        distances.append(np.abs(found / len(first) - table / model.total).sum() / 2)
    return float(np.mean(distances))


def rows_per_second(run: Callable[[], object], *, rows: int, repeats: int = 5) -> float:
    """Return the best speed of several runs."""
    speeds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        speeds.append(rows / (time.perf_counter() - start))
    return max(speeds)


def measure_draw(case: Problem, *, peer: dict[str, float]) -> tuple[Sampler, list[Figure]]:
    """Measure one model's draws in memory."""
    model = case.fit()
    sampler = make_sampler(model)

    def drawing(rows: int, threads: int) -> Callable[[], object]:
        return lambda: draw_codes(sampler, rows=rows, seed=0, threads=threads)

    columns = draw_codes(sampler, rows=ROWS, seed=1)
    speed, gate = "rows a second", 3e6 if "tree" in case.name else None
    return sampler, [
        Figure(
            figure=f"{case.name}, 14 columns of codes, 1 thread",
            value=rows_per_second(drawing(ROWS, 1), rows=ROWS),
            unit=speed,
            peer=peer.get("speed"),
        ),
        Figure(
            figure=f"{case.name}, 14 columns of codes, 2 threads",
            value=rows_per_second(drawing(4 * ROWS, 2), rows=4 * ROWS),
            unit=speed,
            peer=peer.get("speed"),
            at_least=gate,
        ),
        Figure(
            figure=f"{case.name}, as a table, 2 threads",
            value=rows_per_second(
                lambda: draw(sampler, rows=4 * ROWS, seed=0, threads=2), rows=4 * ROWS
            ),
            unit=speed,
        ),
        Figure(
            figure=f"{case.name}, mean 2-way distance of 1,000,000 rows from the model",
            value=mean_distance(columns, model),
            unit="total variation",
            peer=peer.get("distance"),
            at_most=0.005,
        ),
    ]


def measure_file(sampler: Sampler, *, directory: Path) -> list[Figure]:
    """Measure the sampler's file, and rows written to Parquet as a stream."""
    path, out = directory / "adult.sampler", directory / "rows.parquet"
    save_sampler(sampler, path)
    start = time.perf_counter()
    load_sampler(path)
    load_seconds = time.perf_counter() - start
    megabytes, wall = [], 0.0
    for rows in (FEW_ROWS, MANY_ROWS):
        command = [sys.executable, "-c", _WRITE, str(path), str(out), str(rows)]
        start = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall = time.perf_counter() - start
        megabytes.append(float(done.stdout))
    title = f"{MANY_ROWS:,} rows to Parquet"
    return [
        Figure(figure="sampler file", value=path.stat().st_size / 1e6, unit="MB"),
        Figure(figure="loading it", value=load_seconds, unit="s"),
        Figure(figure=f"{title}, 2 threads", value=MANY_ROWS / wall, unit="rows a second"),
        Figure(figure=f"{title}, peak memory", value=megabytes[1], unit="MiB"),
        Figure(
            figure=f"the same, over that of {FEW_ROWS:,} rows",
            value=megabytes[1] / megabytes[0],
            unit="times",
            at_most=1.15,
        ),
    ]


def measure_peer(case: Problem, *, directory: Path) -> dict[str, float]:
    """Return mbi's speed and distance on the same measurements."""
    if not (PEER / "READY").exists():
        raise SystemExit(f"{PEER} is not set up; run make bench-setup")
    arrays: dict[str, np.ndarray] = {
        "shape": np.asarray(case.domain.shape),
        "total": np.asarray(case.total),
        "sigma": np.asarray(case.sigma),
    }
    for i, m in enumerate(case.measurements):
        arrays[f"clique_{i}"] = np.asarray([case.domain.index(a) for a in m.clique])
        arrays[f"values_{i}"] = m.values
    source, target = directory / "in.npz", directory / "out.npz"
    np.savez(source, allow_pickle=False, **arrays)
    command: list[str | Path] = [
        PEER / "bin" / "python",
        "-m",
        "bench.sample.with_mbi",
        source,
        target,
    ]
    subprocess.run([*command, f"--rows={ROWS}"], cwd=ROOT, check=True)
    with np.load(target) as file:
        return {"speed": ROWS / float(file["seconds"]), "distance": float(file["distance"])}


def main() -> int:
    """Measure everything and publish it."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for i, case in enumerate(adult_problems()):
            peer = {} if is_quick() else measure_peer(case, directory=directory)
            sampler, drawn = measure_draw(case, peer=peer)
            figures += drawn
            if i == 0:
                figures += measure_file(sampler, directory=directory)
    return publish("sample", figures, room="sample")


if __name__ == "__main__":
    sys.exit(main())
