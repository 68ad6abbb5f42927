"""Whoever is one person to a database is one here, and no two are, or the column is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import adbc_driver_postgresql.dbapi as dbapi
import duckdb
import pytest

from silosynth.client.families import join_tables
from silosynth.client.source import SourceFormat, SourceSpec, open_source
from silosynth.client.source.bounding import bounding
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import parse_schema
from silosynth.common.tables import parse_tables
from tests.support.tables.postgresql_server import running_server

NUMBER = {"name": "n", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"}
SCHEMA = parse_schema({"name": "t", "attributes": [NUMBER]})
TABLES = parse_tables(
    {
        "name": "t",
        "person": "people",
        "tables": {
            "people": {"key": "p", "attributes": [NUMBER]},
            "visits": {"parent": "people", "by": "p", "children": [0, 9], "attributes": [NUMBER]},
        },
    }
)


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with running_server() as address:
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', "
                "deterministic = false)"
            )
            cursor.execute("CREATE DOMAIN named AS text COLLATE loose")
            cursor.execute("CREATE COLLATION german (provider = icu, locale = 'de')")
            connection.commit()
        yield address


def counted(spec: SourceSpec) -> int:
    """Return how many rows are counted where each person may have one."""
    source = open_source(spec, schema=SCHEMA, bounding=bounding(bytes(32)))
    query = MarginalQuery(clique=("n",), level="fine")
    (counts,) = source.count([query], levels={"fine": Grouping()}, rows_per_person=1)
    return int(counts.sum())


def in_duckdb(folder: Path, rows: str) -> SourceSpec:
    path = folder / f"{len([*folder.iterdir()])}.duckdb"
    duckdb.connect(str(path)).close()
    return SourceSpec(
        format=SourceFormat.DUCKDB,
        path=path,
        query=f"SELECT * FROM (VALUES {rows}) AS v (p, n)",
        allow_extra=True,
        person_column="p",
    )


def test_two_persons_of_times_with_zones_are_not_one(tmp_path: Path) -> None:
    rows = "('10:00:00+01'::timetz, 1), ('10:00:00+02'::timetz, 2)"
    with pytest.raises(InvalidTable, match=r"'p' names persons by times with a zone") as refused:
        counted(in_duckdb(tmp_path, rows))
    assert "varchar" in str(refused.value.hint)
    assert counted(in_duckdb(tmp_path, rows.replace("timetz", "timetz::varchar"))) == 2


def test_persons_named_by_json_are_told_apart_by_their_bytes(tmp_path: Path) -> None:
    rows = """('"a"'::JSON, 1), ('"A"'::JSON, 2), ('"a"'::JSON, 3)"""
    assert counted(in_duckdb(tmp_path, rows)) == 2


@pytest.mark.parametrize("collation", ["NOCASE", "NOACCENT", "NFC", "NOCASE.NOACCENT"])
def test_one_person_of_a_collation_is_not_two(tmp_path: Path, collation: str) -> None:
    rows = f"('a' COLLATE {collation}, 1), ('A', 2)"
    with pytest.raises(InvalidTable, match="its collation calls different texts equal"):
        counted(in_duckdb(tmp_path, rows))
    assert counted(in_duckdb(tmp_path, "('a', 1), ('A', 2), ('a', 3)")) == 2


def test_families_are_not_joined_by_times_without_their_zones(tmp_path: Path) -> None:
    specs = {}
    for table in ("people", "visits"):
        path = tmp_path / f"{table}.duckdb"
        duckdb.connect(str(path)).close()
        query = "SELECT '10:00:00+01'::timetz AS p, 1 AS n"
        specs[table] = SourceSpec(format=SourceFormat.DUCKDB, path=path, query=query)
    with (
        pytest.raises(InvalidTable, match="'p' names persons by times with a zone"),
        join_tables(TABLES, specs) as joined,
    ):
        [*joined.blocks()]


@pytest.mark.parametrize("kind", ["text COLLATE loose", "varchar(9) COLLATE loose", "named"])
def test_one_person_of_a_servers_collation_is_not_two(uri: str, kind: str) -> None:
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS who")
        cursor.execute(f"CREATE TABLE who (p {kind}, n int)")
        cursor.execute("INSERT INTO who VALUES ('a', 1), ('A', 2)")
        connection.commit()

    def pulled(query: str, *, push_down: bool = False) -> SourceSpec:
        return SourceSpec(
            format=SourceFormat.POSTGRESQL,
            uri=uri,
            query=query,
            push_down=push_down,
            allow_extra=True,
            person_column="p",
        )

    with pytest.raises(InvalidTable, match="its collation calls different texts equal"):
        counted(pulled("SELECT * FROM who"))
    assert counted(pulled('SELECT lower(p) COLLATE "C" AS p, n FROM who')) == 1
    assert counted(pulled("SELECT p COLLATE german AS p, n FROM who")) == 2
    # The server parts rows by its own collation, in which they are one person's.
    assert counted(pulled("SELECT * FROM who", push_down=True)) == 1
