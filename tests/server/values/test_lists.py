"""Counts of long lists: what all say together is nearer to the truth than each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName
from silosynth.common.schema import parse_schema
from silosynth.server.methods.marginals import finish_model, steadied
from silosynth.server.methods.method import Known
from silosynth.server.planning import new_plan
from silosynth.server.values import FEWEST_CODES, project, steady_counts

NOISE = 100.0


def _projected(counts: np.ndarray, rows: float) -> np.ndarray:
    there = np.ones((1, len(counts)), dtype=bool)
    found: np.ndarray = project(counts[None, :], there=there, total=np.array([rows]))[0]
    return found


def _distance(found: np.ndarray, counts: np.ndarray) -> float:
    return float(np.abs(found / found.sum() - counts / counts.sum()).sum()) / 2


@given(
    counts=st.lists(st.floats(-1e4, 1e6), min_size=1, max_size=80),
    deviation=st.floats(0.5, 1e4),
    rows=st.floats(0, 1e6),
)
@settings(max_examples=80, deadline=None)
def test_counts_are_not_negative_and_add_up(
    counts: list[float], deviation: float, rows: float
) -> None:
    found = steady_counts(np.array(counts), deviation=deviation, rows=rows)
    assert found.shape == (len(counts),)
    assert (found >= 0).all()
    own = max(sum(counts), 0.0)
    assert min(abs(found.sum() - rows), abs(found.sum() - own)) <= 1e-6 * max(rows, own, 1.0)


@pytest.mark.parametrize(
    ("codes", "worth"), [(30, 0.0), (250, 0.02), (2_000, 0.05)], ids=["short", "long", "longer"]
)
def test_long_lists_are_nearer_than_by_projection(codes: int, worth: float) -> None:
    r = np.random.default_rng(3)
    counts = 30_000 / np.arange(1, codes + 1) ** 1.1
    counts *= 30_000 / counts.sum()
    gained = []
    for _ in range(6):
        noised = counts + r.normal(0, NOISE, codes)
        steady = steady_counts(noised, deviation=NOISE, rows=30_000)
        gained.append(_distance(_projected(noised, 30_000), counts) - _distance(steady, counts))
    assert np.mean(gained) > worth - 0.004


def test_few_rows_beside_one_large_code_are_shared_by_what_stands_out() -> None:
    counts = np.array([26_500.0, 150, 120, 90, 80, 60, 40])
    r = np.random.default_rng(5)
    distances = []
    for _ in range(40):
        noised = counts + r.normal(0, NOISE, len(counts))
        one, other = (
            found[1:] + 1e-9
            for found in (
                _projected(noised, counts.sum()),
                steady_counts(noised, deviation=NOISE, rows=counts.sum()),
            )
        )
        distances.append(_distance(one, counts[1:]) - _distance(other, counts[1:]))
    assert np.mean(distances) > 0.1


def test_what_stands_far_above_its_noise_stays() -> None:
    counts = np.arange(2_000.0, 12_000.0, 500.0)
    found = steady_counts(counts, deviation=50.0, rows=float(counts.sum()))
    np.testing.assert_allclose(found, counts, rtol=1e-9)


def test_equal_codes_come_out_equal() -> None:
    noised = 200 + np.random.default_rng(7).normal(0, NOISE, 400)
    found = steady_counts(noised, deviation=NOISE, rows=80_000)
    assert found.std() < 0.35 * _projected(noised, 80_000).std()


def test_sure_counts_of_another_sum_stay_as_they_are() -> None:
    counts = np.array([100.0, 2_900, 1_500, 700, 2_200, 900, 300])
    found = steady_counts(counts, deviation=10.0, rows=4_000)
    np.testing.assert_allclose(found, counts)


def test_few_codes_are_left_alone() -> None:
    assert FEWEST_CODES == 6


def _known(values: dict[str, np.ndarray], **variance: np.ndarray) -> Known:
    attributes = [
        {"name": "list", "kind": "categorical", "categories": [f"c{i}" for i in range(40)]},
        {"name": "order", "kind": "ordinal", "categories": [f"o{i}" for i in range(40)]},
        {"name": "few", "kind": "categorical", "categories": ["a", "b", "c"]},
    ]
    attributes = [a | {"other": False, "source": "public"} for a in attributes]
    schema = parse_schema({"name": "t", "attributes": attributes})
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=("a",), method="independent")
    one_way = tuple(
        Measurement(
            clique=(name,), values=v, variance=variance.get(name, np.full(len(v), NOISE**2))
        )
        for name, v in values.items()
    )
    return Known(plan=plan, schema=schema, measured={PhaseName.ONE_WAY: one_way})


def test_lists_alone_aresteadied_and_what_was_measured_is_told_as_it_was() -> None:
    r = np.random.default_rng(9)
    noised = {n: r.normal(50, NOISE, k) for n, k in (("list", 40), ("order", 40), ("few", 3))}
    known = _known(noised)
    outcome = finish_model(known, grouping=known.rare_merged)
    told = {m.clique[0]: m for m in outcome.measurements}
    groups = np.asarray(known.rare_merged.groups.get("list", range(40)))
    np.testing.assert_allclose(told["list"].values, np.bincount(groups, weights=noised["list"]))
    assert set(steadied(known)) == {("list",)}
    # Where counts are surer than others nothing is learnt of all.
    uneven = _known(noised, list=np.linspace(1, 2, 40) * NOISE**2)
    assert steadied(uneven) == {}
