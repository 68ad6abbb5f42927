"""Read a dbt properties file: models with columns, data types and tests."""

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
    describe_attribute,
    list_at,
    lost,
    mapping_at,
)
from silosynth.common.importers.several.relations import Related, dbt_relations

_TAKEN = frozenset(["name", "data_type", "description", "tests", "data_tests", "quote"])
_TESTS = ("unique", "not_null", "accepted_values", "relationships")
_RANGES = frozenset(
    [
        "accepted_range",
        "dbt_utils.accepted_range",
        "expect_column_values_to_be_between",
        "dbt_expectations.expect_column_values_to_be_between",
    ]
)
_SCALE = re.compile(r"\(\s*\d+\s*,\s*(\d+)\s*\)")
_KINDS = (
    *(("bool", "boolean"), ("int", "integer"), ("bigint", "integer"), ("smallint", "integer")),
    *(("num", "real"), ("dec", "real"), ("float", "real"), ("double", "real"), ("real", "real")),
    *(("date", "datetime"), ("timestamp", "datetime"), ("time", "time"), ("interval", "duration")),
)


def is_dbt(document: Mapping[str, Any]) -> bool:
    """Say whether a document is a dbt properties file."""
    return any(isinstance(document.get(key), list) for key in ("models", "seeds", "snapshots"))


def import_dbt(document: Mapping[str, Any], *, table: str | None, origin: str) -> ImportedSchema:
    """Return the schema document of one model; its tests count as declared."""
    models = _models(document, origin=origin)
    name, chosen = choose_table(models, table=table, origin=origin)
    columns = columns_at(chosen.get("columns"), where=f"{origin}: {name}: columns")
    return assemble(
        [_attribute(c, where=f"{origin}: {name}") for c in columns],
        name=name,
        notes=lost(chosen, taken=("name", "columns", "description")),
    )


def relate_dbt(document: Mapping[str, Any], *, origin: str) -> Related:
    """Return how the models of a dbt file hang together."""
    models = _models(document, origin=origin)
    tests = {
        name: {
            str(c["name"]): _tests(c, where=f"{origin}: {name}")
            for c in columns_at(model.get("columns") or [], where=f"{origin}: {name}: columns")
        }
        for name, model in models.items()
    }
    return dbt_relations(models, tests)


def _models(document: Mapping[str, Any], *, origin: str) -> dict[str, Mapping[str, Any]]:
    return {
        str(model["name"]): model
        for key in ("models", "seeds", "snapshots")
        for model in columns_at(document.get(key) or [], where=f"{origin}: {key}")
    }


def _attribute(column: Mapping[str, Any], *, where: str) -> ImportedAttribute:
    name, declared = str(column["name"]), str(column.get("data_type") or "").lower()
    tests = _tests(column, where=f"{where}: {name}")
    notes = lost(column, taken=_TAKEN)
    notes += lost(dict.fromkeys(tests, True), taken=(*_TESTS, *_RANGES))
    text = column.get("description")
    facts: dict[str, Any] = {"description": str(text)[:2000]} if text else {}
    if "relationships" in tests:
        notes.append("refers to another table; synthetic rows will not join with it")
    if "unique" in tests or "relationships" in tests:
        return describe_attribute(name, "identifier", facts=facts, notes=notes)
    facts |= {} if "not_null" in tests else {"missing": True}
    listed = tests.get("accepted_values", {}).get("values")
    kind = next((kind for start, kind in _KINDS if declared.startswith(start)), "text")
    if listed is not None and kind != "boolean":
        facts |= {"categories": list_at(listed, where=f"{where}: {name}"), "other": False}
        return describe_attribute(name, "categorical", facts=facts, notes=notes)
    if kind == "text":
        notes.append("no accepted_values: left out of the model; list categories to include it")
        return describe_attribute(name, "text", notes=notes)
    bounds = next((tests[r] for r in _RANGES if r in tests), {})
    if kind in ("integer", "real", "datetime", "duration"):
        facts |= {"minimum": bounds.get("min_value"), "maximum": bounds.get("max_value")}
    if declared == "date":
        facts |= {"resolution": "day"}
    if kind == "real" and (scale := _SCALE.search(declared)) is not None:
        facts |= {"decimals": min(int(scale[1]), 15)}
    return describe_attribute(name, kind, facts=facts, notes=notes)


def _tests(column: Mapping[str, Any], *, where: str) -> dict[str, Mapping[str, Any]]:
    """Return a column's tests by name, with their arguments."""
    found: dict[str, Mapping[str, Any]] = {}
    for key in ("tests", "data_tests"):
        for test in list_at(column.get(key) or [], where=where):
            if isinstance(test, str):
                found[test] = {}
                continue
            for name, arguments in mapping_at(test, where=where).items():
                plain = mapping_at(arguments or {}, where=where)
                found[str(name)] = plain.get("arguments", plain)
    return found
