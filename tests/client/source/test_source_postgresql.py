"""Rows pulled from a real server and counts pushed down to it equal brute force."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import adbc_driver_postgresql.dbapi as dbapi
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from silosynth.client.maps.silo_map import parse_map
from silosynth.client.source import (
    Bounding,
    SourceFormat,
    SourceSpec,
    ValueQuestion,
    open_source,
    open_table,
)
from silosynth.client.source.bounding import bounding
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import parse_schema
from silosynth.common.values import Leaves, refined_attributes
from tests.support.tables.local_table import TYPED, by_hand, local_table
from tests.support.tables.messy import CANARY, LEVELS, QUERIES, SCHEMA, assert_exact, messy_table
from tests.support.tables.postgresql_server import running_server

TABLE = messy_table(3_000)
LOCAL = local_table(2_000)
SELECT = 'SELECT zip, grade, smoker, age, weight, seen, note, person FROM "Rows"'


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """Start one server for this module and load the table."""
    with running_server() as address:
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("Rows", TABLE, mode="create")
            cursor.adbc_ingest("Local", LOCAL, mode="create")
            cursor.execute(
                "CREATE VIEW typed AS SELECT zip::varchar(20) AS zip, grade::numeric AS grade, "
                "smoker, age::numeric(9,2) AS age, weight, seen AT TIME ZONE 'UTC' AS seen, note, "
                'person FROM "Rows"'
            )
            cursor.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')")
            connection.commit()
        yield address


def spec(uri: str, *, push_down: bool, query: str = SELECT, person: bool = False) -> SourceSpec:
    return SourceSpec(
        format=SourceFormat.POSTGRESQL,
        uri=uri,
        query=query,
        push_down=push_down,
        allow_extra=True,
        person_column="person" if person else None,
    )


@pytest.mark.parametrize("push_down", [False, True])
@pytest.mark.parametrize("query", [SELECT, f"{SELECT} ; ", "SELECT * FROM typed"])
def test_every_table_equals_brute_force(uri: str, push_down: bool, query: str) -> None:
    source = open_source(spec(uri, push_down=push_down, query=query), schema=SCHEMA)
    assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


@pytest.mark.parametrize("push_down", [False, True])
def test_one_row_changes_one_cell_by_one(uri: str, push_down: bool) -> None:
    query = f'{SELECT} WHERE ctid <> (SELECT min(ctid) FROM "Rows")'
    whole, without = (
        open_source(spec(uri, push_down=push_down, query=q), schema=SCHEMA).count(
            QUERIES, levels=LEVELS
        )
        for q in (SELECT, query)
    )
    for more, fewer in zip(whole, without, strict=True):
        assert (more - fewer).min() >= 0
        assert (more - fewer).sum() == 1


@pytest.mark.parametrize("push_down", [False, True])
def test_a_table_without_rows_counts_nothing(uri: str, push_down: bool) -> None:
    source = open_source(
        spec(uri, push_down=push_down, query=f"{SELECT} WHERE false"), schema=SCHEMA
    )
    assert not any(counts.any() for counts in source.count(QUERIES, levels=LEVELS))


def _rank_in_order(persons: pa.ChunkedArray, _: object) -> np.ndarray:
    """Rank each person's rows in table order; rows without a person come last."""
    seen: dict[object, int] = {}
    ranks = []
    for person in persons.to_pylist():
        ranks.append(10**6 if person is None else seen.get(person, 0))
        seen[person] = seen.get(person, 0) + 1
    return np.array(ranks)


@pytest.mark.parametrize("push_down", [False, True])
@pytest.mark.parametrize("rows_per_person", [1, 2])
def test_a_person_moves_a_marginal_by_no_more_rows_than_are_allowed(
    uri: str, push_down: bool, rows_per_person: int
) -> None:
    """Without any one person the counts differ by at most c; with no bound by far more."""
    bounding = Bounding(rank=_rank_in_order, key=b"key")
    persons = [p for p in TABLE["person"].to_pylist() if p is not None]
    busiest = max(set(persons), key=persons.count)
    assert persons.count(busiest) > 2
    whole, without = (
        open_source(
            spec(uri, push_down=push_down, query=q, person=True), schema=SCHEMA, bounding=bounding
        ).count(QUERIES, levels=LEVELS, rows_per_person=rows_per_person)
        for q in (SELECT, f"{SELECT} WHERE person IS DISTINCT FROM {busiest}")
    )
    kept = sum(min(persons.count(p), rows_per_person) for p in set(persons))
    for more, fewer in zip(whole, without, strict=True):
        assert more.sum() == kept, "rows without a person are not counted"
        assert (more - fewer).min() >= 0
        assert (more - fewer).sum() == rows_per_person


def test_which_rows_are_kept_depends_on_the_key(uri: str) -> None:
    first, again, other = (
        open_source(
            spec(uri, push_down=True, person=True),
            schema=SCHEMA,
            bounding=Bounding(rank=_rank_in_order, key=key),
        ).count(QUERIES, levels=LEVELS)
        for key in (b"1", b"1", b"2")
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("push_down", [False, True])
@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM absent",
        'DELETE FROM "Rows" RETURNING *',
        f"SELECT *, (zip || '{CANARY}')::int AS broken FROM \"Rows\" WHERE zip::int > 0",
        f"SELECT * FROM \"Rows\" WHERE '{CANARY}'::int = 1",
        'SELECT zip FROM "Rows"',
        'SELECT grade::jsonb AS grade, "Rows".* FROM "Rows"',
    ],
)
def test_errors_hold_nothing_of_what_the_server_says(uri: str, push_down: bool, query: str) -> None:
    source = open_source(spec(uri, push_down=push_down, query=query), schema=SCHEMA)
    with pytest.raises(InvalidTable) as caught:
        source.count(QUERIES, levels=LEVELS)
    assert CANARY not in str(caught.value)
    assert "absent" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_database_is_read_only_to_us(uri: str) -> None:
    """A function that writes is refused by the transaction, in both ways."""
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION wipe() RETURNS int LANGUAGE sql AS 'DELETE FROM \"Rows\"; SELECT 1'"
        )
        connection.commit()
    query = 'SELECT * FROM "Rows" WHERE wipe() = 1'
    for push_down in (False, True):
        source = open_source(spec(uri, push_down=push_down, query=query), schema=SCHEMA)
        with pytest.raises(InvalidTable, match="cannot be run"):
            source.count(QUERIES, levels=LEVELS)
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute('SELECT count(*) FROM "Rows"')
        assert cursor.fetchone() == (TABLE.num_rows,)


@pytest.mark.parametrize("push_down", [False, True])
def test_a_server_that_is_not_there_is_named_without_its_uri(push_down: bool) -> None:
    gone = f"postgresql://tester:{CANARY}@/postgres?host=/nowhere"
    source = open_source(spec(gone, push_down=push_down), schema=SCHEMA)
    with pytest.raises(InvalidTable, match="cannot be reached") as caught:
        source.count(QUERIES, levels=LEVELS)
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(spec(gone, push_down=push_down))


def test_rows_that_are_pushed_down_do_not_leave_the_server(uri: str) -> None:
    with pytest.raises(InvalidTable, match="do not leave their server"):
        open_source(spec(uri, push_down=True), schema=SCHEMA).encode()


@pytest.mark.parametrize(
    ("column", "cast"), [("age", "age::text"), ("seen", "seen::text"), ("zip", "now()::timestamp")]
)
def test_columns_that_sql_would_code_differently_are_refused(
    uri: str, column: str, cast: str
) -> None:
    others = [c for c in TABLE.column_names if c != column]
    query = f'SELECT {", ".join(others)}, {cast} AS {column} FROM "Rows"'
    source = open_source(spec(uri, push_down=True, query=query), schema=SCHEMA)
    with pytest.raises(InvalidTable, match=rf"column '{column}' .*cast it in the query"):
        source.count(QUERIES, levels=LEVELS)


def test_more_tables_than_one_statement_takes_are_counted_in_several(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("silosynth.client.source.from_postgresql.MOST_SETS", 2)
    source = open_source(spec(uri, push_down=True), schema=SCHEMA)
    assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


PERSONS = "(VALUES (1.0, 'a'), (1.00, 'b'), ('NaN', 'c'), ('NaN', 'd'), (NULL, 'e'), (2, 'f'))"
LETTERS = parse_schema(
    {
        "name": "letters",
        "attributes": [
            {"name": "x", "kind": "categorical", "source": "public", "categories": list("abcdef")}
        ],
    }
)
LETTER = (MarginalQuery(clique=("x",), level="fine"),)


@pytest.mark.parametrize("push_down", [False, True])
def test_numeric_persons_are_numbers_and_nobody_is_named_by_nan(uri: str, push_down: bool) -> None:
    """1.0 and 1.00 are one person, as SQL has it; a row of NaN or null names nobody."""
    query = f"SELECT person::numeric AS person, x FROM {PERSONS} AS v (person, x)"
    source = open_source(
        spec(uri, push_down=push_down, query=query, person=True),
        schema=LETTERS,
        bounding=bounding(bytes(32)),
    )
    (counts,) = source.count(LETTER, levels={"fine": Grouping()})
    assert counts[:2].sum() == 1
    assert counts[2:].tolist() == [0, 0, 0, 1, 0]


def test_a_numeric_person_that_is_an_attribute_too_has_to_be_selected_twice(uri: str) -> None:
    query = "SELECT x::numeric AS x FROM (VALUES (1), (2)) AS v (x)"
    named = dataclasses.replace(spec(uri, push_down=False, query=query), person_column="x")
    source = open_source(named, schema=LETTERS, bounding=bounding(bytes(32)))
    with pytest.raises(InvalidTable, match=r"'x' is numeric, names persons .*select it twice"):
        source.count(LETTER, levels={"fine": Grouping()})


def _database(uri: str, encoding: str, value: str) -> str:
    """Make a database of an encoding with a table of one text; return its uri."""
    name = encoding.lower()
    with dbapi.connect(uri, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' "
            "LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    address = uri.replace("/postgres?", f"/{name}?")
    with dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE words AS SELECT {value} AS x")
    return address


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        ("SQL_ASCII", "E'\\xe9'::text"),
        ("WIN1252", "chr(129)"),
        ("LATIN3", "chr(165)"),
        ("EUC_JP", "convert_from('\\xa2af', 'EUC_JP')"),
    ],
)
def test_a_database_of_text_that_may_not_convert_is_refused_whatever_it_holds(
    uri: str, encoding: str, value: str
) -> None:
    """Else one row's bytes would decide whether the silo answers."""
    address = _database(uri, encoding, value)
    for query in ("SELECT 'a'::text AS x", "SELECT x FROM words"):
        for push_down in (False, True):
            source = open_source(spec(address, push_down=push_down, query=query), schema=LETTERS)
            with pytest.raises(InvalidTable, match=rf"encoding is {encoding}.*UTF8"):
                source.count(LETTER, levels={"fine": Grouping()})


@pytest.mark.parametrize("encoding", ["LATIN1", "LATIN9", "WIN1256"])
def test_text_of_another_encoding_arrives_as_unicode(uri: str, encoding: str) -> None:
    address = _database(uri, encoding, "chr(233)")
    schema = parse_schema(
        {
            "name": "latin",
            "attributes": [
                {"name": "x", "kind": "categorical", "source": "public", "categories": ["a", "é"]}
            ],
        }
    )
    for push_down in (False, True):
        source = open_source(
            spec(address, push_down=push_down, query="SELECT x FROM words"), schema=schema
        )
        (counts,) = source.count(LETTER, levels={"fine": Grouping()})
        assert counts.tolist()[:2] == [0, 1]


def test_a_person_column_needs_a_bounding(uri: str) -> None:
    with pytest.raises(InvalidArgument, match="bounding"):
        open_source(spec(uri, push_down=True, person=True), schema=SCHEMA)


@pytest.mark.parametrize("push_down", [False, True])
@pytest.mark.parametrize("person", [False, True])
def test_mapped_rows_count_as_those_mapped_by_hand(uri: str, push_down: bool, person: bool) -> None:
    """Pulled or counted on the server: names, words, units and whole numbers are those of a map."""
    query = 'SELECT * FROM "Local"' + " WHERE person IS NOT NULL" * person
    source = open_source(
        spec(uri, push_down=push_down, query=query, person=person),
        schema=SCHEMA,
        silo_map=TYPED,
        bounding=bounding(b"s" * 32) if person else None,
    )
    counted = source.count(QUERIES, levels=LEVELS, rows_per_person=len(LOCAL))
    right = by_hand(LOCAL)
    if person:
        right = right.filter(pc.is_valid(right["person"]))
    assert_exact(counted, right)


@pytest.mark.parametrize("push_down", [False, True])
def test_points_are_those_of_rows_mapped_by_hand(uri: str, push_down: bool) -> None:
    grids = refined_attributes(SCHEMA)
    questions = [
        ValueQuestion(attribute=n, partition=Leaves(grid=g, join=max(1, g.points // 997)))
        for n, g in grids.items()
    ]
    mapped, plain = (
        source.count_values(questions)
        for source in (
            open_source(
                spec(uri, push_down=push_down, query='SELECT * FROM "Local"'),
                schema=SCHEMA,
                silo_map=TYPED,
            ),
            open_table(by_hand(LOCAL).drop_columns(["person"]), schema=SCHEMA),
        )
    )
    assert all(np.array_equal(a, b) for a, b in zip(mapped, plain, strict=True))


@pytest.mark.parametrize("resolution", ["month", "year"])
def test_points_of_months_and_of_any_step_are_those_that_are_found_here(
    uri: str, resolution: str
) -> None:
    number = {"name": "w", "kind": "real", "minimum": -1, "maximum": 900, "step": 0.7}
    instant = {"name": "m", "kind": "datetime", "minimum": "1901-02-03", "maximum": "2015-01-01"}
    schema = parse_schema(
        {"name": "w", "attributes": [number, instant | {"resolution": resolution}]}
    )
    questions = [
        ValueQuestion(attribute=name, partition=Leaves(grid=grid, join=1))
        for name, grid in refined_attributes(schema).items()
    ]
    query = (
        "SELECT n * 0.35::float8 - 3 AS w, "
        "timestamp '1900-01-31 23:59:59.999999' + n * interval '11 days' AS m "
        "FROM generate_series(0, 4000) AS n"
    )
    there, here = (
        open_source(spec(uri, push_down=push_down, query=query), schema=schema).count_values(
            questions
        )
        for push_down in (True, False)
    )
    assert {q.attribute for q in questions} == {"w", "m"}
    assert all(np.array_equal(a, b) for a, b in zip(there, here, strict=True))


def test_days_of_a_zone_are_not_counted_on_a_server(uri: str) -> None:
    """The server's clock would say which day a moment is of, and not the schema's zone."""
    day = {"name": "m", "kind": "datetime", "minimum": "2019-01-01", "maximum": "2021-01-01"}
    day |= {"resolution": "day", "zone": "America/New_York", "source": "public"}
    schema = parse_schema({"name": "w", "attributes": [day]})
    query = "SELECT timestamptz '2020-03-01 05:00+00' AS m"
    there, here = (
        open_source(spec(uri, push_down=push_down, query=query), schema=schema)
        for push_down in (True, False)
    )
    grid = refined_attributes(schema)["m"]
    question = ValueQuestion(attribute="m", partition=Leaves(grid=grid, join=1))
    with pytest.raises(InvalidTable, match="clocks of a zone"):
        there.count_values([question])
    (counted,) = here.count_values([question])
    assert grid.values(np.flatnonzero(counted)).tolist() == [1_583_020_800_000_000]


@pytest.mark.parametrize("query", [SELECT, "SELECT * FROM typed", 'SELECT * FROM "Local"'])
def test_rows_that_stay_on_the_server_are_said_to_fit_as_those_that_are_read_here(
    uri: str, query: str
) -> None:
    silo_map = TYPED if "Local" in query else parse_map({"version": 1, "columns": {}})
    there, here = (
        open_source(spec(uri, push_down=push, query=query), schema=SCHEMA, silo_map=silo_map)
        for push in (True, False)
    )
    found, right = there.survey(), here.survey()
    assert (found.rows, found.fits, found.hardly) == (right.rows, right.fits, right.hardly)
    assert sorted(map(str, found.notes)) == sorted(map(str, right.notes)) != []
    assert found.mapped == right.mapped
    assert dict(found.missing) == dict(right.missing)
    assert there.survey(going=lambda: False).rows == 0


@pytest.mark.parametrize("decimals", [-2, 9])
@pytest.mark.parametrize(
    "value", ["1e305::float8", "1e-310::float8", "1e305::numeric", "'Infinity'::float8"]
)
@pytest.mark.parametrize("factor", [1.0, 1e100])
def test_no_value_fails_a_request_that_was_charged(
    uri: str, value: str, decimals: int, factor: float
) -> None:
    number = {"name": "w", "kind": "real", "minimum": 0, "maximum": 1_000, "source": "public"}
    schema = parse_schema({"name": "w", "attributes": [number | {"decimals": max(decimals, 0)}]})
    grid = dataclasses.replace(refined_attributes(schema)["w"], decimals=decimals)
    question = ValueQuestion(attribute="w", partition=Leaves(grid=grid, join=grid.points))
    query = f"SELECT {value} AS w"
    for push_down in (False, True):
        source = open_source(
            spec(uri, push_down=push_down, query=query),
            schema=schema,
            silo_map=parse_map({"version": 1, "columns": {"w": {"scale": factor}}}),
        )
        assert source.count_values([question])[0].sum() == 1
        query_w = MarginalQuery(clique=("w",), level="fine")
        assert source.count([query_w], levels={"fine": Grouping()})[0].sum() == 1


def test_a_format_is_not_read_on_a_server(uri: str) -> None:
    silo_map = parse_map(
        {
            "version": 1,
            "columns": TYPED.model_dump(by_alias=True)["columns"]
            | {"seen": {"format": "%d.%m.%Y"}},
        }
    )
    source = open_source(
        spec(uri, push_down=True, query='SELECT * FROM "Local"'), schema=SCHEMA, silo_map=silo_map
    )
    with pytest.raises(InvalidTable, match="has a format in the map"):
        source.count(QUERIES, levels=LEVELS)


@pytest.mark.parametrize("push_down", [False, True])
@pytest.mark.parametrize(
    ("cast", "words"),
    [
        ("mood", ["sad", "ok", "happy"]),
        ("inet", ["10.0.0.1/32", "10.0.0.2/32", "10.1.0.0/16"]),
        ("timetz", ["08:00:00+01", "09:00:00+01", "10:30:00+00"]),
        ("int4range", ["[1,3)", "[3,5)", "[5,9)"]),
        ("varbit", ["101", "1", "0"]),
    ],
)
def test_the_servers_own_types_are_what_it_writes(
    uri: str, push_down: bool, cast: str, words: list[str]
) -> None:
    listed = ", ".join(f"('{word}'::{cast})" for word in [*words, *words[:2], words[0]])
    query = f"SELECT x FROM (VALUES {listed}, (NULL)) AS v (x)"
    facts = {"kind": "categorical", "categories": words, "other": False, "missing": True}
    schema = parse_schema({"name": "t", "source": "public", "attributes": [{"name": "x", **facts}]})
    source = open_source(spec(uri, push_down=push_down, query=query), schema=schema)
    (counts,) = source.count(LETTER, levels={"fine": Grouping()})
    assert counts.tolist() == [3, 2, 1, 1]


@pytest.mark.parametrize("cast", ["date", "timestamp", "timestamptz"])
@pytest.mark.parametrize("resolution", ["day", "week", "month", "quarter", "year"])
def test_an_instant_without_end_is_the_last_pulled_and_pushed_down(
    uri: str, cast: str, resolution: str
) -> None:
    texts = ("-infinity", "1969-12-31", "2020-02-29", "2020-03-01", "2030-12-31", "infinity")
    listed = ", ".join(f"('{text}'::{cast})" for text in texts)
    query = f"SELECT x FROM (VALUES {listed}) AS v (x)"
    facts = {"kind": "datetime", "resolution": resolution, "source": "public"}
    bounds = {"minimum": "2000-01-01", "maximum": "2030-12-31"}
    schema = parse_schema({"name": "w", "attributes": [{"name": "x", **facts, **bounds}]})
    grid = refined_attributes(schema)["x"]
    question = [ValueQuestion(attribute="x", partition=Leaves(grid=grid, join=1))]
    pushed, pulled = (
        open_source(spec(uri, push_down=push, query=query), schema=schema).count_values(question)[0]
        for push in (True, False)
    )
    assert pushed.tolist() == pulled.tolist()
    assert pulled[-1] >= 1


@pytest.mark.parametrize(
    ("cast", "one", "other"),
    [
        ("citext", "A", "a"),
        ("jsonb", "1.0", "1"),
        ("json", "1", " 1"),
        ("xml", "<a/>", "<a></a>"),
        ("numrange", "[1,2)", "[1.0,2)"),
        ("nummultirange", "{[1,2)}", "{[1.0,2)}"),
    ],
)
def test_no_person_has_a_name_that_is_equal_and_sent_otherwise(
    uri: str, cast: str, one: str, other: str
) -> None:
    """A person of two names would have twice as many rows as were charged."""
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS citext")
        connection.commit()
    query = f"SELECT * FROM (VALUES ('{one}'::{cast}, 1), ('{other}'::{cast}, 1)) AS v (person, n)"
    facts = {"name": "n", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"}
    schema = parse_schema({"name": "w", "attributes": [facts]})
    source = open_source(
        spec(uri, push_down=False, query=query, person=True),
        schema=schema,
        bounding=bounding(bytes(32)),
    )
    with pytest.raises(InvalidTable, match=r"several ways.*lower"):
        source.count([MarginalQuery(clique=("n",))], levels={"fine": Grouping()})
