"""Coarse pairs with less noise, and how much of it is taken off before a mixture is fitted to them.

The spectrum of all pairs shows what of them may be noise. Where they say much, half of that is
taken off: all of it would take weak factors along. Where they say little, a mixture would follow
the half that is left, and be further from the data than independent columns are. Then parts are
compared as models are, by two sights of the same counts (see :mod:`.pairs`): brief mixtures are
fitted to one and held against the other. It costs no privacy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.measurement import Measurement
from silosynth.server.measuring import regroup
from silosynth.server.mixture.fission import times_the_variance, two_sights
from silosynth.server.mixture.fitting import Settings, fit_forest
from silosynth.server.mixture.forest import Forest
from silosynth.server.mixture.levels import Levels
from silosynth.server.mixture.pairs import PART, NoisedPairs, collect_pairs
from silosynth.server.mixture.spectrum import denoise

PARTS = (0.5, 0.75, 1.0)
"""Of the noise that the spectrum shows, what may be taken off; the first where pairs say much."""
MUCH = 2.0
"""Times what noise makes of the squares of all pairs' covariances: from there on they say much."""
_SEED = 1
_COMPONENTS, _STEPS = 64, 200
"""Of a mixture that is fitted to compare."""
_CELLS, _MOST_SIGHTS = 8000, 8
"""Of all pairs together that are looked at, in sights anew where they have fewer."""

LevelsOf = Callable[[Sequence[Measurement], Sequence[Measurement]], Levels]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coarse:
    """Coarse pairs as they were measured, and each as its spectrum leaves it; ``told`` how much.

    ``told`` are the squares of the pairs' covariances over what noise alone makes of them.
    """

    measured: tuple[Measurement, ...]
    clean: tuple[np.ndarray, ...]
    told: float

    @classmethod
    def of(
        cls, measured: Sequence[Measurement], one_way: Sequence[Measurement], *, domain: Domain
    ) -> Coarse:
        """Look at the spectrum of pairs.

        Args: measured: over the same groups, all of them. domain: the fine one.
        """
        if not measured:
            return cls(measured=(), clean=(), told=np.inf)
        level = measured[0].grouping
        over = level.domain(domain)
        alone = [regroup(m, domain=domain, grouping=level) for m in one_way]
        pairs = collect_pairs(alone, measured, domain=over)
        tables = (denoise(pairs) + np.outer(pairs.shares, pairs.shares)) * pairs.total
        block = dict(zip(over.attributes, pairs.slices, strict=True))
        return cls(
            measured=tuple(measured),
            clean=tuple(tables[block[m.clique[0]], block[m.clique[1]]].ravel() for m in measured),
            told=_told(pairs),
        )

    def without(self, part: float) -> list[Measurement]:
        """Return the pairs without so much of the noise that their spectrum shows."""
        return [
            replace(m, values=(1 - part) * m.values + part * clean)
            for m, clean in zip(self.measured, self.clean, strict=True)
        ]


def clean_coarse(
    measured: Sequence[Measurement],
    one_way: Sequence[Measurement],
    *,
    domain: Domain,
    levels: LevelsOf,
    smoothing: float,
) -> list[Measurement]:
    """Return coarse pairs without that part of their noise which a mixture is best fitted without.

    Args: as for :meth:`Coarse.of`, and levels: what is fitted to, coarse pairs first, given those
        as measured and as they are fitted to. smoothing: of :class:`Settings`.
    """
    coarse = Coarse.of(measured, one_way, domain=domain)
    if coarse.told >= MUCH:
        return coarse.without(PARTS[0])
    random = np.random.default_rng(_SEED)
    off = np.zeros(len(PARTS))
    for _ in range(int(np.clip(_CELLS // sum(m.values.size for m in measured), 1, _MOST_SIGHTS))):
        sights = [_sights(m, random=random) for m in measured]
        seen, other = ([s[side] for s in sights] for side in (0, 1))
        sight = Coarse.of(seen, one_way, domain=domain)
        fits = (levels(seen, sight.without(part)) for part in PARTS)
        off += [_distance(fit, other, smoothing=smoothing) for fit in fits]
    return coarse.without(PARTS[int(off.argmin())])


def _sights(m: Measurement, *, random: np.random.Generator) -> tuple[Measurement, Measurement]:
    """Return a pair with more noise, and another sight of it."""
    noise = random.normal(size=m.values.size) * np.sqrt(m.variance)
    seen, other = two_sights(m.values, noise, part=PART)
    noisier = replace(m, values=seen, variance=m.variance * times_the_variance(PART))
    return noisier, replace(m, values=other)


def _distance(levels: Levels, other: Sequence[Measurement], *, smoothing: float) -> float:
    """Return how far a brief mixture is from another sight of the first pairs of its levels."""
    settings = Settings(components=_COMPONENTS, steps=_STEPS, smoothing=smoothing)
    plain = Forest.without_edges(levels.sizes)
    tables = levels.gathered(fit_forest(levels, plain, settings=settings).pair_tables())
    return sum(
        float(((tables[pair.block].ravel() * levels.total - m.values) ** 2 / m.variance).sum())
        for pair, m in zip(levels.pairs, other, strict=False)
    )


def _told(pairs: NoisedPairs) -> float:
    """Return the squares of all covariances over what noise alone makes of them."""
    known = pairs.known
    squares = (pairs.covariance / np.where(known, pairs.noise, 1.0)) ** 2
    free = np.asarray(pairs.sizes)[pairs.owner] - 1.0
    share = np.outer(free, free) / np.outer(free + 1.0, free + 1.0)
    return float(squares[known].sum() / max(share[known].sum(), 1.0))
