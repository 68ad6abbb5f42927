"""What the noised counters of people who were held out say of a sampler, with its uncertainty.

Everything here is post-processing of one release. L is the squared L2 distance of a pair's shares,
estimated without bias: each row adds 1 or -1 to a half, so its square is 1, and what noise and what
the sample add to the square of a sum is known exactly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.held.counters import middle_gain
from silosynth.common.held.inputs import Inputs
from silosynth.common.held.likelihood import STEPS

SHRINK = 0.62
"""The distance is about this part of its upper bound; calibrated on tables, see decision 121."""
_SIDE = 1.645
_PLAIN = 4.0
"""So many deviations above 0 a squared distance is no chance, however near columns are."""
_PILES = 4
_WITNESS_SPREAD = 0.09


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """An estimate with the ends of its interval; None at an end that the data does not set."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """How far the pairs are: the mean total variation distance over pairs of merged columns.

    ``close`` is as many people as a random sample would need to be as close. ``said`` is False
    where too few people were held out for the distance to say anything: then it is not printed.
    """

    close: Number
    mean: Number
    square: Number
    independent: float
    said: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """How well the sampler's own posterior ranks the people held out by one target."""

    target: str
    auc: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All that one release says of the sampler that it was asked about."""

    people: Number
    distance: Distance
    gain: Number | None
    areas: tuple[Area, ...]


def evaluate_release(inputs: Inputs, values: np.ndarray, *, variance: float) -> Evaluation:
    """Return what a noised vector says.

    Args: values: (counters,) float64, summed over silos. variance: of the noise of each of them.
    """
    blocks = split(inputs, values)
    people, spread = _people(inputs, blocks, variance)
    cell = variance / inputs.settings.weights[2] ** 2
    return Evaluation(
        people=_within(people, spread),
        distance=_distance(inputs, blocks, inputs.shares, variance=variance, people=people),
        gain=_gain(inputs, blocks, variance=variance, people=people),
        areas=tuple(
            Area(target=t.name, auc=_area(histogram, cell, within=t.within))
            for t, histogram in zip(
                inputs.targets,
                blocks["scores"].reshape(-1, 2, inputs.settings.bins),
                strict=True,
            )
        ),
    )


def judge_other(
    inputs: Inputs, values: np.ndarray, *, variance: float, shares: Sequence[np.ndarray]
) -> Distance:
    """Return how far another sampler is, by a release that was made for the sampler of ``inputs``.

    Args: shares: of the other, as :func:`silosynth.common.held.inputs.drawn_pairs` gives them.
    """
    blocks = split(inputs, values)
    people, _ = _people(inputs, blocks, variance)
    return _distance(inputs, blocks, shares, variance=variance, people=people, witnessed=False)


def split(inputs: Inputs, values: np.ndarray) -> Mapping[str, np.ndarray]:
    """Return the counters of each block, in rows: without their weights."""
    parts = np.split(values.astype(np.float64), np.cumsum(list(inputs.blocks.values()))[:-1])
    weights = inputs.settings.weights
    return {n: p / w for n, p, w in zip(inputs.blocks, parts, weights, strict=True)}


def squares(
    inputs: Inputs,
    halves: np.ndarray,
    shares: Sequence[np.ndarray],
    *,
    variance: float,
    people: float,
) -> np.ndarray:
    """Return (pairs, repeats) float64, unbiased estimates of each pair's squared distance.

    With T the noised sum, t what the sampler expects of one row, and n people:
    (T² - v - n) / (n (n - 1)) - 2 t T / n + t². Its mean over noise, sample and signs is the
    squared L2 distance of the people's law and the sampler's.
    """
    expected = np.array([s @ (q / q.sum()) for s, q in zip(inputs.signs, shares, strict=True)])
    sums = halves.reshape(expected.shape)
    found: np.ndarray = (sums**2 - variance - people) / (people * (people - 1))
    found += expected**2 - 2 * expected * sums / people
    return found


def _people(
    inputs: Inputs, blocks: Mapping[str, np.ndarray], variance: float
) -> tuple[float, float]:
    """Return how many people were held out, at least 2, and its standard error."""
    spread = math.sqrt(variance) / inputs.settings.weights[4]
    return max(float(blocks["count"][0]), 2.0), spread


def _distance(
    inputs: Inputs,
    blocks: Mapping[str, np.ndarray],
    shares: Sequence[np.ndarray],
    *,
    variance: float,
    people: float,
    witnessed: bool = True,
) -> Distance:
    """Return the distance of ``shares`` from the people's."""
    noise = variance / inputs.settings.weights[0] ** 2
    found = squares(inputs, blocks["halves"], shares, variance=noise, people=people)
    mean, error = float(found.mean()), float(found.std(ddof=1)) / math.sqrt(found.size)
    spread = 1 - float(np.mean([((q / q.sum()) ** 2).sum() for q in shares]))
    sizes = np.array([len(q) for q in shares], dtype=np.float64)
    bound, upper = _bounds(found * sizes[:, None], sizes)
    alone = _independent(inputs, blocks, variance=noise, people=people)
    low = max(
        0.5 * math.sqrt(max(mean - _SIDE * error, 0.0)),
        _least(inputs, blocks, variance, people) if witnessed else 0.0,
    )
    square = Number(value=mean, low=mean - _SIDE * error, high=mean + _SIDE * error)
    return Distance(
        close=_close(square, spread),
        mean=Number(value=SHRINK * bound, low=min(low, upper), high=upper),
        square=square,
        independent=SHRINK * alone,
        said=upper < 2 * alone or mean > _PLAIN * _by_chance(found.size, noise, people),
    )


def _by_chance(halves: int, variance: float, people: float) -> float:
    """Return the standard deviation of a mean squared distance that is 0: noise and sample alone.

    Each half's squared sum is then (v + n) times a chi square of one degree.
    """
    return math.sqrt(2 / halves) * (variance + people) / (people * (people - 1))


def _close(square: Number, spread: float) -> Number:
    """Return how many people's random sample is as close; more than any where it may be so."""

    def people(distance: float | None) -> float | None:
        return spread / distance if distance is not None and distance > 0 else None

    value = people(square.value)
    return Number(
        value=math.inf if value is None else value,
        low=people(square.high),
        high=people(square.low),
    )


def _bounds(scaled: np.ndarray, sizes: np.ndarray) -> tuple[float, float]:
    """Return a bound on the mean distance, and one that holds with 95 % of chance.

    By Cauchy and Schwarz within a pair and Jensen over a pile of pairs of about as many cells:
    half the root of the mean of cells times squared distance; the second has one standard error
    more under each root.
    """
    piles = np.array_split(np.argsort(sizes, kind="stable"), min(_PILES, len(sizes)))
    plain = upper = 0.0
    for pile in piles:
        mean, count = float(scaled[pile].mean()), scaled[pile].size
        error = float(scaled[pile].std(ddof=1)) / math.sqrt(count) if count > 1 else abs(mean)
        part = len(pile) / len(sizes) / 2
        plain += part * math.sqrt(max(mean, 0.0))
        upper += part * math.sqrt(max(mean + error, 0.0))
    return plain, upper


def _independent(
    inputs: Inputs, blocks: Mapping[str, np.ndarray], *, variance: float, people: float
) -> float:
    """Return the bound of independent columns, for comparison: the floor of every sampler."""
    alone = []
    for (first, second), q in zip(inputs.pairs, inputs.shares, strict=True):
        table = q.reshape(inputs.sizes[first], inputs.sizes[second])
        alone.append((np.outer(table.sum(1), table.sum(0)) / table.sum()).ravel())
    found = squares(inputs, blocks["halves"], alone, variance=variance, people=people)
    sizes = np.array([len(q) for q in alone], dtype=np.float64)
    return _bounds(found * sizes[:, None], sizes)[0]


def _least(
    inputs: Inputs, blocks: Mapping[str, np.ndarray], variance: float, people: float
) -> float:
    """Return a lower bound of the mean distance, by the witness cells; 0 without them."""
    if not inputs.witness:
        return 0.0
    rows, pairs = inputs.settings.rows, len(inputs.pairs)
    drawn = sum(int(q[w].sum()) for q, w in zip(inputs.shares, inputs.witness, strict=True)) / rows
    found = float(blocks["witness"][0]) / (people * pairs) + (inputs.centre - drawn) / pairs
    noise = math.sqrt(variance) / inputs.settings.weights[3] / (people * pairs)
    return found - _SIDE * math.hypot(noise, _WITNESS_SPREAD / math.sqrt(people))


def _gain(
    inputs: Inputs, blocks: Mapping[str, np.ndarray], *, variance: float, people: float
) -> Number | None:
    """Return the mean gain of log-likelihood over independent columns, in nats."""
    if inputs.law is None:
        return None
    settings = inputs.settings
    gain = float(blocks["likelihood"][0]) / STEPS / people + middle_gain(settings)
    noise = math.sqrt(variance) / settings.weights[1] / STEPS / people
    return _within(gain, math.hypot(noise, inputs.spread / math.sqrt(people)))


def _area(histogram: np.ndarray, variance: float, *, within: np.ndarray) -> Number:
    """Return the area under the ROC curve of a noised (2, bins) histogram, no, then yes.

    No cell is cut at 0, which would bias it. Pairs in one bin are told apart as the sampler's own
    drawn rows are there (``within``): as ties they would take away what bins are too coarse to see.
    The error is by the delta method, over noise and sample; the area does not change when a class
    is scaled.
    """
    no, yes = histogram
    negatives, positives = max(no.sum(), 1.0), max(yes.sum(), 1.0)
    below = np.cumsum(no) - no + within * no
    above = yes.sum() - np.cumsum(yes) + within * yes
    area = float((yes * below).sum() / (positives * negatives))
    slope_yes = (below / negatives - area) / positives
    slope_no = (above / positives - area) / negatives
    cells = np.maximum(histogram, 0) + variance
    error = math.sqrt(float((slope_no**2 * cells[0] + slope_yes**2 * cells[1]).sum()))
    return _within(min(max(area, 0.0), 1.0), error)


def _within(value: float, error: float) -> Number:
    """Return an estimate within 1.645 of its standard errors: nine of ten times."""
    return Number(value=value, low=value - _SIDE * error, high=value + _SIDE * error)
