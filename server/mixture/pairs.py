"""All noised pairs of a table in one matrix of covariances, with the 1-ways that they agree on.

The codes of all attributes stand one after another. A pair's table is a block; less the product of
its 1-ways it is the covariance of what says which code a row has. Every row and every column of
such a block sums to zero, so what noise adds beside that is taken off: a table of a x b cells
keeps the noise of (a - 1)(b - 1) of them. What it says of its two 1-ways goes into those instead:
in a wide table nearly all that is known of an attribute alone comes from its many pairs.

Models are chosen by pairs that are parted in two, one to fit and one to ask: see NoisedPairs. The
two are independent given the data, so the model that is nearest to the other part is nearest to
the data but for chance. Both are made of what was released: choosing costs no privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import RunFailed
from silosynth.common.measurement import Measurement
from silosynth.server.mixture.codes import SideBySide
from silosynth.server.mixture.fission import times_the_variance, two_sights
from silosynth.server.mixture.forest import Trees
from silosynth.server.values import project


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NoisedPairs(SideBySide):
    """What all measured pairs say together, in shares of ``total`` rows.

    ``sizes`` are the codes of each attribute, ``shares`` (codes,) float64 the 1-ways, each adding
    up to one. ``covariance`` is (codes, codes) float64 with blocks whose rows and columns sum to
    zero, and nothing in an attribute's own block; ``deviation`` is (attributes, attributes), the
    standard deviation of the noise in a cell, infinite where no pair was measured.
    """

    attributes: Clique
    sizes: tuple[int, ...]
    total: float
    shares: np.ndarray
    covariance: np.ndarray
    deviation: np.ndarray

    @property
    def noise(self) -> np.ndarray:
        """Return (codes, codes) the standard deviation of each cell's noise."""
        owner = self.owner
        spread: np.ndarray = self.deviation[np.ix_(owner, owner)]
        return spread

    @property
    def known(self) -> np.ndarray:
        """Return (codes, codes) whether a cell was measured."""
        measured: np.ndarray = np.isfinite(self.noise)
        return measured

    @property
    def typical(self) -> float:
        """Return the least standard deviation of any cell's noise."""
        return float(self.deviation.min())

    def parted(self, noise: np.ndarray, *, part: float) -> tuple[NoisedPairs, np.ndarray]:
        """Return the pairs with more noise, and the covariance of another sight of them.

        Args: noise: (codes, codes) standard normal numbers. part: of :func:`two_sights`.
        """
        upper = np.triu(noise, 1)
        added = centred((upper + upper.T) * self._finite_noise, self)
        seen, other = two_sights(self.covariance, added, part=part)
        deviation = self.deviation * np.sqrt(times_the_variance(part))
        return replace(self, covariance=seen, deviation=deviation), other

    @property
    def _finite_noise(self) -> np.ndarray:
        noise = self.noise
        return np.where(np.isfinite(noise), noise, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Products:
    """A mixture of independent attributes: (components,) ``weights``, which add up to one.

    ``codes`` is (components, codes) float64: the shares of each attribute's codes side by side.
    """

    weights: np.ndarray
    codes: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Return (codes,) the share of every code."""
        whole: np.ndarray = self.weights @ self.codes
        return whole

    def covariance(self) -> np.ndarray:
        """Return (codes, codes) the covariance of all codes, own blocks included."""
        apart = self.codes - self.weights @ self.codes
        matrix: np.ndarray = (apart * self.weights[:, None]).T @ apart
        return matrix


def collect_pairs(
    one_way: Sequence[Measurement], pairs: Sequence[Measurement], *, domain: Domain
) -> NoisedPairs:
    """Join noised 1-ways and pairs, all over ``domain``.

    Every count of rows and every 1-way is the mean of all that say it, by their precision.

    Raises RunFailed where what was measured is not over the domain.
    """
    sizes, place = domain.shape, {a: i for i, a in enumerate(domain.attributes)}
    codes, count = sum(sizes), len(sizes)
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    tables = np.zeros((codes, codes))
    variance = np.full((count, count), np.inf)
    for m in pairs:
        a, b = (place[name] for name in m.clique)
        if m.values.size != sizes[a] * sizes[b]:
            raise RunFailed(f"the pair {', '.join(m.clique)} was measured over other codes")
        table = m.values.reshape(sizes[a], sizes[b])
        tables[starts[a] : starts[a + 1], starts[b] : starts[b + 1]] = table
        tables[starts[b] : starts[b + 1], starts[a] : starts[a + 1]] = table.T
        variance[a, b] = variance[b, a] = m.variance[0]
    alone = {m.clique[0]: m for m in one_way}
    counts = np.concatenate([alone[a].values for a in domain.attributes])
    spread = np.concatenate([alone[a].variance for a in domain.attributes])
    total = _total(counts, spread, tables=tables, variance=variance, starts=starts[:-1])
    sides = np.add.reduceat(tables, starts[:-1], axis=1)
    cells = np.asarray(sizes, dtype=np.float64)
    weight = np.repeat(1.0 / (cells[None, :] * variance), sizes, axis=0)
    means = (counts / spread + (sides * weight).sum(axis=1)) / (1.0 / spread + weight.sum(axis=1))
    shares = np.concatenate(
        [projected_shares(part / total) for part in np.split(means, starts[1:-1])] if count else []
    )
    found = NoisedPairs(
        attributes=domain.attributes,
        sizes=tuple(sizes),
        total=total,
        shares=shares,
        covariance=tables,
        deviation=np.sqrt(variance) / total,
    )
    apart = np.where(found.known, tables / total - np.outer(shares, shares), 0.0)
    return replace(found, covariance=centred(apart, found))


def centred(matrix: np.ndarray, pairs: NoisedPairs) -> np.ndarray:
    """Return the matrix with the means of every block's rows and columns taken off."""
    starts, owner = pairs.starts, pairs.owner
    cells = np.asarray(pairs.sizes, dtype=np.float64)
    down = np.add.reduceat(matrix, starts, axis=0) / cells[:, None]
    matrix = matrix - down[owner]
    across = np.add.reduceat(matrix, starts, axis=1) / cells[None, :]
    flat: np.ndarray = matrix - across[:, owner]
    return flat


def _total(
    counts: np.ndarray,
    spread: np.ndarray,
    *,
    tables: np.ndarray,
    variance: np.ndarray,
    starts: np.ndarray,
) -> float:
    """Return the number of rows, at least 1, by the sums of all tables and their precision."""
    cells = np.diff(np.append(starts, len(counts)))
    sums = np.add.reduceat(np.add.reduceat(tables, starts, axis=0), starts, axis=1)
    upper = np.triu_indices(len(cells), 1)
    precision = (1.0 / (np.outer(cells, cells) * variance))[upper]
    alone = 1.0 / np.add.reduceat(spread, starts)
    sides = np.add.reduceat(counts, starts)
    whole = (sums[upper] @ precision + sides @ alone) / (precision.sum() + alone.sum())
    return max(float(whole), 1.0)


def projected_shares(values: np.ndarray) -> np.ndarray:
    """Return the nearest shares that are not negative and add up to one."""
    there = np.ones((1, len(values)), dtype=bool)
    nearest: np.ndarray = project(values[None, :], there=there, total=np.ones(1))[0]
    return nearest


PART = 0.5
"""How much of the noise's own size is added to what is fitted, when models are compared."""

_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model by name, and how it is fitted: to be compared as it is to be handed out.

    A fit that is cut short to be compared is no sight of the whole one: on BRFSS it was behind a
    copula from which the whole one is half as far.
    """

    name: str
    fit: Callable[[NoisedPairs], Products | Trees]


def choose(pairs: NoisedPairs, candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate whose fit to one part is nearest to the other; see the module."""
    if len(candidates) == 1:
        return candidates[0]
    noise = np.random.default_rng(_SEED).normal(size=pairs.covariance.shape)
    fitted, other = pairs.parted(noise, part=PART)
    return min(candidates, key=lambda c: distance(c.fit(fitted), other, pairs=pairs))


def distance(model: Products | Trees, other: np.ndarray, *, pairs: NoisedPairs) -> float:
    """Return how far a model's covariance is from a noised one: squares over the noise's own."""
    known = pairs.known
    shares = model.shares
    # What a model's 1-ways are off is no part of the covariance, and of what pairs say it is.
    apart = model.covariance() + np.outer(shares, shares) - np.outer(pairs.shares, pairs.shares)
    off = centred(np.where(known, apart, 0.0), pairs) - other
    scaled = np.where(known, off / np.where(known, pairs.noise, 1.0), 0.0)
    return float((scaled**2).sum())
