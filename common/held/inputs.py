"""What is public of an evaluation: it follows from the sampler and the plan's settings alone.

Rows are drawn of the sampler by a seed, so its shares are whole numbers that are the same on every
machine, whatever kind of sampler it is. Every silo works all of it out again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.held.likelihood import Likelihood, likelihood_of
from silosynth.common.plan import EvaluationSettings
from silosynth.common.sampler import DrawsRows, Sampler, draw_codes
from silosynth.common.seeded import SeededWords

FEWEST_PAIRS = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Target:
    """A column that is predicted: which working codes count as yes, and where scores are cut.

    ``within`` is (bins,) float64: of pairs of a no and a yes drawn in one bin, how many the scores
    tell apart, ties half.
    """

    name: str
    place: int
    positive: np.ndarray = field(repr=False)
    edges: np.ndarray = field(repr=False)
    within: np.ndarray = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What rows are held against: groups of codes, halves of pairs' cells, a law, and targets.

    ``groups[i]`` is (codes,) the group of each code of column i, ``shares[c]`` (cells,) int64 the
    drawn rows of pair c by cells of groups, ``signs[c]`` (repeats, cells) int64 of 1 and -1.
    ``witness`` are (cells,) bool per pair, and ``centre`` about how many a drawn row is in.
    """

    settings: EvaluationSettings
    groups: tuple[np.ndarray, ...] = field(repr=False)
    sizes: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...] = field(repr=False)
    shares: tuple[np.ndarray, ...] = field(repr=False)
    signs: tuple[np.ndarray, ...] = field(repr=False)
    law: Likelihood | None = field(repr=False)
    targets: tuple[Target, ...] = ()
    witness: tuple[np.ndarray, ...] = ()
    centre: int = 0
    spread: float = 0.0
    """The standard deviation of the gain of one drawn row, in nats."""

    @property
    def blocks(self) -> Mapping[str, int]:
        """Return how many counters each block has, in their order."""
        return {
            "halves": len(self.pairs) * self.settings.repeats,
            "likelihood": int(self.law is not None),
            "scores": len(self.targets) * 2 * self.settings.bins,
            "witness": int(bool(self.witness)),
            "count": 1,
        }


def vector_cells(inputs: Inputs) -> int:
    """Return how many counters there are."""
    return sum(inputs.blocks.values())


def work_out(sampler: DrawsRows, settings: EvaluationSettings) -> Inputs:
    """Work out all that is public; raise InvalidPlan for settings that do not fit the sampler."""
    domain = sampler.domain
    if len(domain.shape) < 2:
        raise InvalidPlan("an evaluation needs a sampler of two columns or more")
    drawn = draw_codes(sampler, rows=settings.rows, seed=settings.seed)
    groups = tuple(
        merge_codes(np.bincount(column, minlength=size), most=settings.groups)
        for column, size in zip(drawn, domain.shape, strict=True)
    )
    sizes = tuple(int(g.max()) + 1 for g in groups)
    pairs = tuple(combinations(range(len(sizes)), 2))
    merged = [g[c] for g, c in zip(groups, drawn, strict=True)]
    shares = tuple(pair_counts(merged, pair, sizes) for pair in pairs)
    law = _law(sampler, settings, drawn)
    gains = None if law is None else law.gains(drawn, clip=settings.clip)
    witness = _witness(settings, [len(s) for s in shares])
    found = sum(int(s[w].sum()) for s, w in zip(shares, witness, strict=False))
    return Inputs(
        settings=settings,
        groups=groups,
        sizes=sizes,
        pairs=pairs,
        shares=shares,
        signs=tuple(_halves(settings, c, len(s)) for c, s in enumerate(shares)),
        law=law,
        targets=tuple(_target(sampler, name, law, drawn, settings) for name in settings.targets),
        witness=witness,
        centre=round(found / settings.rows),
        spread=0.0 if gains is None else float(gains.std()),
    )


def drawn_pairs(sampler: DrawsRows, inputs: Inputs) -> tuple[np.ndarray, ...]:
    """Return the shares of another sampler's drawn rows, by the cells of these inputs."""
    drawn = draw_codes(sampler, rows=inputs.settings.rows, seed=inputs.settings.seed)
    if [len(g) for g in inputs.groups] != list(sampler.domain.shape):
        raise InvalidPlan("the other sampler has other codes than the one that was evaluated")
    merged = [g[c] for g, c in zip(inputs.groups, drawn, strict=True)]
    return tuple(pair_counts(merged, pair, inputs.sizes) for pair in inputs.pairs)


def inputs_digest(inputs: Inputs) -> str:
    """Return ``sha256:`` and the hash of all that a row is held against."""
    hashed = hashlib.sha256()
    for table in (*inputs.groups, *inputs.shares, *inputs.signs, *inputs.witness):
        hashed.update(np.ascontiguousarray(table.astype("<i8")).tobytes())
    for target in inputs.targets:
        hashed.update(np.ascontiguousarray(target.positive.astype("<i8")).tobytes())
        hashed.update(np.ascontiguousarray(target.edges.astype("<f8")).tobytes())
    stated = {"tables": hashed.hexdigest(), "centre": inputs.centre, "sizes": list(inputs.sizes)}
    return digest_of(canonical_json(stated))


def merge_codes(counts: np.ndarray, *, most: int) -> np.ndarray:
    """Return (codes,) int64, contiguous groups of near equal weight: ``most`` of them or fewer.

    >>> merge_codes(np.array([4, 1, 1, 2]), most=2).tolist()
    [0, 1, 1, 1]
    """
    weights = counts + 1
    before = np.cumsum(weights) - weights
    middle = (2 * before + weights) * most // (2 * int(weights.sum()))
    return np.unique(middle, return_inverse=True)[1].astype(np.int64)


def pair_counts(
    merged: Sequence[np.ndarray], pair: tuple[int, int], sizes: Sequence[int]
) -> np.ndarray:
    """Return (cells,) int64, the rows of a pair by cells of groups."""
    first, second = pair
    cells = merged[first] * sizes[second] + merged[second]
    return np.bincount(cells, minlength=sizes[first] * sizes[second]).astype(np.int64)


def _halves(settings: EvaluationSettings, pair: int, cells: int) -> np.ndarray:
    """Return (repeats, cells) int64 of 1 and -1: half of the cells each, or one less."""
    words = SeededWords(seed=settings.seed, purpose="halves", index=pair)
    signs = (words.raw(settings.repeats * cells) >> np.uint64(63)).astype(np.int64) * 2 - 1
    return signs.reshape(settings.repeats, cells)


def _law(
    sampler: DrawsRows, settings: EvaluationSettings, drawn: Sequence[np.ndarray]
) -> Likelihood | None:
    """Return the law of a sampler that has one in conditionals, where it is asked for."""
    if not settings.likelihood:
        return None
    if not isinstance(sampler, Sampler):
        raise InvalidPlan("this kind of sampler does not say how likely a row is")
    return likelihood_of(sampler, drawn)


def _target(
    sampler: DrawsRows,
    name: str,
    law: Likelihood | None,
    drawn: Sequence[np.ndarray],
    settings: EvaluationSettings,
) -> Target:
    """Return a target: the upper half of a number, or the value nearest to half of the rows."""
    if law is None or name not in sampler.domain.attributes:
        raise InvalidPlan(f"{name!r} is no column that can be predicted here")
    place = sampler.domain.index(name)
    codes = law.working(drawn)[place]
    counts = np.bincount(codes, minlength=int(law.lookups[place].max()) + 1)
    if np.count_nonzero(counts) < 2:
        raise InvalidPlan(f"all rows of the sampler have one value of {name!r}")
    positive = np.zeros(len(counts), dtype=bool)
    if name in {a.name for a in sampler.schema.numbers}:
        upper = np.cumsum(counts[::-1])[::-1]
        positive[1 + int(np.argmin(np.abs(2 * upper[1:] - settings.rows))) :] = True
    else:
        gaps = np.abs(2 * counts - settings.rows)
        nearest = np.flatnonzero(gaps == gaps.min())
        positive[nearest[np.argmin(counts[nearest])]] = True
        if np.count_nonzero(counts) == 2 and counts[positive].sum() * 2 > settings.rows:
            positive = ~positive & (counts > 0)
    scores, yes = law.scores(drawn, place, positive), positive[codes]
    edges = _edges(scores, yes, settings)
    within = _within(scores, yes, np.searchsorted(edges, scores, side="right"), settings.bins)
    return Target(name=name, place=place, positive=positive, edges=edges, within=within)


def _edges(scores: np.ndarray, yes: np.ndarray, settings: EvaluationSettings) -> np.ndarray:
    """Return (bins - 1,) float64, where drawn rows' scores are cut.

    Where classes count alike, whichever is the smaller: rows of one class cannot be told apart, and
    bins that hold little else are lost to an area under the curve.
    """
    if settings.cuts is None:
        ordered = np.sort(scores)
        places = [len(ordered) * i // settings.bins for i in range(1, settings.bins)]
        even: np.ndarray = ordered[places]
        return even
    order = np.argsort(scores, kind="stable")
    ordered, sure = scores[order], yes[order]
    classes = np.array([np.count_nonzero(~yes), np.count_nonzero(yes)])
    # In whole numbers, so that every machine cuts at the same row.
    mass = np.cumsum(np.where(sure, classes[0], classes[1]))
    cuts = [int(mass[-1]) * i // settings.bins for i in range(1, settings.bins)]
    found: np.ndarray = ordered[np.searchsorted(mass, cuts)]
    return found


def _within(scores: np.ndarray, yes: np.ndarray, bins: np.ndarray, count: int) -> np.ndarray:
    """Return (count,) float64, the area under the curve of drawn rows in each bin; 1/2 of none."""
    _, places = np.unique(scores, return_inverse=True)
    first = np.full(places.max() + 1, 0)
    first[places] = bins  # each score lies in one bin
    counts = np.stack([np.bincount(places[side], minlength=len(first)) for side in (~yes, yes)])
    no, sure = counts.astype(np.float64)
    below = np.cumsum(no) - no / 2
    before = np.concatenate(([0.0], np.cumsum(np.bincount(first, weights=no, minlength=count))))
    told = np.bincount(first, weights=sure * (below - before[first]), minlength=count)
    pairs = np.prod([np.bincount(first, weights=c, minlength=count) for c in (no, sure)], axis=0)
    found: np.ndarray = np.divide(told, pairs, out=np.full(count, 0.5), where=pairs > 0)
    return found


def _witness(settings: EvaluationSettings, cells: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Return which cells of each pair are witnesses; none where the plan names none."""
    if settings.witness is None:
        return ()
    data = bytes.fromhex(settings.witness) if len(settings.witness) % 2 == 0 else b""
    if len(data) != (sum(cells) + 7) // 8:
        raise InvalidPlan("witness: does not have a bit for each cell of the pairs")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))[: sum(cells)].astype(bool)
    return tuple(np.split(bits, np.cumsum(cells)[:-1]))
