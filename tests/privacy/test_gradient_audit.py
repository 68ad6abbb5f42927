"""One run with 1,000 canaries through the real gateway, and the mutants that it has to find.

The silo's bits have a fixed start: what a mutant lets out has no law to work its miss out of, so
each run has one outcome. Another start fails a right program once in a billion.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from silosynth.client.learning import clip as clip_module
from silosynth.client.learning.gradient import Gradients
from silosynth.client.source import People
from silosynth.common.codec import layout_of
from silosynth.common.plan import Plan, check_budget
from tests.privacy.audit import audited_epsilon, best_audit, most_right
from tests.privacy.learners import first_weights, learnt, open_learner, training_plan, wide_schema
from tests.support.chance import FixedBits
from tests.support.noised_sums import scale_noise

CANARIES = 1000
SCHEMA = wide_schema(CANARIES)
CLIP = 0.05
"""Far below the canaries' gradients, so that clipping is at work."""

COUNTS = (100, 300, 1000)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run does; the more chance there is in the samples, the less the noise shows."""

    steps: int
    rate: Fraction
    noise: Fraction = Fraction(1)

    @property
    def most_right(self) -> int:
        """Return how many right guesses the claim allows."""
        return most_right(
            canaries=CANARIES, steps=self.steps, rate=float(self.rate), noise=float(self.noise)
        )

    @property
    def plan(self) -> Plan:
        """Return the plan of the run."""
        return training_plan(
            SCHEMA, noise=self.noise, rate=self.rate, local_steps=self.steps, clip=CLIP
        )


SPARSE = Run(steps=8, rate=Fraction(1, 2))
DENSE = Run(steps=4, rate=Fraction(9, 10))


def _weights() -> np.ndarray:
    """Return weights whose head is zero: no gradient reaches what canaries have in common."""
    weights = first_weights(SPARSE.plan, SCHEMA)
    weights[-(4 + 1) * CANARIES :] = 0
    return weights


@pytest.fixture(scope="module")
def directions() -> np.ndarray:
    """Return (canaries, parameters), each canary's integer gradient but for what all share.

    Every canary has a code of its own, and a gradient of which most is in its own direction.
    """
    plan, bits = SPARSE.plan, FixedBits(8)
    assert plan.training is not None
    gradients = Gradients(plan.training.architecture, layout_of(SCHEMA), clip=CLIP)
    gradients.load(_weights())
    rows = np.arange(CANARIES)[:, None, None]
    own = np.stack([gradients.sum(row, words=bits.words)[0] for row in rows])
    centred: np.ndarray = own - own.mean(axis=0)
    return centred


def _audit(directory: Path, run: Run, directions: np.ndarray) -> tuple[int, float, float]:
    """Return right guesses of all canaries, the audited and the claimed epsilon."""
    plan = run.plan
    inside = np.random.default_rng(7).random(CANARIES) < 0.5
    values = np.flatnonzero(inside).tolist()
    with open_learner(directory, plan, SCHEMA, values=values, bits=FixedBits(7)) as gateway:
        released = learnt(gateway, plan, _weights()).astype(np.float64)
    scores = directions @ released
    right = int(((scores > np.median(scores)) == inside).sum())
    audited = best_audit(scores, inside, delta=plan.privacy.delta, counts=COUNTS)
    return right, audited, check_budget(plan)


@pytest.mark.parametrize("run", [SPARSE, DENSE])
def test_no_more_is_learnt_of_canaries_than_is_claimed(
    run: Run, directions: np.ndarray, tmp_path: Path
) -> None:
    right, audited, claimed = _audit(tmp_path, run, directions)
    assert right <= run.most_right
    assert 0.1 < audited <= claimed, "an audit that finds nothing could not fail"


def _no_clip(parts: Sequence[np.ndarray], *, clip: float, parameters: int) -> object:
    return np.full(len(parts[0]), clip_module.scaled_norm(parameters) / clip, np.float32), 0  # type: ignore[attr-defined]  # replaced where it is used


def _clip_batch(parts: Sequence[np.ndarray], *, clip: float, parameters: int) -> object:
    """Clip the mean gradient of the batch."""
    mean = np.concatenate([p.mean(axis=0) for p in parts])
    scale = clip_module.scaled_norm(parameters) / max(float(np.linalg.norm(mean)), clip)  # type: ignore[attr-defined]  # replaced where it is used
    return np.full(len(parts[0]), scale, np.float32), 0


def _unclipped(change: Callable[..., object]) -> Callable[[pytest.MonkeyPatch], None]:
    def mutate(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(clip_module, "_scales", change)
        monkeypatch.setattr(clip_module, "_BOUND2", np.float32(np.inf))
        monkeypatch.setattr(clip_module, "exact_sum", lambda sums, rows: sums.astype(np.int64))

    return mutate


def _less_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    scale_noise(monkeypatch, Fraction(7, 10))


def _everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(People, "sample", lambda self, threshold, bits: self.examples)


MUTANTS: dict[str, tuple[Run, Callable[[pytest.MonkeyPatch], None]]] = {
    "no clip": (SPARSE, _unclipped(_no_clip)),
    "clip by batch": (SPARSE, _unclipped(_clip_batch)),
    "0.7 of the noise": (DENSE, _less_noise),
    "everybody in every sample": (SPARSE, _everybody),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_audit_finds(
    mutant: str, directions: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mutate = MUTANTS[mutant]
    mutate(monkeypatch)
    right, _, _ = _audit(tmp_path, run, directions)
    assert right > run.most_right


def test_the_bound_of_an_audit_is_that_of_its_theorem() -> None:
    assert audited_epsilon(guesses=100, right=50, canaries=1000, delta=0.0) == 0.0
    perfect = audited_epsilon(guesses=100, right=100, canaries=100, delta=0.0)
    chance = 0.05 ** (1 / 100)
    assert perfect == pytest.approx(np.log(chance / (1 - chance)), abs=1e-6)
    assert audited_epsilon(guesses=100, right=100, canaries=100, delta=1e-3) < perfect
