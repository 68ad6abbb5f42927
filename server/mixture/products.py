"""Fit a mixture of independent attributes to all pairs at once.

The pair tables of a mixture are one product of matrices, so that a step costs the same for every
pair together as for one. The 1-ways are as well a part of the loss, and a penalty keeps components
near to them where the noise is as large as what they would explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from silosynth.server.mixture.pairs import NoisedPairs, Products

ONE_WAY_WEIGHT = 5.0
RATE = 0.1
_SPREAD = 1.0
_FIRST, _SECOND = 0.9, 0.99
_LEAST = 1e-9
_RAKES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How many components, how long they are fitted, and how near they stay to the 1-ways."""

    components: int
    steps: int
    smoothing: float
    seed: int = 1


def fit_products(pairs: NoisedPairs, covariance: np.ndarray, *, settings: Settings) -> Products:
    """Fit a mixture to a covariance and to the 1-ways of ``pairs``.

    Guarantees: its 1-ways are those of ``pairs`` nearly to rounding. The same arguments give the
    same mixture with the same version of NumPy on the same kind of machine.

    Args: covariance: (codes, codes), of which only what was measured counts.
    """
    fit = _Fit.of(pairs, covariance, settings=settings)
    for step in range(1, settings.steps + 1):
        fit.step(step, of=settings.steps)
    weights, codes = fit.shares()
    return _rake(weights.astype(np.float64), codes.astype(np.float64), pairs=pairs)


@dataclass(slots=True, kw_only=True, eq=False)
class _Fit:
    """A fit on its way: logits of weights and codes, and Adam's two means of each."""

    target: np.ndarray
    counts: np.ndarray
    shares_alone: np.ndarray
    starts: np.ndarray
    owner: np.ndarray
    penalty: float
    logits: list[np.ndarray]
    means: list[tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, pairs: NoisedPairs, covariance: np.ndarray, *, settings: Settings) -> _Fit:
        """Start from components that lie about the 1-ways."""
        alone = pairs.shares.astype(np.float32)
        known = pairs.known
        weight = np.where(known, (pairs.typical / np.where(known, pairs.noise, 1.0)) ** 2, 0.0)
        random = np.random.default_rng(settings.seed)
        about = random.normal(size=(settings.components, len(alone))) * _SPREAD
        codes = (np.log(np.maximum(alone, _LEAST)) + about).astype(np.float32)
        logits = [np.zeros(settings.components, dtype=np.float32), codes]
        typical = pairs.typical if np.isfinite(pairs.typical) else 0.0
        return cls(
            target=(covariance + np.outer(pairs.shares, pairs.shares)).astype(np.float32),
            counts=weight.astype(np.float32),
            shares_alone=alone,
            starts=pairs.starts,
            owner=pairs.owner,
            penalty=settings.smoothing * typical,
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
        rate = RATE * min(1.0, 2.1 - 2.0 * number / of)
        for logits, gradient, (mean, square) in zip(
            self.logits, self._gradients(), self.means, strict=True
        ):
            mean += (1 - _FIRST) * (gradient - mean)
            square += (1 - _SECOND) * (gradient**2 - square)
            size = np.sqrt(square / (1 - _SECOND**number)) + 1e-10
            logits -= rate * (mean / (1 - _FIRST**number)) / size

    def _gradients(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of the loss by the logits of weights and of codes."""
        weights, codes = self.shares()
        error = ((codes * weights[:, None]).T @ codes - self.target) * self.counts
        alone = ONE_WAY_WEIGHT * (weights @ codes - self.shares_alone)
        pull = 2.0 * (codes @ error)
        ratio = np.maximum(codes, _LEAST) / np.maximum(self.shares_alone, _LEAST)
        apart = self.penalty * np.log(ratio)
        by_code = weights[:, None] * (2.0 * pull + 2.0 * alone + apart + self.penalty)
        by_weight = (codes * (pull + 2.0 * alone + apart)).sum(axis=1)
        inner = np.add.reduceat(codes * by_code, self.starts, axis=1)[:, self.owner]
        return weights * (by_weight - weights @ by_weight), codes * (by_code - inner)


def _rake(weights: np.ndarray, codes: np.ndarray, *, pairs: NoisedPairs) -> Products:
    """Bring the mixture's 1-ways to those of the pairs, in a few rounds of proportions."""
    starts, owner = pairs.starts, pairs.owner
    for _ in range(_RAKES):
        codes = codes * (pairs.shares / np.maximum(weights @ codes, _LEAST))
        sums = np.add.reduceat(codes, starts, axis=1)[:, owner]
        codes = np.where(sums > 0, codes / np.where(sums > 0, sums, 1.0), pairs.shares)
    return Products(weights=weights / weights.sum(), codes=codes)
