"""Choose among models by pairs that are parted in two, one to fit and one to ask; see NoisedPairs.

The two are independent given the data, so the model that is nearest to the other part is nearest to
the data but for chance. Both are made of what was released: choosing costs no privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.server.mixture.pairs import NoisedPairs, Products, centred

PART = 0.5
"""How much of the noise's own size is added to what is fitted, when models are compared."""

_SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model by name: ``brief`` is fitted to be compared, ``whole`` to be handed out."""

    name: str
    brief: Callable[[NoisedPairs], Products]
    whole: Callable[[NoisedPairs], Products]


def choose(pairs: NoisedPairs, candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate whose brief fit to one part is nearest to the other; see the module."""
    if len(candidates) == 1:
        return candidates[0]
    noise = np.random.default_rng(_SEED).normal(size=pairs.covariance.shape)
    fitted, other = pairs.parted(noise, part=PART)
    return min(candidates, key=lambda c: distance(c.brief(fitted), other, pairs=pairs))


def distance(model: Products, other: np.ndarray, *, pairs: NoisedPairs) -> float:
    """Return how far a model's covariance is from a noised one: squares over the noise's own."""
    known = pairs.known
    shares = model.weights @ model.codes
    # What a model's 1-ways are off is no part of the covariance, and of what pairs say it is.
    apart = model.covariance() + np.outer(shares, shares) - np.outer(pairs.shares, pairs.shares)
    off = centred(np.where(known, apart, 0.0), pairs) - other
    scaled = np.where(known, off / np.where(known, pairs.noise, 1.0), 0.0)
    return float((scaled**2).sum())
