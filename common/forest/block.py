"""Some whole families as codes, drawn top down: persons, then the rows of each table below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from silosynth.common.codec import code_dtype
from silosynth.common.errors import InvalidSampler
from silosynth.common.families import (
    FIRST,
    PLACE,
    PREVIOUS,
    SECOND,
    first_of,
    later_of,
    places_of,
)
from silosynth.common.forest.chain import Chain
from silosynth.common.generated import row_words
from silosynth.common.sampler import SHARE_BITS
from silosynth.common.tables import (
    Table,
    TablesSchema,
    ancestors,
    number_attribute,
    number_name,
    table_seed,
)

Codes = dict[str, np.ndarray]
_AGAIN = np.uint64(40)
"""A row that is drawn again has the words of the row that many powers of two further on."""
MOST_AGAIN = 200
Kept: TypeAlias = "Callable[[Codes, np.ndarray], np.ndarray]"
"""Says of rows, by their codes and words, which keep what their table's rules ask."""
Draw: TypeAlias = "Callable[[np.ndarray], tuple[Codes, np.ndarray]]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The rows of one table in a block, those of a parent together and in order.

    ``codes``: (rows,) by attribute; ``above``: (rows,) int64, the parent's row in the block;
    ``words``: (rows,) uint64, the number that a row's words follow from; ``numbers``: by table
    below, (rows,) int64, how many rows each has.
    """

    codes: Codes = field(repr=False)
    above: np.ndarray = field(repr=False)
    words: np.ndarray = field(repr=False)
    numbers: Mapping[str, np.ndarray] = field(repr=False)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.above)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawer:
    """Draws blocks of families by the chains that there are, of all tables or of the first few."""

    schema: TablesSchema
    chains: Mapping[str, Chain] = field(repr=False)
    inside: Mapping[str, np.ndarray] = field(repr=False)
    seed: int

    def persons(self, first: int, rows: int, *, kept: Kept | None = None) -> Drawn:
        """Draw ``rows`` persons from number ``first`` on."""
        name = self.schema.person
        words = np.arange(first, first + rows, dtype=np.uint64)

        def draw(words: np.ndarray) -> tuple[Codes, np.ndarray]:
            return self.chains[name].draw({}, rows=words, seed=table_seed(self.seed, name))

        codes, words = _settled(draw, words, kept=kept)
        return self._with_numbers(name, codes, np.zeros(rows, dtype=np.int64), words)

    def below(
        self, name: str, drawn: Mapping[str, Drawn], first: int, *, kept: Kept | None = None
    ) -> Drawn:
        """Draw the rows of one table from number ``first`` on, given those of all tables above."""
        parent = str(self.schema.tables[name].parent)
        each = drawn[parent].numbers[name]
        above = np.repeat(np.arange(len(each)), each)
        words = np.arange(first, first + len(above), dtype=np.uint64)
        family = _Family(drawer=self, name=name, drawn=drawn, each=each)
        codes, words = _settled(family.draw, words, kept=kept)
        return self._with_numbers(name, codes, above, words)

    def _with_numbers(self, name: str, codes: Codes, above: np.ndarray, words: np.ndarray) -> Drawn:
        """Return rows with how many each has in the tables below."""
        numbers = {}
        for child, table in self.schema.below(name).items():
            edges = number_edges(table)
            drawn = row_words(
                seed=table_seed(self.seed, name), purpose=f"number/{child}", rows=words
            )
            target = codes[number_name(child)].astype(np.int64) << SHARE_BITS
            target += (drawn >> np.uint64(64 - SHARE_BITS)).astype(np.int64)
            # The shares inside a bin rise to one, and those of the next go on from there.
            bins = np.repeat(np.arange(len(edges) - 1), np.diff(edges)) << SHARE_BITS
            ends = bins + self.inside[child]
            numbers[child] = edges[0] + np.searchsorted(ends, target, side="right")
        return Drawn(codes=codes, above=above, words=words, numbers=numbers)


def _settled(draw: Draw, words: np.ndarray, *, kept: Kept | None) -> tuple[Codes, np.ndarray]:
    """Draw, and draw again with other words what came to an end or keeps no rule.

    Raises InvalidSampler where a row is not done after 200 times.
    """
    for _ in range(MOST_AGAIN):
        codes, lost = draw(words)
        if kept is not None:
            lost = lost | ~kept(codes, words)
        if not lost.any():
            return codes, words
        words = np.where(lost, words + (np.uint64(1) << _AGAIN), words)
    raise InvalidSampler(
        f"a row kept no rule in {MOST_AGAIN} tries",
        hint="take that rule out of the schema, or write it as an order or a sum",
    )


def number_edges(table: Table) -> np.ndarray:
    """Return (bins + 1,) int64, where each bin of a table's numbers begins, and where they end."""
    return np.array(number_attribute("", table.children or (1,)).edges(), dtype=np.int64)


def _before(column: str, place: int) -> tuple[str, int]:
    """Return the attribute of a row before, and how many rows before; 0 for what stands above."""
    for prefix, back in ((PREVIOUS, 1), (SECOND, min(place, 2)), (FIRST, place)):
        if column.startswith(prefix):
            return column.removeprefix(prefix), back
    return column, 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Family:
    """The rows of one table in a block: first rows at once, then second ones, and so on."""

    drawer: Drawer
    name: str
    drawn: Mapping[str, Drawn] = field(repr=False)
    each: np.ndarray = field(repr=False)

    def draw(self, words: np.ndarray) -> tuple[Codes, np.ndarray]:
        """Return the codes of all rows, and which came to an end."""
        domain = self.drawer.schema.columns[self.name].rows.domain
        codes = {
            a: np.empty(len(words), dtype=code_dtype(size))
            for a, size in zip(domain.attributes, domain.shape, strict=True)
        }
        lost = np.zeros(len(words), dtype=bool)
        starts = np.cumsum(self.each) - self.each
        for place, parents in self._places():
            view = later_of(self.name) if place else first_of(self.name)
            rows = starts[parents] + place
            chain = self.drawer.chains[view]
            known = self._known(chain, codes, rows=rows, parents=parents, place=place)
            seed = table_seed(self.drawer.seed, self.name)
            found, none = chain.draw(known, rows=words[rows], seed=seed)
            for attribute, column in found.items():
                codes[attribute][rows] = column
            lost[rows] = none
        return codes, lost

    def _places(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield each place with the parents that have a row there."""
        parents, place = np.flatnonzero(self.each > 0), 0
        while len(parents):
            yield place, parents
            place += 1
            parents = parents[self.each[parents] > place]

    def _known(
        self, chain: Chain, codes: Codes, *, rows: np.ndarray, parents: np.ndarray, place: int
    ) -> Codes:
        """Return what the chain is given of the rows before and above."""
        known: Codes = {}
        for column in chain.given:
            name, back = _before(column, place)
            if column == PLACE:
                known[column] = places_of(place, self.each[parents])
            elif back:
                known[column] = codes[name][rows - back]
            else:
                known[column] = self._above(column, parents)
        return known

    def _above(self, column: str, parents: np.ndarray) -> np.ndarray:
        at, schema = parents, self.drawer.schema
        for table in ancestors(schema.tables, self.name):
            own = column.removeprefix(f"{table}: ")
            if column.startswith(f"{table}: ") and own in self.drawn[table].codes:
                codes: np.ndarray = self.drawn[table].codes[own][at]
                return codes
            at = self.drawn[table].above[at]
        raise InvalidSampler(f"{column!r} is known of no row above")
