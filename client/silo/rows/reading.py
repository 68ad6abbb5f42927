"""Read a silo's tables as its gateway will, before a plan pays for it; for its operator alone."""

from __future__ import annotations

from pathlib import Path

from silosynth.client.csv import bad_lines_words, count_bad_lines
from silosynth.client.policy import DatasetSection, PolicyFile
from silosynth.client.silo.rows.datasets import (
    load_checked_map,
    load_checked_schema,
    open_dataset,
)
from silosynth.client.source import (
    CSV,
    Source,
    SourceFormat,
    list_files,
    load_secret,
    open_source,
)
from silosynth.client.source.bounding import bounding
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema

_FINE = "fine"


def read_tables(policy: PolicyFile) -> dict[str, tuple[str, ...]]:
    """Return by data set what its operator should know; what is counted is thrown away.

    The sentences may speak of the data. Nothing is kept, charged or sent.

    Raises InvalidTable naming the data set when the gateway could not count it: a request would be
    charged and not answered.
    """
    secret = load_secret(Path(policy.silo.persons_secret))
    return {
        s.name: _read(s, secret=secret) if s.tables is None else _join(policy, s, secret=secret)
        for s in policy.datasets
    }


def _read(section: DatasetSection, *, secret: bytes) -> tuple[str, ...]:
    """Read one data set whole."""
    schema, notes = load_checked_schema(section), list[str]()
    bounded = section.person_column is not None
    try:
        notes += _bad_lines(section, schema=schema)
        source = open_source(
            section.source(),
            schema=schema,
            bounding=bounding(secret, tell_operator=notes.append) if bounded else None,
            silo_map=load_checked_map(section, schema=schema),
        )
        notes += _survey(source)
        query = MarginalQuery(clique=schema.domain.attributes[:1], level=_FINE)
        (counts,) = source.count(
            [query], levels={_FINE: Grouping()}, rows_per_person=section.rows_per_person
        )
    except InvalidTable as err:
        raise InvalidTable(f"data set {section.name!r}: {err.message}", hint=err.hint) from None
    if not counts.any():
        notes.append("no row of it is counted: this silo would add nothing but noise")
    return tuple(notes)


def _join(policy: PolicyFile, section: DatasetSection, *, secret: bytes) -> tuple[str, ...]:
    """Join several tables as they would be counted, and say how they fit and hang together."""
    told: list[str] = []
    dataset = open_dataset(policy, section, secret=secret, tell_operator=told.append)
    try:
        found = dataset.rows.survey()
    except InvalidTable as err:
        raise InvalidTable(f"data set {section.name!r}: {err.message}", hint=err.hint) from None
    warned = (f"{name}: hardly anything of it fits the schema" for name in found.hardly)
    return (*told, *found.lines(), *warned)


def _survey(source: Source) -> tuple[str, ...]:
    """Say what the map does to the rows, and what share of each column fits the schema."""
    found = source.survey()
    warned = (f"{name}: hardly anything of it fits the schema" for name in found.hardly)
    return (*found.lines(), *warned)


def _bad_lines(section: DatasetSection, *, schema: Schema) -> list[str]:
    """Say how many lines of a text file the gateway will pass over."""
    if section.path is None or section.format is not SourceFormat.CSV:
        return []
    names = tuple(a.name for a in schema.attributes)
    files = list_files(Path(section.path), endings=CSV)
    dialect = section.csv or schema.csv
    bad = sum(count_bad_lines(file, dialect=dialect, names=names) for file in files)
    return [bad_lines_words(bad)] if bad else []
