"""Some whole families as codes, drawn top down: persons, then the rows of each table below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np

from silosynth.common.codec import code_dtype
from silosynth.common.errors import InvalidSampler
from silosynth.common.families import (
    FIRST,
    LAST,
    PLACE,
    PREVIOUS,
    SECOND,
    first_of,
    later_of,
    places_of,
)
from silosynth.common.forest.chain import Chain
from silosynth.common.forest.gaps import GapDrawer, Within, even_pieces
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
_AGAIN, _ANEW = np.uint64(40), np.uint64(52)
"""A row that is drawn again has the words of the row that many powers of two further on, and one
whose parent's rows are all drawn anew that of the second.
"""
MOST_AGAIN, MOST_HERE, MOST_ANEW = 200, 250, 4
"""How often rows are drawn again; where one place is settled after the other, how often a row is,
and how often all rows of its parent are drawn anew.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Rows that are drawn and not settled yet, all (rows,): ``points`` are the steps of the order
    column, None without gaps; ``above`` the parent's row in the block; ``last`` whether a row is
    its parent's last one.
    """

    codes: Codes = field(repr=False)
    words: np.ndarray = field(repr=False)
    points: np.ndarray | None = field(repr=False, default=None)
    above: np.ndarray = field(repr=False)
    last: np.ndarray = field(repr=False)


Kept: TypeAlias = "Callable[[Candidates], np.ndarray]"
"""Says which of some rows keep what rules ask, of their table and across tables."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The rows of one table in a block, those of a parent together and in order.

    ``codes``: (rows,) by attribute; ``above``: (rows,) int64, the parent's row in the block;
    ``words``: (rows,) uint64, the number that a row's words follow from; ``numbers``: by table
    below, (rows,) int64, how many rows each has. Of a table with gaps ``points``: (rows,) int64
    steps of the order column, and ``gaps``: (rows,) codes of how long after the row before each is.
    """

    codes: Codes = field(repr=False)
    above: np.ndarray = field(repr=False)
    words: np.ndarray = field(repr=False)
    numbers: Mapping[str, np.ndarray] = field(repr=False)
    points: np.ndarray | None = field(repr=False, default=None)
    gaps: np.ndarray | None = field(repr=False, default=None)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.above)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tried:
    """Rows that were drawn once, with their words; ``lost`` are to be drawn with others."""

    codes: Codes = field(repr=False)
    words: np.ndarray = field(repr=False)
    lost: np.ndarray = field(repr=False)
    points: np.ndarray | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawer:
    """Draws blocks of families by the chains that there are, of all tables or of the first few."""

    schema: TablesSchema
    chains: Mapping[str, Chain] = field(repr=False)
    inside: Mapping[str, np.ndarray] = field(repr=False)
    seed: int
    gaps: Mapping[str, np.ndarray] = field(repr=False, default_factory=dict)
    """By table how gaps lie inside their bins; evenly where it says nothing."""

    def persons(self, first: int, rows: int, *, kept: Kept | None = None) -> Drawn:
        """Draw ``rows`` persons from number ``first`` on."""
        name = self.schema.person
        words = np.arange(first, first + rows, dtype=np.uint64)

        def draw(words: np.ndarray) -> _Tried:
            codes, lost = self.chains[name].draw({}, rows=words, seed=table_seed(self.seed, name))
            if kept is not None:
                lost = lost | ~kept(Candidates(codes=codes, words=words, above=none, last=alone))
            return _Tried(codes=codes, words=words, lost=lost)

        none, alone = np.zeros(rows, dtype=np.int64), np.ones(rows, dtype=bool)
        settled = _settled(draw, words, by=_AGAIN)
        return self._with_numbers(name, settled, none)

    def below(
        self,
        name: str,
        drawn: Mapping[str, Drawn],
        first: int,
        *,
        kept: Kept | None = None,
        within: Within | None = None,
    ) -> Drawn:
        """Draw the rows of one table from number ``first`` on, given those of all tables above.

        Args: within: of a table with gaps (parents,) int64 twice, the first and the last step that
            rows of each may have.
        """
        parent = str(self.schema.tables[name].parent)
        each = drawn[parent].numbers[name]
        above = np.repeat(np.arange(len(each)), each)
        words = np.arange(first, first + len(above), dtype=np.uint64)
        family = _Family(drawer=self, name=name, drawn=drawn, each=each, kept=kept, within=within)
        if family.one_by_one:
            settled = _settled(family.draw, words, by=_ANEW, most=MOST_ANEW)
        else:
            settled = _settled(family.draw, words, by=_AGAIN)
        return self._with_numbers(name, settled, above)

    def gap_drawer(self, name: str) -> GapDrawer | None:
        """Return what draws how long after one another a table's rows come; None without gaps."""
        scale = self.schema.columns[name].gaps
        if scale is None:
            return None
        pieces = self.gaps[name] if name in self.gaps else even_pieces(scale)
        return GapDrawer(scale=scale, pieces=pieces, seed=table_seed(self.seed, name))

    def _with_numbers(self, name: str, settled: _Tried, above: np.ndarray) -> Drawn:
        """Return rows with how many each has in the tables below."""
        numbers = {}
        codes, words = dict(settled.codes), settled.words
        scale = self.schema.columns[name].gaps
        gaps = None if scale is None else codes.pop(scale.name)
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
        return Drawn(
            codes=codes,
            above=above,
            words=words,
            numbers=numbers,
            points=settled.points,
            gaps=gaps,
        )


def _settled(
    draw: Callable[[np.ndarray], _Tried],
    words: np.ndarray,
    *,
    by: np.uint64,
    most: int = MOST_AGAIN,
) -> _Tried:
    """Draw, and draw again with other words what came to an end or keeps no rule.

    Raises InvalidSampler where a row is not done after so many times.
    """
    for _ in range(most):
        tried = draw(words)
        if not tried.lost.any():
            return tried
        words = np.where(tried.lost, words + (np.uint64(1) << by), words)
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Family:
    """The rows of one table in a block: first rows at once, then second ones, and so on.

    Where what comes after hangs on a row's exact value, or a rule on tables above, each place is
    drawn until its rows keep the rules before the next one is.
    """

    drawer: Drawer
    name: str
    drawn: Mapping[str, Drawn] = field(repr=False)
    each: np.ndarray = field(repr=False)
    kept: Kept | None = field(repr=False)
    within: Within | None = field(repr=False)

    @cached_property
    def gaps(self) -> GapDrawer | None:
        """Return what draws steps of the order column."""
        return self.drawer.gap_drawer(self.name)

    @cached_property
    def one_by_one(self) -> bool:
        """Say whether rows of one place are settled before those of the next are drawn."""
        return self.gaps is not None or self.name in self.drawer.schema.ruled_across

    @cached_property
    def starts(self) -> np.ndarray:
        """Return (parents,) int64, where the rows of each begin."""
        found: np.ndarray = np.cumsum(self.each) - self.each
        return found

    def draw(self, words: np.ndarray) -> _Tried:
        """Return the codes of all rows, and which are to be drawn anew."""
        domain = self.drawer.schema.columns[self.name].rows.domain
        codes = {
            a: np.empty(len(words), dtype=code_dtype(size))
            for a, size in zip(domain.attributes, domain.shape, strict=True)
        }
        points = None
        if self.gaps is not None:
            scale = self.gaps.scale
            codes[scale.name] = np.full(len(words), scale.none, dtype=code_dtype(scale.codes + 1))
            points = np.zeros(len(words), dtype=np.int64)
        tried = _Tried(
            codes=codes, words=words.copy(), lost=np.zeros(len(words), dtype=bool), points=points
        )
        for place, parents in self._places():
            if self.one_by_one:
                self._settle(tried, place, parents)
            else:
                self._draw_place(tried, place, parents)
        if self.kept is not None and not self.one_by_one:
            every = np.arange(len(words))
            tried.lost[:] |= ~self.kept(self._candidates(tried, every))
        return tried

    def _settle(self, tried: _Tried, place: int, parents: np.ndarray) -> None:
        """Draw rows of one place until they keep the rules; else all of their parents are lost."""
        rows = self.starts[parents] + place
        left = np.flatnonzero(~tried.lost[rows - place])
        for _ in range(MOST_HERE):
            stuck = self._draw_place(tried, place, parents[left])
            at = rows[left]
            bad: np.ndarray = tried.lost[at]
            tried.lost[at] = False
            if self.kept is not None:
                bad = np.logical_or(bad, ~self.kept(self._candidates(tried, at)))
            self._lose(tried, parents[left[stuck]])
            left = left[bad & ~stuck]
            if not len(left):
                return
            tried.words[rows[left]] += np.uint64(1) << _AGAIN
        self._lose(tried, parents[left])

    def _lose(self, tried: _Tried, parents: np.ndarray) -> None:
        """Have all rows of some parents drawn anew."""
        lost = np.zeros(len(self.each), dtype=bool)
        lost[parents] = True
        tried.lost[np.repeat(lost, self.each)] = True

    def _candidates(self, tried: _Tried, rows: np.ndarray) -> Candidates:
        above = np.repeat(np.arange(len(self.each)), self.each)[rows]
        own = self.drawer.schema.columns[self.name].rows.domain.attributes
        return Candidates(
            codes={a: tried.codes[a][rows] for a in own},
            words=tried.words[rows],
            points=None if tried.points is None else tried.points[rows],
            above=above,
            last=rows == self.starts[above] + self.each[above] - 1,
        )

    def _furthest(self, parents: np.ndarray, place: int) -> np.ndarray:
        """Return (parents,) int64, the last step at which all rows after this place still fit."""
        assert self.gaps is not None
        after = (self.each[parents] - place - 1) * int(self.gaps.scale.edges[0])
        last = self.gaps.scale.most if self.within is None else self.within[1][parents]
        found: np.ndarray = last - after
        return found

    def _draw_place(self, tried: _Tried, place: int, parents: np.ndarray) -> np.ndarray:
        """Draw the rows of one place; return (parents,) bool, where no gap is left for a row."""
        view = later_of(self.name) if place else first_of(self.name)
        rows = self.starts[parents] + place
        chain = self.drawer.chains[view]
        known = self._known(chain, tried.codes, rows=rows, parents=parents, place=place)
        seed = table_seed(self.drawer.seed, self.name)
        words = tried.words[rows]
        stuck: np.ndarray = np.zeros(len(rows), dtype=bool)
        if self.gaps is None or tried.points is None or not place:
            closed, within = {}, None
            if self.gaps is not None:
                low = np.zeros(len(rows), dtype=np.int64)
                if self.within is not None:
                    low = self.within[0][parents]
                within = (low, self._furthest(parents, place))
                closed = {self.gaps.scale.column: self.gaps.barred_first(within)}
            found, none = chain.draw(known, rows=words, seed=seed, barred=closed)
            if self.gaps is not None and tried.points is not None:
                first = found[self.gaps.scale.column]
                tried.points[rows] = self.gaps.first(first, words=words, within=within)
        else:
            gaps, points, column = self.gaps, tried.points, self.gaps.scale.column
            room = self._furthest(parents, place) - points[rows - 1]
            absent = tried.codes[column][rows - 1] >= gaps.scale.values
            barred = gaps.barred(room, absent=absent)
            stuck = np.asarray(barred.all(axis=1))

            def after(codes: np.ndarray) -> dict[str, np.ndarray]:
                points[rows] = points[rows - 1] + gaps.steps(codes, room=room, words=words)
                own = gaps.codes_of(codes, points[rows])
                return {column: own.astype(code_dtype(gaps.scale.size))}

            found, none = chain.draw(
                known,
                rows=words,
                seed=seed,
                barred={gaps.scale.name: barred},
                follows={gaps.scale.name: after},
            )
        for attribute, codes in found.items():
            tried.codes[attribute][rows] = codes
        tried.lost[rows] = none
        return stuck

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
            if self.gaps is not None and place and column == self.gaps.scale.column:
                continue
            if column == PLACE:
                known[column] = places_of(place, self.each[parents])
            elif column == LAST:
                known[column] = (self.each[parents] == place + 1).astype(np.uint8)
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
