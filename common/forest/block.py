"""Some whole families as codes, drawn top down: persons, then the rows of each table below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.forest.chain import Chain
from silosynth.common.forest.family import (
    AGAIN,
    ANEW,
    MOST_AGAIN,
    MOST_ANEW,
    Bounds,
    Candidates,
    Drawn,
    Family,
    Kept,
    Tried,
)
from silosynth.common.forest.gaps import GapDrawer, even_pieces
from silosynth.common.generated import row_words
from silosynth.common.sampler import SHARE_BITS
from silosynth.common.tables import (
    Table,
    TablesSchema,
    number_attribute,
    number_name,
    step_scales,
    table_seed,
)


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

        def draw(words: np.ndarray, final: bool) -> Tried:
            codes, lost = self.chains[name].draw({}, rows=words, seed=table_seed(self.seed, name))
            if kept is not None:
                lost = lost | ~kept(Candidates(codes=codes, words=words, above=none, last=alone))
            return Tried(codes=codes, words=words, lost=lost, given_up=~alone)

        none, alone = np.zeros(rows, dtype=np.int64), np.ones(rows, dtype=bool)
        settled = _settled(draw, words, by=AGAIN)
        return self._with_numbers(name, settled, none)

    def below(
        self,
        name: str,
        drawn: Mapping[str, Drawn],
        first: int,
        *,
        kept: Kept | None = None,
        within: Bounds | None = None,
    ) -> Drawn:
        """Draw the rows of one table from number ``first`` on, given those of all tables above.

        Args: within: of some columns of whole steps, which steps rows of each parent may have.
        """
        parent = str(self.schema.tables[name].parent)
        each = drawn[parent].numbers[name]
        above = np.repeat(np.arange(len(each)), each)
        words = np.arange(first, first + len(above), dtype=np.uint64)
        family = Family(
            schema=self.schema,
            chains=self.chains,
            name=name,
            drawn=drawn,
            each=each,
            kept=kept,
            within=within or {},
            steps=self._steps(name, within or {}),
            seed=table_seed(self.seed, name),
        )
        if family.one_by_one:
            settled = _settled(family.draw, words, by=ANEW, most=MOST_ANEW)
        else:
            settled = _settled(family.draw, words, by=AGAIN)
        return self._with_numbers(name, settled, above)

    def gap_drawer(self, name: str) -> GapDrawer | None:
        """Return what draws how long after one another a table's rows come; None without gaps."""
        scale = self.schema.columns[name].gaps
        if scale is None:
            return None
        pieces = self.gaps[name] if name in self.gaps else even_pieces(scale)
        return GapDrawer(scale=scale, pieces=pieces, seed=table_seed(self.seed, name))

    def _steps(self, name: str, within: Bounds) -> dict[str, GapDrawer]:
        """Return what draws the steps of a table's columns: its order with gaps, and bounded ones.

        Of those that are no order with gaps only first rows' way is used.
        """
        seed = table_seed(self.seed, name)
        found = {
            column: GapDrawer(scale=scale, pieces=even_pieces(scale), seed=seed)
            for column, scale in step_scales(self.schema, name).items()
            if column in within
        }
        own = self.gap_drawer(name)
        return found if own is None else found | {own.scale.column: own}

    def _with_numbers(self, name: str, settled: Tried, above: np.ndarray) -> Drawn:
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
            broken=int((settled.lost | settled.given_up).sum()),
        )


def _settled(
    draw: Callable[[np.ndarray, bool], Tried],
    words: np.ndarray,
    *,
    by: np.uint64,
    most: int = MOST_AGAIN,
) -> Tried:
    """Draw, and draw again with other words what came to an end or keeps no rule.

    Rows that are not done after so many times are left as the last one made them, and stay lost: a
    draw comes after all is spent, so that nothing may end it.
    """
    for _ in range(most - 1):
        tried = draw(words, False)
        if not tried.lost.any():
            return tried
        words = np.where(tried.lost, words + (np.uint64(1) << by), words)
    return draw(words, True)


def number_edges(table: Table) -> np.ndarray:
    """Return (bins + 1,) int64, where each bin of a table's numbers begins, and where they end."""
    return np.array(number_attribute("", table.children or (1,)).edges(), dtype=np.int64)
