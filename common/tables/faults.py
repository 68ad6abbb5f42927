"""What is wrong with how tables hang together: a line for each fault."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from silosynth.common.tables.table import Table

_DEEPEST = 8


def tree_faults(
    tables: Mapping[str, Table], *, person: str, references: Collection[str]
) -> Iterator[str]:
    """Yield what keeps the tables from being one tree below the person's, nothing if they are."""
    if person not in tables:
        yield f"person: {person!r} is no table; declared: {', '.join(tables)}"
        return
    if tables[person].parent is not None:
        yield f"tables: {person}: holds the persons, so it has no parent"
    yield from (
        f"tables: {name}: is a public table of references too; give one of them another name"
        for name in tables
        if name in references
    )
    for name, table in tables.items():
        if table.parent == name:
            yield (
                f"tables: {name}: is its own parent, so one person could have everybody below it "
                "and there is no finite unit; name the column under links"
            )
        elif table.parent is not None and table.parent not in tables:
            yield _no_parent(name, table.parent, references)
    yield from _circles(tables)
    yield from _roots(tables, person=person)
    for name, table in tables.items():
        if (above := tables.get(table.parent or "")) is not None and above.key is None:
            yield f"tables: {table.parent}: has no key, which {name!r} names in {table.by!r}"
        if len(ancestors(tables, name)) > _DEEPEST:
            yield f"tables: {name}: lies more than {_DEEPEST} tables below the person"


def ancestors(tables: Mapping[str, Table], name: str) -> list[str]:
    """Return the tables above one, nearest first; those of a circle once."""
    found: list[str] = []
    above = tables[name].parent
    while above is not None and above in tables and above not in found:
        found.append(above)
        above = tables[above].parent
    return found


def _no_parent(name: str, parent: str, references: Collection[str]) -> str:
    if parent in references:
        return (
            f"tables: {name}: parent {parent!r} is a public table; name the column under links, "
            "and make the table of the person whom the row belongs to its parent"
        )
    return f"tables: {name}: parent {parent!r} is no table"


def _circles(tables: Mapping[str, Table]) -> Iterator[str]:
    told: set[str] = set()
    for name in tables:
        above = ancestors(tables, name)
        if name in above and name not in told and tables[name].parent != name:
            ring = above[: above.index(name) + 1]
            told |= set(ring)
            yield f"tables: {', '.join(repr(r) for r in ring)} are parents in a circle"


def _roots(tables: Mapping[str, Table], *, person: str) -> Iterator[str]:
    """Yield the other tables without a parent: what they hold is told only if it is public."""
    for name, table in tables.items():
        if table.parent is not None or name == person:
            continue
        below = [n for n in tables if n == name or name in ancestors(tables, n)]
        meets = next(
            (n for n in tables if any(link.to in below for link in tables[n].links.values())), None
        )
        where = f" and meets {person!r} in {meets!r}" if meets and meets not in below else ""
        yield (
            f"tables: {name}: has no parent{where}; if it holds people too, one person's rows "
            "would be another's: give it a parent, or make it a public table of references"
        )
