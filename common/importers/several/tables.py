"""Find out whether a description is of several tables, and read it as one schema of them.

One by one, then hung together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from silosynth.common.document import dump_document, load_document
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.importers.dbt import is_dbt, relate_dbt
from silosynth.common.importers.detect import import_schema
from silosynth.common.importers.frictionless import is_frictionless
from silosynth.common.importers.imported import ImportedSchema
from silosynth.common.importers.omop import OMOP_MODELS, read_omop
from silosynth.common.importers.sdv import is_sdv
from silosynth.common.importers.several.relations import (
    Related,
    Relation,
    frictionless_relations,
    omop_relations,
    sdv_relations,
)
from silosynth.common.tables import TABLES_VERSION, above, below, choose_parents, table_like

_GAP = re.compile(r"^(\s+(?:minimum|maximum|categories|children): null)$", re.MULTILINE)
_KEYS = ("identifier", "generated")
_ALONE = "synthetic rows will not join with it"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedTables:
    """A document of several tables, with gaps; ``missing_facts`` names each of them."""

    document: Mapping[str, Any]
    notes: tuple[str, ...]
    missing_facts: tuple[str, ...]

    def text(self) -> str:
        """Return the document as YAML, each gap marked by a comment."""
        return _GAP.sub(r"\1  # declare this", dump_document(self.document))


def assemble_tables(
    related: Related,
    read: Callable[[str], ImportedSchema],
    *,
    name: str,
    person: str | None,
    origin: str,
) -> ImportedTables:
    """Return the tables that hang on the person's.

    Args:
        read: the description of one table, by its name.
        person: the table of persons, where more than one could be.

    Raises InvalidSchema listing the tables that could be the persons'.
    """
    relations = [r for r in related.relations if r.to in related.keys]
    person = _person(related, relations, person=person, origin=origin)
    parents = choose_parents(relations, person=person)
    names = [t for t in related.tables if t == person or t in parents]
    tables, notes, missing = {}, list(related.notes), []
    for table in names:
        imported = read(table)
        links = [r for r in relations if r.table == table and r.to in names]
        key, parent = related.keys.get(table), parents.get(table)
        higher = above(table, parents)
        document, gaps = _table(imported, related, links, key=key, parent=parent, higher=higher)
        tables[table_like(table)] = document
        notes += [f"{table}: {n}" for n in imported.notes if _ALONE not in n]
        missing += [f"{table}: {m}" for m in (*gaps, *imported.missing_facts)]
    left = [t for t in related.tables if t not in names]
    if left:
        notes.append(
            f"left out, since none of them hangs on {person!r}: {', '.join(left)}; make those that "
            "are public tables references, and link to them"
        )
    head = {"version": TABLES_VERSION, "name": table_like(name), "person": table_like(person)}
    return ImportedTables(
        document={**head, "tables": tables}, notes=tuple(notes), missing_facts=tuple(missing)
    )


def _person(related: Related, relations: list[Relation], *, person: str | None, origin: str) -> str:
    if person is not None:
        if person not in related.keys:
            listed = ", ".join(repr(t) for t in related.keys) or "none"
            raise InvalidArgument(
                f"person {person!r} is no table with a key", hint=f"those are {listed}"
            )
        return person
    hanging = {r.table for r in relations if r.to != r.table}
    roots = [t for t in related.keys if t not in hanging and below(t, relations)]
    people = ("person", "persons", "patient", "patients")
    called = [t for t in related.keys if t.lower() in people and below(t, relations)]
    found = called if len(called) == 1 else roots
    if len(found) == 1:
        return found[0]
    listed = ", ".join(repr(t) for t in roots or related.keys)
    raise InvalidSchema(
        f"{origin}: several tables could be that of the persons",
        hint=f"choose by --person one of {listed}, or a single table by --table",
    )


def _table(
    imported: ImportedSchema,
    related: Related,
    links: list[Relation],
    *,
    key: str | None,
    parent: Relation | None,
    higher: list[str],
) -> tuple[dict[str, Any], list[str]]:
    """Return one table as plain data, and the facts that are still to be declared."""
    document: dict[str, Any] = {}
    gaps: list[str] = []
    if key is not None:
        document["key"] = key
    attributes = [dict(a) for a in imported.document["attributes"]]
    if parent is not None:
        document |= {"parent": table_like(parent.to), "by": parent.column}
        if related.one_person and (order := _order(attributes)) is not None:
            document["order"] = order
        document["children"] = None
        gaps.append("children: how many rows a parent has must be declared, as [0, 1, 2, 4, 10]")
    named = {r.column: r for r in links if r != parent}
    if named:
        within = {"within": "person"} if related.one_person else {}
        document["links"] = {c: {"to": table_like(r.to), **within} for c, r in named.items()}
    kept = []
    for attribute in attributes:
        if parent is not None and attribute["name"] == parent.column:
            continue
        if attribute["name"] == key:
            attribute.pop("missing", None)
            if attribute["kind"] not in _KEYS:
                attribute = {"name": key, "kind": "identifier", "source": "declared"}
        elif (relation := named.get(attribute["name"])) is not None:
            attribute = _linked(attribute, relation, higher=higher, related=related)
        kept.append(attribute)
    document["attributes"] = kept
    if rules := imported.document.get("rules"):
        document["rules"] = rules
    return document, gaps


def _linked(
    attribute: Mapping[str, Any], relation: Relation, *, higher: list[str], related: Related
) -> dict[str, Any]:
    """Return a column that names rows; it takes its form from the key that it names."""
    own = relation.to == relation.table
    lacking = related.one_person and relation.to not in higher
    missing = own or lacking or not relation.usual or bool(attribute.get("missing"))
    plain = {"name": attribute["name"], "kind": "identifier", "source": "declared"}
    return plain | ({"missing": True} if missing else {})


def _order(attributes: list[dict[str, Any]]) -> str | None:
    times = [a for a in attributes if a["kind"] == "datetime"]
    sure = [a["name"] for a in times if not a.get("missing")]
    return next(iter(sure), None)


def import_tables(
    path: Path,
    *,
    format: str | None = None,
    trust_ranges: bool = False,
    person: str | None = None,
) -> ImportedTables | None:
    """Read a description of several tables; None where it has one, or none names another.

    Raises: as :func:`import_schema`; InvalidSchema where several could be the persons'.
    """
    related = _related(path)
    if related is None or not related.relations:
        return None

    def read(table: str) -> ImportedSchema:
        return import_schema(path, format=format, trust_ranges=trust_ranges, table=table)

    name = f"omop-{path.stem}" if path.parent == OMOP_MODELS else path.stem
    return assemble_tables(related, read, name=name, person=person, origin=str(path))


def _related(path: Path) -> Related | None:
    if path.suffix.lower() == ".csv":
        rows = read_omop(path)
        return None if rows is None else omop_relations(rows)
    if path.suffix.lower() not in (".json", ".yaml", ".yml"):
        return None
    document: Any = load_document(path)
    if not isinstance(document, Mapping):
        return None
    if is_sdv(document):
        return sdv_relations(document, origin=str(path))
    if is_frictionless(document):
        return frictionless_relations(document, origin=str(path))
    return relate_dbt(document, origin=str(path)) if is_dbt(document) else None
