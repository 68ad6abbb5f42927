"""Four hospitals that write the same disease down in four ways, and the maps that join them.

The rows are those of UCI's Heart Disease, harmonised by hand: what its documentation calls not
recorded is null, and a column that a hospital hardly ever recorded it does not hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from silosynth.common.schema import parse_schema

DATA = Path(os.environ.get("SILOSYNTH_DATA", Path(__file__).parents[3] / "../shared/data"))
FILE = DATA / "heart_disease" / "heart_disease.csv"


def _number(name: str, low: int, high: int) -> dict[str, Any]:
    return {"name": name, "kind": "integer", "minimum": low, "maximum": high, "missing": True}


def _listed(name: str, *words: str) -> dict[str, Any]:
    listed = {"kind": "categorical", "categories": list(words), "other": False}
    return {"name": name, **listed, "missing": True}


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
            _listed("fbs", "0", "1"),
            _listed("restecg", "0", "1", "2"),
            _number("thalach", 40, 230),
            _listed("exang", "0", "1"),
            {"name": "oldpeak", "kind": "real", "minimum": -5.0, "maximum": 10.0}
            | {"decimals": 1, "missing": True},
            _listed("slope", "1", "2", "3"),
            _listed("ca", "0", "1", "2", "3"),
            _listed("thal", "3", "6", "7"),
            _listed("num", "0", "1", "2", "3", "4"),
        ],
    }
)
NOT_RECORDED = ("chol", "trestbps")
"""Of these 0 says that it was not looked at."""

# What each hospital writes in its own way, and what brings that back.
MAPS: dict[str, dict[str, Any]] = {
    "cleveland": {},
    "hungarian": {
        "sex": {"from": "nem", "map": {"no": "0", "ferfi": "1"}},
        "trestbps": {"from": "kPa", "scale": 10.0},
        "exang": {"map": {"nem": "0", "igen": "1"}},
        "slope": "absent",
        "ca": "absent",
        "thal": "absent",
    },
    "switzerland": {
        "cp": {"map": {"typ": "1", "atyp": "2", "kein": "3", "ohne": "4"}},
        "age": {"from": "monate", "scale": 1 / 12},
        "oldpeak": {"format": {"decimal": ","}},
        "chol": "absent",
        "fbs": "absent",
        "ca": "absent",
    },
    "long_beach_va": {
        "num": {
            "from": "vessels",
            "map": {"none": "0", "i": "1", "ii": "2", "iii": "3", "iv": "4"},
        },
        "restecg": {"from": "ecg", "map": {"normal": "0", "st-t": "1", "lvh": "2"}},
        "chol": {"map": {"-9": None}},
        "trestbps": {"map": {"0": None}},
        "ca": "absent",
        "thal": "absent",
    },
}
LACKS = {h: tuple(n for n, c in columns.items() if c == "absent") for h, columns in MAPS.items()}
"""By hospital, the columns that it does not hold."""


def by_hand() -> dict[str, pa.Table]:
    """Return each hospital's rows as the schema has them, columns as text."""
    with FILE.open(encoding="utf-8") as file:
        names = file.readline().strip().split(",")
    options = pacsv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    table = pacsv.read_csv(FILE, convert_options=options)
    for name in NOT_RECORDED:
        recorded = pc.if_else(pc.equal(table[name], "0"), None, table[name])
        table = table.set_column(table.column_names.index(name), name, recorded)
    return {
        h: table.filter(pc.equal(table["hospital"], h)).select(
            [a.name for a in SCHEMA.attributes if a.name not in LACKS[h]]
        )
        for h in MAPS
    }


def own_way(table: pa.Table, columns: Mapping[str, Any]) -> pa.Table:
    """Return a hospital's rows as it writes them: its map, read backwards."""
    made: dict[str, list[str | None]] = {}
    for name in table.column_names:
        how, values = columns.get(name, {}), table[name].to_pylist()
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
