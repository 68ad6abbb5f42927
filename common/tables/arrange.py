"""Which table hangs on which, where several columns name rows of others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeVar


class Names(Protocol):
    """A column that names rows: ``usual`` where nearly every row names one."""

    @property
    def table(self) -> str:
        """Return the table of the column."""

    @property
    def column(self) -> str:
        """Return the column."""

    @property
    def to(self) -> str:
        """Return the table whose rows it names."""

    @property
    def usual(self) -> bool:
        """Say whether nearly every row names one."""

    @property
    def near(self) -> int:
        """Return how much it is called like what it names."""


Named = TypeVar("Named", bound=Names)


def below(root: str, links: Collection[Names]) -> set[str]:
    """Return the tables that lead to one, by any number of columns."""
    found, waiting = set[str](), [root]
    while waiting:
        one = waiting.pop()
        new = {link.table for link in links if link.to == one} - found - {root}
        found |= new
        waiting += sorted(new)
    return found


def above(table: str, parents: Mapping[str, Names]) -> list[str]:
    """Return the tables that one hangs on, nearest first."""
    found = []
    while table in parents:
        table = parents[table].to
        found.append(table)
    return found


def choose_parents(links: Sequence[Named], *, person: str) -> dict[str, Named]:
    """Return for each table that leads to the person's the link to the one above it.

    It is the deepest table that nearly every row names; a table waits for all that it names.
    """
    tree = {person, *below(person, links)}
    depth, parents = {person: 0}, dict[str, Named]()
    while len(depth) < len(tree):
        ready: list[tuple[bool, str]] = []
        for table in tree - depth.keys():
            named = {link.to for link in links if link.table == table} & tree - {table}
            if named & depth.keys():
                ready.append((not named <= depth.keys(), table))
        _, table = min(ready)
        known = [k for k in links if k.table == table and k.to in depth]
        best = max(known, key=lambda k: (k.usual, depth[k.to], k.near, k.column))
        parents[table] = best
        depth[table] = depth[best.to] + 1
    return parents
