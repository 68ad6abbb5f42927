"""Fit a mixture of forests to all that was measured of pairs at once.

The pair tables of a mixture are one product of matrices, so that a step costs the same for every
pair together as for one. Two attributes of one tree are more than their columns in a component say:
what they are beyond that is worked out exactly every few steps, and taken as it is in between. The
1-ways are as well a part of the loss, and a penalty keeps components near to them where the noise
is as large as what they would explain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from silosynth.server.mixture.forest import Columns, Forest, Trees
from silosynth.server.mixture.levels import Levels
from silosynth.server.mixture.nobody import choose_forest, find_empty

ONE_WAY_WEIGHT = 5.0
RATE = 0.1
COMPONENTS, FEW_COMPONENTS = 256, 128
"""Of a mixture, and of one over more codes than :data:`BROAD`."""
BROAD = 600
FEWEST_STEPS = 200
WORK = 2**35
"""Components times squared codes times steps, at most: a few seconds of one core."""
BRIEF_COMPONENTS, BRIEF_STEPS = 128, 300
"""Of the mixture of products that says what edges would keep out."""
_SPREAD = 1.0
_FIRST, _SECOND = 0.9, 0.99
_LEAST = 1e-9
_RAKES = 4
_EXACT_EVERY = 100
"""Steps after which what trees make of pairs is worked out anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How many components, how long they are fitted, and how near they stay to the 1-ways."""

    components: int
    steps: int
    smoothing: float
    seed: int = 1

    @classmethod
    def of_codes(cls, codes: int, *, steps: int, smoothing: float) -> Settings:
        """Return how a mixture over so many codes is fitted: for long, but for seconds.

        Args: steps: at most. smoothing: in standard deviations of a cell's noise.
        """
        components = COMPONENTS if codes <= BROAD else FEW_COMPONENTS
        most = WORK // (components * max(codes, 1) ** 2)
        return cls(
            components=components,
            steps=min(max(most, FEWEST_STEPS), steps),
            smoothing=smoothing,
        )


def fit_trees(levels: Levels, *, settings: Settings, most_cells: int) -> Trees:
    """Fit a mixture of the forest that what was measured calls for.

    Guarantees: its 1-ways are those of ``levels`` nearly. The same arguments give the same mixture
    with the same version of NumPy on the same kind of machine.

    Args: most_cells: that the tables of the forest's edges may have together.
    """
    brief = replace(
        settings,
        components=min(settings.components, BRIEF_COMPONENTS),
        steps=min(settings.steps, BRIEF_STEPS),
    )
    plain = fit_forest(levels, Forest.without_edges(levels.sizes), settings=brief)
    tables = plain.pair_tables()
    empty = tuple(find_empty(levels, tables))
    forest = choose_forest(levels, tables, empty=empty, most_cells=most_cells)
    return fit_forest(levels.surer_of_empty(empty), forest, settings=settings)


def fit_forest(levels: Levels, forest: Forest, *, settings: Settings) -> Trees:
    """Fit a mixture whose components are one forest; see :func:`fit_trees`."""
    fit = _Fit.of(levels, forest, settings=settings)
    for step in range(1, settings.steps + 1):
        fit.step(step, of=settings.steps)
    weights, codes = fit.shares()
    return _rake(weights.astype(np.float64), codes.astype(np.float64), levels, forest)


@dataclass(slots=True, kw_only=True, eq=False)
class _Fit:
    """A fit on its way: logits of weights and codes, and Adam's two means of each."""

    levels: Levels
    forest: Forest
    alone: np.ndarray
    starts: np.ndarray
    owner: np.ndarray
    penalty: np.float32
    logits: list[np.ndarray]
    means: list[tuple[np.ndarray, np.ndarray]]
    beyond: np.ndarray | None = None

    @classmethod
    def of(cls, levels: Levels, forest: Forest, *, settings: Settings) -> _Fit:
        """Start from components that lie about the 1-ways."""
        alone = levels.shares.astype(np.float32)
        random = np.random.default_rng(settings.seed)
        about = random.normal(size=(settings.components, len(alone))) * _SPREAD
        codes = (np.log(np.maximum(alone, _LEAST)) + about).astype(np.float32)
        logits = [np.zeros(settings.components, dtype=np.float32), codes]
        return cls(
            levels=levels,
            forest=forest,
            alone=alone,
            starts=levels.starts,
            owner=levels.owner,
            penalty=np.float32(settings.smoothing * levels.typical),
            logits=logits,
            means=[(np.zeros_like(x), np.zeros_like(x)) for x in logits],
        )

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights of components and the shares of their codes."""
        weights = np.exp(self.logits[0] - self.logits[0].max())
        highest = np.maximum.reduceat(self.logits[1], self.starts, axis=1)
        codes = np.exp(self.logits[1] - highest[:, self.owner])
        codes /= np.add.reduceat(codes, self.starts, axis=1)[:, self.owner]
        return weights / weights.sum(), codes

    def step(self, number: int, *, of: int) -> None:
        """Go one step of Adam (Kingma and Ba 2015) down, shorter in the second half of all."""
        weights, codes = self.shares()
        if self.forest.allowed and number % _EXACT_EVERY == 0:
            exact = self.levels.gathered(self.forest.pair_tables(weights, codes))
            columns = self.forest.down(codes)
            self.beyond = exact - self._tables(weights, codes, columns)
        rate = RATE * min(1.0, 2.1 - 2.0 * number / of)
        for logits, gradient, (mean, square) in zip(
            self.logits, self._gradients(weights, codes), self.means, strict=True
        ):
            mean += (1 - _FIRST) * (gradient - mean)
            square += (1 - _SECOND) * (gradient**2 - square)
            size = np.sqrt(square / (1 - _SECOND**number)) + 1e-10
            logits -= rate * (mean / (1 - _FIRST**number)) / size

    def _tables(self, weights: np.ndarray, codes: np.ndarray, columns: Columns) -> np.ndarray:
        """Return (columns, columns) what components make of pairs, exactly across an edge alone."""
        shares = columns.shares
        merged = self.levels.merged(shares)
        tables: np.ndarray = (merged * weights[:, None]).T @ merged
        if not self.forest.allowed:
            return tables
        edges = np.zeros((len(self.alone), len(self.alone)), dtype=np.float32)
        for parent, v in self.forest.edges:
            above, here = self.forest.slices[parent], self.forest.slices[v]
            table = (columns.ratios[v] * weights[:, None]).T @ codes[:, here]
            table *= self.forest.allowed[v]
            table -= (shares[:, above] * weights[:, None]).T @ shares[:, here]
            edges[above, here], edges[here, above] = table, table.T
        tables += self.levels.gathered(edges)
        return tables

    def _gradients(self, weights: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of the loss by the logits of weights and of codes."""
        columns = self.forest.down(codes)
        tables = self._tables(weights, codes, columns)
        if self.beyond is not None:
            tables += self.beyond
        error = self.levels.spread((tables - self.levels.table) * self.levels.weight)
        by_codes, by_ratios = np.zeros_like(codes), {}
        by_weight = np.zeros_like(weights)
        for parent, v in self.forest.edges:
            above, here = self.forest.slices[parent], self.forest.slices[v]
            across = 4.0 * self.forest.allowed[v] * error[above, here]
            error[above, here], error[here, above] = 0.0, 0.0
            pulled = codes[:, here] @ across.T
            by_ratios[v] = weights[:, None] * pulled
            by_codes[:, here] += (weights[:, None] * columns.ratios[v]) @ across
            by_weight += (columns.ratios[v] * pulled).sum(axis=1)
        shares = columns.shares
        pull = 2.0 * (shares @ error)
        off = ONE_WAY_WEIGHT * (weights @ shares - self.alone)
        apart = self.penalty * np.log(np.maximum(shares, _LEAST) / np.maximum(self.alone, _LEAST))
        by_shares = weights[:, None] * (2.0 * pull + 2.0 * off + apart + self.penalty)
        by_weight += (shares * (pull + 2.0 * off + apart)).sum(axis=1)
        by_codes = self.forest.back(
            codes, columns, by_shares=by_shares, by_ratios=by_ratios, by_codes=by_codes
        )
        inner = np.add.reduceat(codes * by_codes, self.starts, axis=1)[:, self.owner]
        return weights * (by_weight - weights @ by_weight), codes * (by_codes - inner)


def _rake(weights: np.ndarray, codes: np.ndarray, levels: Levels, forest: Forest) -> Trees:
    """Bring the mixture's 1-ways nearly to those of the pairs, in a few rounds of proportions."""
    starts, owner = levels.starts, levels.owner
    for _ in range(_RAKES):
        shares = weights @ forest.down(codes).shares
        codes = codes * (levels.shares / np.maximum(shares, _LEAST))
        sums = np.add.reduceat(codes, starts, axis=1)[:, owner]
        codes = np.where(sums > 0, codes / np.where(sums > 0, sums, 1.0), levels.shares)
    return Trees(weights=weights / weights.sum(), codes=codes, forest=forest)
