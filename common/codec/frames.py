"""pandas at its edge: frames in and out, and instants in text, which pandas reads best.

Whoever has a pandas frame has imported pandas; everybody else imports this module only where one is
asked for, because pandas takes 40 MB and a second, which a gateway that waits does not need.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

Frame: TypeAlias = pd.DataFrame


def from_pandas(frame: Frame) -> pa.Table:
    """Return a frame as an Arrow table; objects that Arrow cannot type become text."""
    columns = [_convert(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])


def to_pandas(table: pa.Table) -> Frame:
    """Return a decoded table as pandas: ordered categories kept, whole numbers nullable."""
    frame: Frame = table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)
    return frame


def read_instants(texts: pa.Array, *, format: str | None) -> pa.Array:
    """Return texts as instants in UTC, null where one is unreadable, by ISO 8601 or ``format``."""
    series: pd.Series[Any] = pd.Series(texts.to_pylist(), dtype=object)
    instants = pd.to_datetime(series, errors="coerce", utc=True, format=format or "ISO8601")
    return pa.array(instants, from_pandas=True)


def _convert(series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Convert one column."""
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, ArithmeticError):
        return pa.array([_spell_object(value) for value in series], pa.large_string())


def _spell_object(value: object) -> str | None:
    """Return an object as text that UTF-8 can hold, and missing ones as null."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float) and value != value:
        return None
    return str(value).encode("utf-8", "replace").decode("utf-8")
