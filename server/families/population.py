"""Drawn rows of a view, by which a law sees how what it is given comes together.

Rows that are drawn by their gaps stand about where their parent's first one, and as many gaps as
there are between, put them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from silosynth.common.families import (
    FIRST,
    LAST,
    PLACE,
    PREVIOUS,
    SAME,
    SECOND,
    first_of,
    places_of,
)
from silosynth.common.forest import Chain, Drawer, Drawn, Follows, GapDrawer
from silosynth.common.tables import TablesSchema, ancestors, table_seed

SEED = 0
MOST_PERSONS = 1 << 17
FEW_PERSONS = 1 << 11
MANY_ROWS, MOST_ROWS = 10, 300_000
RAKES = 5
MOST_WEIGHT = 20.0
_Of = TypeVar("_Of")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """Rows of a view: (rows,) codes of what each is given, and its weight."""

    known: Mapping[str, np.ndarray] = field(repr=False)
    weights: np.ndarray = field(repr=False)
    before: np.ndarray | None = field(repr=False, default=None)
    """Of rows that are drawn by their gaps, (rows,) the step of the row before each."""

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.weights)


def draw_firsts(
    schema: TablesSchema,
    chains: Mapping[str, Chain],
    *,
    inside: Mapping[str, np.ndarray],
    gaps: Mapping[str, np.ndarray],
    table: str,
    rows: int,
    marks: Mapping[str, np.ndarray],
) -> Population:
    """Draw about so many first rows of a table, with what each is given.

    Args:
        chains: those of the tables above.
        inside: how numbers lie inside their bins; see :class:`ForestSampler`.
        gaps: how gaps do.
        marks: shares of given columns that the weights of rows are to bring about.
    """
    drawer = Drawer(schema=schema, chains=chains, inside=inside, gaps=gaps, seed=SEED)

    def known(persons: int) -> tuple[dict[str, np.ndarray], int]:
        found = _above(drawer, table, persons=persons, least=1)
        last = {LAST: (found.numbers == 1).astype(np.uint8)} if table in schema.told_last else {}
        return found.columns | last, len(found.numbers)

    columns, found = _enough(known, rows=rows)
    if found > rows:
        # Evenly over all: neighbours are of one family.
        kept = _evenly(found, rows)
        columns = {name: column[kept] for name, column in columns.items()}
    return Population(known=columns, weights=_raked(columns, marks, rows=min(found, rows)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Places of later rows, of which nothing is drawn but what is sure: what stands above, the
    first row of the parent, and which of how many rows it is.

    ``columns``: (rows,) codes of what stands above; ``first``: of the first row, by attribute;
    ``place`` and ``numbers``: (rows,) int64. With ``gaps`` ``begin`` is the first row's step.
    """

    columns: Mapping[str, np.ndarray] = field(repr=False)
    first: Mapping[str, np.ndarray] = field(repr=False)
    place: np.ndarray = field(repr=False)
    numbers: np.ndarray = field(repr=False)
    table: str
    last: bool
    gaps: GapDrawer | None = field(repr=False, default=None)
    begin: np.ndarray | None = field(repr=False, default=None)

    def taken(self, rows: int) -> Places:
        """Return about so many of them, evenly."""
        kept = _evenly(len(self.place), min(rows, len(self.place)))
        return Places(
            columns={name: c[kept] for name, c in self.columns.items()},
            first={name: c[kept] for name, c in self.first.items()},
            place=self.place[kept],
            numbers=self.numbers[kept],
            table=self.table,
            last=self.last,
            gaps=self.gaps,
            begin=None if self.begin is None else self.begin[kept],
        )

    def population(self, laws: Sequence[Chain], *, marks: Mapping[str, np.ndarray]) -> Population:
        """Return what rows in these places are given: as many rows before as there are laws.

        The row before is drawn by the last law, the one before that by the law before, and so on.
        Rows are not drawn from the first one on: what a law gets wrong would add up over hundreds
        of rows, and the law after would be fitted to what never happens.
        """
        before, at = [self.first, self.first], self.begin
        for far, law in zip(range(len(laws), 0, -1), laws, strict=True):
            place = self.place - far
            given = Population(
                known=self._given(before[: len(laws) - far], place),
                weights=np.ones(len(place)),
                before=at,
            )
            drawn, _ = law.draw(
                given.known,
                rows=np.arange(len(place), dtype=np.uint64),
                seed=table_seed(SEED, f"{self.table}/{far}"),
                barred=barred_gaps(self.gaps, given),
                follows=follow_gaps(self.gaps, given),
            )
            if self.gaps is not None and at is not None:
                at = self._after(at, drawn, place, farthest=far == len(laws))
                drawn[self.gaps.scale.column] = self.gaps.codes_of(drawn[self.gaps.scale.name], at)
            row = {a: np.where(place > 0, c, self.first[a]) for a, c in drawn.items()}
            before = [row, *before[:1]]
        known = self._given(before[: len(laws)], self.place)
        weights = _raked(known, marks, rows=len(self.place))
        return Population(known=known, weights=weights, before=at)

    def _after(
        self, at: np.ndarray, drawn: Mapping[str, np.ndarray], place: np.ndarray, *, farthest: bool
    ) -> np.ndarray:
        """Return (rows,) the steps of rows that were drawn, those of parents' first rows included.

        Between the first row and the farthest that is drawn there are rows that are not: they are
        taken to be as far from one another as rows are of which a parent has as many.
        """
        assert self.gaps is not None
        assert self.begin is not None
        steps = self.gaps.steps(
            drawn[self.gaps.scale.name],
            room=self.gaps.scale.most - at,
            words=np.arange(len(place), dtype=np.uint64),
        )
        skipped = np.zeros(len(place))
        if farthest:
            kinds = np.floor(np.log2(np.maximum(self.numbers, 1)) * 4).astype(np.int64)
            there = place > 0
            held = np.bincount(kinds[there], minlength=kinds.max(initial=0) + 1)
            sums = np.bincount(kinds[there], steps[there], minlength=len(held))
            skipped = np.maximum(place - 1, 0) * (sums / np.maximum(held, 1))[kinds]
        found = np.minimum(at + skipped.astype(np.int64) + steps, self.gaps.scale.most)
        return np.where(place > 0, found, self.begin)

    def _given(
        self, before: Sequence[Mapping[str, np.ndarray]], place: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the columns that a row is given, the nearest row before first."""
        known = dict(self.columns)
        for prefix, row in zip((PREVIOUS, SECOND), before, strict=False):
            known |= {f"{prefix}{a}": c for a, c in row.items()}
        known |= {f"{FIRST}{a}": c for a, c in self.first.items()}
        known[PLACE] = places_of(np.maximum(place, 0), self.numbers)
        if self.last:
            known[LAST] = (place == self.numbers - 1).astype(np.uint8)
        return known


def draw_places(
    schema: TablesSchema,
    chains: Mapping[str, Chain],
    *,
    inside: Mapping[str, np.ndarray],
    gaps: Mapping[str, np.ndarray],
    table: str,
    rows: int,
) -> Places:
    """Draw about so many places of later rows; a function of the arguments.

    Args: chains: those of the tables above, and of the table's first rows.
    """
    drawer = Drawer(schema=schema, chains=chains, inside=inside, gaps=gaps, seed=SEED)

    def known(persons: int) -> tuple[_Above, int]:
        found = _above(drawer, table, persons=persons, least=2)
        return found, int((found.numbers - 1).sum())

    above, found = _enough(known, rows=rows)
    words = np.arange(len(above.numbers), dtype=np.uint64)
    last = {LAST: np.zeros(len(words), dtype=np.uint8)} if table in schema.told_last else {}
    first, _ = chains[first_of(table)].draw(
        above.columns | last, rows=words, seed=table_seed(SEED, f"{table}/first")
    )
    ends = np.cumsum(above.numbers - 1)
    at = _evenly(found, min(rows, found))
    parents = np.searchsorted(ends, at, side="right")
    drawn_by, begin = drawer.gap_drawer(table), None
    if drawn_by is not None:
        scale = drawn_by.scale
        begin = drawn_by.first(first[scale.column], words=words)[parents]
        first[scale.name] = np.full(len(words), scale.none)
    return Places(
        columns={name: c[parents] for name, c in above.columns.items()},
        first={name: c[parents] for name, c in first.items()},
        place=at - (ends[parents] - above.numbers[parents]),
        numbers=above.numbers[parents],
        table=table,
        last=table in schema.told_last,
        gaps=drawn_by,
        begin=begin,
    )


def draw_histories(
    schema: TablesSchema,
    chains: Mapping[str, Chain],
    *,
    inside: Mapping[str, np.ndarray],
    gaps: Mapping[str, np.ndarray],
    table: str,
    number: int,
) -> dict[str, np.ndarray] | None:
    """Draw all rows of some persons' families in a table, and return the later ones.

    Those of a parent hang together, so that few persons show little. None where parents have so
    few rows that nothing adds up along them.

    Args: number: another draw of the same laws for each.
    Returns: (rows,) codes of the rows' own attributes, whether each is that of the row before, and
        what stands above them.
    """
    drawer = Drawer(schema=schema, chains=chains, inside=inside, gaps=gaps, seed=SEED + 1 + number)
    above = ancestors(schema.tables, table)

    def parents(persons: int) -> dict[str, Drawn]:
        drawn = {schema.person: drawer.persons(0, persons)}
        for name in reversed(above[:-1]):
            drawn[name] = drawer.below(name, drawn, 0)
        return drawn

    drawn = parents(FEW_PERSONS)
    numbers = drawn[above[0]].numbers[table]
    several = numbers[numbers > 1]
    if not len(several) or several.mean() < MANY_ROWS:
        return None
    if (found := int(numbers.sum())) > MOST_ROWS:
        drawn = parents(FEW_PERSONS * MOST_ROWS // found + 1)
    rows = drawer.below(table, drawn, 0)
    later = np.flatnonzero(rows.above[1:] == rows.above[:-1]) + 1
    own = {name: codes[later] for name, codes in rows.codes.items()}
    if (scale := schema.columns[table].gaps) is not None and rows.gaps is not None:
        own[scale.name] = rows.gaps[later]
    same = {
        f"{SAME}{name}": (codes[later] == codes[later - 1]).astype(np.uint8)
        for name, codes in rows.codes.items()
    }
    return own | same | _inherited(drawn, above, rows.above[later])


def barred_gaps(gaps: GapDrawer | None, rows: Population) -> dict[str, np.ndarray]:
    """Return by attribute (rows, codes) bool, the gaps that rows have no room for."""
    if gaps is None or rows.before is None:
        return {}
    column = rows.known.get(f"{PREVIOUS}{gaps.scale.column}", np.zeros(rows.rows))
    barred = gaps.barred(gaps.scale.most - rows.before, absent=column >= gaps.scale.values)
    barred[barred.all(axis=1)] = False
    return {gaps.scale.name: barred}


def follow_gaps(gaps: GapDrawer | None, rows: Population) -> dict[str, Follows]:
    """Return what says the order column's codes of rows by those of their gaps."""
    if gaps is None or rows.before is None:
        return {}
    before, words = rows.before, np.arange(rows.rows, dtype=np.uint64)

    def after(codes: np.ndarray) -> dict[str, np.ndarray]:
        at = before + gaps.steps(codes, room=gaps.scale.most - before, words=words)
        own = gaps.codes_of(codes, np.minimum(at, gaps.scale.most))
        return {gaps.scale.column: own}

    return {gaps.scale.name: after}


def _evenly(found: int, rows: int) -> np.ndarray:
    return (np.arange(rows) * found) // max(rows, 1)


def _enough(known: Callable[[int], tuple[_Of, int]], *, rows: int) -> tuple[_Of, int]:
    """Draw few persons, and then so many more that there are about enough rows."""
    columns, found = known(FEW_PERSONS)
    if found < rows:
        columns, found = known(
            min(int(FEW_PERSONS * rows / max(found, 1)) + 1, MOST_PERSONS),
        )
    return columns, found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Above:
    """Parents of a table's rows: (parents,) codes of all above, and how many rows each has."""

    columns: dict[str, np.ndarray] = field(repr=False)
    numbers: np.ndarray = field(repr=False)


def _above(drawer: Drawer, table: str, *, persons: int, least: int) -> _Above:
    """Draw the parents that have ``least`` rows of a table, of so many persons."""
    schema = drawer.schema
    drawn = {schema.person: drawer.persons(0, persons)}
    above = ancestors(schema.tables, table)
    for name in [*reversed(above[:-1])]:
        drawn[name] = drawer.below(name, drawn, 0)
    numbers = drawn[above[0]].numbers[table]
    parents = np.flatnonzero(numbers >= least)
    return _Above(columns=_inherited(drawn, above, parents), numbers=numbers[parents])


def _inherited(
    drawn: Mapping[str, Drawn], above: list[str], parents: np.ndarray
) -> dict[str, np.ndarray]:
    known: dict[str, np.ndarray] = {}
    at = parents
    for table in above:
        known |= {f"{table}: {a}": codes[at] for a, codes in drawn[table].codes.items()}
        at = drawn[table].above[at]
    return known


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
