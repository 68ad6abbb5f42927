"""Plans and requests are validated as data, and their costs are exact."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import pytest
import yaml

from silosynth.common.accounting import RHO_UNIT
from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.messages import Request, count_cells, decode_request, encode_request
from silosynth.common.plan import (
    Phase,
    PhaseName,
    Plan,
    check_budget,
    check_plan,
    decode_plan,
    dump_plan,
    encode_plan,
    parse_plan,
    phase_cost,
    plan_units,
)
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan
from tests.support.patience import cheap


def _schema(**changes: Any) -> Schema:
    attributes = [
        {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"},
        {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "public"},
        {"name": "ill", "kind": "boolean"},
    ]
    return parse_schema({"name": "people", "attributes": attributes} | changes)


def _plan(**changes: Any) -> Plan:
    plan = new_plan(
        _schema(), epsilon=1.0, delta=1e-6, silos=("a", "b"), plan_id="p1", method="mst"
    )
    return parse_plan(plan.model_dump(mode="json") | changes)


def _request(plan: Plan, **changes: Any) -> Request:
    values = {
        "plan_digest": plan.digest,
        "phase": PhaseName.ONE_WAY,
        "silo": "a",
        "queries": ((("age",), "fine"), (("sex",), "fine")),
    }
    return Request.model_validate(values | changes)


def test_a_plan_survives_its_bytes_and_its_file_with_the_same_digest() -> None:
    plan = _plan()
    assert decode_plan(encode_plan(plan)) == plan
    assert decode_plan(encode_plan(plan)).digest == plan.digest
    assert parse_plan(yaml.safe_load(dump_plan(plan))).digest == plan.digest


def test_any_change_of_a_plan_changes_its_digest() -> None:
    assert _plan(deadline_seconds=601).digest != _plan().digest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "version 2"),
        ({"surprise": 1}, "surprise"),
        ({"silos": ["a", "a"]}, "'a' stands twice"),
        ({"silos": []}, "silos"),
        ({"silos": ["../../etc"]}, "silos"),
        ({"schema_digest": "md5:1"}, "schema_digest"),
        ({"method": "fixed"}, "phases"),
        ({"workload": [["age", "sex"]]}, "workload"),
        ({"privacy": {"epsilon": 0.0, "delta": 1e-6}}, "epsilon"),
        ({"privacy": {"epsilon": -1.0, "delta": 1e-6}}, "epsilon"),
        ({"privacy": {"epsilon": float("nan"), "delta": 1e-6}}, "epsilon"),
        ({"privacy": {"epsilon": 1.0, "delta": 1.0}}, "delta"),
        ({"privacy": {"epsilon": 1.0, "delta": 1e-6, "rows_per_person": 0}}, "rows_per_person"),
    ],
)
def test_a_plan_with_an_illegal_value_is_refused_by_name(
    change: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidPlan, match=words):
        _plan(**change)


@pytest.mark.parametrize("sigma2", [0, -1, 1.5, True, "0", "1/0", "nan", "1e400", "x", None])
def test_noise_is_an_exact_fraction_above_zero(sigma2: Any) -> None:
    plan = _plan().model_dump(mode="json")
    plan["phases"][0]["sigma2"] = sigma2
    with pytest.raises(InvalidPlan, match="sigma2"):
        parse_plan(plan)


def test_the_cost_of_a_phase_is_exact() -> None:
    phase = Phase(name=PhaseName.ONE_WAY, marginals=3, cells=10, sigma2=Fraction(7, 2))
    assert phase_cost(phase, rows_per_person=1).rho == Fraction(3, 7)
    assert phase_cost(phase, rows_per_person=2).rho == Fraction(12, 7)


def test_the_phases_of_a_plan_add_up_to_its_cost() -> None:
    plan = _plan()
    total = sum(phase_cost(p, rows_per_person=1).rho for p in plan.phases)
    assert plan.rho == total
    assert 0 <= plan_units(plan) - total * RHO_UNIT < len(plan.phases)


def test_a_plan_whose_noise_was_edited_down_is_refused() -> None:
    data = _plan().model_dump(mode="json")
    data["phases"][2]["sigma2"] = "1"
    with pytest.raises(InvalidPlan, match="its noise gives"):
        check_budget(parse_plan(data))


def test_a_plan_for_another_schema_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="another version"):
        check_plan(_plan(), _schema(description="changed"))


def test_a_plan_over_an_unreviewed_schema_is_refused() -> None:
    attributes = [{"name": "sex", "kind": "categorical", "categories": ["f", "m"]}]
    schema = parse_schema({"name": "people", "attributes": attributes})
    with pytest.raises(InvalidPlan, match="'sex'"):
        new_plan(schema, epsilon=1.0, delta=1e-6, silos=("a",), method="independent")


def test_a_request_survives_its_bytes() -> None:
    request = _request(_plan(), levels={"working": {"age": [0] * 16 + [1] * 16}})
    assert decode_request(encode_request(request)) == request


def test_a_request_is_the_canonical_json_of_all_that_it_holds() -> None:
    grouped = {"working": {"ägé": [0] * 16 + [1] * 16}}
    for queries in (((("ägé", 'a "b"'), "working"),), ((("sex",), "fine"), (("age",), "fine"))):
        request = _request(_plan(), levels=grouped, queries=queries)
        whole = request.model_dump(mode="json")
        assert encode_request(request) == canonical_json(whole)
        assert request.digest == digest_of(canonical_json(whole))
        common = {k: v for k, v in whole.items() if k not in ("silo", "sum")}
        assert request.asked_of_all == digest_of(canonical_json(common))


def test_a_request_counts_its_cells_after_merging() -> None:
    plan = _plan()
    request = _request(
        plan,
        phase=PhaseName.TREE,
        levels={"working": {"age": [0] * 16 + [1] * 16}},
        queries=((("age", "sex"), "working"), (("age", "ill"), "fine")),
    )
    assert count_cells(request, plan=plan, counted=_schema().domain) == (6, 64)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"plan_digest": "sha256:" + "0" * 64}, InvalidPlan, "another plan"),
        ({"silo": "c"}, InvalidPlan, "'c'"),
        ({"queries": ((("agee",), "fine"),)}, InvalidPlan, "agee"),
        ({"queries": ((("age", "age"), "fine"),)}, InvalidPlan, "twice"),
        ({"queries": (((), "fine"),)}, InvalidPlan, "at least one"),
        ({"queries": ((("age",), "mid"),)}, InvalidPlan, "'mid'"),
        ({"queries": ((("age",), "fine"), (("age",), "fine"))}, InvalidPlan, "twice"),
        ({"levels": {"fine": {"age": [0] * 32}}}, InvalidPlan, "reserved"),
        ({"levels": {"w": {"age": [0, 1]}}}, InvalidPlan, "2 entries"),
        ({"levels": {"w": {"age": [0, 2] * 16}}}, InvalidPlan, "every group"),
        ({"levels": {"w": {"age": [-1] * 32}}}, InvalidPlan, "every group"),
        ({"queries": tuple(((a,), "fine") for a in ("age", "sex", "ill", "x"))}, CapExceeded, "4"),
        ({"queries": ((("age", "sex", "ill"), "fine"),)}, CapExceeded, "cells"),
    ],
)
def test_a_request_that_is_not_the_plans_is_refused(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    plan = _plan()
    with pytest.raises(error, match=words):
        count_cells(_request(plan, **change), plan=plan, counted=_schema().domain)


@pytest.mark.parametrize(
    ("method", "phase", "clique"),
    [
        ("independent", PhaseName.ONE_WAY, ("sex", "ill")),
        ("mst", PhaseName.COARSE, ("sex",)),
        ("mst", PhaseName.TREE, ("sex", "ill", "age")),
        ("fixed", PhaseName.WORKLOAD, ("sex", "ill")),
        ("fixed", PhaseName.WORKLOAD, ("ill",)),
    ],
)
def test_a_phase_gives_only_the_marginals_that_were_approved(
    method: str, phase: PhaseName, clique: tuple[str, ...]
) -> None:
    """A person approves "1-way" or a workload; a coordinator may not ask another one for it."""
    workload = (("age", "sex"), ("ill", "age")) if method == "fixed" else ()
    plan = new_plan(
        _schema(), epsilon=1.0, delta=1e-6, silos=("a",), method=method, workload=workload
    )
    plan = parse_plan(
        plan.model_dump(mode="json")
        | {"phases": [p.model_dump(mode="json") | {"cells": 10**6} for p in plan.phases]}
    )
    request = _request(plan, phase=phase, queries=((clique, "fine"),))
    with pytest.raises(InvalidPlan, match="does not hold"):
        count_cells(request, plan=plan, counted=_schema().domain)


def test_a_huge_request_is_refused_without_allocation() -> None:
    names = [f"a{i}" for i in range(40)]
    attributes = [
        {"name": n, "kind": "integer", "minimum": 0, "maximum": 4095, "source": "public"}
        | {"bins": {"kind": "width", "count": 4096}}
        for n in names
    ]
    schema = parse_schema({"name": "wide", "attributes": attributes})
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=("a",), method="independent")
    request = _request(plan, queries=((tuple(names), "fine"),))
    with cheap(units=50), pytest.raises(CapExceeded, match="cells"):
        count_cells(request, plan=plan, counted=schema.domain)


def test_a_group_number_far_out_of_range_is_refused_without_allocation() -> None:
    plan = _plan()
    request = _request(plan, levels={"w": {"age": [0] * 31 + [10**15]}})
    with pytest.raises(InvalidPlan, match="every group"):
        count_cells(request, plan=plan, counted=_schema().domain)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000, b"null", b"{}"])
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidPlan):
        decode_request(data)
    with pytest.raises(InvalidPlan):
        decode_plan(data)


def test_unknown_fields_of_a_request_are_refused() -> None:
    data = json.loads(encode_request(_request(_plan())))
    with pytest.raises(InvalidPlan, match="code"):
        decode_request(json.dumps(data | {"code": "import os"}).encode())


@pytest.mark.parametrize(
    "sigma2", ["1e999999999", "1e-9", " 4", "4_0", "٤", "0x4", "1/" + "9" * 50]
)
def test_a_number_that_would_write_itself_out_for_hours_is_refused(sigma2: str) -> None:
    plan = _plan().model_dump(mode="json")
    plan["phases"][0]["sigma2"] = sigma2
    with cheap(units=100), pytest.raises(InvalidPlan, match="fraction in quotes"):
        decode_plan(json.dumps(plan).encode())
