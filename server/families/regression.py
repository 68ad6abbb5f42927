"""One attribute's law given all that is known: a log-linear regression on noised pairs.

The likelihood of a log-linear law needs of the data only how often each code comes with each code
of a given column: the pairs that were noised. What else it needs, how the given columns come
together, is taken from drawn rows (docs/decisions/093-chains-of-regressions.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import fmin_l_bfgs_b
from scipy.sparse import csr_matrix

from silosynth.server.families.staying import Stays

IMPOSSIBLE = -1e4
"""The logarithm of a code that cannot be."""
MOST_STAYING = 10.0
"""Of the logarithms of staying."""
MEMORY = 8
_STILL = 1e9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Rows of given codes, and what the law should make of them.

    ``given``: (rows, columns) int64, the place of each given code among all columns' codes;
    ``weights``: (rows,) float64; ``targets`` and ``ridge``: (places, codes) float64; ``offsets``:
    (rows, codes) float32 or None, what is added to every logarithm; ``most``: (places, codes)
    float64, how large each may become.
    """

    given: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    ridge: np.ndarray = field(repr=False)
    offsets: np.ndarray | None = field(repr=False)
    most: np.ndarray = field(repr=False)
    stays: Stays | None = field(repr=False, default=None)


def regress(
    problem: Problem, *, start: tuple[np.ndarray, np.ndarray], iterations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (places, codes) and (groups,) float64, the logarithms that fit best.

    Minimises ``sum_r w_r log sum_c exp(x_r theta_c) - <theta, targets> + 0.5 <ridge, theta^2>``,
    which is convex, by L-BFGS in units of each one's own curvature.
    """
    rows, columns = problem.given.shape
    places, codes = problem.targets.shape
    ends = np.arange(0, rows * columns + 1, columns, dtype=np.int32)
    ones = np.ones(rows * columns, dtype=np.float32)
    design = csr_matrix((ones, problem.given.ravel().astype(np.int32), ends), (rows, places))
    across = design.T.tocsr()
    weights = problem.weights.astype(np.float32)
    held = (across @ weights).astype(np.float64)
    share = problem.targets[0] / max(problem.targets[0].sum(), 1e-12)
    curvature = held[:, None] * (share * (1 - share))[None, :] + problem.ridge + 1e-3
    stays, at = problem.stays, np.arange(rows)
    targets, ridge = problem.targets.ravel(), problem.ridge.ravel()
    unit = 1 / np.sqrt(curvature.ravel())
    if stays is not None:
        targets = np.concatenate([targets, stays.targets])
        ridge = np.concatenate([ridge, stays.ridge])
        unit = np.concatenate([unit, 1 / np.sqrt(stays.curvature(weights))])
    cut = places * codes

    def loss(point: np.ndarray) -> tuple[float, np.ndarray]:
        theta = point * unit
        logs = design @ theta[:cut].reshape(places, codes).astype(np.float32)
        if stays is not None:
            logs[at, stays.before] += theta[cut:][stays.group].astype(np.float32)
        if problem.offsets is not None:
            logs += problem.offsets
        largest = logs.max(axis=1)
        np.exp(logs - largest[:, None], out=logs)
        sums = logs.sum(axis=1)
        logs *= (weights / sums)[:, None]
        gradient = (across @ logs).ravel().astype(np.float64)
        if stays is not None:
            gradient = np.append(gradient, stays.held(logs[at, stays.before]))
        gradient += ridge * theta - targets
        value = float((problem.weights * (np.log(sums) + largest)).sum())
        value += float((theta * (0.5 * ridge * theta - targets)).sum())
        return value, gradient * unit

    most = np.full(len(unit), MOST_STAYING)
    most[:cut] = problem.most.ravel()
    most /= unit
    point, _, _ = fmin_l_bfgs_b(
        loss,
        np.clip(np.concatenate([start[0].ravel(), start[1]]) / unit, -most, most),
        bounds=np.stack([-most, most], axis=1),
        maxiter=iterations,
        m=MEMORY,
        factr=_STILL,
    )
    found: np.ndarray = point * unit
    return found[:cut].reshape(places, codes), found[cut:]
