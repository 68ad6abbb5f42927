"""How near families that are drawn from noised counts are to real ones, beside what is no model.

Counted in memory, with normal noise of the stated variance: pooled, and five silos by their laws,
of own noise and of shared noise of which one may collude. A person weighs the same in whichever
silo all its rows are, so that sums over silos depend on no split. ``QUICK=1`` takes 4,000 patients
at one epsilon.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.families.cases import CASES, ORDER
from bench.families.hma import draw_hma, is_set_up, some_persons
from bench.families.kept import run_kept
from bench.families.measured import measure
from bench.families.real import Real, draw_rows, read_case
from bench.families.scores import Rows, bootstrap, score, shuffled, uniform
from bench.support.results import Figure, is_quick, publish
from silosynth.common.tables import number_name
from silosynth.server.families import fit_families

PLAN = "sha256:" + "0" * 64
QUICK_PERSONS = 4_000
POOLED, OWN, SHARED = 1.0, 5.0, 5.0 / 4.0
"""How many times one silo's noise is in the sum: of five silos, and of five with one colluding."""
TIME, PEAK = "measure, fit, draw", "peak"
SEEDS = (211, 212, 213)
"""Of noise and draws; no setting was chosen on them."""
LINKED = ("child 2", "parent x child", "N x child", "sibling same", "sibling cross")
OF_POOLED = 1.05
FLAT = {
    "diabetes130": ("encounters by patients", "encounters by rows before"),
    "flights": ("flights by planes", "flights by rows before"),
}
HMA_PERSONS = {"diabetes130": 1_000, "flights": 500}


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


def _flat(case: str, epsilon: float) -> Run:
    label = f"epsilon {epsilon:g}, links left out"
    return Run(case=case, label=label, epsilon=epsilon, left_out=FLAT[case])


RUNS: Mapping[str, Run] = {
    "diabetes130": Run(case="diabetes130", label="epsilon 1", epsilon=1.0),
    "diabetes130-shared": Run(
        case="diabetes130", label="epsilon 1, 5 silos shared", epsilon=1.0, noises=SHARED
    ),
    "diabetes130-own": Run(
        case="diabetes130", label="epsilon 1, 5 silos own", epsilon=1.0, noises=OWN
    ),
    "diabetes130-flat": _flat("diabetes130", 1.0),
    "diabetes130-8": Run(case="diabetes130", label="epsilon 8", epsilon=8.0),
    "diabetes130-flat-8": _flat("diabetes130", 8.0),
    "flights": Run(case="flights", label="epsilon 8", epsilon=8.0),
    "flights-flat": _flat("flights", 8.0),
}
GATES: Mapping[str, Mapping[str, float]] = {
    "diabetes130": {
        "child 2": 0.031,
        "parent x child": 0.026,
        "N x child": 0.023,
        "sibling same": 0.100,
        "sibling cross": 0.053,
        "KS": 0.005,
        TIME: 15.0,
        PEAK: 600.0,
    },
    "diabetes130-own": {
        "child 2": 0.042,
        "parent x child": 0.039,
        "N x child": 0.045,
        "sibling same": 0.21,
        "sibling cross": 0.086,
    },
    "diabetes130-8": {
        "child 2": 0.022,
        "parent x child": 0.016,
        "N x child": 0.013,
        "sibling same": 0.05,
        "sibling cross": 0.035,
        "siblings two apart": 0.06,
        "KS": 0.005,
        TIME: 15.0,
        PEAK: 600.0,
    },
    "flights": {
        "child 2": 0.09,
        "parent x child": 0.07,
        "N x child": 0.08,
        "sibling same": 0.10,
        "sibling cross": 0.085,
        "KS": 0.02,
    },
}


def run_case(name: str) -> int:
    """Run one row of the table with all seeds, and publish it beside those that are there."""
    run, gates = RUNS[name], dict(GATES.get(name, {}))
    if run.noises == SHARED:
        pooled = _scores(RUNS["diabetes130"])
        gates = {k: OF_POOLED * float(np.mean(pooled[k])) for k in LINKED}
    figures = _figures(run.name, _scores(run), {} if is_quick() else gates)
    return publish(f"accuracy-{run.case}", figures, room="families", update=not is_quick())


def beside(case: str) -> int:
    """Publish the scores of what is no model of families."""
    real, figures = _read(case, persons=QUICK_PERSONS if is_quick() else None), []
    rivals = {"bootstrap": bootstrap, "keys shuffled": shuffled, "keys uniform": uniform}
    for label, rival in rivals.items():
        told = [_scored(real, rival(real.rows, seed=seed)) for seed in SEEDS]
        figures += _figures(f"{case}, {label}", _together(told), {})
    return publish(f"accuracy-{case}", figures, room="families", update=not is_quick())


def hma(case: str) -> int:
    """Publish the scores of SDV's HMA, which has no privacy, and of as many real persons."""
    if not is_set_up():
        print("no environment for sdv; run python -m bench.peers.setup sdv", file=sys.stderr)
        return 1
    real, persons = _read(case, persons=None), HMA_PERSONS[case]
    chosen = some_persons(real.rows, persons=persons, seed=SEEDS[0])
    drawn, facts = draw_hma(real, chosen, seed=SEEDS[0])
    known = {**_scored(real, drawn), TIME: facts["seconds"], PEAK: facts["peak"]}
    what = f"persons' real rows, {persons} of {len(real.rows.persons[0]):,}"
    figures = [
        *_figures(f"{case}, SDV HMA of {persons} persons, no privacy", _together([known]), {}),
        *_figures(f"{case}, {what}", _together([_scored(real, chosen)]), {}),
    ]
    return publish(f"accuracy-{case}", figures, room="families", update=True)


def _read(case: str, *, persons: int | None) -> Real:
    with TemporaryDirectory() as folder:
        return read_case(CASES[case](Path(folder)), persons=persons)


def _scores(run: Run) -> dict[str, list[float]]:
    """Return the scores by seed, each measured, fitted and drawn by its own process."""
    persons = QUICK_PERSONS if is_quick() else None
    return _together(
        [
            run_kept("bench.families.accuracy", [asdict(run), seed, persons])
            for seed in SEEDS[: 1 if is_quick() else None]
        ]
    )


def _together(told: list[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [t[name] for t in told] for name in told[0]}


def one(run: Run, *, seed: int, persons: int | None) -> dict[str, float]:
    """Measure, fit, draw and score once; with the seconds and the memory that it took."""
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


def _figures(
    label: str, scores: Mapping[str, list[float]], gates: Mapping[str, float]
) -> list[Figure]:
    units = {TIME: "cpu s", PEAK: "MiB"}
    return [
        Figure(
            figure=f"{label}: {name}",
            value=round(float(np.mean(values)), 4),
            spread=round((max(values) - min(values)) / 2, 4) if len(values) > 1 else None,
            unit=units.get(name, "TVD"),
            at_most=gates.get(name),
        )
        for name, values in scores.items()
    ]


if __name__ == "__main__":
    asked, seed, persons = json.loads(sys.argv[1])
    run = Run(**{**asked, "left_out": tuple(asked["left_out"])})
    print(json.dumps(one(run, seed=seed, persons=persons)))
