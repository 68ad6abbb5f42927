"""What looks at values: one row moves one cell by one, and what leaves has the noise it pays for.

False alarms: the laws are compared by a chi-square of about twenty cells whose threshold is six
standard deviations; tables, persons and requests are drawn from fixed seeds.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.client.gateway import Asked, Dataset, Gateway, ask_rows
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Policy
from silosynth.client.source import open_table
from silosynth.client.source.bounding import bounding
from silosynth.common.accounting import rho_units
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.messages import Refusal, Release, Request, decode_release, encode_request
from silosynth.common.plan import PhaseName, Plan, encode_plan, parse_plan
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.coordinator.values import trees_question
from silosynth.server.planning import new_plan

MOST = 2
PROJECT = Scope(kind=ScopeKind.PROJECT, name="p")


def schema_of(maximum: int = 5_000_000) -> Schema:
    return parse_schema(
        {
            "name": "t",
            "attributes": [
                {"name": "n", "kind": "integer", "minimum": 0, "maximum": maximum}
                | {"missing": True, "source": "public"},
                {"name": "r", "kind": "real", "minimum": 0.0, "maximum": 9.0, "decimals": 5}
                | {"source": "public"},
                {"name": "at", "kind": "datetime", "minimum": "2023-01-01", "resolution": "minute"}
                | {"maximum": "2023-12-31T23:59", "zone": "Europe/Berlin", "source": "public"},
            ],
        }
    )


def plan_of(schema: Schema, **changes: Any) -> Plan:
    plan = new_plan(
        schema, epsilon=1.0, delta=1e-6, silos=("north",), method="independent", plan_id="p"
    )
    return parse_plan(plan.model_dump(mode="json") | changes)


def requests_of(plan: Plan) -> list[Request]:
    """Return the trees' request, and a closer look into leaves that hold rows."""
    trees = trees_question(plan).request(plan=plan, phase=PhaseName.VALUES, silo="north")
    assert plan.values is not None
    names = [n for n, tree in plan.values.items() if tree.digits()]
    leaves = {n: (0, 1, 5, plan.values[n].leaves.count - 1) for n in names}
    closer = Request(
        plan_digest=plan.digest,
        phase=PhaseName.CLOSER,
        silo="north",
        queries=tuple(((n,), level) for n in names for level in plan.values[n].digits()),
        leaves=leaves,
    )
    return [trees, closer]


def counts_of(
    table: pa.Table, schema: Schema, plan: Plan, request: Request, *, rows_per_person: int = MOST
) -> Sequence[np.ndarray]:
    rows = open_table(table, schema=schema, person_column="who", bounding=bounding(b"s" * 32))
    asked = Asked(
        rows=rows,
        schema=schema,
        plan=plan,
        request=request,
        rows_per_person=rows_per_person,
        plan_digest=plan.digest,
    )
    return ask_rows(asked)


def moments(minutes: np.ndarray) -> pa.Array:
    """Return moments of 2023, in minutes after its first in UTC."""
    year = np.datetime64("2023-01-01", "us")
    return pa.array(year + minutes.astype("timedelta64[m]")).cast(pa.timestamp("us", tz="UTC"))


def table_of(rng: np.random.Generator, rows: int, persons: int) -> pa.Table:
    n = [None if rng.random() < 0.1 else int(rng.integers(0, 5_000_001)) for _ in range(rows)]
    near = [None if v is None else v % 3000 if rng.random() < 0.7 else v for v in n]
    return pa.table(
        {
            "n": pa.array(near, pa.int64()),
            "r": np.round(rng.choice([0.0, 0.12345, 9.0, 4.5], rows) * 1.0, 5),
            "at": moments(rng.integers(0, 525_600, rows)),
            "who": rng.integers(0, persons, rows),
        }
    )


SCHEMA = schema_of()
PLAN = plan_of(SCHEMA)


def test_the_plan_looks_closer_at_both_numbers() -> None:
    assert [p.name.value for p in PLAN.phases] == ["values", "closer", "one-way"]
    assert PLAN.values is not None
    assert all(tree.digits() for tree in PLAN.values.values())
    assert {"hours", "weekdays"} <= PLAN.values["at"].asked().keys()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_one_row_more_moves_one_cell_of_each_histogram_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = table_of(rng, 30, 10**9)
    for request in requests_of(PLAN):
        whole = counts_of(table, SCHEMA, PLAN, request)
        without = counts_of(table.slice(1), SCHEMA, PLAN, request)
        for more, fewer in zip(whole, without, strict=True):
            assert (more - fewer).min() >= 0
            assert (more - fewer).sum() <= 1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_a_person_more_moves_each_histogram_by_no_more_than_its_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = table_of(rng, 60, 9)
    others = table.filter(pa.array(table["who"].to_numpy() != 3))
    for request in requests_of(PLAN):
        whole = counts_of(table, SCHEMA, PLAN, request)
        without = counts_of(others, SCHEMA, PLAN, request)
        for more, fewer in zip(whole, without, strict=True):
            assert np.abs(more - fewer).sum() <= MOST
            assert ((more - fewer) ** 2).sum() <= MOST**2


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_which_rows_of_a_person_count_does_not_hang_on_the_tables_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = table_of(rng, 60, 9)
    shuffled = table.take(rng.permutation(60))
    for request in requests_of(PLAN):
        for one, other in zip(
            counts_of(table, SCHEMA, PLAN, request),
            counts_of(shuffled, SCHEMA, PLAN, request),
            strict=True,
        ):
            assert one.tolist() == other.tolist()


def test_a_plan_pays_for_every_histogram_that_it_asks() -> None:
    for request in requests_of(PLAN):
        phase = PLAN.phase(request.phase)
        assert len(request.queries) == phase.marginals
        assert PLAN.phase_cost(phase).rho == Fraction(len(request.queries)) / (2 * phase.sigma2)


class Silo:
    """A gateway over a table, and what it has spent."""

    def __init__(self, directory: Path, table: pa.Table, schema: Schema) -> None:
        path = directory / "ledger.sqlite"
        Ledger.create(path)
        self.ledger = Ledger.open(path, caps={PROJECT: 2**60})
        dataset = Dataset(
            schema=schema, rows=open_table(table, schema=schema), policy=Policy(), bounded=False
        )
        self.gateway = Gateway(silo="north", datasets={"default": dataset}, ledger=self.ledger)

    def answer(self, plan: Plan, request: Request) -> Release | Refusal:
        data = self.gateway.answer(plan=encode_plan(plan), request=encode_request(request))
        return decode_release(data)


def test_what_leaves_has_the_exact_law_of_counts_and_noise(tmp_path: Path) -> None:
    schema = schema_of(maximum=4095)
    plan = plan_of(schema)
    phases = [p.model_copy(update={"sigma2": Fraction(4)}) for p in plan.phases]
    plan = plan_of(schema, phases=[p.model_dump(mode="json") for p in phases])
    count = np.repeat(np.arange(4096), 3)
    table = pa.table({"n": count, "r": np.zeros(3 * 4096), "at": moments(count)})
    silo = Silo(tmp_path, table, schema)
    request = trees_question(plan).request(plan=plan, phase=PhaseName.VALUES, silo="north")
    released = silo.answer(plan, request)
    assert isinstance(released, Release)
    assert released.marginals[0].size == 4096
    draws = Counter(released.marginals[0].tolist())
    law = {x: math.exp(-((x - 3) ** 2) / 8) for x in range(-11, 18)}
    whole = sum(law.values())
    cells = [(draws[x], 4096 * p / whole) for x, p in law.items() if 4096 * p / whole > 20]
    chi = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    assert (chi - len(cells)) / math.sqrt(2 * len(cells)) < 6
    assert silo.ledger.spent(PROJECT) == rho_units(Fraction(len(released.marginals), 8))


def hostile() -> dict[str, dict[str, Any]]:
    """Return what no honest coordinator asks, by what is wrong with it."""
    edges = tuple(range(1, 32))
    one_way = {"phase": "one-way", "queries": [[["n"], "fine"]], "leaves": None}
    return {
        "a level that is not there": {"queries": [[["n"], "level-9"]]},
        "hours of what has none": {"queries": [[["n"], "hours"]]},
        "a digit in the first look": {"queries": [[["n"], "digit-0"]]},
        "two numbers at once": {"queries": [[["n", "r"], "level-0"]]},
        "a level twice": {"queries": [[["n"], "level-0"], [["n"], "level-0"]]},
        "no leaves": {"phase": "closer", "queries": [[["n"], "digit-0"]], "leaves": {}},
        "leaves that fall": {
            "phase": "closer",
            "queries": [[["n"], "digit-0"]],
            "leaves": {"n": [3, 2]},
        },
        "a leaf that is not there": {
            "phase": "closer",
            "queries": [[["n"], "digit-0"]],
            "leaves": {"n": [10**9]},
        },
        "more leaves than cells": {
            "phase": "closer",
            "queries": [[["n"], "digit-0"]],
            "leaves": {"n": list(range(60_000))},
        },
        "bins of another number": one_way | {"edges": {"x": edges}},
        "too many bins": one_way | {"edges": {"n": tuple(range(1, 99))}},
        "bins that fall": one_way | {"edges": {"n": (2, 1, *edges[2:])}},
        "bins beyond the bounds": one_way | {"edges": {"n": (*edges[:-1], 2**40)}},
        "bins in the first look": {"edges": {"n": edges}},
        "leaves in another phase": one_way | {"leaves": {"n": [1]}},
        "a tree with a level": {"levels": {"x": {"n": [0]}}},
    } | {"trees after all": {"phase": "one-way", "queries": [[["n"], "level-0"]]}}


@pytest.mark.parametrize("wrong", sorted(hostile()))
def test_what_is_not_the_plans_is_refused_before_it_costs(tmp_path: Path, wrong: str) -> None:
    table = pa.table({"n": [1, 2], "r": [0.5, 1.0], "at": moments(np.arange(2))})
    silo = Silo(tmp_path, table, SCHEMA)
    honest = requests_of(PLAN)[0].model_dump(mode="json")
    data = json.dumps(honest | hostile()[wrong]).encode()
    answer = decode_release(silo.gateway.answer(plan=encode_plan(PLAN), request=data))
    assert isinstance(answer, Refusal)
    assert answer.code != "internal"
    assert silo.ledger.spent(PROJECT) == 0


def test_a_plan_over_clocks_of_what_is_no_moment_is_refused(tmp_path: Path) -> None:
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [
                {"name": "n", "kind": "duration", "minimum": "P0D", "maximum": "P90D"}
                | {"resolution": "minute", "source": "public"}
            ],
        }
    )
    silo = Silo(tmp_path, pa.table({"n": pa.array([60], pa.duration("s"))}), schema)
    plan = plan_of(schema)
    values = plan.model_dump(mode="json")["values"]
    values["n"]["clocks"] = {"turns": [], "ahead": [0]}
    wrong = parse_plan(plan.model_dump(mode="json") | {"values": values})
    request = trees_question(plan).request(plan=wrong, phase=PhaseName.VALUES, silo="north")
    assert isinstance(silo.answer(wrong, request), Refusal)
    assert silo.ledger.spent(PROJECT) == 0


def test_a_plan_that_counts_no_clocks_is_run_as_it_was_made(tmp_path: Path) -> None:
    values = PLAN.model_dump(mode="json")["values"]
    assert values["at"].pop("clocks")["turns"]
    old = parse_plan(PLAN.model_dump(mode="json") | {"values": values})
    assert old.values is not None
    assert "clocks" not in old.model_dump(mode="json")["values"]["at"]
    table = table_of(np.random.default_rng(0), 30, 9).drop_columns(["who"])
    request = trees_question(old).request(plan=old, phase=PhaseName.VALUES, silo="north")
    assert ("hours" in {level for _, level in request.queries}) is False
    assert isinstance(Silo(tmp_path, table, SCHEMA).answer(old, request), Release)


def test_a_plan_over_other_points_than_the_schemas_is_refused(tmp_path: Path) -> None:
    silo = Silo(tmp_path, pa.table({"n": [1], "r": [0.5], "at": moments(np.arange(1))}), SCHEMA)
    values = PLAN.model_dump(mode="json")["values"]
    values["n"]["first"] = 5
    other = parse_plan(PLAN.model_dump(mode="json") | {"values": values})
    assert isinstance(silo.answer(other, requests_of(other)[0]), Refusal)
    assert silo.ledger.spent(PROJECT) == 0


def test_bins_that_a_coordinator_chooses_cost_what_any_bins_cost(
    tmp_path: Path, fixed_bits: None
) -> None:
    table = pa.table({"n": np.arange(100), "r": np.zeros(100), "at": moments(np.arange(100))})
    silo = Silo(tmp_path, table, SCHEMA)
    request = Request(
        plan_digest=PLAN.digest,
        phase=PhaseName.ONE_WAY,
        silo="north",
        queries=((("n",), "fine"), (("r",), "fine"), (("at",), "fine")),
        edges={"n": tuple(range(10, 41))},
    )
    released = silo.answer(PLAN, request)
    assert isinstance(released, Release)
    expected = [10, *[1] * 30, 60, 0]
    spread = float(PLAN.phase(PhaseName.ONE_WAY).sigma2) ** 0.5
    assert np.abs(released.marginals[0] - expected).max() < 8 * spread
    assert silo.ledger.spent(PROJECT) == rho_units(PLAN.phase_cost(PLAN.phase("one-way")).rho)
