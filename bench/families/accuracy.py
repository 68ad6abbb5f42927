"""How near families that are drawn from noised counts are to real ones, beside what is no model.

Counted in memory, with normal noise of the stated variance: pooled, with the own noise of five
silos, and with shared noise of five of which one may collude. Each row stands beside persons drawn
with replacement, right tables with keys shuffled, right tables with keys uniform, and the same
model with both links left out. ``QUICK=1`` takes 4,000 patients at one epsilon.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.families.cases import ORDER, Case, diabetes, flights
from bench.families.measured import measure
from bench.families.scores import Rows, bootstrap, score, shuffled, uniform
from bench.support.results import ROOT, Figure, publish
from silosynth.client.families.count import View
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import code_families
from silosynth.common.families import first_of, later_of
from silosynth.common.forest import ForestSampler
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, number_name
from silosynth.server.families import fit_families

PLAN = "sha256:" + "0" * 64
QUICK_PERSONS = 4_000
POOLED, OWN, SHARED = 1.0, 5.0, 5.0 / 4.0
"""How many times one silo's noise is in the sum: of five silos, and of five with one colluding."""
TIME, PEAK = "measure, fit, draw", "peak"
SEEDS = (101, 102, 103)
"""Of noise and draws; no setting was chosen on them."""
LINKED = ("child 2", "parent x child", "N x child", "sibling same", "sibling cross")
OF_POOLED = 1.05
GATES: dict[str, dict[str, float]] = {
    "diabetes130, epsilon 1": {
        "child 2": 0.031,
        "parent x child": 0.026,
        "N x child": 0.023,
        "sibling same": 0.100,
        "sibling cross": 0.053,
        "KS": 0.005,
        TIME: 15.0,
        PEAK: 600.0,
    },
    "diabetes130, epsilon 1, 5 silos own": {
        "child 2": 0.042,
        "parent x child": 0.039,
        "N x child": 0.045,
        "sibling same": 0.21,
        "sibling cross": 0.086,
    },
    "diabetes130, epsilon 8": {
        "child 2": 0.022,
        "parent x child": 0.016,
        "N x child": 0.013,
        "sibling same": 0.05,
        "sibling cross": 0.035,
        "siblings two apart": 0.06,
        "KS": 0.005,
    },
    "flights, epsilon 8": {
        "child 2": 0.09,
        "parent x child": 0.07,
        "N x child": 0.08,
        "sibling same": 0.10,
        "sibling cross": 0.085,
        "KS": 0.02,
    },
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Real:
    """A data set's families, as they are counted and as they are scored."""

    schema: TablesSchema
    child: str
    views: dict[str, View]
    rows: Rows


def read_case(case: Case, *, persons: int | None = None) -> Real:
    """Join and code all families of a case, or those of the first so many persons."""
    with join_tables(case.schema, case.files) as joined:
        blocks = joined.blocks(persons=persons or 10**7)
        views = next(code_families(blocks, schema=case.schema, secret=bytes(32)))
    return Real(schema=case.schema, child=case.child, views=views, rows=_rows(case, views))


def _rows(case: Case, views: dict[str, View]) -> Rows:
    """Return the families of the views: first rows and later ones put together again."""
    schema, child = case.schema, case.child
    first, later, persons = (views[n] for n in (first_of(child), later_of(child), schema.person))
    above = np.concatenate([first.person, later.person])
    # Later rows stand in their order already, so that a stable sort puts each behind its first.
    order = np.argsort(above, kind="stable")
    own = range(len(schema.columns[child].rows.domain.shape))
    return Rows(
        person=schema.columns[schema.person].rows.domain,
        child=schema.columns[child].rows.domain,
        persons=persons.columns,
        rows=tuple(np.concatenate([first.columns[i], later.columns[i]])[order] for i in own),
        above=above[order],
    )


def draw_rows(sampler: ForestSampler, real: Real, *, seed: int) -> Rows:
    """Draw as many persons as there are, with all their rows, as codes."""
    person, child = real.schema.person, real.child
    forest = Forest(sampler=sampler, persons=len(real.rows.persons[0]), seed=seed)
    blocks = list(forest.codes(child))
    starts = np.cumsum([0, *(b[person].rows for b in blocks)])

    def whole(name: str) -> tuple[np.ndarray, ...]:
        names = real.schema.columns[name].rows.domain.attributes
        return tuple(np.concatenate([b[name].codes[a] for b in blocks]) for a in names)

    return Rows(
        person=real.rows.person,
        child=real.rows.child,
        persons=whole(person),
        rows=whole(child),
        above=np.concatenate([b[child].above + s for b, s in zip(blocks, starts, strict=False)]),
    )


CASES: dict[str, Callable[[Path], Case]] = {"diabetes130": diabetes, "flights": flights}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of the table: a case at an epsilon, whose noise is in the sum, what is left out."""

    case: str
    label: str
    epsilon: float
    noises: float = POOLED
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return what figures of it are called."""
        return f"{self.case}, {self.label}"


def accuracy(cases: Sequence[str] = tuple(CASES)) -> int:
    """Run the table of the figures, and publish it case by case."""
    quick = bool(os.environ.get("QUICK"))
    missed = 0
    for case in cases[: 1 if quick else None]:
        figures = _rivals(case, persons=QUICK_PERSONS if quick else None)
        pooled: dict[str, float] = {}
        for run in _runs(case, quick=quick):
            means = _means(run, quick=quick)
            gates = dict(GATES.get(run.name, {}))
            if run.noises == SHARED:
                gates = {k: OF_POOLED * v for k, v in pooled.items() if k in LINKED}
            elif run.noises == POOLED:
                pooled = means
            figures += _figures(run.name, means, {} if quick else gates)
        name = "accuracy-quick" if quick else f"accuracy-{case}"
        missed = max(missed, publish(name, figures, room="families"))
    return missed


def _runs(case: str, *, quick: bool) -> tuple[Run, ...]:
    eight = Run(case=case, label="epsilon 8", epsilon=8.0)
    if quick or case != "diabetes130":
        return (eight,)
    flat = ("encounters by patients", "encounters by rows before")
    shared, own = "epsilon 1, 5 silos shared", "epsilon 1, 5 silos own"
    return (
        eight,
        Run(case=case, label="epsilon 1", epsilon=1.0),
        Run(case=case, label=shared, epsilon=1.0, noises=SHARED),
        Run(case=case, label=own, epsilon=1.0, noises=OWN),
        Run(case=case, label="epsilon 1, links left out", epsilon=1.0, left_out=flat),
    )


def _read(case: str, *, persons: int | None) -> Real:
    with TemporaryDirectory() as folder:
        return read_case(CASES[case](Path(folder)), persons=persons)


def _rivals(case: str, *, persons: int | None) -> list[Figure]:
    """Return the scores of what is no model of families."""
    real, found = _read(case, persons=persons), []
    for label, rival in (
        ("bootstrap", bootstrap),
        ("keys shuffled", shuffled),
        ("keys uniform", uniform),
    ):
        found += _figures(f"{case}, {label}", _scored(real, rival(real.rows, seed=1)), {})
    return found


def _means(run: Run, *, quick: bool) -> dict[str, float]:
    """Return the mean scores over the seeds, each measured, fitted and drawn by its own process."""
    told = []
    for seed in SEEDS[: 1 if quick else None]:
        asked = json.dumps([asdict(run), seed, QUICK_PERSONS if quick else None])
        command = [sys.executable, "-m", "bench.families.accuracy", asked]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        told.append(json.loads(done.stdout))
    return {k: float(np.mean([t[k] for t in told])) for k in told[0]}


def one(run: Run, *, seed: int, persons: int | None) -> dict[str, float]:
    """Measure, fit, draw and score once; with the seconds and the memory that it took."""
    assert set(run.left_out) <= {"encounters by patients", "encounters by rows before"}
    real = _read(run.case, persons=persons)
    start = time.process_time()
    found = measure(
        real.schema,
        real.views,
        epsilon=run.epsilon,
        noises=run.noises,
        seed=seed,
        left_out=run.left_out,
    )
    sampler = fit_families(
        real.schema, found.answers, certificate={}, plan_digest=PLAN, left_out=run.left_out
    )
    drawn = draw_rows(sampler, real, seed=seed)
    used = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**_scored(real, drawn), TIME: used, PEAK: peak}


def _scored(real: Real, drawn: Rows) -> dict[str, float]:
    return score(real.rows, drawn, number=number_name(real.child), skip=ORDER)


def _figures(label: str, scores: dict[str, float], gates: dict[str, float]) -> list[Figure]:
    units = {TIME: "cpu s", PEAK: "MiB"}
    return [
        Figure(
            figure=f"{label}: {name}",
            value=round(value, 4),
            unit=units.get(name, "TVD"),
            at_most=gates.get(name),
        )
        for name, value in scores.items()
    ]


if __name__ == "__main__":
    asked, seed, persons = json.loads(sys.argv[1])
    run = Run(**{**asked, "left_out": tuple(asked["left_out"])})
    print(json.dumps(one(run, seed=seed, persons=persons)))
