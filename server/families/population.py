"""Drawn rows of a view, by which a law sees how what it is given comes together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.families import FIRST, PLACE, PREVIOUS, SECOND, first_of, places_of
from silosynth.common.forest import Chain, Drawer, Drawn
from silosynth.common.tables import TablesSchema, ancestors

SEED = 0
MOST_PERSONS = 1 << 17
FEW_PERSONS = 1 << 11
RAKES = 5
MOST_WEIGHT = 20.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Rows of a view: (rows,) codes of what each is given, and its weight."""

    known: Mapping[str, np.ndarray] = field(repr=False)
    weights: np.ndarray = field(repr=False)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.weights)


def draw_population(
    schema: TablesSchema,
    chains: Mapping[str, Chain],
    *,
    inside: Mapping[str, np.ndarray],
    table: str,
    view: str,
    rows: int,
    marks: Mapping[str, np.ndarray],
) -> Population:
    """Draw about so many rows of a view, with what each is given; a function of the arguments.

    Args:
        chains: those of the tables above, and of the table itself where later rows are wanted.
        inside: how numbers lie inside their bins; see :class:`ForestSampler`.
        marks: shares of given columns that the weights of rows are to bring about.
    """
    drawer = Drawer(schema=schema, chains=chains, inside=inside, seed=SEED)
    known = _known(schema, drawer, table=table, view=view, persons=FEW_PERSONS)
    found = _length(known)
    if found < rows:
        persons = min(int(FEW_PERSONS * rows / max(found, 1)) + 1, MOST_PERSONS)
        known = _known(schema, drawer, table=table, view=view, persons=persons)
        found = _length(known)
    if found > rows:
        # Evenly over all: neighbours are of one family.
        kept = (np.arange(rows) * found) // rows
        known = {name: column[kept] for name, column in known.items()}
    return Population(known=known, weights=_raked(known, marks, rows=_length(known)))


def _known(
    schema: TablesSchema, drawer: Drawer, *, table: str, view: str, persons: int
) -> dict[str, np.ndarray]:
    """Return what the rows of a view are given, of so many persons."""
    drawn = {schema.person: drawer.persons(0, persons)}
    above = ancestors(schema.tables, table)
    for name in [*reversed(above[:-1])]:
        drawn[name] = drawer.below(name, drawn, 0)
    if view == first_of(table):
        parents = np.flatnonzero(drawn[above[0]].numbers[table] > 0)
        return _inherited(drawn, above, parents)
    rows = drawer.below(table, drawn, 0)
    first = np.ones(rows.rows, dtype=bool)
    first[1:] = rows.above[1:] != rows.above[:-1]
    later = np.flatnonzero(~first)
    start = np.flatnonzero(first)[np.cumsum(first) - 1][later] if len(later) else later
    known = _inherited(drawn, above, rows.above[later])
    before = {PREVIOUS: later - 1, SECOND: np.maximum(later - 2, start), FIRST: start}
    for name, at in before.items():
        known |= {f"{name}{a}": c[at] for a, c in rows.codes.items()}
    numbers = drawn[above[0]].numbers[table][rows.above[later]]
    known[PLACE] = places_of(later - start, numbers)
    return known


def _inherited(
    drawn: Mapping[str, Drawn], above: list[str], parents: np.ndarray
) -> dict[str, np.ndarray]:
    known: dict[str, np.ndarray] = {}
    at = parents
    for table in above:
        known |= {f"{table}: {a}": codes[at] for a, codes in drawn[table].codes.items()}
        at = drawn[table].above[at]
    return known


def _length(known: Mapping[str, np.ndarray]) -> int:
    return len(next(iter(known.values()), ()))


def _raked(
    known: Mapping[str, np.ndarray], marks: Mapping[str, np.ndarray], *, rows: int
) -> np.ndarray:
    """Return (rows,) weights, 1 on average, by which given columns have the shares of ``marks``."""
    weights = np.ones(rows)
    for _ in range(RAKES if rows and marks else 0):
        for column, shares in marks.items():
            if column not in known:
                continue
            have = np.bincount(known[column], weights=weights, minlength=len(shares))
            factor = shares / np.maximum(have / have.sum(), 1e-12)
            weights *= factor[known[column]]
            np.clip(weights, 0.0, MOST_WEIGHT * max(weights.mean(), 1e-12), out=weights)
    return weights / max(weights.mean(), 1e-12) if rows else weights
