"""Whole tables of drawn families: finished rows in batches, and a file a table.

Nothing but a number a row is held for all families. A table is drawn by blocks of persons with
what stands above it, and a block is the same whenever it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Codec, Form, keeps_rules, read_values
from silosynth.common.files import make_directory
from silosynth.common.forest.block import Drawer
from silosynth.common.forest.family import Candidates, Codes, Drawn
from silosynth.common.forest.forest import ForestSampler
from silosynth.common.forest.gaps import Within
from silosynth.common.generated import complete, row_words
from silosynth.common.rules import evaluate
from silosynth.common.sampler import form_of_file, write_batches
from silosynth.common.schema import Schema
from silosynth.common.seeded import check_whole
from silosynth.common.tables import (
    Across,
    Families,
    GapScale,
    TablesSchema,
    ancestors,
    bounding,
    drawable,
    step_scales,
    swaps_rows,
    table_seed,
)

BLOCK_PERSONS = 2048
"""Persons that are drawn at once. Codes do not depend on it; what ``other`` is written as may."""


def draw_forest(
    sampler: ForestSampler,
    *,
    persons: int,
    seed: int,
    folder: Path,
    ending: str | None = ".parquet",
    force: bool = False,
    mark: Mapping[str, str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, int]:
    """Write a file a table, and return how many rows each has.

    Args:
        ending: of all files; None for text where the schema says how a table's text is written.
        tell: is told of rows that no try made keep all rules, by table; they are written as drawn.

    Guarantees: as :meth:`Families.finished`; each parent has as many rows as was drawn for it; each
    row keeps its table's rules and those across tables but for those that are told of; the same
    seed gives the same rows. Memory holds a number a row of a table that has others below it, and a
    block of families.
    """
    forest = Forest(sampler=sampler, persons=persons, seed=seed)
    make_directory(folder)
    written = {}
    for name, path in table_files(sampler.schema, folder=folder, ending=ending).items():
        batches = forest.table(name, form=form_of_file(path))
        dialect = sampler.schema.tables[name].csv
        written[name] = write_batches(batches, path=path, dialect=dialect, force=force, mark=mark)
        if broken := forest.broken[name]:
            tell(
                f"{name}: {broken:,} rows break a rule: of what stands above them, or of how many "
                "there are, no try left a way to keep all"
            )
    return written


def table_files(schema: TablesSchema, *, folder: Path, ending: str | None) -> dict[str, Path]:
    """Return where each table is written, top down; see :func:`draw_forest`."""
    own = {name: ".parquet" if t.csv is None else ".csv" for name, t in schema.tables.items()}
    return {name: folder / f"{name}{ending or own[name]}" for name in schema.downward}


@dataclass(frozen=True, kw_only=True, eq=False)
class Forest:
    """The families that a sampler draws for so many persons and a seed."""

    sampler: ForestSampler
    persons: int
    seed: int
    block_persons: int = BLOCK_PERSONS
    broken: dict[str, int] = field(default_factory=dict, init=False, repr=False)
    """By table that was drawn how many of its rows no try made keep all rules."""

    def __post_init__(self) -> None:
        check_whole(self.persons, name="the number of persons")
        check_whole(self.seed, name="the seed")

    @cached_property
    def drawer(self) -> Drawer:
        """Return what draws the codes."""
        return Drawer(
            schema=self.sampler.schema,
            chains=self.sampler.chains,
            inside=self.sampler.inside,
            gaps=self.sampler.gaps,
            seed=self.seed,
        )

    @cached_property
    def columns(self) -> dict[str, _Columns]:
        """Return what turns codes of each table into columns."""
        found = {}
        for name, columns in self.sampler.schema.columns.items():
            table = self.sampler.schema.tables[name]
            found[name] = _Columns(
                name=name,
                rows=columns.rows,
                order=table.order,
                scales=_scales(self.sampler.schema, name),
                swaps=columns.gaps is None and swaps_rows(self.sampler.schema, name),
                seed=self.seed,
            )
        return found

    @cached_property
    def families(self) -> Families:
        """Return how many rows each row has below it; this draws all tables that have some."""
        schema = self.sampler.schema
        parts: dict[str, list[np.ndarray]] = {n: [] for n in schema.downward[1:]}
        inner = [n for n in schema.downward if schema.below(n)]
        for drawn in self._blocks(inner):
            for name in inner:
                for child, each in drawn[name].numbers.items():
                    parts[child].append(each)
        none = [np.empty(0, dtype=np.int64)]
        numbers = {child: np.concatenate(found or none) for child, found in parts.items()}
        return Families(schema=schema, persons=self.persons, numbers=numbers, seed=self.seed)

    def table(self, name: str, *, form: Form = Form.TYPED) -> Iterator[pa.Table]:
        """Yield the finished rows of one table; see :func:`draw_forest`."""
        rows = self.columns[name]
        made = (rows.decode(d[name], form=form) for d in self._counted(name))
        whole = complete(made, schema=rows.drawable, seed=table_seed(self.seed, name), form=form)
        yield from self.families.finished(name, whole, form=form)

    def codes(self, name: str) -> Iterator[dict[str, Drawn]]:
        """Yield blocks of one table and of those above it, as codes."""
        schema = self.sampler.schema
        above = ancestors(schema.tables, name)
        return self._blocks([*reversed(above), name])

    def _counted(self, name: str) -> Iterator[dict[str, Drawn]]:
        """Yield the blocks, and count what breaks rules on the way."""
        self.broken[name] = 0
        for drawn in self._or_none(name):
            self.broken[name] += drawn[name].broken
            yield drawn

    def _or_none(self, name: str) -> Iterator[dict[str, Drawn]]:
        """Yield the blocks, or one without a row."""
        yield from self.codes(name)
        if self.persons == 0:
            yield self._block(list(self.sampler.schema.downward), 0, 0, {})

    def _blocks(self, names: list[str]) -> Iterator[dict[str, Drawn]]:
        firsts: dict[str, int] = dict.fromkeys(names, 0)
        for first in range(0, self.persons, self.block_persons):
            rows = min(self.block_persons, self.persons - first)
            drawn = self._block(names, first, rows, firsts)
            for name, found in drawn.items():
                firsts[name] += found.rows
            yield drawn

    def _block(
        self, names: list[str], first: int, rows: int, firsts: Mapping[str, int]
    ) -> dict[str, Drawn]:
        drawn: dict[str, Drawn] = {}
        for name in names:
            kept = self._kept(name, drawn)
            if name == self.sampler.schema.person:
                drawn[name] = self.drawer.persons(first, rows, kept=kept)
            else:
                within = None if kept is None else kept.within()
                found = self.drawer.below(
                    name, drawn, firsts.get(name, 0), kept=kept, within=within
                )
                drawn[name] = self.columns[name].in_order(found)
        return drawn

    def _kept(self, name: str, drawn: Mapping[str, Drawn]) -> _Ruled | None:
        """Return what says whether rows keep all rules; None where there are none."""
        columns = self.columns[name]
        across = [r for r in self.sampler.schema.across if r.tables[0] == name]
        if not columns.rows.rules and not across:
            return None
        above = _Above(schema=self.sampler.schema, columns=self.columns, drawn=drawn)
        return _Ruled(columns=columns, across=across, above=above)


def _scales(schema: TablesSchema, name: str) -> dict[str, GapScale]:
    """Return the scales of a table's columns that may be drawn by steps."""
    own = schema.columns[name].gaps
    return step_scales(schema, name) | ({} if own is None else {own.column: own})


@dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """How codes of one table become columns.

    ``scales`` are of columns that may be drawn by steps; ``swaps`` says that whole rows are put in
    order, and not the values of the order column alone.
    """

    name: str
    rows: Schema
    order: str | None
    scales: Mapping[str, GapScale]
    swaps: bool
    seed: int

    @cached_property
    def drawable(self) -> Schema:
        """Return what is drawn of a row."""
        return drawable(self.rows)

    @cached_property
    def codec(self) -> Codec:
        """Return the codec of what is drawn."""
        return Codec(self.drawable)

    def decode(self, drawn: Drawn, *, form: Form) -> pa.Table:
        """Return the columns of rows, those of a parent in their order."""
        made = self.values(drawn.codes, drawn.words, points=drawn.points, form=form)
        order = self.order
        if order is None or self.swaps or order in drawn.points or not drawn.rows:
            return made
        # Codes never fall; inside a code the values of a parent's rows are put in order.
        values = read_values(made, schema=self.drawable, names=[order])[order]
        put = made[order].take(pa.array(np.lexsort((values, drawn.above))))
        return made.set_column(made.column_names.index(order), made.schema.field(order), put)

    def in_order(self, drawn: Drawn) -> Drawn:
        """Return drawn rows with those of each parent in order, before any are drawn below them.

        What is below a row was to be given that row: it moves with all that is known of it.
        """
        order = self.order
        if order is None or not drawn.rows:
            return drawn
        if self.swaps:
            made = self.decode(drawn, form=Form.TYPED)
            values = read_values(made, schema=self.drawable, names=[order])[order]
            return drawn.taken(np.lexsort((values, drawn.above)))
        if order in drawn.points and drawn.gaps is None:
            # All rows of a parent have the same bounds, so that only these values change places.
            points, scale = drawn.points[order], self.scales[order]
            beyond = np.maximum(drawn.codes[order].astype(np.int64) - scale.values + 1, 0)
            put = points[np.lexsort((points, beyond, drawn.above))]
            return replace(drawn, points={**drawn.points, order: put})
        return drawn

    def values(self, codes: Codes, words: np.ndarray, *, points: Codes, form: Form) -> pa.Table:
        """Return columns, each row's a function of its codes, its words and its steps."""
        whole = [codes.get(a, np.zeros(len(words), np.uint8)) for a in self.codec.domain.attributes]
        numbers = {c: self.scales[c].values_of(p) for c, p in points.items()}
        uniform = _Uniform(words, seed=self.seed, name=self.name)
        return self.codec.decode(whole, uniform=uniform, form=form, numbers=numbers)


class _Uniform:
    """Numbers from 0 to below 1, one a row, for column after column."""

    def __init__(self, words: np.ndarray, *, seed: int, name: str) -> None:
        self._words, self._seed, self._column = words, table_seed(seed, name), 0

    def __call__(self, count: int) -> np.ndarray:
        """Return (count,) float64; ``count`` is the number of rows."""
        self._column += 1
        purpose = f"value/{self._column}"
        words = row_words(seed=self._seed, purpose=purpose, rows=self._words[:count])
        uniform: np.ndarray = (words >> np.uint64(11)) * 2.0**-53
        return uniform


@dataclass(frozen=True, kw_only=True, eq=False)
class _Above:
    """The columns of the tables above in a block, each worked out once it is asked for."""

    schema: TablesSchema
    columns: Mapping[str, _Columns] = field(repr=False)
    drawn: Mapping[str, Drawn] = field(repr=False)
    _finished: dict[str, pa.Table] = field(default_factory=dict, repr=False)

    def of(self, table: str) -> pa.Table:
        """Return the rows of a table as they stand in the end."""
        if table not in self._finished:
            self._finished[table] = self.columns[table].decode(self.drawn[table], form=Form.TYPED)
        return self._finished[table]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Ruled:
    """Says which rows keep the rules of their table, and those across tables that are about it."""

    columns: _Columns = field(repr=False)
    across: Sequence[Across] = field(repr=False)
    above: _Above = field(repr=False)

    def __call__(self, rows: Candidates) -> np.ndarray:
        """Return (rows,) bool."""
        own = self.columns.values(rows.codes, rows.words, points=rows.points, form=Form.TYPED)
        checks = [*keeps_rules(own, schema=self.columns.drawable).values()]
        for rule in self.across:
            wide = self._wide(rule, own, rows)
            (keeps,) = keeps_rules(wide, schema=rule.wide).values()
            checks.append(keeps | rows.last if rule.last else keeps)
        kept: np.ndarray = np.logical_and.reduce([np.ones(len(rows.words), dtype=bool), *checks])
        return kept

    def within(self) -> dict[str, Within]:
        """Return by column of whole steps (parents,) int64 twice, the first and the last step that
        rules across tables leave rows of each parent.

        By orders of the column alone with what stands above: a date that may be on few days of its
        bin would else be drawn again and again.
        """
        return {column: self._bounds(column) for column in self.columns.scales}

    def _bounds(self, column: str) -> Within:
        name, scale = self.columns.name, self.columns.scales[column]
        parents = self.above.drawn[str(self.above.schema.tables[name].parent)].rows
        low, high = np.zeros(parents), np.full(parents, float(scale.most))
        for rule in self.across:
            parts = bounding(rule, column)
            if not parts:
                continue
            wide = self._above_wide(rule, np.arange(parents), own={})
            values = read_values(wide, schema=rule.wide, names=wide.column_names)
            for beside, sign, before in parts:
                steps = (evaluate(beside, rows=values) - scale.origin) / scale.step
                if before:
                    last = np.floor(steps) if sign == "<=" else np.ceil(steps) - 1
                    high = np.fmin(high, last)
                else:
                    first = np.ceil(steps) if sign == "<=" else np.floor(steps) + 1
                    low = np.fmax(low, first)
        most = scale.most + 1
        return np.clip(low, -1, most).astype(np.int64), np.clip(high, -1, most).astype(np.int64)

    def _wide(self, rule: Across, own: pa.Table, rows: Candidates) -> pa.Table:
        """Return the columns that a rule names, for each row of its own and of those above it."""
        made = {f"{self.columns.name}.{c}": own[c] for c in own.column_names}
        return self._above_wide(rule, rows.above, own=made)

    def _above_wide(
        self, rule: Across, at: np.ndarray, *, own: Mapping[str, pa.ChunkedArray]
    ) -> pa.Table:
        """Return the columns that a rule names of these rows of the parent's table and above it."""
        name, made = self.columns.name, dict(own)
        named = [a.name for a in rule.wide.attributes]
        for table in ancestors(self.above.schema.tables, name):
            if table in rule.tables:
                found = self.above.of(table)
                words = [c for c in found.column_names if f"{table}.{c}" in named]
                made |= {f"{table}.{c}": found[c].take(pa.array(at)) for c in words}
            at = self.above.drawn[table].above[at]
        return pa.table({word: made[word] for word in named if word in made})
