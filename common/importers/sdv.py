"""Read SDV metadata: V1 (``fields``) and V2 (``METADATA_SPEC_VERSION``, ``columns``).

SDV detects metadata from the data, so categories and ranges in it are private facts: they are
dropped unless the user trusts them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    choose_table,
    columns_at,
    date_format,
    describe_attribute,
    key_form,
    list_at,
    mapping_at,
    names_at,
    with_rules,
)
from silosynth.common.importers.sdv_rules import import_constraints, one_hot
from silosynth.common.rules import PatternFault, parse_pattern, spell_name, spell_text

_KINDS = {
    "boolean": "boolean",
    "categorical": "categorical",
    "numerical": "real",
    "integer": "integer",
    "float": "real",
    "datetime": "datetime",
    "id": "identifier",
}
_ALIASES = {
    "minimum": ("minimum", "min", "min_value", "low_value"),
    "maximum": ("maximum", "max", "max_value", "high_value"),
    "categories": ("categories", "category_values", "values", "order"),
}


def is_sdv(document: Mapping[str, Any]) -> bool:
    """Say whether a document looks like SDV metadata of either version."""
    if "METADATA_SPEC_VERSION" in document or isinstance(document.get("fields"), Mapping):
        return True
    tables = document.get("tables")
    listed = tables if isinstance(tables, list) else []
    each = list(tables.values()) if isinstance(tables, Mapping) else listed
    described = [document, *(table for table in each if isinstance(table, Mapping))]
    return any("fields" in t for t in described[1:]) or any(
        _has_sdtypes(t.get("columns")) for t in described
    )


def import_sdv(
    document: Mapping[str, Any], *, name: str, table: str | None, trust_ranges: bool, origin: str
) -> ImportedSchema:
    """Return the schema document of one table of SDV metadata."""
    described = document
    if "tables" in document:
        name, chosen = choose_table(_tables(document, origin=origin), table=table, origin=origin)
        described = mapping_at(chosen, where=f"{origin}: {name}")
    field = "columns" if "columns" in described else "fields"
    columns = columns_at(described.get(field), where=f"{origin}: {field}")
    keys = _keys(described)
    rules, bounds, dropped = import_constraints(document, table=name)
    hot = one_hot(document)
    columns = [{**c, "sdtype": "boolean"} if c["name"] in hot else c for c in columns]
    bounds |= {name: {"missing": False} for name in hot}
    attributes = [
        _attribute(c, keys=keys, trust_ranges=trust_ranges, bounds=bounds.get(str(c["name"]), {}))
        for c in columns
    ]
    rules += [_like(c, rules_on=keys) for c in columns if _like(c, rules_on=keys)]
    notes = [*_relations(document, table=name), *dropped]
    notes += ["SDV does not say whether values can be missing; missing: true stands everywhere"]
    return with_rules(assemble(attributes, name=name, notes=notes), rules)


def _like(column: Mapping[str, Any], *, rules_on: set[str]) -> str:
    """Return the rule of a key whose form is more than a prefix and digits; none for any other."""
    pattern = column.get("regex_format")
    if key_form(pattern) or not isinstance(pattern, str):
        return ""
    if not (column["name"] in rules_on or "ref" in column or column.get("sdtype") == "id"):
        return ""
    try:
        parse_pattern(pattern)
    except PatternFault:
        return ""
    return f"{spell_name(str(column['name']))} like {spell_text(pattern)}"


def _relations(document: Mapping[str, Any], *, table: str) -> list[str]:
    """Say which columns refer to other tables."""
    related = list_at(document.get("relationships") or [], where="relationships")
    return [
        f"{r.get('child_foreign_key')}: refers to table {r.get('parent_table_name')!r}; "
        "synthetic rows will not join with it"
        for r in related
        if isinstance(r, Mapping) and r.get("child_table_name") == table
    ]


def _tables(document: Mapping[str, Any], *, origin: str) -> Mapping[str, Any]:
    tables = document["tables"]
    if isinstance(tables, Mapping):
        return tables
    return {str(t["name"]): t for t in columns_at(tables, where=f"{origin}: tables")}


def _has_sdtypes(columns: object) -> bool:
    if not isinstance(columns, Mapping):
        return False
    return any(isinstance(column, Mapping) and "sdtype" in column for column in columns.values())


def _keys(described: Mapping[str, Any]) -> set[str]:
    """Return the columns that are keys; a primary key may be one name or several."""
    groups = [
        described.get("primary_key"),
        *list_at(described.get("alternate_keys") or [], where="alternate_keys"),
    ]
    return {name for group in groups for name in names_at(group, where="primary_key")}


def _attribute(
    column: Mapping[str, Any], *, keys: set[str], trust_ranges: bool, bounds: Mapping[str, Any]
) -> ImportedAttribute:
    declared = str(column.get("sdtype", column.get("type", "unknown")))
    kind = _kind(column, declared)
    if column["name"] in keys or "ref" in column:
        kind = "identifier"
    if kind == "identifier":
        form = key_form(column.get("regex_format"))
        dropped = "regex_format" in column and not (form or _like(column, rules_on=keys))
        told = ["its regex_format was dropped; give it a prefix and digits"] if dropped else []
        return describe_attribute(column["name"], kind, facts=form, notes=told)
    if column.get("pii") or kind == "text":
        why = f"SDV calls it {declared!r}; it is left out of the model as free text"
        if not column.get("pii"):
            why += "; make it categorical and list categories, or real with bounds, to include it"
        return describe_attribute(column["name"], "text", notes=[why])
    facts, notes = _facts(column, kind, trust_ranges=trust_ranges)
    facts |= bounds
    if declared == "numerical" and not (column.get("subtype") or _representation(column)):
        notes.append("drafted as real; make it integer if it holds whole numbers")
    return describe_attribute(column["name"], kind, facts=facts, notes=notes)


def _kind(column: Mapping[str, Any], declared: str) -> str:
    if declared == "numerical":
        whole = column.get("subtype") == "integer" or "Int" in _representation(column)
        return "integer" if whole else "real"
    if declared == "categorical" and (column.get("order") or column.get("order_by")):
        return "ordinal"
    return _KINDS.get(declared, "text")


def _representation(column: Mapping[str, Any]) -> str:
    return str(column.get("computer_representation") or "")


def _facts(
    column: Mapping[str, Any], kind: str, *, trust_ranges: bool
) -> tuple[dict[str, Any], list[str]]:
    facts: dict[str, Any] = {"missing": True}
    stored = _representation(column).lower()
    if kind == "integer" and re.fullmatch("u?int(8|16|32)|uint64", stored):
        facts["stored"] = stored
    if kind == "real" and stored == "float32":
        facts["stored"] = "float"
    if kind == "datetime":
        facts |= date_format(column.get("datetime_format") or column.get("format"))
    private = {fact: _first(column, names) for fact, names in _ALIASES.items()}
    if "range" in column:
        low, high = [*list_at(column["range"], where=f"{column['name']}: range"), None, None][:2]
        private |= {"minimum": low, "maximum": high}
    found = {fact: value for fact, value in private.items() if value is not None}
    relevant = {"categories"} if kind in ("categorical", "ordinal") else {"minimum", "maximum"}
    found = {fact: value for fact, value in found.items() if fact in relevant}
    if not found or kind == "boolean":
        return facts, []
    if trust_ranges:
        return facts | found, [f"{' and '.join(found)} taken from SDV as you asked"]
    dropped = " and ".join(found)
    return facts, [f"{dropped} dropped: SDV read them off the data; declare public ones"]


def _first(column: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((column[name] for name in names if column.get(name) is not None), None)
