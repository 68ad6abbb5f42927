"""pandas at its edge: frames in and out, and instants in text, which pandas reads best.

Whoever has a pandas frame has imported pandas; everybody else imports this module only where one is
asked for, because pandas takes 40 MB and a second, which a gateway that waits does not need.
"""

from __future__ import annotations

import contextlib
import struct
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api.types import pandas_dtype

from silosynth.common.schema import reading_format

Frame: TypeAlias = pd.DataFrame

_SHOWN = 1000
_FEWEST_NAMES = 2
"""Cells that a line of names has at least, where a sheet has more columns than one."""
_NULLABLE = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")


def from_pandas(frame: Frame) -> pa.Table:
    """Return a frame as an Arrow table; objects that Arrow cannot type become text."""
    columns = [_convert(frame.iloc[:, i]) for i in range(frame.shape[1])]
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])


def to_pandas(table: pa.Table, *, plain: Collection[str] = ()) -> Frame:
    """Return a decoded table as pandas: ordered categories kept, whole and truth values nullable.

    Args: plain: columns that come back as NumPy's own types, since they are never null.
    """
    nullable = {pa.from_numpy_dtype(kind.lower()): pandas_dtype(kind) for kind in _NULLABLE}
    truths = {f.name for f in table.schema if pa.types.is_boolean(f.type)}
    frame: Frame = table.to_pandas(types_mapper=nullable.get)
    kinds = {name: str(frame[name].dtype) for name in plain}
    kinds = {name: kind.lower() for name, kind in kinds.items() if kind in _NULLABLE}
    holey = {name: "boolean" for name in truths if frame[name].dtype == object}
    return frame.astype(kinds | holey)


def like_frame(table: pa.Table, frame: Frame) -> Frame:
    """Return a decoded table as pandas, each column of the type that ``frame`` has it in.

    One that the values do not go into keeps its own.
    """
    made = to_pandas(table)
    for name in made.columns:
        if name in frame.columns and made[name].dtype != frame[name].dtype:
            with contextlib.suppress(TypeError, ValueError, OverflowError, pa.ArrowException):
                made[name] = made[name].astype(frame[name].dtype)
    return made


def read_instants(texts: pa.Array, *, format: str | None) -> pa.Array:
    """Return texts as instants in UTC, null where one is unreadable, by ISO 8601 or ``format``."""
    series: pd.Series[Any] = pd.Series(texts.to_pylist(), dtype=object)
    spelled = "ISO8601" if format is None else reading_format(format)
    instants = pd.to_datetime(series, errors="coerce", utc=True, format=spelled)
    return pa.array(instants, from_pandas=True)


def read_spans(texts: pa.Array) -> np.ndarray:
    """Return (texts,) float64 seconds of spans of time as text, NaN where one is unreadable."""
    series: pd.Series[Any] = pd.Series(texts.to_pylist(), dtype=object)
    with warnings.catch_warnings():
        # Units that pandas will take no more, as in "3w": a warning would speak of a row.
        warnings.simplefilter("ignore")
        spans = pd.to_timedelta(series, errors="coerce")
    seconds: np.ndarray = spans.dt.total_seconds().to_numpy()
    return seconds


def read_sheet(path: Path) -> pa.Table:
    """Return a file of Stata or SAS, or the first sheet of one of Excel; mixed columns as text.

    Lines above a sheet's names that have one cell at most are titles, and are passed over.
    Raises ValueError, KeyError or OSError for a file that is none.
    """
    read = {".dta": _read_stata, ".sas7bdat": _read_sas, ".xpt": _read_sas}
    if (other := read.get(path.suffix.lower())) is not None:
        try:
            return from_pandas(other(path))
        except (struct.error, IndexError, EOFError, OverflowError) as err:
            raise ValueError("is damaged") from err
    cells = _cells(path)
    cells = cells.iloc[_titles(cells) :]
    names = ["" if name != name else str(name) for name in cells.iloc[0]] if len(cells) else []
    columns = [_convert(cells.iloc[1:, i].infer_objects()) for i in range(len(names))]
    return pa.Table.from_arrays(columns, names=names)


def sheet_facts(path: Path) -> tuple[list[str], int]:
    """Return the names of an Excel file's sheets, and the rows above the names in the first."""
    with pd.ExcelFile(path) as book:
        return [str(name) for name in book.sheet_names], _titles(_cells(path))


def _cells(path: Path) -> Frame:
    return pd.read_excel(path, header=None, dtype=object, keep_default_na=False, na_values=[""])


def _titles(cells: Frame) -> int:
    """Return how many rows stand above the first that has more than one cell."""
    filled = cells.notna().sum(axis=1).to_numpy()
    wide = filled >= min(_FEWEST_NAMES, cells.shape[1])
    return int(wide.argmax()) if wide.any() else 0


def _read_stata(path: Path) -> Frame:
    """Read a file of Stata; labels that stand for several values stay numbers."""
    try:
        return pd.read_stata(path)
    except ValueError:
        return pd.read_stata(path, convert_categoricals=False)


def _read_sas(path: Path) -> Frame:
    """Read a file of SAS, in UTF-8 or else in the encoding of Western Europe."""
    try:
        frame: Frame = pd.read_sas(path, encoding="utf-8")
    except UnicodeDecodeError:
        frame = pd.read_sas(path, encoding="latin-1")
    return frame


def _convert(series: pd.Series[Any]) -> pa.Array | pa.ChunkedArray:
    """Convert one column; periods and intervals become text, in their order where they have one."""
    kind = series.dtype
    if isinstance(kind, pd.SparseDtype):
        series = series.astype(kind.subtype)
    if isinstance(kind, pd.CategoricalDtype) and isinstance(
        kind.categories, pd.IntervalIndex | pd.PeriodIndex
    ):
        series = series.cat.rename_categories([str(c) for c in kind.categories])
    elif isinstance(kind, pd.PeriodDtype | pd.IntervalDtype):
        series = series.astype(object)
        return pa.array([_spell_object(value) for value in series], pa.large_string())
    if any(isinstance(value, UUID) for value in series.head(_SHOWN)):
        return pa.array([_spell_object(value) for value in series], pa.large_string())
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
