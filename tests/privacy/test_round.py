"""What a round of training does between the rows and what leaves, step by step.

Each step takes a Poisson sample of its own, sums it, and has its sum noised; the next step's
weights, and what leaves, follow from the noised sums and public numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from silosynth.client.gateway import gateway as gateway_module
from silosynth.client.learning import train_round
from silosynth.client.learning.gradient import Gradients
from silosynth.client.learning.round import local_step, sampling_threshold
from silosynth.client.noise import SystemBits
from silosynth.client.source import People
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import (
    BOUND,
    LARGEST_WEIGHT,
    Plan,
    gradient_unit,
    read_weights,
    scaled_norm,
)
from tests.privacy.learners import (
    first_weights,
    learnt,
    open_learner,
    round_request,
    shared_plan,
    training_plan,
    wide_schema,
)

CODES = 8
SCHEMA = wide_schema(CODES)
PERSONS, STEPS = 6, 4
NOBODY, EVERYBODY = 2**64 - 1, 0


@dataclass
class Seen:
    """What happened in a round, in order."""

    sampled: list[np.ndarray] = field(default_factory=list)
    loaded: list[np.ndarray] = field(default_factory=list)
    clipped: list[np.ndarray] = field(default_factory=list)
    noised: list[np.ndarray] = field(default_factory=list)
    masks: list[bytes] = field(default_factory=list)


@dataclass
class Script:
    """Bits whose words for persons are written down, sample by sample; all others are random.

    Masks take a word a row here, so samples are of fewer than all persons.
    """

    words_of_samples: list[list[int]]
    asked: int = 0

    def words(self, count: int) -> np.ndarray:
        if count != PERSONS:
            return SystemBits().words(count)
        self.asked += 1
        return np.array(self.words_of_samples[self.asked - 1], dtype=np.uint64)


def _watch(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Look over the shoulder of a round."""
    seen = Seen()
    load, add = Gradients.load, Gradients.sum

    def loads(self: Gradients, weights: np.ndarray) -> None:
        seen.loaded.append(weights.copy())
        load(self, weights)

    def sums(
        self: Gradients, examples: np.ndarray, *, words: Callable[[int], np.ndarray]
    ) -> tuple[np.ndarray, int]:
        def recorded(count: int) -> np.ndarray:
            drawn = words(count)
            seen.masks.append(drawn.tobytes())
            return drawn

        seen.sampled.append(examples.copy())
        total, lost = add(self, examples, words=recorded)
        seen.clipped.append(total.copy())
        return total, lost

    monkeypatch.setattr(Gradients, "load", loads)
    monkeypatch.setattr(Gradients, "sum", sums)
    return seen


def _plan(*, steps: int = STEPS, rate: Fraction = Fraction(1, 2)) -> Plan:
    plan = training_plan(SCHEMA, noise=Fraction(1), rate=rate, local_steps=steps, clip=0.05)
    data = plan.model_dump(mode="json")
    data["training"]["local_learning_rate"] = 0.5
    return Plan.model_validate(data)


def _people() -> People:
    return People(examples=np.arange(PERSONS)[:, None], person=np.arange(PERSONS), count=PERSONS)


def _run(seen: Seen, script: Script, plan: Plan) -> np.ndarray:
    """Run a round whose noise is far from small, and of another sign at each step."""
    random = np.random.default_rng(5)

    def add_noise(clipped: np.ndarray) -> np.ndarray:
        noised = clipped + random.integers(-(10**6), 10**6, len(clipped))
        seen.noised.append(noised.copy())
        return noised

    return train_round(
        _people(),
        plan=plan,
        request=round_request(plan, first_weights(plan, SCHEMA)),
        schema=SCHEMA,
        bits=script,
        add_noise=add_noise,
    )


def _words(*inside: int) -> list[int]:
    return [EVERYBODY if person in inside else NOBODY for person in range(PERSONS)]


SAMPLES = [(), (0, 1, 2, 4, 5), (2,), (0, 5)]
SCRIPT = [_words(*sample) for sample in SAMPLES]


def test_each_step_takes_a_sample_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample for all steps would put a person into all of them, which nobody paid for."""
    seen, script = _watch(monkeypatch), Script(SCRIPT)
    _run(seen, script, _plan())
    assert script.asked == STEPS
    assert [tuple(s[:, 0]) for s in seen.sampled] == SAMPLES


def test_what_leaves_is_the_sum_of_what_was_noised_once_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = _watch(monkeypatch)
    released = _run(seen, Script(SCRIPT), _plan())
    assert len(seen.noised) == STEPS
    assert np.array_equal(released, np.sum(seen.noised, axis=0))
    assert seen.clipped[1].any()


def test_weights_between_steps_follow_from_noised_sums_and_public_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not from the sum before noise, nor from how many were sampled."""
    plan, seen = _plan(), _watch(monkeypatch)
    _run(seen, Script(SCRIPT), plan)
    expected = [first_weights(plan, SCHEMA)]
    unit = gradient_unit(clip=0.05, parameters=len(expected[0]))
    for noised in seen.noised[:-1]:
        expected.append((expected[-1] - 0.5 * unit / 1000 * noised).astype(np.float32))
    assert len(seen.loaded) == STEPS
    for loaded, wanted in zip(seen.loaded, expected, strict=True):
        assert np.array_equal(loaded, wanted)
    for first, second in zip(seen.loaded, seen.loaded[1:], strict=False):
        assert np.abs(first - second).max() > 0.5 * unit / 1000 * 10**5, "too little to see"


@pytest.mark.parametrize("steps", [1, 2, STEPS])
def test_as_many_sums_are_noised_as_a_round_is_charged_for(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    seen = _watch(monkeypatch)
    _run(seen, Script(SCRIPT), _plan(steps=steps))
    assert len(seen.sampled) == len(seen.noised) == steps


def test_masks_of_learning_are_drawn_anew_for_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = _watch(monkeypatch)
    _run(seen, Script([_words(0, 1, 2)] * STEPS), _plan())
    assert len(set(seen.masks)) == len(seen.masks) >= STEPS


def test_through_the_gateway_each_step_has_its_own_sample_and_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the gateway's own bits and noise, and noised sums as the gateway's sampler made them."""
    plan, seen, noised = _plan(), _watch(monkeypatch), []
    real = gateway_module.add_noise  # type: ignore[attr-defined]  # replaced where it is used

    def add_noise(counts: list[np.ndarray], **named: object) -> tuple[np.ndarray, ...]:
        drawn = real(counts, **named)  # type: ignore[arg-type]  # passed on
        noised.append(drawn[0].copy())
        return drawn

    monkeypatch.setattr(gateway_module, "add_noise", add_noise)
    values = [i % CODES for i in range(200)]
    with open_learner(tmp_path, plan, SCHEMA, values=values) as gateway:
        weights = first_weights(plan, SCHEMA)
        released = learnt(gateway, plan, weights)
    assert np.array_equal(released, np.sum(noised, axis=0))
    # Equal samples of 200 persons at rate 1/2 happen once in 2^200 runs.
    assert len({s.tobytes() for s in seen.sampled}) == STEPS
    for loaded, sum_before in zip(seen.loaded[1:], noised, strict=False):
        weights = local_step(weights, sum_before, plan=plan, batch=1000)
        assert np.array_equal(loaded, weights)
    for before, after in zip(seen.clipped, noised, strict=True):
        assert not np.array_equal(before, after)


@pytest.mark.parametrize(
    "rate",
    [Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(1, 2**64), Fraction(1, 2**64 - 1)],
)
def test_nobody_is_in_a_sample_more_often_than_the_rate_says(rate: Fraction) -> None:
    threshold = sampling_threshold(rate)
    assert Fraction(threshold, 2**64) <= rate < Fraction(threshold + 1, 2**64)


@pytest.mark.parametrize("threshold", [1, 2**32, 2**63, 2**64 - 1])
def test_a_word_below_the_threshold_means_in_and_no_other(threshold: int) -> None:
    words = [0, threshold - 1, threshold, min(threshold + 1, 2**64 - 1), 2**64 - 1, threshold // 2]
    chosen = _people().sample(threshold, bits=Script([words]))[:, 0]
    assert chosen.tolist() == [i for i, word in enumerate(words) if word < threshold]


def test_rows_of_one_person_are_in_together() -> None:
    people = People(
        examples=np.arange(2 * PERSONS)[:, None],
        person=np.arange(2 * PERSONS) % PERSONS,
        count=PERSONS,
    )
    script = Script([_words(1, 4)])
    chosen = people.sample(2**63, bits=script)[:, 0]
    assert script.asked == 1, "not a word for each person"
    assert chosen.tolist() == [1, 4, 7, 10]


def test_a_round_with_shared_noise_is_one_step_of_the_same_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = shared_plan(training_plan(SCHEMA, noise=Fraction(1), rate=Fraction(1, 2), clip=0.05))
    seen = _watch(monkeypatch)
    released = _run(seen, Script([_words(1, 2)]), plan)
    assert [tuple(s[:, 0]) for s in seen.sampled] == [(1, 2)]
    assert np.array_equal(released, seen.noised[0])


@pytest.mark.parametrize("noise", [0, 1, 10**12, 2**62])
@pytest.mark.parametrize("rate", [5e-324, 1e-9, 1000.0])
@pytest.mark.parametrize("clip", [1e-6, 1e6])
def test_a_local_step_ends_within_the_range_whatever_the_noise(
    noise: int, rate: float, clip: float
) -> None:
    plan = _plan()
    data = plan.model_dump(mode="json")
    data["training"] |= {"local_learning_rate": rate, "clip": clip}
    plan = Plan.model_validate(data)
    noised = np.array([noise, -noise, 0])
    for batch in (1, 2**40):
        moved = local_step(np.float32([1, -1, 1e6]), noised, plan=plan, batch=batch)  # type: ignore[arg-type]  # as loose as a test may be
        assert moved.dtype == np.float32
        assert (np.abs(moved) <= LARGEST_WEIGHT).all()
        assert len(read_weights(moved.tobytes(), parameters=3)) == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.0001e6, -1.0001e6, 3e38])
def test_weights_that_are_no_moderate_numbers_are_refused(bad: float) -> None:
    for place in range(3):
        weights = np.zeros(3, dtype="<f4")
        weights[place] = bad
        with pytest.raises(InvalidPlan, match="a weight is not a number"):
            read_weights(weights.tobytes(), parameters=3)


@pytest.mark.parametrize("kind", ["<f2", "<f8", "<i8", ">c16"])
def test_weights_of_another_type_or_number_are_refused(kind: str) -> None:
    for count in (0, 1, 2, 4):
        for data in (np.zeros(3, dtype=kind).tobytes(), np.zeros(count, dtype="<f4").tobytes()):
            if len(data) != 12:
                with pytest.raises(InvalidPlan, match="does not carry"):
                    read_weights(data, parameters=3)
    with pytest.raises(InvalidPlan, match="does not carry"):
        read_weights(None, parameters=3)


@pytest.mark.parametrize("parameters", [1, 2, 1000, 2**20, 2**26])
def test_rows_are_scaled_to_less_than_the_bound_at_every_size(parameters: int) -> None:
    scaled = scaled_norm(parameters)
    assert 2800 < scaled < BOUND
    # Rounding to nearest adds a quarter a coordinate to the square at most, if all go up.
    assert scaled**2 + parameters / 8 <= BOUND**2
