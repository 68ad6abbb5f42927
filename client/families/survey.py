"""Say how a silo's tables hang together, in words for its operator alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

import pyarrow as pa

from silosynth.client.csv import bad_lines_words, count_bad_lines, sniff_dialect
from silosynth.client.families.join import Joined, Nobodys, join_tables
from silosynth.client.families.opened import own_columns
from silosynth.client.families.rows import Told, code_families
from silosynth.client.source import Survey, Tally, is_text_file, table_name, tables_in
from silosynth.common.errors import InvalidTable
from silosynth.common.tables import TablesSchema, table_like


def find_tables(folder: Path, *, schema: TablesSchema) -> dict[str, Path]:
    """Return the file of each table: it bears the table's name, as a draft spells it.

    Raises InvalidTable for a table without a file, and for one with two.
    """
    if not folder.is_dir():
        raise InvalidTable(f"{folder}: is no folder", hint="name the folder of the tables")
    files = tables_in(folder)
    found: dict[str, Path] = {}
    for name in schema.tables:
        own = [p for p in files if table_like(table_name(p)) == name]
        if len(own) != 1:
            what = "no file" if not own else "several files"
            raise InvalidTable(
                f"{folder}: {what} of table {name!r}", hint=f"one, such as {name}.parquet"
            )
        found[name] = own[0]
    return found


def passed_over(files: Mapping[str, Path], *, schema: TablesSchema) -> tuple[str, ...]:
    """Say of tables in text files how many lines are passed over; for the operator's eyes alone."""
    told = []
    for name, file in files.items():
        if is_text_file(file):
            own = own_columns(schema, name)
            how, names = own.csv or sniff_dialect(file), tuple(a.name for a in own.attributes)
            if bad := count_bad_lines(file, dialect=how, names=names):
                told.append(f"{name}: {bad_lines_words(bad)}")
    return tuple(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class FamiliesSurvey:
    """What one reading of all tables showed. Private: nothing of it may decide what leaves.

    ``words`` say how the tables hang together, ``tables`` how each one's columns fit.
    """

    words: tuple[str, ...] = field(repr=False)
    tables: Mapping[str, Survey] = field(repr=False)

    @property
    def fits(self) -> Mapping[str, float]:
        """Return the share that fits, by table and column, of each of which not all do."""
        return {
            f"{name}: {column}": share
            for name, survey in self.tables.items()
            for column, share in survey.fits.items()
        }

    @property
    def hardly(self) -> tuple[str, ...]:
        """Return the columns, and rules, of which hardly anything fits."""
        return tuple(f"{n}: {c}" for n, survey in self.tables.items() for c in survey.hardly)

    def lines(self) -> tuple[str, ...]:
        """Return what the operator is told."""
        bent = (f"{n}: {line}" for n, survey in self.tables.items() for line in survey.lines())
        return (*self.words, *bent)


def survey_families(schema: TablesSchema, files: Mapping[str, Path]) -> tuple[str, ...]:
    """Join the tables as they would be counted, and say what of them would not be.

    The sentences hold counts of private rows: they are for the operator's eyes alone.
    """
    told: list[str] = []
    with join_tables(schema, files, tell_operator=told.append) as joined:
        words = look_at_families(joined, schema=schema).words
    return (*told, *words)


def look_at_families(
    joined: Joined, *, schema: TablesSchema, going: Callable[[], bool] = lambda: True
) -> FamiliesSurvey:
    """Say of joined tables what is counted and what is not, and how columns fit; breaks off where
    it goes on no more. None of the rows is kept.
    """
    told = Told(broken={})
    tallies = {n: Tally(schema=own_columns(schema, n)) for n in schema.downward}

    def seen() -> Iterator[dict[str, pa.Table]]:
        for block in takewhile(lambda _: going(), joined.blocks()):
            for name, tally in tallies.items():
                tally.add(block[name])
            yield block

    for _ in code_families(seen(), schema=schema, secret=os.urandom(32), told=told):
        pass
    words = families_words(schema, told, joined.nobodys())
    return FamiliesSurvey(words=words, tables={n: t.survey() for n, t in tallies.items()})


def families_words(schema: TablesSchema, told: Told, lost: Nobodys) -> tuple[str, ...]:
    """Say which rows are counted, and which are not and why; for the operator's eyes alone."""
    return tuple(line for name in schema.downward for line in _lines(schema, name, told, lost))


def _lines(schema: TablesSchema, name: str, told: Told, lost: Nobodys) -> list[str]:
    table = schema.tables[name]
    lines = [f"{name}: {told.rows.get(name, 0):,} rows belong to a person and are counted"]
    if nobodys := lost.rows[name]:
        where = f"{table.by!r} names no row of {table.parent!r} here" if table.by else "have no key"
        lines.append(f"{name}: {nobodys:,} rows belong to nobody and are not counted: {where}")
    if double := told.double_keys.get(name, 0):
        kept = "one row a key is counted" if table.parent is None else "what names it is under one"
        lines.append(f"{name}: {double:,} rows have the key of another row; {kept}")
    if table.children is not None and (beyond := told.beyond.get(name, 0)):
        low, most = table.children[0], table.children[-1]
        lines.append(
            f"{name}: {beyond:,} rows of {table.parent} have fewer than {low} or more than {most} "
            "of them; they are counted as having so many"
        )
    if table.gaps is not None and (odd := told.odd_gaps.get(name, 0)):
        low, most = table.gaps.edges[0], table.gaps.edges[-1]
        unit = f" {table.gaps.unit}" if table.gaps.unit else ""
        lines.append(
            f"{name}: {odd:,} rows come less than {low} or more than {most}{unit} after the row "
            "before them; they are counted as coming so long after it"
        )
    for rule in schema.across:
        if rule.tables[0] == name and (broken := (told.broken or {}).get(rule.text, 0)):
            lines.append(
                f"{name}: {broken:,} rows break the rule {rule.text!r}; they are counted as they "
                "are, and drawn rows keep it"
            )
    return lines
