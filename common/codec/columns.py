"""Tables in: what counts as a table, and whether it has the schema's columns."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, runtime_checkable

import pyarrow as pa
import pyarrow.types as pt

from silosynth.common.errors import InvalidTable
from silosynth.common.schema.attributes import (
    Attribute,
    BooleanAttribute,
    CategoricalAttribute,
    DatetimeAttribute,
    IdentifierAttribute,
    OrdinalAttribute,
    TextAttribute,
)
from silosynth.common.schema.schema import Schema

if TYPE_CHECKING:
    from silosynth.common.codec.frames import Frame


@runtime_checkable
class ArrowStream(Protocol):
    """Anything that speaks the Arrow C stream interface, a polars frame for one."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a PyCapsule that holds the stream."""


TableLike: TypeAlias = "pa.Table | pa.RecordBatch | Frame | ArrowStream"


def as_table(table: TableLike, *, origin: str = "table") -> pa.Table:
    """Return an Arrow table; raise InvalidTable for anything that is none.

    Objects of mixed types in a pandas column become text, so that no value can raise.
    """
    if isinstance(table, pa.Table):
        result = table
    elif isinstance(table, pa.RecordBatch):
        result = pa.Table.from_batches([table])
    elif _is_frame(table):
        from silosynth.common.codec.frames import from_pandas  # see there why not above

        result = from_pandas(table)
    elif isinstance(table, ArrowStream):
        result = pa.table(table)
    else:
        raise InvalidTable(
            f"{origin}: {type(table).__name__} is not a table",
            hint="give an Arrow table, a pandas or polars frame, or a path",
        )
    _refuse_twins(result.column_names, origin=origin)
    return result


def check_columns(
    table: pa.Schema, *, schema: Schema, allow_extra: bool = False, origin: str = "table"
) -> None:
    """Raise InvalidTable when a column is missing, undeclared or of an impossible type.

    Identifier columns may be absent, and texts that no generator learns: they are not read.
    """
    _refuse_twins(table.names, origin=origin)
    needed = [a for a in schema.attributes if not isinstance(a, IdentifierAttribute)]
    needed = [a for a in needed if not isinstance(a, TextAttribute) or a.max_bytes]
    absent = [a.name for a in needed if a.name not in table.names]
    if absent:
        raise InvalidTable(
            f"{origin}: {_spell(absent)} missing",
            hint="add it, or take it out of the schema at every silo",
        )
    declared = {a.name: a for a in schema.attributes}
    extra = [name for name in table.names if name not in declared]
    if extra and not allow_extra:
        raise InvalidTable(
            f"{origin}: {_spell(extra)} not in the schema",
            hint="drop it, declare it, or allow extra columns",
        )
    for name in table.names:
        if name in declared and not accepts(declared[name], table.field(name).type):
            raise InvalidTable(
                f"{origin}: column {name!r} has type {table.field(name).type}, "
                f"which cannot be {declared[name].kind}",
                hint=_remedy(declared[name]),
            )


def accepts(attribute: Attribute, kind: pa.DataType) -> bool:
    """Say whether a column of this Arrow type can ever hold the attribute."""
    if isinstance(attribute, IdentifierAttribute):
        return True
    if isinstance(attribute, TextAttribute) and not attribute.max_bytes:
        return True
    if pt.is_dictionary(kind):
        return accepts(attribute, kind.value_type)
    if pt.is_run_end_encoded(kind):
        # Arrow cannot decode runs of views.
        return not pt.is_string_view(kind.value_type) and accepts(attribute, kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return accepts(attribute, kind.storage_type)
    if pt.is_null(kind) or is_text(kind):
        return True
    if isinstance(attribute, TextAttribute):
        return False
    if isinstance(attribute, DatetimeAttribute):
        return is_instant(kind)
    if isinstance(attribute, CategoricalAttribute | OrdinalAttribute):
        return is_number(kind) or is_instant(kind) or bool(pt.is_time(kind))
    if isinstance(attribute, BooleanAttribute):
        return is_number(kind) and not pt.is_decimal(kind)
    return is_number(kind)


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


def _refuse_twins(names: list[str], *, origin: str) -> None:
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise InvalidTable(f"{origin}: {_spell(twins)} there twice", hint="rename one of them")


def _spell(names: list[str]) -> str:
    """Spell up to five names with the verb: "columns 'a', 'b' are"."""
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"column {shown} is" if len(names) == 1 else f"columns {shown}{more} are"


def _remedy(attribute: Attribute) -> str:
    if isinstance(attribute, DatetimeAttribute):
        return "store it as a timestamp, a date or ISO 8601 text"
    if isinstance(attribute, CategoricalAttribute | OrdinalAttribute):
        return "store it as text or whole numbers"
    if isinstance(attribute, BooleanAttribute):
        return "store it as true and false, or 1 and 0"
    if isinstance(attribute, TextAttribute):
        return "store it as text"
    return "store it as numbers"
