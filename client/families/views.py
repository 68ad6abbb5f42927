"""What is counted of families: rows with what stands above them, first rows apart, and later ones
with the row before beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidSchema
from silosynth.common.tables import TablesSchema, ancestors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableRows:
    """Some rows of a table, those of a parent together and in order. Private.

    ``codes``: one (rows,) array an attribute, in the order of the row's domain; ``above``: (rows,)
    int64, each row's parent among the rows of the table above; ``person``: (rows,) int64 likewise
    among the persons.
    """

    codes: tuple[np.ndarray, ...] = field(repr=False)
    above: np.ndarray = field(repr=False)
    person: np.ndarray = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Rows as they are counted: ``columns`` in the order of ``domain``, and whose they are."""

    domain: Domain
    columns: tuple[np.ndarray, ...] = field(repr=False)
    person: np.ndarray = field(repr=False)


def first_of(table: str) -> str:
    """Return the name of the view of each parent's first row."""
    return f"{table}, first"


def later_of(table: str) -> str:
    """Return the name of the view of all other rows, each with the one before it."""
    return f"{table}, later"


def view_domains(schema: TablesSchema) -> dict[str, Domain]:
    """Return what each view counts: own attributes, ``previous: a``, ``table: a`` of those above.

    Public: a function of the schema. Raises InvalidSchema where two of them have one name.
    """
    domains: dict[str, Domain] = {}
    for name in schema.downward:
        own = schema.columns[name].rows.domain
        above = [
            (f"{table}: {a}", size)
            for table in ancestors(schema.tables, name)
            for a, size in _sizes(schema.columns[table].rows.domain)
        ]
        if name == schema.person:
            domains[name] = own
            continue
        previous = [(f"previous: {a}", size) for a, size in _sizes(own)]
        domains[first_of(name)] = _domain(name, [*_sizes(own), *above])
        domains[later_of(name)] = _domain(name, [*_sizes(own), *previous, *above])
    return domains


def single_views(schema: TablesSchema) -> frozenset[str]:
    """Return the views that hold at most one row a person, so that a marginal of them moves by one.

    The first row of a visit is one a visit, and not one a person.
    """
    below = (first_of(n) for n, t in schema.tables.items() if t.parent == schema.person)
    return frozenset((schema.person, *below))


def make_views(schema: TablesSchema, rows: Mapping[str, TableRows]) -> dict[str, View]:
    """Return the views of some whole families."""
    domains = view_domains(schema)
    person = rows[schema.person]
    views = {
        schema.person: View(
            domain=domains[schema.person], columns=person.codes, person=person.person
        )
    }
    for name in schema.downward[1:]:
        table = rows[name]
        inherited = _inherited(schema, rows, name)
        first = np.ones(len(table.above), dtype=bool)
        first[1:] = table.above[1:] != table.above[:-1]
        later = np.flatnonzero(~first)
        views[first_of(name)] = View(
            domain=domains[first_of(name)],
            columns=tuple(c[first] for c in (*table.codes, *inherited)),
            person=table.person[first],
        )
        columns = [c[later] for c in table.codes]
        columns += [c[later - 1] for c in table.codes]
        columns += [c[later] for c in inherited]
        views[later_of(name)] = View(
            domain=domains[later_of(name)], columns=tuple(columns), person=table.person[later]
        )
    return views


def _inherited(schema: TablesSchema, rows: Mapping[str, TableRows], name: str) -> list[np.ndarray]:
    """Return the codes of all that stands above each row, nearest table first."""
    found: list[np.ndarray] = []
    at = rows[name].above
    for table in ancestors(schema.tables, name):
        found += [codes[at] for codes in rows[table].codes]
        at = rows[table].above[at]
    return found


def _sizes(domain: Domain) -> list[tuple[str, int]]:
    return list(zip(domain.attributes, domain.shape, strict=True))


def _domain(table: str, sizes: list[tuple[str, int]]) -> Domain:
    names = [name for name, _ in sizes]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InvalidSchema(f"tables: {table}: column {twice!r} stands twice in what is counted")
    return Domain(attributes=tuple(names), shape=tuple(size for _, size in sizes))
