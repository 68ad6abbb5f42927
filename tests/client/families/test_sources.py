"""Wherever a silo's tables are, the same families are counted of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import adbc_driver_postgresql.dbapi as dbapi
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from silosynth.client.families import FamilyRows
from silosynth.client.families.count import Counted
from silosynth.client.families.opened import TableSource
from silosynth.client.source import SourceFormat, SourceSpec
from silosynth.common.errors import InvalidTable
from silosynth.common.families import Phase, Question, Weighing
from silosynth.common.tables import parse_tables
from tests.support.tables.families import ASKED, PEOPLE, SCHEMA, VISITS, clinic
from tests.support.tables.postgresql_server import running_server

PERSONS = 300
TABLES = clinic(PERSONS)
QUESTIONS = {
    n: tuple(Question(view=v, clique=c, scale=s) for v, c, s in q) for n, q in ASKED.items()
}
PHASE = Phase(
    plain=(*QUESTIONS["persons"], *QUESTIONS["first"]),
    weighed=QUESTIONS["later"],
    weighing=Weighing(fineness=256, length=3),
)


def counted(sources: Mapping[str, TableSource], told: list[str] | None = None) -> Counted:
    heard: list[str] = [] if told is None else told
    rows = FamilyRows(SCHEMA, sources, secret=bytes(32), tell_operator=heard.append)
    return rows.count(PHASE)


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """Start one server, whose language sorts otherwise than bytes do, and load the tables."""
    with running_server() as address:
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            for name, table in TABLES.items():
                cursor.adbc_ingest(name, table, mode="create")
            connection.commit()
        yield address


@pytest.fixture(scope="module")
def places(uri: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, TableSource]]:
    """Return the tables in every kind of place."""
    folder = tmp_path_factory.mktemp("tables")
    database = folder / "clinic.duckdb"
    with duckdb.connect(str(database)) as connection:
        for name, table in TABLES.items():
            connection.register("rows", table)
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM rows')
    parts = folder / "visits"
    parts.mkdir()
    for name, table in TABLES.items():
        pq.write_table(table, folder / f"{name}.parquet")
        pacsv.write_csv(table, folder / f"{name}.csv")
        feather.write_feather(table, folder / f"{name}.arrow", compression="uncompressed")
    half = TABLES["visits"].num_rows // 2
    pq.write_table(TABLES["visits"].slice(half), parts / "a.parquet", row_group_size=50)
    pq.write_table(TABLES["visits"].slice(0, half), parts / "b.parquet")

    def files(kind: SourceFormat, ending: str) -> dict[str, TableSource]:
        return {n: SourceSpec(format=kind, path=folder / f"{n}.{ending}") for n in TABLES}

    def queries(kind: SourceFormat, **where: object) -> dict[str, TableSource]:
        return {
            n: SourceSpec(format=kind, query=f'SELECT * FROM "{n}";', **where)  # type: ignore[arg-type]  # a place
            for n in TABLES
        }

    served = {"format": SourceFormat.POSTGRESQL, "uri": uri}
    duck = queries(SourceFormat.DUCKDB, path=database)
    whole: TableSource = SourceSpec(format=SourceFormat.PARQUET, path=parts)
    return {
        "parquet": {**files(SourceFormat.PARQUET, "parquet"), "visits": whole},
        "csv": files(SourceFormat.CSV, "csv"),
        "arrow": files(SourceFormat.ARROW, "arrow"),
        "by name": {n: folder / f"{n}.csv" for n in TABLES},
        "one database": duck,
        "a database and a file": {**duck, "visits": folder / "visits.csv"},
        "pulled": queries(SourceFormat.POSTGRESQL, uri=served["uri"]),
        "pushed down": queries(SourceFormat.POSTGRESQL, uri=served["uri"], push_down=True),
    }


@pytest.mark.parametrize(
    "place",
    [
        "parquet",
        "csv",
        "arrow",
        "by name",
        "one database",
        "a database and a file",
        "pulled",
        "pushed down",
    ],
)
def test_the_same_families_are_counted_wherever_they_are(
    place: str, places: Mapping[str, Mapping[str, TableSource]]
) -> None:
    told: list[str] = []
    expected: list[str] = []
    want = counted(TABLES, expected)
    found = counted(places[place], told)
    assert told == expected
    assert "3 rows belong to nobody" in " ".join(told)
    assert all(map(np.array_equal, found.plain, want.plain))
    assert all(map(np.array_equal, found.weighed, want.weighed))
    assert np.array_equal(found.norms, want.norms)
    assert found.plain[0].sum() == PERSONS


def test_a_server_sorts_persons_as_bytes_are(uri: str) -> None:
    """Names in an order of their own: a block that met another order would part families."""
    names = ["b", "B", "a", "Ä", "A b", "ab", "z", "é"]
    people = pa.table({"id": names, "sex": ["f"] * len(names)})
    visits = pa.table(
        {
            "visit": [f"{n}{i}" for n in names for i in range(3)],
            "id": [n for n in names for _ in range(3)],
            "day": [1] * 3 * len(names),
            "ward": ["a"] * 3 * len(names),
        }
    )
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("named", people, mode="replace")
        cursor.adbc_ingest("named visits", visits, mode="replace")
        connection.commit()
    columns = {"people": ("named", "sex"), "visits": ("named visits", "visit, day, ward")}
    sources = {
        n: SourceSpec(
            format=SourceFormat.POSTGRESQL,
            uri=uri,
            push_down=True,
            query=f'SELECT id COLLATE "und-x-icu" AS id, {rest} FROM "{table}"',
        )
        for n, (table, rest) in columns.items()
    }
    found = counted(sources)
    assert found.plain[0].sum() == len(names)
    assert np.array_equal(found.norms, counted({"people": people, "visits": visits}).norms)


@pytest.mark.parametrize("names", [["b", "A", "C", "d"], ["b", "B", "a", "A"]])
def test_a_database_sorts_persons_as_bytes_are_whatever_its_columns_say(
    names: list[str], tmp_path: Path
) -> None:
    """Else rows of one person stood in the block of another, or one name decided over all."""
    people = pa.table({"id": names, "sex": ["f"] * len(names)})
    visits = pa.table(
        {
            "visit": [f"{n}{i}" for n in names for i in range(3)],
            "id": [n for n in names for _ in range(3)],
            "day": [1] * 3 * len(names),
            "ward": ["a"] * 3 * len(names),
        }
    )
    tables, path = {"people": people, "visits": visits}, tmp_path / "clinic.duckdb"
    with duckdb.connect(str(path)) as connection:
        for name, table in tables.items():
            connection.register("rows", table)
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM rows')
            connection.execute(f'ALTER TABLE "{name}" ALTER id TYPE VARCHAR COLLATE NOCASE')
    sources = {
        n: SourceSpec(format=SourceFormat.DUCKDB, path=path, query=f'SELECT * FROM "{n}"')
        for n in tables
    }
    found, want = counted(sources), counted(tables)
    assert found.plain[0].sum() == len(names)
    assert all(map(np.array_equal, found.plain, want.plain))
    assert all(map(np.array_equal, found.weighed, want.weighed))
    assert np.array_equal(found.norms, want.norms)


@pytest.mark.parametrize("place", ["memory", "one database", "pulled", "pushed down"])
def test_a_number_is_one_key_however_many_digits_are_written(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Else its rows were nobody's, and one person who is written in two ways was two."""
    decimals = "(VALUES (7.0), (8.50), (10.000)) AS t(id)"
    queries = {
        "people": f"SELECT id, 'f' AS sex FROM {decimals}",
        "visits": f"SELECT NULL AS visit, CAST(id AS DECIMAL(9, 4)) AS id, 1 AS day, 'a' AS ward "
        f"FROM {decimals}",
    }
    sources: dict[str, TableSource]
    where: dict[str, Any]
    if place == "memory":
        with duckdb.connect() as connection:
            sources = {n: connection.sql(q).to_arrow_table() for n, q in queries.items()}
    elif place == "one database":
        duckdb.connect(str(tmp_path / "x.duckdb")).close()
        where = {"format": SourceFormat.DUCKDB, "path": tmp_path / "x.duckdb"}
        sources = {n: SourceSpec(query=q, **where) for n, q in queries.items()}
    else:
        where = {"format": SourceFormat.POSTGRESQL, "uri": request.getfixturevalue("uri")}
        down = place == "pushed down"
        sources = {n: SourceSpec(query=q, push_down=down, **where) for n, q in queries.items()}
    told: list[str] = []
    found = counted(sources, told)
    assert found.plain[0].sum() == 3
    assert told[-1] == "visits: 3 rows belong to a person and are counted"


@pytest.mark.parametrize("place", ["one database", "pushed down", "csv"])
def test_a_table_that_lacks_what_says_whose_its_rows_are_is_named(
    place: str, places: Mapping[str, Mapping[str, TableSource]], tmp_path: Path
) -> None:
    source = places[place]["visits"]
    assert isinstance(source, SourceSpec)
    if source.query is None:
        pacsv.write_csv(TABLES["visits"].drop_columns(["id"]), tmp_path / "visits.csv")
        changed = SourceSpec(format=source.format, path=tmp_path / "visits.csv")
    else:
        query = "SELECT visit, day, ward FROM visits"
        changed = SourceSpec(
            format=source.format,
            path=source.path,
            uri=source.uri,
            query=query,
            push_down=source.push_down,
        )
    with pytest.raises(InvalidTable, match="table 'visits': column 'id' is missing"):
        counted({**places[place], "visits": changed})


def test_nothing_is_left_on_the_disk(tmp_path: Path) -> None:
    for name, table in TABLES.items():
        pacsv.write_csv(table, tmp_path / f"{name}.csv")
    spill = tmp_path / "spill"
    sources = {n: SourceSpec(format=SourceFormat.CSV, path=tmp_path / f"{n}.csv") for n in TABLES}
    FamilyRows(SCHEMA, sources, secret=bytes(32), spill=spill).count(PHASE)
    assert list(spill.iterdir()) == []
    assert spill.stat().st_mode & 0o077 == 0


def _texts(values: list[bytes]) -> pa.Array:
    """Return bytes as a column of texts, as files hold them whatever they are."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values, pa.binary()).buffers())


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_no_bytes_of_one_row_decide_whether_tables_are_counted(ending: str, tmp_path: Path) -> None:
    """A refusal would tell of the row that was the cause, and nobody would have paid for it."""
    ids = [str(i).encode() for i in range(1, 21)]
    people = {"id": [b"\xff\xfe1", *ids[1:]], "sex": [b"f"] * 20}
    visits = {
        "visit": ids,
        "id": [b"\xff\xfe1", *ids[1:]],
        "day": [b"1"] * 20,
        "ward": [b"a", b"\xc3", *[b"b"] * 18],
    }
    for name, columns in (("people", people), ("visits", visits)):
        place = tmp_path / f"{name}.{ending}"
        if ending == "parquet":
            pq.write_table(pa.table({n: _texts(v) for n, v in columns.items()}), place)
        else:
            lines = [b",".join(row) for row in zip(*columns.values(), strict=True)]
            place.write_bytes(b"\n".join([",".join(columns).encode(), *lines]) + b"\n")
    told: list[str] = []
    kind = SourceFormat(ending)
    found = counted(
        {n: SourceSpec(format=kind, path=tmp_path / f"{n}.{ending}") for n in ("people", "visits")},
        told,
    )
    assert found.plain[0].sum() == 20
    assert told[-1] == "visits: 20 rows belong to a person and are counted"


def _write(table: pa.Table, place: Path) -> None:
    """Write a table as its ending says."""
    if place.suffix == ".parquet":
        pq.write_table(table, place)
    else:
        feather.write_feather(table, place, compression="uncompressed")


def _folder(place: Path, parts: Sequence[pa.Table], kind: SourceFormat) -> SourceSpec:
    """Write a table in several files of one folder."""
    place.mkdir()
    for i, part in enumerate(parts):
        _write(part, place / f"{i}.{kind.value}")
    return SourceSpec(format=kind, path=place)


@pytest.mark.parametrize("kind", [SourceFormat.PARQUET, SourceFormat.ARROW])
@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("day", pa.array([1, 2]), pa.array([1.0, 1.5])),
        ("day", pa.array([1, 2], pa.int32()), pa.array([1, 2**40])),
        ("day", pa.array([1, 2]), pa.array(["1", "x"])),
        ("id", pa.array([1, 2]), pa.array(["1", "x"])),
    ],
)
def test_files_of_one_table_with_other_types_are_refused_by_name_before_anybody_asks(
    kind: SourceFormat, column: str, one: pa.Array, other: pa.Array, tmp_path: Path
) -> None:
    """Were they brought to one type, a value that cannot be would decide; so none is looked at."""
    visits = TABLES["visits"].slice(0, 2)
    places = visits.column_names.index(column)
    lines = set()
    for i, second in enumerate((other, other[:0])):
        rest = visits.slice(0, len(second)).set_column(places, column, second)
        parts = (visits.set_column(places, column, one), rest)
        source = _folder(tmp_path / str(i), parts, kind)
        sources = {**TABLES, "visits": source}
        with pytest.raises(InvalidTable, match=f"1.{kind.value}: column '{column}' is") as refused:
            FamilyRows(SCHEMA, sources, secret=bytes(32))
        lines.add(str(refused.value).replace(str(source.path), ""))
    assert len(lines) == 1


@pytest.mark.parametrize("kind", [SourceFormat.PARQUET, SourceFormat.ARROW])
def test_files_of_one_table_may_differ_in_what_no_value_hangs_on(
    kind: SourceFormat, tmp_path: Path
) -> None:
    """In the order of columns, in how texts are stored, and where a file has nulls alone."""
    visits = TABLES["visits"]
    ward = visits.column_names.index("ward")
    first = visits.slice(0, 0).set_column(ward, "ward", pa.nulls(0))
    half = visits.num_rows // 2
    second = visits.slice(0, half).select(["ward", "day", "id", "visit"])
    words = visits["ward"].slice(half).combine_chunks().dictionary_encode()
    third = visits.slice(half).set_column(ward, "ward", words)
    source = _folder(tmp_path / "visits", (first, second, third), kind)
    found, want = counted({**TABLES, "visits": source}), counted(TABLES)
    assert all(map(np.array_equal, found.plain, want.plain))
    assert all(map(np.array_equal, found.weighed, want.weighed))


_BIG = 2**62
_KINDS: Mapping[str, tuple[pa.DataType, int]] = {
    str(kind): (kind, big)
    for kind, big in (
        (pa.timestamp("s"), _BIG),
        (pa.timestamp("ms"), _BIG),
        (pa.timestamp("us"), 2**63 - 1),
        (pa.timestamp("ns"), -(2**63)),
        (pa.timestamp("s", "UTC"), _BIG),
        (pa.timestamp("ms", "UTC"), 2**61),
        (pa.timestamp("us", "UTC"), _BIG),
        (pa.date32(), 2**31 - 1),
        (pa.time32("s"), 2**31 - 1),
        (pa.time64("us"), _BIG),
        (pa.time64("ns"), -_BIG),
        (pa.duration("s"), _BIG),
        (pa.duration("us"), _BIG),
    )
}
_HELD = [
    (kind, ending)
    for kind in _KINDS
    for ending in ("memory", "parquet", "arrow")
    # A Parquet file has no seconds: such an instant is not in it.
    if ending != "parquet" or not kind.startswith("timestamp[s")
]


def _odd(kind: pa.DataType, numbers: list[int | None]) -> pa.Array:
    """Return whole numbers as what they are stored of an instant, a time of day or a span."""
    return pa.array(numbers, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


@pytest.mark.parametrize(("kind", "ending"), _HELD)
def test_no_key_of_one_row_decides_whether_tables_are_counted(
    kind: str, ending: str, tmp_path: Path
) -> None:
    of, big = _KINDS[kind]
    tables = {
        "people": pa.table({"id": _odd(of, [0, 1, 2, big]), "sex": ["f"] * 4}),
        "visits": pa.table(
            {
                "visit": _odd(of, [7, big, None, 9]),
                "id": _odd(of, [0, 1, 1, big]),
                "day": [1] * 4,
                "ward": ["a"] * 4,
            }
        ),
    }
    sources: dict[str, TableSource] = {**tables}
    for name in tables if ending != "memory" else ():
        place = tmp_path / f"{name}.{ending}"
        _write(tables[name], place)
        sources[name] = SourceSpec(format=SourceFormat(ending), path=place)
    found = counted(sources)
    assert found.plain[0].sum() in (3, 4)
    assert found.plain[1].reshape(2, -1)[:, 1:3].sum() >= 2, "two persons of three keep visits"


@pytest.mark.parametrize(
    ("kind", "ending"), [h for h in _HELD if h[0].startswith(("timestamp", "date"))]
)
def test_no_instant_of_one_row_decides_whether_tables_are_counted(
    kind: str, ending: str, tmp_path: Path
) -> None:
    of, big = _KINDS[kind]
    seen = {"name": "seen", "kind": "datetime", "minimum": "1970-01-01", "maximum": "1970-12-31"}
    visits = {**VISITS, "order": "seen", "attributes": [seen]}
    schema = parse_tables(
        {"person": "people", "source": "public", "tables": {"people": PEOPLE, "visits": visits}}
    )
    table = pa.table(
        {"visit": ["a", "b", "c"], "id": [1, 1, 2], "seen": _odd(of, [86_400, big, None])}
    )
    source: TableSource = table
    if ending != "memory":
        _write(table, tmp_path / f"visits.{ending}")
        source = SourceSpec(format=SourceFormat(ending), path=tmp_path / f"visits.{ending}")
    rows = FamilyRows(
        schema, {"people": TABLES["people"], "visits": source}, secret=bytes(32)
    ).count(Phase(plain=(Question(view="people", clique=("number of visits",)),)))
    assert rows.plain[0].tolist()[1:3] == [1, 1]
