"""One attribute's law given all that is known: a log-linear regression on noised pairs.

The likelihood of a log-linear law needs of the data only how often each code comes with each code
of a given column: the pairs that were noised. What else it needs, how the given columns come
together, is taken from drawn rows (docs/decisions/093-chains-of-regressions.md).

How often a row has the code of the row before it pairs do not say: a parent of 300 rows changes far
more seldom from row to row than one of 3, and a law that adds up what the row before and what the
number of rows say of each code gives both the same rate. So that is held apart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.families import PREVIOUS, SAME
from silosynth.common.forest import Term, to_scores
from silosynth.server.families.evidence import Evidence, Pair
from silosynth.server.families.minimise import minimise


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Staying:
    """Of one attribute, by the codes of ``group``: the share that stays, and what is beyond it."""

    before: str
    group: str
    codes: int
    share: float
    pair: Pair = field(repr=False)

    @property
    def groups(self) -> int:
        """Return how many codes the group has."""
        return len(self.pair.excess)

    @property
    def given(self) -> tuple[str, str]:
        """Return what the term is given."""
        return self.before, self.group

    def term(self, logarithms: np.ndarray) -> Term:
        """Return (groups,) logarithms by which the code before is likelier, as a term."""
        table = np.eye(self.codes)[:, None, :] * logarithms[None, :, None]
        return Term(given=self.given, scores=to_scores(table.reshape(-1, self.codes)))

    def start(self, begun: Mapping[tuple[str, ...], np.ndarray]) -> np.ndarray:
        """Return (groups,) where to begin, of logarithms of a law before."""
        found = begun.get(self.given)
        return np.zeros(self.groups) if found is None else found[: self.groups, 0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stays:
    """The part of a regression that a :class:`Staying` is.

    ``before`` and ``group``: (rows,) codes; ``targets`` and ``ridge``: (groups,) float64.
    """

    before: np.ndarray = field(repr=False)
    group: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    ridge: np.ndarray = field(repr=False)

    def held(self, weights: np.ndarray) -> np.ndarray:
        """Return (groups,) float64, the sum of the weights of each group's rows."""
        return np.bincount(self.group, weights=weights, minlength=len(self.targets))

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """Return (groups,) float64, about how the loss curves in each logarithm."""
        held = self.held(weights)
        share = self.targets / np.maximum(held, 1e-12)
        curvature: np.ndarray = held * share * (1 - share) + self.ridge + 1e-3
        return curvature


def find_staying(evidence: Evidence, attribute: str, known: Collection[str]) -> Staying | None:
    """Return what is known of an attribute's staying; None where noise, or no row, says it."""
    pairs = evidence.given(f"{SAME}{attribute}", known)
    if f"{PREVIOUS}{attribute}" not in known:
        return None
    for group, pair in pairs.items():
        share = evidence.shares[f"{SAME}{attribute}"]
        return Staying(
            before=f"{PREVIOUS}{attribute}",
            group=group,
            codes=evidence.domain.size((attribute,)),
            share=float(share[1]),
            pair=pair,
        )
    return None


def stays_of(
    staying: Staying,
    known: Mapping[str, np.ndarray],
    *,
    weights: np.ndarray,
    ratio: np.ndarray,
) -> Stays:
    """Return the part of a regression on some rows.

    Args: ratio: (groups,) how much oftener each group is drawn than was noised.
    """
    group = known[staying.group].astype(np.int64)
    held = np.bincount(group, weights=weights, minlength=staying.groups)
    targets = held * staying.share + weights.sum() * staying.pair.excess[:, 1] * ratio
    return Stays(
        before=known[staying.before].astype(np.int64),
        group=group,
        targets=np.clip(targets, 0.0, held),
        ridge=staying.pair.pull(weights)[:, 1],
    )


IMPOSSIBLE = -1e4
"""The logarithm of a code that cannot be."""
MOST_STAYING = 10.0
"""Of the logarithms of staying."""


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
    which is convex, in units of each one's own curvature.
    """
    # A while to import, and every command knows of families.
    from scipy.sparse import csr_matrix

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
    begin = np.concatenate([start[0].ravel(), start[1]]) / unit
    found: np.ndarray = minimise(loss, start=begin, most=most, iterations=iterations) * unit
    return found[:cut].reshape(places, codes), found[cut:]
