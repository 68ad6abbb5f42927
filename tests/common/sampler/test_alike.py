"""Rows come back as the kind of table that went in, with its types."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import dump_schema
from silosynth.common.schema.schema import schema_of_text
from silosynth.server.dummy.rows import dummy_sampler

ROWS = 400


def sampler_of(table: Any) -> Any:
    draft = draft_schema(table, name="t").schema
    text = dump_schema(draft).replace("unreviewed", "declared")
    schema = schema_of_text(text, origin="t")
    return dummy_sampler(schema)


def columns() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "b": [None if n == 0 else n > 2 for n in rng.integers(0, 5, ROWS)],
        "f": [None if n < 9 else n / 4 + 0.1 for n in rng.integers(0, 90, ROWS)],
        "s": [["north", "south"][n] for n in rng.integers(0, 2, ROWS)],
        "i": rng.integers(0, 500, ROWS).tolist(),
    }


def test_pandas_types_come_back() -> None:
    kinds = {"b": "boolean", "f": "Float64", "s": "string", "i": "int32[pyarrow]"}
    frame = pd.DataFrame(columns()).astype(kinds)
    sampler = sampler_of(frame)
    assert sampler.draw_like(frame, 50, seed=1).dtypes.equals(frame.dtypes)
    assert str(sampler.draw(50, seed=1)["b"].dtype) == "boolean"


def test_polars_and_arrow_types_come_back() -> None:
    said = columns()
    amounts = pl.Series([f"{n / 8:.2f}" for n in said["i"]]).cast(pl.Decimal(10, 2))
    frame = pl.DataFrame(
        said | {"d": amounts, "s": pl.Series(said["s"], dtype=pl.Enum(["south", "north"]))}
    )
    sampler = sampler_of(frame)
    assert sampler.draw_like(frame, 50, seed=1).schema == frame.schema
    table = pa.table(said | {"i": pa.array(said["i"], pa.int16())})
    assert sampler_of(table).draw_like(table, 50, seed=1).schema == table.schema


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="list is no table"):
        sampler_of(pd.DataFrame(columns())).draw_like([1], 5, seed=1)
