"""The conditional distributions that rows are drawn from, as integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.codec import code_dtype
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidSampler
from silosynth.common.seeded import SeededWords

SHARE_BITS = 31
WHOLE = 1 << SHARE_BITS
"""The integer that stands for probability one."""

COMPONENT = ""
"""Stands for a mixture's component among the attributes, none of which is called so."""

MOST_COMPONENTS = 2**14
"""Of a mixture: how likely a row is takes time by each, in silos that judge a sampler too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CliqueMarginal:
    """A fitted marginal of one clique of the junction tree, to be drawn after its parent.

    ``separator`` holds the attributes that were drawn before, all of them in one earlier clique;
    ``values`` has one float64 per cell, row-major over ``clique``, on any scale.
    """

    clique: Clique
    separator: Clique
    values: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditional:
    """The distribution of one attribute given others, in shares of 2^31.

    ``ends[g, c]`` is the share of codes 0..c in group ``g``, a cell of ``given`` (row-major). It
    is (groups, codes) uint32, never falls along a row, and every row ends at 2^31.
    """

    attribute: str
    given: Clique
    ends: np.ndarray

    def __post_init__(self) -> None:
        if self.attribute in self.given or len(set(self.given)) != len(self.given):
            raise InvalidSampler(f"attribute {self.attribute!r} is drawn given itself or a twin")
        if self.ends.ndim != 2 or self.ends.dtype != np.uint32 or 0 in self.ends.shape:
            raise InvalidSampler(f"the shares of {self.attribute!r} are not a table of uint32")
        if (self.ends[:, 1:] < self.ends[:, :-1]).any() or (self.ends[:, -1] != WHOLE).any():
            raise InvalidSampler(f"the shares of {self.attribute!r} do not rise to one")
        self.ends.setflags(write=False)


def shares(weights: np.ndarray, *, name: str) -> np.ndarray:
    """Turn rows of weights into cumulative shares of 2^31.

    Guarantees: each share is within 2^-32 of the exact one; a weight of 0 gets a share of 0 (but
    for a row without any weight, which takes the shares of all rows together).

    Args:    weights: (groups, codes) float64, finite, none below 0, some above 0.
    Returns: (groups, codes) uint32, as :class:`Conditional` wants it.
    """
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise InvalidSampler(f"a weight of {name!r} is negative or not finite")
    largest = weights.max(initial=0.0)
    if largest == 0:
        raise InvalidSampler(f"{name!r} has no weight at all", hint="fit a model with rows")
    weights = weights / largest
    empty = weights.sum(axis=1) == 0
    if empty.any():
        weights = np.where(empty[:, None], weights.sum(axis=0), weights)
    running = weights.cumsum(axis=1)
    ends: np.ndarray = np.rint(running / running[:, -1:] * WHOLE).astype(np.uint32)
    return ends


def with_component(domain: Domain, *, components: int) -> Domain:
    """Return a domain with a mixture's component behind its attributes, if there are components."""
    if not components:
        return domain
    return Domain(attributes=(*domain.attributes, COMPONENT), shape=(*domain.shape, components))


def check_conditionals(conditionals: Sequence[Conditional], *, working: Domain) -> None:
    """Raise InvalidSampler unless every attribute is drawn once, given attributes before it.

    And for a mixture of more than :data:`MOST_COMPONENTS`.
    """
    _check_components(working)
    drawn: set[str] = set()
    for conditional in conditionals:
        name = conditional.attribute
        if (
            name not in working.attributes
            or name in drawn
            or not drawn.issuperset(conditional.given)
        ):
            raise InvalidSampler(f"{name!r} is unknown, drawn twice, or drawn before what it needs")
        shape = (working.size(conditional.given), working.size((name,)))
        if conditional.ends.shape != shape:
            raise InvalidSampler(f"the shares of {name!r} do not have the shape of its domain")
        drawn.add(name)
    absent = sorted(set(working.attributes) - drawn)
    if absent:
        raise InvalidSampler(f"attribute {absent[0]!r} is never drawn")


def _check_components(working: Domain) -> None:
    """Raise InvalidSampler for a mixture of too many components."""
    components = working.size((COMPONENT,)) if COMPONENT in working.attributes else 0
    if components > MOST_COMPONENTS:
        raise InvalidSampler(
            f"a mixture of {components} components has more than {MOST_COMPONENTS}"
        )


def condition(marginals: Sequence[CliqueMarginal], *, domain: Domain) -> tuple[Conditional, ...]:
    """Split clique marginals, given in draw order, into one conditional per attribute.

    Raises InvalidSampler unless the cliques are a junction tree (or forest) of ``domain``.
    """
    cliques: list[set[str]] = []
    drawn: set[str] = set()
    conditionals: list[Conditional] = []
    for marginal in marginals:
        _check_place(marginal, cliques=cliques, drawn=drawn)
        conditionals.extend(_split(marginal, domain=domain))
        cliques.append(set(marginal.clique))
        drawn |= cliques[-1]
    return tuple(conditionals)


def shares_within(weights: np.ndarray, *, groups: np.ndarray, name: str) -> np.ndarray:
    """Return (codes,) uint32, the cumulative shares inside each group, codes sorted by group."""
    if weights.shape != groups.shape:
        raise InvalidSampler(f"{name!r} has {weights.size} weights for {groups.size} codes")
    order = np.argsort(groups, kind="stable")
    ends = []
    for group in range(int(groups.max()) + 1):
        members = weights[order[groups[order] == group]].astype(np.float64)
        if not members.any():
            members = np.ones_like(members)
        ends.append(shares(members[None, :], name=name)[0])
    return np.concatenate(ends)


def shares_of_groups(
    within: Mapping[str, np.ndarray], *, grouping: Grouping
) -> dict[str, np.ndarray]:
    """Return :func:`shares_within` of every attribute that is merged."""
    return {
        name: shares_within(within[name], groups=np.asarray(groups), name=name)
        for name, groups in grouping.groups.items()
    }


def check_within(within: Mapping[str, np.ndarray], *, grouping: Grouping) -> None:
    """Raise InvalidSampler unless every merged attribute has shares that rise to one per group."""
    if set(within) != set(grouping.groups):
        raise InvalidSampler("the shares inside groups are not those of the merged attributes")
    for name, ends in within.items():
        groups = np.sort(np.asarray(grouping.groups[name]))
        if ends.shape != groups.shape or ends.dtype != np.uint32:
            raise InvalidSampler(f"the shares inside the groups of {name!r} have another shape")
        last = np.append(groups[1:] != groups[:-1], True)
        falls = (ends[1:] < ends[:-1]) & ~last[:-1]
        if falls.any() or (ends[last] != WHOLE).any() or (ends > WHOLE).any():
            raise InvalidSampler(f"the shares inside the groups of {name!r} do not rise to one")
        ends.setflags(write=False)


def _check_place(marginal: CliqueMarginal, *, cliques: list[set[str]], drawn: set[str]) -> None:
    """Raise InvalidSampler unless the separator is what was drawn, all of it in one clique."""
    separator = set(marginal.separator)
    if separator != set(marginal.clique) & drawn:
        raise InvalidSampler(
            f"clique {marginal.clique} has separator {marginal.separator}, "
            "but that is not what it shares with the cliques before it"
        )
    if separator and not any(separator <= clique for clique in cliques):
        raise InvalidSampler(f"the separator of clique {marginal.clique} lies in no earlier clique")


def _split(marginal: CliqueMarginal, *, domain: Domain) -> list[Conditional]:
    """Return a conditional for each new attribute, given the separator and the new ones before."""
    if marginal.values.size != domain.size(marginal.clique):
        raise InvalidSampler(
            f"clique {marginal.clique} has {marginal.values.size} values; "
            f"{domain.size(marginal.clique)} cells expected"
        )
    table = marginal.values.astype(np.float64).reshape(domain.sizes(marginal.clique))
    new = [a for a in marginal.clique if a not in marginal.separator]
    conditionals = []
    for i, attribute in enumerate(new):
        given = (*marginal.separator, *new[:i])
        axes = [marginal.clique.index(a) for a in (*given, attribute)]
        rest = tuple(marginal.clique.index(a) for a in new[i + 1 :])
        kept = table.sum(axis=rest, keepdims=True).transpose(*axes, *rest)
        weights = kept.reshape(-1, domain.size((attribute,)))
        conditionals.append(
            Conditional(attribute=attribute, given=given, ends=shares(weights, name=attribute))
        )
    return conditionals


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unmerge:
    """Draw fine codes of one merged attribute.

    ``groups`` is (fine codes,) the working code of each, ``ends`` (fine codes,) uint32 the
    cumulative shares inside each group, codes sorted by group, and ``allowed`` which fine codes
    may be drawn.
    """

    groups: np.ndarray
    ends: np.ndarray
    allowed: np.ndarray | None = None
    order: np.ndarray = field(init=False, repr=False)
    shares: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(self.groups, kind="stable")
        ordered = self.groups[order]
        first = np.append(True, ordered[1:] != ordered[:-1])
        before = np.where(first, 0, np.append(0, self.ends[:-1].astype(np.int64)))
        shares = np.empty(len(self.groups))
        shares[order] = (self.ends - before) / WHOLE
        object.__setattr__(self, "order", order)
        object.__setattr__(self, "shares", shares)

    def weights(self) -> np.ndarray:
        """Return (working codes,) the share of each that its allowed fine codes have."""
        allowed = 1.0 if self.allowed is None else self.allowed
        return np.bincount(self.groups, weights=self.shares * allowed)

    def ends_of_allowed(self, name: str) -> np.ndarray:
        """Return (fine codes,) uint32, the cumulative shares of allowed codes inside each group."""
        if self.allowed is None:
            return self.ends
        return shares_within(self.shares * self.allowed, groups=self.groups, name=name)

    def draw(self, codes: np.ndarray, words: SeededWords) -> np.ndarray:
        """Return (rows,) fine codes for (rows,) working codes that have one that is allowed."""
        size, order = len(self.groups), self.order
        ordered = self.groups[order]
        inside = (self.shares * (1.0 if self.allowed is None else self.allowed))[order]
        ends = inside.cumsum()
        stops = np.searchsorted(ordered, np.arange(int(ordered[-1]) + 1), side="right") - 1
        starts = np.append(0.0, ends[stops[:-1]])
        last = np.maximum.accumulate(np.arange(size) * (inside > 0))[stops]
        uniform = words.uniform(len(codes))
        target = starts[codes] + uniform * (ends[stops] - starts)[codes]
        found = np.minimum(np.searchsorted(ends, target, side="right"), last[codes])
        chosen: np.ndarray = order[found].astype(code_dtype(size))
        return chosen
