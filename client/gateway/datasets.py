"""A silo's data sets: one table, or several that hang together, and what the silo says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar

from silosynth.client.policy import Policy
from silosynth.client.source import Part, Source, Splitting, StreamRows
from silosynth.common.domain import Domain
from silosynth.common.errors import Refused
from silosynth.common.plan import HeldOut, Plan
from silosynth.common.schema import Schema
from silosynth.common.tables import TablesSchema
from silosynth.common.values import refine

if TYPE_CHECKING:  # it joins by DuckDB, which a gateway that waits does not hold
    from silosynth.client.families import FamilyRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table of a silo. ``bounded`` says that its source bounds the rows of a person.

    ``domain`` and ``schema_digest`` are the schema's, worked out once. ``lacks`` are the columns
    that the silo declares not to hold, ``map_digest`` the keyed name of the map that says so.
    ``splitting`` says who is held out, where a plan holds out anybody.
    """

    schema: Schema
    rows: Source
    policy: Policy
    bounded: bool = False
    lacks: frozenset[str] = frozenset()
    map_digest: str | None = None
    splitting: Splitting | None = None
    domain: Domain = field(init=False)
    schema_digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", self.schema.domain)
        object.__setattr__(self, "schema_digest", self.schema.digest)

    def coded(
        self, edges: Mapping[str, tuple[int, ...]] | None, *, plan: Plan
    ) -> tuple[Source, Schema]:
        """Return a plan's rows by the bins that begin at ``edges``, or by the schema's own.

        Whatever the bins are, a row has one code of each attribute.
        """
        rows = self.rows if plan.held_out is None else self._part(plan, plan.held_out)
        if not edges:
            return rows, self.schema
        schema = refine(self.schema, edges=edges)
        return rows.recode(schema), schema

    def split_name(self, plan: Plan) -> str | None:
        """Return which split a part of pays for a plan; None where everybody does."""
        if plan.held_out is None:
            return None
        return self._splits().name(plan.held_out.share)

    def _part(self, plan: Plan, held_out: HeldOut) -> StreamRows:
        """Return the rows of the part of a split that a plan is about, and of no other."""
        splitting, evaluates = self._splits(), plan.chosen.evaluates
        if not isinstance(self.rows, StreamRows):
            raise counted_there()
        part = Part(splitting=splitting, share=held_out.share, held_out=evaluates)
        return self.rows.part(part)

    def _splits(self) -> Splitting:
        """Return who is held out; raise Refused where nobody can be: ask before charging."""
        if not isinstance(self.rows, StreamRows):
            raise counted_there()
        if self.splitting is None:
            raise Refused(
                "this silo can hold nobody out: its policy names no person column to tell by",
                hint="name it under 'person_column', or plan without held_out",
            )
        return self.splitting


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

    def split_name(self, plan: Plan) -> None:
        """Everybody pays: of several tables nobody is held out."""


AnyDataset = Dataset | TablesDataset
Datasets = Mapping[str, AnyDataset]
"""A silo's data sets by name."""


def counted_there() -> Refused:
    """Return the error of a silo whose rows do not reach the gateway."""
    return Refused(
        "this silo can hold nobody out: its rows are counted where they are",
        hint="set push_down = false and leave cluster out, or plan without held_out",
    )


def require_rows(dataset: Dataset, plan: Plan) -> None:
    """Raise Refused for a plan about whole rows where none reaches the gateway; before a charge.

    That a server or a cluster counts is the operator's word, and public. Also raises where a plan
    trains a generator and this silo cannot.
    """
    require_training(plan)
    images = plan.features is not None and plan.features.images
    whole = (plan.projection, plan.central, plan.votes, plan.training, plan.evaluation)
    if not images and all(settings is None for settings in whole):
        return
    if not isinstance(dataset.rows, StreamRows):
        raise Refused(
            f"method {plan.method.value} learns from whole rows, and this silo's are counted where "
            "they are",
            hint="plan with a method that measures marginals, or have push_down and cluster left "
            "out of its policy",
        )


def require_training(plan: Plan) -> None:
    """Raise Refused when a plan trains a generator and this silo cannot; ask before charging."""
    if plan.training is not None and not all(map(find_spec, ("torch", "numba"))):
        raise Refused(
            "this silo cannot train a generator", hint="install silosynth[generators] there"
        )
