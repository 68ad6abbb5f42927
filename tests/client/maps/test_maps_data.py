"""Four hospitals that write the same disease down in four ways, joined by their maps."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pytest

from silosynth.client.maps import SiloMap, check_map
from silosynth.client.maps.silo_map import parse_map
from silosynth.client.source import open_table
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import parse_schema

DATA = Path(os.environ.get("SILOSYNTH_DATA", Path(__file__).parents[3] / "../shared/data"))
FILE = DATA / "heart_disease" / "heart_disease.csv"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="set SILOSYNTH_DATA to the data sets")


def _number(name: str, low: int, high: int) -> dict[str, Any]:
    return {"name": name, "kind": "integer", "minimum": low, "maximum": high, "missing": True}


def _listed(name: str, *words: str) -> dict[str, Any]:
    return {"name": name, "kind": "categorical", "categories": list(words), "missing": True}


SCHEMA = parse_schema(
    {
        "name": "heart",
        "source": "public",
        "attributes": [
            _number("age", 18, 100),
            _listed("sex", "0", "1"),
            _listed("cp", "1", "2", "3", "4"),
            _number("trestbps", 0, 250),
            _number("chol", 0, 700),
            _listed("thal", "3", "6", "7"),
            {"name": "oldpeak", "kind": "real", "minimum": -5.0, "maximum": 10.0}
            | {"decimals": 1, "missing": True},
            _listed("num", "0", "1", "2", "3", "4"),
        ],
    }
)
# What each hospital writes in its own way, and what brings that back.
MAPS: dict[str, dict[str, Any]] = {
    "cleveland": {},
    "hungarian": {
        "sex": {"from": "nem", "map": {"no": "0", "ferfi": "1"}},
        "trestbps": {"from": "kPa", "scale": 10.0},
        "thal": "absent",
    },
    "switzerland": {
        "cp": {"map": {"typ": "1", "atyp": "2", "kein": "3", "ohne": "4"}},
        "age": {"from": "monate", "scale": 1 / 12},
        "oldpeak": {"format": {"decimal": ","}},
    },
    "long_beach_va": {
        "num": {
            "from": "vessels",
            "map": {"none": "0", "i": "1", "ii": "2", "iii": "3", "iv": "4"},
        },
        "chol": {"map": {"-9": None}},
        "thal": "absent",
    },
}


def hospitals() -> dict[str, pa.Table]:
    """Return each hospital's rows as the schema has them, columns as text."""
    with FILE.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    options = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = pacsv.read_csv(FILE, convert_options=options)
    wanted = [a.name for a in SCHEMA.attributes]
    return {h: table.filter(pc.equal(table["hospital"], h)).select(wanted) for h in MAPS}


def own_way(table: pa.Table, columns: dict[str, Any]) -> pa.Table:
    """Return a hospital's rows as it writes them: the map, read backwards."""
    made: dict[str, list[str | None]] = {}
    for name in table.column_names:
        how, values = columns.get(name, {}), table[name].to_pylist()
        if how == "absent":
            continue
        back = {v: k for k, v in how.get("map", {}).items()}
        scale = how.get("scale", 1.0)
        decimal = how.get("format", {}).get("decimal", ".")
        made[how.get("from", name)] = [
            back.get(v, v)
            if v in back or v is None or scale == 1.0
            else repr(round(float(v) / scale, 6))
            for v in values
        ]
        if decimal != ".":
            made[name] = [None if v is None else v.replace(".", decimal) for v in made[name]]
    return pa.table({n: pa.array(v, pa.string()) for n, v in made.items()})


@pytest.mark.parametrize("hospital", sorted(MAPS))
def test_each_hospitals_map_gives_the_counts_of_the_table_that_was_harmonised_by_hand(
    hospital: str,
) -> None:
    """All pairs, cell by cell: what is fitted and drawn from them cannot be any further away."""
    silo_map: SiloMap = parse_map({"version": 1, "columns": MAPS[hospital]})
    check_map(silo_map, schema=SCHEMA)
    by_hand = hospitals()[hospital]
    written = own_way(by_hand, MAPS[hospital])
    assert hospital == "cleveland" or not written.equals(by_hand)
    held = [n for n in SCHEMA.domain.attributes if n not in silo_map.absent]
    queries = [MarginalQuery(clique=pair, level="fine") for pair in combinations(held, 2)]
    levels = {"fine": Grouping()}
    mapped = open_table(written, schema=SCHEMA, silo_map=silo_map).count(queries, levels=levels)
    right = open_table(by_hand, schema=SCHEMA).count(queries, levels=levels)
    assert sum(int(c.sum()) for c in right) == len(queries) * by_hand.num_rows > 0
    for query, one, other in zip(queries, mapped, right, strict=True):
        assert np.array_equal(one, other), query
