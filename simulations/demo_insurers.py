"""The embedded demonstration: insurers that share what coinsurance does to doctor visits.

The table is the RAND Health Insurance Experiment as statsmodels carries it (public domain), one
row a person and year; each coinsurance plan stands for an insurer.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.common.plan import Plan, load_plan
from silosynth.common.schema import Schema, load_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.tables import split_table

INSURER_COLUMN = "coinsurance"


def demo_schema() -> Schema:
    """Return the schema that ships with the demonstration."""
    with as_file(files("silosynth.simulations") / "demo.yaml") as path:
        return load_schema(path)


def demo_table() -> pa.Table:
    """Return the demonstration's table, 20,190 rows, columns as in its schema."""
    # statsmodels takes half a second to import, which every command of a silo would wait for.
    from statsmodels.datasets import randhie

    raw = randhie.load_pandas().data
    return _spell_out({name: raw[name].to_numpy() for name in raw.columns})


def demo_silos() -> dict[str, pa.Table]:
    """Return the table split into insurers by coinsurance."""
    parts = split_table(demo_table(), by=INSURER_COLUMN)
    return {f"coinsurance-{name}": part for name, part in parts.items()}


def demo_plan(directory: Path) -> Plan:
    """Return the plan that a run in ``directory`` began with, or a new one."""
    path = directory / "plan.yaml"
    if path.is_file():
        return load_plan(path)
    return new_plan(
        demo_schema(), epsilon=1.0, delta=1e-6, silos=tuple(demo_silos()), unit="person and year"
    )


def _spell_out(raw: Mapping[str, np.ndarray]) -> pa.Table:
    """Undo the logarithms and the dummy coding of the published file."""
    health = np.select(
        [raw["hlthp"] == 1, raw["hlthf"] == 1, raw["hlthg"] == 1],
        ["poor", "fair", "good"],
        default="excellent",
    )
    return pa.table(
        {
            "visits": raw["mdvis"],
            "coinsurance": np.round(np.expm1(raw["lncoins"])).astype(int),
            "deductible": raw["idp"] == 1,
            "incentive": np.round(np.expm1(raw["lpi"]), 2),
            "spending_limit": np.round(np.expm1(raw["fmde"]), 2),
            "limitation": raw["physlm"],
            "diseases": raw["disea"],
            "health": health,
        }
    )
