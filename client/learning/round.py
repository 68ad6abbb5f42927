"""One round of DP-SGD in a silo: sample, sum clipped gradients, noise, step; nothing else leaves.

What is released is the sum of the noised integer sums of all local steps. Between steps the weights
move by noised sums alone, so all but the sums is post-processing.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from silosynth.client.learning.gradient import Gradients
from silosynth.client.noise import BitSource
from silosynth.client.source import People
from silosynth.common.codec import layout_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.messages import Request
from silosynth.common.plan import LARGEST_WEIGHT, PhaseName, Plan, gradient_unit, read_weights
from silosynth.common.schema import Schema

if TYPE_CHECKING:
    from silosynth.common.generator import PretrainedNetwork

AddNoise = Callable[[np.ndarray], np.ndarray]


def train_round(
    people: People,
    *,
    plan: Plan,
    request: Request,
    schema: Schema,
    bits: BitSource,
    add_noise: AddNoise,
    pretrained: PretrainedNetwork | None = None,
    tell_operator: Callable[[str], None] = lambda _: None,
) -> np.ndarray:
    """Return (parameters,) int64: the noised sums of the round's steps, added up.

    Guarantees: each step takes a fresh Poisson sample of the persons; ``add_noise`` is called once
    for each step, on a sum in which one person has an L2 norm of at most rows_per_person * BOUND,
    and nothing else of the rows is used. An empty sample, or an empty table, gives noise alone.
    """
    training, step = plan.training, request.training
    if training is None or step is None:
        raise InvalidPlan(f"plan {plan.id} trains nothing")
    layout = layout_of(schema)
    parameters = training.architecture.parameters(layout)
    weights = read_weights(request.weights, parameters=parameters)
    gradients = Gradients(training.architecture, layout, clip=training.clip, pretrained=pretrained)
    threshold = sampling_threshold(plan.phase(PhaseName.TRAINING).rate or Fraction(1))
    total, lost = np.zeros(parameters, dtype=np.int64), 0
    for number in range(training.local_steps):
        gradients.load(weights)
        clipped, without = gradients.sum(people.sample(threshold, bits=bits), words=bits.words)
        noised = add_noise(clipped)
        total += noised
        lost += without
        if number + 1 < training.local_steps:
            weights = local_step(weights, noised, plan=plan, batch=step.batch or 1)
    if lost:
        tell_operator(
            f"round {step.round}: gradients of {lost} rows were not finite and count as zero"
        )
    return total


def local_step(weights: np.ndarray, noised: np.ndarray, *, plan: Plan, batch: int) -> np.ndarray:
    """Return the weights after one step against a noised sum of gradients, float32.

    Weights that would leave the range stop at its end, so that a step cannot fail on them.
    """
    assert plan.training is not None
    unit = gradient_unit(clip=plan.training.clip, parameters=len(weights))
    rate = plan.training.local_learning_rate or 0.0
    moved = weights - rate * unit / batch * noised
    clipped: np.ndarray = np.clip(moved, -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.float32)
    return clipped


def sampling_threshold(rate: Fraction) -> int:
    """Return the number of 64-bit words that mean a person is in, at most rate * 2^64."""
    return int(rate * 2**64)
