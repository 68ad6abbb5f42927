"""A gateway never loads a column that is made up: sources that fail when it is read do not fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.source import SourceFormat, SourceSpec, open_source, open_table, read_table
from silosynth.client.source.from_duckdb import open_duckdb
from silosynth.client.source.spec import Reader
from silosynth.client.source.table import Wanted
from silosynth.common.codec import check_columns
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema, parse_schema

ROWS = 400
SECRET = "Ada Lovelace of 7 Real Street"
QUERY = MarginalQuery(clique=("sex",))
LEVELS = {"fine": Grouping(groups={})}


def _schema(**made: Any) -> Schema:
    name = {"name": "name", "kind": "generated", "provider": "name", **made}
    sex = {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "public"}
    return parse_schema({"name": "t", "attributes": [name, sex | {"other": False}]})


def _table() -> pa.Table:
    names = [f"{SECRET} {i}" for i in range(ROWS)]
    return pa.table({"name": names, "sex": [("f", "m")[i % 2] for i in range(ROWS)]})


def _counted(spec: SourceSpec, schema: Schema) -> list[int]:
    found: list[int] = open_source(spec, schema=schema).count([QUERY], levels=LEVELS)[0].tolist()
    return found


def _damaged(path: Path, column: str) -> None:
    """Write over the pages of one column of a Parquet file."""
    pq.write_table(_table(), path, compression="NONE", use_dictionary=False)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(0)
    assert chunk.path_in_schema == column
    data = bytearray(path.read_bytes())
    start = chunk.data_page_offset
    data[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    path.write_bytes(data)


def test_a_parquet_file_whose_made_up_column_cannot_be_read_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    _damaged(path, "name")
    with pytest.raises((OSError, pa.ArrowException)):
        pq.read_table(path)
    assert _counted(SourceSpec(path=path, format=SourceFormat.PARQUET), _schema()) == [200, 200]


def test_a_view_that_raises_where_the_column_is_computed_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.duckdb"
    with duckdb.connect(str(path)) as there:
        there.execute("CREATE TABLE rows (sex VARCHAR)")
        there.execute("INSERT INTO rows SELECT ['f', 'm'][1 + i % 2] FROM range(400) r(i)")
    query = "SELECT sex, CASE WHEN sex IS NULL THEN '' ELSE error('was read') END AS name FROM rows"
    with duckdb.connect(str(path)) as there, pytest.raises(duckdb.Error, match="was read"):
        there.execute(query).fetchall()
    assert _counted(SourceSpec(path=path, format=SourceFormat.DUCKDB, query=query), _schema()) == [
        200,
        200,
    ]


@pytest.mark.parametrize("kind", [pa.binary(), pa.list_(pa.int64()), pa.struct({"a": pa.int8()})])
def test_its_type_does_not_matter(kind: pa.DataType) -> None:
    table = pa.table({"name": pa.nulls(4, kind), "sex": ["f", "f", "m", "f"]})
    check_columns(table.schema, schema=_schema())
    assert open_table(table, schema=_schema()).count([QUERY], levels=LEVELS)[0].tolist() == [3, 1]


def test_it_may_be_absent_and_no_reader_asks_for_it() -> None:
    schema = _schema()
    assert Wanted(schema=schema).columns(_table().schema, origin="t") == ["sex"]
    assert read_table(_table(), schema=schema).column_names == ["sex"]
    assert read_table(_table().drop_columns(["name"]), schema=schema).column_names == ["sex"]


def test_text_files_and_arrow_files_leave_it_on_disk(tmp_path: Path) -> None:
    from silosynth.client.source import open as opened

    table = _table()
    csv, arrow = tmp_path / "t.csv", tmp_path / "t.arrow"
    csv.write_text("name,sex\n" + "".join(f"{r['name']},{r['sex']}\n" for r in table.to_pylist()))
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    for path, format in ((csv, SourceFormat.CSV), (arrow, SourceFormat.ARROW)):
        spec = SourceSpec(path=path, format=format)
        reader: Reader = opened.open_reader(
            spec, wanted=Wanted(schema=_schema()), tell_operator=lambda _: None
        )
        for fragment in reader.fragments():
            assert fragment().column_names == ["sex"]
        assert _counted(spec, _schema()) == [200, 200]


def test_a_draft_proposes_it_for_names_and_keys_that_it_recognises(tmp_path: Path) -> None:
    from silosynth.client.drafting import draft_schema

    rng = np.random.default_rng(1)
    count = 60
    table = pa.table(
        {
            "Patient Name": [f"Name{i} Sur{i}" for i in range(count)],
            "e-mail": [f"n{i}@clinic.org" for i in range(count)],
            "uid": [f"{i:08x}-0000-4000-8000-000000000000" for i in range(count)],
            "ticket": [f"{chr(65 + i % 26)}{i:03}-{chr(97 + i % 26)}" for i in range(count)],
            "key": [f"P-{i:06}" for i in range(count)],
            "age": rng.integers(0, 90, count),
        }
    )
    drafted = draft_schema(table, name="t").schema
    found = {a.name: (a.kind, getattr(a, "provider", None)) for a in drafted.attributes}
    assert found["Patient Name"] == ("generated", "name")
    assert found["e-mail"] == ("generated", "email")
    assert found["uid"] == ("generated", "uuid")
    assert found["ticket"] == ("generated", "pattern")
    assert found["key"][0] == "identifier"
    assert drafted.generated[-1].like == "[A-Z][0-9]{3}-[a-z]"
    assert set(drafted.unreviewed()) == {a.name for a in drafted.attributes}


def test_a_database_is_asked_for_no_more_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.duckdb"
    with duckdb.connect(str(path)) as there:
        there.execute("CREATE TABLE rows AS SELECT 'f' AS sex, 'Ada' AS name FROM range(3)")
    spec = SourceSpec(path=path, format=SourceFormat.DUCKDB, query="SELECT * FROM rows")
    wanted = Wanted(schema=_schema())
    names = [f().column_names for f in open_duckdb(spec, wanted=wanted).fragments()]
    assert names == [["sex"], ["sex"]]
