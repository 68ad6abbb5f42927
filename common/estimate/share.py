"""The share of rows that meet conditions, by group: read off the model, no row drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from silosynth.common.codec import code_words
from silosynth.common.errors import InvalidArgument
from silosynth.common.estimate.replicates import LEVEL, Interval, Replicated, interval_of
from silosynth.common.sampler import Sampler, probability_of
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
            _share(replicated.sampler, where, group),
            [_share(s, where, group) for s in replicated.others],
            name=name,
            group=", ".join(f"{a}={v}" for a, v in group.items()),
            level=level,
            within=(0.0, 1.0),
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


def _share(sampler: Sampler, where: Mapping[str, str], group: Mapping[str, str]) -> float:
    """Return the share among the rows of a group; NaN where the model has none of them."""
    among = probability_of(sampler, group)
    return probability_of(sampler, {**group, **where}) / among if among > 0 else math.nan
