"""Several tables of the silos of a laboratory, and their schema: people with their visits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from silosynth.common.plan import Own, Plan
from silosynth.common.tables import TablesSchema, parse_tables
from silosynth.server.planning import new_tables_plan
from tests.processes.silo_tables import SILOS
from tests.support.tables.canary import CANARY

DATASET = "families"
FILES = ("people.parquet", "visits.csv")


def families_schema() -> TablesSchema:
    """Return the schema of the tables."""
    ward = {"name": "ward", "kind": "categorical", "categories": ["a", "b"]}
    sex = {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False}
    return parse_tables(
        {
            "name": "clinic",
            "person": "people",
            "source": "public",
            "tables": {
                "people": {"key": "id", "attributes": [sex]},
                "visits": {
                    "parent": "people",
                    "by": "who",
                    "key": "visit",
                    "children": [0, 1, 2],
                    "attributes": [ward],
                },
            },
        }
    )


def write_families(silo: str, folder: Path, *, persons: int = 40) -> None:
    """Write a silo's tables, in which every key and every third ward is a token.

    A fifth of the visits are of somebody of another silo, and one person has 500.
    """
    ids = [f"{CANARY}-{silo}-{i}" for i in range(persons)]
    visits = [(ids[i], n) for i in range(persons) for n in range(i % 3)]
    visits += [(ids[0], n) for n in range(500)]
    visits += [(f"{CANARY}-elsewhere", n) for n in range(persons // 5)]
    wards = [f"{CANARY}-ward" if n % 3 == 2 else "ab"[n % 2] for _, n in visits]
    people = {"id": ids, "sex": ["fm"[(i + SILOS.index(silo)) % 2] for i in range(persons)]}
    pq.write_table(pa.table(people), folder / FILES[0])
    keys = [f"{who}/{n}" for who, n in visits]
    table = pa.table({"visit": keys, "who": [who for who, _ in visits], "ward": wards})
    pacsv.write_csv(table, folder / FILES[1])


def families_section(schema: TablesSchema, *, budget: str) -> str:
    """Return the section of a policy that names the tables."""
    return f"""[[datasets]]
name = "{DATASET}"
schema = "tables.yaml"
schema_digest = "{schema.digest}"
{budget}
[datasets.tables.people]
format = "parquet"
path = "{FILES[0]}"
[datasets.tables.visits]
format = "csv"
path = "{FILES[1]}"
"""


def families_plan(plan_id: str, *, epsilon: float) -> Plan:
    """Return a plan for the tables, without the silos' keys."""
    return new_tables_plan(
        families_schema(),
        epsilon=epsilon,
        delta=1e-6,
        silos=SILOS,
        trust=Own(),
        plan_id=plan_id,
        dataset=DATASET,
    )
