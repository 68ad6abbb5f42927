"""Reports from releases alone: an oracle for every ratio, and no way for a row to get in."""

from __future__ import annotations

import inspect
import json
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Clique, Grouping
from silosynth.common.errors import InvalidMeasurement
from silosynth.common.measurement import Measurement
from silosynth.common.report import Mode, Reference, ReportFacts
from silosynth.common.report.facts import encode_facts
from silosynth.common.report.layout import render_report
from silosynth.server.coordinator import Answered, Ask, State, finish, step
from silosynth.server.coordinator.machine import start
from silosynth.server.report import chosen_pairs, report_outcome
from silosynth.server.report.measured import from_measurements
from tests.support.fakes import SILOS, answer_exactly, small_codes, small_plan, small_schema

SCHEMA, PLAN = small_schema(), small_plan()
DOMAIN = SCHEMA.domain
CODES = small_codes(1, rows=4000)


def counts(clique: Clique, *, codes: np.ndarray = CODES, grouping: Grouping | None = None) -> Any:
    """Return the exact counts over a clique, after merging."""
    merged = grouping or Grouping()
    columns = [
        merged.lookup(a, s)[codes[:, DOMAIN.index(a)]]
        for a, s in zip(clique, DOMAIN.sizes(clique), strict=True)
    ]
    sizes = merged.domain(DOMAIN).sizes(clique)
    cells = np.ravel_multi_index(columns, sizes)
    return np.bincount(cells, minlength=int(np.prod(sizes))).astype(np.float64)


def noised(clique: Clique, *, sigma: float = 20.0, grouping: Grouping | None = None) -> Measurement:
    """Return a measurement with Gaussian noise."""
    exact = counts(clique, grouping=grouping)
    noise = np.random.default_rng(len(exact)).normal(0, sigma, exact.shape)
    return Measurement(
        clique=clique,
        values=exact + noise,
        variance=np.full(exact.shape, sigma**2),
        grouping=grouping or Grouping(),
    )


ONES = [noised((a,)) for a in DOMAIN.attributes]


def report(measurements: list[Measurement], model: Any = counts, **changes: Any) -> ReportFacts:
    """Report ``measurements`` against a model that is the truth unless told."""
    return from_measurements(
        measurements,
        model,
        schema=SCHEMA,
        plan=PLAN,
        certificate=certify_plan(PLAN),
        costs=dict.fromkeys(SILOS, 10**10),
        **changes,
    )


def ratio(measurement: Measurement, expected: np.ndarray) -> float:
    """Return the root mean square residual in standard deviations, cell by cell."""
    z = [
        (e - v) / s**0.5
        for e, v, s in zip(expected, measurement.values, measurement.variance, strict=True)
    ]
    return float(np.sqrt(sum(x * x for x in z) / len(z)))


def test_ratios_are_those_of_the_cells() -> None:
    pair = noised(("age", "old"))
    facts = report([*ONES, pair])
    one, two = facts.scores
    assert one.value == pytest.approx(np.mean([ratio(m, counts(m.clique)) for m in ONES]), rel=1e-5)
    assert one.floor == pytest.approx(
        np.mean([ratio(m, np.full(m.values.shape, 4000 / len(m.values))) for m in ONES]), rel=1e-5
    )
    assert two.value == pytest.approx(ratio(pair, counts(pair.clique)), rel=1e-5)
    independent = np.outer(counts(("age",)), counts(("old",))).ravel() / 4000
    assert two.floor == pytest.approx(ratio(pair, independent), rel=1e-5)
    assert (one.floor_is, two.floor_is) == (Reference.UNIFORM, Reference.INDEPENDENT)
    assert one.ceiling == two.ceiling == 1.0


def test_the_truth_lies_within_the_noise_and_independence_far_beyond() -> None:
    pairs = [noised(c) for c in combinations(DOMAIN.attributes, 2)]
    facts = report([*ONES, *pairs])
    assert facts.scores[1].marginals == 6
    assert 0.7 < facts.scores[1].value < 1.3
    names = facts.pairs.attributes
    dependent = next(
        p for p in facts.pairs.pairs if {names[p.left], names[p.right]} == {"ill", "old"}
    )
    assert dependent.floor > 5 > dependent.value


def test_coarse_measurements_are_compared_on_their_own_codes() -> None:
    halves = Grouping(groups={"age": (0,) * 10 + (1,) * 10})
    coarse = noised(("old", "age"), grouping=halves)
    facts = report([*ONES, coarse])
    expected = counts(("old", "age"), grouping=halves)
    assert facts.scores[1].value == pytest.approx(ratio(coarse, expected), rel=1e-5)
    assert [(p.left, p.right) for p in facts.pairs.pairs] == [(0, 3)]


def test_a_merged_domain_is_shown_with_the_labels_of_its_groups() -> None:
    merged = Grouping(groups={"age": tuple(i // 5 for i in range(20))})
    measured = [noised((a,), grouping=merged) for a in DOMAIN.attributes]
    measured = [
        Measurement(clique=m.clique, values=m.values, variance=m.variance) for m in measured
    ]
    facts = report(measured, lambda c: counts(c, grouping=merged), grouping=merged)
    age = next(a for a in facts.attributes if a.name == "age")
    assert age.labels == tuple(f"{i} \u2013 {i + 4}" for i in range(0, 20, 5))
    assert age.edges == ("0", "5", "10", "15", "19")
    assert age.synthetic == pytest.approx(counts(("age",), grouping=merged) / 4000, rel=1e-5)
    assert age.reference == pytest.approx(measured[0].values / 4000, rel=1e-5)
    assert age.spread == pytest.approx([20 / 4000] * 4)


def test_the_facts_follow_from_measurements_and_model_alone() -> None:
    parameters = set(inspect.signature(from_measurements).parameters)
    assert not parameters & {"real", "table", "tables", "rows", "silos", "silo_rows"}
    facts = report(ONES)
    assert facts.mode is Mode.FEDERATION
    assert facts.headline.rows_real is None
    assert all(s.rows is None for s in facts.silos)
    shown = json.loads(encode_facts(facts))
    exact = {tuple(np.round(counts((a,)) / 4000, 6)) for a in DOMAIN.attributes}
    assert not {tuple(np.round(a["reference"], 6)) for a in shown["attributes"]} & exact
    assert "Rows (private)" not in render_report(facts)


def test_negative_noised_counts_are_shown_and_drawn() -> None:
    low = [Measurement(clique=m.clique, values=m.values - 5000, variance=m.variance) for m in ONES]
    facts = report(low)
    assert min(facts.attributes[0].reference) < 0
    assert render_report(facts)


def test_an_attribute_without_a_measurement_is_named() -> None:
    with pytest.raises(InvalidMeasurement, match="'ill'"):
        report([m for m in ONES if m.clique != ("ill",)])


def test_a_measurement_of_another_domain_is_refused() -> None:
    with pytest.raises(InvalidMeasurement):
        report([*ONES, Measurement(clique=("age",), values=np.ones(3), variance=np.ones(3))])


def test_attributes_stand_worst_first() -> None:
    def wrong(clique: Clique) -> np.ndarray:
        found = counts(clique)
        return np.roll(found, 1) if clique == ("region",) else found

    facts = report([*ONES], wrong)
    assert [a.value for a in facts.attributes] == sorted(
        (a.value for a in facts.attributes), reverse=True
    )


def run_to_the_end() -> State:
    """Return the state of a run in which every silo answered every phase."""
    tables = {silo: small_codes(seed) for seed, silo in enumerate(SILOS)}
    state, commands = start(PLAN, SCHEMA)
    waiting = [c.request for c in commands if isinstance(c, Ask)]
    while waiting:
        request = waiting.pop(0)
        data = answer_exactly(request, plan=PLAN, codes=tables[request.silo])
        state, new = step(state, Answered(phase=request.phase, silo=request.silo, data=data))
        waiting += [c.request for c in new if isinstance(c, Ask)]
    return state


def test_a_finished_run_is_reported_from_what_the_coordinator_holds() -> None:
    state = run_to_the_end()
    facts = report_outcome(state, finish(state), rows_synthetic=10)
    assert [s.ways for s in facts.scores] == [1, 2]
    assert facts.scores[0].value < 1 < facts.scores[0].floor
    assert len(facts.pairs.pairs) == 6
    chosen = chosen_pairs(state)
    assert 0 < sum(p.chosen for p in facts.pairs.pairs) == len(chosen) < 6
    assert [s.name for s in facts.silos] == sorted(SILOS)
    assert facts.silos[0].rho == pytest.approx(3 / 2**40)
    assert facts == report_outcome(run_to_the_end(), finish(run_to_the_end()), rows_synthetic=10)
