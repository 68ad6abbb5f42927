"""What two looks at one sampler say: which pairs of columns have moved beyond their noise.

How far the sampler itself is off stands in both, and falls out of their difference. What is left is
the noise of two releases, known exactly, and that people are a sample.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import read_named
from silosynth.common.held import Inputs, split
from silosynth.common.sampler import DrawsRows
from silosynth.server.judging import Judgement

ALARM = 0.001
DRIFT_VERSION = 2
_MOST_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drifted:
    """How far each pair moved, in standard errors of its farthest half, and from where on it did.

    ``by`` is what share of the people moved at least. ``moved`` are the pairs beyond ``limit``.
    ``people`` are of the first look and the second.
    """

    sampler: str
    columns: tuple[tuple[str, str], ...]
    farthest: np.ndarray
    by: np.ndarray
    limit: float
    alarm: float
    people: tuple[float, float]

    @property
    def moved(self) -> tuple[tuple[str, str], ...]:
        """Return the pairs that moved, the farthest first."""
        order = np.argsort(-self.farthest, kind="stable")
        return tuple(self.columns[i] for i in order if self.farthest[i] > self.limit)


def limit_of(alarm: float, *, halves: int) -> float:
    """Return how many standard errors one of so many halves exceeds by chance as often as said."""
    return -NormalDist().inv_cdf(alarm / 2 / halves)


def find_drift(
    before: Judgement, now: Judgement, *, sampler: DrawsRows, alarm: float = ALARM
) -> Drifted:
    """Return what moved between two looks at the same sampler.

    Guarantees: where nothing moved, any pair is said to have with a chance of ``alarm`` at most: a
    union bound over all halves, which holds however they hang together.

    Raises InvalidArgument for looks at other samplers, by other halves, or by another method.
    """
    for look in (before, now):
        if not look.plan.chosen.everybody:
            raise InvalidArgument(
                f"plan {look.plan.id} does not look for drift", hint="name two runs that do"
            )
    if before.inputs.settings != now.inputs.settings:
        raise InvalidArgument(
            f"plans {before.plan.id} and {now.plan.id} look at other samplers, or by other halves",
            hint="make the second with 'silosynth plan drift --like' the first",
        )
    if not 0 < alarm < 0.5:
        raise InvalidArgument(f"an alarm of {alarm:g} is no small chance", hint="use 0.001")
    shares, variances, people = zip(*(_look(j) for j in (before, now)), strict=True)
    apart = np.abs(shares[1] - shares[0])
    score = (apart / np.sqrt(variances[0] + variances[1])).reshape(len(now.inputs.pairs), -1)
    at = score.argmax(axis=1)[:, None]
    names = sampler.domain.attributes
    return Drifted(
        sampler=now.inputs.settings.sampler,
        columns=tuple((names[a], names[b]) for a, b in now.inputs.pairs),
        farthest=np.take_along_axis(score, at, axis=1)[:, 0],
        by=np.take_along_axis(apart.reshape(score.shape), at, axis=1)[:, 0] / 2,
        limit=limit_of(alarm, halves=score.size),
        alarm=alarm,
        people=(people[0], people[1]),
    )


def describe_drift(found: Drifted, *, on: date) -> dict[str, Any]:
    """Return what was found as plain data; the sampler stays, as of ``on``, where nothing moved."""
    return {
        "version": DRIFT_VERSION,
        "sampler": found.sampler,
        "drift": bool(found.moved),
        "stands_as_of": None if found.moved else on.isoformat(),
        "alarm": found.alarm,
        "limit": found.limit,
        "people": list(found.people),
        "moved": [list(pair) for pair in found.moved],
        "pairs": [
            {"columns": list(pair), "standard_errors": float(score), "share": float(share)}
            for pair, score, share in zip(found.columns, found.farthest, found.by, strict=True)
        ],
    }


def read_moved(path: Path, *, sampler: bytes) -> dict[tuple[str, str], float]:
    """Return by pair that moved away from a sampler what share of the people did.

    As :func:`describe_drift` wrote it.

    Raises InvalidArgument for another version, a damaged file, or drift from another sampler.
    """
    try:
        facts = json.loads(read_named(path, most=_MOST_BYTES))
        found = facts["version"], facts["sampler"]
        if found[0] == DRIFT_VERSION:
            shares = {tuple(map(str, p["columns"])): float(p["share"]) for p in facts["pairs"]}
            pairs = {(str(a), str(b)): shares[(str(a), str(b))] for a, b in facts["moved"]}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise InvalidArgument(
            f"{path}: does not say what moved", hint="write it with 'silosynth drift --out'"
        ) from err
    if found[0] != DRIFT_VERSION:
        raise InvalidArgument(f"{path}: version {found[0]!r} is not known")
    if found[1] != digest_of(sampler):
        raise InvalidArgument(f"{path}: is about another sampler than the run's")
    return pairs


def drift_words(found: Drifted) -> Iterator[str]:
    """Say what was found, in sentences."""
    yield (
        f"{found.people[0]:,.0f} people at the first look and {found.people[1]:,.0f} now; a pair "
        f"moved where it lies beyond {found.limit:.2f} standard errors, which chance alone does "
        f"once in {1 / found.alarm:,.0f} looks"
    )
    if not found.moved:
        yield "no pair moved: the sampler stays, and nothing more need be spent"
        return
    yield f"{len(found.moved)} of {len(found.columns)} pairs moved:"
    scores = dict(zip(found.columns, found.farthest, strict=True))
    for pair in found.moved:
        yield f"  {pair[0]} x {pair[1]}: {scores[pair]:.1f} standard errors"


def _look(judged: Judgement) -> tuple[np.ndarray, np.ndarray, float]:
    """Return (halves,) the mean sign of people in each half, its variance, and how many people."""
    inputs: Inputs = judged.inputs
    blocks = split(inputs, judged.values)
    people = max(float(blocks["count"][0]), 2.0)
    shares = np.clip(blocks["halves"] / people, -1, 1)
    halves, count = inputs.settings.weights[0], inputs.settings.weights[4]
    noise = judged.variance / halves**2 + shares**2 * judged.variance / count**2
    return shares, noise / people**2 + (1 - shares**2) / people, people
