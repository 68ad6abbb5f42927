"""Run BRFSS 2022, 54 states on one machine, through the command line and Flower on Ray.

Measures the time and memory of ``silosynth simulate`` from start to exit, with everything that it
starts, and how far the table that comes out is from the real one.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.support.distances import mean_distances
from bench.support.process_tree import watch
from bench.support.results import Figure, publish
from bench.support.tables import Case, data_directory, load_case, vouch
from silosynth.common.plan import dump_plan
from silosynth.common.sampler import draw_codes, load_sampler
from silosynth.common.schema import dump_schema
from silosynth.server.planning import new_plan
from silosynth.simulations import split_table

FILE = "brfss2022.parquet"
SILO_COLUMN = "State"
MOST_SECONDS = 300
MOST_BYTES = 4_000_000_000


def measure_brfss() -> list[Figure]:
    """Run once and return the figures; raise RuntimeError when the run does not end well."""
    case = vouch(load_case("brfss2022", FILE))
    with tempfile.TemporaryDirectory(prefix="silosynth-bench-") as name:
        directory = Path(name)
        _write_inputs(directory, case)
        table = data_directory() / "brfss2022" / FILE
        program = Path(sys.executable).parent / "silosynth"
        inputs: list[str | Path] = [
            directory / "plan.yaml",
            "--schema",
            directory / "schema.yaml",
            "--silos",
            table,
        ]
        print("brfss2022: silosynth simulate", file=sys.stderr, flush=True)
        watched = watch(
            [program, "simulate", *inputs, "--by", SILO_COLUMN, "--out", directory / "run"]
        )
        if watched.returncode != 0:
            raise RuntimeError(
                f"silosynth simulate ended with {watched.returncode}: {watched.error}"
            )
        distances = _distances(case, directory / "run" / "result.sampler")
    rows, attributes = case.codes.shape
    label = f"brfss2022, {rows:,} rows x {attributes}, simulate on Flower and Ray"
    return [
        Figure(figure=f"{label}: time", value=watched.seconds, unit="s", at_most=MOST_SECONDS),
        Figure(
            figure=f"{label}: memory of all processes",
            value=watched.peak_bytes / 1e6,
            unit="MB",
            at_most=MOST_BYTES / 1e6,
        ),
        *(
            Figure(figure=f"{label}: {way}-way", value=float(value), unit="distance")
            for way, value in enumerate(distances, 1)
        ),
    ]


def _write_inputs(directory: Path, case: Case) -> None:
    """Write the schema and a plan for all states."""
    silos = tuple(split_table(case.table, by=SILO_COLUMN))
    plan = new_plan(case.schema, epsilon=1.0, delta=1e-6, silos=silos, method="mst")
    (directory / "schema.yaml").write_text(dump_schema(case.schema), encoding="utf-8")
    (directory / "plan.yaml").write_text(dump_plan(plan), encoding="utf-8")


def _distances(case: Case, path: Path) -> np.ndarray:
    """Return the mean distances of as many drawn rows as there are real ones."""
    columns = draw_codes(load_sampler(path), rows=len(case.codes), seed=0)
    drawn = np.stack([column.astype(np.uint16) for column in columns], axis=1)
    return mean_distances(case.codes, drawn, domain=case.domain)


if __name__ == "__main__":
    raise SystemExit(publish("brfss", measure_brfss(), room="quality"))
