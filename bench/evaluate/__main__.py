"""What it costs to judge a table on this machine, and what good and bad tables get.

`QUICK=1` takes 6,000 rows and 120,000 for the large file. `python -m bench evaluate --large` runs
the large report alone, and keeps the figures of the rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.evaluate.large import reports
from bench.evaluate.leaks import leaks
from bench.support.results import Figure, is_quick, publish
from bench.support.tables import data_directory
from silosynth.common.evaluate import Wish
from silosynth.common.evaluate.evaluate import evaluate
from silosynth.common.report import EvaluationFacts, State

_TARGET, _GROUP, _COSTS = "income", "sex", "capital-gain"
_LARGE = (
    "import resource, sys, pathlib; from silosynth.common.evaluate.files import evaluate_file; "
    "real, made = map(pathlib.Path, sys.argv[1:]); evaluate_file(made, real=real); "
    "used = resource.getrusage(resource.RUSAGE_SELF); "
    # Its own: ru_maxrss of a child begins with what its parent held.
    "status = pathlib.Path('/proc/self/status').read_text(); "
    "print(used.ru_utime + used.ru_stime, int(status.split('VmHWM:')[1].split()[0]) / 1024)"
)
_AUDITS = (
    "import sys, time; from bench.audit.__main__ import plan_of; "
    "from silosynth.simulations.audit.audit import audit_plan; "
    "from silosynth.simulations.local import WHOLE; "
    "runs, plan = int(sys.argv[1]), plan_of('mst', 4); "
    "audit_plan(plan, run=WHOLE, runs=4); "  # accountant and tables of noise: once
    "begun = time.process_time(); audit_plan(plan, run=WHOLE, runs=runs); "
    "print(runs / (time.process_time() - begun))"
)


def main() -> int:
    """Measure, print and write the figures."""
    if "--large" in sys.argv[1:]:
        return publish("evaluate", reports(), room="evaluate", update=True)
    table = pq.read_table(data_directory() / "adult" / "adult.parquet").drop_columns(["split"])
    table = table.drop_columns(["fnlwgt"])
    order = np.random.default_rng(0).permutation(table.num_rows)
    rows = 6_000 if is_quick() else 30_000
    real, control = table.take(order[:rows]), table.take(order[rows : rows + rows // 2])
    figures = []
    for name, made in _tables(real, table.take(order[-rows:])).items():
        facts, seconds = _judge(real, made, control, attack=False)
        figures += _figures(name, facts)
        figures.append(Figure(figure=f"{name}: seconds", value=seconds, unit="cpu s", at_most=10))
    _, seconds = _judge(real, real, control, attack=True)
    figures.append(Figure(figure="with attacks", value=seconds, unit="cpu s", at_most=30))
    figures += leaks()
    figures.append(_audits(runs=20 if is_quick() else 100))
    figures += _large(table, rows=120_000 if is_quick() else 260_000)
    figures += reports()
    return publish("evaluate", figures, room="evaluate")


def _tables(real: pa.Table, others: pa.Table) -> dict[str, pa.Table]:
    """Return tables that are good, bad in one column, and bad together."""
    rng = np.random.default_rng(1)
    costs = others[_COSTS].to_numpy()
    smeared = np.where(costs == 0, rng.uniform(0, 100, len(costs)), costs)
    place = others.column_names.index(_COSTS)
    return {
        "other rows": others,
        "zeros smeared": others.set_column(place, _COSTS, pa.array(smeared)),
        "independent": pa.table(
            {n: real[n].take(pa.array(rng.permutation(len(real)))) for n in real.column_names}
        ),
    }


def _judge(
    real: pa.Table, made: pa.Table, control: pa.Table, *, attack: bool
) -> tuple[EvaluationFacts, float]:
    """Return the facts and the seconds of processor time."""
    started = time.process_time()
    wish = Wish(targets=(_TARGET,), groups=(_GROUP,), attack=attack)
    facts = evaluate(real, made, control=control, wish=wish)
    return facts, time.process_time() - started


def _figures(name: str, facts: EvaluationFacts) -> list[Figure]:
    """Return what a table gets, and whether its first lamp is the right one."""
    right = {"other rows": State.GOOD, "zeros smeared": State.POOR, "independent": State.POOR}
    distance = next(m for m in facts.measures if m.name == "2-way distance of values")
    lamp = float(facts.lamps[0].state is right[name])
    return [
        Figure(figure=f"{name}: 2-way distance of values", value=distance.value, unit=""),
        Figure(figure=f"{name}: the lamp is right", value=lamp, unit="", at_least=1),
    ]


def _audits(*, runs: int) -> Figure:
    """Play audited runs in a process of its own, on one core."""
    done = subprocess.run(
        [sys.executable, "-c", _AUDITS, str(runs)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    name = "audited runs of MST a CPU second"
    return Figure(figure=name, value=float(done.stdout), unit="1/s", at_least=20)


def _large(table: pa.Table, *, rows: int) -> list[Figure]:
    """Judge a large file in a process of its own."""
    rng = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.parquet" for name in ("real", "made")]
        for path in paths:
            pq.write_table(table.take(pa.array(rng.integers(0, len(table), rows))), path)
        words = [sys.executable, "-c", _LARGE, *map(str, paths)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    seconds, peak = map(float, done.stdout.split())
    return [
        Figure(figure=f"{rows:,} rows", value=seconds, unit="cpu s", at_most=10),
        Figure(figure=f"{rows:,} rows, peak memory", value=peak, unit="MB", at_most=500),
    ]


if __name__ == "__main__":
    sys.exit(main())
