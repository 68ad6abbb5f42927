"""An OMOP export as three levels: persons, their visits, what was given, found or taken in each.

``OMOP=FOLDER python -m bench families levels-omop``: a folder of Parquet or CSV files named as the
tables are. Codes are those that are commonest in the export, which a federation would declare; an
export that maps none to a concept is read by its source's codes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from silosynth.client.families.count import TableRows
from silosynth.common.forest import bins_of
from silosynth.common.tables import TablesSchema, parse_tables

FOLDER = "OMOP"
MOST_CODES = 24
EDGES = (0, 1, 2, 3, 4, 6, 10, 20, 40, 80, 160, 320, 640)
BELOW = ("drug_exposure", "condition_occurrence", "procedure_occurrence", "measurement")
"""What may stand below visits: the one of these with most rows that name a visit does."""


def is_there() -> bool:
    """Say whether an export was named."""
    return FOLDER in os.environ


def export(seed: int, persons: int) -> tuple[TablesSchema, dict[str, TableRows]]:
    """Return an export's persons, visits, and rows of visits; seed and persons change nothing."""
    del seed, persons
    people = _read("person").drop_duplicates("person_id").sort_values("person_id")
    visits = _read("visit_occurrence").drop_duplicates("visit_occurrence_id")
    visits = visits[visits["person_id"].isin(people["person_id"])]
    order = ["person_id", "visit_start_date", "visit_occurrence_id"]
    visits = visits.sort_values(order, ignore_index=True)
    rows, below = _rows(visits)
    above = people["person_id"].searchsorted(visits["person_id"])
    born = people["year_of_birth"].to_numpy()
    began = pd.to_datetime(visits["visit_start_date"])
    coded = {
        "people": {
            "gender": _codes(people["gender_concept_id"]),
            "race": _codes(people["race_concept_id"]),
            "born": np.clip((born - 1910) // 10, 0, 11),
        },
        "visits": {
            "kind": _codes(_said(visits, "visit")),
            "month": began.dt.month.to_numpy() - 1,
            "age": np.clip((began.dt.year.to_numpy() - born[above]) // 10, 0, 9),
        },
        "rows": rows,
    }
    schema = _schema(coded, numbers=(np.bincount(above), np.bincount(below)))
    here = np.arange(len(people))
    numbers = {
        "people": _numbers(schema, "visits", above, of=len(people)),
        "visits": _numbers(schema, "rows", below, of=len(visits)),
    }
    hang = {"people": (here, here), "visits": (above, above), "rows": (below, above[below])}
    return schema, {
        name: TableRows(
            codes=(*coded[name].values(), *([numbers[name]] if name in numbers else [])),
            above=up,
            person=person,
        )
        for name, (up, person) in hang.items()
    }


def _read(table: str, *, among: pd.Index | None = None) -> pd.DataFrame:
    """Return a table; one below visits only where rows name one of them, and maybe empty."""
    folder = Path(os.environ[FOLDER])
    for path in sorted(folder.iterdir()):
        if path.stem.lower() == table and path.suffix.lower() in (".parquet", ".csv"):
            read = pd.read_parquet if path.suffix.lower() == ".parquet" else pd.read_csv
            rows = read(path).rename(columns=str.lower)
            return rows if among is None else rows[rows["visit_occurrence_id"].isin(among)]
    if among is not None:
        return pd.DataFrame()
    raise SystemExit(f"{folder} has no file of {table}; set {FOLDER} to a folder of an export")


def _rows(visits: pd.DataFrame) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the codes of rows below visits, and which visit each belongs to."""
    at = pd.Series(np.arange(len(visits)), index=visits["visit_occurrence_id"])
    named = {table: _read(table, among=at.index) for table in BELOW}
    table = max(named, key=lambda name: len(named[name]))
    if named[table].empty:
        raise SystemExit(f"no row of {', '.join(BELOW)} names a visit")
    below = at.loc[named[table]["visit_occurrence_id"]].to_numpy()
    order = np.argsort(below, kind="stable")
    rows = named[table].iloc[order]
    what = _said(rows, table.split("_")[0])
    found = {"what": _codes(what)}
    if "value_as_number" in rows:
        found["height"] = _heights(rows["value_as_number"], of=what)
    return found, below[order]


def _said(rows: pd.DataFrame, what: str) -> pd.Series:
    """Return the concept of each row, or its source's code where none is mapped."""
    concepts = rows[f"{what}_concept_id"]
    return concepts if concepts.nunique() > 1 else rows[f"{what}_source_value"]


def _heights(values: pd.Series, *, of: pd.Series) -> np.ndarray:
    """Return in which quarter of its kind's values each lies; 4 where it has none."""
    ranks = values.groupby(of.to_numpy()).rank(pct=True).to_numpy()
    return np.where(np.isnan(ranks), 4, np.minimum(ranks * 4, 3)).astype(np.int64)


def _codes(column: pd.Series) -> np.ndarray:
    """Return the place of each value among the commonest; all others share the last."""
    known = column.value_counts().index[:MOST_CODES]
    found = known.get_indexer(pd.Index(column))
    return np.where(found < 0, len(known), found).astype(np.int64)


def _numbers(schema: TablesSchema, name: str, above: np.ndarray, *, of: int) -> np.ndarray:
    bins = bins_of(schema, name)
    found: np.ndarray = bins[np.minimum(np.bincount(above, minlength=of), len(bins) - 1)]
    return found


def _schema(
    coded: dict[str, dict[str, np.ndarray]], *, numbers: tuple[np.ndarray, np.ndarray]
) -> TablesSchema:
    attributes = {
        table: [
            {"name": name, "kind": "integer", "minimum": 0, "maximum": max(int(codes.max()), 1)}
            for name, codes in columns.items()
        ]
        for table, columns in coded.items()
    }
    edges = [[e for e in EDGES if e < found.max()] + [int(found.max())] for found in numbers]
    tables: dict[str, dict[str, Any]] = {
        "people": {"key": "person_id"},
        "visits": {"parent": "people", "by": "person_id", "key": "visit", "children": edges[0]},
        "rows": {"parent": "visits", "by": "visit", "children": edges[1]},
    }
    described = {name: {**table, "attributes": attributes[name]} for name, table in tables.items()}
    return parse_tables({"person": "people", "source": "public", "tables": described})
