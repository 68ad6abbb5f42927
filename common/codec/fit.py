"""Whether a table has the schema's columns, in types that can hold them."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as pt

from silosynth.common.codec.kinds.table import kind_of
from silosynth.common.codec.written.columns import is_text, refuse_twins, spell_columns
from silosynth.common.errors import InvalidTable
from silosynth.common.rules import columns_of
from silosynth.common.schema import Attribute, Schema


def check_columns(
    table: pa.Schema, *, schema: Schema, allow_extra: bool = False, origin: str = "table"
) -> None:
    """Raise InvalidTable when a column is missing, undeclared or of an impossible type.

    Columns that nothing is counted or learnt from may be absent: they are not read.
    """
    refuse_twins(table.names, origin=origin)
    needed = needed_columns(schema)
    absent = [name for name in needed if name not in table.names]
    if absent:
        raise InvalidTable(
            f"{origin}: {spell_columns(absent)} missing",
            hint="add it, or take it out of the schema at every silo",
        )
    declared = {a.name: a for a in schema.attributes}
    extra = [name for name in table.names if name not in declared]
    if extra and not allow_extra:
        raise InvalidTable(
            f"{origin}: {spell_columns(extra)} not in the schema",
            hint="drop it, or declare it; its kind is 'ignored' if it is not to be read",
        )
    for name in table.names:
        if name in declared and not accepts(declared[name], table.field(name).type):
            raise InvalidTable(
                f"{origin}: column {name!r} has type {table.field(name).type}, "
                f"which cannot be {declared[name].kind}",
                hint=kind_of(declared[name]).store_as,
            )


def needed_columns(schema: Schema) -> list[str]:
    """Return the columns that are counted or learnt from."""
    coded = {a.name for a in (*schema.coded, *schema.attributes) if a.modelled}
    coded |= {n for rule in schema.ruled.rules for n in columns_of(rule)}
    unread = {a.name for a in schema.attributes if a.kind == "identifier" and not a.modelled}
    unread |= schema.unread
    return [
        a.name
        for a in schema.attributes
        if a.name in coded - unread or getattr(a, "max_bytes", None)
    ]


def accepts(attribute: Attribute, kind: pa.DataType) -> bool:
    """Say whether a column of this Arrow type can ever hold the attribute."""
    if pt.is_dictionary(kind):
        return accepts(attribute, kind.value_type)
    if pt.is_run_end_encoded(kind):
        # Arrow cannot decode runs of views.
        return not pt.is_string_view(kind.value_type) and accepts(attribute, kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return accepts(attribute, kind.storage_type)
    if pt.is_null(kind) or is_text(kind):
        return True
    return kind_of(attribute).accepts(attribute, kind)
