"""A tiny federation that many scenarios share: one schema, tables, keys and bits of a seed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.trust import SigningKey
from silosynth.server.planning import new_plan
from silosynth.simulations.scenario import Rehearsal, RowsOf
from silosynth.simulations.scenario.federation import COORDINATOR
from silosynth.simulations.scenario.rehearse import Seams, rehearse
from silosynth.simulations.world import Scenario, parse_scenario

SILOS = ("north", "south", "west", "east")
CALM = {
    "name": "calm",
    "regions": {"eu": {"silos": ["north", "south"]}, "us": {"silos": ["west", "east"]}},
}


class KeyedBits:
    """Bits that depend on the silo and the request alone, however often a gateway is killed."""

    def __init__(self, silo: str) -> None:
        self._silo = silo
        self.begin("")

    def begin(self, request: str) -> None:
        seed = zlib.crc32(f"{self._silo} {request}".encode())
        self._random = np.random.Generator(np.random.Philox(seed))

    def words(self, count: int) -> np.ndarray:
        return self._random.integers(0, 2**64, count, dtype=np.uint64)


@cache
def schema() -> Schema:
    return parse_schema(
        {
            "name": "people",
            "attributes": [
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"},
                {
                    "name": "town",
                    "kind": "categorical",
                    "categories": ["n", "s", "w"],
                    "source": "public",
                },
                {"name": "ill", "kind": "boolean"},
            ],
        }
    )


@cache
def tables() -> Mapping[str, pa.Table]:
    found = {}
    for i, silo in enumerate(SILOS):
        random = np.random.default_rng(i)
        found[silo] = pa.table(
            {
                "age": random.integers(0, 10, 40),
                "town": random.choice(["n", "s", "w"], 40),
                "ill": random.random(40) < 0.4,
            }
        )
    return found


@cache
def _made(
    method: str, trust: str, absent: int, attempts: int, silos: tuple[str, ...] = SILOS
) -> Plan:
    more = {"trust": trust, "absent": absent, "attempts": attempts} if trust == "shared" else {}
    return new_plan(
        schema(),
        epsilon=5.0,
        delta=1e-6,
        silos=silos,
        plan_id="p",
        method=method,
        **more,  # type: ignore[arg-type]  # choices of trust
    )


@cache
def _lacking(method: str, trust: str, lacks: tuple[tuple[str, tuple[str, ...]], ...]) -> Plan:
    return new_plan(
        schema(),
        epsilon=5.0,
        delta=1e-6,
        silos=SILOS,
        plan_id="p",
        method=method,
        trust=trust,
        lacks=dict(lacks),
    )


def plan(
    method: str = "independent",
    *,
    trust: str = "own",
    absent: int = 0,
    attempts: int = 1,
    lacks: Mapping[str, tuple[str, ...]] | None = None,
    **changes: Any,
) -> Plan:
    """Return a plan; those of one kind share what the accountant has worked out."""
    made = _made(method, trust, absent, attempts)
    if lacks is not None:
        made = _lacking(method, trust, tuple(lacks.items()))
    return Plan.model_validate(made.model_dump(mode="json") | changes)


def plan_of(silos: tuple[str, ...], *, trust: str = "own", **changes: Any) -> Plan:
    """Return a plan of some of the silos."""
    made = _made("independent", trust, 0, 1, silos)
    return Plan.model_validate(made.model_dump(mode="json") | changes)


@cache
def _keys() -> Mapping[str, SigningKey]:
    return {s: SigningKey.generate() for s in (*SILOS, COORDINATOR)}


def seams() -> Seams:
    return Seams(keys=_keys(), bits={s: KeyedBits(s) for s in SILOS})


def scenario(**changes: Any) -> Scenario:
    """Return the calm scenario with some fields otherwise."""
    return parse_scenario(CALM | {"name": "test"} | changes, origin="test")


def live(
    made: Plan,
    world: Scenario,
    directory: Path,
    *,
    seeded: bool = True,
    otherwise: bool = False,
    rows: RowsOf | None = None,
    held: Mapping[str, pa.Table] | None = None,
) -> Rehearsal:
    """Live through a scenario on the tiny federation, or on tables that are ``held`` in its place.

    Args: rows: how they are read; as the schema says it by default.
    """
    return rehearse(
        made,
        schema=schema(),
        tables=tables() if held is None else held,
        scenario=world,
        directory=directory,
        rows=rows,
        otherwise=otherwise,
        seams=seams() if seeded else None,
    )
