"""Read a data set's dictionary: ``tables`` of ``columns`` with kinds, bounds and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silosynth.common.errors import InvalidSchema
from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    choose_table,
    columns_at,
    describe_attribute,
    mapping_at,
)
from silosynth.common.schema import Source

_KINDS = ("categorical", "ordinal", "numeric", "identifier", "text")


def is_dataset(document: Mapping[str, Any]) -> bool:
    """Say whether a document describes tables by lists of columns with kinds."""
    tables = document.get("tables")
    return isinstance(tables, Mapping) and any(
        isinstance(table, Mapping) and isinstance(table.get("columns"), list)
        for table in tables.values()
    )


def import_dataset(
    document: Mapping[str, Any], *, name: str, table: str | None, trust_ranges: bool, origin: str
) -> ImportedSchema:
    """Return the schema document of one table.

    Domains that the dictionary calls data-derived come out ``unreviewed``, and counts of missing
    values, which are facts about the data, are used with ``trust_ranges`` alone.
    """
    tables = mapping_at(document.get("tables"), where=f"{origin}: tables")
    chosen, described = choose_table(tables, table=table, origin=origin)
    where = f"{origin}: {chosen}"
    columns = columns_at(mapping_at(described, where=where).get("columns"), where=where)
    title = str(document.get("name") or name)
    stem = chosen.rpartition(".")[0] or chosen
    return assemble(
        [_attribute(c, trust_ranges=trust_ranges, where=where) for c in columns],
        name=title if len(tables) == 1 or stem == title else f"{title}.{stem}",
        label=document.get("target"),
        notes=_notes(document, columns),
    )


def _attribute(column: Mapping[str, Any], *, trust_ranges: bool, where: str) -> ImportedAttribute:
    name, kind = str(column["name"]), column.get("kind")
    if kind not in _KINDS:
        raise InvalidSchema(f"{where}: {name!r}: kind {kind!r} is not known")
    description = {"description": column.get("description") or None}
    if kind in ("identifier", "text"):
        return describe_attribute(name, kind, facts=description)
    origin = str(column.get("bounds_source", "data-derived"))
    derived = "data-derived" in origin
    facts = description | _missing(column, trust_ranges=trust_ranges)
    source, notes = _source(origin)
    if kind != "numeric":
        facts |= {"categories": column.get("categories"), "other": derived}
        return describe_attribute(name, kind, facts=facts, source=source, notes=notes)
    low, high = column.get("min"), column.get("max")
    if column.get("integer") is not True:
        facts |= {"minimum": low, "maximum": high}
        return describe_attribute(name, "real", facts=facts, source=source, notes=notes)
    if low is not None and low == high:
        facts |= {"categories": [low], "other": True}
        notes.append("one value only; listed as a category beside other")
        return describe_attribute(name, "categorical", facts=facts, source=source, notes=notes)
    facts |= {"minimum": low, "maximum": high}
    return describe_attribute(name, "integer", facts=facts, source=source, notes=notes)


def _missing(column: Mapping[str, Any], *, trust_ranges: bool) -> dict[str, Any]:
    if "missing" in column:
        token = column["missing"]
        tokens = token if isinstance(token, list) else [token]
        return {"missing": True, "missing_tokens": [str(t) for t in tokens if t is not None]}
    return {"missing": True} if trust_ranges and column.get("n_missing") else {}


def _source(origin: str) -> tuple[Source, list[str]]:
    if "data-derived" in origin:
        return Source.UNREVIEWED, ["its domain was read off the data; review it"]
    if origin.startswith("set by hand"):
        return Source.DECLARED, []
    return Source.PUBLIC, []


def _notes(document: Mapping[str, Any], columns: list[Mapping[str, Any]]) -> list[str]:
    coded = [c for c in columns if c.get("kind") not in ("identifier", "text")]
    silent = [str(c["name"]) for c in coded if "missing" not in c]
    notes = []
    if silent:
        notes.append(
            f"nothing is said about missing values of {len(silent)} attributes; "
            "set missing: true where they can be missing"
        )
    if document.get("silo_column") in [c["name"] for c in columns]:
        notes.append(
            f"{document['silo_column']!r} tells the silos apart; drop it if it says no more"
        )
    return notes
