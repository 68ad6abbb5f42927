"""The tables of a simulation's silos, and the maps that lie beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from silosynth.client.csv import bad_lines_words, count_bad_lines, sniff_dialect
from silosynth.client.maps import NO_MAP, SiloMap, check_map, check_reviewed, load_map
from silosynth.client.source import (
    ENDINGS,
    OF_RULE,
    is_text_file,
    read_table,
    read_untyped,
    table_name,
    take_survey,
)
from silosynth.common.cli import say
from silosynth.common.codec import Codec, TableLike
from silosynth.common.errors import InvalidArgument, InvalidMap, InvalidPlan, InvalidTable
from silosynth.common.names import machine_key
from silosynth.common.plan import Plan, lack_words
from silosynth.common.schema import CsvDialect, Schema

_FEW_ROWS = 100
_MAP = ".map.yaml"


def read_silos(
    path: Path,
    *,
    schema: Schema,
    by: str | None,
    person_column: str | None = None,
    maps: Mapping[str, SiloMap] | None = None,
) -> dict[str, pa.Table]:
    """Read one table a silo: the files of a directory, or the parts of one table."""
    if not path.exists():
        raise InvalidArgument(f"{path} does not exist", hint="give a directory or a table")
    if path.is_file():
        if by is None:
            raise InvalidArgument(
                f"{path} is one table", hint="say which column splits it into silos with --by"
            )
        dialect = _dialect(path, schema=schema)
        table = read_untyped(path, dialect=dialect)
        _say_passed_over(path, dialect=dialect, schema=schema)
        parts = split_table(table, by=by)
        declared = {a.name for a in schema.attributes} | {person_column}
        return {n: t if by in declared else t.drop_columns([by]) for n, t in parts.items()}
    if by is not None:
        raise InvalidArgument("--by splits one table", hint=f"leave it out: {path} is a directory")
    tables = {}
    for silo, file in find_silos(path).items():
        dialect = _dialect(file, schema=schema)
        tables[silo] = read_table(
            file,
            schema=schema,
            dialect=dialect,
            person_column=person_column,
            silo_map=(maps or {}).get(silo, NO_MAP),
            allow_extra=bool(maps),
        )
        _say_passed_over(file, dialect=dialect, schema=schema)
    return tables


def read_maps(path: Path) -> dict[str, SiloMap]:
    """Return the map of each silo that has one: a file beside its table, ``SILO.map.yaml``."""
    files = sorted(path.glob(f"*{_MAP}")) if path.is_dir() else []
    return {machine_key(file.name.removesuffix(_MAP)): load_map(file) for file in files}


def find_silos(folder: Path) -> dict[str, Path]:
    """Return the table of each silo: a file named after it. Files that are no table are told."""
    files = sorted(f for f in folder.iterdir() if f.is_file() and not f.name.startswith("."))
    tables = [f for f in files if f.name.lower().endswith(ENDINGS)]
    if not tables:
        raise InvalidArgument(
            f"{folder} holds no table", hint=f"put files that end in {', '.join(ENDINGS)} there"
        )
    for other in files:
        if not other.name.lower().endswith(ENDINGS) and not other.name.endswith(_MAP):
            say(f"{other} is left out: it is no table by its ending")
    found: dict[str, Path] = {}
    for file in tables:
        silo = machine_key(table_name(file))
        if silo in found:
            raise InvalidTable(
                f"{folder} holds two tables of silo {silo!r}", hint="keep one file for each silo"
            )
        found[silo] = file
    return found


def _dialect(path: Path, *, schema: Schema) -> CsvDialect | None:
    """Return how a text file is written: as the schema says, else found out and said."""
    if not is_text_file(path):
        return None
    found = schema.csv or sniff_dialect(path)
    if schema.csv is None and not found.reads_as(CsvDialect()):
        say(f"{path}: read as a text file with {found.describe()}")
    return found


def _say_passed_over(path: Path, *, dialect: CsvDialect | None, schema: Schema) -> None:
    """Say how many lines of a text file were passed over, as a silo's check of it does."""
    if dialect is not None:
        names = tuple(a.name for a in schema.attributes)
        say_bad_lines(path, count_bad_lines(path, dialect=dialect, names=names))


def say_bad_lines(path: Path, count: int) -> None:
    """Say that so many lines of a file are passed over; nothing of none."""
    if count:
        say(f"{path}: {bad_lines_words(count)}")


def check_maps(
    maps: Mapping[str, SiloMap], *, schema: Schema, silos: Mapping[str, TableLike]
) -> None:
    """Raise InvalidMap unless every map is of a silo, fits the schema and was reviewed."""
    for silo, silo_map in maps.items():
        if silo not in silos:
            raise InvalidMap(f"there is a map of silo {silo!r}, and no table", hint="rename it")
        check_map(silo_map, schema=schema, origin=f"silo {silo}")
        check_reviewed(silo_map, origin=f"silo {silo}")


def check_lacks(
    plan: Plan, maps: Mapping[str, SiloMap], *, schema: Schema, tell: Callable[[str], None]
) -> None:
    """Say who lacks what; raise InvalidPlan unless a plan says of columns what the maps do."""
    for sentence in lack_words(plan):
        tell(sentence)
    counted = set(schema.domain.attributes)
    for silo, silo_map in maps.items():
        stated = set((plan.lacks or {}).get(silo, ()))
        lacked = silo_map.absent & counted
        if wrong := sorted(stated ^ lacked):
            raise InvalidPlan(
                f"silo {silo} {'holds' if wrong[0] in stated else 'lacks'} {wrong[0]!r}, and plan "
                f"{plan.id} says otherwise",
                hint="make the plan with --lacks as the silos' maps declare columns absent",
            )


def check_people(plan: Plan, tables: Mapping[str, pa.Table], *, person_column: str | None) -> None:
    """Raise InvalidTable where silos of different columns hold the same people.

    Their rows would be counted as those of different people, and no pair of columns that lie in
    two silos could be known from noised counts: join the tables beforehand.
    """
    if person_column is None or not plan.lacks:
        return
    names = {s: set(t[person_column].to_pylist()) - {None} for s, t in tables.items()}
    for one, other in combinations(names, 2):
        same = len(names[one] & names[other])
        if plan.lacks.get(one) != plan.lacks.get(other) and 2 * same > len(names[one]):
            raise InvalidTable(
                f"silos {one} and {other} hold different columns of the same people",
                hint="join their tables into one silo's beforehand; noised counts cannot",
            )


def take_table(
    silo: str, table: TableLike, *, schema: Schema, person_column: str | None, silo_map: SiloMap
) -> pa.Table:
    """Take the schema's columns of a silo's table; name the silo when they do not fit."""
    try:
        return read_table(table, schema=schema, person_column=person_column, silo_map=silo_map)
    except InvalidTable as err:
        raise InvalidTable(f"silo {silo}: {err.message}", hint=err.hint) from err


def tell_fit(
    tables: Mapping[str, pa.Table],
    *,
    schema: Schema,
    maps: Mapping[str, SiloMap],
    accept_misfits: bool,
    tell: Callable[[str], None],
) -> None:
    """Say what each operator would be told; raise InvalidTable where hardly anything fits."""
    misfits: list[tuple[str, str, float]] = []
    codec = Codec(schema)
    for silo, table in tables.items():
        if table.num_rows < _FEW_ROWS:
            tell(f"{silo}: {table.num_rows} rows are few: most counts will be lost in the noise")
        found = take_survey([table], schema=schema, silo_map=maps[silo], codec=codec)
        for line in found.lines():
            tell(f"{silo}: {line}")
        misfits += [(silo, name, found.fits[name]) for name in found.hardly]
    if misfits and not accept_misfits:
        silo, name, share = misfits[0]
        some = f"only {share:.1%} of the values" if share else "no value"
        rule = name.startswith(OF_RULE)
        what = f"only {share:.1%} of the rows keep {name}" if rule else None
        raise InvalidTable(
            f"silo {silo}: {what or f'{some} of column {name!r} fits the schema'}",
            hint="correct the table, the schema or the silo's map (silosynth silo map), or go on "
            "with --anyway",
        )


def silo_name(value: object) -> str:
    """Spell a value of the silo column as a silo's name, by the rule that plans have too."""
    return machine_key(value)


def split_table(table: pa.Table, *, by: str) -> dict[str, pa.Table]:
    """Return one table for each value of column ``by``, in order of their names.

    Raises InvalidTable when there is no such column, or two values give one silo name.
    """
    if by not in table.column_names:
        raise InvalidTable(
            f"there is no column {by!r} to split by",
            hint=f"use one of {', '.join(table.column_names[:8])}",
        )
    codes = pc.dictionary_encode(table[by].combine_chunks(), null_encoding="encode")
    parts: dict[str, pa.Table] = {}
    for code, value in enumerate(codes.dictionary.to_pylist()):
        name = silo_name(value)
        if name in parts:
            raise InvalidTable(
                f"two values of column {by!r} give the silo name {name!r}",
                hint="rename one of them in a copy of the column",
            )
        parts[name] = table.filter(pc.equal(codes.indices, code))
    return dict(sorted(parts.items()))


def match_roster(tables: Mapping[str, pa.Table], *, roster: tuple[str, ...]) -> None:
    """Raise InvalidTable unless there is exactly one table for each silo of the roster."""
    missing = [s for s in roster if s not in tables]
    named = frozenset(roster)
    extra = [s for s in tables if s not in named]
    if missing:
        raise InvalidTable(
            f"the plan names {len(missing)} silos that have no table, {missing[0]!r} first",
            hint="name the files after the silos, or make the plan with other --silos",
        )
    if extra:
        raise InvalidTable(
            f"{len(extra)} tables belong to no silo of the plan, {extra[0]!r} first",
            hint="name them with --silos when you make the plan, or take them away",
        )
