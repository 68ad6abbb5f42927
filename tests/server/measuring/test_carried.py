"""What the last sampler says counts by its noise and by how far people moved away from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import CliqueMarginal, Sampler, build_sampler
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.measuring import (
    Carried,
    carry,
    regroup,
    take_over,
    weigh_columns,
    within_memory,
)
from silosynth.server.measuring.carried import SAMPLED, drift_rate
from silosynth.server.planning import new_plan

ROWS = 10_000.0


def schema_of(names: str) -> Schema:
    return parse_schema(
        {
            "name": "visits",
            "attributes": [
                {"name": n, "kind": "categorical", "categories": list("wxyz"), "other": False}
                | {"source": "public"}
                for n in names
            ],
        }
    )


SCHEMA = schema_of("ab")
PLAN = new_plan(SCHEMA, epsilon=2, delta=1e-6, silos=("north",), method="mst", plan_id="t")
PAIR = np.full((4, 4), 1 / 40) + np.eye(4) * (1 / 4 - 1 / 10)


def last_sampler(grouping: Grouping | None = None) -> Sampler:
    """Return a sampler of two columns that mostly agree."""
    merged, within = PAIR, {}
    if grouping is not None:
        step = np.eye(3)[np.asarray(grouping.groups["a"])]
        merged, within = step.T @ PAIR, {"a": np.array([1.0, 1.0, 0.5, 0.5])}
    return build_sampler(
        schema=SCHEMA,
        grouping=grouping or Grouping(),
        within=within,
        nodes=(CliqueMarginal(clique=("a", "b"), separator=(), values=merged.ravel()),),
        total=int(ROWS),
        certificate=certify_plan(PLAN).model_dump(mode="json"),
        plan_digest=PLAN.digest,
    )


def measured(values: np.ndarray, clique: tuple[str, ...], variance: float) -> Measurement:
    values = np.asarray(values, dtype=np.float64).ravel()
    return Measurement(clique=clique, values=values, variance=np.full(values.shape, variance))


def columns(shares: np.ndarray, *, variance: float, noise: float = 0.0) -> list[Measurement]:
    random = np.random.default_rng(1)
    return [
        measured(ROWS * shares + random.normal(0, noise, 4), (name,), variance) for name in "ab"
    ]


def test_it_says_its_columns_its_cliques_and_pairs_that_it_is_asked_about() -> None:
    found = carry(last_sampler())
    noise = certify_plan(PLAN).cell_noise
    assert [m.clique for m in found.one_way] == [("a",), ("b",)]
    np.testing.assert_allclose(found.one_way[0].values, ROWS / 4, atol=1)
    assert found.one_way[0].variance[0] == noise["one-way"]
    (pair,) = found.cliques
    np.testing.assert_allclose(pair.values.reshape(4, 4), ROWS * PAIR, atol=1)
    assert pair.variance[0] == noise["tree"]
    assert found.rows == pytest.approx(ROWS, abs=1)
    assert not Carried()
    # A pair of its model is said once; one that lies in no clique is drawn.
    assert len(carry(last_sampler(), pairs=[("b", "a")]).cliques) == 1


def test_what_noise_hides_is_taken_from_the_old_and_what_moved_from_the_new() -> None:
    old = carry(last_sampler())
    even = np.full(4, 0.25)
    noisy = columns(even, variance=90_000.0, noise=300.0)
    for now, both in zip(noisy, weigh_columns(noisy, old), strict=True):
        assert np.abs(both.values - ROWS / 4).max() < np.abs(now.values - ROWS / 4).max() / 2
        assert (both.variance < now.variance).all()
    moved = columns(np.array([0.7, 0.1, 0.1, 0.1]), variance=100.0)
    for now, both in zip(moved, weigh_columns(moved, old), strict=True):
        np.testing.assert_allclose(both.values, now.values, atol=20)


def test_the_drift_is_that_of_two_samples_until_noise_cannot_explain_it() -> None:
    old = measured(np.full(4, 2_500.0), ("a",), 100.0)
    assert drift_rate(old, beside=old) == SAMPLED
    apart = replace(old, values=old.values + np.array([600.0, -600.0, 0.0, 0.0]))
    assert drift_rate(old, beside=apart) == pytest.approx((2 * 600**2 - 800) / ROWS, rel=0.02)
    assert drift_rate(replace(old, variance=old.variance * 1e4), beside=apart) == SAMPLED


def test_a_pair_keeps_its_bond_and_has_the_columns_of_now() -> None:
    old, shares = carry(last_sampler()), np.array([0.4, 0.3, 0.2, 0.1])
    now = columns(shares, variance=1.0)
    (found,) = take_over(
        (), old, one_way=now, columns=now, domain=SCHEMA.domain, grouping=Grouping()
    )
    table = found.values.reshape(4, 4)
    np.testing.assert_allclose(table.sum(axis=1), ROWS * shares, atol=2)
    odds = table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0])
    assert odds == pytest.approx((PAIR[0, 0] / PAIR[0, 1]) ** 2, rel=0.01)


@pytest.mark.parametrize("turned", [False, True])
def test_a_pair_that_was_measured_again_weighs_little_where_it_moved(turned: bool) -> None:
    old, now = carry(last_sampler()), columns(np.full(4, 0.25), variance=100.0)
    moved = ROWS * (PAIR[::-1] if not turned else PAIR[::-1].T)
    again = measured(moved, ("b", "a") if turned else ("a", "b"), 100.0)

    def weight(pair: Measurement) -> float:
        (found,) = take_over(
            [pair], old, one_way=now, columns=now, domain=SCHEMA.domain, grouping=Grouping()
        )
        assert found.clique == ("a", "b")
        return float((pair.variance / (pair.variance + found.variance)).max())

    assert weight(again) < 0.01
    assert weight(measured(ROWS * PAIR, ("a", "b"), 10_000.0)) > 0.5


def test_codes_that_were_merged_then_are_parted_as_their_columns_were() -> None:
    grouping = Grouping(groups={"a": (0, 1, 2, 2)})
    old, now = carry(last_sampler(grouping)), columns(np.full(4, 0.25), variance=100.0)
    (fine,) = take_over(
        (), old, one_way=now, columns=now, domain=SCHEMA.domain, grouping=Grouping()
    )
    np.testing.assert_allclose(fine.values.reshape(4, 4)[2], fine.values.reshape(4, 4)[3], rtol=0.1)
    (merged,) = take_over(
        (), carry(last_sampler()), one_way=now, columns=now, domain=SCHEMA.domain, grouping=grouping
    )
    regroup(merged, domain=SCHEMA.domain, grouping=grouping).check(grouping.domain(SCHEMA.domain))
    assert merged.values.sum() == pytest.approx(ROWS, rel=0.01)


def test_what_would_make_the_model_too_large_is_left_out() -> None:
    domain = Domain(attributes=("a", "b", "c"), shape=(100, 100, 100))
    pairs = [measured(np.ones(10_000), p, 1.0) for p in (("a", "b"), ("a", "c"))]
    kept = within_memory(pairs, present=[("b", "c")], domain=domain, max_model_mb=2)
    assert [m.clique for m in kept] == [("a", "b")]
    assert within_memory(pairs, present=[("b", "c")], domain=domain, max_model_mb=200) == (*pairs,)
