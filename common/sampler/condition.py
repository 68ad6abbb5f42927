"""Condition a sampler on values of some attributes, exactly and without rejecting rows.

The conditionals of a sampler are a directed form of its junction tree. One pass from the last
drawn attribute to the first multiplies each conditional by the evidence and by what the later
attributes say of it, and sums the attribute out into a message to the attributes that it was drawn
given. What remains are conditionals of the same shapes, drawn as before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, overload

import numpy as np

from silosynth.common.codec import allowed_codes, narrow_spreads
from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidArgument, InvalidSampler
from silosynth.common.sampler.autoregressive import AutoregressiveSampler
from silosynth.common.sampler.conditional import WHOLE, Conditional, shares, shares_within
from silosynth.common.sampler.mixture import NeuralSampler, TableSampler
from silosynth.common.sampler.sampler import Sampler

Generator = TypeVar("Generator", NeuralSampler, TableSampler, AutoregressiveSampler)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Message:
    """What the attributes drawn later say of ``clique``: (cells,) float64, row-major."""

    clique: Clique
    values: np.ndarray


@overload
def condition_on(sampler: Sampler, where: Mapping[str, str]) -> Sampler: ...
@overload
def condition_on(sampler: Generator, where: Mapping[str, str]) -> Generator: ...
def condition_on(
    sampler: Sampler | NeuralSampler | TableSampler | AutoregressiveSampler,
    where: Mapping[str, str],
) -> Sampler | NeuralSampler | TableSampler | AutoregressiveSampler:
    """Return the sampler of the rows that meet every condition of ``where``.

    A generator's and a mixture's does what its own ``given`` says.

    Guarantees, for a graphical model: its distribution is the sampler's own given ``where``, each
    share to 2^-31; every row that it draws meets ``where``; ``total`` is the expected number of
    such rows. Without conditions it is the same sampler.

    Source: sum-product on a junction tree (Lauritzen and Spiegelhalter 1988).
    Errors: InvalidArgument for what :func:`allowed_codes` refuses, and for conditions that no row
    of the model meets.
    """
    if not where:
        return sampler
    if not isinstance(sampler, Sampler):
        return sampler.given(where)
    allowed = allowed_codes(sampler.schema, where, spreads=sampler.spreads)
    try:
        conditionals, share = _given(sampler, allowed)
    except ZeroDivisionError:
        raise InvalidArgument(
            "no row of this sampler meets the conditions together",
            hint="leave one of them out",
        ) from None
    return replace(
        sampler,
        conditionals=conditionals,
        within={
            name: _restrict(ends, groups=sampler.grouping.groups[name], allowed=allowed.get(name))
            for name, ends in sampler.within.items()
        },
        total=round(sampler.total * share),
        spreads=narrow_spreads(sampler.schema, where, spreads=sampler.spreads),
    )


def probability_of(sampler: Sampler | TableSampler, where: Mapping[str, str]) -> float:
    """Return the share of a model's rows that meet every condition, 0 for none.

    Errors: InvalidArgument for what :func:`allowed_codes` refuses.
    """
    allowed = allowed_codes(sampler.schema, where, spreads=sampler.spreads)
    return probability_within(sampler, allowed)


def probability_within(sampler: Sampler | TableSampler, allowed: Mapping[str, np.ndarray]) -> float:
    """Return the share of a model's rows that keep to codes; see :func:`allowed_codes`."""
    if not isinstance(sampler, Sampler):
        return sampler.probability(allowed)
    try:
        return _given(sampler, allowed)[1]
    except ZeroDivisionError:
        return 0.0


def _given(
    sampler: Sampler, allowed: Mapping[str, np.ndarray]
) -> tuple[tuple[Conditional, ...], float]:
    """Return :func:`_condition` of a sampler, on the share of each code that is allowed."""
    return _condition(
        sampler.conditionals,
        evidence={name: _weigh(sampler, name=name, allowed=m) for name, m in allowed.items()},
        working=sampler.working,
    )


def _weigh(sampler: Sampler, *, name: str, allowed: np.ndarray) -> np.ndarray:
    """Return (working codes,) the share of each working code whose fine codes are allowed."""
    groups = sampler.grouping.groups.get(name)
    if groups is None:
        return allowed.astype(np.float64)
    inside, order = unfold(sampler.within[name], groups=np.asarray(groups))
    return np.bincount(np.asarray(groups)[order], weights=inside * allowed[order])


def _restrict(ends: np.ndarray, *, groups: Sequence[int], allowed: np.ndarray | None) -> np.ndarray:
    """Return the shares inside the groups of allowed codes alone; a group without any keeps its."""
    if allowed is None:
        return ends
    group = np.asarray(groups)
    inside, order = unfold(ends, groups=group)
    weights = np.empty(len(group))
    weights[order] = inside
    kept = weights * allowed
    lost = np.bincount(group, weights=kept) == 0
    return shares_within(np.where(lost[group], weights, kept), groups=group, name="a group")


def unfold(ends: np.ndarray, *, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (codes,) the share of each code in its group, codes sorted by group, and the order."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    before = np.concatenate(([0], ends[:-1].astype(np.int64)))
    before[np.concatenate(([True], ordered[1:] != ordered[:-1]))] = 0
    return (ends - before) / WHOLE, order


def _condition(
    conditionals: Sequence[Conditional], *, evidence: Mapping[str, np.ndarray], working: Domain
) -> tuple[tuple[Conditional, ...], float]:
    """Return the conditionals given the evidence, and the evidence's own probability.

    Raises ZeroDivisionError when that is 0.
    """
    messages: list[_Message] = []
    after: list[Conditional] = []
    log_share = 0.0
    for conditional in reversed(conditionals):
        scope = (*conditional.given, conditional.attribute)
        mine = [m for m in messages if conditional.attribute in m.clique]
        messages = [m for m in messages if conditional.attribute not in m.clique]
        if not mine and conditional.attribute not in evidence:
            after.append(conditional)
            continue
        weights = np.diff(conditional.ends.astype(np.int64), prepend=0, axis=1) / WHOLE
        if conditional.attribute in evidence:
            weights = weights * evidence[conditional.attribute]
        for message in mine:
            weights = weights * _spread(message, scope=scope, working=working, shape=weights.shape)
        sums = weights.sum(axis=1)
        largest = float(sums.max())
        if largest <= 0:
            raise ZeroDivisionError
        log_share += np.log(largest)
        if conditional.given:
            messages.append(_Message(clique=conditional.given, values=sums / largest))
        after.append(
            Conditional(
                attribute=conditional.attribute,
                given=conditional.given,
                ends=_shares(weights, sums=sums, name=conditional.attribute),
            )
        )
    return tuple(reversed(after)), float(np.exp(log_share))


def _shares(weights: np.ndarray, *, sums: np.ndarray, name: str) -> np.ndarray:
    """Return shares row by row, so that a row of small weights keeps its precision."""
    scale = np.where(sums > 0, sums, 1.0)[:, None]
    return shares(weights / scale, name=name)


def _spread(
    message: _Message, *, scope: Clique, working: Domain, shape: tuple[int, ...]
) -> np.ndarray:
    """Return the message as a table over ``scope``; its attributes must all lie in it."""
    outside = [a for a in message.clique if a not in scope]
    if outside:
        raise InvalidSampler(
            f"attribute {outside[0]!r} is not in the tree where it should be",
            hint="this file was not made by silosynth; draw from it without conditions",
        )
    placed = sorted(message.clique, key=scope.index)
    table = message.values.reshape(working.sizes(message.clique))
    table = table.transpose([message.clique.index(a) for a in placed])
    sizes = [working.size((a,)) if a in message.clique else 1 for a in scope]
    full = np.broadcast_to(table.reshape(sizes), working.sizes(scope))
    return full.reshape(shape)
