"""Mixture and copula against laws that are known, and the choice between them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from silosynth.common.domain import Domain
from silosynth.common.measurement import Measurement
from silosynth.common.schema import parse_schema
from silosynth.server.methods.mixture import candidates
from silosynth.server.mixture import (
    Levels,
    Products,
    Settings,
    choose,
    collect_pairs,
    denoise,
    fit_copula,
    fit_trees,
)
from silosynth.server.mixture.copula import both_below, correlation
from silosynth.server.planning import new_plan
from tests.server.mixture.test_pairs import kinds, measured

SCHEMA = parse_schema(
    {
        "name": "made",
        "attributes": [
            {"name": name, "kind": "boolean", "source": "public"} for name in ("a", "b")
        ],
    }
)
PLAN = new_plan(
    SCHEMA,
    epsilon=1.0,
    delta=1e-6,
    silos=["s"],
    method="mixture",
)
WIDE = Domain(attributes=tuple(f"q{i}" for i in range(30)), shape=(2, 3) * 15)


@pytest.mark.parametrize("rho", [-0.9, -0.3, 0.0, 0.4, 0.95])
def test_both_below_is_the_law_of_two_normals(rho: float) -> None:
    for left, right in ((0.0, 0.0), (-1.5, 0.7), (2.0, 1.0)):
        law = multivariate_normal(cov=np.array([[1.0, rho], [rho, 1.0]]))
        alone = multivariate_normal(cov=np.eye(2)).cdf([left, right])
        found = both_below(np.array([left]), np.array([right]), np.array([rho]))[0]
        assert found == pytest.approx(law.cdf([left, right]) - alone, abs=1e-6)
        back = correlation(np.array([left]), np.array([right]), np.array([found]))[0]
        assert back == pytest.approx(rho, abs=1e-4)


def test_a_mixture_of_kinds_is_found_again() -> None:
    truth = kinds(WIDE, count=4, seed=0)
    pairs = measured(truth, WIDE, rows=100_000.0, deviation=100.0)
    found = fit_trees(
        Levels.of_pairs(pairs, denoise(pairs), rising=(False,) * len(pairs.sizes)),
        settings=Settings(components=16, steps=150, smoothing=0.5),
        most_cells=0,
    )
    assert found.weights.sum() == pytest.approx(1)
    assert found.shares == pytest.approx(pairs.shares, abs=1e-3)
    off = np.where(pairs.known, found.covariance() - truth.covariance(), 0.0)
    whole = np.where(pairs.known, truth.covariance(), 0.0)
    assert np.abs(off).sum() < 0.1 * np.abs(whole).sum()


def _by_factors(loadings: np.ndarray, thresholds: np.ndarray) -> Products:
    """Return yes or no by thresholds of normal factors, on a grid of the one factor there is."""
    from scipy.special import ndtr

    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    rest = np.sqrt(1 - loadings**2)
    below = ndtr((thresholds - nodes[:, None] * loadings) / rest)
    codes = np.stack((below, 1 - below), axis=2).reshape(len(nodes), -1)
    return Products(weights=weights / weights.sum(), codes=codes)


def test_a_copula_of_one_factor_is_found_again_with_its_1_ways() -> None:
    domain = Domain(attributes=tuple(f"q{i}" for i in range(40)), shape=(2,) * 40)
    random = np.random.default_rng(0)
    truth = _by_factors(random.uniform(-0.8, 0.8, 40), random.normal(size=40))
    pairs = measured(truth, domain, rows=100_000.0, deviation=200.0)
    found = fit_copula(pairs, tuple(np.split(pairs.shares, pairs.starts[1:])), components=512)
    assert found.weights @ found.codes == pytest.approx(pairs.shares, abs=2e-3)
    off = np.where(pairs.known, found.covariance() - truth.covariance(), 0.0)
    noise = np.abs(np.where(pairs.known, pairs.covariance - truth.covariance(), 0.0)).sum()
    assert np.abs(off).sum() < 0.6 * noise


@pytest.mark.parametrize(("count", "names"), [(1, ["independent"]), (4, ["mixture", "copula"])])
def test_the_choice_is_what_is_near_to_what_was_not_seen(count: int, names: list[str]) -> None:
    truth = kinds(WIDE, count=count, seed=0)
    pairs = measured(truth, WIDE, rows=20_000.0, deviation=100.0)
    assert choose(pairs, candidates(PLAN, order=(False,) * 30)).name in names


def test_one_code_or_no_factor_is_no_failure() -> None:
    domain = Domain(attributes=("a", "b", "c"), shape=(1, 2, 2))
    alone = [
        Measurement(clique=(a,), values=np.full(n, 100.0 / n), variance=np.ones(n))
        for a, n in zip(domain.attributes, domain.shape, strict=True)
    ]
    pairs = [
        Measurement(clique=(a, b), values=np.full(n, 100.0 / n), variance=np.ones(n))
        for a, b in combinations(domain.attributes, 2)
        for n in [domain.size((a, b))]
    ]
    joined = collect_pairs(alone, pairs, domain=domain)
    for candidate in candidates(PLAN, order=(False,) * 3):
        found = candidate.fit(joined)
        assert found.shares == pytest.approx(joined.shares, abs=1e-6)
