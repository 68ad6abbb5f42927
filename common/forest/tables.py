"""Whole tables of drawn families: finished rows in batches, and a file a table.

Nothing but a number a row is held for all families. A table is drawn by blocks of persons with
what stands above it, and a block is the same whenever it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Codec, Form, keeps_rules, read_values
from silosynth.common.files import make_directory
from silosynth.common.forest.block import Candidates, Codes, Drawer, Drawn
from silosynth.common.forest.forest import ForestSampler
from silosynth.common.forest.gaps import Within
from silosynth.common.generated import complete, row_words
from silosynth.common.rules import Column, Order, columns_of, evaluate
from silosynth.common.sampler import form_of_file, write_batches
from silosynth.common.schema import Schema
from silosynth.common.seeded import check_whole
from silosynth.common.tables import (
    Across,
    Families,
    GapScale,
    TablesSchema,
    ancestors,
    drawable,
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
) -> dict[str, int]:
    """Write a file a table, and return how many rows each has.

    Args: ending: of all files; None for text where the schema says how a table's text is written.

    Guarantees: as :meth:`Families.finished`; each parent has as many rows as was drawn for it; each
    row keeps its table's rules; the same seed gives the same rows. Memory holds a number a row of
    a table that has others below it, and a block of families.
    """
    forest = Forest(sampler=sampler, persons=persons, seed=seed)
    make_directory(folder)
    written = {}
    for name, path in table_files(sampler.schema, folder=folder, ending=ending).items():
        batches = forest.table(name, form=form_of_file(path))
        dialect = sampler.schema.tables[name].csv
        written[name] = write_batches(batches, path=path, dialect=dialect, force=force, mark=mark)
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
                gaps=columns.gaps,
                across=frozenset(_named_across(self.sampler.schema, name)),
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
        made = (rows.decode(d[name], form=form) for d in self._or_none(name))
        whole = complete(made, schema=rows.drawable, seed=table_seed(self.seed, name), form=form)
        yield from self.families.finished(name, whole, form=form)

    def codes(self, name: str) -> Iterator[dict[str, Drawn]]:
        """Yield blocks of one table and of those above it, as codes."""
        schema = self.sampler.schema
        above = ancestors(schema.tables, name)
        return self._blocks([*reversed(above), name])

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
                drawn[name] = self.drawer.below(
                    name, drawn, firsts.get(name, 0), kept=kept, within=within
                )
        return drawn

    def _kept(self, name: str, drawn: Mapping[str, Drawn]) -> _Ruled | None:
        """Return what says whether rows keep all rules; None where there are none."""
        columns = self.columns[name]
        across = [r for r in self.sampler.schema.across if r.tables[0] == name]
        if not columns.rows.rules and not across:
            return None
        above = _Above(schema=self.sampler.schema, columns=self.columns, drawn=drawn)
        return _Ruled(columns=columns, across=across, above=above)


def _named_across(schema: TablesSchema, name: str) -> Iterator[str]:
    """Yield the columns of a table that rules across tables name."""
    for rule in schema.across:
        for attribute in rule.wide.attributes:
            if attribute.name.startswith(f"{name}."):
                yield attribute.name.removeprefix(f"{name}.")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Columns:
    """How codes of one table become columns; ``across`` are those that rules across tables name."""

    name: str
    rows: Schema
    order: str | None
    gaps: GapScale | None
    across: frozenset[str]
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
        ruled = {c for r in self.rows.ruled.rules for c in columns_of(r)} | self.across
        if order is None or self.gaps is not None or order in ruled or not drawn.rows:
            return made
        # Codes never fall; inside a code the values of a parent's rows are put in order.
        values = read_values(made, schema=self.drawable, names=[order])[order]
        put = made[order].take(pa.array(np.lexsort((values, drawn.above))))
        return made.set_column(made.column_names.index(order), made.schema.field(order), put)

    def values(
        self, codes: Codes, words: np.ndarray, *, points: np.ndarray | None, form: Form
    ) -> pa.Table:
        """Return columns, each row's a function of its codes, its words and its steps."""
        whole = [codes.get(a, np.zeros(len(words), np.uint8)) for a in self.codec.domain.attributes]
        numbers = {}
        if self.gaps is not None and points is not None:
            numbers[self.gaps.column] = self.gaps.values_of(points)
        uniform = _Uniform(words, seed=self.seed, name=self.name)
        return self.codec.decode(whole, uniform=uniform, form=form, numbers=numbers)

    def finished(self, drawn: Drawn) -> pa.Table:
        """Return the columns of rows as they stand in the end, those of a parent in order."""
        made = self.decode(drawn, form=Form.TYPED)
        if self.order is None or not drawn.rows:
            return made
        values = read_values(made, schema=self.drawable, names=[self.order])[self.order]
        return made.take(pa.array(np.lexsort((values, drawn.above))))


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
            self._finished[table] = self.columns[table].finished(self.drawn[table])
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

    def within(self) -> Within | None:
        """Return (parents,) int64 twice, the first and the last step that rules across tables leave
        rows of each parent in the order column; None of a table without gaps.

        By orders of the column alone with what stands above: a date that may be on few days of its
        bin would else be drawn again and again.
        """
        name, scale = self.columns.name, self.columns.gaps
        if scale is None:
            return None
        parents = self.above.drawn[str(self.above.schema.tables[name].parent)].rows
        low, high = np.zeros(parents, dtype=np.int64), np.full(parents, scale.most)
        mine = Column(f"{name}.{scale.column}")
        for rule in self.across:
            if rule.last or not isinstance(rule.rule, Order):
                continue
            wide = self._above_wide(rule, np.arange(parents), own={})
            values = read_values(wide, schema=rule.wide, names=wide.column_names)
            terms = rule.rule.terms
            for sign, one, other in zip(rule.rule.signs, terms, terms[1:], strict=False):
                beside = other if one == mine else one
                if mine not in (one, other) or not set(columns_of(beside)) <= set(values):
                    continue
                steps = (evaluate(beside, rows=values) - scale.origin) / scale.step
                if one == mine:
                    last = np.floor(steps) if sign == "<=" else np.ceil(steps) - 1
                    high = np.fmin(high, last).astype(np.int64)
                else:
                    first = np.ceil(steps) if sign == "<=" else np.floor(steps) + 1
                    low = np.fmax(low, first).astype(np.int64)
        return low, high

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
