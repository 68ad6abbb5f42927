"""How the tables of another tool's description hang together: keys, and columns that name rows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from silosynth.common.importers.imported import columns_at, list_at, mapping_at, names_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """``column`` of ``table`` names rows of ``to``; ``usual`` where it must."""

    table: str
    column: str
    to: str
    usual: bool = True
    near: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Related:
    """The tables of a description, the key of each that has one column for it, and relations."""

    tables: tuple[str, ...]
    keys: Mapping[str, str]
    relations: tuple[Relation, ...]
    notes: tuple[str, ...] = ()
    one_person: bool = False
    """Whether every column names a row of the same person."""


def sdv_relations(document: Mapping[str, Any], *, origin: str) -> Related:
    """Return the tables of SDV metadata: ``relationships`` of V2, ``ref`` of V1."""
    tables = document.get("tables") or {}
    if not isinstance(tables, Mapping):
        tables = {str(t["name"]): t for t in columns_at(tables, where=f"{origin}: tables")}
    keys, relations, notes = {}, [], []
    for name, table in tables.items():
        known = mapping_at(table, where=f"{origin}: {name}")
        key = names_at(known.get("primary_key"), where=f"{name}: primary_key")
        if len(key) == 1:
            keys[name] = key[0]
        for column, facts in (known.get("fields") or {}).items():
            if isinstance(facts, Mapping) and isinstance(ref := facts.get("ref"), Mapping):
                relations.append(Relation(table=name, column=column, to=str(ref.get("table"))))
    where = f"{origin}: relationships"
    for one in list_at(document.get("relationships") or [], where=where):
        facts = mapping_at(one, where=where)
        child, parent = str(facts.get("child_table_name")), str(facts.get("parent_table_name"))
        columns = names_at(facts.get("child_foreign_key"), where=where)
        if len(columns) != 1:
            notes.append(f"{child}: names {parent!r} by several columns; that is left out")
            continue
        relations.append(Relation(table=child, column=columns[0], to=parent))
    return Related(tables=tuple(tables), keys=keys, relations=tuple(relations), notes=tuple(notes))


def frictionless_relations(document: Mapping[str, Any], *, origin: str) -> Related:
    """Return the resources of a data package: ``primaryKey`` and ``foreignKeys``."""
    resources = columns_at(document.get("resources") or [], where=f"{origin}: resources")
    keys, relations, notes = {}, [], []
    for resource in resources:
        name = str(resource["name"])
        schema = mapping_at(resource.get("schema") or {}, where=f"{origin}: {name}")
        key = names_at(schema.get("primaryKey"), where=f"{name}: primaryKey")
        if len(key) == 1:
            keys[name] = key[0]
        fields = columns_at(schema.get("fields") or [], where=f"{name}: fields")
        needed = {f["name"] for f in fields if (f.get("constraints") or {}).get("required")}
        for one in list_at(schema.get("foreignKeys") or [], where=f"{name}: foreignKeys"):
            facts = mapping_at(one, where=f"{name}: foreignKeys")
            columns = names_at(facts.get("fields"), where=f"{name}: foreignKeys")
            to = str(mapping_at(facts.get("reference"), where=name).get("resource") or name)
            if len(columns) != 1:
                notes.append(f"{name}: names {to!r} by several columns; that is left out")
                continue
            (column,) = columns
            relations.append(
                Relation(table=name, column=column, to=to, usual=not needed or column in needed)
            )
    names = tuple(str(r["name"]) for r in resources)
    return Related(tables=names, keys=keys, relations=tuple(relations), notes=tuple(notes))


def dbt_relations(
    models: Mapping[str, Mapping[str, Any]], tests: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> Related:
    """Return the models of a dbt file: a key is unique and not null, relations are tests.

    Args: tests: by model and column, its tests.
    """
    keys: dict[str, str] = {}
    relations = []
    for name, columns in tests.items():
        for column, own in columns.items():
            if "unique" in own and "not_null" in own:
                keys.setdefault(name, column)
            found = re.search(r"['\"](\w+)['\"]\s*\)", str(own.get("relationships", {}).get("to")))
            if found:
                usual = "not_null" in own
                relations.append(Relation(table=name, column=column, to=found[1], usual=usual))
    return Related(tables=tuple(models), keys=keys, relations=tuple(relations))


def omop_relations(rows: Sequence[Mapping[str, str]]) -> Related:
    """Return the tables of OMOP's field list; concepts are values, and no rows of a person."""
    tables = tuple(dict.fromkeys(row["cdmTableName"].lower() for row in rows))
    said = list(_omop_fields(rows))
    keys = {table: name for table, name, key, _, _ in said if key}
    relations = tuple(
        Relation(table=table, column=name, to=to, usual=needed)
        for table, name, _, to, needed in said
        if to and to != "concept"
    )
    return Related(tables=tables, keys=keys, relations=relations, one_person=True)


def _omop_fields(
    rows: Sequence[Mapping[str, str]],
) -> Iterator[tuple[str, str, bool, str, bool]]:
    """Yield table, field, whether it is the key, what it names, and whether it must be there."""
    for row in rows:
        name = row["cdmFieldName"].strip('"').lower()
        to = (row.get("fkTableName") or "").lower() if _yes(row, "isForeignKey") else ""
        key, needed = _yes(row, "isPrimaryKey"), _yes(row, "isRequired")
        yield row["cdmTableName"].lower(), name, key, to, needed


def _yes(row: Mapping[str, str], name: str) -> bool:
    return (row.get(name) or "").strip().lower() in ("yes", "1", "true")
