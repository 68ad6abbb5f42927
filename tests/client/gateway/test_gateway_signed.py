"""A silo with an identity answers approved plans of trusted coordinators, and signs its words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.gateway.datasets import Dataset, require_rows
from silosynth.client.silo import ledger_path
from silosynth.client.silo.rows.datasets import open_dataset
from silosynth.common.accounting import Noise
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import LedgerUnavailable, Refused, Untrusted
from silosynth.common.generator import FeatureSettings
from silosynth.common.messages import (
    Answer,
    Identity,
    Left,
    Refusal,
    Release,
    decode_statement,
    encode_receipt,
)
from silosynth.common.plan import Plan
from tests.support.gateways.signed import CANARY, Federation, make_sampler

SCOPES = (
    Scope(kind=ScopeKind.DATASET, name="default"),
    Scope(kind=ScopeKind.CONSUMER, name="hub"),
    Scope(kind=ScopeKind.PROJECT, name="default"),
)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def test_a_silo_proves_who_it_is_over_a_fresh_challenge(federation: Federation) -> None:
    with federation.open() as silo:
        data = silo.gateway.identify(b"c" * 32)
        identity = decode_statement(data, Identity, trusted={federation.north.public})
        assert (identity.silo, identity.challenge) == ("north", (b"c" * 32).hex())
        with pytest.raises(Untrusted):
            decode_statement(data, Identity, trusted={federation.south.public})
        for wrong in (b"", b"c" * 31, b"c" * 10_000):
            assert isinstance(federation.read(silo.gateway.identify(wrong)), Refusal)


def test_what_is_left_is_said_of_budgets_alone_that_are_public(federation: Federation) -> None:
    def said() -> Identity:
        data = silo.gateway.identify(b"c" * 32)
        return decode_statement(data, Identity, trusted={federation.north.public})

    plan = federation.plan()
    with federation.open() as silo:
        assert said().left == {}
        assert "left" not in said().facts(), "a coordinator of an earlier version reads the same"
    federation.publish_budget()
    with federation.open() as silo:
        (project,) = federation.policy.projects
        budget = {"epsilon": project.budget.epsilon, "delta": project.budget.delta}
        assert said().left == {project.name: Left(share=1.0, **budget)}
        silo.gateway.propose(plan=federation.sealed(plan))
        federation.release(silo, plan)
        spent = silo.ledger.spent(Scope(kind=ScopeKind.PROJECT, name=project.name))
        assert said().left[project.name].share == 1 - spent / project.budget.cap.units < 1


def test_an_automatic_plan_is_approved_in_the_chain_and_answered(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert (verdict.answer, verdict.plan_digest) == (Answer.APPROVED, plan.digest)
        decision = silo.ledger.decision(plan.digest, signer=federation.hub.public)
        assert decision is not None
        assert (decision.verdict, decision.by) == (Verdict.APPROVED, "policy")
        assert isinstance(federation.release(silo, plan), Release)


def test_a_release_is_charged_to_dataset_consumer_and_project_with_its_facts(
    federation: Federation,
) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        receipt = federation.release(silo, plan).receipt
        assert {silo.ledger.spent(s) for s in SCOPES} == {receipt.cost_units}
        (charge,) = silo.ledger.charges()
        assert dict(charge.facts) == {
            "plan": plan.digest,
            "plan_id": "p",
            "phase": "one-way",
            "marginals": 2,
            "sigma2": str(plan.phases[0].sigma2),
        }
        assert charge.head == receipt.ledger_head


def test_a_plan_that_was_never_proposed_is_not_answered(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        answer = federation.read(
            silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        )
        assert isinstance(answer, Refusal)
        assert answer.code == "approval-pending"
        assert silo.ledger.spent(SCOPES[0]) == 0


def test_a_plan_waits_for_a_person_and_is_answered_once_approved(federation: Federation) -> None:
    federation.approve_none()
    plan = federation.plan()
    sealed, request = federation.sealed(plan), federation.request(plan)
    with federation.open() as silo:
        for _ in range(2):
            assert federation.verdict(silo.gateway.propose(plan=sealed)).answer is Answer.PENDING
        refusal = federation.read(silo.gateway.answer(plan=sealed, request=request))
        assert isinstance(refusal, Refusal)
        assert refusal.code == "approval-pending"
        (waiting,) = silo.ledger.pending()
        assert waiting.plan == sealed
        federation.decide(silo, plan, Verdict.APPROVED, why="agreed")
        assert isinstance(
            federation.read(silo.gateway.answer(plan=sealed, request=request)), Release
        )
    with federation.open() as silo:
        assert federation.verdict(silo.gateway.propose(plan=sealed)).answer is Answer.APPROVED


def test_a_plan_that_a_person_refused_is_refused_with_the_persons_words(
    federation: Federation,
) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        federation.decide(silo, plan, Verdict.REFUSED, why="not this year")
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.REFUSED
        assert "not this year" in str(verdict.message)
        answer = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        refusal = federation.read(answer)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "plan-refused"
        assert silo.ledger.spent(SCOPES[0]) == 0


def _project(f: Federation) -> Plan:
    return f.plan(project="other")


def _dataset(f: Federation) -> Plan:
    return f.plan(dataset="other")


def _no_roster(f: Federation) -> Plan:
    return f.plan(roster={})


def _foreign_key(f: Federation) -> Plan:
    return f.plan(roster={"north": f.north.public, "south": f.rogue.public})


def _own_key_swapped(f: Federation) -> Plan:
    return f.plan(roster={"north": f.rogue.public, "south": f.south.public})


def _false_promise(f: Federation) -> Plan:
    privacy = f.plan().privacy.model_dump(mode="json") | {"epsilon": 0.5}
    return f.plan(privacy=privacy)


def _too_dear(f: Federation) -> Plan:
    return f.plan(epsilon=20.0)


def _large(f: Federation) -> Plan:
    phase = f.plan().phases[0].model_dump(mode="json")
    return f.plan(phases=[phase | {"cells": 50_000_001}])


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (_project, "plan-refused"),
        (_dataset, "plan-refused"),
        (_no_roster, "plan-refused"),
        (_foreign_key, "plan-refused"),
        (_own_key_swapped, "plan-refused"),
        (_false_promise, "invalid-plan"),
        (_too_dear, "budget-exceeded"),
        (_large, "cap-exceeded"),
    ],
)
def test_a_plan_outside_the_policy_is_refused_for_a_public_reason(
    federation: Federation, make: Callable[[Federation], Plan], code: str
) -> None:
    plan = make(federation)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert (verdict.answer, verdict.code) == (Answer.REFUSED, code)
        assert verdict.plan_digest == plan.digest
        assert silo.ledger.decision(plan.digest, signer=federation.hub.public) is None
        assert silo.ledger.pending() == ()
        answer = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        assert isinstance(federation.read(answer), Refusal)
        assert silo.ledger.spent(SCOPES[0]) == 0


def test_a_plan_above_what_is_automatic_waits(federation: Federation) -> None:
    with federation.open() as silo:
        plan = federation.plan(epsilon=2.5)
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.PENDING
        assert "above 2" in str(verdict.message)


def test_a_plan_that_is_half_paid_is_approved_again_after_a_restart(
    federation: Federation,
) -> None:
    plan = federation.plan(epsilon=1.5)
    federation.change(approval={"max_epsilon": 100.0})
    data = federation.policy.model_dump(mode="json", by_alias=True)
    for group in ("datasets", "coordinators", "projects"):
        data[group][0]["budget"]["epsilon"] = 1.7
    federation.policy = type(federation.policy).model_validate(data)
    with federation.open() as silo:
        federation.release(silo, plan)
    with federation.open() as silo:
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.APPROVED
        another = federation.plan(id="q", epsilon=1.5)
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(another)))
        assert verdict.code == "budget-exceeded"


def test_another_plan_under_the_same_id_is_refused(federation: Federation) -> None:
    first, second = federation.plan(), federation.plan(deadline_seconds=601)
    with federation.open() as silo:
        federation.release(silo, first)
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(second)))
        assert (verdict.answer, verdict.code) == (Answer.REFUSED, "request-conflict")
        federation.decide(silo, second, Verdict.APPROVED, why="by mistake")
        answer = silo.gateway.answer(
            plan=federation.sealed(second), request=federation.request(second)
        )
        refusal = federation.read(answer)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "request-conflict"


def test_receipts_ahead_of_the_ledger_fence_it_for_good(federation: Federation) -> None:
    plan = federation.plan()
    path = ledger_path(federation.policy)
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
    old = path.read_bytes()
    with federation.open() as silo:
        release = federation.release(silo, plan)
        receipts = (encode_receipt(release),)
        again = silo.gateway.propose(plan=federation.sealed(plan), receipts=receipts)
        assert federation.verdict(again).answer is Answer.APPROVED
    path.write_bytes(old)
    with federation.open() as silo:
        data = silo.gateway.propose(plan=federation.sealed(plan), receipts=receipts)
        assert federation.verdict(data).code == "ledger-unavailable"
        answer = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        refusal = federation.read(answer)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "ledger-unavailable"


def test_a_ledger_copied_between_charge_and_store_is_fenced(federation: Federation) -> None:
    plan = federation.plan()
    path = ledger_path(federation.policy)
    copies: list[bytes] = []

    def copy_after_charge(step: str) -> None:
        if step == "counted":
            copies.append(path.read_bytes())

    with federation.open(reached=copy_after_charge) as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        receipts = (encode_receipt(federation.release(silo, plan)),)
    path.write_bytes(copies[0])
    with federation.open() as silo:
        data = silo.gateway.propose(plan=federation.sealed(plan), receipts=receipts)
        assert federation.verdict(data).code == "ledger-unavailable"


def test_a_head_that_this_silo_did_not_sign_fences_nothing(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        release = federation.release(silo, plan)
        forged = release.receipt.model_copy(update={"ledger_head": "f" * 64})
        data = encode_receipt(Release(receipt=forged, marginals=(), signature=release.signature))
        verdict = federation.verdict(
            silo.gateway.propose(plan=federation.sealed(plan), receipts=(data,))
        )
        assert verdict.code == "untrusted"
        assert isinstance(federation.release(silo, plan), Release)


def test_a_whole_result_is_kept_and_acknowledged(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        result = federation.result(plan, federation.release(silo, plan))
        bundle = federation.bundle(result, make_sampler(plan))
        for _ in range(2):
            word = federation.acknowledged(silo.gateway.deliver(bundle))
            assert word.accepted, word.message
            assert word.sampler_digest == result.sampler_digest
        folder = silo.records.result(plan.digest)
        assert folder is not None
        assert (folder / "result.sampler").read_bytes() == make_sampler(plan)
        assert (folder / "result.bundle").read_bytes() == bundle


def _rogue(f: Federation, plan: Plan, release: Release) -> bytes:
    return f.bundle(f.result(plan, release), make_sampler(plan), key=f.rogue)


def _another_sampler(f: Federation, plan: Plan, release: Release) -> bytes:
    return f.bundle(f.result(plan, release), make_sampler(plan) + b" ")


def _not_approved(f: Federation, plan: Plan, release: Release) -> bytes:
    other = f.plan(id="q")
    return f.bundle(f.result(other), make_sampler(other))


def _no_receipt(f: Federation, plan: Plan, release: Release) -> bytes:
    return f.bundle(f.result(plan), make_sampler(plan))


def _smaller_certificate(f: Federation, plan: Plan, release: Release) -> bytes:
    result = f.result(plan, release)
    lower = result.certificate.model_copy(update={"epsilon": 0.1, "epsilon_pld": 0.1})
    sampler = make_sampler(plan, certificate=lower.model_dump(mode="json"))
    from silosynth.common.messages import digest_sampler

    changed = {"certificate": lower, "sampler_digest": digest_sampler(sampler)}
    return f.bundle(result.model_copy(update=changed), sampler)


def _broken_sampler(f: Federation, plan: Plan, release: Release) -> bytes:
    from silosynth.common.messages import digest_sampler

    sampler = make_sampler(plan)[:-1]
    result = f.result(plan, release).model_copy(update={"sampler_digest": digest_sampler(sampler)})
    return f.bundle(result, sampler)


def _forged_peer(f: Federation, plan: Plan, release: Release) -> bytes:
    result = f.result(plan, release)
    receipts = dict(result.receipts) | {"south": result.receipts["north"]}
    return f.bundle(result.model_copy(update={"receipts": receipts}), make_sampler(plan))


def _no_base64(f: Federation, plan: Plan, release: Release) -> bytes:
    receipts = {"north": ("*",)}
    result = f.result(plan, release).model_copy(update={"receipts": receipts})
    return f.bundle(result, make_sampler(plan))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_rogue, "not trusted"),
        (_another_sampler, "not the one that the result names"),
        (_not_approved, "not approved here"),
        (_no_receipt, "0 receipts of this silo, which gave 1"),
        (_smaller_certificate, "certificate"),
        (_broken_sampler, "truncated"),
        (_forged_peer, "not trusted"),
        (_no_base64, "base64"),
    ],
)
def test_a_result_that_does_not_hold_is_not_accepted(
    federation: Federation, make: Callable[..., bytes], words: str
) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        bundle = make(federation, plan, federation.release(silo, plan))
        word = federation.acknowledged(silo.gateway.deliver(bundle))
        assert not word.accepted
        assert words in str(word.message)
        assert silo.records.result(plan.digest) is None


def test_a_result_of_a_run_that_went_on_without_this_silo_is_kept_too(
    federation: Federation,
) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        federation.release(silo, plan)
        without = federation.result(plan).model_copy(update={"silos": ("south",), "receipts": {}})
        word = federation.acknowledged(
            silo.gateway.deliver(federation.bundle(without, make_sampler(plan)))
        )
        assert word.accepted, word.message


def test_a_second_result_does_not_replace_the_first(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        release = federation.release(silo, plan)
        first = federation.bundle(federation.result(plan, release), make_sampler(plan))
        fewer = federation.result(plan, release).model_copy(update={"silos": ("north",)})
        second = federation.bundle(fewer, make_sampler(plan))
        assert federation.acknowledged(silo.gateway.deliver(first)).accepted
        assert not federation.acknowledged(silo.gateway.deliver(second)).accepted


def test_the_steps_of_an_answer_come_in_their_order(federation: Federation) -> None:
    steps: list[str] = []
    plan = federation.plan()
    with federation.open(reached=steps.append) as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        steps.clear()
        silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    assert steps == [
        "received",
        "verified",
        "before-charge",
        "after-charge",
        "counted",
        "noised",
        "before-store",
        "after-store",
        "before-send",
    ]


def test_a_persons_rows_are_bounded_before_they_are_counted(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_noise(noise: Noise, *, count: int, bits: Any) -> Any:
        import numpy as np

        return np.zeros(count, dtype=np.int64)

    monkeypatch.setattr("silosynth.client.noise.draw.draw_noise", no_noise)
    with federation.open() as silo:
        for rows, plan in ((2, federation.plan()), (1, federation.plan(id="q", rows_per_person=1))):
            release = federation.release(silo, plan)
            assert int(release.marginals[0].sum()) == 50 * rows


def test_no_word_of_the_table_is_told_to_anybody_but_the_operator(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        Path(federation.policy.datasets[0].path or "").write_bytes(CANARY.encode())
        data = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    refusal = federation.read(data)
    assert isinstance(refusal, Refusal)
    assert refusal.message == "the table could not be counted"
    assert CANARY.encode() not in data
    assert any("parquet" in line for line in federation.told)


def test_a_silo_whose_ledger_cannot_be_used_still_says_who_it_is(federation: Federation) -> None:
    federation.publish_budget()
    with federation.open() as silo:
        silo.ledger.close()
        data = silo.gateway.identify(b"c" * 32)
        identity = decode_statement(data, Identity, trusted={federation.north.public})
        assert (identity.silo, identity.left) == ("north", {})
        plan = federation.sealed(federation.plan())
        assert federation.verdict(silo.gateway.propose(plan=plan)).code == LedgerUnavailable.code


def test_a_plan_about_whole_rows_costs_nothing_where_none_reaches_the_gateway(
    federation: Federation,
) -> None:
    federation.change(approval={"methods": ["projection", "independent"]})
    federation.push_down()
    plan = federation.plan(method="projection")
    with federation.open() as silo:
        said = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert (said.answer, silo.ledger.charges()) == (Answer.REFUSED, ())
        assert "projection learns from whole rows" in str(said.message)
        counts = federation.sealed(federation.plan(id="q"))
        assert federation.verdict(silo.gateway.propose(plan=counts)).answer is Answer.APPROVED


@pytest.mark.parametrize("asks", ["features", "training", "evaluation"])
def test_whatever_learns_from_whole_rows_is_refused_where_none_reaches_the_gateway(
    federation: Federation, asks: str
) -> None:
    plan = federation.plan()
    images = FeatureSettings(frequencies=4, images=True)
    about = plan.model_copy(update={asks: images if asks == "features" else object()})
    for pushed in (False, True):
        if pushed:
            federation.push_down()
        section = federation.policy.datasets[0]
        dataset = open_dataset(
            federation.policy, section, secret=bytes(32), tell_operator=federation.told.append
        )
        assert isinstance(dataset, Dataset)
        with pytest.raises(Refused, match="whole rows") if pushed else nullcontext():
            require_rows(dataset, about)
        require_rows(dataset, plan)
