"""Make a schema from what other tools wrote about a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa

from silosynth.common.document import load_document
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.importers.arrow import ARROW_SUFFIXES, import_arrow, read_arrow_schema
from silosynth.common.importers.dataset import import_dataset, is_dataset
from silosynth.common.importers.dbt import import_dbt, is_dbt
from silosynth.common.importers.dpsynth import dpsynth_rules
from silosynth.common.importers.frictionless import import_frictionless, is_frictionless
from silosynth.common.importers.imported import (
    ImportedSchema,
    assemble,
    describe_attribute,
    list_at,
    mapping_at,
    with_rules,
)
from silosynth.common.importers.omop import import_omop, read_omop
from silosynth.common.importers.pandera import import_pandera, is_pandera
from silosynth.common.importers.sdv import import_sdv, is_sdv


class ImportFormat(StrEnum):
    """The descriptions that can be imported."""

    SDV = "sdv"
    FRICTIONLESS = "frictionless"
    MBI = "mbi"
    DPSYNTH = "dpsynth"
    ARROW = "arrow"
    DATASET = "dataset"
    PANDERA = "pandera"
    DBT = "dbt"
    OMOP = "omop"


def import_schema(
    source: Path | pa.Schema,
    *,
    format: str | None = None,
    trust_ranges: bool = False,
    table: str | None = None,
) -> ImportedSchema:
    """Read another tool's description of a table; nothing is invented.

    Bounds and categories that the description lacks, or that its tool read off private data
    (unless ``trust_ranges``), are gaps in the document and are named in ``missing_facts``.

    Args:
        source: a file, or an Arrow schema.
        format: an ImportFormat; found out from the file without it.
        table: which table, where the file describes several.
    Raises: InvalidSchema naming the file and the field; InvalidArgument for an unknown format.
    """
    wanted = None if format is None else _format(format)
    if isinstance(source, pa.Schema):
        return import_arrow(source, name="imported")
    if wanted is ImportFormat.ARROW or (wanted is None and source.suffix.lower() in ARROW_SUFFIXES):
        return import_arrow(read_arrow_schema(source), name=source.stem)
    origin, name = str(source), source.stem
    if wanted is ImportFormat.OMOP or (wanted is None and source.suffix.lower() == ".csv"):
        return _import_fields(source, table=table)
    document = mapping_at(load_document(source), where=origin)
    match wanted or detect_format(document, origin=origin):
        case ImportFormat.SDV:
            return import_sdv(
                document, name=name, table=table, trust_ranges=trust_ranges, origin=origin
            )
        case ImportFormat.FRICTIONLESS:
            return import_frictionless(document, name=name, table=table, origin=origin)
        case ImportFormat.DPSYNTH:
            return _import_dpsynth(document, name=name)
        case ImportFormat.PANDERA:
            return import_pandera(document, name=name, origin=origin)
        case ImportFormat.DBT:
            return import_dbt(document, table=table, origin=origin)
        case ImportFormat.DATASET:
            return import_dataset(
                document, name=name, table=table, trust_ranges=trust_ranges, origin=origin
            )
        case _:
            return _import_mbi(document, name=name, origin=origin)


def detect_format(document: Mapping[str, Any], *, origin: str) -> ImportFormat:
    """Find out what a document is; raise InvalidSchema when it is none of the formats."""
    if is_sdv(document):
        return ImportFormat.SDV
    if is_frictionless(document):
        return ImportFormat.FRICTIONLESS
    if is_dataset(document):
        return ImportFormat.DATASET
    if _is_dpsynth(document):
        return ImportFormat.DPSYNTH
    if is_pandera(document):
        return ImportFormat.PANDERA
    if is_dbt(document):
        return ImportFormat.DBT
    if _sizes(document) is not None:
        return ImportFormat.MBI
    raise InvalidSchema(f"{origin}: is no known description of a table", hint=_known())


def _import_fields(path: Path, *, table: str | None) -> ImportedSchema:
    """Return the schema of a table of OMOP's field-level file; refuse any other CSV file."""
    rows = read_omop(path)
    if rows is None:
        raise InvalidSchema(
            f"{path}: is no known description of a table",
            hint="'schema draft' makes a schema from a table itself; " + _known(),
        )
    return import_omop(rows, table=table, origin=str(path))


def _import_mbi(document: Mapping[str, Any], *, name: str, origin: str) -> ImportedSchema:
    """Return integer categories 0..size-1 for each attribute of mbi's domain.json."""
    sizes = _sizes(document)
    if sizes is None:
        raise InvalidSchema(f"{origin}: a size for each attribute is expected")
    attributes = [
        describe_attribute(
            attribute,
            "categorical",
            facts={"categories": list(range(size)), "other": size == 1},
            notes=["one code only; other stands beside it"] if size == 1 else [],
        )
        for attribute, size in sizes.items()
    ]
    return assemble(attributes, name=name)


def _import_dpsynth(document: Mapping[str, Any], *, name: str) -> ImportedSchema:
    """Return listed and bounded attributes, and the combinations that constraints list."""
    domains = mapping_at(document["domains"], where="domains")
    kinds = {n: mapping_at(d, where=f"domains: {n}") for n, d in domains.items()}
    attributes = []
    for column, facts in kinds.items():
        if "possible_values" in facts:
            values = list_at(facts["possible_values"], where=column)
            listed = {"categories": [v for v in values if v is not None], "other": False}
            listed |= {"missing": True} if None in values else {}
            attributes.append(describe_attribute(column, "categorical", facts=listed))
        else:
            kind = "integer" if facts.get("dtype") == "int" else "real"
            bounds = {"minimum": facts.get("min_value"), "maximum": facts.get("max_value")}
            attributes.append(describe_attribute(column, kind, facts=bounds))
    rules, references = dpsynth_rules(document.get("constraints") or [])
    made = with_rules(assemble(attributes, name=name), rules)
    more = {"references": references} if references else {}
    return replace(made, document={**made.document, **more})


def _is_dpsynth(document: Mapping[str, Any]) -> bool:
    domains = document.get("domains")
    known = ("possible_values", "min_value")
    return isinstance(domains, Mapping) and any(
        isinstance(d, Mapping) and any(k in d for k in known) for d in domains.values()
    )


def _sizes(document: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the sizes of mbi's domain, or None where the document is none."""
    names, shape = document.get("attributes"), document.get("shape")
    if isinstance(names, list) and isinstance(shape, list) and len(names) == len(shape):
        document = dict(zip(map(str, names), shape, strict=True))
    sizes = {str(name): size for name, size in document.items()}
    whole = all(type(size) is int and 1 <= size <= 65_536 for size in sizes.values())
    return sizes if sizes and whole else None


def _format(text: str) -> ImportFormat:
    try:
        return ImportFormat(text)
    except ValueError:
        raise InvalidArgument(f"format {text!r} is not known", hint=_known()) from None


def _known() -> str:
    return "known formats: " + ", ".join(ImportFormat)
