"""The rows of one table in a block of families: drawn place by place, until rules are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
from silosynth.common.forest.chain import Chain, Follows
from silosynth.common.forest.gaps import GapDrawer, Within
from silosynth.common.tables import TablesSchema, ancestors

Codes = dict[str, np.ndarray]
AGAIN, ANEW = np.uint64(40), np.uint64(52)
"""A row that is drawn again has the words of the row that many powers of two further on, and one
whose parent's rows are all drawn anew that of the second.
"""
MOST_AGAIN, MOST_HERE, MOST_ANEW = 200, 250, 4
"""How often rows are drawn again; where one place is settled after the other, how often a row is,
and how often all rows of its parent are drawn anew.
"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """Rows that are drawn and not settled yet, all (rows,): ``points`` are the steps of columns
    that are drawn by steps; ``above`` the parent's row in the block; ``last`` whether a row is its
    parent's last one.
    """

    codes: Codes = field(repr=False)
    words: np.ndarray = field(repr=False)
    points: Codes = field(repr=False, default_factory=dict)
    above: np.ndarray = field(repr=False)
    last: np.ndarray = field(repr=False)


Bounds: TypeAlias = Mapping[str, Within]
"""By column that is drawn by steps (parents,) the first and the last step of rows of each."""
Kept: TypeAlias = "Callable[[Candidates], np.ndarray]"
"""Says which of some rows keep what rules ask, of their table and across tables."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """The rows of one table in a block, those of a parent together and in order.

    ``codes``: (rows,) by attribute; ``above``: (rows,) int64, the parent's row in the block;
    ``words``: (rows,) uint64, the number that a row's words follow from; ``numbers``: by table
    below, (rows,) int64, how many rows each has. ``points``: (rows,) int64 steps by column that is
    drawn by steps; of a table with gaps ``gaps``: (rows,) codes of how long after the row before
    each is. ``broken``: how many rows no try made keep all rules.
    """

    codes: Codes = field(repr=False)
    above: np.ndarray = field(repr=False)
    words: np.ndarray = field(repr=False)
    numbers: Mapping[str, np.ndarray] = field(repr=False)
    points: Codes = field(repr=False, default_factory=dict)
    gaps: np.ndarray | None = field(repr=False, default=None)
    broken: int = 0

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.above)

    def taken(self, at: np.ndarray) -> Drawn:
        """Return the rows at (rows,) places, each of its own parent still."""
        return replace(
            self,
            codes={a: c[at] for a, c in self.codes.items()},
            words=self.words[at],
            numbers={child: n[at] for child, n in self.numbers.items()},
            points={c: p[at] for c, p in self.points.items()},
            gaps=None if self.gaps is None else self.gaps[at],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tried:
    """Rows that were drawn once, with their words; ``lost`` are to be drawn with others.

    After the last try ``lost`` are those that keep not all rules, as they came out; ``given_up``
    are those of which it is known that no try could.
    """

    codes: Codes = field(repr=False)
    words: np.ndarray = field(repr=False)
    lost: np.ndarray = field(repr=False)
    given_up: np.ndarray = field(repr=False)
    points: Codes = field(repr=False, default_factory=dict)


def _before(column: str, place: int) -> tuple[str, int]:
    """Return the attribute of a row before, and how many rows before; 0 for what stands above."""
    for prefix, back in ((PREVIOUS, 1), (SECOND, min(place, 2)), (FIRST, place)):
        if column.startswith(prefix):
            return column.removeprefix(prefix), back
    return column, 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """The rows of one table in a block: first rows at once, then second ones, and so on.

    Where what comes after hangs on a row's exact value, or a rule on tables above, each place is
    drawn until its rows keep the rules before the next one is.
    """

    schema: TablesSchema
    chains: Mapping[str, Chain] = field(repr=False)
    name: str
    drawn: Mapping[str, Drawn] = field(repr=False)
    each: np.ndarray = field(repr=False)
    kept: Kept | None = field(repr=False)
    within: Bounds = field(repr=False)
    steps: Mapping[str, GapDrawer] = field(repr=False)
    seed: int

    @cached_property
    def gaps(self) -> GapDrawer | None:
        """Return what draws steps of the order column by gaps."""
        scale = self.schema.columns[self.name].gaps
        return None if scale is None else self.steps[scale.column]

    @cached_property
    def one_by_one(self) -> bool:
        """Say whether rows of one place are settled before those of the next are drawn."""
        return self.gaps is not None or self.name in self.schema.ruled_across

    @cached_property
    def starts(self) -> np.ndarray:
        """Return (parents,) int64, where the rows of each begin."""
        found: np.ndarray = np.cumsum(self.each) - self.each
        return found

    def draw(self, words: np.ndarray, final: bool) -> Tried:
        """Return the codes of all rows, and which are to be drawn anew.

        Args: final: none is, so that no parent's rows are given up; lost are those that keep not
            all rules.
        """
        domain = self.schema.columns[self.name].rows.domain
        codes = {
            a: np.empty(len(words), dtype=code_dtype(size))
            for a, size in zip(domain.attributes, domain.shape, strict=True)
        }
        points = {c: np.zeros(len(words), dtype=np.int64) for c in self.steps}
        if self.gaps is not None:
            scale = self.gaps.scale
            codes[scale.name] = np.full(len(words), scale.none, dtype=code_dtype(scale.codes + 1))
        tried = Tried(
            codes=codes,
            words=words.copy(),
            lost=np.zeros(len(words), dtype=bool),
            given_up=np.zeros(len(words), dtype=bool),
            points=points,
        )
        for place, parents in self._places():
            if self.one_by_one:
                self._settle(tried, place, parents, final=final)
            else:
                self._draw_place(tried, place, parents)
        if self.kept is not None and not self.one_by_one:
            every = np.arange(len(words))
            tried.lost[:] |= ~self.kept(self._candidates(tried, every))
        return tried

    def _settle(self, tried: Tried, place: int, parents: np.ndarray, *, final: bool) -> None:
        """Draw rows of one place until they keep the rules; else all of their parents are lost."""
        rows = self.starts[parents] + place
        left = np.arange(len(rows)) if final else np.flatnonzero(~tried.lost[rows - place])
        for again in range(MOST_HERE):
            self._draw_place(tried, place, parents[left])
            at = rows[left]
            bad: np.ndarray = tried.lost[at]
            tried.lost[at] = False
            if self.kept is not None:
                bad = np.logical_or(bad, ~self.kept(self._candidates(tried, at)))
            hopeless = self.hopeless[parents[left]]
            tried.given_up[at] |= bad & hopeless
            left = left[bad & ~hopeless]
            if not len(left):
                return
            if again < MOST_HERE - 1:
                tried.words[rows[left]] += np.uint64(1) << AGAIN
        if final:
            tried.lost[rows[left]] = True
        else:
            self._lose(tried, parents[left])

    def _lose(self, tried: Tried, parents: np.ndarray) -> None:
        """Have all rows of some parents drawn anew."""
        lost = np.zeros(len(self.each), dtype=bool)
        lost[parents] = True
        tried.lost[np.repeat(lost, self.each)] = True

    def _candidates(self, tried: Tried, rows: np.ndarray) -> Candidates:
        above = np.repeat(np.arange(len(self.each)), self.each)[rows]
        own = self.schema.columns[self.name].rows.domain.attributes
        return Candidates(
            codes={a: tried.codes[a][rows] for a in own},
            words=tried.words[rows],
            points={c: p[rows] for c, p in tried.points.items()},
            above=above,
            last=rows == self.starts[above] + self.each[above] - 1,
        )

    @cached_property
    def hopeless(self) -> np.ndarray:
        """Return (parents,) bool, of which rules leave a column no step: rows are tried once."""
        found: np.ndarray = np.zeros(len(self.each), dtype=bool)
        for column, (low, high) in self.within.items():
            scale = self.steps[column].scale
            if scale.size > scale.values:
                continue  # a row without a value keeps such a rule
            most = scale.most
            found = found | (np.maximum(low, 0) > np.minimum(high, most))
        return found

    def _ends(self, column: str, parents: np.ndarray) -> Within:
        """Return (parents,) int64 twice, the first and the last step that rows of each may have."""
        most = self.steps[column].scale.most
        if column not in self.within:
            return np.zeros(len(parents), dtype=np.int64), np.full(len(parents), most)
        low, high = (np.clip(w[parents], 0, most) for w in self.within[column])
        scale = self.steps[column].scale
        # Without a step that is left a row has no value, where it may have none.
        return low, high if scale.size > scale.values else np.maximum(low, high)

    def _range(self, column: str, parents: np.ndarray, place: int) -> Within:
        """Return the same of the rows of one place, so that those after it still fit.

        Where a parent has more rows than steps the first one is left, whatever comes after.
        """
        low, last = self._ends(column, parents)
        high, scale = last, self.steps[column].scale
        if scale is self.schema.columns[self.name].gaps:
            high = high - (self.each[parents] - place - 1) * int(scale.edges[0])
        return low, np.where(last < low, last, np.maximum(low, high))

    def _draw_place(self, tried: Tried, place: int, parents: np.ndarray) -> None:
        """Draw the rows of one place."""
        rows = self.starts[parents] + place
        chain = self.chains[later_of(self.name) if place else first_of(self.name)]
        known = self._known(chain, tried.codes, rows=rows, parents=parents, place=place)
        words = tried.words[rows]
        follows: dict[str, Follows] = {}
        by_gap = self.gaps.scale.column if self.gaps is not None and place else None
        within = {c: self._range(c, parents, place) for c in self.steps if c != by_gap}
        barred = {c: self.steps[c].barred_first(w) for c, w in within.items()}
        if self.gaps is not None and by_gap is not None:
            barred[self.gaps.scale.name], follows = self._after(tried, place, parents)
        found, none = chain.draw(known, rows=words, seed=self.seed, barred=barred, follows=follows)
        for column, w in within.items():
            drawer = self.steps[column]
            tried.points[column][rows] = drawer.first(found[column], words=words, within=w)
        for attribute, codes in found.items():
            tried.codes[attribute][rows] = codes
        tried.lost[rows] = none

    def _after(
        self, tried: Tried, place: int, parents: np.ndarray
    ) -> tuple[np.ndarray, dict[str, Follows]]:
        """Return (rows, codes) bool, which gaps rows cannot have, and what follows of a gap.

        A parent with more rows than steps has the last ones at its last step.
        """
        assert self.gaps is not None
        gaps, rows = self.gaps, self.starts[parents] + place
        column, words = gaps.scale.column, tried.words[rows]
        points = tried.points[column]
        before = points[rows - 1]
        room = self._range(column, parents, place)[1] - before
        end = self._ends(column, parents)[1]
        absent = tried.codes[column][rows - 1] >= gaps.scale.values
        barred = gaps.barred(room, absent=absent)
        barred[barred.all(axis=1), 0] = False

        def after(codes: np.ndarray) -> dict[str, np.ndarray]:
            steps = gaps.steps(codes, room=room, words=words)
            points[rows] = before + np.minimum(steps, np.maximum(end - before, 0))
            own = gaps.codes_of(codes, points[rows])
            return {column: own.astype(code_dtype(gaps.scale.size))}

        return barred, {gaps.scale.name: after}

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
        at, schema = parents, self.schema
        for table in ancestors(schema.tables, self.name):
            own = column.removeprefix(f"{table}: ")
            if column.startswith(f"{table}: ") and own in self.drawn[table].codes:
                codes: np.ndarray = self.drawn[table].codes[own][at]
                return codes
            at = self.drawn[table].above[at]
        raise InvalidSampler(f"{column!r} is known of no row above")
