"""One row moves the integer sum of gradients by at most the bound, whatever the weights are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import binom

from silosynth.client.learning import clip as clip_module
from silosynth.client.learning.clip import MOST_ROWS, add_clipped
from silosynth.client.learning.gradient import Gradients, add_clipped_there
from silosynth.client.noise import SystemBits
from silosynth.client.source import People
from silosynth.common.codec import Layout
from silosynth.common.generator import Architecture, MaskedMlp, Transformer, initial_vector
from silosynth.common.messages import Release
from silosynth.common.plan import BOUND, LARGEST_WEIGHT, gradient_unit, scaled_norm
from tests.privacy.learners import (
    ask,
    first_weights,
    learnt,
    open_learner,
    training_plan,
    wide_schema,
)
from tests.support.chance import Binomial, SumOfSquares, agrees, statistical

TABLE = Layout(attributes=("a", "b", "c"), sizes=(3, 5, 4), vocabularies=(0, 1, 2), free=3)
TEXT = Layout(
    attributes=("a",), sizes=(3, *[257] * 6), vocabularies=(0, *[1] * 6), free=1, texts=((1, 7),)
)
NETWORKS = [
    (MaskedMlp(width=8, layers=2, views=3), TABLE),
    (Transformer(width=8, layers=2, heads=2), TABLE),
    (Transformer(width=8, layers=1, heads=2), TEXT),
]
BITS = SystemBits()
DRAWS = 200


def _norm2(values: np.ndarray) -> int:
    return sum(int(v) ** 2 for v in values)


@pytest.mark.parametrize(("architecture", "layout"), NETWORKS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e4, float(LARGEST_WEIGHT)])
def test_one_row_stays_within_the_bound_through_every_layer(
    architecture: Architecture, layout: Layout, scale: float
) -> None:
    gradients = Gradients(architecture, layout, clip=0.5)
    random = np.random.default_rng(1)
    weights = initial_vector(architecture, layout, seed=1)
    gradients.load((weights * random.normal(0, scale, len(weights))).astype(np.float32))
    for _ in range(5):
        row = np.array([[random.integers(0, size) for size in layout.sizes]])
        total, _ = gradients.sum(row, words=BITS.words)
        assert _norm2(total) <= BOUND**2


ADULT = (8, 9, 16, 7, 15, 6, 5, 2, 20, 20, 30, 42, 2, 2)
WIDE = Layout(
    attributes=tuple("abcdefghijklmn"), sizes=ADULT, vocabularies=tuple(range(14)), free=14
)
COMPANIES = [
    *NETWORKS,
    (MaskedMlp(width=32, layers=1, views=8), WIDE),
    (Transformer(width=48, layers=2, heads=4), WIDE),
]


def _same_masks(count: int) -> np.ndarray:
    return np.full(count, 0x6FFFFFFF_6FFFFFFF, dtype=np.uint64)


def _company_shows(architecture: Architecture, layout: Layout) -> bool:
    """Say whether rows add up to something else together than one by one."""
    gradients = Gradients(architecture, layout, clip=0.5)
    gradients.load(initial_vector(architecture, layout, seed=1))
    random = np.random.default_rng(1)
    rows = np.stack([random.integers(0, size, 45) for size in layout.sizes], axis=1)
    alone = sum(gradients.sum(row[None], words=_same_masks)[0] for row in rows)
    ends = (1, 3, 10, 27, 45)
    parts = np.split(rows, ends[:-1])
    some = sum(gradients.sum(part, words=_same_masks)[0] for part in parts)
    together, _ = gradients.sum(rows, words=_same_masks)
    return not (np.array_equal(alone, together) and np.array_equal(some, together))


@pytest.mark.parametrize(("architecture", "layout"), COMPANIES)
def test_a_rows_integers_do_not_depend_on_its_company(
    architecture: Architecture, layout: Layout
) -> None:
    assert not _company_shows(architecture, layout)


def test_microbatches_that_are_not_filled_up_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gradients, "_filled", lambda _, rows: rows)
    if not _company_shows(*COMPANIES[-1]):  # type: ignore[arg-type]  # as loose as a test may be
        pytest.skip("products of few rows round like those of many on this processor")


def test_clipping_that_is_left_out_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(parts: list[np.ndarray], *, clip: float, parameters: int) -> object:
        scale = np.full(len(parts[0]), scaled_norm(parameters) / clip, dtype=np.float32)
        return scale, 0

    monkeypatch.setattr(clip_module, "_scales", without)
    monkeypatch.setattr(clip_module, "_BOUND2", np.float32(np.inf))
    monkeypatch.setattr(clip_module, "exact_sum", lambda sums, rows: sums.astype(np.int64))
    architecture, layout = NETWORKS[0]
    gradients = Gradients(architecture, layout, clip=0.5)  # type: ignore[arg-type]  # as loose as a test may be
    gradients.load(10 * initial_vector(architecture, layout, seed=1))  # type: ignore[arg-type]  # as loose as a test may be
    total, _ = gradients.sum(np.array([[1, 2, 3]]), words=BITS.words)
    assert _norm2(total) > BOUND**2


@pytest.mark.parametrize("magnitude", [1e-30, 1e-3, 1.0, 1e6, 1e18, 1e30, 3e38])
@pytest.mark.parametrize("weights", [1, 40, 30_000])
def test_any_gradient_stays_within_the_bound(magnitude: float, weights: int) -> None:
    random = np.random.default_rng(2)
    rows = (random.uniform(-1, 1, (6, weights)) * magnitude).astype(np.float32)
    for row in rows:
        total = np.zeros(weights, dtype=np.int64)
        add_clipped([row[None]], clip=1.0, total=total)
        assert _norm2(total) <= BOUND**2


@pytest.mark.parametrize("enforced", [True, False])
def test_a_row_that_rounding_lifts_above_the_bound_is_rounded_towards_zero(
    monkeypatch: pytest.MonkeyPatch, enforced: bool
) -> None:
    weights = 6_900_000
    scaled = scaled_norm(weights) / np.sqrt(weights)
    assert 1.5 < scaled < 1.6, "rounding must lift every coordinate to 2"
    if not enforced:
        monkeypatch.setattr(clip_module, "_BOUND2", np.float32(np.inf))
    total = np.zeros(weights, dtype=np.int64)
    add_clipped([np.full((1, weights), 0.1, dtype=np.float32)], clip=1.0, total=total)
    assert (weights * int(total[0]) ** 2 <= BOUND**2) == enforced
    assert (total == total[0]).all()


def test_a_gradient_that_is_not_finite_adds_nothing() -> None:
    rows = np.ones((3, 10), dtype=np.float32)
    rows[0, 3], rows[1, 4] = np.nan, np.inf
    total = np.zeros(10, dtype=np.int64)
    assert add_clipped([rows], clip=1.0, total=total) == 2
    alone = np.zeros(10, dtype=np.int64)
    add_clipped([rows[2:]], clip=1.0, total=alone)
    assert np.array_equal(total, alone)


def test_the_sum_is_the_exact_sum_of_the_rows() -> None:
    random = np.random.default_rng(3)
    parts = [random.normal(0, 3, (500, n)).astype(np.float32) for n in (7, 300)]
    together = np.zeros(307, dtype=np.int64)
    add_clipped(parts, clip=1.0, total=together)
    one_by_one = np.zeros(307, dtype=np.int64)
    for i in range(500):
        add_clipped([p[i : i + 1] for p in parts], clip=1.0, total=one_by_one)
    assert np.array_equal(together, one_by_one)
    with pytest.raises(ValueError, match="at most"):
        add_clipped([np.zeros((MOST_ROWS + 1, 1), np.float32)], clip=1.0, total=together[:1])


@pytest.mark.parametrize("clip", [0.5, 1e3])
def test_a_gpu_adds_the_same_integers(clip: float) -> None:
    random = np.random.default_rng(4)
    parts = [random.normal(0, 3, (200, n)).astype(np.float32) for n in (7, 300)]
    parts[0][3, 2], parts[1][5, 1], parts[1][6, 0] = np.nan, np.inf, 1e30
    here, there = np.zeros(307, dtype=np.int64), np.zeros(307, dtype=np.int64)
    lost = add_clipped(parts, clip=clip, total=here)
    assert lost == 3, "a squared norm beyond single precision counts as not finite"
    sent = [torch.from_numpy(part.copy()) for part in parts]
    assert add_clipped_there(sent, clip=clip, total=there) in (2, 3)
    assert np.abs(here - there).max() <= 4, "but for a rounded half"


def test_a_row_that_rounding_lifts_above_the_bound_adds_nothing_on_a_gpu() -> None:
    weights = 6_900_000
    total = np.zeros(weights, dtype=np.int64)
    add_clipped_there([torch.full((1, weights), 0.1)], clip=1.0, total=total)
    assert not total.any()


def test_short_gradients_are_kept_but_for_rounding() -> None:
    row = np.array([[0.3, -0.2, 0.1]], dtype=np.float32)
    total = np.zeros(3, dtype=np.int64)
    add_clipped([row], clip=1.0, total=total)
    unit = gradient_unit(clip=1.0, parameters=3)
    assert np.abs(total * unit - row[0]).max() <= unit / 2 * (1 + 1e-5)


@statistical(alarm=1e-9)
def test_samples_are_poisson_and_take_all_rows_of_a_person() -> None:
    """Of 2,000 persons each with chance 1/4, anew each time: their number and who is there."""
    people = People(
        examples=np.arange(6000)[:, None], person=np.repeat(np.arange(2000), 3), count=2000
    )
    threshold = 2**62
    times = np.zeros((DRAWS, 2000), dtype=bool)
    for draw in range(DRAWS):
        chosen = people.sample(threshold, bits=BITS)[:, 0]
        persons, rows = np.unique(chosen // 3, return_counts=True)
        assert (rows == 3).all()
        times[draw, persons] = True
    all_draws = Binomial(count=DRAWS * 2000, chance=1 / 4)
    other = {"a rate of 0.26": replace(all_draws, chance=0.26)}
    agrees(int(times.sum()), law=all_draws, mutants=other, alarm=2e-10)
    # A right sample's size is within 10 of the mean 41 % of the time; a fixed number's is always.
    sizes = times.sum(axis=1)
    near = binom.cdf(510, 2000, 1 / 4) - binom.cdf(489, 2000, 1 / 4)
    within = Binomial(count=DRAWS, chance=float(near))
    fixed = {"a fixed number of persons": replace(within, chance=1.0)}
    agrees(int((np.abs(sizes - 500) <= 10).sum()), law=within, mutants=fixed, alarm=2e-10)
    # Two draws have a person in common by chance alone, 1/16; one sample for all has a quarter.
    pairs = Binomial(count=DRAWS // 2 * 2000, chance=1 / 16)
    same = {"one sample for all draws": replace(pairs, chance=1 / 4)}
    both = int((times[0::2] & times[1::2]).sum())
    agrees(both, law=pairs, mutants=same, alarm=2e-10)
    assert len(people.sample(0, bits=BITS)) == 0
    assert len(people.sample(2**64, bits=BITS)) == 6000


@statistical(alarm=1e-9)
def test_an_empty_silo_releases_noise_of_exactly_the_plans_variance(tmp_path: Path) -> None:
    schema = wide_schema(4000)
    plan = training_plan(schema, noise=Fraction(1, 4), rate=Fraction(1, 2), local_steps=3, rounds=6)
    weights = first_weights(plan, schema)
    with open_learner(tmp_path, plan, schema, values=[]) as gateway:
        rounds = [learnt(gateway, plan, weights, number=i) for i in range(6)]
    released = np.concatenate(rounds)
    # Three draws of so large a variance add up to one of thrice it, but for 1 part in 10^1000.
    law = SumOfSquares(count=len(released), sigma2=3 * float(plan.phases[0].sigma2))
    less = {"0.95 of the variance": replace(law, sigma2=0.95 * law.sigma2)}
    agrees(sum(int(v) ** 2 for v in released), law=law, mutants=less, alarm=1e-9)


def test_weights_that_overflow_for_some_rows_tell_nobody_which(tmp_path: Path) -> None:
    """A refusal would say, without noise, that somebody with such a code is there."""
    schema = wide_schema(20)
    plan = training_plan(schema, noise=Fraction(1), rate=Fraction(1), rounds=2)
    weights = first_weights(plan, schema) * 0 + np.float32(LARGEST_WEIGHT)
    with open_learner(tmp_path, plan, schema, values=list(range(20))) as gateway:
        assert isinstance(ask(gateway, plan, weights), Release)
        weights[0] = np.nan
        refusal = ask(gateway, plan, weights, number=1)
    assert not isinstance(refusal, Release)
    assert "a weight is not a number" in refusal.message
