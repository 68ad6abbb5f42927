"""Split one table into silos, as regions or organisations would hold it."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.errors import InvalidTable
from silosynth.common.names import machine_key


def silo_name(value: object) -> str:
    """Spell a value of the silo column as a silo's name, by the rule that plans have too."""
    return machine_key(value)


def split_table(table: pa.Table, *, by: str) -> dict[str, pa.Table]:
    """Return one table for each value of column ``by``, in order of their names.

    Raises InvalidTable when there is no such column, or two values give one silo name.
    """
    if by not in table.column_names:
        raise InvalidTable(
            f"there is no column {by!r} to split by",
            hint=f"use one of {', '.join(table.column_names[:8])}",
        )
    codes = pc.dictionary_encode(table[by].combine_chunks(), null_encoding="encode")
    parts: dict[str, pa.Table] = {}
    for code, value in enumerate(codes.dictionary.to_pylist()):
        name = silo_name(value)
        if name in parts:
            raise InvalidTable(
                f"two values of column {by!r} give the silo name {name!r}",
                hint="rename one of them in a copy of the column",
            )
        parts[name] = table.filter(pc.equal(codes.indices, code))
    return dict(sorted(parts.items()))


def match_roster(tables: Mapping[str, pa.Table], *, roster: tuple[str, ...]) -> None:
    """Raise InvalidTable unless there is exactly one table for each silo of the roster."""
    missing = [s for s in roster if s not in tables]
    extra = [s for s in tables if s not in roster]
    if missing:
        raise InvalidTable(
            f"the plan names {len(missing)} silos that have no table, {missing[0]!r} first",
            hint="name the files after the silos, or make the plan with other --silos",
        )
    if extra:
        raise InvalidTable(
            f"{len(extra)} tables belong to no silo of the plan, {extra[0]!r} first",
            hint="name them with --silos when you make the plan, or take them away",
        )
