"""All pairs in one matrix: what they say is kept, and noise of sums goes where it belongs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from silosynth.common.domain import Domain
from silosynth.common.errors import RunFailed
from silosynth.common.measurement import Measurement
from silosynth.server.mixture import NoisedPairs, Products, collect_pairs, denoise
from silosynth.server.mixture.pairs import centred

DOMAIN = Domain(attributes=("a", "b", "c"), shape=(2, 3, 4))


def kinds(domain: Domain, *, count: int, seed: int) -> Products:
    """Return a mixture of kinds of rows."""
    random = np.random.default_rng(seed)
    codes = [random.dirichlet(np.full(size, 0.5), count) for size in domain.shape]
    return Products(weights=random.dirichlet(np.full(count, 5.0)), codes=np.hstack(codes))


def measured(
    truth: Products, domain: Domain, *, rows: float, deviation: float, seed: int = 1
) -> NoisedPairs:
    """Return what noised 1-ways and pairs of so many rows of a mixture say."""
    random = np.random.default_rng(seed)
    parts = np.split(truth.codes, np.cumsum(domain.shape)[:-1], axis=1)

    def noised(values: np.ndarray, *clique: int) -> Measurement:
        noise = random.normal(size=values.shape) * deviation
        return Measurement(
            clique=tuple(domain.attributes[i] for i in clique),
            values=(values * rows + noise).ravel(),
            variance=np.full(values.size, deviation**2 or 1.0),
        )

    alone = [noised(truth.weights @ part, i) for i, part in enumerate(parts)]
    pairs = [
        noised((parts[i] * truth.weights[:, None]).T @ parts[j], i, j)
        for i, j in combinations(range(len(parts)), 2)
    ]
    return collect_pairs(alone, pairs, domain=domain)


def test_without_noise_the_covariance_and_the_1_ways_are_the_truth() -> None:
    truth = kinds(DOMAIN, count=3, seed=0)
    found = measured(truth, DOMAIN, rows=1000.0, deviation=0.0)
    assert found.total == pytest.approx(1000)
    assert found.shares == pytest.approx(truth.weights @ truth.codes)
    assert found.covariance == pytest.approx(np.where(found.known, truth.covariance(), 0.0))


def test_every_block_adds_up_to_nothing_in_rows_and_columns() -> None:
    truth = kinds(DOMAIN, count=3, seed=0)
    found = measured(truth, DOMAIN, rows=1000.0, deviation=20.0)
    assert centred(found.covariance, found) == pytest.approx(found.covariance)
    assert not found.covariance[~found.known].any()


def test_pairs_say_more_of_a_1_way_than_the_1_way_itself() -> None:
    domain = Domain(attributes=tuple(f"q{i}" for i in range(40)), shape=(2,) * 40)
    truth = kinds(domain, count=3, seed=0)
    found = measured(truth, domain, rows=1000.0, deviation=10.0)
    off = np.abs(found.shares - truth.weights @ truth.codes).mean() * 1000
    # 39 pairs of two cells a side and the 1-way: 10 / sqrt(1 + 39 / 2), and 0.8 of it on average.
    assert off < 3.0


def test_a_pair_over_other_codes_is_refused() -> None:
    alone = [
        Measurement(clique=(a,), values=np.ones(n), variance=np.ones(n))
        for a, n in zip(DOMAIN.attributes, DOMAIN.shape, strict=True)
    ]
    pair = Measurement(clique=("a", "b"), values=np.ones(4), variance=np.ones(4))
    with pytest.raises(RunFailed, match="a, b was measured over other codes"):
        collect_pairs(alone, [pair], domain=DOMAIN)


def test_two_parts_come_together_again_and_their_noises_do_not_go_together() -> None:
    domain = Domain(attributes=tuple(f"q{i}" for i in range(60)), shape=(2,) * 60)
    truth = kinds(domain, count=1, seed=0)
    found = measured(truth, domain, rows=10_000.0, deviation=100.0)
    noise = np.random.default_rng(5).normal(size=found.covariance.shape)
    fitted, other = found.parted(noise, part=0.5)
    joined = (fitted.covariance + 0.25 * other) / 1.25
    assert joined == pytest.approx(found.covariance)
    assert fitted.typical == pytest.approx(found.typical * 1.25**0.5)
    upper = np.triu(found.known)
    together = np.corrcoef(fitted.covariance[upper], other[upper])[0, 1]
    assert abs(together) < 5 / np.sqrt(60 * 59 / 2)


def test_noise_alone_has_nothing_that_stands_out() -> None:
    domain = Domain(attributes=tuple(f"q{i}" for i in range(40)), shape=(2, 3) * 20)
    found = measured(kinds(domain, count=1, seed=0), domain, rows=1000.0, deviation=30.0)
    assert not denoise(found).any()


def test_what_is_left_of_the_noise_is_a_part_of_it() -> None:
    domain = Domain(attributes=tuple(f"q{i}" for i in range(40)), shape=(2, 3) * 20)
    truth = kinds(domain, count=4, seed=0)
    found = measured(truth, domain, rows=10_000.0, deviation=200.0)
    wanted = np.where(found.known, truth.covariance(), 0.0)
    before = np.abs(found.covariance - wanted).sum()
    after = np.abs(denoise(found) - wanted).sum()
    assert after < 0.5 * before


def test_a_pair_that_nobody_holds_is_left_out_and_harms_no_other() -> None:
    domain = Domain(attributes=tuple(f"q{i}" for i in range(40)), shape=(2, 3) * 20)
    truth = kinds(domain, count=4, seed=0)
    found = measured(truth, domain, rows=10_000.0, deviation=100.0)
    for a, b in ((0, 1), (1, 0)):
        found.deviation[a, b] = np.inf
    found.covariance[:2, 2:5] = found.covariance[2:5, :2] = 0.0
    clean = denoise(found)
    assert not clean[:2, 2:5].any()
    wanted = np.where(found.known, truth.covariance(), 0.0)
    assert np.abs(clean - wanted).sum() < 0.5 * np.abs(found.covariance - wanted).sum()
