"""Statistical privacy of a count: exact beside brute force, and nothing where cells are rare."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from mpmath import mp, mpf

from silosynth.common.accounting import GaussianCost, Noise, count_law, pld_epsilon
from silosynth.common.certificate import (
    certify_plan,
    check_certificate,
    plain_words,
    statistical_privacy,
)
from silosynth.common.errors import InvalidArgument
from silosynth.server.planning import new_plan
from tests.support.fakes import small_schema


def brute_force(rows: int, chance: Fraction, sigma2: Fraction | None, epsilon: float) -> float:
    """Return the exact delta by sums over every outcome, in 50 digits."""
    mp.dps = 50
    reach = 0 if sigma2 is None else 60
    noise = {
        k: mp.exp(-mpf(k * k) * sigma2.denominator / (2 * sigma2.numerator)) if sigma2 else mpf(1)
        for k in range(-reach, reach + 1)
    }
    total = sum(noise.values())
    p = mpf(chance.numerator) / chance.denominator
    others = [mp.binomial(rows - 1, k) * p**k * (1 - p) ** (rows - 1 - k) for k in range(rows)]

    def law(shift: int) -> dict[int, mpf]:
        found: dict[int, mpf] = {}
        for k, c in enumerate(others):
            for z, w in noise.items():
                found[k + z + shift] = found.get(k + z + shift, mpf(0)) + c * w / total
        return found

    out, within = law(0), law(1)
    grown = mp.exp(epsilon)
    at = set(out) | set(within)
    zero = mpf(0)
    one = sum(max(out.get(v, zero) - grown * within.get(v, zero), zero) for v in at)
    other = sum(max(within.get(v, zero) - grown * out.get(v, zero), zero) for v in at)
    return float(max(one, other))


@pytest.mark.parametrize("sigma2", [None, Fraction(9, 4)])
@pytest.mark.parametrize("chance", [Fraction(1, 2), Fraction(1, 10)])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.5])
def test_delta_is_that_of_every_outcome_summed(
    sigma2: Fraction | None, chance: Fraction, epsilon: float
) -> None:
    exact = brute_force(30, chance, sigma2, epsilon)
    noise = None if sigma2 is None else Noise(sigma2=sigma2)
    found = count_law(rows=30, chance=float(chance), noise=noise).delta(epsilon)
    assert found == pytest.approx(exact, rel=1e-9, abs=1e-13)
    assert found >= exact - 1e-15


def test_without_other_rows_it_is_the_noise_s_own_epsilon() -> None:
    sigma2 = Fraction(25)
    alone = count_law(rows=1, chance=0.3, noise=Noise(sigma2=sigma2)).epsilon(1e-6)
    assert alone == pytest.approx(
        pld_epsilon([GaussianCost(sigma2=sigma2, count=1)], 1e-6), rel=2e-3
    )
    rare = count_law(rows=10_000, chance=1e-7, noise=Noise(sigma2=sigma2)).epsilon(1e-6)
    assert rare == pytest.approx(alone, rel=0.01)
    assert count_law(rows=10_000, chance=0.0, noise=Noise(sigma2=sigma2)).epsilon(1e-6) == alone


def test_other_rows_hide_one_as_noise_of_their_variance_does() -> None:
    rows, chance, sigma2 = 20_001, 0.5, Fraction(100)
    found = count_law(rows=rows, chance=chance, noise=Noise(sigma2=sigma2)).epsilon(1e-6)
    whole = Fraction(100) + Fraction(20_000) / 4
    like = count_law(rows=1, chance=0.0, noise=Noise(sigma2=whole)).epsilon(1e-6)
    assert found == pytest.approx(like, rel=0.02)
    wider = [
        count_law(rows=rows, chance=c, noise=Noise(sigma2=sigma2)).epsilon(1e-6)
        for c in (0.01, 0.1, 0.5)
    ]
    assert wider == sorted(wider, reverse=True)


def test_a_count_of_certain_rows_without_noise_hides_nothing() -> None:
    law = count_law(rows=100, chance=0.0, noise=None)
    assert law.delta(50.0) == pytest.approx(1.0)
    assert math.isinf(law.epsilon(1e-6))


@pytest.mark.parametrize(
    ("rows", "chance", "words"),
    [(0, 0.5, "0 rows"), (10, 1.5, "no chance"), (10, -0.1, "no chance"), (10, math.nan, "chance")],
)
def test_numbers_out_of_range_are_refused(rows: int, chance: float, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        count_law(rows=rows, chance=chance, noise=Noise(sigma2=Fraction(4)))


def test_a_law_too_wide_is_refused_before_it_is_made() -> None:
    with pytest.raises(InvalidArgument, match="too wide"):
        count_law(rows=10**9, chance=0.5, noise=Noise(sigma2=Fraction(10**7)))


def test_it_stands_beside_the_certificate_and_changes_nothing_of_it() -> None:
    plan = new_plan(small_schema(), epsilon=1.0, delta=1e-6, silos=("a", "b"), plan_id="p")
    certificate = certify_plan(plan)
    stated = statistical_privacy(certificate, rows=10_000)
    assert {s.phase for s in stated} == {p.name.value for p in plan.phases}
    assert all(0 < s.epsilon <= s.noise_alone for s in stated)
    by_share = {s.share: s.epsilon for s in stated if s.phase == "one-way"}
    assert by_share[0.5] < by_share[0.1] < by_share[0.01]
    check_certificate(certificate)
    assert certificate == certify_plan(plan)
    assert not any("statistical" in w for w in plain_words(certificate))
    assert not np.isclose(certificate.epsilon, min(s.epsilon for s in stated))


def test_sums_of_vectors_and_persons_of_several_rows_have_no_such_statement() -> None:
    plan = new_plan(
        small_schema(), epsilon=1.0, delta=1e-6, silos=("a", "b"), plan_id="p", rows_per_person=2
    )
    with pytest.raises(InvalidArgument, match="one row a person"):
        statistical_privacy(certify_plan(plan), rows=10_000)
