"""A data set's families as they are counted and scored, and families that a sampler draws."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.families.cases import Case
from bench.families.scores import Rows
from silosynth.client.families.count import View
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import code_families
from silosynth.common.families import first_of, later_of
from silosynth.common.forest import ForestSampler
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Real:
    """A data set's families, as they are counted and as they are scored."""

    schema: TablesSchema
    child: str
    views: dict[str, View] = field(repr=False)
    rows: Rows = field(repr=False)


def read_case(case: Case, *, persons: int | None = None) -> Real:
    """Join and code all families of a case, or those of the first so many persons."""
    with join_tables(case.schema, case.files) as joined:
        blocks = joined.blocks(persons=persons or 10**7)
        views = next(code_families(blocks, schema=case.schema, secret=bytes(32)))
    return Real(schema=case.schema, child=case.child, views=views, rows=_rows(case, views))


def _rows(case: Case, views: dict[str, View]) -> Rows:
    """Return the families of the views: first rows and later ones put together again."""
    schema, child = case.schema, case.child
    first, later, persons = (views[n] for n in (first_of(child), later_of(child), schema.person))
    above = np.concatenate([first.person, later.person])
    # Later rows stand in their order already, so that a stable sort puts each behind its first.
    order = np.argsort(above, kind="stable")
    own = range(len(schema.columns[child].rows.domain.shape))
    return Rows(
        person=schema.columns[schema.person].rows.domain,
        child=schema.columns[child].rows.domain,
        persons=persons.columns,
        rows=tuple(np.concatenate([first.columns[i], later.columns[i]])[order] for i in own),
        above=above[order],
    )


def draw_rows(sampler: ForestSampler, real: Real, *, seed: int) -> Rows:
    """Draw as many persons as there are, with all their rows, as codes."""
    person, child = real.schema.person, real.child
    forest = Forest(sampler=sampler, persons=len(real.rows.persons[0]), seed=seed)
    blocks = list(forest.codes(child))
    starts = np.cumsum([0, *(b[person].rows for b in blocks)])

    def whole(name: str) -> tuple[np.ndarray, ...]:
        names = real.schema.columns[name].rows.domain.attributes
        return tuple(np.concatenate([b[name].codes[a] for b in blocks]) for a in names)

    return Rows(
        person=real.rows.person,
        child=real.rows.child,
        persons=whole(person),
        rows=whole(child),
        above=np.concatenate([b[child].above + s for b, s in zip(blocks, starts, strict=False)]),
    )
