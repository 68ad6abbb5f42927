"""A silo's several tables, and what a request asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from silosynth.client.families import FamilyRows
from silosynth.client.gateway.asked import Dataset
from silosynth.client.policy import Policy
from silosynth.common.domain import Domain
from silosynth.common.errors import Refused
from silosynth.common.messages import Request
from silosynth.common.plan import TABLES_PHASES, Phase
from silosynth.common.tables import TablesSchema


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


def ask_families(rows: FamilyRows, request: Request, *, phase: Phase) -> Sequence[np.ndarray]:
    """Return one int64 array per answer to what a request asks of several tables.

    Guarantees: a person with all rows below it, more or less, moves each array by one in one cell;
    where persons are weighed, all arrays together by an L2 norm of F times T at most.
    """
    if request.tables is None:
        raise Refused("the request does not say what it asks of the tables")
    found = rows.count(request.tables.asked(phase))
    if TABLES_PHASES[phase.name].lengths:
        return [found.norms]
    return found.weighed if phase.fineness is not None else found.plain
