"""A signed plan that trains, through a silo's real policy, ledger and person column."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.desk.facts import spent_epsilon
from silosynth.client.silo import foresee_plan
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.generator import MaskedMlp
from silosynth.common.messages import Answer, Release, Request, encode_request
from silosynth.common.plan import (
    Plan,
    dump_plan,
    encode_weights,
    parse_plan,
    plan_price,
    plan_units,
)
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.gateways.signed import Federation, people

PROJECT = Scope(kind=ScopeKind.PROJECT, name="default")
ROUNDS, STEPS = 3, 2


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    made = Federation(directory=tmp_path)
    made.change(
        approval={
            "automatic": True,
            "max_epsilon": 2.0,
            "max_delta": 1e-5,
            "methods": ["dp-sgd"],
        }
    )
    return made


def _plan(federation: Federation, *, epsilon: float = 1.0, **changes: Any) -> Plan:
    plan = new_plan(
        people(),
        epsilon=epsilon,
        delta=1e-6,
        silos=("north", "south"),
        method="dp-sgd",
        rows_per_person=2,
        plan_id="p",
        training=TrainingChoice(
            architecture=MaskedMlp(width=4, layers=1, views=1),
            rounds=ROUNDS,
            local_steps=STEPS,
            rate=Fraction(1, 5),
            sizes={"north": 100, "south": 100},
        ),
    )
    roster = {"north": federation.north.public, "south": federation.south.public}
    return parse_plan(plan.model_dump(mode="json") | {"roster": roster} | changes)


def _request(federation: Federation, plan: Plan, *, number: int) -> bytes:
    weights = encode_weights(np.full(plan.phases[-1].cells, 0.1, dtype=np.float32))
    step = {"round": number, "weights": weights.digest, "batch": 20}
    values = {"plan_digest": plan.digest, "phase": "training", "silo": "north", "training": step}
    request = Request.model_validate(values).with_weights(weights)
    return seal(encode_request(request), purpose=Purpose.REQUEST, key=federation.hub)


def test_rounds_are_charged_at_the_budgets_order_up_to_what_the_plan_costs(
    federation: Federation,
) -> None:
    plan = _plan(federation)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.APPROVED, verdict
        first = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        assert isinstance(federation.read(first), Release)
        for number in range(ROUNDS):
            request = _request(federation, plan, number=number)
            data = silo.gateway.answer(plan=federation.sealed(plan), request=request)
            assert isinstance(federation.read(data), Release)
            assert silo.gateway.answer(plan=federation.sealed(plan), request=request) == data
        order = silo.ledger.order(PROJECT)
        assert order is not None
        assert silo.ledger.spent(PROJECT) == plan_price(plan, order=order)
        assert silo.ledger.spent(PROJECT) < plan_units(plan) / 5, "sampling would save nothing"
        assert 0 < spent_epsilon(silo.ledger, PROJECT, delta=1e-6) < 3
        facts = [c.facts for c in silo.ledger.charges() if c.rdp is not None]
    assert [f["round"] for f in facts] == [0, 1, 2]
    assert {(f["rate"], f["steps"]) for f in facts} == {("1/5", STEPS)}


def test_weights_are_covered_by_the_coordinators_signature(federation: Federation) -> None:
    plan = _plan(federation)
    data = bytearray(_request(federation, plan, number=0))
    data[-1] ^= 1
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        refusal = federation.read(
            silo.gateway.answer(plan=federation.sealed(plan), request=bytes(data))
        )
        assert not isinstance(refusal, Release)
        assert refusal.code == "untrusted"
        assert silo.ledger.charges() == ()


def test_a_plan_that_costs_more_than_it_states_is_refused(federation: Federation) -> None:
    plan = _plan(federation)
    data = plan.model_dump(mode="json")
    data["phases"][-1]["sigma2"] = str(Fraction(data["phases"][-1]["sigma2"]) / 2)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(parse_plan(data))))
    assert verdict.answer is Answer.REFUSED
    assert "but its noise gives" in (verdict.message or "")


def test_a_check_says_what_training_costs_and_which_order_would_pay_for_it(
    federation: Federation, tmp_path: Path
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(dump_plan(_plan(federation)))
    seen = foresee_plan(federation.policy, path)
    assert seen.answer is Answer.APPROVED
    assert "epsilon 1 at delta" in seen.words[0]
    project = federation.policy.projects[0].model_dump(by_alias=True)
    dear = project | {"budget": {"epsilon": 1.05, "delta": 1e-6, "order": 200.0}}
    policy = type(federation.policy).model_validate(
        federation.policy.model_dump(mode="json", by_alias=True) | {"projects": [dear]}
    )
    refused = foresee_plan(policy, path)
    assert refused.answer is Answer.REFUSED
    assert "held at the Rényi order 200" in refused.words[0]


@pytest.mark.parametrize("step", ["counted", "noised"])
def test_a_gateway_that_dies_in_a_round_answers_it_for_the_same_charge(
    federation: Federation, step: str
) -> None:
    plan = _plan(federation)
    request = _request(federation, plan, number=0)

    class Killed(BaseException):
        pass

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
    with federation.open(reached=die) as silo, pytest.raises(Killed):
        silo.gateway.answer(plan=federation.sealed(plan), request=request)
    with federation.open() as silo:
        spent = silo.ledger.spent(PROJECT)
        assert spent > 0
        first = silo.gateway.answer(plan=federation.sealed(plan), request=request)
        assert isinstance(federation.read(first), Release)
        assert silo.gateway.answer(plan=federation.sealed(plan), request=request) == first
        assert silo.ledger.spent(PROJECT) == spent
