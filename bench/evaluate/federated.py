"""What people who were held out say of a sampler, beside the truth that a federation never sees.

AIM, MST and independent columns are trained through the silos' own gateways in shared trust, at
epsilon 1 each, and evaluated at epsilon 1 on those who were held out. ``RUNS=20`` trains each so
often, ``ASKED=3`` evaluates each training so often, anew; ``QUICK=1`` does one of 6,000 rows.
What is stopped goes on: each training's evaluations are kept under ``bench/.peers``.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.metrics import roc_auc_score

from bench.support.results import QUICK_RESULTS, Figure, is_quick, publish
from bench.support.tables import Case, load_case, split_by, vouch
from silosynth.common.codec import Codec
from silosynth.common.held import Inputs
from silosynth.common.held.inputs import pair_counts
from silosynth.common.sampler import coded_schema, load_sampler
from silosynth.server.judging import Judgement, Sought, plan_evaluation
from silosynth.server.planning import new_plan
from silosynth.simulations import Engine, simulate
from silosynth.simulations.ended import simulate_evaluation

METHODS = ("aim", "mst", "independent")
PERSON = "person"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """A table in its silos, the share that is held out, and what is predicted."""

    name: str
    case: Case
    silos: Mapping[str, pa.Table]
    share: str
    target: str

    @property
    def held(self) -> float:
        """Return about how many people are held out."""
        return float(self.case.table.num_rows * Fraction(self.share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One evaluation beside the truth."""

    distance: float
    upper: float
    square: float
    real: float
    auc: float
    real_auc: float


def adult(rows: int | None) -> World:
    """Return Adult in 10 silos, one person a row."""
    case = vouch(load_case("adult", "adult.parquet"))
    table = case.table if rows is None else case.table.slice(0, rows)
    silos = {f"s{i}": table.take(np.arange(i, table.num_rows, 10)) for i in range(10)}
    case = Case(schema=case.schema, table=table, codes=case.codes[: table.num_rows])
    return World(name="Adult", case=case, silos=silos, share="1/5", target="income")


def acs() -> World:
    """Return ACS in its 20 places, which differ."""
    case = vouch(load_case("nist_acs", "national2019.csv"))
    silos = {f"p{n}".replace(" ", ""): t for n, t in split_by(case.table, "PUMA").items()}
    return World(name="ACS", case=case, silos=silos, share="37/100", target="OWN_RENT")


def main() -> int:
    """Measure, print and write the figures."""
    runs = 1 if is_quick() else int(os.environ.get("RUNS", "20"))
    asked = 2 if is_quick() else int(os.environ.get("ASKED", "3"))
    name = "federated-acs" if os.environ.get("ACS") else "federated"
    world = acs() if os.environ.get("ACS") else adult(6_000 if is_quick() else None)
    kept = Kept(path=QUICK_RESULTS / f"{name}-{asked}{'-quick' if is_quick() else ''}.jsonl")
    missed = 0
    for number in range(runs):  # published after each: whoever stops it keeps what was measured
        for method in METHODS[1:] if is_quick() else METHODS:
            if not kept.has(method, number):
                kept.add(method, number, run(world, method, asked))
        missed = publish(name, summary(world, kept.seen(number + 1)), room="evaluate")
    return missed


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Own the file of what was measured: a line a training."""

    path: Path

    def lines(self) -> list[dict[str, Any]]:
        """Return all lines."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def has(self, method: str, number: int) -> bool:
        """Say whether a training was measured."""
        return any((line["method"], line["run"]) == (method, number) for line in self.lines())

    def add(self, method: str, number: int, seen: Sequence[Seen]) -> None:
        """Write down what evaluations of a training saw."""
        line = {"method": method, "run": number, "seen": [asdict(s) for s in seen]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def seen(self, runs: int) -> dict[str, list[Seen]]:
        """Return what was seen by method, of the first trainings, in their order."""
        found: dict[str, list[Seen]] = {}
        for line in sorted(self.lines(), key=lambda line: METHODS.index(line["method"])):
            if line["run"] < runs:
                found.setdefault(line["method"], []).extend(Seen(**s) for s in line["seen"])
        return found


def run(world: World, method: str, asked: int) -> list[Seen]:
    """Train once and evaluate so often, each with halves and noise of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        plan = new_plan(
            world.case.schema,
            epsilon=1,
            delta=1e-6,
            silos=list(world.silos),
            method=method,
            trust="shared",
            held_out=world.share,
        )
        result = simulate(
            plan,
            schema=world.case.schema,
            silos={name: numbered(table) for name, table in world.silos.items()},
            directory=place / "run",
            engine=Engine.LOCAL,
            person_column=PERSON,
            accept_misfits=True,
        )
        data = (place / "run" / "result.sampler").read_bytes()
        sought = Sought(targets=[world.target], measured=result.outcome.measurements)
        seen = []
        for number in range(asked):
            evaluates, _ = plan_evaluation(plan, data, sought=sought)
            judged = simulate_evaluation(
                evaluates, run=place / "run", out=place / f"e{number}", times=asked
            )
            seen.append(beside(world, judged, place / "run" / "result.sampler"))
    return seen


def numbered(table: pa.Table) -> pa.Table:
    """Return a table of one row a person with a column that tells persons apart."""
    return table.append_column(PERSON, pa.array(np.arange(table.num_rows)))


def beside(world: World, judged: Judgement, sampler: Path) -> Seen:
    """Return an evaluation beside what all rows say."""
    found, inputs = judged.found, judged.inputs
    columns = coded(world, sampler)
    real_auc = 0.0
    if inputs.law is not None:
        (target,) = inputs.targets
        yes = target.positive[inputs.law.working(columns)[target.place]]
        real_auc = float(
            roc_auc_score(yes, inputs.law.scores(columns, target.place, target.positive))
        )
    upper = found.distance.mean.high
    return Seen(
        distance=found.distance.mean.value,
        upper=float("inf") if upper is None else upper,
        square=found.distance.square.value,
        real=true_distance(inputs, columns),
        auc=found.areas[0].auc.value,
        real_auc=real_auc,
    )


def coded(world: World, sampler: Path) -> tuple[np.ndarray, ...]:
    """Return all rows by the bins of a sampler."""
    read = load_sampler(sampler)
    return Codec(coded_schema(read.schema, read.spreads)).encode(world.case.table).codes


def true_distance(inputs: Inputs, columns: tuple[np.ndarray, ...]) -> float:
    """Return the mean total variation distance of all rows and the sampler, by groups."""
    merged = [g[c] for g, c in zip(inputs.groups, columns, strict=True)]
    gaps = []
    for pair, q in zip(inputs.pairs, inputs.shares, strict=True):
        counts = pair_counts(merged, pair, inputs.sizes)
        gaps.append(np.abs(counts / counts.sum() - q / q.sum()).sum() / 2)
    return float(np.mean(gaps))


def summary(asked: World, seen: Mapping[str, list[Seen]]) -> list[Figure]:
    """Return the figures of one table.

    The gate of the AUC is for 10,000 people. Of fewer the noise of a share grows as they get fewer,
    and so does the gate: of 1,200 the page prints ends as far apart.
    """
    world, every = asked.name, [s for found in seen.values() for s in found]
    rows = list(zip(*seen.values(), strict=True))
    right = [all(a.square < b.square for a, b in itertools.pairwise(row)) for row in rows]
    nearer = [all(a.distance < b.distance for a, b in itertools.pairwise(row)) for row in rows]
    figures = [
        Figure(
            figure=f"{world}: right order by the distance, of {len(nearer)}",
            value=float(np.mean(nearer)),
            unit="",
        ),
        Figure(
            figure=f"{world}: right order, of {len(right)}",
            value=float(np.mean(right)),
            unit="",
            at_least=58 / 60,
        ),
        Figure(
            figure=f"{world}: upper bound holds, of {len(every)}",
            value=float(np.mean([s.upper >= s.real for s in every])),
            unit="",
            at_least=0.95,
        ),
        Figure(
            figure=f"{world}: median gap of the distance",
            value=float(np.median([abs(s.distance / s.real - 1) for s in every])),
            unit="",
            at_most=0.25,
        ),
        Figure(
            figure=f"{world}: mean gap of AUC",
            value=float(np.mean([abs(s.auc - s.real_auc) for s in every])),
            unit="",
            at_most=0.015 * max(1.0, 10_000 / asked.held),
        ),
    ]
    for method, found in seen.items():
        figures += [
            Figure(
                figure=f"{world}, {method}: distance",
                value=float(np.median([s.distance for s in found])),
                unit="",
                peer=float(np.median([s.real for s in found])),
            ),
            Figure(
                figure=f"{world}, {method}: upper bound",
                value=float(np.median([s.upper for s in found])),
                unit="",
            ),
            Figure(
                figure=f"{world}, {method}: AUC",
                value=float(np.median([s.auc for s in found])),
                unit="",
                peer=float(np.median([s.real_auc for s in found])),
            ),
        ]
    return figures


if __name__ == "__main__":
    sys.exit(main())
