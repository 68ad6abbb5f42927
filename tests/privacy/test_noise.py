"""The noise has the law that the accounting assumes, and these tests can tell when it has not."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from silosynth.client.noise import BitSource, SystemBits
from silosynth.client.noise import draw as noise
from silosynth.client.noise import tail_table as noise_table
from silosynth.client.noise.draw import discrete_gaussian
from silosynth.client.noise.tail_table import exp_bounds, tail_table
from silosynth.common.errors import InvalidPlan
from tests.support.chance import (
    Binomial,
    FixedBits,
    SumOfSquares,
    agrees,
    counts_agree,
    statistical,
)

SCALES = [Fraction(1, 3), Fraction(4), Fraction(625, 4), Fraction(10**4)]
REJECTED, KEPT = 1e-9, 1e-4


class GivenBits:
    """Words from a list; how many were taken can be asked."""

    def __init__(self, words: list[int]) -> None:
        self._words = words
        self.taken = 0

    def words(self, count: int) -> np.ndarray:
        start, self.taken = self.taken, self.taken + count
        if self.taken > len(self._words):
            raise AssertionError("more words taken than a draw needs")
        return np.array(self._words[start : self.taken], dtype=np.uint64)


class MirroredBits:
    """The complement of another source."""

    def __init__(self, source: BitSource) -> None:
        self._source = source

    def words(self, count: int) -> np.ndarray:
        return ~self._source.words(count)


def p_value(values: np.ndarray, *, sigma2: float) -> float:
    """Return the chance that N_Z(0, sigma2) gives counts as far from the expected as these."""
    sigma = sigma2**0.5
    edges = np.unique(np.rint(sigma * stats.norm.ppf(np.arange(1, 100) / 100)))
    if sigma < 2000:
        support = np.arange(-np.ceil(14 * sigma) - 2, np.ceil(14 * sigma) + 3)
        weights = np.exp(-(support**2) / (2 * sigma2))
        below = np.cumsum(weights)[np.searchsorted(support, edges)] / weights.sum()
    else:
        below = stats.norm.cdf((edges + 0.5) / sigma)
    expected = np.diff([0.0, *below, 1.0]) * len(values)
    seen = np.bincount(np.searchsorted(edges, values), minlength=len(expected))
    return float(stats.chisquare(seen, expected).pvalue)


def draws(sigma2: Fraction, *, count: int = 400_000, start: int = 7) -> np.ndarray:
    return discrete_gaussian(sigma2=sigma2, count=count, bits=FixedBits(start))


# The law


@pytest.mark.parametrize("sigma2", [*SCALES, Fraction(10**7, 3), Fraction(2**61 + 1)])
def test_the_right_scale_passes_and_five_percent_off_is_rejected(sigma2: Fraction) -> None:
    values = draws(sigma2)
    assert p_value(values, sigma2=float(sigma2)) > KEPT
    for factor in (0.95, 1.05):
        assert p_value(values, sigma2=float(sigma2) * factor**2) < REJECTED


@pytest.mark.parametrize("sigma2", [Fraction(9, 4), Fraction(4)])
def test_mutants_of_the_law_are_rejected(sigma2: Fraction) -> None:
    generator, sigma = np.random.default_rng(3), float(sigma2) ** 0.5
    mutants = {
        "rounded float Gaussian": np.rint(generator.normal(0, sigma, 2_000_000)).astype(np.int64),
        "sigma in place of sigma2": draws(Fraction(sigma).limit_denominator(100)),
        "sigma2 squared": draws(sigma2**2),
        "one-sided": np.abs(draws(sigma2)),
        "shifted": draws(sigma2) + 1,
    }
    for name, values in mutants.items():
        assert p_value(values, sigma2=float(sigma2)) < REJECTED, name


@pytest.mark.parametrize("sigma2", [*SCALES, Fraction(10**9)])
def test_consecutive_draws_are_uncorrelated(sigma2: Fraction) -> None:
    values = draws(sigma2).astype(float)
    bound = 5 / len(values) ** 0.5
    for lag in (1, 2, 3):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < bound


def test_a_far_tail_is_as_likely_as_it_should_be() -> None:
    values = draws(Fraction(4), count=4_000_000)
    expected = 4_000_000 * 2 * float(discrete_tail(Fraction(4), 7))
    assert 0.8 * expected < np.sum(np.abs(values) > 7) < 1.2 * expected


def test_zero_is_not_counted_twice_just_above_the_largest_table() -> None:
    sigma2 = Fraction(noise.LARGEST_TABLE_SIGMA2 + 1)
    expected = 2_000_000 / float(2 * np.pi * sigma2) ** 0.5
    zeros = int(np.sum(draws(sigma2, count=2_000_000) == 0))
    assert 0.85 * expected < zeros < 1.15 * expected


@statistical(alarm=1e-9)
def test_it_agrees_with_opendp() -> None:
    """Theirs, from their own source of bits, has the law that ours has above."""
    sigma2 = Fraction(25, 4)
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    opendp_gaussian = space >> dp.m.then_gaussian(scale=float(sigma2) ** 0.5)
    theirs, ours = np.array(opendp_gaussian([0] * 60_000)), draws(sigma2, count=60_000)
    support, weights = np.arange(-7, 8), np.exp(-(np.arange(-40, 41) ** 2) / (2 * float(sigma2)))
    law = weights / weights.sum()
    chances = [law[x + 40] for x in support]
    chances[0] = chances[-1] = law[: 40 - 6].sum()
    for sample in (theirs, ours):
        seen = np.bincount(np.clip(sample, -7, 7) + 7, minlength=15)
        shifted = {"shifted": np.roll(chances, 1)}
        counts_agree(seen, chances=chances, mutants=shifted, alarm=2e-10)
        squares = SumOfSquares(count=len(sample), sigma2=float(sigma2))
        others = {f: replace(squares, sigma2=f**2 * squares.sigma2) for f in (0.95, 1.05)}
        named = {f"{f} of sigma": other for f, other in others.items()}
        agrees(int((sample**2).sum()), law=squares, mutants=named, alarm=2e-10)


@pytest.mark.parametrize("sigma2", [Fraction(4), Fraction(10**4), Fraction(10**9)])
def test_complemented_bits_give_the_opposite_noise_or_the_same_law(sigma2: Fraction) -> None:
    there = draws(sigma2, count=20_000)
    back = discrete_gaussian(sigma2=sigma2, count=20_000, bits=MirroredBits(FixedBits(7)))
    if sigma2 <= noise.LARGEST_TABLE_SIGMA2:
        assert np.array_equal(there, -back)
    assert abs(np.mean(there < 0) - np.mean(there > 0)) < 0.03


# The table


def discrete_tail(sigma2: Fraction, k: int) -> mpmath.mpf:
    """Return P(X > k), to 1,200 bits."""
    with mpmath.workprec(1200):
        scale = 2 * mpmath.mpf(sigma2.numerator) / sigma2.denominator
        reach = int(mpmath.sqrt(scale * 900)) + 2
        weights = [mpmath.exp(-(mpmath.mpf(x) ** 2) / scale) for x in range(reach)]
        return mpmath.fsum(weights[k + 1 :]) / (1 + 2 * mpmath.fsum(weights[1:]))


@pytest.mark.parametrize("sigma2", [*SCALES[:3], Fraction(1, 500), Fraction(1, 100), Fraction(997)])
def test_every_entry_is_the_floor_to_all_320_bits(sigma2: Fraction) -> None:
    tails = tail_table(sigma2).tails
    checked = sorted({*range(len(tails))[:8], *range(len(tails))[-3:]})
    with mpmath.workprec(1200):
        for k in checked:
            assert tails[k] == int(mpmath.floor(discrete_tail(sigma2, k) * 2**320))
        assert int(mpmath.floor(discrete_tail(sigma2, len(tails)) * 2**320)) == 0


@pytest.mark.parametrize("precision", [322, 330, 360])
def test_a_precision_that_cannot_decide_an_entry_says_so(precision: int) -> None:
    tails = noise_table._decided_tails(Fraction(625, 4), precision)
    assert tails is None or (precision > 330 and tails == tail_table(Fraction(625, 4)).tails)


@settings(deadline=None, max_examples=150)
@given(
    exponent=st.fractions(min_value=0, max_value=500, max_denominator=2**64),
    precision=st.sampled_from([40, 320, 400, 800]),
)
def test_the_exponential_lies_between_its_bounds(exponent: Fraction, precision: int) -> None:
    low, high = exp_bounds(exponent, precision)
    with mpmath.workprec(2500):
        truth = mpmath.exp(-mpmath.mpf(exponent.numerator) / exponent.denominator) * 2**precision
        assert low <= truth <= high
    assert high - low <= 4


def test_no_draw_is_farther_from_the_law_than_the_docstring_says() -> None:
    entries = len(tail_table(Fraction(noise.LARGEST_TABLE_SIGMA2)).tails)
    distance_in_units = 2 * (entries + 1)
    assert distance_in_units * 4 < 2**20


# Inversion and refinement


def inverted(sigma2: Fraction, number: int) -> int:
    """Return the draw that a sign bit and 319 bits stand for, in plain integers."""
    negative, first, rest = number >> 319, number >> 256 & (2**63 - 1), number & (2**256 - 1)
    below = (2**63 - 1 - first if negative else first) << 256 | rest
    magnitude = sum(tail > below for tail in tail_table(sigma2).tails)
    return -magnitude if negative else magnitude


@settings(deadline=None, max_examples=200)
@given(data=st.data(), sigma2=st.sampled_from([Fraction(1, 3), Fraction(4), Fraction(625, 4)]))
def test_a_draw_inverts_the_cumulative_law(data: st.DataObject, sigma2: Fraction) -> None:
    number = data.draw(st.integers(0, 2**320 - 1))
    words = [number >> 256, *(number >> s & (2**64 - 1) for s in (192, 128, 64, 0))]
    got = discrete_gaussian(sigma2=sigma2, count=1, bits=GivenBits(words))
    assert got.tolist() == [inverted(sigma2, number)]


@pytest.mark.parametrize("sigma2", [Fraction(4), Fraction(625, 4)])
@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_tie_in_the_first_word_is_decided_by_the_other_four(
    sigma2: Fraction, offset: int
) -> None:
    tails = tail_table(sigma2).tails
    for k in (0, 1, len(tails) // 3, len(tails) - 2):
        number = tails[k] + offset
        words = [number >> s & (2**64 - 1) for s in (256, 192, 128, 64, 0)]
        bits = GivenBits(words)
        got = int(discrete_gaussian(sigma2=sigma2, count=1, bits=bits)[0])
        assert got == (k + 1 if offset < 0 else k)
        assert bits.taken == 5


def test_a_clear_draw_takes_one_word() -> None:
    bits = GivenBits([1 << 60, 3 << 62])
    got = discrete_gaussian(sigma2=Fraction(4), count=2, bits=bits)
    assert got.tolist() == [inverted(Fraction(4), 1 << 316), inverted(Fraction(4), 3 << 318)]
    assert bits.taken == 2


def test_a_tie_among_clear_draws_changes_its_own_place_alone() -> None:
    sigma2, clear = Fraction(4), 1 << 60
    tail = tail_table(sigma2).tails[2]
    for rest, expected in ((0, 3), (2**256 - 1, 2)):
        words = [clear, tail >> 256, clear, *(rest >> s & (2**64 - 1) for s in (192, 128, 64, 0))]
        got = discrete_gaussian(sigma2=sigma2, count=3, bits=GivenBits(words)).tolist()
        assert got[1] == expected
        assert got[0] == got[2] == inverted(sigma2, clear << 256)


@pytest.mark.parametrize(("a", "b"), [(3, 10**6), (7, 7 + 2 * 10**7), (0, 5)])
def test_a_coin_too_close_for_floats_is_decided_exactly(a: int, b: int) -> None:
    sigma2 = Fraction(10**8 + 1, 3)
    with mpmath.workprec(1200):
        chance = mpmath.exp(-mpmath.mpf(a * b) * 3 / (2 * (10**8 + 1)))
        threshold = int(mpmath.floor(chance * 2**320))
    for number, heads in ((threshold - 1, True), (threshold, False)):
        if number >= 2**320:
            continue
        words = [number >> s & (2**64 - 1) for s in (256, 192, 128, 64, 0)]
        tossed = noise._coins(np.array([a]), np.array([b]), sigma2, GivenBits(words))
        assert tossed.tolist() == [heads]


# Arguments


@pytest.mark.parametrize("sigma2", [Fraction(0), Fraction(-1), Fraction(2**100 + 1), 4.0, True])
def test_noise_that_cannot_be_drawn_is_refused(sigma2: Fraction) -> None:
    with pytest.raises(InvalidPlan, match="sigma2"):
        discrete_gaussian(sigma2=sigma2, count=1, bits=SystemBits())


@pytest.mark.parametrize("count", [-1, 1.0, True])
def test_a_count_that_is_none_is_refused(count: int) -> None:
    with pytest.raises(InvalidPlan, match="count"):
        discrete_gaussian(sigma2=Fraction(4), count=count, bits=SystemBits())


@pytest.mark.parametrize("sigma2", [Fraction(4), Fraction(2**40)])
@pytest.mark.parametrize("count", [0, 1, 131_073])
def test_as_many_as_asked_are_drawn(sigma2: Fraction, count: int) -> None:
    values = discrete_gaussian(sigma2=sigma2, count=count, bits=SystemBits())
    assert values.shape == (count,)
    assert values.dtype == np.int64


@statistical(alarm=1e-9)
def test_system_bits_are_fresh_and_balanced() -> None:
    first, second = SystemBits().words(50_000), SystemBits().words(50_000)
    same = Binomial(count=50_000, chance=2.0**-64)
    agrees(
        int((first == second).sum()),
        law=same,
        mutants={"a source that starts anew": replace(same, chance=1.0)},
        alarm=1e-10,
    )
    ones = Binomial(count=64 * 50_000, chance=0.5)
    stuck = {"a bit that is stuck": replace(ones, chance=63 / 128)}
    agrees(int(np.unpackbits(first.view(np.uint8)).sum()), law=ones, mutants=stuck, alarm=1e-10)


def test_noise_far_below_one_is_always_zero() -> None:
    assert not np.any(draws(Fraction(1, 10**6), count=1000))
