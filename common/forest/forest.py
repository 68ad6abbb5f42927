"""A sampler a view of several tables: persons, first rows, and later ones given those before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidSampler
from silosynth.common.families import first_of, later_of, view_domains
from silosynth.common.forest.chain import Chain
from silosynth.common.sampler import check_statements
from silosynth.common.tables import TablesSchema


@dataclass(frozen=True, kw_only=True, eq=False)
class ForestSampler:
    """The chains of the persons' table and, for each other, of first rows and of later ones.

    ``persons`` is the noised number of persons, ``certificate`` the run's statement of what was
    spent, as plain JSON data, ``left_out`` the links that were not modelled, by name.

    Guarantees: what can be built can be drawn from and written to a file. The same seed gives the
    same rows everywhere.
    """

    schema: TablesSchema
    chains: Mapping[str, Chain] = field(repr=False)
    persons: int
    certificate: Mapping[str, Any]
    plan_digest: str
    left_out: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_statements(
            total=self.persons, certificate=self.certificate, plan_digest=self.plan_digest
        )
        domains = view_domains(self.schema)
        if set(self.chains) != set(domains):
            raise InvalidSampler("the chains are not those of the schema's tables")
        for name, own in own_attributes(self.schema).items():
            chain = self.chains[name]
            if chain.domain != domains[name] or set(chain.own) != set(own):
                raise InvalidSampler(f"the chain of {name!r} is not over what its schema counts")

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


def own_attributes(schema: TablesSchema) -> dict[str, Clique]:
    """Return what each view draws: the attributes of its table."""
    found: dict[str, Clique] = {}
    for name in schema.downward:
        own = schema.columns[name].rows.domain.attributes
        views = (name,) if name == schema.person else (first_of(name), later_of(name))
        found |= dict.fromkeys(views, own)
    return found
