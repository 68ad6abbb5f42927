"""What noised answers say of one view: shares of each column and pair, and how sure each is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.families import Answer

LEAST_SPREAD, MOST_SPREAD = 1e-4, 4.0
"""Of the squared logarithm by which a pair's cell differs from what its columns alone make."""
DRIFT = 0.02
"""The share of a pair's cell that drawn rows may be off by, for all that a law is given."""
FEWEST_ROWS = 1e-3
LEAST_MOST, MOST_MOST = 6.0, 10.0
"""Of the largest logarithm of a cell: noise can ask for what no law can give, and a row that should
never follow another must not, however many there are. So it is as large as noise lets be seen.
"""
SHOWN = 1.0
"""Standard deviations of noise by which a pair must differ, over all its cells, to be a term."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """A pair's shares beyond those of its two columns, and what is known of its size.

    ``excess`` is (codes of the first, codes of the second) float64, of all rows; its rows and
    columns add up to nothing. ``ridge`` (the same shape) is the pull towards 0 of the logarithm by
    which a cell differs, in rows: the noise beside how far such cells differ at all. ``spread`` is
    the latter, the mean square; ``logarithms`` (the same shape) says of each cell by how much, as
    far as noise lets it be said, and ``most`` how large it may become.
    """

    excess: np.ndarray = field(repr=False)
    ridge: np.ndarray = field(repr=False)
    spread: float
    logarithms: np.ndarray = field(repr=False)
    most: np.ndarray = field(repr=False)

    @property
    def turned(self) -> Pair:
        """Return the same with its columns the other way around."""
        turned = (a.T for a in (self.excess, self.ridge, self.logarithms, self.most))
        excess, ridge, logarithms, most = turned
        return Pair(
            excess=excess, ridge=ridge, spread=self.spread, logarithms=logarithms, most=most
        )

    @property
    def told(self) -> float:
        """Return how much a law gains by this pair alone: about its mutual information."""
        return float((self.excess * self.logarithms).sum())

    def pull(self, weights: np.ndarray) -> np.ndarray:
        """Return the pull towards 0 in a fit on rows of these weights.

        To the noise comes that the rows are a sample: its cells are off by as much as they hold.
        Of a pair whose cells differ by more than their own size no logarithm is too large.
        """
        mass = float(weights.sum())
        sampled = float((weights**2).sum()) / mass / (self.spread * (1 + self.spread))
        pull: np.ndarray = self.ridge * mass + sampled
        return pull


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What is known of a view: ``total`` rows (weighed), shares by column, and pairs.

    ``unsure``: by column, how far its shares are off by noise, in total variation.
    """

    domain: Domain
    total: float
    shares: Mapping[str, np.ndarray] = field(repr=False)
    unsure: Mapping[str, float] = field(repr=False)
    pairs: Mapping[Clique, Pair] = field(repr=False)

    def given(self, attribute: str, known: Iterable[str]) -> dict[str, Pair]:
        """Return the pairs of an attribute with what is known, the other column first."""
        found = {}
        for column in known:
            if (column, attribute) in self.pairs:
                found[column] = self.pairs[column, attribute]
            elif (attribute, column) in self.pairs:
                found[column] = self.pairs[attribute, column].turned
        return found


def read_evidence(answers: Sequence[Answer], *, domain: Domain) -> Evidence:
    """Return what the answers of one view say.

    The shares of a column come of its own answer and of every pair's margin, by their variances;
    pairs are then made to agree with them, by the least that does it.
    """
    total = _total(answers)
    shares, unsure = _shares(answers, domain=domain, total=total)
    pairs: dict[Clique, Pair] = {}
    for answer in answers:
        clique = answer.question.clique
        if len(clique) == 2:
            table = answer.values.reshape(domain.sizes(clique))
            pair = _pair(table, shares[clique[0]], shares[clique[1]], answer.variance, total)
            if pair is not None:
                pairs[clique] = pair
    return Evidence(domain=domain, total=total, shares=shares, unsure=unsure, pairs=pairs)


def _total(answers: Sequence[Answer]) -> float:
    """Return the rows that all answers agree on best, at least one."""
    precisions = [1 / (a.variance * a.values.size) for a in answers]
    sums = sum(p * float(a.values.sum()) for p, a in zip(precisions, answers, strict=True))
    return max(sums / sum(precisions), 1.0) if answers else 1.0


def _shares(
    answers: Sequence[Answer], *, domain: Domain, total: float
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return each column's shares, and how far noise puts them off in total variation."""
    sums: dict[str, np.ndarray] = {}
    precisions: dict[str, float] = {}
    for answer in answers:
        clique = answer.question.clique
        sizes = domain.sizes(clique)
        table = answer.values.reshape(sizes)
        for axis, attribute in enumerate(clique):
            others = tuple(i for i in range(len(clique)) if i != axis)
            precision = sizes[axis] / (answer.variance * answer.values.size)
            margin = table.sum(axis=others) * precision
            sums[attribute] = sums.get(attribute, np.zeros(sizes[axis])) + margin
            precisions[attribute] = precisions.get(attribute, 0.0) + precision
    shares = {a: to_simplex(s / precisions[a] / total) for a, s in sums.items()}
    # Half of what normal noise is on average, in each cell.
    mean = 0.5 * np.sqrt(2 / np.pi) / total
    return shares, {a: float(mean * len(s) / np.sqrt(precisions[a])) for a, s in sums.items()}


def to_simplex(values: np.ndarray) -> np.ndarray:
    """Return the nearest shares, none below 0 and 1 in all (Held, Wolfe and Crowder 1974)."""
    falling = np.sort(values)[::-1]
    excess = (falling.cumsum() - 1) / np.arange(1, len(values) + 1)
    last = int(np.flatnonzero(falling > excess)[-1])
    shares: np.ndarray = np.maximum(values - excess[last], 0.0)
    return shares


def _pair(
    table: np.ndarray, first: np.ndarray, second: np.ndarray, variance: float, total: float
) -> Pair | None:
    """Return what a pair says beyond its columns; None where noise alone would say as much.

    How far cells differ is estimated for the pair as a whole: the squares of what is beyond its
    columns, less the noise, beside the squares of the rows that can differ: of a code that nearly
    all rows have, the others. A cell's pull to 0 is what is uncertain of it beside that, so that a
    cell of few rows, which noise decides, says nothing. Uncertain is the noise, and a share of
    the cell that drawn rows may be off by.
    """
    expected = np.outer(first, second)
    excess = table / total - expected
    excess -= (excess.sum(axis=1, keepdims=True)) / excess.shape[1]
    excess -= (excess.sum(axis=0, keepdims=True)) / excess.shape[0]
    noise = variance / total**2
    freedom = max((excess.shape[0] - 1) * (excess.shape[1] - 1), 1)
    beyond = float((excess**2).sum()) - noise * freedom
    if beyond < SHOWN * noise * np.sqrt(2 * freedom):
        return None
    free = np.outer(first * (1 - first), second * (1 - second))
    spread = max(beyond / max(float((free**2).sum()), 1e-12), LEAST_SPREAD)
    rows = np.maximum(free * total, FEWEST_ROWS)
    ridge = (variance + (DRIFT * rows) ** 2) / (min(spread, MOST_SPREAD) * rows * total)
    seen = np.maximum(expected, 1e-12)
    above = np.log(seen / np.sqrt(noise))
    most = np.clip(above, LEAST_MOST, MOST_MOST)
    cells = 1 + excess / (seen + ridge)
    logarithms = np.clip(np.log(np.maximum(cells, np.exp(-most))), -most, most)
    return Pair(excess=excess, ridge=ridge, spread=spread, logarithms=logarithms, most=most)
