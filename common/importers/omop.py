"""Read OMOP's field-level description of the common data model: a CSV file with a row a field."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    choose_table,
    describe_attribute,
)

OMOP_MODELS = Path(__file__).parent / "omop_cdm"
_NAMED = re.compile(r"omop(?:-cdm)?-v?(\d+\.\d+)", re.IGNORECASE)
_NEEDED = ("cdmTableName", "cdmFieldName", "cdmDatatype")


def find_description(path: Path) -> Path:
    """Return the file of a data model that is called by its name, as ``omop-5.4``; else the path.

    Raises InvalidArgument for a version of OMOP's that is not known here.
    """
    named = _NAMED.fullmatch(str(path))
    if named is None or path.exists():
        return path
    known = sorted(p.stem for p in OMOP_MODELS.glob("*.csv"))
    if named[1] not in known:
        raise InvalidArgument(
            f"version {named[1]} of the OMOP common data model is not known here",
            hint=f"known: {', '.join(known)}; or name its field-level CSV file",
        )
    return OMOP_MODELS / f"{named[1]}.csv"


def read_omop(path: Path) -> list[dict[str, str]] | None:
    """Return the rows of a field-level file; None for any other file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            names = rows.fieldnames or []
            return list(rows) if all(name in names for name in _NEEDED) else None
    except (OSError, UnicodeDecodeError, csv.Error):
        return None


def import_omop(
    rows: Sequence[Mapping[str, str]], *, table: str | None, origin: str
) -> ImportedSchema:
    """Return the schema document of one table; concepts and bounds are left to declare."""
    tables: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        tables.setdefault(row["cdmTableName"].lower(), []).append(row)
    wanted = table.lower() if table else None
    name, fields = choose_table(tables, table=wanted, origin=origin)
    if not fields:
        raise InvalidSchema(f"{origin}: {name}: describes no field")
    notes = ["concepts and bounds are not in the description; a draft beside the data lists them"]
    return assemble([_attribute(field) for field in fields], name=name, notes=notes)


def _facts(field: Mapping[str, str]) -> dict[str, Any]:
    """Return what the list says of any kind of field."""
    facts: dict[str, Any] = {} if _yes(field, "isRequired") else {"missing": True}
    text = field.get("userGuidance") or ""
    return facts | ({"description": text[:2000]} if text and text != "NA" else {})


def _attribute(field: Mapping[str, str]) -> ImportedAttribute:
    name, declared = field["cdmFieldName"].strip('"').lower(), field["cdmDatatype"].lower()
    facts = _facts(field)
    reference = (field.get("fkTableName") or "").lower()
    if _yes(field, "isPrimaryKey"):
        return describe_attribute(name, "identifier")
    if _yes(field, "isForeignKey") and reference != "concept":
        why = f"refers to {reference or 'another table'}; synthetic rows will not join with it"
        keep = {k: v for k, v in facts.items() if k == "missing"}
        return describe_attribute(name, "identifier", facts=keep, notes=[why])
    if name.endswith("_concept_id"):
        return describe_attribute(name, "categorical", facts=facts | {"other": False})
    if declared in ("date", "datetime"):
        finest = "day" if declared == "date" else "second"
        return describe_attribute(name, "datetime", facts=facts | {"resolution": finest})
    if declared in ("float", "numeric"):
        return describe_attribute(name, "real", facts=facts)
    if declared in ("integer", "bigint"):
        return describe_attribute(name, "integer", facts=facts)
    why = "text: left out of the model; make it categorical and list categories to include it"
    return describe_attribute(name, "text", notes=[why])


def _yes(field: Mapping[str, str], name: str) -> bool:
    return (field.get(name) or "").strip().lower() in ("yes", "1", "true")
