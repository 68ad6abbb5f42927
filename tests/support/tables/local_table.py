"""A table as one silo writes it, its map, and the same rows as the schema has them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.client.maps import SiloMap
from silosynth.client.maps.silo_map import parse_map

TYPED: SiloMap = parse_map(
    {
        "version": 1,
        "columns": {
            "zip": {"from": "plz", "map": {"A": "01", "7": "1", "c": "o'k", "?": None, "": "a\\b"}},
            "grade": {"from": "note", "map": {"sehr gut": 1, "gut": 2, "mies": 3}},
            "smoker": {"from": "zip", "map": {"0": False, "1": True, "9": None}},
            "age": {"from": "months", "scale": 1 / 12, "map": {"-1": None, "9999": 90}},
            "weight": {"scale": 0.01, "offset": -0.05},
            "note": {"from": "remark"},
        },
    }
)
TEXTS: SiloMap = parse_map(
    {
        "version": 1,
        "columns": TYPED.model_dump(by_alias=True)["columns"]
        | {
            "seen": {"format": "%d.%m.%Y"},
            "weight": {"scale": 0.01, "offset": -0.05, "format": {"decimal": ",", "suffix": " %"}},
        },
    }
)
PLZ = {"A": "01", "7": "1", "c": "o'k", "?": None, None: "a\\b", "": "a\\b"}
SMOKER = {None: None, 9: None, 2: "neither", 0: "false", 1: "true"}
NOTE = {"sehr gut": 1, "gut": 2, "mies": 3}


def local_table(rows: int, *, seed: int = 3) -> pa.Table:
    """Return rows of the silo's own, of every kind of value: known words, unknown ones, nulls."""
    random = np.random.default_rng(seed)

    def pick(values: list[Any], kind: pa.DataType) -> pa.Array:
        return pa.array([values[i] for i in random.integers(0, len(values), rows)], kind)

    days = [datetime(2020, m, d, tzinfo=UTC) for m in (1, 6, 12) for d in (1, 17)]
    return pa.table(
        {
            "plz": pick(["A", "7", " 7 ", "c", "?", "01", "else", "", None], pa.string()),
            "note": pick(["sehr gut", "gut", "mies", "4", "1", None], pa.string()),
            "zip": pick([0, 1, 9, 2, None], pa.int32()),
            "months": pick([0, 5, 6, 100, 1091, 9999, -1, -13, None], pa.int64()),
            "weight": pick([5.0, 35.0, 75.5, 1e-310, -1e308, float("nan"), None], pa.float64()),
            "seen": pick([*days, datetime(1990, 1, 1, tzinfo=UTC)], pa.timestamp("us")),
            "remark": pick(["a", "b"], pa.string()),
            "age": pick([1], pa.int64()),
            "person": pick([*range(max(rows // 4, 1)), None], pa.int64()),
        }
    )


def as_texts(table: pa.Table) -> pa.Table:
    """Return the rows as the silo's text file has them: every column a text, in its own form."""

    def spell(name: str, value: Any) -> str | None:
        if value is None or value != value:
            return None
        if name == "seen":
            return f"{value:%d.%m.%Y}"
        if name == "weight":
            # Such numbers have no form of text: others of the same bins stand for them.
            plain = {1e-310: 0.0, -1e308: -1000.0}.get(value, value)
            return f"{plain!r} %".replace(".", ",")
        return str(value)

    return pa.table(
        {
            n: pa.array([spell(n, v) for v in table[n].to_pylist()], pa.string())
            for n in table.column_names
        }
    )


def by_hand(table: pa.Table) -> pa.Table:
    """Return the rows as somebody would bring them to the schema, one value at a time."""

    def months(value: int | None) -> int | None:
        if value in (None, -1):
            return None
        return 90 if value == 9999 else int(np.floor(value * (1 / 12) + 0.5))

    def weight(value: float | None) -> float | None:
        if value is None or value != value:
            return None
        bounded = 0.0 if abs(value) < 1e-200 else min(max(value, -1e200), 1e200)
        return bounded * 0.01 - 0.05

    rows = table.to_pylist()
    return pa.table(
        {
            "zip": pa.array(
                [PLZ.get(v.strip() if v else v, "nowhere") for v in (r["plz"] for r in rows)],
                pa.string(),
            ),
            "grade": pa.array(
                [None if r["note"] is None else NOTE.get(r["note"], 77) for r in rows], pa.int64()
            ),
            "smoker": pa.array([SMOKER[r["zip"]] for r in rows], pa.string()),
            "age": pa.array([months(r["months"]) for r in rows], pa.int64()),
            "weight": pa.array([weight(r["weight"]) for r in rows], pa.float64()),
            "seen": table["seen"],
            "note": table["remark"],
            "person": table["person"],
        }
    )
