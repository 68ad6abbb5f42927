"""Attacks that tell who was in the table: what they find beside a control of other people.

They find little on tables made under differential privacy; that is no proof of anything. The
proof is the certificate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.errors import InvalidTable
from silosynth.common.evaluate.learners import area, membership_scores
from silosynth.common.report import Axis, Better, Measure
from silosynth.common.scores import Values
from silosynth.common.scores.value_bins import value_bins
from silosynth.common.seeded import SeededWords

_CELLS = 16
_MOST_PAIRS = 200
_MOST_ROWS = 10_000
_WORST = 10
_SIDE = 1.96
_PRIMES = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """What the attacks found; ``worst`` are places of real rows, most exposed first."""

    measures: tuple[Measure, ...]
    worst: tuple[int, ...]


def row_digests(values: Values) -> np.ndarray:
    """Return (rows,) uint64: equal rows have equal digests, others nearly surely not."""
    digest = np.zeros(values.rows, dtype=np.uint64)
    for column in values.columns:
        stored = column.codes if column.listed else np.nan_to_num(column.numbers, nan=-1e308) + 0.0
        word = np.ascontiguousarray(stored).view(np.uint64)
        digest = (digest ^ (word * _PRIMES[0])) * _PRIMES[1]
        digest ^= digest >> np.uint64(29)
    return digest


def refuse_shared_rows(real: Values, control: Values) -> None:
    """Raise InvalidTable where control rows are real ones oftener than chance explains.

    Real rows that have twins among themselves say how often two people are alike.
    """
    digests = row_digests(real)
    _, places, counts = np.unique(digests, return_inverse=True, return_counts=True)
    alike = float((counts[places] > 1).mean()) * control.rows
    shared = int(np.isin(row_digests(control), digests).sum())
    if shared > alike + 4 * math.sqrt(alike) + 2:
        raise InvalidTable(
            "the control table shares rows with the real table",
            hint="give rows of other people, or leave the control out",
        )


def attack(real: Values, synthetic: Values, control: Values, *, seed: int) -> Attacked:
    """Attack with half of the control as what the attacker knows, and half as non-members.

    The attacker knows whole rows and the synthetic table, nothing of releases or sampler.
    """
    rows = min(_MOST_ROWS, real.rows, control.rows // 2)
    order = SeededWords(seed=seed, purpose="attack").permutation(control.rows)
    reference, others = control.take(order[rows:]), control.take(order[:rows])
    chosen = np.sort(SeededWords(seed=seed, purpose="members").permutation(real.rows)[:rows])
    members = real.take(chosen)
    pairs = _pair_ratio(members, others, synthetic=synthetic, reference=reference)
    learnt = membership_scores(members, others, synthetic=synthetic, reference=reference, seed=seed)
    worst = np.argsort(-pairs[0], kind="stable")[:_WORST]
    return Attacked(
        measures=(
            _verbatim(members, others, synthetic),
            *_membership("shares of pairs", *pairs),
            *_membership("a density ratio", *learnt),
        ),
        worst=tuple(int(chosen[i]) for i in worst),
    )


def _verbatim(members: Values, others: Values, synthetic: Values) -> Measure:
    """Return how much oftener members stand in the synthetic table word for word."""
    there = np.unique(row_digests(synthetic))
    shares = [float(np.isin(row_digests(v), there).mean()) for v in (members, others)]
    spread = math.sqrt(sum(s * (1 - s) / members.rows for s in shares))
    gap = shares[0] - shares[1]
    return Measure(
        axis=Axis.PRIVACY,
        name="rows that stand in the table word for word, beyond those of other people",
        value=gap,
        ceiling=0.0,
        floor=1.0,
        low=gap - _SIDE * spread,
        high=gap + _SIDE * spread,
        better=Better.LOW,
    )


def _pair_ratio(
    members: Values, others: Values, *, synthetic: Values, reference: Values
) -> tuple[np.ndarray, np.ndarray]:
    """Score rows by how much commoner their pairs of values are in the table than elsewhere."""
    bins = [value_bins(c, count=_CELLS) for c in reference.columns]
    coded = [
        [b.cells(c) for b, c in zip(bins, v.columns, strict=True)]
        for v in (synthetic, reference, members, others)
    ]
    scores = (np.zeros(members.rows), np.zeros(others.rows))
    for a, b in list(combinations(range(len(bins)), 2))[:_MOST_PAIRS]:
        size = bins[a].size * bins[b].size
        cells = [t[a] * bins[b].size + t[b] for t in coded]
        shares = [(np.bincount(c, minlength=size) + 0.5) / (len(c) + size / 2) for c in cells[:2]]
        ratio = np.log(shares[0] / shares[1])
        scores[0][:] += ratio[cells[2]]
        scores[1][:] += ratio[cells[3]]
    return scores


def _membership(how: str, members: np.ndarray, others: np.ndarray) -> tuple[Measure, Measure]:
    """Return AUC and the share of members that one in a hundred false alarms finds."""
    truth = np.repeat([1, 0], [len(members), len(others)])
    auc = area(truth, np.concatenate([members, others]))
    spread = math.sqrt((len(members) + len(others) + 1) / (12 * len(members) * len(others)))
    found = float((members > np.quantile(others, 0.99)).mean())
    width = _SIDE * math.sqrt(found * (1 - found) / len(members))
    return (
        Measure(
            axis=Axis.PRIVACY,
            name=f"membership by {how}, AUC",
            value=auc,
            ceiling=0.5,
            floor=1.0,
            low=auc - _SIDE * spread,
            high=auc + _SIDE * spread,
            better=Better.LOW,
        ),
        Measure(
            axis=Axis.PRIVACY,
            name=f"membership by {how}, found at 1 % false alarms",
            value=found,
            ceiling=0.01,
            floor=1.0,
            low=found - width,
            high=found + width,
            better=Better.LOW,
        ),
    )
