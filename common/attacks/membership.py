"""Was this person in it? Scores of members and of others, and what they tell apart.

Every attack says what its attacker holds; all of them know a part of the control.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.attacks.people import (
    Arena,
    Codes,
    codes_of_sampler,
    row_digests,
)
from silosynth.common.domain import Domain
from silosynth.common.learners import area, membership_scores
from silosynth.common.measurement import Measurement
from silosynth.common.report import Axis, Better, Curve, Measure
from silosynth.common.sampler import Sampler, clique_shares
from silosynth.common.schema import Schema
from silosynth.common.scores.value_bins import value_bins
from silosynth.common.seeded import SeededWords

SIDE = 1.96
OUTLIERS = 0.02
_CELLS = 16
_MOST_PAIRS = 200
_FALSE_ALARMS = (0.001, 0.01)
_POINTS = 40
_MIX, _NOTHING = 1e-3, 1e-300
_NORMAL, _SIGMAS = 25.0, 6.0
"""Below this variance a cell is a count with noise, looked at so many deviations around it."""
_NEVER = 1e-12
"""The least likelihood ratio of one cell: a count of 0 without noise leaves no doubt."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What an attacker thinks of members and of others, (rows,) float64 each: higher is inside."""

    how: str
    members: np.ndarray
    others: np.ndarray

    def among(self, members: np.ndarray, others: np.ndarray, *, how: str) -> Scores:
        """Return the scores of those whom two masks choose."""
        return Scores(how=how, members=self.members[members], others=self.others[others])


def verbatim(arena: Arena) -> Measure:
    """Return how much oftener members stand in the synthetic table word for word."""
    there = np.unique(row_digests(arena.synthetic))
    sides = (arena.members, arena.others)
    return excess(
        "rows that stand in the table word for word, beyond those of other people",
        *(np.isin(row_digests(v), there) for v in sides),
    )


def excess(
    name: str, members: np.ndarray, others: np.ndarray, *, target: str | None = None
) -> Measure:
    """Return how much oftener an attack hits members than other people, with a 95 % interval.

    Args: members, others: (tries,) bool, equally many, which tries hit.
    """
    base = float(others.mean())
    gap, spread = float(members.mean()) - base, SIDE * _spread(members, others)
    return Measure(
        axis=Axis.PRIVACY,
        name=name,
        target=target,
        value=gap,
        ceiling=0.0,
        floor=1 - base,
        low=gap - spread,
        high=gap + spread,
        better=Better.LOW,
    )


def _spread(*sides: np.ndarray) -> float:
    """Return the standard error of a difference of two rates.

    One hit and one miss more a side, so that no rate of 0 or 1 is certain (Agresti, Caffo 2000).
    """
    mild = [((side.sum() + 1) / (len(side) + 2), len(side) + 2) for side in sides]
    return math.sqrt(sum(m * (1 - m) / tries for m, tries in mild))


def by_pairs(arena: Arena) -> Scores:
    """Score rows by how much commoner their pairs of values are in the table than elsewhere.

    The attacker holds the table alone (Golob et al. 2024, arXiv 2410.05506, without focal points).
    """
    bins = [value_bins(c, count=_CELLS) for c in arena.reference.columns]
    coded = [
        [b.cells(c) for b, c in zip(bins, v.columns, strict=True)]
        for v in (arena.synthetic, arena.reference, arena.members, arena.others)
    ]
    scores = (np.zeros(arena.members.rows), np.zeros(arena.others.rows))
    for a, b in _pairs(len(bins)):
        size = bins[a].size * bins[b].size
        cells = [t[a] * bins[b].size + t[b] for t in coded]
        shares = [(np.bincount(c, minlength=size) + 0.5) / (len(c) + size / 2) for c in cells[:2]]
        ratio = np.log(shares[0] / shares[1])
        scores[0][:] += ratio[cells[2]]
        scores[1][:] += ratio[cells[3]]
    return Scores(how="shares of pairs", members=scores[0], others=scores[1])


def _pairs(columns: int) -> list[tuple[int, int]]:
    """Return the pairs that are looked at: all, or as many spread over all."""
    pairs = list(combinations(range(columns), 2))
    if len(pairs) <= _MOST_PAIRS:
        return pairs
    order = SeededWords(seed=0, purpose="pairs").permutation(len(pairs))[:_MOST_PAIRS]
    return [pairs[i] for i in np.sort(order)]


def by_density(arena: Arena, *, seed: int) -> Scores:
    """Score rows by a classifier of synthetic against known rows; the attacker holds the table."""
    members, others = membership_scores(
        arena.members,
        arena.others,
        synthetic=arena.synthetic,
        reference=arena.reference,
        seed=seed,
    )
    return Scores(how="a density ratio", members=members, others=others)


def by_sampler(arena: Arena, sampler: Sampler) -> Scores:
    """Score rows by what the sampler's cliques say of them and the reference does not.

    The attacker holds the sampler, so the cliques that were measured (TAMIS, arXiv 2504.00758):
    the sum over attributes of log P(code | those it is drawn given), in the sampler less in the
    reference, which is that over cliques less that over separators. Of a mixture those are the
    columns and what hangs on another, without its component.
    """
    members, others, reference = codes_of_sampler(arena, sampler)
    domain = sampler.grouping.domain(sampler.domain)
    scores = (np.zeros(arena.members.rows), np.zeros(arena.others.rows))
    for clique, table in clique_shares(sampler):
        *given, place = (domain.index(a) for a in clique)
        shape = [domain.shape[i] for i in given]
        alone = _smooth(reference[place], domain.shape[place])
        groups = _cells(reference, given, shape)
        joint = table.reshape(-1, len(alone))
        drawn = joint / np.maximum(joint.sum(axis=1, keepdims=True), _NOTHING)
        held = np.bincount(groups, minlength=len(drawn)).astype(np.float64)
        both = np.bincount(groups * len(alone) + reference[place], minlength=drawn.size).reshape(
            drawn.shape
        )
        known = (both + alone) / (held[:, None] + 1)
        ratio = np.log(((1 - _MIX) * drawn + _MIX * alone) / known)
        for score, side in zip(scores, (members, others), strict=True):
            score += ratio[_cells(side, given, shape), side[place]]
    return Scores(how="cliques of the sampler", members=scores[0], others=scores[1])


def _smooth(codes: np.ndarray, size: int) -> np.ndarray:
    """Return (size,) float64, shares of codes; none is 0."""
    counts = np.bincount(codes, minlength=size) + 0.5
    shares: np.ndarray = counts / counts.sum()
    return shares


def _cells(codes: Sequence[np.ndarray], places: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return (rows,) int64, the cell of each row over some columns; 0 over none."""
    found = np.zeros(len(codes[0]), dtype=np.int64)
    for place, size in zip(places, shape, strict=True):
        found = found * size + codes[place]
    return found


def by_releases(
    arena: Arena, releases: Sequence[Measurement], schema: Schema
) -> tuple[Scores, Scores]:
    """Score rows by the likelihood ratio of what left the silos, all and then outliers alone.

    The attacker is the coordinator: the score of a row is the sum over marginals of log P(y | in) -
    log P(y | out) of its cell, see :func:`_ratio`. Outliers are the 2 % of all targets on whom the
    noise says most, which is known beforehand.
    """
    sides = arena.codes(schema)
    rows = _rows_of(releases)
    found = [np.zeros((2, len(side[0]))) for side in sides[:2]]
    for measurement in releases:
        places = [_merged(measurement, side, schema.domain) for side in sides]
        touched, at = np.unique(np.concatenate(places[:2]), return_inverse=True)
        ratio = _ratio(measurement, places[2], touched=touched, rows=rows)
        for total, mine in zip(found, np.split(at, [len(places[0])]), strict=True):
            total += ratio[:, mine]
    everybody = Scores(how="releases", members=found[0][0], others=found[1][0])
    weights = [total[1] for total in found]
    cut = np.quantile(np.concatenate(weights), 1 - OUTLIERS)
    outliers = everybody.among(*(w >= cut for w in weights), how="releases, of outliers alone")
    return everybody, outliers


def _rows_of(releases: Sequence[Measurement]) -> float:
    """Return the number of rows, by the marginals' totals and their noise."""
    precision = np.array([1 / m.variance.sum() for m in releases])
    totals = np.array([m.values.sum() for m in releases])
    return max(float(precision @ totals / precision.sum()), 1.0)


def _ratio(
    measurement: Measurement, reference: np.ndarray, *, touched: np.ndarray, rows: float
) -> np.ndarray:
    """Return (2, touched) float64: what a cell adds to a score, and how sharp it is.

    A cell whose share p is known from n_ref people of the reference holds a count around n p with
    variance n p (1 - p) (1 + n / n_ref), and noise of variance v. Where these are large together,
    in and out are two normal laws a step apart; where they are not, the ratio is that of counts.

    Args: reference: (people,) the cell of each. touched: (touched,) the cells that are asked for.
    """
    size, known = len(measurement.values), len(reference)
    alike = np.bincount(reference, minlength=size)[touched] + 0.5
    values, noise = measurement.values[touched], measurement.variance[touched]
    people = known + size / 2
    mean = rows * alike / people
    spread = noise + mean * (1 - alike / people) * (1 + rows / known)
    scores = (values - mean - 0.5) / spread
    few = spread < _NORMAL
    scores[few] = _counted(values[few], noise[few], alike=alike[few], chance=rows / (people + rows))
    return np.stack([scores, 1 / spread])


def _counted(
    values: np.ndarray, noise: np.ndarray, *, alike: np.ndarray, chance: float
) -> np.ndarray:
    """Return (cells,) float64, log P(y | in) - log P(y | out) of counts with normal noise.

    A count j of people whose rate is known from a = ``alike`` others follows Gamma and Poisson,
    P(j) ~ Gamma(a + j) / j! q^j with q = ``chance``, so that P(j - 1) / P(j) = j / (q (a + j - 1)).
    The ratio is the mean of that over the counts that may lie behind y.
    """
    width = math.ceil(2 * _SIGMAS * math.sqrt(noise.max(initial=0.0))) + 1
    first = np.maximum(np.rint(values - width // 2), 0)
    counts = first[:, None] + np.arange(width)
    steps = np.log(chance * (alike[:, None] + counts) / (counts + 1))  # P(j + 1) over P(j)
    logs = np.cumsum(steps, axis=1) - steps
    logs -= (values[:, None] - counts) ** 2 / (2 * noise[:, None])
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    ratios = counts / (chance * (alike[:, None] + counts - 1))
    found = (weights * ratios).sum(axis=1) / weights.sum(axis=1)
    logged: np.ndarray = np.log(np.maximum(found, _NEVER))
    return logged


def _merged(measurement: Measurement, codes: Codes, domain: Domain) -> np.ndarray:
    """Return (rows,) int64, the cell of a measurement that each row is in."""
    places = [domain.index(a) for a in measurement.clique]
    looked = [measurement.grouping.lookup(domain.attributes[i], domain.shape[i]) for i in places]
    merged = [look[codes[i]] for look, i in zip(looked, places, strict=True)]
    sizes = [int(look.max()) + 1 for look in looked]
    return _cells(merged, range(len(merged)), sizes)


def membership(scores: Scores) -> list[Measure]:
    """Return AUC, and the share of members that is found at few false alarms."""
    members, others = scores.members, scores.others
    if not len(members) or not len(others):
        return []
    truth = np.repeat([1, 0], [len(members), len(others)])
    auc = area(truth, np.concatenate([members, others]))
    spread = SIDE * _area_error(auc, len(members), len(others))
    measures = [_measure(scores, "AUC", auc, (auc - spread, auc + spread), guess=0.5)]
    for share in _FALSE_ALARMS:
        if share * len(others) < 1:
            continue
        found = float((members > _threshold(others, share)).mean())
        what = f"found at {share:.1%} false alarms"
        ends = _ends(found, len(members))
        measures.append(_measure(scores, what, found, ends, guess=share))
    return measures


def _ends(rate: float, tries: int) -> tuple[float, float]:
    """Return the ends of a 95 % interval of a rate (Wilson 1927): of none found it is not empty."""
    square = SIDE**2 / tries
    middle = (rate + square / 2) / (1 + square)
    width = math.sqrt(square * (rate * (1 - rate) + square / 4)) / (1 + square)
    return max(middle - width, 0.0), min(middle + width, 1.0)


def _area_error(auc: float, members: int, others: int) -> float:
    """Return the standard error of an AUC (Hanley and McNeil 1982)."""
    first, second = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (members - 1) * (first - auc**2)
    variance += (others - 1) * (second - auc**2)
    return math.sqrt(max(variance, 0) / (members * others))


def _measure(
    scores: Scores, what: str, value: float, ends: tuple[float, float], *, guess: float
) -> Measure:
    return Measure(
        axis=Axis.PRIVACY,
        name=f"membership by {scores.how}, {what}",
        value=value,
        ceiling=guess,
        floor=1.0,
        low=ends[0],
        high=ends[1],
        better=Better.LOW,
    )


def _threshold(others: np.ndarray, share: float) -> float:
    """Return the score above which lies at most this share of the others, ties below it."""
    most = int(share * len(others) + 1e-9)
    return float(np.sort(others)[::-1][most]) if most < len(others) else -math.inf


def curve(scores: Scores) -> Curve:
    """Return the ROC curve at false alarms that rise evenly in their logarithm."""
    falling = np.sort(scores.others)[::-1]
    count = len(falling)
    alarms = np.unique(np.geomspace(1, count, _POINTS).astype(np.int64))
    cuts = np.append(falling, -np.inf)[alarms]
    found = [float((scores.members > cut).mean()) for cut in cuts]
    points = tuple((a / count, f) for a, f in zip(alarms.tolist(), found, strict=True))
    return Curve(name=f"membership by {scores.how}", people=count, points=points)
