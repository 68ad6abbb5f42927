"""The share of rows that meet conditions, by group: read off the model, no row drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from silosynth.common.codec import allowed_codes, code_words
from silosynth.common.errors import InvalidArgument
from silosynth.common.estimate.apart import least_variance, missed_variance
from silosynth.common.estimate.replicates import (
    LEVEL,
    Interval,
    Modelled,
    Replicated,
    interval_of,
)
from silosynth.common.sampler import probability_of, probability_within
from silosynth.common.schema import Schema, as_numeric

MOST_GROUPS = 1000


def estimate_share(
    replicated: Replicated,
    where: Mapping[str, str],
    *,
    by: str | None = None,
    level: float = LEVEL,
) -> tuple[Interval, ...]:
    """Estimate what share of people meets all of ``where``, of all and by each value of ``by``.

    Columns that the model does not hold together may hang together by as much as the noise hid;
    :func:`missed_variance` adds that to what replicates say, and of what a mixture pulls towards
    nothing they say at least :func:`least_variance`.

    Raises InvalidArgument for conditions that no sampler takes, and for groups of a column that is
    not a list.
    """
    if not where:
        raise InvalidArgument("no share is asked for", hint="say one such as 'smoker=yes'")
    if by in where:
        raise InvalidArgument(f"{by!r} is a condition and the groups", hint="leave out one of them")
    name = ", ".join(f"{a}={v}" for a, v in where.items())
    groups = [{}, *_groups(replicated.sampler.schema, by)]
    return tuple(
        interval_of(
            *_shares(replicated, where, group),
            name=name,
            group=", ".join(f"{a}={v}" for a, v in group.items()),
            level=level,
            within=(0.0, 1.0),
            missed=_among(replicated.sampler, where, group, variance=missed_variance),
            least=_among(replicated.sampler, where, group, variance=least_variance),
        )
        for group in groups
    )


def _groups(schema: Schema, by: str | None) -> Sequence[Mapping[str, str]]:
    """Return the conditions that make each group."""
    if by is None:
        return []
    attribute = next((a for a in schema.coded if a.name == by), None)
    if attribute is None or as_numeric(attribute) is not None:
        names = [a.name for a in schema.coded if as_numeric(a) is None]
        raise InvalidArgument(
            f"{by!r} has no list of values to group by", hint=f"these have: {', '.join(names[:8])}"
        )
    if attribute.values > MOST_GROUPS:
        raise InvalidArgument(f"{by!r} has {attribute.values} values; {MOST_GROUPS} are most")
    return [{by: value} for value in code_words(attribute)[: attribute.values]]


def _shares(
    replicated: Replicated, where: Mapping[str, str], group: Mapping[str, str]
) -> tuple[float, list[float]]:
    """Return the share among the rows of a group, and that of each replicate; NaN without rows.

    Conditions are read once where no sampler says of itself how values lie inside codes.
    """
    both = {**group, **where}
    samplers = (replicated.sampler, *replicated.others)
    once = not any(s.spreads.keys() & both for s in samplers)
    allowed = allowed_codes(replicated.sampler.schema, both, spreads=replicated.sampler.spreads)
    shares = []
    for sampler in samplers:
        if not once:
            allowed = allowed_codes(sampler.schema, both, spreads=sampler.spreads)
        among = probability_within(sampler, {name: allowed[name] for name in group})
        shares.append(probability_within(sampler, allowed) / among if among > 0 else math.nan)
    return shares[0], shares[1:]


def _among(
    sampler: Modelled,
    where: Mapping[str, str],
    group: Mapping[str, str],
    *,
    variance: Callable[[Modelled, Mapping[str, str]], float],
) -> float:
    """Return a variance that no replicate has, of a share among the rows of a group."""
    among = probability_of(sampler, group)
    return variance(sampler, {**group, **where}) / among**2 if among > 0 else 0.0
