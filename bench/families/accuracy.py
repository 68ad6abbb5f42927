"""How near families that are drawn from noised counts are to real ones, beside what is no model.

Counted in memory, with normal noise of the stated variance: pooled, with the own noise of five
silos, and with shared noise of five of which one may collude. Each row stands beside persons drawn
with replacement, right tables with keys shuffled, right tables with keys uniform, and the same
model with both links left out. ``QUICK=1`` takes 4,000 patients at one epsilon.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.families.cases import ORDER, Case, diabetes, flights
from bench.families.measured import measure
from bench.families.scores import Rows, bootstrap, score, shuffled, uniform
from bench.support.results import Figure, publish
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import code_families
from silosynth.client.families.views import View
from silosynth.common.families import first_of, later_of, link_names
from silosynth.common.forest import ForestSampler
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, number_name
from silosynth.server.families import fit_families

PLAN = "sha256:" + "0" * 64
QUICK_PERSONS = 4_000
POOLED, OWN, SHARED = 1.0, 5.0, 5.0 / 4.0
"""How many times one silo's noise is in the sum: of five silos, and of five with one colluding."""
GATES: dict[str, dict[str, float]] = {
    "diabetes130, epsilon 1": {
        "child 2": 0.031,
        "parent x child": 0.026,
        "N x child": 0.023,
        "sibling same": 0.100,
        "sibling cross": 0.053,
        "KS": 0.005,
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
SECONDS = 15.0


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


def accuracy() -> int:
    """Run the table of the figures and publish it."""
    quick = bool(os.environ.get("QUICK"))
    cases: list[tuple[str, Callable[[Path], Case]]] = [("diabetes130", diabetes)]
    if not quick:
        cases.append(("flights", flights))
    figures: list[Figure] = []
    for name, made in cases:
        with TemporaryDirectory() as folder:
            real = read_case(made(Path(folder)), persons=QUICK_PERSONS if quick else None)
        for label, rivals in (
            ("bootstrap", bootstrap),
            ("keys shuffled", shuffled),
            ("keys uniform", uniform),
        ):
            figures += _figures(f"{name}, {label}", _scored(real, rivals(real.rows, seed=1)), {})
        for label, epsilon, noises, left_out in _runs(name, quick=quick):
            figures += _run(real, label, epsilon, noises, left_out, gated=not quick)
    if quick:
        return publish("accuracy-quick", figures, room="families")
    return publish("accuracy", figures, room="families")


def _runs(name: str, *, quick: bool) -> list[tuple[str, float, float, tuple[str, ...]]]:
    if quick:
        return [(f"{name}, epsilon 8", 8.0, POOLED, ())]
    runs: list[tuple[str, float, float, tuple[str, ...]]] = [
        (f"{name}, epsilon 8", 8.0, POOLED, ())
    ]
    if name == "diabetes130":
        child = "encounters"
        runs += [
            (f"{name}, epsilon 1", 1.0, POOLED, ()),
            (f"{name}, epsilon 1, 5 silos shared", 1.0, SHARED, ()),
            (f"{name}, epsilon 1, 5 silos own", 1.0, OWN, ()),
            (
                f"{name}, epsilon 1, links left out",
                1.0,
                POOLED,
                (f"{child} by patients", f"{child} by rows before"),
            ),
        ]
    return runs


def _run(
    real: Real,
    label: str,
    epsilon: float,
    noises: float,
    left_out: tuple[str, ...],
    *,
    gated: bool,
) -> list[Figure]:
    """Measure, fit, draw and score with each seed, and return the means."""
    assert set(left_out) <= set(link_names(real.schema))
    scores: list[dict[str, float]] = []
    used = []
    seeds = range(int(os.environ.get("SEEDS", "3")) if gated else 1)
    for seed in seeds:
        start = time.process_time()
        found = measure(
            real.schema,
            real.views,
            epsilon=epsilon,
            noises=noises,
            seed=seed,
            left_out=left_out,
        )
        sampler = fit_families(
            real.schema,
            found.answers,
            certificate={},
            plan_digest=PLAN,
            left_out=left_out,
        )
        drawn = draw_rows(sampler, real, seed=seed)
        used.append(time.process_time() - start)
        scores.append(_scored(real, drawn))
    means = {k: float(np.mean([s[k] for s in scores])) for k in scores[0]}
    seconds = Figure(
        figure=f"{label}: measure, fit, draw",
        value=float(np.mean(used)),
        unit="cpu s",
        at_most=SECONDS if gated and label == "diabetes130, epsilon 1" else None,
    )
    return [*_figures(label, means, GATES.get(label, {}) if gated else {}), seconds]


def _scored(real: Real, drawn: Rows) -> dict[str, float]:
    return score(real.rows, drawn, number=number_name(real.child), skip=ORDER)


def _figures(label: str, scores: dict[str, float], gates: dict[str, float]) -> list[Figure]:
    return [
        Figure(
            figure=f"{label}: {name}", value=round(value, 4), unit="TVD", at_most=gates.get(name)
        )
        for name, value in scores.items()
    ]
