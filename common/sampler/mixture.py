"""Samplers that are mixtures of independent attributes: of a generator's network, or of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Self

import numpy as np
import pyarrow as pa

from silosynth.common.codec import (
    allowed_codes,
    encode_texts,
    modelled_texts,
    narrow_spreads,
)
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidArgument, InvalidPlan, InvalidSampler
from silosynth.common.generator import MOST_CANDIDATES, Alphabet, foreign_to
from silosynth.common.sampler.conditional import (
    COMPONENT,
    WHOLE,
    Conditional,
    Unmerge,
    check_within,
    shares,
    with_component,
)
from silosynth.common.sampler.draw import BATCH_ROWS, Step, compile_steps, draw_batch
from silosynth.common.sampler.network import Network, softmax_parts
from silosynth.common.sampler.sampler import (
    DrawBatch,
    DrawnAlike,
    check_facts,
)
from silosynth.common.schema import Schema
from silosynth.common.values import Spread

_MOST_CELLS = 2**27
_BATCH_BYTES = 2**26


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mixture:
    """The mixture that a generator stands for, over working codes.

    ``weights`` is (components,), summing to the probability of the conditions; ``tables[a]`` is
    (components, codes) and every row of it sums to one, or to zero where the weight is zero.
    """

    weights: np.ndarray
    tables: Mapping[str, np.ndarray]

    def marginal(self, clique: Clique) -> np.ndarray:
        """Return (cells,) float64, the exact marginal over a clique, row-major as it is named."""
        joint = self.weights[:, None]
        for attribute in clique[:-1]:
            table = self.tables[attribute]
            joint = (joint[:, :, None] * table[:, None, :]).reshape(len(joint), -1)
        exact: np.ndarray = (joint.T @ self.tables[clique[-1]]).ravel()
        return exact


class DrawsMixture(DrawnAlike):
    """What samplers that are a mixture do in the same way, as a base of theirs."""

    __slots__ = ()
    schema: Schema
    domain: Domain
    grouping: Grouping
    within: Mapping[str, np.ndarray]
    total: int
    allowed: Mapping[str, np.ndarray]
    spreads: Mapping[str, Spread]

    @property
    def working(self) -> Domain:
        """Return the domain of the mixture."""
        try:
            return self.grouping.domain(self.schema.domain)
        except InvalidPlan as err:
            raise InvalidSampler(f"the grouping does not fit the schema: {err}") from err

    def drawer(self) -> DrawBatch:
        """Return the function that draws the codes of a batch.

        The component is a column of its own behind those of the schema, which all depend on it: so
        its counts, and those of every attribute in it, are the expected ones rounded up or down.
        """
        mixture, domain = self.mixture(), self.domain
        count = len(mixture.weights)
        first = Step(
            column=len(domain.attributes),
            keys=(),
            ends=shares(mixture.weights[None, :], name="the components"),
            codes=np.arange(count, dtype=np.uint32),
        )
        others = compile_steps(
            [
                Conditional(attribute=name, given=(COMPONENT,), ends=shares(table, name=name))
                for name, table in mixture.tables.items()
            ],
            domain=with_component(domain, components=count),
            grouping=self.grouping,
            within={name: self._unmerge(name).ends_of_allowed(name) for name in self.within},
        )
        return partial(self._draw_batch, (first, *others))

    def given(self, where: Mapping[str, str]) -> Self:
        """Return the sampler of the rows that meet every condition of ``where``.

        Guarantees: exact for the mixture, without rejection; ``total`` is the expected number of
        such rows. Errors: InvalidArgument for conditions that no row meets.
        """
        narrowed = self._narrowed(
            allowed_codes(self.schema, where, spreads=self.spreads),
            spreads=narrow_spreads(self.schema, where, spreads=self.spreads),
        )
        share = float(narrowed.mixture().weights.sum())
        if not share > 0:
            raise InvalidArgument(
                "no row of this sampler meets the conditions together",
                hint="leave one of them out",
            )
        before = float(self.mixture().weights.sum())
        return replace(narrowed, total=round(self.total * share / before))  # type: ignore[type-var]

    def probability(self, allowed: Mapping[str, np.ndarray]) -> float:
        """Return the share of the rows that keep to codes, 0 for none."""
        left = self._narrowed(allowed, spreads=self.spreads).mixture().weights.sum()
        return float(left / self.mixture().weights.sum())

    def _narrowed(self, asked: Mapping[str, np.ndarray], *, spreads: Mapping[str, Spread]) -> Self:
        """Return the sampler of the rows that keep to codes as well; its ``total`` is the same."""
        both = {name: share * self.allowed.get(name, 1.0) for name, share in asked.items()}
        narrowed: Self = replace(  # type: ignore[type-var]  # each of its kinds is a dataclass
            self, allowed={**self.allowed, **both}, spreads=spreads
        )
        return narrowed

    def mixture(self) -> Mixture:
        """Return the mixture over working codes, given the conditions."""
        whole = self.whole()
        weights, tables = whole.weights, dict(whole.tables)
        for name, mask in self.allowed.items():
            kept = tables[name] * self._kept(name, mask)
            mass = kept.sum(axis=1, keepdims=True)
            weights = weights * mass[:, 0]
            tables[name] = kept / np.where(mass > 0, mass, 1.0)
        return Mixture(weights=weights, tables=tables)

    def whole(self) -> Mixture:
        """Return the mixture over working codes without conditions."""
        raise NotImplementedError

    def _draw_batch(
        self, steps: Sequence[Step], *, rows: int, seed: int, batch: int
    ) -> tuple[np.ndarray, ...]:
        """Draw fine codes: one (rows,) unsigned column per coded attribute."""
        *columns, component = draw_batch(steps, rows=rows, seed=seed, batch=batch)
        return (*columns, *self.texts_of(component))

    def texts_of(self, component: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (rows, max_bytes) uint16 for each text that a mixture's components have."""
        return ()

    def _unmerge(self, name: str) -> Unmerge:
        groups = self.grouping.lookup(name, self.domain.size((name,)))
        return Unmerge(groups=groups, ends=self.within[name], allowed=self.allowed.get(name))

    def _kept(self, name: str, mask: np.ndarray) -> np.ndarray:
        """Return (working codes,) the share of each that meets the condition."""
        if name not in self.grouping.groups:
            return mask.astype(np.float64)
        return self._unmerge(name).weights()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NeuralSampler(DrawsMixture):
    """Draw rows from a generator network.

    A row gets a class of ``label`` by ``label_shares``, (classes,) uint32 rising to 2^31, and one
    of the network's latent vectors, all equally likely; then every other attribute is drawn by
    itself from what the network says of both. Codes are working codes: ``grouping`` and
    ``within`` are those of :class:`~silosynth.common.sampler.sampler.Sampler`. ``allowed`` holds,
    by attribute, which fine codes rows may have: a condition, which no file keeps.

    Guarantees: what can be built can be drawn from. The same seed gives the same rows with the
    same version of NumPy on the same kind of machine: floats decide here, unlike in a graphical
    model's sampler.
    """

    schema: Schema
    grouping: Grouping
    within: Mapping[str, np.ndarray]
    label: str | None
    label_shares: np.ndarray
    network: Network
    total: int
    certificate: Mapping[str, Any]
    plan_digest: str
    allowed: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    spreads: Mapping[str, Spread] = field(default_factory=dict, repr=False)
    domain: Domain = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_facts(self)
        object.__setattr__(self, "domain", self.schema.domain)
        check_within(self.within, grouping=self.grouping)
        working = self.working
        if self.label is not None and self.label not in working.attributes:
            raise InvalidSampler(f"the label {self.label!r} is not an attribute with codes")
        classes = 1 if self.label is None else working.size((self.label,))
        shares = self.label_shares
        if shares.shape != (classes,) or shares.dtype != np.uint32:
            raise InvalidSampler("the shares of the label do not have the shape of its domain")
        if (shares[1:] < shares[:-1]).any() or shares[-1] != WHOLE:
            raise InvalidSampler("the shares of the label do not rise to one")
        if self.network.classes != classes or self.network.outputs != sum(self.sizes):
            raise InvalidSampler("the network does not fit the domain")
        if len(self.network.latents) * classes * sum(working.shape) > _MOST_CELLS:
            raise InvalidSampler("the mixture of the network is too large")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the attributes that the network draws."""
        return tuple(a for a in self.working.attributes if a != self.label)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return the number of logits of each attribute that the network draws."""
        return self.working.sizes(self.inputs)

    def describe(self) -> dict[str, Any]:
        """Return what is known of this kind of sampler alone, as plain JSON data."""
        layers = self.network.layers
        return {
            "generator": {"label": self.label, "layers": [list(x.weight.shape) for x in layers]},
            "cells": sum(int(x.weight.size + x.bias.size) for x in layers),
        }

    def whole(self) -> Mixture:
        """Return the mixture over working codes without conditions."""
        count = len(self.network.latents)
        parts = softmax_parts(self.network.components(), sizes=self.sizes)
        tables = dict(zip(self.inputs, parts, strict=True))
        shares = np.diff(self.label_shares.astype(np.float64), prepend=0) / WHOLE
        if self.label is not None:
            tables[self.label] = np.eye(len(shares)).repeat(count, axis=0)
        return Mixture(weights=shares.repeat(count) / count, tables=tables)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableSampler(DrawsMixture):
    """Draw rows from a mixture that is kept as tables.

    A row gets a component by ``weights``, (components,) uint32 rising to 2^31, and then every
    attribute by itself: ``tables`` holds, in the order of the domain, (components, working codes)
    uint32 that rise to 2^31 along every row. The rest is as in
    :class:`~silosynth.common.sampler.mixture.NeuralSampler`. Where ``lines`` are given, one a
    component, a row has its component's as its text.

    Guarantees: what can be built can be drawn from. The same seed gives the same rows everywhere.
    """

    schema: Schema
    grouping: Grouping
    within: Mapping[str, np.ndarray]
    weights: np.ndarray
    tables: tuple[np.ndarray, ...]
    total: int
    certificate: Mapping[str, Any]
    plan_digest: str
    allowed: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    spreads: Mapping[str, Spread] = field(default_factory=dict, repr=False)
    lines: tuple[str, ...] | None = field(default=None, repr=False)
    domain: Domain = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_facts(self)
        object.__setattr__(self, "domain", self.schema.domain)
        check_within(self.within, grouping=self.grouping)
        self._check_lines()
        sizes = self.working.shape
        if len(self.weights) * sum(sizes) > _MOST_CELLS:
            raise InvalidSampler("the tables of the mixture are too large")
        _check_shares(self.weights[None], shape=(1, len(self.weights)), name="the components")
        if len(self.tables) != len(sizes):
            raise InvalidSampler("the mixture has not one table for each attribute")
        for name, size, table in zip(self.working.attributes, sizes, self.tables, strict=True):
            _check_shares(table, shape=(len(self.weights), size), name=repr(name))

    def _check_lines(self) -> None:
        """Raise InvalidSampler unless lines are texts of the schema's one, one a component."""
        if self.lines is None:
            return
        texts = tuple(modelled_texts(self.schema).values())
        if len(texts) != 1 or len(self.lines) != len(self.weights):
            raise InvalidSampler("the lines are not one text for each component")
        if len(self.lines) > MOST_CANDIDATES:
            raise InvalidSampler(
                f"{len(self.lines)} lines are more than the {MOST_CANDIDATES} that can be voted for"
            )
        for line in self.lines:
            if not isinstance(line, str) or any(foreign_to(Alphabet.ANY, line)):
                raise InvalidSampler("a line is no text, or has a character of no alphabet")
            if len(line.encode()) > texts[0]:
                raise InvalidSampler("a line is longer than the schema's text")

    @property
    def batch_rows(self) -> int:
        """Return how many rows are drawn at once: fewer of long texts, so memory is bounded."""
        if self.lines is None:
            return BATCH_ROWS
        longest = max(modelled_texts(self.schema).values())
        return min(BATCH_ROWS, max(_BATCH_BYTES // longest, 1))

    def texts_of(self, component: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return (rows, max_bytes) uint16 of the text that each row's component has."""
        if self.lines is None:
            return ()
        ((name, longest),) = modelled_texts(self.schema).items()
        column = pa.array(self.lines, pa.large_string())
        codes, _ = encode_texts(column, name=name, max_bytes=longest)
        return (codes[component],)

    def describe(self) -> dict[str, Any]:
        """Return what is known of this kind of sampler alone, as plain JSON data."""
        return {
            "mixture": {"components": len(self.weights)},
            "cells": len(self.weights) + sum(int(t.size) for t in self.tables),
        }

    def whole(self) -> Mixture:
        """Return the mixture over working codes without conditions."""
        return Mixture(
            weights=_parts(self.weights[None])[0],
            tables={
                name: _parts(table)
                for name, table in zip(self.working.attributes, self.tables, strict=True)
            },
        )


def _parts(ends: np.ndarray) -> np.ndarray:
    """Return the exact share of each column of rows that rise to 2^31."""
    parts: np.ndarray = np.diff(ends.astype(np.int64), prepend=0, axis=1) / WHOLE
    return parts


def _check_shares(ends: np.ndarray, *, shape: tuple[int, ...], name: str) -> None:
    """Raise InvalidSampler unless rows of shares have their shape and rise to one."""
    if ends.shape != shape or ends.dtype != np.uint32 or 0 in shape:
        raise InvalidSampler(f"the shares of {name} do not have the shape of their domain")
    if (ends[:, 1:] < ends[:, :-1]).any() or (ends[:, -1] != WHOLE).any():
        raise InvalidSampler(f"the shares of {name} do not rise to one")
    ends.setflags(write=False)
