"""What may be known of rows by others: the row above, and the rows before. By the schema alone."""

from __future__ import annotations

from itertools import pairwise

from silosynth.common.domain import Clique
from silosynth.common.families.views import (
    FIRST,
    PLACE,
    PREVIOUS,
    SAME,
    SECOND,
    first_of,
    later_of,
)
from silosynth.common.tables import TablesSchema, ancestors, number_name


def has_later(schema: TablesSchema, name: str) -> bool:
    """Say whether a parent may have more than one row of a table."""
    return (schema.tables[name].children or (1,))[-1] > 1


def parent_link(schema: TablesSchema, name: str) -> str:
    """Return the name of what a row has of the row above it."""
    return f"{name} by {schema.tables[name].parent}"


def later_link(name: str) -> str:
    """Return the name of what a row has of the rows before it."""
    return f"{name} by rows before"


def link_names(schema: TablesSchema) -> tuple[str, ...]:
    """Return the links that may be modelled or left out."""
    found = []
    for name in schema.downward[1:]:
        found.append(parent_link(schema, name))
        if has_later(schema, name):
            found.append(later_link(name))
    return tuple(found)


def links_asked(schema: TablesSchema, *, view: str, clique: Clique) -> frozenset[str]:
    """Return the links that a marginal of a view is about.

    How many rows a parent has is no link: what a row weighs hangs on it, so it is always asked.
    """
    name = next((n for n in schema.downward[1:] if view in (first_of(n), later_of(n))), None)
    if name is None:
        return frozenset()
    own = schema.columns[name].rows.domain.attributes
    path = [name, *ancestors(schema.tables, name)]
    numbers = {f"{t}: {number_name(b)}" for b, t in pairwise(path)}
    given = [a for a in clique if a not in own and a not in numbers]
    return frozenset(later_link(name) if _before(a) else parent_link(schema, name) for a in given)


def _before(attribute: str) -> bool:
    """Say whether a later row has an attribute of the rows before it, or of its place there."""
    return attribute == PLACE or attribute.startswith((PREVIOUS, SECOND, FIRST, SAME))
