"""Files, databases and frames are counted as brute force counts them, piece by piece or at once."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from silosynth.client.source import (
    Bounding,
    SourceFormat,
    SourceSpec,
    StreamRows,
    open_source,
    open_table,
)
from silosynth.client.source import open as sources
from silosynth.client.source.caches.file_state import look_at
from silosynth.client.source.caches.held import Lifetime
from silosynth.client.source.files import open_parquet
from silosynth.client.source.spec import Reader
from silosynth.client.source.table import Wanted
from silosynth.common.codec import Codec, Encoded, TableLike, decode_texts
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.schema.kinds.attributes import TextAttribute
from tests.support.tables.messy import CANARY, LEVELS, QUERIES, SCHEMA, assert_exact, messy_table

TABLE = messy_table(2_000)
QUERY = 'SELECT * FROM "Rows" ORDER BY rowid'


def write_parquet(table: pa.Table, folder: Path) -> SourceSpec:
    path = folder / "rows.parquet"
    pq.write_table(table, path, row_group_size=300)
    return SourceSpec(format=SourceFormat.PARQUET, path=path, allow_extra=True)


def write_parquet_folder(table: pa.Table, folder: Path) -> SourceSpec:
    path = folder / "rows"
    path.mkdir()
    for i, start in enumerate(range(0, max(table.num_rows, 1), 900)):
        pq.write_table(table.slice(start, 900), path / f"{i}.parquet", row_group_size=500)
    (path / "_SUCCESS").touch()
    return SourceSpec(format=SourceFormat.PARQUET, path=path, allow_extra=True)


def write_arrow(table: pa.Table, folder: Path) -> SourceSpec:
    path = folder / "rows.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    return SourceSpec(format=SourceFormat.ARROW, path=path, allow_extra=True)


def write_arrow_stream(table: pa.Table, folder: Path) -> SourceSpec:
    path = folder / "rows.arrow"
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    return SourceSpec(format=SourceFormat.ARROW, path=path, allow_extra=True)


def write_csv(table: pa.Table, folder: Path) -> SourceSpec:
    path = folder / "rows.csv"
    pyarrow.csv.write_csv(table, path)
    return SourceSpec(format=SourceFormat.CSV, path=path, allow_extra=True)


def write_duckdb(table: pa.Table, folder: Path) -> SourceSpec:
    path = folder / "rows.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("given", table)
        connection.execute('CREATE TABLE "Rows" AS SELECT * FROM given')
    return SourceSpec(format=SourceFormat.DUCKDB, path=path, query=QUERY, allow_extra=True)


Writer = Callable[[pa.Table, Path], SourceSpec]
WRITERS: dict[str, Writer] = {
    "parquet": write_parquet,
    "folder": write_parquet_folder,
    "arrow": write_arrow,
    "stream": write_arrow_stream,
    "csv": write_csv,
    "duckdb": write_duckdb,
}
every_storage = pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)


@every_storage
def test_every_table_equals_brute_force_at_the_first_count_and_later(
    tmp_path: Path, write: Writer
) -> None:
    source = open_source(write(TABLE, tmp_path), schema=SCHEMA)
    for _ in range(2):
        assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


@every_storage
def test_one_row_changes_one_cell_by_one(tmp_path: Path, write: Writer) -> None:
    whole = open_source(write(TABLE, tmp_path), schema=SCHEMA).count(QUERIES, levels=LEVELS)
    rest = tmp_path / "rest"
    rest.mkdir()
    fewer = open_source(write(TABLE.slice(1), rest), schema=SCHEMA).count(QUERIES, levels=LEVELS)
    for more, less in zip(whole, fewer, strict=True):
        assert (more - less).min() >= 0
        assert (more - less).sum() == 1


@every_storage
def test_a_table_without_rows_counts_nothing(tmp_path: Path, write: Writer) -> None:
    source = open_source(write(TABLE.slice(0, 0), tmp_path), schema=SCHEMA)
    counted = source.count(QUERIES, levels=LEVELS)
    assert len(counted) == len(QUERIES)
    assert not any(counts.any() for counts in counted)
    assert all(len(column) == 0 for column in source.encode().columns)


@every_storage
def test_codes_come_with_the_person_column_in_the_same_order(tmp_path: Path, write: Writer) -> None:
    bounding = Bounding(rank=lambda persons, codes: np.zeros(len(persons)), key=b"")
    spec = dataclasses.replace(write(TABLE, tmp_path), person_column="person", allow_extra=False)
    coded = open_source(spec, schema=SCHEMA, bounding=bounding).encode()
    assert coded.persons is not None
    persons = [None if p is None else int(p) for p in coded.persons.to_pylist()]
    assert persons == TABLE["person"].to_pylist()
    expected = open_table(TABLE.drop_columns("person"), schema=SCHEMA).encode()
    assert all(np.array_equal(a, b) for a, b in zip(coded.columns, expected.columns, strict=True))


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.string_view(), pa.binary_view(), pa.binary(3), pa.int32(), pa.decimal32(5)],
    ids=str,
)
def test_persons_may_be_stored_as_a_dictionary_of_any_values(
    tmp_path: Path, kind: pa.DataType
) -> None:
    raw = {"int32": [101, 102, 101], "decimal32(5, 0)": [Decimal(1), Decimal(2), Decimal(1)]}
    names = raw.get(str(kind), [b"ann", b"bob", b"ann"] if "binary" in str(kind) else list("aba"))
    values = pa.array(names[:2], kind)
    persons = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), values)
    rows = TABLE.slice(0, 3).drop_columns("person").append_column("person", persons)
    spec = dataclasses.replace(write_arrow(rows, tmp_path), person_column="person")
    bounding = Bounding(rank=lambda persons, codes: np.zeros(len(persons)), key=b"")
    coded = open_source(spec, schema=SCHEMA, bounding=bounding).encode()
    assert coded.persons is not None
    assert coded.persons.to_pylist() == names


@every_storage
def test_texts_that_a_generator_learns_come_with_the_codes(tmp_path: Path, write: Writer) -> None:
    texts = [None, "", "grüße, sir", "two\nlines"] * 500
    table = TABLE.append_column("letter", pa.array(texts, pa.string()))
    note = TextAttribute(name="letter", max_bytes=8)
    schema = SCHEMA.model_copy(update={"attributes": (*SCHEMA.attributes, note)})
    source = open_source(write(table, tmp_path), schema=schema)
    source.count(QUERIES, levels=LEVELS)
    coded = source.encode()
    assert decode_texts(coded.texts[0]).to_pylist() == ["", "", "grüße,", "two\nline"] * 500
    expected = open_table(TABLE.drop_columns("person"), schema=SCHEMA).encode()
    assert coded.texts[0].shape == (2_000, 8)
    assert all(np.array_equal(a, b) for a, b in zip(coded.columns, expected.columns, strict=True))


@every_storage
def test_only_rows_of_a_rank_that_is_allowed_are_counted(tmp_path: Path, write: Writer) -> None:
    ranks = np.arange(TABLE.num_rows) % 5
    spec = dataclasses.replace(write(TABLE, tmp_path), person_column="person")
    source = open_source(
        spec, schema=SCHEMA, bounding=Bounding(rank=lambda persons, codes: ranks, key=b"")
    )
    for allowed in (2, 1, 5):
        kept = TABLE.filter(pa.array(ranks < allowed))
        assert_exact(source.count(QUERIES, levels=LEVELS, rows_per_person=allowed), kept)


def test_rows_are_folded_as_they_are_counted(tmp_path: Path) -> None:
    ranks = np.arange(TABLE.num_rows) % 5
    spec = dataclasses.replace(write_parquet(TABLE, tmp_path), person_column="person")
    bounded = open_source(
        spec, schema=SCHEMA, bounding=Bounding(rank=lambda persons, codes: ranks, key=b"")
    )
    plain = open_table(TABLE.drop_columns("person"), schema=SCHEMA)
    expected = plain.encode().columns
    for source, kept in ((bounded, ranks < 2), (plain, ranks < 5)):
        for _ in range(2):
            parts: list[tuple[np.ndarray, ...]] = []
            source.fold(lambda columns, parts=parts: parts.append(columns), rows_per_person=2)
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            assert all(np.array_equal(a, b[kept]) for a, b in zip(columns, expected, strict=True))


@every_storage
def test_extra_columns_are_refused_unless_they_are_allowed(tmp_path: Path, write: Writer) -> None:
    spec = dataclasses.replace(write(TABLE, tmp_path), allow_extra=False)
    with pytest.raises(InvalidTable, match="column 'person' is not in the schema"):
        open_source(spec, schema=SCHEMA).count(QUERIES, levels=LEVELS)


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "csv"])
def test_damaged_storage_is_named_without_its_content(tmp_path: Path, name: str) -> None:
    """A CSV file cannot be damaged: each of its records is read for itself."""
    write = WRITERS[name]
    spec = write(TABLE, tmp_path)
    assert spec.path is not None
    files = [spec.path] if spec.path.is_file() else sorted(spec.path.glob("*.parquet"))
    half = files[-1].read_bytes()
    files[-1].write_bytes(half[: len(half) // 2] + b'"' + CANARY.encode() + b"\xff,\n")
    with pytest.raises(InvalidTable) as caught:
        open_source(spec, schema=SCHEMA).count(QUERIES, levels=LEVELS)
    assert str(caught.value).startswith(str(tmp_path))
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@every_storage
def test_nothing_is_read_before_the_first_count(tmp_path: Path, write: Writer) -> None:
    spec = dataclasses.replace(write(TABLE, tmp_path), path=tmp_path / "gone" / "rows.x")
    source = open_source(spec, schema=SCHEMA)
    with pytest.raises(InvalidTable):
        source.count(QUERIES, levels=LEVELS)


@pytest.mark.parametrize("name", ["parquet", "csv", "duckdb"])
def test_codes_are_kept_on_disk_until_the_file_or_schema_changes(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    spec = WRITERS[name](TABLE, tmp_path)
    for _ in range(2):
        source = open_source(spec, schema=SCHEMA, cache=cache)
        assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)
    assert {type(column) for column in source.encode().columns} == {np.ndarray}, "plain arrays"
    assert len(list(cache.glob("codes-*"))) == 1
    assert all(f.stat().st_mode & 0o077 == 0 for f in [*cache.glob("codes-*"), *cache.rglob("*.u")])

    other = messy_table(500, seed=2)
    assert spec.path is not None
    spec.path.unlink()
    WRITERS[name](other, tmp_path)
    assert_exact(open_source(spec, schema=SCHEMA, cache=cache).count(QUERIES, levels=LEVELS), other)
    assert len(list(cache.glob("codes-*"))) == 1, "rows that were deleted stay on the disk"


def test_a_cache_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    spec = write_parquet(TABLE, tmp_path)
    for damage in (
        lambda place: (place / "0.u").write_bytes(b"\0"),
        lambda place: (place / "1.u").write_bytes(b"\xff" * TABLE.num_rows),
        lambda place: (place / "codes.json").write_text("{}"),
        lambda place: (place / "2.u").unlink(),
    ):
        source = open_source(spec, schema=SCHEMA, cache=cache)
        assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)
        place = next(cache.glob("codes-*"))
        damage(place)  # type: ignore[no-untyped-call]  # as loose as a test may be
    source = open_source(spec, schema=SCHEMA, cache=cache)
    assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


def test_a_table_larger_than_memory_is_read_again_for_each_count(tmp_path: Path) -> None:
    """With no room for codes, each count streams the row groups and holds a few at a time."""
    spec = write_parquet(TABLE, tmp_path)
    assert spec.path is not None
    path, opened = spec.path, []

    def read() -> Reader:
        opened.append(1)
        return open_parquet(path, wanted=Wanted(schema=SCHEMA, allow_extra=True))

    source = StreamRows(open_reader=read, wanted=Wanted(schema=SCHEMA), keep_bytes=1_000, threads=2)
    for _ in range(2):
        assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)
    assert len(opened) == 2


def test_a_table_larger_than_memory_is_read_once_into_a_cache(tmp_path: Path) -> None:
    spec = write_parquet(TABLE, tmp_path)
    assert spec.path is not None
    path, opened = spec.path, []

    def read() -> Reader:
        opened.append(1)
        return open_parquet(path, wanted=Wanted(schema=SCHEMA, allow_extra=True))

    source = StreamRows(
        open_reader=read,
        wanted=Wanted(schema=SCHEMA),
        lifetime=Lifetime(look=lambda: look_at([path])),
        keep_bytes=0,
        cache=tmp_path / "cache",
        threads=2,
    )
    for _ in range(2):
        assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)
    assert len(opened) == 1


def test_a_stream_that_breaks_off_leaves_nothing_behind() -> None:
    pieces = [lambda: TABLE.slice(0, 10), lambda: TABLE.slice(10, 10), _break]
    broken = [True]

    def read() -> Reader:
        return Reader(fragments=lambda: pieces if broken else [lambda: TABLE])

    source = StreamRows(open_reader=read, wanted=Wanted(schema=SCHEMA), threads=1)
    with pytest.raises(InvalidTable):
        source.count(QUERIES, levels=LEVELS)
    broken.clear()
    assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


def _break() -> pa.Table:
    raise InvalidTable("broken")


@pytest.mark.parametrize("write", [write_parquet, write_parquet_folder, write_arrow, write_csv])
def test_a_table_that_is_replaced_while_it_is_read_is_not_counted(
    tmp_path: Path, write: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the same row would be counted in the old file and again in the new one."""
    cache, export = tmp_path / "cache", tmp_path / "export"
    export.mkdir()
    spec = write(TABLE, tmp_path)
    assert spec.path is not None
    old, new = spec.path, write(TABLE.take(list(range(TABLE.num_rows))[::-1]), export).path
    assert new is not None
    encode, lock = Codec.encode, threading.Lock()

    def replace(codec: Codec, table: TableLike, **options: Any) -> Encoded:
        with lock:
            if new.is_file():
                new.replace(old)
            for file in new.glob("*.parquet"):
                file.replace(old / file.name)
        return encode(codec, table, **options)

    monkeypatch.setattr(Codec, "encode", replace)
    source = open_source(spec, schema=SCHEMA, cache=cache)
    with pytest.raises(InvalidTable, match="changed while it was read"):
        source.count(QUERIES, levels=LEVELS)
    assert not list(cache.glob("codes-*"))
    assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


def test_the_operator_is_told_once_and_of_the_whole_table(tmp_path: Path) -> None:
    told: list[str] = []
    whole: list[str] = []
    source = open_source(write_parquet(TABLE, tmp_path), schema=SCHEMA, tell_operator=told.append)
    source.count(QUERIES, levels=LEVELS)
    source.count(QUERIES, levels=LEVELS)
    frame = open_table(TABLE.drop_columns("person"), schema=SCHEMA, tell_operator=whole.append)
    frame.count(QUERIES, levels=LEVELS)
    assert told == whole
    assert told


def test_frames_in_memory_are_counted() -> None:
    table = TABLE.drop_columns("person")
    for frame in (table, table.to_pandas()):
        assert_exact(open_table(frame, schema=SCHEMA).count(QUERIES, levels=LEVELS), TABLE)


@pytest.mark.parametrize(
    "query",
    [
        'DELETE FROM "Rows"',
        "SELECT 1; SELECT 2",
        "COPY \"Rows\" TO 'out.csv'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM absent",
        f"SELECT * FROM \"Rows\" WHERE CAST('{CANARY}' AS INT) = 1",
    ],
)
def test_a_duckdb_query_reads_its_own_database_alone(tmp_path: Path, query: str) -> None:
    spec = dataclasses.replace(write_duckdb(TABLE, tmp_path), query=query)
    with pytest.raises(InvalidTable) as caught:
        open_source(spec, schema=SCHEMA).count(QUERIES, levels=LEVELS)
    assert CANARY not in str(caught.value)
    with duckdb.connect(str(spec.path), read_only=True) as connection:
        assert connection.execute('SELECT count(*) FROM "Rows"').fetchone() == (TABLE.num_rows,)


def test_a_duckdb_query_cannot_read_another_file_even_one_that_fits(tmp_path: Path) -> None:
    other = write_parquet(TABLE, tmp_path).path
    spec = write_duckdb(TABLE, tmp_path)
    for query in (f"SELECT * FROM read_parquet('{other}')", f"SELECT * FROM '{other}'"):
        source = open_source(dataclasses.replace(spec, query=query), schema=SCHEMA)
        with pytest.raises(InvalidTable):
            source.count(QUERIES, levels=LEVELS)


@pytest.mark.parametrize(
    "facts",
    [
        {"format": SourceFormat.PARQUET},
        {"format": SourceFormat.PARQUET, "path": Path("a"), "query": "SELECT 1"},
        {"format": SourceFormat.CSV, "path": Path("a"), "push_down": True},
        {"format": SourceFormat.DUCKDB, "path": Path("a")},
        {"format": SourceFormat.POSTGRESQL, "query": "SELECT 1"},
        {"format": SourceFormat.POSTGRESQL, "path": Path("a"), "query": "SELECT 1"},
    ],
)
def test_a_specification_that_does_not_add_up_is_refused(facts: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        SourceSpec(**facts)  # type: ignore[arg-type]  # wrong on purpose


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    spec = SourceSpec(format=SourceFormat.DUCKDB, path=tmp_path / "a.duckdb", query="SELECT 1")
    monkeypatch.setattr("silosynth.client.source.from_duckdb.open_duckdb", absent)
    with pytest.raises(InvalidTable, match=r"duckdb needs duckdb.*silosynth\[silo-sql\]"):
        sources.open_source(spec, schema=SCHEMA).count(QUERIES, levels=LEVELS)
