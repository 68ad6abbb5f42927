"""A silo of several tables for tests: people with their visits, and drugs below those."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa

from silosynth.client.families import FamilyRows
from silosynth.client.gateway import Gateway, TablesDataset
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Policy
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.families import first_of, later_of
from silosynth.common.messages import Request, TablesQuestions
from silosynth.common.plan import Plan, parse_plan
from silosynth.common.tables import parse_tables

FINENESS = 256
PEOPLE: Mapping[str, object] = {
    "key": "id",
    "attributes": [
        {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False}
    ],
}
VISITS: Mapping[str, object] = {
    "parent": "people",
    "by": "id",
    "key": "visit",
    "order": "day",
    "children": [0, 1, 2, 4],
    "attributes": [
        {"name": "day", "kind": "integer", "minimum": 0, "maximum": 2},
        {"name": "ward", "kind": "categorical", "categories": ["a", "b"]},
    ],
}
SCHEMA = parse_tables(
    {
        "name": "clinic",
        "person": "people",
        "source": "public",
        "tables": {
            "people": PEOPLE,
            "visits": VISITS,
        },
    }
)
ASKED: Mapping[str, tuple[tuple[str, tuple[str, ...], int], ...]] = {
    "persons": (("people", ("sex",), 1), ("people", ("sex", "number of visits"), 1)),
    "first": ((first_of("visits"), ("ward",), 1), (first_of("visits"), ("people: sex", "day"), 1)),
    "later": (
        (later_of("visits"), ("ward",), 3),
        (later_of("visits"), ("previous: ward", "ward"), 1),
    ),
}
ASKED_OF: Mapping[str, tuple[tuple[str, tuple[str, ...], int], ...]] = {
    **ASKED,
    "lengths": ASKED["later"],
}
Tables = dict[str, pa.Table]


def clinic(persons: int = 20, *, first: int = 1) -> Tables:
    """Return people, of whom the i-th has i mod 4 visits, and visits of nobody."""
    ids = list(range(first, first + persons))
    visits = [
        {"visit": f"{i}-{n}", "id": i, "day": n % 3, "ward": "ab"[(i + n) % 2]}
        for i in ids
        for n in range(i % 4)
    ]
    lost = [{"visit": f"lost-{n}", "id": -1, "day": 1, "ward": "a"} for n in range(3)]
    return {
        "people": pa.table({"id": ids, "sex": ["fm"[i % 2] for i in ids]}),
        "visits": pa.Table.from_pylist([*visits, *lost]),
    }


def families_plan(*, silos: tuple[str, ...] = ("north",), **changes: Any) -> Plan:
    """Return a plan for the clinic; the noise of a count is small, so that counts can be seen."""
    sizes = {"lengths": (1, 48), "persons": (2, 20), "first": (2, 30), "later": (2, 30)}
    phases = [
        {"name": name, "marginals": marginals, "cells": cells, "sigma2": "4"}
        for name, (marginals, cells) in sizes.items()
    ]
    phases[-1] |= {"bound": FINENESS, "fineness": FINENESS, "sigma2": str(4 * FINENESS**2)}
    data = {
        "id": "families",
        "schema_name": SCHEMA.name,
        "schema_digest": SCHEMA.digest,
        "silos": list(silos),
        "privacy": {"epsilon": 100.0, "delta": 1e-6, "unit": "person"},
        "method": "families",
        "phases": phases,
    }
    return parse_plan(data | changes)


def ask(plan: Plan, phase: str, *, silo: str = "north", length: int = 3, **changes: Any) -> Request:
    """Return what a phase asks of the clinic."""
    tables = TablesQuestions(questions=ASKED_OF[phase], length=length if phase == "later" else None)
    return Request.model_validate(
        {"plan_digest": plan.digest, "phase": phase, "silo": silo, "tables": tables} | changes
    )


@contextmanager
def families_gateway(
    ledger: Path,
    tables: Mapping[str, pa.Table | Path],
    *,
    caps: int = 2**50,
    tell: Callable[[str], None] = lambda _: None,
    **seams: Any,
) -> Iterator[Gateway]:
    """Open a gateway that signs nothing, over these tables."""
    rows = FamilyRows(SCHEMA, tables, secret=bytes(range(32)), tell_operator=tell)
    dataset = TablesDataset(schema=SCHEMA, rows=rows, policy=Policy())
    if not ledger.exists():
        Ledger.create(ledger)
    scope = Scope(kind=ScopeKind.PROJECT, name="p")
    with Ledger.open(ledger, caps={scope: caps}) as opened:
        yield Gateway(
            silo="north",
            datasets={"default": dataset},
            ledger=opened,
            tell_operator=tell,
            **seams,
        )


def phase_sigma2(plan: Plan, phase: str) -> Fraction:
    """Return the noise of a phase as the plan states it."""
    return plan.phase(phase).sigma2
