"""A silo's map: what it may say, and that mapped rows count as those that were mapped by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from silosynth.client.drafting import draft_map
from silosynth.client.maps import SiloMap, check_map, check_reviewed, dump_map, load_map, map_table
from silosynth.client.maps.silo_map import parse_map
from silosynth.client.source import SourceFormat, SourceSpec, open_source, open_table
from silosynth.client.source.bounding import bounding
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidMap, InvalidTable
from silosynth.common.schema import parse_schema
from tests.support.tables.local_table import TEXTS, TYPED, as_texts, by_hand, local_table
from tests.support.tables.messy import LEVELS, QUERIES, SCHEMA, assert_exact

TABLE = local_table(1_500)
RIGHT = by_hand(TABLE)
SECRET = b"s" * 32


def test_the_maps_of_these_tests_fit_the_schema() -> None:
    for silo_map in (TYPED, TEXTS):
        check_map(silo_map, schema=SCHEMA)


def _parquet(folder: Path) -> tuple[SourceSpec, SiloMap]:
    path = folder / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=400)
    return SourceSpec(format=SourceFormat.PARQUET, path=path, allow_extra=True), TYPED


def _arrow(folder: Path) -> tuple[SourceSpec, SiloMap]:
    path = folder / "t.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=300)
    return SourceSpec(format=SourceFormat.ARROW, path=path, allow_extra=True), TYPED


def _csv(folder: Path) -> tuple[SourceSpec, SiloMap]:
    path = folder / "t.csv"
    pacsv.write_csv(as_texts(TABLE), path)
    return SourceSpec(format=SourceFormat.CSV, path=path, allow_extra=True), TEXTS


def _duckdb(folder: Path) -> tuple[SourceSpec, SiloMap]:
    path = folder / "t.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("rows", TABLE)
        connection.execute("CREATE TABLE t AS SELECT * FROM rows")
    return (
        SourceSpec(
            format=SourceFormat.DUCKDB, path=path, query="SELECT * FROM t", allow_extra=True
        ),
        TYPED,
    )


@pytest.mark.parametrize("write", [_parquet, _arrow, _csv, _duckdb])
def test_mapped_rows_count_as_those_mapped_by_hand(
    tmp_path: Path, write: Callable[[Path], tuple[SourceSpec, SiloMap]]
) -> None:
    spec, silo_map = write(tmp_path)
    source = open_source(spec, schema=SCHEMA, silo_map=silo_map, cache=tmp_path / "cache")
    for _ in range(2):
        assert_exact(source.count(QUERIES, levels=LEVELS), RIGHT)


def test_codes_of_another_map_are_not_taken_from_the_disk(tmp_path: Path) -> None:
    spec, silo_map = _parquet(tmp_path)
    cache = tmp_path / "cache"
    other = silo_map.model_copy(
        update={
            "columns": {
                **silo_map.columns,
                "age": parse_map({"version": 1, "columns": {"age": {"from": "months"}}}).column(
                    "age"
                ),
            }
        }
    )
    open_source(spec, schema=SCHEMA, silo_map=other, cache=cache).count(QUERIES, levels=LEVELS)
    source = open_source(spec, schema=SCHEMA, silo_map=silo_map, cache=cache)
    assert_exact(source.count(QUERIES, levels=LEVELS), RIGHT)


def test_rows_of_a_person_are_bounded_by_the_codes_that_are_counted(tmp_path: Path) -> None:
    """The same persons' rows are kept of a mapped table and of the one that was mapped by hand."""
    counted = [
        open_table(
            table,
            schema=SCHEMA,
            person_column="person",
            bounding=bounding(SECRET),
            silo_map=silo_map,
        ).count(QUERIES, levels=LEVELS, rows_per_person=1)
        for table, silo_map in (
            (TABLE.drop_columns(["age"]), TYPED),
            (RIGHT, parse_map({"version": 1, "columns": {}})),
        )
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*counted, strict=True))


def test_points_of_numbers_are_those_of_mapped_rows() -> None:
    from silosynth.client.source.table import Wanted
    from silosynth.common.values import refined_attributes

    wanted = Wanted(schema=SCHEMA, silo_map=TYPED)
    grids = refined_attributes(SCHEMA)
    mine = Codec(wanted.spelled).find_points(wanted.mapped(TABLE), grids=grids)
    right = Codec(SCHEMA).find_points(RIGHT.drop_columns(["person"]), grids=grids)
    assert mine.keys() == right.keys() != set()
    assert all(np.array_equal(mine[n], right[n]) for n in mine)


def test_what_the_map_does_not_name_is_told_as_not_listed() -> None:
    encoded = Codec(SCHEMA).encode(
        map_table(TABLE, schema=SCHEMA, silo_map=TYPED, person=None), allow_extra=True
    )
    unseen = {n.attribute: n.unseen for n in encoded.notes}
    rows = TABLE.to_pylist()
    assert unseen["zip"] == sum(r["plz"] in ("01", "else") for r in rows) > 0
    assert unseen["grade"] == sum(r["note"] in ("4", "1") for r in rows) > 0
    assert unseen["smoker"] == sum(r["zip"] == 2 for r in rows) > 0


def test_one_row_maps_to_one_row_whatever_the_others_hold() -> None:
    whole = map_table(TABLE, schema=SCHEMA, silo_map=TYPED, person=None)
    part = map_table(TABLE.slice(700, 1), schema=SCHEMA, silo_map=TYPED, person=None)
    assert whole.num_rows == TABLE.num_rows
    assert repr(whole.slice(700, 1).to_pylist()) == repr(part.to_pylist())


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"nothing": {"from": "x"}}, "no column 'nothing'"),
    ({"zip": {"map": {"A": "99"}}}, "'zip' maps 'A' onto '99', which the schema does not list"),
    ({"grade": {"map": {"A": 4}}}, "onto 4, which the schema does not list"),
    ({"smoker": {"map": {"A": "maybe"}}}, "does not list"),
    ({"age": {"map": {"A": 91}}}, "beyond the bounds"),
    ({"age": {"map": {"A": "old"}}}, "is not a number"),
    ({"seen": {"map": {"A": None}}}, "give the column missing: true"),
    ({"seen": {"map": {"A": "2020-01-01"}}}, "is not null"),
    ({"seen": {"scale": 2}}, "has no scale or offset"),
    ({"zip": {"scale": 2}}, "has no scale or offset"),
    ({"age": {"scale": 0}}, "scale is not 0"),
    ({"age": {"scale": 1e200}}, "scale is not 0"),
    ({"age": {"format": "%d"}}, "format of another kind"),
    ({"seen": {"format": {"decimal": ","}}}, "format of another kind"),
    ({"zip": {"format": "%d"}}, "has no format"),
    ({"seen": {"format": "no percent"}}, "format that cannot be"),
    ({"note": {"map": {"a": "b"}}}, "there is nothing in it to map"),
    ({"age": {"from": "x", "sacle": 2}}, "sacle"),
    ({"age": "missing"}, "neither 'absent' nor"),
    ({"age": {"map": {}}}, "map"),
    (dict.fromkeys(SCHEMA.domain.attributes, "absent"), "every column is absent"),
]


@pytest.mark.parametrize(("columns", "said"), FAULTS)
def test_a_map_that_cannot_be_is_named_in_one_line(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidMap) as fault:
        check_map(parse_map({"version": 1, "columns": columns}), schema=SCHEMA)
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    "data", [{"columns": {}}, {"version": 2, "columns": {}}, {"version": 1}, 3]
)
def test_an_unknown_version_is_refused(data: object) -> None:
    with pytest.raises(InvalidMap):
        parse_map(data)


def test_an_absent_column_that_a_rule_needs_is_refused() -> None:
    ruled = SCHEMA.model_copy(update={"rules": ("never age > 80 and grade = 1",), "version": 2})
    with pytest.raises(InvalidMap, match="needs it"):
        check_map(parse_map({"version": 1, "columns": {"grade": "absent"}}), schema=ruled)


def test_a_column_that_the_map_takes_and_the_table_lacks_is_named() -> None:
    silo_map = parse_map({"version": 1, "columns": {"age": {"from": "jahre"}}})
    with pytest.raises(InvalidTable, match="'jahre', which the map takes for 'age'"):
        open_table(RIGHT.drop_columns(["person"]), schema=SCHEMA, silo_map=silo_map).encode()


def test_a_map_is_read_as_it_was_written(tmp_path: Path) -> None:
    for silo_map in (TYPED, TEXTS, parse_map({"version": 1, "columns": {"age": "absent"}})):
        path = tmp_path / "map.yaml"
        path.write_text(dump_map(silo_map))
        assert load_map(path) == silo_map


def test_a_digest_names_the_content_to_those_alone_who_have_the_secret() -> None:
    assert TYPED.digest(SECRET) == TYPED.digest(SECRET)
    assert TYPED.digest(SECRET) != TEXTS.digest(SECRET)
    assert TYPED.digest(SECRET) != TYPED.digest(b"t" * 32)


def test_a_draft_brings_names_words_units_and_dates_to_the_schema(tmp_path: Path) -> None:
    """Everything of it is unreviewed, and once it is reviewed nearly all of the table fits."""
    schema = parse_schema(
        {
            "name": "people",
            "source": "public",
            "attributes": [
                {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False},
                {"name": "smoker", "kind": "boolean"},
                {"name": "weight", "kind": "real", "minimum": 40.0, "maximum": 120.0},
                {"name": "ward", "kind": "categorical", "categories": ["A", "B"], "other": False},
                {"name": "seen", "kind": "datetime", "minimum": "2020-01-01"}
                | {"maximum": "2021-01-01"},
                {"name": "thal", "kind": "integer", "minimum": 0, "maximum": 9},
            ],
        }
    )
    random = np.random.default_rng(5)
    path = tmp_path / "south.csv"
    pacsv.write_csv(
        pa.table(
            {
                "Sex": random.choice(["Female", "male"], 300),
                "is_smoker": random.choice(["ja", "nein"], 300),
                "weight_lbs": random.normal(170, 30, 300).clip(95, 260),
                "ward": random.choice(["1", "2"], 300),
                "Seen": [f"{i % 28 + 1:02}.{i % 12 + 1:02}.2020" for i in range(300)],
            }
        ),
        path,
    )
    drafted = draft_map(path, schema=schema).silo_map
    assert drafted.absent == {"thal"}
    assert drafted.column("sex").words == {"Female": "f", "male": "m"}
    assert drafted.column("smoker").words == {"ja": "true", "nein": "false"}
    assert drafted.column("ward").words == {"1": "A", "2": "B"}
    assert drafted.column("weight").scale == pytest.approx(0.4536, rel=1e-3)
    assert drafted.column("seen").format == "%d.%m.%Y"
    with pytest.raises(InvalidMap, match="5 columns are unreviewed"):
        check_reviewed(drafted)
    check_map(drafted, schema=schema)
    survey = open_source(
        SourceSpec(format=SourceFormat.CSV, path=path, allow_extra=True),
        schema=schema,
        silo_map=drafted,
    ).survey()  # type: ignore[attr-defined]  # rows are read here
    assert survey.rows == 300
    assert min(survey.fits.values(), default=1.0) > 0.95
    assert any("'Female' becomes 'f' in" in line for line in survey.mapped)


def test_a_draft_that_is_all_absent_or_as_it_is_says_so_too() -> None:
    drafted = draft_map(RIGHT, schema=SCHEMA).silo_map
    assert not drafted.columns
    drafted = draft_map(RIGHT.drop_columns(["age"]), schema=SCHEMA).silo_map
    with pytest.raises(InvalidMap, match="unreviewed"):
        check_reviewed(drafted)
