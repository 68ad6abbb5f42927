"""Synthetic rows as the kind of table that the silo's rows were, with its types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import pyarrow as pa

from silosynth.common.errors import InvalidArgument

Given = TypeVar("Given")


def as_given(drawn: pa.Table, table: Given) -> Given:
    """Return drawn rows as a table of the kind and with the types of ``table``, the silo's for one.

    What the schema does not know of types comes back so too: pandas' nullable types and Arrow's in
    pandas, ``Enum`` and the precision of decimals in polars. Nothing of the table's own rows is
    looked at.

    Args:    table: a pandas or polars frame, or an Arrow table.
    Raises:  InvalidArgument for anything else.
    """
    kind: Any = type(table)
    types = getattr(table, "schema", None)
    if isinstance(table, pa.Table):
        made: Any = _cast(drawn, table.schema)
    elif hasattr(table, "iloc"):
        from silosynth.common.codec import like_frame  # pandas, which others do without

        made = like_frame(drawn, cast("Any", table))
    elif isinstance(types, Mapping):
        made = kind(drawn)
        made = made.cast({name: types[name] for name in made.columns if name in types})
    else:
        raise InvalidArgument(
            f"{kind.__name__} is no table to draw alike",
            hint="give a pandas or polars frame, or an Arrow table",
        )
    return cast("Given", made)


def _cast(drawn: pa.Table, types: pa.Schema) -> pa.Table:
    """Return columns in the types of those of their names, where values go into them."""
    for place, field in enumerate(drawn.schema):
        if field.name in types.names and field.type != types.field(field.name).type:
            try:
                column = drawn[field.name].cast(types.field(field.name).type)
            except pa.ArrowException:
                continue
            drawn = drawn.set_column(place, field.name, column)
    return drawn
