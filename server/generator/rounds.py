"""Rounds of DP-SGD at the coordinator: weights out, noised integer sums in, one step each.

A pure function of plan, schema and releases, in double precision and coordinate by coordinate, so
that a replay of the journal asks for the same weights again on every machine. It reads noised sums
alone: what it does costs no privacy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from silosynth.common.codec import Layout, layout_of
from silosynth.common.errors import RunFailed
from silosynth.common.generator import Architecture, output_biases
from silosynth.common.measurement import Measurement
from silosynth.common.messages import Release
from silosynth.common.plan import (
    LARGEST_WEIGHT,
    Optimiser,
    PhaseName,
    Plan,
    TrainingSettings,
    TrainingStep,
    Weights,
    encode_weights,
    gradient_unit,
)
from silosynth.common.schema import Schema
from silosynth.server.measuring import add_masked


@dataclass(frozen=True, kw_only=True, eq=False)
class Learning:
    """Where training stands: ``round`` is the next one, from 0.

    The arrays are (parameters,) float64; ``first`` and ``second`` are the optimiser's moments.
    ``signal`` is the root mean square of the last round's sum in standard deviations of its noise:
    1 is noise alone. ``sizes`` are the public or noised numbers of rows by silo; in shared trust
    with noised ones, of all together under the empty name.
    """

    round: int
    weights: np.ndarray
    first: np.ndarray
    second: np.ndarray
    sizes: Mapping[str, float]
    decay: float = 1.0
    second_decay: float = 1.0
    signal: float | None = None

    @cached_property
    def encoded(self) -> Weights:
        """The weights as silos get them: the same for all, so they are made once a round."""
        return encode_weights(self.weights)


def begin(
    plan: Plan,
    schema: Schema,
    *,
    counted: Mapping[str, Release] | None = None,
    one_way: Sequence[Measurement] = (),
) -> Learning:
    """Return the first weights, from the plan's public seed and the noised 1-way marginals.

    Args:
        counted: each silo's release of its 1-way marginals.
        one_way: their sums.
    """
    # PyTorch is an extra: only a plan that trains a generator may need it.
    from silosynth.common.generator import initial_vector

    how = settings(plan)
    layout = layout_of(schema)
    weights = initial_vector(how.architecture, layout, seed=how.seed)
    start_at(weights, how.architecture, layout, one_way=one_way)
    zeros = np.zeros(len(weights))
    return Learning(
        round=0,
        weights=weights.astype(np.float64),
        first=zeros,
        second=zeros,
        sizes=_sizes(plan, counted or {}),
    )


def start_at(
    weights: np.ndarray,
    architecture: Architecture,
    layout: Layout,
    *,
    one_way: Sequence[Measurement],
) -> None:
    """Set the output's biases, in place, so that training starts at the 1-way marginals."""
    shares = shares_of(one_way) if one_way else {}
    for names, place in output_biases(architecture, layout):
        own = [shares[name] for name in names if name in shares]
        if own:
            weights[place] = np.log(np.mean(own, axis=0))


def shares_of(one_way: Sequence[Measurement]) -> dict[str, np.ndarray]:
    """Return, by attribute, (codes,) float64, the nearest shares to its noised counts; none is 0.

    The nearest point of the simplex is what maximises the likelihood under Gaussian noise: one
    amount is taken off all counts. Cut off at zero instead, noise would lift every rare code, and
    there are many. All marginals say together how many rows there are. What is left without rows
    has a twentieth of a standard deviation, as a network cannot express zero.
    """
    rows = _rows([m.values for m in one_way])
    found = {}
    for measurement in one_way:
        least = max(0.05 * math.sqrt(float(measurement.variance[0])), 1e-3)
        counts = np.clip(_nearest(measurement.values, total=rows), least, None)
        found[measurement.clique[0]] = counts / counts.sum()
    return found


def _nearest(counts: np.ndarray, *, total: float) -> np.ndarray:
    """Return the counts of that total, none below zero, nearest to the given ones in L2."""
    falling = np.sort(counts)[::-1]
    above = (np.cumsum(falling) - total) / np.arange(1, len(counts) + 1)
    kept = np.count_nonzero(falling > above)
    nearest: np.ndarray = np.clip(counts - above[kept - 1], 0.0, None)
    return nearest


def settings(plan: Plan) -> TrainingSettings:
    """Return how a plan trains; raise RunFailed when it trains nothing."""
    if plan.training is None:
        raise RunFailed(f"plan {plan.id} trains nothing")
    return plan.training


def ask_round(learning: Learning, *, plan: Plan, silo: str) -> TrainingStep:
    """Return what a silo is asked for in the next round."""
    own = not plan.masked
    return TrainingStep(
        round=learning.round,
        weights=learning.encoded.digest,
        batch=_batch(plan, learning.sizes[silo]) if own else None,
    )


def take_round(learning: Learning, releases: Mapping[str, Release], *, plan: Plan) -> Learning:
    """Return where training stands after a round; raise RunFailed when it diverged."""
    if plan.masked:
        gradient, signal = _gradient(learning, releases, plan=plan)
        moved = _descend(learning, gradient, how=settings(plan))
    else:
        update, signal = _update(learning, releases, plan=plan)
        moved = _follow(learning, update, how=settings(plan))
    if not bool((np.abs(moved.weights) <= LARGEST_WEIGHT).all()):
        raise RunFailed(
            f"training diverged in round {learning.round}",
            hint="make a plan with a lower learning rate; what was spent stays spent",
        )
    return replace(moved, round=learning.round + 1, signal=signal)


def _sizes(plan: Plan, counted: Mapping[str, Release]) -> dict[str, float]:
    """Return the silos' numbers of rows: declared, or noised and at least 1."""
    if settings(plan).sizes:
        return {silo: float(size) for silo, size in settings(plan).sizes.items()}
    if plan.masked:
        return {"": _rows(add_masked(list(counted.values())))}
    return {silo: _rows(release.marginals) for silo, release in counted.items()}


def _rows(marginals: Sequence[np.ndarray]) -> float:
    """Return how many rows noised marginals count, each weighed by its noise; at least 1."""
    weights = np.array([1 / len(m) for m in marginals])
    totals = np.array([m.sum() for m in marginals], dtype=np.float64)
    return max(float(weights @ totals / weights.sum()), 1.0)


def _rate(plan: Plan) -> Fraction:
    return plan.noise(plan.phase(PhaseName.TRAINING)).rate


def _batch(plan: Plan, size: float) -> int:
    """Return the expected number of rows of a sample of ``size`` rows, at least 1."""
    return max(1, round(float(_rate(plan)) * size))


def _gradient(
    learning: Learning, releases: Mapping[str, Release], *, plan: Plan
) -> tuple[np.ndarray, float]:
    """Return the mean noised gradient of all silos together, and its signal."""
    total = add_masked(list(releases.values()))[0].astype(np.float64)
    size = learning.sizes.get("") or sum(learning.sizes[silo] for silo in releases)
    unit = gradient_unit(clip=settings(plan).clip, parameters=len(total))
    variance = plan.noise(plan.phase(PhaseName.TRAINING)).variance(silos=len(releases))
    return total * (unit / _batch(plan, size)), _signal(total, variance)


def _update(
    learning: Learning, releases: Mapping[str, Release], *, plan: Plan
) -> tuple[np.ndarray, float]:
    """Return the silos' mean update, weighted by their sizes, and its signal."""
    how = settings(plan)
    whole = sum(learning.sizes[silo] for silo in releases)
    update = np.zeros(len(learning.weights))
    signal = 0.0
    unit = gradient_unit(clip=how.clip, parameters=len(update))
    variance = how.local_steps * plan.noise(plan.phase(PhaseName.TRAINING)).variance(silos=1)
    for silo in sorted(releases):
        total, size = releases[silo].marginals[0].astype(np.float64), learning.sizes[silo]
        step = -(how.local_learning_rate or 0.0) * unit / _batch(plan, size)
        update += size / whole * step * total
        signal += size / whole * _signal(total, variance)
    return update, signal


def _signal(total: np.ndarray, variance: Fraction) -> float:
    """Return the root mean square of noised sums in standard deviations of their noise."""
    return math.sqrt(float(np.mean(np.square(total))) / float(variance))


def _descend(learning: Learning, gradient: np.ndarray, *, how: TrainingSettings) -> Learning:
    """Take one step of SGD with momentum or of Adam (Kingma and Ba 2015, Algorithm 1)."""
    if how.optimiser is Optimiser.SGD:
        first = how.momentum * learning.first + gradient
        return replace(learning, weights=learning.weights - how.learning_rate * first, first=first)
    first = how.momentum * learning.first + (1 - how.momentum) * gradient
    second = how.second_moment * learning.second + (1 - how.second_moment) * gradient * gradient
    decay, second_decay = (
        learning.decay * how.momentum,
        learning.second_decay * how.second_moment,
    )
    root = np.sqrt(second / (1 - second_decay)) + how.stabiliser
    weights = learning.weights - how.learning_rate / (1 - decay) * first / root
    return replace(
        learning,
        weights=weights,
        first=first,
        second=second,
        decay=decay,
        second_decay=second_decay,
    )


def _follow(learning: Learning, update: np.ndarray, *, how: TrainingSettings) -> Learning:
    """Follow the silos' mean update (Reddi et al. 2021, Algorithms 1 and 2)."""
    if how.optimiser is Optimiser.FEDAVG:
        return replace(learning, weights=learning.weights + how.learning_rate * update)
    first = how.momentum * learning.first + (1 - how.momentum) * update
    squared = update * update
    if how.optimiser is Optimiser.FEDADAM:
        second = how.second_moment * learning.second + (1 - how.second_moment) * squared
    else:
        sign = np.sign(learning.second - squared)
        second = learning.second - (1 - how.second_moment) * squared * sign
    step = first / (np.sqrt(second) + how.stabiliser)
    weights = learning.weights + how.learning_rate * step
    return replace(learning, weights=weights, first=first, second=second)
