"""Tables in: what counts as a table, and what its columns are stored as."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, runtime_checkable

import pyarrow as pa
import pyarrow.types as pt

from silosynth.common.errors import InvalidTable

if TYPE_CHECKING:
    from silosynth.common.codec.written.frames import Frame


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that speaks the Arrow C stream interface, a polars frame for one."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a PyCapsule that holds the stream."""


TableLike: TypeAlias = "pa.Table | pa.RecordBatch | Frame | ArrowStream"


def as_table(table: TableLike, *, origin: str = "table") -> pa.Table:
    """Return an Arrow table; raise InvalidTable for anything that is none.

    Objects of mixed types in a pandas column become text, so that no value can raise. A column
    without a name is called after its place.
    """
    if isinstance(table, pa.Table):
        result = table
    elif isinstance(table, pa.RecordBatch):
        result = pa.Table.from_batches([table])
    elif _is_frame(table):
        from silosynth.common.codec.written.frames import from_pandas  # see there why not above

        result = from_pandas(table)
    elif isinstance(table, ArrowStream):
        try:
            result = pa.table(table)
        except (pa.ArrowException, TypeError, ValueError) as err:
            raise _unknown(table, origin=origin) from err
    else:
        raise InvalidTable(
            f"{origin}: {type(table).__name__} is not a table",
            hint="give an Arrow table, a pandas or polars frame, or a path",
        )
    names = [name.strip(" ") and name for name in result.column_names]
    if not all(names):
        names = [name or f"column_{place}" for place, name in enumerate(names, start=1)]
        result = result.rename_columns(names)
    refuse_twins(result.column_names, origin=origin)
    return _without_views(result)


def _unknown(table: ArrowStream, *, origin: str) -> InvalidTable:
    """Say why Arrow takes no table from what could give one."""
    try:
        pa.chunked_array(table)
    except (pa.ArrowException, TypeError, ValueError):
        pass
    else:
        return InvalidTable(
            f"{origin}: is one column and not a table", hint="make it a frame, as by .to_frame()"
        )
    column = getattr(table, "__getitem__", dict[str, object]().get)
    for name in getattr(table, "columns", ()):
        try:
            pa.chunked_array(column(name))
        except (pa.ArrowException, TypeError, ValueError):
            return InvalidTable(
                f"{origin}: column {name!r} has a type that Arrow has not",
                hint="cast it to a shorter number or to text",
            )
    return InvalidTable(
        f"{origin}: holds a column of a type that Arrow has not",
        hint="cast it to a shorter number or to text",
    )


def _without_views(table: pa.Table) -> pa.Table:
    """Return a table without string views, which few functions of Arrow can read."""
    for place, field in enumerate(table.schema):
        kind = field.type
        if pt.is_string_view(kind):
            column = table.column(place).cast(pa.large_string())
        elif pt.is_dictionary(kind) and pt.is_string_view(kind.value_type):
            column = pa.chunked_array(
                [_plain_dictionary(chunk) for chunk in table.column(place).chunks],
                type=pa.dictionary(kind.index_type, pa.large_string(), ordered=kind.ordered),
            )
        else:
            continue
        table = table.set_column(place, field.name, column)
    return table


def _plain_dictionary(chunk: pa.DictionaryArray) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(
        chunk.indices, chunk.dictionary.cast(pa.large_string()), ordered=chunk.type.ordered
    )


def is_text(kind: pa.DataType) -> bool:
    """Say whether an Arrow type holds text."""
    return bool(pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Say whether an Arrow type holds numbers or truth values."""
    return bool(
        pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind) or pt.is_boolean(kind)
    )


def is_instant(kind: pa.DataType) -> bool:
    """Say whether an Arrow type holds dates or instants."""
    return bool(pt.is_timestamp(kind) or pt.is_date(kind))


def _is_frame(table: object) -> TypeGuard[Frame]:
    """Say whether something is a pandas frame, which nothing is while pandas is not imported."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(table, pandas.DataFrame)


def refuse_twins(names: list[str], *, origin: str) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise InvalidTable(
            f"{origin}: {spell_columns(twins)} there twice", hint="rename one of them"
        )


def spell_columns(names: list[str]) -> str:
    """Spell up to five names with the verb: "columns 'a', 'b' are"."""
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"column {shown} is" if len(names) == 1 else f"columns {shown}{more} are"
