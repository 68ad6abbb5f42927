"""Histograms of numbers' points equal brute force, wherever the rows are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product

import adbc_driver_postgresql.dbapi as dbapi
import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.maps.silo_map import ColumnMap
from silosynth.client.source import (
    Source,
    SourceFormat,
    SourceSpec,
    ValueQuestion,
    open_source,
    open_table,
)
from silosynth.client.source.bounding import bounding
from silosynth.client.source.sql import Kind, Stored, cell_sql, point_sql
from silosynth.common.codec import Codec
from silosynth.common.plan import plan_trees
from silosynth.common.schema import parse_schema
from silosynth.common.values import (
    ClockCells,
    Clocks,
    Closer,
    Leaves,
    ValueGrid,
    endings_of,
    factors,
    refine,
    refined_attributes,
    told_by,
)
from tests.support.tables.messy import SCHEMA, messy_table
from tests.support.tables.postgresql_server import running_server

TABLE = messy_table(1_000)
GRIDS = refined_attributes(SCHEMA)
JOINS = (1, 10, 1000)
SELECT = 'SELECT zip, grade, smoker, age, weight, seen, note, person FROM "Rows"'
PLAIN = TABLE.drop_columns(["person"])


def questions() -> tuple[ValueQuestion, ...]:
    """Return every kind of question of every number."""
    found = []
    for name, grid in GRIDS.items():
        for join in JOINS:
            leaves = Leaves(grid=grid, join=join) if grid.points // join < 2**20 else None
            if leaves is None:
                leaves = plan_trees(SCHEMA)[name].leaves
            found.append(ValueQuestion(attribute=name, partition=leaves))
            chosen = tuple(sorted({0, leaves.count // 2, leaves.count - 1}))
            for digit in range(len(factors(leaves))):
                part = Closer(leaves=leaves, chosen=chosen, digit=digit)
                found.append(ValueQuestion(attribute=name, partition=part))
        if (endings := endings_of(grid)) is not None:
            found.append(ValueQuestion(attribute=name, partition=endings))
        clocks = Clocks(turns=(50, grid.points // 2), ahead=(0, 7_200, -12_600))
        for unit in told_by(grid):
            part = ClockCells(grid=grid, clocks=clocks, unit=unit)
            found.append(ValueQuestion(attribute=name, partition=part))
    return tuple(found)


@cache
def brute_force() -> list[np.ndarray]:
    """Count row by row, once."""
    points = Codec(SCHEMA).find_points(PLAIN, grids=GRIDS)
    counts = []
    for question in questions():
        total = np.zeros(question.partition.cells, dtype=np.int64)
        for point in points[question.attribute]:
            cell = int(question.partition.find(np.array([point]))[0]) if point >= 0 else -1
            if cell >= 0:
                total[cell] += 1
        counts.append(total)
    return counts


def assert_equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for counts, exact in zip(found, expected, strict=True):
        assert counts.dtype == np.int64
        assert counts.tolist() == exact.tolist()


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """Start one server for this module and load the table."""
    with running_server() as address:
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            cursor.adbc_ingest("Rows", TABLE, mode="create")
            connection.commit()
        yield address


def served(uri: str, *, push_down: bool, person: bool = False) -> Source:
    spec = SourceSpec(
        format=SourceFormat.POSTGRESQL,
        uri=uri,
        query=SELECT,
        push_down=push_down,
        allow_extra=True,
        person_column="person" if person else None,
    )
    return open_source(spec, schema=SCHEMA, bounding=bounding(b"k" * 32) if person else None)


def test_there_are_numbers_of_every_kind_among_the_questions() -> None:
    kinds = {a.kind for a in SCHEMA.coded if a.name in GRIDS}
    assert kinds == {"integer", "real", "datetime"}
    parts = [q.partition for q in questions()]
    assert {p.unit for p in parts if isinstance(p, ClockCells)} >= {"weekdays"}


def test_a_table_in_memory_equals_brute_force() -> None:
    assert_equal(open_table(PLAIN, schema=SCHEMA).count_values(questions()), brute_force())


@pytest.mark.parametrize("push_down", [False, True])
def test_a_server_equals_brute_force(uri: str, push_down: bool) -> None:
    assert_equal(served(uri, push_down=push_down).count_values(questions()), brute_force())


@pytest.mark.parametrize("push_down", [False, True])
def test_a_person_is_in_no_histogram_more_often_than_allowed(uri: str, push_down: bool) -> None:
    source = served(uri, push_down=push_down, person=True)
    names = [n for n in TABLE["person"].to_pylist() if n is not None and n == n]
    for most in (1, 2):
        kept = sum(min(names.count(n), most) for n in set(names))
        for question, counts in zip(
            questions(), source.count_values(questions(), rows_per_person=most), strict=True
        ):
            assert counts.sum() <= kept, question


def test_a_point_is_not_worked_out_anew_for_every_turn_of_clocks() -> None:
    grid = ValueGrid(first=0, stride=3_600_000_000, decimals=0, points=10**6)
    clocks = Clocks(turns=tuple(range(1, 1_001)), ahead=(0, 3_600) * 500 + (0,))
    sql = cell_sql(ClockCells(grid=grid, clocks=clocks, unit="hours"), point="(THE POINT)")
    assert sql.count("THE POINT") == 2


def test_what_orders_a_persons_rows_in_sql_is_never_null() -> None:
    # Null beside anything is null, and rows ordered by null are ordered by chance.
    for attribute, kind in product(SCHEMA.coded, (Kind.FLOAT, Kind.TIMESTAMP)):
        if attribute.name in GRIDS and (attribute.kind == "datetime") == (kind is Kind.TIMESTAMP):
            stored = Stored(name=attribute.name, kind=kind, how=ColumnMap())
            sql = point_sql(attribute, stored=stored, grid=GRIDS[attribute.name])
            assert "THEN NULL" not in sql
            assert "THEN -1" in sql or "THEN 0" in sql


def test_recoded_rows_have_the_codes_of_their_points() -> None:
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [
                {"name": "x", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"}
            ],
        }
    )
    edges = tuple(range(60, 91))
    table = pa.table({"x": np.arange(100)})
    source = open_table(table, schema=schema)
    again = source.recode(refine(schema, edges={"x": edges}))
    assert again.encode().columns[0].tolist() == [0] * 60 + [*range(1, 32)] + [31] * 9
    assert source.recode(refine(schema, edges={"x": edges})) is again
    assert source.encode().columns[0].tolist() != again.encode().columns[0].tolist()
