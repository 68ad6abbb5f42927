"""A person who is no longer in a table is not counted, not learnt from, and not kept on disk."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from silosynth.client.source import SourceFormat, SourceSpec, StreamRows, open_source
from silosynth.client.source.bounding import bounding
from silosynth.client.source.caches import file_state
from silosynth.client.source.caches.file_state import look_at, same_files
from silosynth.client.source.caches.held import QUERY_SECONDS, Lifetime
from silosynth.client.source.spec import Reader
from silosynth.client.source.table import Wanted
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema, parse_schema
from tests.support.gateways.signed import Federation, people_table

SCHEMA: Schema = parse_schema(
    {
        "name": "people",
        "attributes": [
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9},
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"]},
        ],
    }
)
LEVELS = {"fine": Grouping()}
QUERIES = [MarginalQuery(clique=("sex",))]
SECRET = b"s" * 32
QUERY = "SELECT * FROM people"


def table_of(persons: int) -> pa.Table:
    """Return one row a person."""
    rows = range(persons)
    return pa.table(
        {
            "age": pa.array([i % 10 for i in rows], pa.int64()),
            "sex": pa.array(["fm"[i % 2] for i in rows], pa.string()),
            "who": pa.array([f"p{i}" for i in rows], pa.string()),
        }
    )


def write_parquet(table: pa.Table, place: Path) -> Path:
    pq.write_table(table, place / "rows.parquet")
    return place / "rows.parquet"


def write_folder(table: pa.Table, place: Path) -> Path:
    """Write a file for each 100 rows; those of an export before are gone."""
    folder = place / "rows"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for start in range(0, table.num_rows, 100):
        pq.write_table(table.slice(start, 100), folder / f"{start:05}.parquet")
    return folder


def write_arrow(table: pa.Table, place: Path) -> Path:
    with pa.ipc.new_file(place / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    return place / "rows.arrow"


def write_csv(table: pa.Table, place: Path) -> Path:
    pyarrow.csv.write_csv(table, place / "rows.csv")
    return place / "rows.csv"


def write_duckdb(table: pa.Table, place: Path) -> Path:
    """Write a table; what was deleted stays in the log, as where a writer was killed."""
    path = place / "rows.duckdb"
    scratch = place / "scratch.duckdb"
    if path.exists():
        shutil.copy(path, scratch)
    connection = duckdb.connect(str(scratch))
    connection.execute("SET checkpoint_threshold = '1GB'")
    connection.register("given", table)
    if path.exists():
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("DELETE FROM people WHERE who NOT IN (SELECT who FROM given)")
        shutil.copy(f"{scratch}.wal", f"{path}.wal")
    else:
        connection.execute("CREATE TABLE people AS SELECT * FROM given")
        connection.execute("CHECKPOINT")
        shutil.copy(scratch, path)
    connection.close()
    scratch.unlink()
    return path


Writer = Callable[[pa.Table, Path], Path]
WRITERS: dict[SourceFormat | str, Writer] = {
    "parquet": write_parquet,
    "folder": write_folder,
    "arrow": write_arrow,
    "csv": write_csv,
    "duckdb": write_duckdb,
}
every_storage = pytest.mark.parametrize("storage", WRITERS)
with_and_without_persons = pytest.mark.parametrize("person", [None, "who"])


def open_rows(
    storage: str, path: Path, *, person: str | None = None, cache: Path | None = None
) -> StreamRows:
    format = SourceFormat.PARQUET if storage == "folder" else SourceFormat(storage)
    spec = SourceSpec(
        format=format,
        path=path,
        query=QUERY if storage == "duckdb" else None,
        person_column=person,
        allow_extra=True,
    )
    bound = None if person is None else bounding(SECRET)
    source = open_source(spec, schema=SCHEMA, bounding=bound, cache=cache)
    assert isinstance(source, StreamRows)
    return source


def counted(source: StreamRows, plan: str | None = None) -> int:
    return int(source.count(QUERIES, levels=LEVELS, plan=plan)[0].sum())


@every_storage
@with_and_without_persons
def test_a_table_of_500_persons_replaced_by_3_counts_3(
    tmp_path: Path, storage: str, person: str | None
) -> None:
    """In the same process, by every way in which rows are used, also for the plan of before."""
    write = WRITERS[storage]
    source = open_rows(
        storage, write(table_of(500), tmp_path), person=person, cache=tmp_path / "cache"
    )
    assert counted(source, "plan") == 500
    assert source.people(rows_per_person=1, plan="plan").count == 500
    write(table_of(3), tmp_path)
    assert counted(source, "plan") == 3
    assert source.people(rows_per_person=1, plan="plan").count == 3
    assert len(source.encode().columns[0]) == 3
    folded: list[int] = []
    source.fold(lambda columns: folded.append(len(columns[0])), plan="plan")
    assert sum(folded) == 3


@every_storage
def test_a_gateway_that_starts_again_does_not_count_from_its_disk_what_was_deleted(
    tmp_path: Path, storage: str
) -> None:
    write, cache = WRITERS[storage], tmp_path / "cache"
    path = write(table_of(500), tmp_path)
    assert counted(open_rows(storage, path, cache=cache)) == 500
    write(table_of(3), tmp_path)
    assert counted(open_rows(storage, path, cache=cache)) == 3


@every_storage
def test_what_a_table_held_is_used_again_while_nothing_was_written(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or every round of training would read the whole table."""
    source = open_rows(storage, WRITERS[storage](table_of(500), tmp_path))
    first = source.people(rows_per_person=1)
    assert counted(source) == 500
    monkeypatch.setattr(source, "_open_reader", None)
    assert source.people(rows_per_person=1) is first
    assert counted(source) == 500


def test_a_file_that_is_written_within_one_tick_of_its_clock_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Same inode, same size, same times: its content alone tells."""
    stamp = file_state._stamp
    tick = stamp(Path(__file__))[4:]

    def coarse(file: Path) -> file_state.Stamp:
        path, device, inode, size, *_ = stamp(file)
        return path, device, inode, size, *tick

    monkeypatch.setattr(file_state, "_stamp", coarse)
    monkeypatch.setattr(file_state.time, "time_ns", lambda: max(tick) + 1_000_000_000)  # type: ignore[attr-defined]  # replaced where it is used
    path = tmp_path / "rows.csv"
    path.write_text("age,sex,who\n1,f,a\n2,f,b\n")
    source = open_rows("csv", path)
    females = source.count(QUERIES, levels=LEVELS)[0][0]
    path.write_text("age,sex,who\n1,m,a\n2,f,b\n")
    assert (females, source.count(QUERIES, levels=LEVELS)[0][0]) == (2, 1)


def test_a_file_whose_times_are_put_back_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("age,sex,who\n1,f,a\n2,f,b\n")
    os.utime(path, (1, 1))
    noted = look_at([path])
    path.write_text("age,sex,who\n1,m,a\n2,f,b\n")
    os.utime(path, (1, 1))
    assert not same_files(noted, now=look_at([path]))


def test_files_that_nobody_wrote_to_are_the_same_without_a_look_at_their_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("age,sex,who\n1,f,a\n")
    later = path.stat().st_ctime_ns + 10_000_000_000
    monkeypatch.setattr(file_state.time, "time_ns", lambda: later)  # type: ignore[attr-defined]  # replaced where it is used
    monkeypatch.setattr(file_state, "file_digest", None)
    assert same_files(look_at([path]), now=look_at([path]))


class Server:
    """Rows that nobody can watch, as on a server, and a clock."""

    def __init__(self) -> None:
        self.table = table_of(500)
        self.now = 1_000_000.0

    def open(self, person: str | None = None) -> StreamRows:
        return StreamRows(
            open_reader=lambda: Reader(fragments=lambda: [lambda: self.table]),
            wanted=Wanted(schema=SCHEMA, person_column=person),
            lifetime=Lifetime(seconds=QUERY_SECONDS, clock=lambda: self.now),
            bounding=None if person is None else bounding(SECRET),
        )


@with_and_without_persons
def test_rows_of_a_server_are_held_for_one_plan_and_an_hour_at_most(person: str | None) -> None:
    server = Server()
    source = server.open(person)
    for use in (counted, lambda s, plan: s.people(rows_per_person=1, plan=plan).count):
        for plan, seconds, rows in (
            ("a", 0, 500),
            ("b", 0, 3),  # another plan
            ("b", QUERY_SECONDS, 3),
        ):
            assert use(source, plan) == rows
            server.table = table_of(3)
            server.now += seconds
        server.table = table_of(2)
        assert use(source, "b") == 3, "within the hour"
        server.now += 1
        assert use(source, "b") == 2, "after it"
        server.now -= 7 * QUERY_SECONDS
        server.table = table_of(1)
        assert use(source, "b") == 1, "a clock that was put back gives no time"
        server.table, server.now = table_of(500), server.now + 10**6


def test_rows_that_are_asked_for_without_a_plan_are_read_each_time() -> None:
    server = Server()
    source = server.open()
    assert counted(source) == 500
    server.table = table_of(3)
    assert counted(source) == 3


def test_the_rows_of_a_query_last_an_hour_on_disk_as_in_memory(tmp_path: Path) -> None:
    """A query may ask for the date, so that its rows change while no file does."""
    path, now, cache = write_duckdb(table_of(500), tmp_path), [1_000_000.0], tmp_path / "cache"

    def open_at() -> StreamRows:
        source = open_rows("duckdb", path, cache=cache)
        lifetime = dataclasses.replace(source._lifetime, clock=lambda: now[0])
        source._lifetime = lifetime
        return source

    first = open_at()
    assert counted(first) == 500
    codes = next(cache.glob("codes-*/1.u"))
    codes.write_bytes(b"\0" * 400 + b"\1" * 100)  # to see who reads it
    now[0] += QUERY_SECONDS
    again = open_at()
    assert again.count(QUERIES, levels=LEVELS)[0].tolist() == [400, 100, 0]
    now[0] += 1
    for source in (again, open_at()):
        assert source.count(QUERIES, levels=LEVELS)[0].tolist() == [250, 250, 0]


@pytest.mark.parametrize("end", ["replaced", "gone", "emptied"])
@every_storage
def test_what_is_held_of_a_table_that_changed_is_dropped_before_anybody_asks(
    tmp_path: Path, storage: str, end: str
) -> None:
    write, cache = WRITERS[storage], tmp_path / "cache"
    path = write(table_of(500), tmp_path)
    source = open_rows(storage, path, cache=cache)
    source.people(rows_per_person=1)
    source.forget_stale()
    assert source._held is not None
    assert list(cache.glob("codes-*"))
    if end == "replaced":
        write(table_of(3), tmp_path)
    elif path.is_dir():
        shutil.rmtree(path) if end == "gone" else next(path.iterdir()).unlink()
    else:
        path.unlink() if end == "gone" else path.write_bytes(b"")
    source.forget_stale()
    assert (source._held, source._people) == (None, None)
    assert not list(cache.glob("codes-*"))


def test_codes_that_a_killed_process_left_half_written_are_removed(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    source = open_rows("parquet", write_parquet(table_of(500), tmp_path), cache=cache)
    counted(source)
    (cache / "codes-abc.4711.tmp").mkdir()
    (cache / "codes-abc.4711.tmp" / "0.u").write_bytes(b"\1" * 100)
    source.forget_stale()
    assert [place.name.endswith(".tmp") for place in cache.glob("codes-*")] == [False]


def test_a_silo_that_opens_removes_codes_of_tables_that_changed_or_left_its_policy(
    tmp_path: Path,
) -> None:
    federation = Federation(directory=tmp_path)
    places = Path(federation.policy.silo.directory) / "cache"
    for dataset in ("default", "dropped"):
        (places / dataset / "codes-abc").mkdir(parents=True)
        (places / dataset / "codes-abc" / "0.u").write_bytes(b"\1" * 100)
    with federation.open():
        assert not list(places.glob("*/codes-*"))


def test_a_gateway_answers_its_next_plan_from_the_table_as_it_is(tmp_path: Path) -> None:
    """10,000 rows are far beyond the noise of epsilon 0.5."""
    federation = Federation(directory=tmp_path)
    path = Path(federation.policy.datasets[0].path or "")
    totals = []
    with federation.open() as silo:
        for id, persons in (("p", 5_000), ("q", 5)):
            pq.write_table(people_table(persons=persons, rows_each=2), path)
            release = federation.release(silo, federation.plan(id=id, epsilon=0.5))
            totals.append(int(release.marginals[0].sum()))
    assert totals[0] > 9_000
    assert totals[1] < 1_000
