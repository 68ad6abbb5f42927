"""Replicates are runs as they might have gone: other people, other noise, the same questions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from silosynth.common.errors import InvalidArgument
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Method
from silosynth.common.sampler import AnySampler, Sampler, TableSampler, probability_of
from silosynth.server.coordinator import State, draw_replicates, finish
from tests.server.coordinator.test_coordinator import finished_state
from tests.support.fakes import small_plan


def _shares(sampler: AnySampler) -> np.ndarray:
    """Return the probability of each code of the attribute that is drawn first."""
    assert isinstance(sampler, Sampler)
    ends = sampler.conditionals[0].ends[0].astype(float)
    return np.diff(ends, prepend=0) / ends[-1]


def _with_variance(state: State, variance: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the state's measurements state another variance than they have."""
    whole = State.measured

    def measured(self: State) -> dict[object, tuple[Measurement, ...]]:
        return {
            phase: tuple(replace(m, variance=np.full_like(m.variance, variance)) for m in ms)
            for phase, ms in whole(self).items()
        }

    monkeypatch.setattr(State, "measured", measured)


def test_a_seed_gives_the_same_replicates_and_no_two_are_alike() -> None:
    state = finished_state(small_plan())
    outcome = finish(state)
    first, again = (list(draw_replicates(state, outcome, count=3, seed=4)) for _ in range(2))
    other = list(draw_replicates(state, outcome, count=3, seed=5))
    shares = [_shares(s).tolist() for s in (*first, *other)]
    assert [_shares(s).tolist() for s in again] == shares[:3]
    assert len({tuple(s) for s in shares}) == 6
    for sampler in first:
        assert sampler.schema == outcome.sampler.schema
        assert sampler.plan_digest == outcome.sampler.plan_digest


def test_without_noise_replicates_differ_as_samples_of_people_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = finished_state(small_plan())
    _with_variance(state, 1e-6, monkeypatch)
    outcome = finish(state)
    assert isinstance(outcome.sampler, Sampler)
    truth, total = _shares(outcome.sampler), outcome.sampler.total
    found = [_shares(s) for s in draw_replicates(state, outcome, count=60, seed=1)]
    expected = np.sqrt(truth * (1 - truth) / total)
    assert np.std(found, axis=0).sum() == pytest.approx(expected.sum(), rel=0.25)


def test_replicates_differ_by_the_noise_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    state = finished_state(small_plan())
    spreads = []
    for variance in (1e-6, 60.0**2):
        with monkeypatch.context() as patch:
            _with_variance(state, variance, patch)
            outcome = finish(state)
            found = [_shares(s) for s in draw_replicates(state, outcome, count=20, seed=1)]
        spreads.append(float(np.std(found, axis=0).sum()))
    assert spreads[1] > 2 * spreads[0]


def test_a_replicate_to_which_another_model_is_nearest_is_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A mixture is kept as tables where no dependence is found, as conditionals otherwise."""
    state = finished_state(small_plan(method=Method.MIXTURE))
    with monkeypatch.context() as patch:
        _with_variance(state, 1e-6, patch)
        outcome = finish(state)
    assert isinstance(outcome.sampler, Sampler)
    _with_variance(state, 1e9, monkeypatch)
    assert isinstance(finish(state).sampler, TableSampler)
    for found in draw_replicates(state, outcome, count=2, seed=1):
        assert isinstance(found, TableSampler)


@pytest.mark.parametrize("count", [0, 1, 201])
def test_too_few_and_too_many_are_refused(count: int) -> None:
    state = finished_state(small_plan())
    with pytest.raises(InvalidArgument, match="replicates are not between 2 and 200"):
        next(draw_replicates(state, finish(state), count=count, seed=1))


def test_a_mixture_has_replicates_that_differ_as_samples_and_noise_do() -> None:
    state = finished_state(small_plan(method="mixture"))
    outcome = finish(state)
    assert isinstance(outcome.sampler, Sampler)
    assert outcome.sampler.components
    where = {"ill": "true"}
    found = []
    for sampler in draw_replicates(state, outcome, count=8, seed=1):
        assert isinstance(sampler, Sampler | TableSampler)
        assert sampler.schema == outcome.sampler.schema
        found.append(probability_of(sampler, where))
    share, total = probability_of(outcome.sampler, where), outcome.sampler.total
    people = np.sqrt(share * (1 - share) / total)
    assert np.mean(found) == pytest.approx(share, abs=4 * people)
    assert 0.3 * people < np.std(found) < 6 * people


def test_a_copula_has_none() -> None:
    """Its pairs are one cut each: intervals of pairs of many codes covered .65."""
    state = finished_state(small_plan(method="copula"))
    with pytest.raises(InvalidArgument, match="it asked for less than counts of pairs") as refused:
        next(draw_replicates(state, finish(state), count=2, seed=1))
    assert refused.value.hint is not None
    assert "mixture" in refused.value.hint
    assert "copula" not in refused.value.hint


def test_a_generator_has_none() -> None:
    state = finished_state(small_plan())
    trained = replace(state, plan=state.plan.model_copy(update={"method": Method.ONE_SHOT}))
    with pytest.raises(InvalidArgument, match="it trained a generator"):
        next(draw_replicates(trained, finish(state), count=2, seed=1))
