"""What a cluster's workers count equals brute force."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from silosynth.client.maps import NO_MAP
from silosynth.client.policy import DatasetSection
from silosynth.client.source import SourceFormat, SourceSpec, open_source, take_survey
from silosynth.client.source.files import RowGroup
from silosynth.client.source.on_ray import ClusterRows, share
from silosynth.common.errors import InvalidArgument, InvalidTable
from tests.support.tables.local_table import TYPED, by_hand, local_table
from tests.support.tables.messy import CANARY, LEVELS, QUERIES, SCHEMA, assert_exact, messy_table

TABLE = messy_table(2_000)
# Ray warns of its own future, and drops the handles of its processes when it is shut down.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """End the cluster that the first count starts."""
    yield
    ray.shutdown()


def write(table: pa.Table, folder: Path) -> SourceSpec:
    """Write several files of several row groups."""
    folder.mkdir()
    for i in range(4):
        part = table.slice(i * 500, 500)
        pq.write_table(part, folder / f"{i}.parquet", row_group_size=200)
    return SourceSpec(format=SourceFormat.PARQUET, path=folder, cluster="local", allow_extra=True)


def test_a_policy_reaches_the_cluster(tmp_path: Path) -> None:
    write(TABLE, tmp_path / "rows")
    section = DatasetSection.model_validate(
        {
            "name": "default",
            "format": "parquet",
            "path": str(tmp_path / "rows"),
            "cluster": "local",
            "schema": "schema.yaml",
            "schema_digest": SCHEMA.digest,
            "budget": {"epsilon": 1.0, "delta": 1e-6},
        }
    )
    source = open_source(section.source(), schema=SCHEMA)
    assert isinstance(source, ClusterRows)
    assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)


def test_every_table_equals_brute_force_and_errors_carry_no_text(tmp_path: Path) -> None:
    spec = write(TABLE, tmp_path / "rows")
    source = open_source(spec, schema=SCHEMA)
    for _ in range(2):
        assert_exact(source.count(QUERIES, levels=LEVELS), TABLE)
    with pytest.raises(InvalidTable, match="not held in one place"):
        source.encode()

    empty = open_source(write(TABLE.slice(0, 0), tmp_path / "empty"), schema=SCHEMA)
    assert not any(counts.any() for counts in empty.count(QUERIES, levels=LEVELS))

    assert spec.path is not None
    file = spec.path / "2.parquet"
    content = bytearray(file.read_bytes())
    content[4:200] = (CANARY.encode() * 20)[:196]
    file.write_bytes(content)
    with pytest.raises(InvalidTable) as caught:
        source.count(QUERIES, levels=LEVELS)
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_workers_map_what_they_read(tmp_path: Path) -> None:
    table = local_table(2_000)
    source = open_source(write(table, tmp_path / "rows"), schema=SCHEMA, silo_map=TYPED)
    assert_exact(source.count(QUERIES, levels=LEVELS), by_hand(table))


@pytest.mark.parametrize("mapped", [False, True])
def test_workers_say_how_their_rows_fit_as_one_reader_does(tmp_path: Path, mapped: bool) -> None:
    """A cluster of this machine alone is not begun for it; workers of another read their rows."""
    silo_map, table = (TYPED, local_table(2_000)) if mapped else (NO_MAP, TABLE)
    spec = write(table, tmp_path / "rows")
    open_source(spec, schema=SCHEMA, silo_map=silo_map).count(QUERIES, levels=LEVELS)
    right = take_survey([table], schema=SCHEMA, silo_map=silo_map)
    for cluster in ("local", "127.0.0.1:6379"):
        source = open_source(
            dataclasses.replace(spec, cluster=cluster), schema=SCHEMA, silo_map=silo_map
        )
        found = source.survey()
        assert (found.rows, found.fits, found.mapped) == (right.rows, right.fits, right.mapped)
        assert set(found.notes) == set(right.notes) != set()
        assert dict(found.missing) == dict(right.missing)
        assert source.survey(going=lambda: False).rows < right.rows


def test_row_groups_are_shared_out_evenly_and_each_once() -> None:
    groups = [
        RowGroup(path=Path("a"), number=i, columns=(), rows=rows)
        for i, rows in enumerate([900, 100, 100, 100, 500, 100, 0])
    ]
    parts = share(groups, parts=2)
    assert [sum(g.rows for g in part) for part in parts] == [900, 900]
    assert sorted(g.number or 0 for part in parts for g in part if g.rows) == [0, 1, 2, 3, 4, 5]
    assert len(share(groups[:1], parts=8)) == 1
    assert len(share(groups[-1:], parts=8)) == 1


@pytest.mark.parametrize("change", [{"person_column": "person"}, {"format": SourceFormat.CSV}])
def test_what_a_cluster_cannot_count_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        dataclasses.replace(write(TABLE, tmp_path / "rows"), **change)
