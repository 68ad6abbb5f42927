"""What may be known of rows by others, and what is counted of it, by a schema alone.

Rows with what stands above them, first rows apart, and later ones with the row before beside them.
Of a table with gaps a later row has how long after the row before it comes, too: that is a column
of its own, asked whatever links are left out, for its place in the order is drawn by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidSchema
from silosynth.common.tables import TablesSchema, ancestors, gap_name, number_name


def has_later(schema: TablesSchema, name: str) -> bool:
    """Say whether a parent may have more than one row of a table."""
    return (schema.tables[name].children or (1,))[-1] > 1


def above_link(name: str, above: str) -> str:
    """Return the name of what a row of a table has of the row of ``above`` that it hangs on.

    That is its parent's table, or one further up.
    """
    return f"{name} by {above}"


def later_link(name: str) -> str:
    """Return the name of what a row has of the rows before it."""
    return f"{name} by rows before"


def link_names(schema: TablesSchema) -> tuple[str, ...]:
    """Return the links that may be modelled or left out."""
    found = []
    for name in schema.downward[1:]:
        found += [above_link(name, above) for above in ancestors(schema.tables, name)]
        if has_later(schema, name):
            found.append(later_link(name))
    return tuple(found)


def view_links(schema: TablesSchema, view: str) -> Mapping[str, str]:
    """Return the link that each attribute of a view is about; none of those that are about none.

    How many rows a parent has is no link: what a row weighs hangs on it, so it is always asked.
    """
    name = next((n for n in schema.downward[1:] if view in (first_of(n), later_of(n))), None)
    if name is None:
        return {}
    path = [name, *ancestors(schema.tables, name)]
    numbers = {f"{above}: {number_name(below)}" for below, above in pairwise(path)}
    links: dict[str, str] = {}
    for above in path[1:]:
        attributes = schema.columns[above].rows.domain.attributes
        links |= {f"{above}: {a}": above_link(name, above) for a in attributes}
    if view == later_of(name):
        own = schema.columns[name].rows.domain.attributes
        before = [f"{row}{a}" for row in (PREVIOUS, SECOND, FIRST, SAME) for a in own]
        if (gaps := schema.columns[name].gaps) is not None:
            before.append(f"{PREVIOUS}{gaps.name}")
        if name in schema.told_last:
            before.append(LAST)
        links |= dict.fromkeys([PLACE, *before], later_link(name))
    return {attribute: link for attribute, link in links.items() if attribute not in numbers}


PREVIOUS, SECOND, FIRST = "previous: ", "second before: ", "first: "
"""What a later row has of the row before it, of the one before that, and of its parent's first.

A second row has nothing before its previous one; there the second before is the first as well.
"""
PLACE, PLACES = "place among rows", 8
"""Which eighth of its parent's rows a later row stands in."""
LAST = "last among rows"
"""Whether a row is its parent's last one: of tables alone of which a rule says what only those are.
"""
SAME = "same: "
"""Whether a later row has the code of the row before it: code 1, and 0 where it has another."""


def first_of(table: str) -> str:
    """Return the name of the view of each parent's first row."""
    return f"{table}, first"


def later_of(table: str) -> str:
    """Return the name of the view of all other rows, each with the row before it and the first."""
    return f"{table}, later"


def view_domains(schema: TablesSchema) -> dict[str, Domain]:
    """Return what each view counts: own attributes, and those of rows before and above.

    They are named ``previous: a``, ``second before: a``, ``first: a``, ``table: a`` and
    ``place among rows``; ``same: a`` follows from others. With gaps a later row has ``gap: a``, and
    that of the row before it, which of a second row is a code of its own.

    Public: a function of the schema. Raises InvalidSchema where two of them have one name, or a
    table has that of a row before, whose columns would be taken for that row's.
    """
    beside = {row.removesuffix(": ") for row in (PREVIOUS, SECOND, FIRST, SAME)}
    if taken := next((name for name in schema.downward if name in beside), None):
        raise InvalidSchema(
            f"tables: {taken!r} is what a row before is called", hint="rename the table"
        )
    with_gaps = [n for n in schema.tables if schema.columns[n].gaps is not None]
    if with_gaps and (gap := gap_name("").removesuffix(": ")) in schema.tables:
        raise InvalidSchema(
            f"tables: {gap!r} is what gaps of {with_gaps[0]!r} are called", hint="rename the table"
        )
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
        rows = (PREVIOUS, SECOND, FIRST)
        before = [(f"{row}{a}", size) for row in rows for a, size in _sizes(own)]
        ends = [(LAST, 2)] if name in schema.told_last else []
        domains[first_of(name)] = _domain(name, [*_sizes(own), *above, *ends])
        same = [(f"{SAME}{a}", 2) for a in own.attributes]
        columns = [*_sizes(own), *before, *above, (PLACE, PLACES), *same]
        if (gaps := schema.columns[name].gaps) is not None:
            columns += [(gaps.name, gaps.codes), (f"{PREVIOUS}{gaps.name}", gaps.codes + 1)]
        columns += ends
        domains[later_of(name)] = _domain(name, columns)
    return domains


def places_of(place: np.ndarray | int, numbers: np.ndarray) -> np.ndarray:
    """Return (rows,) the code of each row's place among those of its parent.

    Args: place: 0 for the first; numbers: (rows,) how many its parent has.
    """
    codes: np.ndarray = (PLACES * place // np.maximum(numbers, 1)).astype(np.uint8)
    return codes


def drawn_domains(schema: TablesSchema) -> dict[str, Domain]:
    """Return what a row of each view is and is given when it is drawn: all that does not follow."""
    return {
        view: _domain(view, [(a, n) for a, n in _sizes(domain) if not a.startswith(SAME)])
        for view, domain in view_domains(schema).items()
    }


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
