"""A desk names the plan that was meant, the person who decides, and what a plan asks and costs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.desk import (
    Command,
    Desk,
    Question,
    find_plan,
    person_of,
    plan_facts,
    plan_words,
    sudo_user,
)
from silosynth.client.policy import PolicyFile
from silosynth.common.accounting import ORDER_UNIT, cks_epsilon, held_epsilon
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import InvalidArgument
from silosynth.common.generator import MaskedMlp
from silosynth.common.plan import Plan, parse_plan, plan_price
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.gateways.signed import Federation, people
from tests.support.tables.texts import messages

DIGEST = "sha256:" + "1a2b3c4d5e6f" + "0" * 52
OTHER = "sha256:" + "f" * 64


def _waits(digest: str, name: str, *, coordinator: str = "hub") -> dict[str, Any]:
    return {"digest": digest, "id": name, "coordinator": coordinator}


# Which plan is meant


@pytest.mark.parametrize("digits", ["1a2b3c4d", "1a2b3c4d5e6f", "1A2B3C4D5E6F"])
def test_what_looks_like_digits_of_a_digest_is_never_a_plans_id(digits: str) -> None:
    """A coordinator calls its plan as the digest of another begins."""
    squatter = _waits(OTHER, digits)
    assert find_plan([_waits(DIGEST, "people"), squatter], digits)["digest"] == DIGEST
    with pytest.raises(InvalidArgument, match="waits"):
        find_plan([squatter], digits)


@pytest.mark.parametrize("name", ["people", "deadbeef-people", "p", "1a2b3c4", "0" * 65])
def test_every_other_name_is_a_plans_id_alone(name: str) -> None:
    plans = [_waits(DIGEST, "q"), _waits(OTHER, name)]
    assert find_plan(plans, name)["digest"] == OTHER


@pytest.mark.parametrize("name", ["sha256:", "sha256:1a2b3c", "1a2b3c4", "sha256:1a2b3c4x"])
def test_too_little_of_a_digest_names_nothing(name: str) -> None:
    with pytest.raises(InvalidArgument, match="waits"):
        find_plan([_waits(DIGEST, "people")], name)


def test_two_coordinators_plans_are_told_apart_by_name() -> None:
    plans = [_waits(DIGEST, "people", coordinator=name) for name in ("hub", "rival")]
    for name in ("people", DIGEST, "1a2b3c4d"):
        with pytest.raises(InvalidArgument, match="--coordinator") as caught:
            find_plan(plans, name)
        assert "2 plans" in caught.value.message
        assert find_plan(plans, name, coordinator="rival")["coordinator"] == "rival"


# Who decides


def test_a_person_is_the_user_of_the_socket_and_root_may_be_somebody_by_sudo() -> None:
    assert person_of(0) == "root"
    assert person_of(0, sudo_user=1) == "daemon (sudo)"
    assert person_of(0, sudo_user=0) == "root"
    assert person_of(2, sudo_user=1) == "bin", "whoever is not root is not believed"
    assert person_of(4_000_000_000) == "user 4000000000"


@pytest.mark.parametrize(
    ("text", "user"),
    [("1000", 1000), ("", None), ("-1", None), ("root", None), ("٣", None), ("9" * 10, None)],
)
def test_the_variable_of_sudo_is_a_number_or_nothing(text: str, user: int | None) -> None:
    assert sudo_user({"SUDO_UID": text}) == user
    assert sudo_user({}) is None


def test_no_question_can_say_who_asks(tmp_path: Path) -> None:
    federation = Federation(directory=tmp_path)
    federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        desk = Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)
        old = b'{"version":1,"command":"decide","plan":"p","approve":true,"by":"someone-else"}'
        assert b"no such question" in desk.answer(old, user=0)
        asked = Question(command=Command.DECIDE, plan="p", approve=True, sudo_user=1)
        assert desk.ask(asked, user=2)["by"] == "bin"
        decision = silo.ledger.decision(plan.digest, signer=federation.hub.public)
        assert decision is not None
        assert decision.by == "bin"


# What a plan asks, in words


def _said(plan: Plan, **more: Any) -> str:
    facts: Mapping[str, Any] = plan_facts(plan) | {"coordinator": "hub", "digest": DIGEST} | more
    return " ".join(plan_words(facts))


def _new(method: str, **options: Any) -> Plan:
    return new_plan(
        people(), epsilon=1.0, delta=1e-6, silos=("north", "south"), method=method, **options
    )


@pytest.mark.parametrize("method", ["independent", "mst", "aim"])
def test_plans_of_marginals_say_counts(method: str) -> None:
    said = _said(_new(method))
    assert "noised counts of up to" in said
    assert "gradients" not in said
    assert "features" not in said


def test_a_one_shot_plan_says_what_its_features_look_at() -> None:
    plan = _new("one-shot", rows_per_person=2)
    said, features = _said(plan), plan.features
    assert features is not None
    assert f"one sum of {features.frequencies:,} random features of pairs of attributes" in said
    assert f"a row adds at most {features.bound:,} in L2 norm" in said
    marginals = plan.phases[0].marginals
    assert f"noised counts of up to {marginals:,} marginals, {plan.phases[0].cells:,} cells" in said
    images = plan.model_copy(update={"features": features.model_copy(update={"images": True})})
    assert "random features of whole images" in _said(images)


def test_a_plan_of_projections_says_what_leaves_and_how_far_a_row_moves_it() -> None:
    plan = _new("projection", dimensions=1)
    said = _said(plan)
    assert plan.projection is not None
    assert "one noised sum of projections of its rows and of their second moments" in said
    assert "rows projected onto 1 dimensions, and of their squares and products, 2 numbers" in said
    assert f"a row adds at most {plan.projection.bound:,} in L2 norm" in said
    assert f"noised counts of up to {plan.phases[0].marginals:,} marginals" in said


def test_a_plan_of_votes_says_what_is_sent_and_what_a_row_adds() -> None:
    plan = new_plan(
        messages(), epsilon=1, delta=1e-6, silos=("north", "south"), method="votes", vote_rounds=2
    )
    said = _said(plan)
    assert "noised counts of which texts of the coordinator's its rows are nearest to" in said
    assert "noised counts of up to 1 marginals, 2 cells in all" in said
    assert "the coordinator sends up to 100 texts of its own, in the alphabet latin" in said
    assert "by class of 'kind': 200 counts" in said
    assert "a row adds one to one of them, and no text of the silo leaves it" in said


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_a_plan_of_training_says_gradients_rounds_rate_and_clip(
    federation: Federation, trust: str
) -> None:
    plan = _training(federation, trust=trust)
    said, training, phase = _said(plan), plan.training, plan.phases[-1]
    assert training is not None
    assert f"noised sums of gradients, {phase.cells:,} numbers each" in said
    assert f"{training.rounds:,} rounds" in said
    assert f"with the chance {phase.rate};" in said
    assert f"scaled down to norm {training.clip:g}" in said
    assert f"{float(phase.sigma2) ** 0.5 / 4095:.4g} times that norm" in said
    assert "images and texts included" in said
    assert f"up to {phase.marginals:,} marginals" not in said
    counts = plan.phases[0]
    assert f"noised counts of up to {counts.marginals:,} marginals, {counts.cells:,} cells" in said
    assert ("what it sends is masked" in said) == (trust == "shared")


def test_a_sum_that_may_be_begun_again_says_so() -> None:
    plan = _new("mst", trust="shared", attempts=3)
    assert "may be begun up to 3 times" in _said(plan)
    assert "begun" not in _said(_new("mst", trust="shared"))


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def _training(federation: Federation, *, trust: str) -> Plan:
    own: dict[str, Any] = {"local_steps": 4} if trust == "own" else {}
    plan = _new(
        "dp-sgd",
        trust=trust,
        plan_id="p",
        rows_per_person=2,
        training=TrainingChoice(
            architecture=MaskedMlp(width=4, layers=1, views=1),
            rounds=3,
            rate=Fraction(1, 5),
            clip=0.5,
            **own,
        ),
    )
    roster = {"north": federation.north.public, "south": federation.south.public}
    return parse_plan(plan.model_dump(mode="json") | {"roster": roster})


@pytest.mark.parametrize("order", [4.0, 12.5])
def test_who_decides_is_told_the_epsilon_at_each_budgets_own_order(
    federation: Federation, order: float
) -> None:
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["coordinators"][0]["budget"] = {"epsilon": 9.0, "delta": 1e-5, "order": order}
    data["datasets"][0]["budget"] = {"epsilon": 30.0, "delta": 1e-5}
    data["projects"][0]["budget"] = {"epsilon": 30.0, "delta": 1e-5}
    federation.policy = PolicyFile.model_validate(data)
    federation.approve_none()
    plan = _training(federation, trust="own")
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        desk = Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)
        (shown,) = desk.ask(Question(command=Command.PENDING), user=os.geteuid())["plans"]
        hub = next(b for b in shown["budgets"] if b["scope"] == "consumer")
        held = int(order * ORDER_UNIT)
        units = plan_price(plan, order=held)
        assert silo.ledger.order(Scope(kind=ScopeKind.CONSUMER, name="hub")) == held
    assert hub["epsilon"] == held_epsilon(units, order=held, delta=1e-5)
    said = " ".join(plan_words(shown))
    assert f"held at the Rényi order {order:.4g}) is charged epsilon {hub['epsilon']:.4g}" in said
    assert len(shown["budgets"]) == 3


def _look(**changes: Any) -> Plan:
    """Return a look at a sampler by everybody, of counters that weigh 1,024."""
    plan = _new("independent")
    stated = {"name": "evaluation", "marginals": 1, "cells": 7, "bound": 2_661}
    phase = plan.phases[0].model_dump(mode="json") | stated
    about = {"trained": DIGEST, "trained_units": 9, "trained_epsilon": 1.0, "sampler": DIGEST}
    about |= {"inputs": DIGEST, "seed": 3, "repeats": 6, "likelihood": False}
    weighed = about | {"weights": [1_024, 1, 1, 1, 836]}
    facts = {"method": "drift", "evaluation": weighed, "phases": [phase]} | changes
    return parse_plan(plan.model_dump(mode="json") | facts)


def test_a_look_at_a_sampler_says_what_its_noise_is_held_against() -> None:
    said = _said(_look())
    assert f"7 weighed counters, which hold everybody against sampler {DIGEST}" in said
    assert "a row adds at most 2,661 in L2 norm" in said
    assert "marginals" not in said
    some = _said(_look(method="evaluate", held_out={"share": "1/10"}))
    assert "hold the 1/10 of people who were held out against sampler" in some


def test_a_series_of_looks_says_that_each_is_about_any_sampler() -> None:
    series = {"name": "looks", "epochs": 3, "first": "2030-01-01", "days": 30}
    series |= {"epoch_units": 2**40, "lifetime_units": 2**41, "epoch": 1, "before_units": 0}
    said = _said(_look(id="looks-001", series=series))
    assert "the same plan again, each about any sampler delivered here, each at most once" in said
    plan = _new("independent").model_dump(mode="json")
    other = parse_plan(plan | {"id": "looks-001", "series": series})
    assert "the same plan again, each at most once" in _said(other)


def test_a_plan_that_renews_says_from_what() -> None:
    workload = {"workload": [["age", "sex"]], "weights": []}
    plan = _new("mst").model_dump(mode="json") | workload | {"method": "fixed"}
    one, coarse, _ = plan["phases"]
    plan["phases"] = [one, coarse | {"name": "workload"}]
    plan["renews"] = {"trained": DIGEST, "sampler": DIGEST}
    assert f"takes what is not asked from sampler {DIGEST}" in _said(parse_plan(plan))


def test_a_plan_of_marginals_costs_each_budget_its_zcdp_conversion(federation: Federation) -> None:
    federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        desk = Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)
        (shown,) = desk.ask(Question(command=Command.PENDING), user=0)["plans"]
        federation.decide(silo, plan, Verdict.REFUSED)
    units = plan_price(plan, order=None)
    assert {b["epsilon"] for b in shown["budgets"]} == {cks_epsilon(Fraction(units, 2**40), 1e-6)}
    assert "Rényi" not in " ".join(plan_words(shown))
