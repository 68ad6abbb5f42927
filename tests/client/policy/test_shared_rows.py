"""Two names for one table are two budgets for one person: the operator is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.policy import parse_policy, shared_rows_warnings

PG = {"format": "postgresql", "query": "SELECT 1", "path": None}


def _warnings(home: Path, *sources: Mapping[str, Any]) -> tuple[str, ...]:
    shared = {
        "format": "parquet",
        "schema": "schema.yaml",
        "schema_digest": "sha256:" + "0" * 64,
        "budget": {"epsilon": 1.0, "delta": 1e-6},
    }
    datasets = [
        {k: v for k, v in (shared | {"name": f"d{i}"} | dict(source)).items() if v is not None}
        for i, source in enumerate(sources)
    ]
    silo = {"name": "north", "key": "k", "persons_secret": "s", "directory": "d"}
    data = {"version": 1, "silo": silo, "datasets": datasets}
    return shared_rows_warnings(parse_policy(data, home=home))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("people.parquet", "people.parquet"),
        ("people.parquet", "./x/../people.parquet"),
        ("people.parquet", "linked.parquet"),
        ("people.parquet", "hard.parquet"),
        (".", "people.parquet"),
        ("people.parquet", "."),
    ],
)
def test_one_file_under_two_names_is_noticed(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "people.parquet").touch()
    (tmp_path / "linked.parquet").symlink_to(tmp_path / "people.parquet")
    (tmp_path / "hard.parquet").hardlink_to(tmp_path / "people.parquet")
    (warning,) = _warnings(tmp_path, {"path": first}, {"path": second})
    assert "'d0' and 'd1'" in warning
    assert "both budgets" in warning


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("postgresql://ann:secret@db/visits", "postgresql://bob@db:5432/visits?sslmode=require"),
        ("postgresql://db/visits", "host=db dbname=visits password=secret"),
        ("postgresql:///visits?host=/run/pg", "postgresql://ann@/visits?host=/run/pg"),
        ("postgresql://visits@db", "postgresql://db/visits"),
    ],
)
def test_one_database_under_two_names_is_noticed_without_its_password(
    first: str, second: str
) -> None:
    (warning,) = _warnings(Path("/"), PG | {"uri": first}, PG | {"uri": second})
    assert "database 'visits'" in warning
    assert "secret" not in warning


def test_other_tables_are_no_reason_to_warn(tmp_path: Path) -> None:
    files = [{"path": "a.parquet"}, {"path": "b.parquet"}, {"path": "folder"}, {"path": "folder2"}]
    servers = [
        PG | {"uri": uri}
        for uri in (
            "postgresql://db/visits",
            "postgresql://db/wards",
            "postgresql://db:6000/visits",
            "postgresql://other/visits",
            "host='unclosed",
        )
    ]
    assert _warnings(tmp_path, *files, *servers) == ()


def test_three_names_make_three_pairs(tmp_path: Path) -> None:
    assert len(_warnings(tmp_path, *[{"path": "a.parquet"}] * 3)) == 3
