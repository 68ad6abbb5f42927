"""What leaves a gateway of several tables: charged first, noised by what a family moves, kept."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.gateway import Gateway
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.certificate import certify_plan, plain_words
from silosynth.common.certificate.certify import check_certificate
from silosynth.common.errors import InvalidPlan
from silosynth.common.messages import Refusal, Release, decode_release, encode_request
from silosynth.common.plan import Plan, encode_plan, parse_plan, plan_units
from tests.support.chance import SumOfSquares, agrees, statistical
from tests.support.tables.families import (
    ASKED_OF,
    FINENESS,
    ask,
    clinic,
    families_gateway,
    families_plan,
)

PHASES = tuple(ASKED_OF)


def answered(gateway: Gateway, plan: Plan, phase: str, **changes: Any) -> Release | Refusal:
    request = ask(plan, phase, **changes)
    return decode_release(gateway.answer(plan=encode_plan(plan), request=encode_request(request)))


def spent(gateway: Gateway) -> int:
    return gateway._ledger.spent(Scope(kind=ScopeKind.PROJECT, name="p"))


@pytest.mark.parametrize("length", [1, 3, 2**18])
def test_a_run_is_charged_what_its_plan_states_whatever_t_is(tmp_path: Path, length: int) -> None:
    plan = families_plan()
    with families_gateway(tmp_path / "l", clinic()) as gateway:
        costs = {}
        for phase in PHASES:
            before = spent(gateway)
            answer = answered(gateway, plan, phase, length=length)
            assert isinstance(answer, Release)
            costs[phase] = spent(gateway) - before
            assert costs[phase] == answer.receipt.cost_units
        assert spent(gateway) == plan_units(plan)
    # 1 / (2 sigma2) a marginal; (F T)^2 / (2 sigma2 T^2) for all that are weighed together.
    each = RHO_UNIT // 8
    assert costs == {"lengths": each, "persons": 2 * each, "first": 2 * each, "later": each}


@statistical(alarm=1e-9, cases=4)
@pytest.mark.parametrize("phase", PHASES)
def test_noise_is_that_of_what_a_family_can_move(tmp_path: Path, phase: str) -> None:
    length, draws = 5, []
    nobody = {name: table.slice(0, 0) for name, table in clinic().items()}
    with families_gateway(tmp_path / "l", nobody) as gateway:
        while len(draws) < 800:
            answer = answered(gateway, families_plan(id=f"p{len(draws)}"), phase, length=length)
            assert isinstance(answer, Release)
            draws += [int(x) for m in answer.marginals for x in m]
    sigma2 = 4.0 * (FINENESS * length) ** 2 if phase == "later" else 4.0
    law = SumOfSquares(count=len(draws), sigma2=sigma2)
    less = {"half of the variance": replace(law, sigma2=0.5 * sigma2)}
    agrees(sum(x**2 for x in draws), law=law, mutants=less, alarm=1e-10)


@pytest.mark.usefixtures("fixed_bits")
def test_what_leaves_is_the_weighed_counts_with_noise(tmp_path: Path) -> None:
    plan = families_plan()
    with families_gateway(tmp_path / "l", clinic(400)) as gateway:
        persons = answered(gateway, plan, "persons")
        later = answered(gateway, plan, "later", length=2**9)
        lengths = answered(gateway, plan, "lengths")
    assert isinstance(persons, Release)
    assert isinstance(later, Release)
    assert isinstance(lengths, Release)
    assert abs(int(persons.marginals[0].sum()) - 400) < 60
    # 100 persons have two visits and 100 three, so 300 later ones; T is too long to clip anybody.
    assert abs(int(later.marginals[0].sum()) / (3 * FINENESS) - 300) < 3000
    assert [len(m) for m in lengths.marginals] == [48]
    assert abs(int(lengths.marginals[0].sum()) - 200) < 150


def test_the_same_request_gets_the_same_bytes_and_another_is_refused(tmp_path: Path) -> None:
    plan = families_plan()
    with families_gateway(tmp_path / "l", clinic()) as gateway:
        request = encode_request(ask(plan, "later"))
        first = gateway.answer(plan=encode_plan(plan), request=request)
        cost = spent(gateway)
        assert gateway.answer(plan=encode_plan(plan), request=request) == first
        assert spent(gateway) == cost
        other = answered(gateway, plan, "later", length=4)
        assert isinstance(other, Refusal)
        assert other.code == "request-conflict"
    with families_gateway(tmp_path / "l", clinic(3)) as gateway:
        assert gateway.answer(plan=encode_plan(plan), request=request) == first


@pytest.mark.parametrize("phase", PHASES)
def test_a_release_is_charged_before_a_table_is_read(tmp_path: Path, phase: str) -> None:
    def die(step: str) -> None:
        if step == "counted":
            raise KeyboardInterrupt

    plan = families_plan()
    with families_gateway(tmp_path / "l", clinic(), reached=die) as gateway:
        with pytest.raises(KeyboardInterrupt):
            answered(gateway, plan, phase)
        cost = spent(gateway)
        assert cost > 0
    with families_gateway(tmp_path / "l", clinic()) as gateway:
        assert isinstance(answered(gateway, plan, phase), Release)
        assert spent(gateway) == cost


def test_rows_of_nobody_are_told_to_the_operator_and_in_no_answer(tmp_path: Path) -> None:
    told: list[str] = []
    with families_gateway(tmp_path / "l", clinic(), tell=told.append) as gateway:
        for phase in ("persons", "first"):
            answered(gateway, families_plan(), phase)
    assert [t for t in told if "3 rows belong to nobody" in t] == [told[2]], "told once, not twice"
    assert "'id' names no row of 'people' here" in told[2]


def _refused(change: dict[str, Any], phase: str, code: str, why: str) -> Any:
    return pytest.param(change, phase, code, why, id=f"{phase}-{why}"[:40])


FIRST_ROWS = ("visits, first", ("ward",), 1)
LATER_ROWS = ("visits, later", ("ward",), 1)
STRANGE: tuple[Any, ...] = (
    _refused({"length": None}, "later", "invalid-plan", "length"),
    _refused({"length": 0}, "later", "invalid-plan", "length"),
    _refused({"length": 2**18 + 1}, "later", "invalid-plan", "length"),
    _refused({"length": 3}, "persons", "invalid-plan", "length"),
    _refused({"length": 3}, "lengths", "invalid-plan", "length"),
    _refused(
        {"questions": [["visits, later", ["ward"], 0]]}, "later", "invalid-plan", "equal to 1"
    ),
    _refused(
        {"questions": [["visits, later", ["ward"], 1025]]}, "later", "invalid-plan", "equal to 1024"
    ),
    _refused({"questions": [["visits, first", ["ward"], 2]]}, "first", "invalid-plan", "scale"),
    _refused({"questions": [LATER_ROWS]}, "first", "invalid-plan", "several rows"),
    _refused({"questions": [FIRST_ROWS]}, "later", "invalid-plan", "does not ask"),
    _refused({"questions": [FIRST_ROWS]}, "persons", "invalid-plan", "does not ask"),
    _refused({"questions": [["nothing", ["ward"], 1]]}, "later", "invalid-plan", "no view"),
    _refused({"questions": [["people", ["who"], 1]]}, "persons", "invalid-plan", "unknown"),
    _refused({"questions": [["people", [], 1]]}, "persons", "invalid-plan", "attributes"),
    _refused(
        {"questions": [["visits, later", ["day", "ward", "previous: day"], 1]]},
        "later",
        "invalid-plan",
        "attributes",
    ),
    _refused({"questions": [LATER_ROWS, LATER_ROWS]}, "later", "invalid-plan", "twice"),
    _refused(
        {"questions": [["people", ["sex"], 1]] + [["people", ["number of visits"], 1]] * 2},
        "persons",
        "invalid-plan",
        "twice",
    ),
    _refused(
        {"questions": [["visits, later", [a], 1] for a in ("ward", "day", "people: sex")]},
        "later",
        "cap-exceeded",
        "marginals",
    ),
    _refused(
        {"questions": [["visits, later", [a], 1] for a in ("ward", "day", "people: sex")]},
        "lengths",
        "cap-exceeded",
        "marginals",
    ),
)


@pytest.mark.parametrize(("change", "phase", "code", "why"), STRANGE)
def test_what_is_not_the_plans_is_refused_and_not_charged(
    tmp_path: Path, change: dict[str, Any], phase: str, code: str, why: str
) -> None:
    plan = families_plan()
    data = ask(plan, phase).model_dump(mode="json")
    data["tables"] |= change
    data["tables"] = {k: v for k, v in data["tables"].items() if v is not None}
    with families_gateway(tmp_path / "l", clinic()) as gateway:
        raw = gateway.answer(plan=encode_plan(plan), request=json.dumps(data).encode())
        answer = decode_release(raw)
        assert isinstance(answer, Refusal)
        assert (answer.code, spent(gateway)) == (code, 0)
        assert why in answer.message


def test_a_plan_of_one_table_is_refused_of_several(tmp_path: Path) -> None:
    plan = families_plan()
    phases = [{"name": "one-way", "marginals": 1, "cells": 9, "sigma2": "4"}]
    data = plan.model_dump(mode="json") | {"method": "independent", "phases": phases}
    single = parse_plan(data)
    request = {
        "plan_digest": single.digest,
        "phase": "one-way",
        "silo": "north",
        "queries": [[["sex"], "fine"]],
    }
    with families_gateway(tmp_path / "l", clinic()) as gateway:
        raw = gateway.answer(plan=encode_plan(single), request=json.dumps(request).encode())
        answer = decode_release(raw)
        assert isinstance(answer, Refusal)
        assert "has several tables, and method independent is not for that" in answer.message
        assert spent(gateway) == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"fineness": None, "bound": 1}, "later has a fineness"),
        ({"fineness": 1, "bound": 1}, "greater than or equal to 2"),
        ({"fineness": 2**13, "bound": 2**13}, "less than or equal"),
        ({"bound": 4}, "is the bound"),
    ],
)
def test_a_phase_that_weighs_states_f_as_its_bound(change: dict[str, Any], why: str) -> None:
    data = families_plan().model_dump(mode="json")
    data["phases"][-1] |= change
    with pytest.raises(Exception, match=why):
        parse_plan(data)


@pytest.mark.parametrize("phase", range(len(PHASES)))
def test_every_marginal_of_several_tables_is_paid(phase: int) -> None:
    data = families_plan(silos=("north", "south")).model_dump(mode="json")
    data |= {"trust": "shared", "lacks": {"south": ["x"]}}
    data["phases"][phase] |= {"marginals": 9, "held": 1}
    with pytest.raises(Exception, match=r"held|lacks"):
        parse_plan(data)


def test_a_person_is_all_rows_below_one() -> None:
    data = families_plan().model_dump(mode="json")
    data["privacy"]["rows_per_person"] = 2
    with pytest.raises(Exception, match="rows below one"):
        parse_plan(data)


def test_a_certificate_says_what_a_person_is_and_pays_for_one_mechanism() -> None:
    said = certify_plan(families_plan(silos=("north", "south")))
    assert "one person with all rows below it" in said.neighbours
    (later,) = (p for p in said.phases if p.name == "later")
    assert (later.marginals, later.bound) == (1, FINENESS)
    words = " ".join(plain_words(said))
    assert "Rows below a person of another silo are counted nowhere" in words
    assert f"weighed down to a norm of at most {FINENESS} T" in words
    check_certificate(said)
    short = said.model_copy(update={"assumptions": said.assumptions[1:]})
    with pytest.raises(InvalidPlan, match="assumptions"):
        check_certificate(short)


def test_rho_of_a_weighed_phase_is_that_of_one_mechanism() -> None:
    plan = families_plan()
    cost = plan.phase_cost(plan.phase("later"))
    assert (cost.count, cost.rho) == (1, Fraction(1, 8))
    assert np.isclose(float(plan.rho), 6 / 8)
