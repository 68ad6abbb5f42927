"""Read a pandera schema that was written as YAML or JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import available_timezones

from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    columns_at,
    describe_attribute,
    key_form,
    list_at,
    lost,
    mapping_at,
)

_TAKEN = frozenset(
    [
        "name",
        "dtype",
        "nullable",
        "checks",
        "unique",
        "description",
        "title",
        "required",
        "coerce",
        "regex",
    ]
)
_INSTANT = re.compile(r"^datetime64\[(s|ms|us|ns)(?:,\s*([^\]]+))?\]$")
_CHECKS = frozenset(
    [
        "isin",
        "in_range",
        "greater_than_or_equal_to",
        "less_than_or_equal_to",
        "greater_than",
        "less_than",
        "ge",
        "le",
        "gt",
        "lt",
        "between",
    ]
)
_KINDS = (
    *(("bool", "boolean"), ("int", "integer"), ("uint", "integer"), ("float", "real")),
    *(("decimal", "real"), ("date", "datetime"), ("timedelta", "duration")),
    *(("category", "categorical"),),
)


def is_pandera(document: Mapping[str, Any]) -> bool:
    """Say whether a document is a pandera schema."""
    return document.get("schema_type") == "dataframe" and "columns" in document


def import_pandera(document: Mapping[str, Any], *, name: str, origin: str) -> ImportedSchema:
    """Return the schema document of a pandera schema; its checks count as declared."""
    columns = columns_at(document.get("columns"), where=f"{origin}: columns")
    known = ("schema_type", "version", "columns", "coerce", "strict", "name", "ordered", "dtype")
    return assemble(
        [_attribute(column, origin=origin) for column in columns],
        name=str(document.get("name") or name),
        notes=lost(document, taken=known),
    )


def _facts(column: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema says of any kind of column."""
    facts: dict[str, Any] = {"missing": True} if column.get("nullable") else {}
    text = column.get("description") or column.get("title")
    return facts | ({"description": str(text)[:2000]} if text else {})


def _attribute(column: Mapping[str, Any], *, origin: str) -> ImportedAttribute:
    name, dtype = str(column["name"]), str(column.get("dtype") or "object").lower()
    checks = _checks(column.get("checks"), where=f"{origin}: {name}: checks")
    facts = _facts(column)
    form = key_form(_value(checks.get("str_matches"), "pattern")) if column.get("unique") else {}
    notes = lost(column, taken=_TAKEN)
    notes += lost(checks, taken=_CHECKS | ({"str_matches"} if form else set()))
    if column.get("unique"):
        return describe_attribute(name, "identifier", facts=form, notes=notes)
    listed = _value(checks.get("isin"), "allowed_values")
    if listed is not None and not dtype.startswith("bool"):
        facts |= {"categories": list_at(listed, where=f"{origin}: {name}: isin"), "other": False}
        return describe_attribute(name, "categorical", facts=facts, notes=notes)
    kind = _kind(dtype)
    facts |= _stored(dtype, kind)
    if kind in ("integer", "real", "datetime"):
        facts |= _bounds(checks, whole=kind == "integer")
    if kind == "text":
        notes.append(f"{dtype} without isin: left out of the model; list categories to include it")
        facts = {k: v for k, v in facts.items() if k == "description"}
    return describe_attribute(name, kind, facts=facts, notes=notes)


def _stored(dtype: str, kind: str) -> dict[str, Any]:
    """Return the stored type of whole and short numbers and of instants, and their zone."""
    if found := _INSTANT.match(dtype):
        zone = found[2].replace("utc", "UTC") if found[2] else None
        known = {f.lower(): f for f in available_timezones()}
        zone = known.get(zone.lower(), zone) if zone else None
        return {"stored": f"timestamp[{found[1]}]"} | ({"zone": zone} if zone else {})
    plain = {"float32": "float", "float16": "halffloat"}.get(dtype, dtype)
    short = kind == "integer" and re.fullmatch(r"u?int(8|16|32|64)", plain) and plain != "int64"
    return {"stored": plain} if short or plain in ("float", "halffloat") else {}


def _kind(dtype: str) -> str:
    return next((kind for start, kind in _KINDS if dtype.startswith(start)), "text")


def _checks(value: object, *, where: str) -> Mapping[str, Any]:
    """Return checks by name, whether they are a mapping or a list of options."""
    if isinstance(value, list):
        named = [mapping_at(check, where=where) for check in value]
        return {str(_value(c.get("options"), "check_name") or len(named)): c for c in named}
    return mapping_at(value or {}, where=where)


def _bounds(checks: Mapping[str, Any], *, whole: bool) -> dict[str, Any]:
    """Return the bounds; exclusive ones move by one for whole numbers."""
    between = checks.get("in_range") or checks.get("between") or {}
    low = _first(checks, ("greater_than_or_equal_to", "ge"), "min_value")
    high = _first(checks, ("less_than_or_equal_to", "le"), "max_value")
    above = _first(checks, ("greater_than", "gt"), "min_value")
    below = _first(checks, ("less_than", "lt"), "max_value")
    low = _value(between, "min_value") if low is None else low
    high = _value(between, "max_value") if high is None else high
    if low is None and above is not None:
        low = above + 1 if whole else above
    if high is None and below is not None:
        high = below - 1 if whole else below
    return {"minimum": low, "maximum": high}


def _first(checks: Mapping[str, Any], names: tuple[str, ...], field: str) -> Any:
    return next((_value(checks[name], field) for name in names if name in checks), None)


def _value(check: object, field: str) -> Any:
    """Return a check's value, which stands alone or under a field."""
    if isinstance(check, Mapping):
        return check.get(field, check.get("value"))
    return check
