"""The views of a block of whole families: rows with what stands above them, first rows apart, and
later ones with the row before beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.families import first_of, later_of, places_of, view_domains
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
        start = np.flatnonzero(first)[np.cumsum(first) - 1][later]
        for at in (later - 1, np.maximum(later - 2, start), start):
            columns += [c[at] for c in table.codes]
        columns += [c[later] for c in inherited]
        numbers = np.bincount(table.above)[table.above[later]]
        columns.append(places_of(later - start, numbers))
        columns += [(c[later] == c[later - 1]).astype(np.uint8) for c in table.codes]
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
