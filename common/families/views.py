"""What is counted of families, by a schema alone: rows with what stands above them, first rows
apart, and later ones with the row before beside them.
"""

from __future__ import annotations

from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidSchema
from silosynth.common.tables import TablesSchema, ancestors

PREVIOUS, FIRST = "previous: ", "first: "
"""What a later row has of the row before it, and of the first row of its parent."""


def first_of(table: str) -> str:
    """Return the name of the view of each parent's first row."""
    return f"{table}, first"


def later_of(table: str) -> str:
    """Return the name of the view of all other rows, each with the row before it and the first."""
    return f"{table}, later"


def view_domains(schema: TablesSchema) -> dict[str, Domain]:
    """Return what each view counts: own attributes, and those of rows before and above.

    They are named ``previous: a``, ``first: a`` and ``table: a``.

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
        before = [(f"{row}{a}", size) for row in (PREVIOUS, FIRST) for a, size in _sizes(own)]
        domains[first_of(name)] = _domain(name, [*_sizes(own), *above])
        domains[later_of(name)] = _domain(name, [*_sizes(own), *before, *above])
    return domains


def single_views(schema: TablesSchema) -> frozenset[str]:
    """Return the views that hold at most one row a person, so that a marginal of them moves by one.

    The first row of a visit is one a visit, and not one a person.
    """
    below = (first_of(n) for n, t in schema.tables.items() if t.parent == schema.person)
    return frozenset((schema.person, *below))


def _sizes(domain: Domain) -> list[tuple[str, int]]:
    return list(zip(domain.attributes, domain.shape, strict=True))


def _domain(table: str, sizes: list[tuple[str, int]]) -> Domain:
    names = [name for name, _ in sizes]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise InvalidSchema(f"tables: {table}: column {twice!r} stands twice in what is counted")
    return Domain(attributes=tuple(names), shape=tuple(size for _, size in sizes))
