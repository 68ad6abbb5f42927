"""A sampler a view of several tables: persons, first rows, and later ones given those before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from silosynth.common.domain import Clique, Grouping
from silosynth.common.errors import InvalidSampler
from silosynth.common.families import drawn_domains, first_of, later_of
from silosynth.common.forest.block import number_edges
from silosynth.common.forest.chain import Chain
from silosynth.common.forest.gaps import check_pieces, gap_scales
from silosynth.common.sampler import check_statements, check_within
from silosynth.common.tables import TablesSchema


@dataclass(frozen=True, kw_only=True, eq=False)
class ForestSampler:
    """The chains of the persons' table and, for each other, of first rows and of later ones.

    ``inside`` says by table how the numbers of rows that a parent may have lie inside their bins:
    (numbers,) uint32, the cumulative shares of 2^31 in each bin; ``gaps`` the same of how long
    after one another rows come: (bins, PIECES) uint32 for a table with gaps. ``persons`` is the
    noised number of persons, ``certificate`` the run's statement of what was spent, as plain JSON
    data, ``left_out`` the links that were not modelled, by name.

    Guarantees: what can be built can be drawn from and written to a file. The same seed gives the
    same rows everywhere.
    """

    schema: TablesSchema
    chains: Mapping[str, Chain] = field(repr=False)
    inside: Mapping[str, np.ndarray] = field(repr=False)
    gaps: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)
    persons: int
    certificate: Mapping[str, Any]
    plan_digest: str
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_statements(
            total=self.persons, certificate=self.certificate, plan_digest=self.plan_digest
        )
        domains = drawn_domains(self.schema)
        if set(self.chains) != set(domains):
            raise InvalidSampler("the chains are not those of the schema's tables")
        for name, own in own_attributes(self.schema).items():
            chain = self.chains[name]
            if chain.domain != domains[name] or set(chain.own) != set(own):
                raise InvalidSampler(f"the chain of {name!r} is not over what its schema counts")

        _check_inside(self.inside, schema=self.schema)
        check_pieces(self.gaps, schema=self.schema)
        _check_first_gaps(self.chains, schema=self.schema)

    @cached_property
    def cells(self) -> int:
        """Return how many scores there are."""
        return sum(t.scores.size for c in self.chains.values() for s in c.steps for t in s.terms)

    def describe(self) -> dict[str, Any]:
        """Return the facts of a sampler as plain JSON data."""
        return {
            "schema": {"name": self.schema.name, "digest": self.schema.digest},
            "plan_digest": self.plan_digest,
            "persons": self.persons,
            "tables": list(self.schema.downward),
            "left_out": list(self.left_out),
            "cells": self.cells,
            "certificate": dict(self.certificate),
        }


def bins_of(schema: TablesSchema, name: str) -> np.ndarray:
    """Return (numbers,) int64, the bin of each number of rows that a parent may have."""
    edges = number_edges(schema.tables[name])
    found: np.ndarray = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    return found


def _check_inside(inside: Mapping[str, np.ndarray], *, schema: TablesSchema) -> None:
    below = schema.downward[1:]
    if set(inside) != set(below):
        raise InvalidSampler("the shares of numbers are not those of the schema's tables")
    groups = {name: tuple(bins_of(schema, name).tolist()) for name in below}
    check_within(inside, grouping=Grouping(groups=groups))


def _check_first_gaps(chains: Mapping[str, Chain], *, schema: TablesSchema) -> None:
    """Raise InvalidSampler where a step is given an order column that follows from a later one."""
    for name, scale in gap_scales(schema).items():
        for step in chains[later_of(name)].steps:
            if step.attribute == scale.name:
                break
            if any(scale.column in t.given for t in step.terms):
                raise InvalidSampler(f"{step.attribute!r} is drawn before what it is given")
        own = next(s for s in chains[later_of(name)].steps if s.attribute == scale.name)
        if any(scale.column in t.given for t in own.terms):
            raise InvalidSampler(f"{scale.name!r} is drawn before what it is given")


def own_attributes(schema: TablesSchema) -> dict[str, Clique]:
    """Return what each view draws: the attributes of its table, of later rows the gap first."""
    found: dict[str, Clique] = {}
    for name in schema.downward:
        own = schema.columns[name].rows.domain.attributes
        views = (name,) if name == schema.person else (first_of(name), later_of(name))
        found |= dict.fromkeys(views, own)
        if (gaps := schema.columns[name].gaps) is not None:
            found[later_of(name)] = (gaps.name, *(a for a in own if a != gaps.column))
    return found
