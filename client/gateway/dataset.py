"""A data set as the gateway holds it: its schema, the limits on it, and where its rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from silosynth.client.families import FamilyRows
from silosynth.client.policy import Policy
from silosynth.client.source import Source
from silosynth.common.domain import Domain
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.common.values import refine


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table of a silo. ``bounded`` says that its source bounds the rows of a person.

    ``domain`` and ``schema_digest`` are the schema's, worked out once. ``lacks`` are the columns
    that the silo declares not to hold, ``map_digest`` the keyed name of the map that says so.
    """

    schema: Schema
    rows: Source
    policy: Policy
    bounded: bool = False
    lacks: frozenset[str] = frozenset()
    map_digest: str | None = None
    domain: Domain = field(init=False)
    schema_digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", self.schema.domain)
        object.__setattr__(self, "schema_digest", self.schema.digest)

    def coded(self, edges: Mapping[str, tuple[int, ...]] | None) -> tuple[Source, Schema]:
        """Return the rows by the bins that begin at ``edges``, or by the schema's own.

        Whatever the bins are, a row has one code of each attribute.
        """
        if not edges:
            return self.rows, self.schema
        schema = refine(self.schema, edges=edges)
        return self.rows.recode(schema), schema


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesDataset:
    """Several tables of a silo that hang together; a person is all rows below one.

    ``domain`` is of all columns of all tables, by which the size of a plan is judged.
    """

    bounded: ClassVar[bool] = True
    lacks: ClassVar[frozenset[str]] = frozenset()
    map_digest: ClassVar[str | None] = None
    schema: TablesSchema
    rows: FamilyRows
    policy: Policy
    domain: Domain = field(init=False)
    schema_digest: str = field(init=False)

    def __post_init__(self) -> None:
        sizes = {
            f"{name}: {attribute}": size
            for name, columns in self.schema.columns.items()
            for attribute, size in zip(
                columns.rows.domain.attributes, columns.rows.domain.shape, strict=True
            )
        }
        domain = Domain(attributes=tuple(sizes), shape=tuple(sizes.values()))
        object.__setattr__(self, "domain", domain)
        object.__setattr__(self, "schema_digest", self.schema.digest)


AnyDataset = Dataset | TablesDataset
