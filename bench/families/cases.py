"""Persons with their rows: patients with encounters of diabetes130, planes with flights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.support.tables import data_directory
from silosynth.common.importers import import_schema
from silosynth.common.schema import dump_attribute
from silosynth.common.tables import TablesSchema, parse_tables

ORDER = "place"
PATIENT = ("race", "gender", "age")
ENCOUNTER = (
    *("admission_type_id", "discharge_disposition_id", "admission_source_id", "time_in_hospital"),
    *("payer_code", "num_lab_procedures", "num_procedures", "num_medications"),
    *("number_outpatient", "number_emergency", "number_inpatient", "number_diagnoses"),
    *("max_glu_serum", "A1Cresult", "metformin", "insulin", "change", "diabetesMed", "readmitted"),
)
FLIGHT = ("month", "carrier", "origin", "dep_delay", "arr_delay", "air_time", "distance", "hour")
PLANE = ("year", "type", "engines", "seats", "engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A person's table and one below it, with the frames that they were made of."""

    schema: TablesSchema
    files: Mapping[str, Path]
    child: str
    rows: pd.DataFrame
    by: str


def described(data_set: str, file: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
    path = data_directory() / data_set / "schema.json"
    imported = import_schema(path, format="dataset", table=file, trust_ranges=True)
    known = {a.name: a for a in imported.schema().attributes}
    return [dump_attribute(known[n]) for n in names]


def _case(
    folder: Path,
    persons: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    names: tuple[str, str],
    key: str,
    attributes: tuple[list[dict[str, Any]], list[dict[str, Any]]],
    children: list[int],
) -> Case:
    above, below = names
    halves = {"kind": "width", "count": 1}
    place = {"name": ORDER, "kind": "integer", "minimum": 0, "maximum": 2**40, "bins": halves}
    schema = parse_tables(
        {
            "person": above,
            "tables": {
                above: {"key": key, "attributes": attributes[0]},
                below: {
                    "parent": above,
                    "by": key,
                    "order": ORDER,
                    "children": children,
                    "attributes": [
                        *attributes[1],
                        {**place, "bins": {"kind": "width", "count": 1}},
                    ],
                },
            },
        }
    )
    files = {name: folder / f"{name}.parquet" for name in names}
    persons.to_parquet(files[above])
    rows.to_parquet(files[below])
    return Case(schema=schema, files=files, child=below, rows=rows, by=key)


def diabetes(folder: Path) -> Case:
    """Return patients and their encounters."""
    table = pd.read_parquet(data_directory() / "diabetes130" / "diabetes130.parquet")
    table[ORDER] = table["encounter_id"].astype(np.int64)
    first = table.sort_values(ORDER).drop_duplicates("patient_nbr")
    file = "diabetes130.parquet"
    return _case(
        folder,
        first[["patient_nbr", *PATIENT]],
        table[["patient_nbr", ORDER, *ENCOUNTER]],
        names=("patients", "encounters"),
        key="patient_nbr",
        attributes=(
            described("diabetes130", file, PATIENT),
            described("diabetes130", file, ENCOUNTER),
        ),
        children=[0, 1, 2, 3, 4, 6, 10, 40],
    )


def flights(folder: Path) -> Case:
    """Return planes and their flights; those of no known plane are nobody's."""
    here = data_directory() / "nycflights13"
    planes = pd.read_csv(here / "planes.csv")
    table = pd.read_parquet(here / "flights.parquet")
    table[ORDER] = table["flight_id"].astype(np.int64)
    return _case(
        folder,
        planes[["tailnum", *PLANE]],
        table[["tailnum", ORDER, *FLIGHT]],
        names=("planes", "flights"),
        key="tailnum",
        attributes=(
            described("nycflights13", "planes.csv", PLANE),
            described("nycflights13", "flights.parquet", FLIGHT),
        ),
        children=[0, 1, 2, 5, 10, 20, 30, 50, 80, 120, 160, 220, 300, 500],
    )


CASES: Mapping[str, Callable[[Path], Case]] = {"diabetes130": diabetes, "flights": flights}
