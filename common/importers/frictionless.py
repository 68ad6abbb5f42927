"""Read a Frictionless Table Schema, or the one inside a data package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    choose_table,
    columns_at,
    describe_attribute,
    list_at,
    mapping_at,
    names_at,
)

_KINDS = {
    "boolean": "boolean",
    "integer": "integer",
    "year": "integer",
    "number": "real",
    "date": "datetime",
    "datetime": "datetime",
    "yearmonth": "datetime",
}
_TRUTHS = {"true", "false", "1", "0", "t", "f", "yes", "no", "y", "n"}


def is_frictionless(document: Mapping[str, Any]) -> bool:
    """Say whether a document looks like a Table Schema or a data package."""
    return isinstance(document.get("fields"), list) or isinstance(document.get("resources"), list)


def import_frictionless(
    document: Mapping[str, Any], *, name: str, table: str | None, origin: str
) -> ImportedSchema:
    """Return the schema document of a Table Schema; its constraints count as declared."""
    if "resources" in document:
        resources = columns_at(document["resources"], where=f"{origin}: resources")
        by_name = {str(r["name"]): r.get("schema") for r in resources}
        name, chosen = choose_table(by_name, table=table, origin=origin)
        document = mapping_at(chosen, where=f"{origin}: {name}: schema")
    keys = names_at(document.get("primaryKey"), where=f"{origin}: primaryKey")
    tokens = _tokens(document.get("missingValues", [""]), where=f"{origin}: missingValues")
    fields = columns_at(document.get("fields"), where=f"{origin}: fields")
    return assemble([_attribute(f, keys=keys, tokens=tokens) for f in fields], name=name)


def _attribute(
    field: Mapping[str, Any], *, keys: list[str], tokens: tuple[str, ...]
) -> ImportedAttribute:
    where, declared = str(field["name"]), str(field.get("type", "string"))
    rules = mapping_at(field.get("constraints") or {}, where=f"{where}: constraints")
    if where in keys or rules.get("unique") or field.get("format") == "uuid":
        return describe_attribute(where, "identifier", facts=_description(field))
    if "missingValues" in field:
        tokens = _tokens(field["missingValues"], where=f"{where}: missingValues")
    facts = _description(field) | _missing(required=rules.get("required") is True, tokens=tokens)
    listed = rules.get("enum", field.get("categories"))
    if listed is not None and declared != "boolean":
        values = [_value(v) for v in list_at(listed, where=f"{where}: enum")]
        facts |= {"categories": [v for v in values if str(v) not in tokens], "other": False}
        kind = "ordinal" if field.get("categoriesOrdered") else "categorical"
        return describe_attribute(where, kind, facts=facts)
    kind = _KINDS.get(declared, "text")
    if kind == "text":
        why = f"{declared} without an enum: left out of the model; list categories to include it"
        return describe_attribute(where, "text", facts=_description(field), notes=[why])
    if kind == "boolean":
        return describe_attribute(where, kind, facts=facts, notes=_truth_notes(field))
    return describe_attribute(where, kind, facts=facts | _bounds(field, rules, kind=kind))


def _bounds(field: Mapping[str, Any], rules: Mapping[str, Any], *, kind: str) -> dict[str, Any]:
    """Return the bounds; exclusive ones move by one for whole numbers."""
    facts = {"minimum": rules.get("minimum"), "maximum": rules.get("maximum")}
    for fact, exclusive, move in (
        ("minimum", "exclusiveMinimum", 1),
        ("maximum", "exclusiveMaximum", -1),
    ):
        if facts[fact] is None and (bound := rules.get(exclusive)) is not None:
            whole = kind == "integer" and isinstance(bound, int)
            facts[fact] = bound + move if whole else bound
    if kind == "datetime" and str(field.get("format", "default")) not in ("default", "any"):
        facts["format"] = str(field["format"]).removeprefix("fmt:")
    return facts


def _description(field: Mapping[str, Any]) -> dict[str, Any]:
    text = field.get("description") or field.get("title")
    return {"description": str(text)[:2000]} if text else {}


def _missing(*, required: bool, tokens: tuple[str, ...]) -> dict[str, Any]:
    return {} if required else {"missing": True, "missing_tokens": list(tokens)}


def _tokens(value: object, *, where: str) -> tuple[str, ...]:
    return tuple(str(_value(entry)) for entry in list_at(value, where=where))


def _value(entry: object) -> Any:
    """Return an entry's value; version 2 of the format allows a value with a label."""
    return entry.get("value") if isinstance(entry, Mapping) else entry


def _truth_notes(field: Mapping[str, Any]) -> list[str]:
    where = str(field["name"])
    values = [
        value
        for key in ("trueValues", "falseValues")
        for value in list_at(field.get(key) or [], where=f"{where}: {key}")
    ]
    odd = [value for value in values if str(value).lower() not in _TRUTHS]
    return ["has true or false values of its own; make it categorical and list them"] if odd else []
