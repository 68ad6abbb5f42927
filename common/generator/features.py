"""Random features of a table: a public integer vector for each row, which silos sum.

A frequency looks at a few attributes of a row, adds a public phase for each of their codes, and
writes the cosine and the sine of the sum as two integers. The vectors are summed by class of the
label. Sums of such features tell distributions apart like a kernel does (Rahimi and Recht 2007;
Harder, Adamczewski and Park 2021, DP-MERF); frequencies over pairs of attributes see what
2-way marginals see.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from pydantic import Field

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.schema import (
    CodedAttribute,
    PlainModel,
    Schema,
    has_neighbours,
)
from silosynth.common.seeded import SeededWords

AMPLITUDE = 256
"""The integer that a cosine of one is written as."""

PAIR_BOUND2 = AMPLITUDE**2 + math.isqrt(2 * AMPLITUDE**2) + 2
"""The most that the squares of a frequency's two integers add up to: (AMPLITUDE + 2^-1/2)²."""

MOST_COUNTED = 5_000_000
MOST_TURNS = 2**25
MOST_PHASES = 2**27
_MOST_AT_ONCE = 2**20
_PITCHES = (0.25, 0.5, 1.0, 2.0)
_MOST_SUBSETS = 2**20


class FeatureSettings(PlainModel):
    """Which random features a plan asks for; ``seed`` is public.

    ``order`` is how many attributes, beside the label, one frequency looks at. The vectors are
    summed by the classes of ``label``. With ``images`` a frequency looks at all pixels of an image
    instead, and other attributes are known by their 1-way marginals alone.
    """

    frequencies: int = Field(ge=1, le=16_384)
    order: int = Field(default=2, ge=1, le=2)
    seed: int = Field(default=1, ge=0, lt=2**63)
    label: str | None = None
    images: bool = False

    @property
    def bound(self) -> int:
        """Return the L2 norm that no row's integer vector exceeds.

        Guarantees: :func:`quantise` gives each frequency two integers whose squares add up to at
        most ``PAIR_BOUND2``, whatever the phase; a row has one such pair for each frequency, in
        the block of its class, and zeros elsewhere. So its squared norm is at most
        ``frequencies * PAIR_BOUND2``; the root is rounded up.
        """
        return math.isqrt(self.frequencies * PAIR_BOUND2 - 1) + 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Frequencies that look at the same attributes.

    ``columns`` are positions in the domain, ``phases[i]`` is (codes, frequencies) float64 for the
    i-th of them, and ``start`` is the position of the first of the frequencies among all.
    """

    columns: tuple[int, ...]
    phases: tuple[np.ndarray, ...]
    start: int

    @property
    def frequencies(self) -> int:
        """Return how many frequencies there are."""
        return int(self.phases[0].shape[1])

    def at(self, cells: np.ndarray) -> np.ndarray:
        """Return (cells, frequencies) the phases of cells of the block's attributes."""
        places = np.unravel_index(cells, [len(p) for p in self.phases])
        phases: np.ndarray = np.sum(
            [p[i] for p, i in zip(self.phases, places, strict=True)], axis=0
        )
        return phases


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureMap:
    """The features of rows over working codes of ``domain``; ``label`` is a column, or None."""

    domain: Domain
    label: int | None
    blocks: tuple[Block, ...]
    frequencies: int

    @property
    def classes(self) -> int:
        """Return the number of classes; one without a label."""
        return 1 if self.label is None else self.domain.shape[self.label]

    def cliques(self) -> tuple[Clique, ...]:
        """Return the attributes of each block, the label before them."""
        names = self.domain.attributes
        label = () if self.label is None else (names[self.label],)
        return tuple((*label, *(names[c] for c in b.columns)) for b in self.blocks)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Return the columns beside the label."""
        return tuple(i for i in range(len(self.domain.shape)) if i != self.label)


def feature_map(settings: FeatureSettings, *, schema: Schema, grouping: Grouping) -> FeatureMap:
    """Work the features out of the public seed; silos and coordinator get the same.

    Raises InvalidPlan unless there is an attribute beside the label.
    """
    domain = grouping.domain(schema.domain)
    label = None if settings.label is None else domain.index(settings.label)
    inputs = [i for i in range(len(domain.shape)) if i != label]
    if not inputs:
        raise InvalidPlan("random features need an attribute beside the label")
    blocks, start = [], 0
    for number, (subset, count) in enumerate(_subsets(inputs, settings)):
        words = SeededWords(seed=settings.seed, purpose="features", index=number)
        phases = tuple(
            _phases(
                schema.coded[i], groups=_groups(grouping, schema.coded[i]), count=count, words=words
            )
            for i in subset
        )
        blocks.append(Block(columns=subset, phases=phases, start=start))
        start += count
    return FeatureMap(domain=domain, label=label, blocks=tuple(blocks), frequencies=start)


def feature_cells(settings: FeatureSettings, *, clique: Clique, domain: Domain) -> int:
    """Return the length of the vector as a Python integer, before anything is allocated.

    Raises InvalidPlan unless the query names every attribute, in order, CapExceeded when a table
    of counts, or of angles, behind it would be too large.
    """
    if clique != domain.attributes:
        raise InvalidPlan("random features are asked of all attributes, in the schema's order")
    classes = 1 if settings.label is None else domain.size((settings.label,))
    if settings.images:
        turns = settings.frequencies * sum(domain.size((a,)) for a in clique if a != settings.label)
        if turns > MOST_TURNS:
            raise CapExceeded(
                f"features of images would hold {turns} angles; at most {MOST_TURNS} are allowed",
                hint="lower the frequencies, or give pixels fewer levels",
            )
        return 2 * settings.frequencies * classes
    sizes = sorted(domain.size((a,)) for a in clique if a != settings.label)
    phases = settings.frequencies * sum(sizes[-settings.order :])
    if phases > MOST_PHASES:
        raise CapExceeded(
            f"random features would hold up to {phases} phases; at most {MOST_PHASES} are allowed",
            hint="lower the frequencies, or give large attributes fewer bins or categories",
        )
    counted = classes * math.prod(sizes[-settings.order :])
    if counted > MOST_COUNTED:
        raise CapExceeded(
            f"random features would be summed over {counted} cells; "
            f"at most {MOST_COUNTED} are allowed",
            hint="give large attributes fewer bins or categories",
        )
    return 2 * settings.frequencies * classes


def quantise(phases: np.ndarray) -> np.ndarray:
    """Return (..., 2) int64, cosine and sine of each phase times AMPLITUDE, rounded to nearest.

    Guarantees: the squares of the two add up to at most ``PAIR_BOUND2``, for every float there is:
    a pair that would exceed it, or is not a number, becomes (0, 0).
    """
    with np.errstate(all="ignore"):
        pair = np.rint(AMPLITUDE * np.stack((np.cos(phases), np.sin(phases)), axis=-1))
        # Decided before the cast: what is no number becomes one, and squares of int64 may wrap.
        pair[~((pair**2).sum(axis=-1) <= PAIR_BOUND2)] = 0
        whole: np.ndarray = pair.astype(np.int64)
    return whole


def sum_features(features: FeatureMap, counts: Sequence[np.ndarray]) -> np.ndarray:
    """Return (classes * frequencies * 2,) int64, the sum of the rows' vectors.

    The vector of a row is a public function of the cells that it falls into, so their sum is a
    linear function of counts: no row is looked at here.

    Guarantees: adding or removing one row adds or takes away, in each block, the pairs of the cell
    that it falls into, in the block of its class: an integer vector whose L2 norm is at most
    :attr:`FeatureSettings.bound`. Sums of at most 2^53 rows do not overflow.

    Args: counts: (cells,) int64 over each clique of :meth:`FeatureMap.cliques`, row-major.
    """
    total = np.zeros((features.classes, features.frequencies, 2), dtype=np.int64)
    for block, count in zip(features.blocks, counts, strict=True):
        table = count.reshape(features.classes, -1)
        cells = np.flatnonzero(table.any(axis=0))
        stop = block.start + block.frequencies
        for first in range(0, len(cells), step := max(_MOST_AT_ONCE // block.frequencies, 1)):
            part = cells[first : first + step]
            pairs = quantise(block.at(part)).reshape(len(part), -1)
            added = table[:, part] @ pairs
            total[:, block.start : stop] += added.reshape(features.classes, -1, 2)
    return total.ravel()


def _subsets(inputs: Sequence[int], settings: FeatureSettings) -> list[tuple[tuple[int, ...], int]]:
    """Return which attributes are looked at together, and by how many frequencies each."""
    order = min(settings.order, len(inputs))
    if math.comb(len(inputs), order) > _MOST_SUBSETS:
        raise InvalidPlan(
            f"{len(inputs)} attributes have too many subsets of {order}", hint="lower the order"
        )
    subsets = list(combinations(inputs, order))
    words = SeededWords(seed=settings.seed, purpose="subsets")
    chosen = [subsets[i] for i in words.permutation(len(subsets))][: settings.frequencies]
    share, rest = divmod(settings.frequencies, len(chosen))
    return [(subset, share + (i < rest)) for i, subset in enumerate(chosen)]


def _groups(grouping: Grouping, attribute: CodedAttribute) -> np.ndarray:
    """Return (fine codes,) the working code of each fine code."""
    return grouping.lookup(attribute.name, attribute.size)


def _phases(
    attribute: CodedAttribute, *, groups: np.ndarray, count: int, words: SeededWords
) -> np.ndarray:
    """Return (working codes, count) phases: linear along an order, else at random for each code."""
    size = int(groups.max()) + 1
    phases = 2 * math.pi * words.uniform(size * count).reshape(size, count)
    pitch = np.asarray(_PITCHES)[words.below(len(_PITCHES), count)] * words.normal(count)
    if has_neighbours(attribute):
        along = groups[: attribute.values]
        members = np.bincount(along, minlength=size)
        places = np.bincount(along, weights=np.arange(len(along)) + 0.5, minlength=size)
        placed = members > 0
        place = places[placed] / members[placed] / attribute.values
        phases[placed] = phases[0] + 2 * math.pi * place[:, None] * pitch
    return phases
