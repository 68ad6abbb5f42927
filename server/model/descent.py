"""Accelerated mirror descent on the marginals of a junction tree."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from silosynth.server.model.beliefs import Beliefs, Layout, reweight, view
from silosynth.server.model.targets import Objective, gather, scatter

# Rounding error of a divergence that is a difference of numbers near one.
ROUNDING = 1e-13
SHRINK, GROW, GROW_AT_FIRST = 0.99, 1.3, 2.0
MAX_TRIES = 200
WINDOW = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Point:
    """A distribution and its shares of all target cells."""

    beliefs: Beliefs
    cells: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Descent:
    """Where a descent ended. ``losses`` are of the merged targets, one per iteration."""

    beliefs: Beliefs
    losses: tuple[float, ...]


def _point(beliefs: Beliefs, *, objective: Objective) -> Point:
    """Return a distribution with its target cells."""
    cells = objective.engine.empty(len(objective.values))
    return Point(beliefs=beliefs, cells=gather(objective, beliefs, out=cells))


def _copy(beliefs: Beliefs, *, layout: Layout) -> Beliefs:
    """Return a copy, where the layout's engine computes."""
    flat = layout.engine.empty(len(beliefs.flat))
    flat[:] = beliefs.flat
    return view(layout, flat)


def impose_targets(
    start: Beliefs,
    *,
    objective: Objective,
    layout: Layout,
    tolerated: float,
    sweeps: int = 2,
) -> Beliefs:
    """Impose in turn every target whose loss per cell is above ``tolerated``.

    A target is projected onto the simplex, lifted above zero, and imposed as in iterative
    proportional fitting, the largest first since the small ones know their cells best. The result
    is ``start`` times factors over the targets, as every iterate of the descent is.
    """
    places = sorted(objective.places, key=lambda p: p.start - p.stop)
    now, spare = (view(layout, start.flat.copy()) for _ in range(2))
    for place in places * sweeps:
        one = objective.only(place)
        shares = gather(one, now, out=np.empty(one.values.size))
        if one.loss(shares) < tolerated * shares.size:
            continue
        wanted = _project(one.values, precision=one.precision)
        weights = scatter(one, wanted / shares)
        if math.isfinite(reweight(now, weights, layout=layout, out=spare)):
            now, spare = spare, now
    return now


def _project(values: np.ndarray, *, precision: np.ndarray, lift: float = 0.01) -> np.ndarray:
    """Project onto the simplex in the norm of ``precision``; lift to 0.01 standard deviations.

    Source: Held, Wolfe and Crowder 1974, by sorting.
    """
    order = np.argsort(-values * precision)
    excess = np.cumsum(values[order]) - 1.0
    shift = excess / np.cumsum(1.0 / precision[order])
    # The largest value is always inside, also where rounding hides the 1 that is subtracted.
    inside = max(int(np.count_nonzero(values[order] * precision[order] > shift)), 1)
    projected = values - shift[inside - 1] / precision
    lifted = np.maximum(projected, lift / np.sqrt(precision))
    return np.asarray(lifted / lifted.sum())


def descend(
    objective: Objective,
    start: Beliefs,
    *,
    layout: Layout,
    iterations: int,
    tolerance: float,
) -> Descent:
    """Minimise the objective over all distributions that factorise on the tree.

    Accelerated Bregman proximal gradient with triangle scaling exponent 2, exact for a quadratic
    loss, and its constant adapted (Hanzely, Richtarik and Xiao 2021, algorithm 3). ``latest`` is a
    product of factors; ``average`` is a mixture of all ``latest``, whose tables stay consistent.

    Args: tolerance: stop when 100 iterations gain less than this share of the loss.
    """
    latest = _point(start, objective=objective)
    average = _point(_copy(start, layout=layout), objective=objective)
    spare = _point(_copy(start, layout=layout), objective=objective)
    smoothness, theta = float(objective.precision.max()) / 1000, 1.0
    losses = [objective.loss(average.cells)]
    for iteration in range(iterations):
        blend = average.cells + theta * (latest.cells - average.cells)
        used = _step(
            latest,
            objective.precision * (blend - objective.values),
            objective=objective,
            layout=layout,
            theta=theta,
            smoothness=smoothness,
            grow=GROW if iteration else GROW_AT_FIRST,
            out=spare,
        )
        if used is None:
            break
        latest, spare = spare, latest
        _move(average, toward=latest, share=theta)
        losses.append(objective.loss(average.cells))
        smoothness = used * SHRINK
        theta = 2.0 / (1.0 + math.sqrt(1.0 + 4.0 * SHRINK / theta**2))
        if _settled(losses, tolerance=tolerance):
            break
    return Descent(beliefs=average.beliefs, losses=tuple(losses))


def _step(
    latest: Point,
    gradient: np.ndarray,
    *,
    objective: Objective,
    layout: Layout,
    theta: float,
    smoothness: float,
    grow: float,
    out: Point,
) -> float | None:
    """Write the mirror step to ``out``; return the smoothness that held, None when none did.

    A step is good when its quadratic is below smoothness * KL(out || latest). The divergence of
    the joint is free: with exponents u on the target cells it is <u, shares of out> - log(mass).
    """
    for _ in range(MAX_TRIES):
        exponents = gradient * (-1.0 / (theta * smoothness))
        weights = scatter(objective, objective.engine.exp(exponents))
        log_mass = reweight(latest.beliefs, weights, layout=layout, out=out.beliefs)
        gather(objective, out.beliefs, out=out.cells)
        change = out.cells - latest.cells
        quadratic = 0.5 * float((objective.precision * change * change).sum())
        divergence = float((exponents * out.cells).sum()) - log_mass
        if quadratic <= smoothness * (divergence + ROUNDING):
            return smoothness
        smoothness *= grow
    return None


def _move(average: Point, *, toward: Point, share: float) -> None:
    """Mix ``share`` of one distribution into another, in place."""
    for old, new in (
        (average.beliefs.flat, toward.beliefs.flat),
        (average.cells, toward.cells),
    ):
        old *= 1.0 - share
        old += share * new


def _settled(losses: list[float], *, tolerance: float) -> bool:
    """Say whether the last iterations gained too little to go on."""
    return len(losses) > WINDOW and losses[-1 - WINDOW] - losses[-1] < tolerance * losses[-1]
