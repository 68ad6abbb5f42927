"""Pairs are scored above the noise, and the forest is the heaviest."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain
from silosynth.common.measurement import Measurement
from silosynth.server.methods.marginals import all_pairs
from silosynth.server.methods.mst import score_pair, spanning_forest


def _domain(count: int, size: int = 2) -> Domain:
    names = tuple("abcdefgh"[:count])
    return Domain(attributes=names, shape=(size,) * count)


def _measure(values: np.ndarray, *, deviation: float) -> Measurement:
    return Measurement(
        clique=("a", "b"), values=values, variance=np.full(values.shape, deviation**2)
    )


def test_independent_columns_score_near_nothing_and_dependent_ones_do() -> None:
    half = np.array([0.5, 0.5])
    noise = np.random.default_rng(1).normal(0, 10, 4)
    apart = _measure(np.array([250.0, 250, 250, 250]) + noise, deviation=10)
    together = _measure(np.array([500.0, 0, 0, 500]) + noise, deviation=10)
    assert score_pair(apart, left=half, right=half) < 40
    assert score_pair(together, left=half, right=half) > 900


def test_a_score_is_zero_when_the_noise_explains_everything() -> None:
    half = np.array([0.5, 0.5])
    seen = _measure(np.array([260.0, 240, 240, 260]), deviation=20)
    assert score_pair(seen, left=half, right=half) == 0.0


def test_a_negative_total_still_has_a_score() -> None:
    half = np.array([0.5, 0.5])
    assert score_pair(_measure(-np.ones(4), deviation=1), left=half, right=half) >= 0.0


def _heaviest(scores: dict[Clique, float], attributes: Clique) -> float:
    """Try every set of edges without a cycle (brute force)."""
    best = 0.0
    for count in range(len(attributes)):
        for edges in combinations(scores, count):
            parts = {a: {a} for a in attributes}
            for left, right in edges:
                if parts[left] is parts[right]:
                    break
                joined = parts[left] | parts[right]
                parts.update(dict.fromkeys(joined, joined))
                for member in joined:
                    parts[member] = joined
            else:
                best = max(best, sum(scores[e] for e in edges))
    return best


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=6, max_size=6))
def test_the_forest_is_the_heaviest_one(weights: list[int]) -> None:
    domain = _domain(4)
    scores = dict(zip(all_pairs(domain), map(float, weights), strict=True))
    forest = spanning_forest(scores, domain=domain, max_cells=100)
    assert sum(scores[e] for e in forest) == _heaviest(scores, domain.attributes)
    assert all(scores[e] > 0 for e in forest)


def test_pairs_that_show_nothing_or_are_too_large_are_left_out() -> None:
    domain = Domain(attributes=("a", "b", "c"), shape=(2, 2, 100))
    scores: dict[Clique, float] = {("a", "b"): 0.0, ("a", "c"): 5.0, ("b", "c"): 1.0}
    assert spanning_forest(scores, domain=domain, max_cells=1000) == (("a", "c"), ("b", "c"))
    assert spanning_forest(scores, domain=domain, max_cells=100) == ()


@pytest.mark.parametrize("order", [1, -1])
def test_equal_scores_give_one_forest_whatever_their_order(order: int) -> None:
    domain = _domain(4)
    scores = dict.fromkeys(all_pairs(domain)[::order], 1.0)
    forest = spanning_forest(scores, domain=domain, max_cells=100)
    assert forest == (("a", "b"), ("a", "c"), ("a", "d"))
