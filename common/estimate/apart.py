"""What a model that holds columns apart may have missed between them, in a share's variance.

A run looks at all pairs coarsely and asks finer, and joins, what stands out of the noise. What did
not stand out may still be there, about as large as the noise; replicates are drawn from the model,
so none of them has it. A share over a pair that the model does not hold together therefore counts
with most of the noise that the pair was looked at with, as if it had been measured and nothing
found; so does a coefficient of what is explained on a column that is apart from it.

A mixture holds all columns together, and pulls what is as small as the noise towards nothing: as
its replicates do, which so lie near to each other and to it. What a pair was measured with is then
the least that its share is taken to be off by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from pydantic import ValidationError

from silosynth.common.certificate import Certificate
from silosynth.common.codec import allowed_codes
from silosynth.common.estimate.replicates import Modelled
from silosynth.common.plan import OF_ALL_PAIRS, OF_PAIRS
from silosynth.common.sampler import Sampler, is_joined, probability_of
from silosynth.common.schema import as_numeric

_GROUPS = 8
"""Into how many groups of codes a column is cut at most, about, where all pairs are looked at."""

_HIDDEN = 2 / 3
"""How much of the noise's variance what did not stand out of it has: more would have been seen.

Of all of it intervals of 95 % covered .97 to .99, of half .93 to .94 (decision 175). What a mixture
pulls towards nothing counts with as much of the noise of all that it knows of a pair (180).
"""


def pairs_apart(sampler: Modelled, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of columns that the model holds together through others alone, or not."""
    return tuple(p for p in _pairs(sampler, names) if not is_joined(sampler, p))


def lists_merged(sampler: Modelled, names: Sequence[str]) -> tuple[str, ...]:
    """Return the lists whose rare values the model has merged: those have one estimate."""
    lists = {a.name for a in sampler.schema.coded if as_numeric(a) is None}
    return tuple(n for n in dict.fromkeys(names) if n in lists and n in sampler.grouping.groups)


def missed_variance(sampler: Modelled, where: Mapping[str, str]) -> float:
    """Return the variance of the share that meets ``where`` by what may hang between its columns.

    0 where the model joins all pairs of them, or nothing says how all pairs were looked at. A
    pair counts with as much of its cell as the other conditions leave.
    """
    pairs, noise = pairs_apart(sampler, tuple(where)), _noise_of_all(sampler)
    return _HIDDEN * _over(sampler, where, pairs=pairs, noise=noise)


def least_variance(sampler: Modelled, where: Mapping[str, str]) -> float:
    """Return the least variance of the share that meets ``where``, of a mixture; 0 of a tree."""
    pairs = _pairs(sampler, tuple(where))
    return _HIDDEN * _over(sampler, where, pairs=pairs, noise=noise_pulled(sampler))


def missed_covariance(sampler: Modelled, pair: tuple[str, str], *, squares: float) -> float:
    """Return the variance of a covariance of two columns by what may hang between them.

    It adds up scores of both over a table of shares: ``squares`` is the product of the sums of
    squares of the scores of each column's groups, less their mean; see :func:`squares_of`. 0 where
    the model joins the columns.
    """
    return _HIDDEN * squares * _noise_of_all(sampler) * bool(pairs_apart(sampler, pair))


def noise_pulled(sampler: Modelled) -> float:
    """Return the variance of a pair's cell, as a share of all rows, by all that a mixture knows.

    How all pairs were looked at, and once more where a run asked pairs in rounds: those that say
    something. 0 of a tree, and where nothing says it.
    """
    if isinstance(sampler, Sampler) and not sampler.components:
        return 0.0
    alone, again = _noise_of_all(sampler), _noise(sampler, OF_PAIRS)
    return 1 / (1 / alone + 1 / again) if alone and again else alone


def squares_of(sampler: Modelled, name: str, *, variance: float | None = None) -> float:
    """Return the sum of squares of the scores of a column's groups, less their mean.

    Of a number of this ``variance``, in groups of equal shares; of one label without it.
    """
    known = {a.name for a in sampler.schema.coded}
    groups = groups_of(sampler, name) if name in known else 1
    return groups * variance if variance is not None else 1 - 1 / groups


def groups_of(sampler: Modelled, name: str) -> int:
    """Return into how many groups a column was cut, about, where all pairs were looked at."""
    return min(sampler.grouping.domain(sampler.domain).size((name,)), _GROUPS)


def _pairs(sampler: Modelled, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of columns that are counted."""
    counted = {a.name for a in sampler.schema.coded}
    return tuple(combinations([name for name in dict.fromkeys(names) if name in counted], 2))


def _over(
    sampler: Modelled,
    where: Mapping[str, str],
    *,
    pairs: Sequence[tuple[str, str]],
    noise: float,
) -> float:
    """Return the variance of a share by this noise of these pairs' cells."""
    if not pairs or not noise:
        return 0.0
    whole, found = probability_of(sampler, where), 0.0
    for pair in pairs:
        among = probability_of(sampler, {name: where[name] for name in pair})
        left = whole / among if among > 0 else 1.0
        found += noise * left**2 * _cells(sampler, {name: where[name] for name in pair})
    return found


def _noise_of_all(sampler: Modelled) -> float:
    """Return the variance of a coarse cell's share of all rows where all pairs were looked at."""
    return _noise(sampler, OF_ALL_PAIRS)


def _noise(sampler: Modelled, phases: Sequence[str]) -> float:
    """Return the variance of a cell's share of all rows in the first phase that there is, or 0."""
    try:
        noise = Certificate.model_validate(sampler.certificate).cell_noise
    except ValidationError:
        return 0.0
    rows = next((noise[name] for name in phases if name in noise), 0.0)
    return rows / sampler.total**2 if sampler.total > 0 else 0.0


def _cells(sampler: Modelled, where: Mapping[str, str]) -> float:
    """Return how many times a cell's noise is in what a pair's table says beyond its 1-ways.

    Of the sum of k of a column's n groups that is k (1 - k / n), for each of both columns.
    """
    times = 1.0
    for name, allowed in allowed_codes(sampler.schema, where, spreads=sampler.spreads).items():
        groups = groups_of(sampler, name)
        met = float(np.clip(groups * allowed.mean(), 1.0, groups))
        times *= met * (1 - met / groups)
    return times
