"""Find out whether a description is of several tables, and read it as one schema of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from silosynth.common.document import load_document
from silosynth.common.importers.dbt import is_dbt, relate_dbt
from silosynth.common.importers.detect import import_schema
from silosynth.common.importers.frictionless import is_frictionless
from silosynth.common.importers.imported import ImportedSchema
from silosynth.common.importers.omop import OMOP_MODELS, read_omop
from silosynth.common.importers.sdv import is_sdv
from silosynth.common.importers.several.one_by_one import ImportedTables, assemble_tables
from silosynth.common.importers.several.relations import (
    Related,
    frictionless_relations,
    omop_relations,
    sdv_relations,
)


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
