"""Approvals are asked of the policy until the first charge; rosters name who is pinned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.desk import Command, Desk, Question
from silosynth.client.policy import (
    PolicyFile,
    SignedDecision,
    approved_by,
    enough,
    read_word,
    sign_decision,
    time_text,
)
from silosynth.client.silo import Silo
from silosynth.common.audit import Authority, RecordedWord, Verdict, verify_audit
from silosynth.common.errors import InvalidArgument, RequestConflict, SilosynthError, Untrusted
from silosynth.common.messages import Answer, Refusal, Release
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.trust import SigningKey, plain_text
from tests.support.gateways.signed import Federation

ANNA, BEN, CARLA, STRANGER = (SigningKey.generate() for _ in range(4))
_AT: dict[str, Any] = {"at": "2026-01-02T12:00:00+00:00", "sequence": 9, "head": "0" * 64}
NOW = datetime.now(UTC) - timedelta(minutes=10)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def _propose(federation: Federation, silo: Silo, plan: Plan) -> Answer:
    return federation.verdict(silo.gateway.propose(plan=federation.sealed(plan))).answer


def _check_pending(federation: Federation, silo: Silo, plan: Plan) -> None:
    """See a plan that is not answered any more, and waits once it is proposed again."""
    refusal = federation.ask(silo, plan)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "approval-pending"
    assert silo.ledger.charges() == ()
    assert _propose(federation, silo, plan) is Answer.PENDING
    assert [w.plan_digest for w in silo.ledger.pending()] == [plan.digest]
    assert isinstance(federation.ask(silo, plan), Refusal)


STRICTER: Mapping[str, Mapping[str, Any]] = {
    "nothing is automatic": {"automatic": False},
    "a smaller epsilon": {"max_epsilon": 0.5},
    "a smaller delta": {"max_delta": 1e-9},
    "other methods": {"methods": ["mst"]},
    "other projects": {"projects": ["elsewhere"]},
    "other coordinators": {"coordinators": ["rival"]},
}


@pytest.fixture
def wide(federation: Federation) -> Federation:
    """Give a policy with a second project and a second coordinator."""
    federation.trust("rival", federation.rogue)
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["projects"].append(data["projects"][0] | {"name": "elsewhere"})
    federation.policy = PolicyFile.model_validate(data)
    return federation


@pytest.mark.parametrize("stricter", STRICTER)
def test_a_policys_approval_ends_with_the_policy(wide: Federation, stricter: str) -> None:
    plan = wide.plan()
    with wide.open() as silo:
        assert _propose(wide, silo, plan) is Answer.APPROVED
    wide.change(approval=STRICTER[stricter])
    with wide.open() as silo:
        _check_pending(wide, silo, plan)
        wide.decide(silo, plan, Verdict.APPROVED)
        assert isinstance(wide.ask(silo, plan), Release)


@pytest.mark.parametrize("stricter", STRICTER)
def test_a_run_that_has_begun_is_answered_to_its_end(wide: Federation, stricter: str) -> None:
    wide.change(approval={"max_epsilon": 3.0})
    plan = wide.plan(method="mst", epsilon=1.0)
    with wide.open() as silo:
        _propose(wide, silo, plan)
        assert isinstance(wide.ask(silo, plan), Release)
    wide.change(
        approval={
            **STRICTER[stricter],
            **({} if stricter != "other methods" else {"methods": ["aim"]}),
        }
    )
    with wide.open() as silo:
        assert _propose(wide, silo, plan) is Answer.APPROVED
        queries = ((("age", "sex"), "fine"),)
        again = wide.ask(silo, plan, phase=PhaseName.COARSE, queries=queries)
        assert isinstance(again, Release), again
        wide.decide(silo, plan, Verdict.REFUSED, why="stop")
        for phase, asked in ((PhaseName.COARSE, queries), (PhaseName.TREE, queries)):
            refusal = wide.ask(silo, plan, phase=phase, queries=asked)
            assert isinstance(refusal, Refusal)
            assert refusal.code == "plan-refused"


def test_a_persons_approval_outlives_the_policys_rules(federation: Federation) -> None:
    federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        _propose(federation, silo, plan)
        federation.decide(silo, plan, Verdict.APPROVED)
    federation.change(approval={"max_epsilon": 0.5})
    with federation.open() as silo:
        assert isinstance(federation.ask(silo, plan), Release)


def test_a_policy_cannot_be_mistaken_for_a_person_of_that_name(federation: Federation) -> None:
    federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        silo.ledger.decide(
            plan.digest, Verdict.APPROVED, signer=federation.hub.public, why="w", by="policy"
        )
        assert isinstance(federation.ask(silo, plan), Release)


# Rosters


def _with_west(federation: Federation, **changes: Any) -> Plan:
    """Return a plan of three silos, of which the policy has pinned two."""
    roster = {
        "north": federation.north.public,
        "south": federation.south.public,
        "west": federation.rogue.public,
    }
    return federation.plan(silos=["north", "south", "west"], roster=roster, **changes)


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_a_roster_with_a_silo_that_nobody_pinned_is_refused(wide: Federation, trust: str) -> None:
    changes: dict[str, Any] = {}
    if trust == "shared":
        noisy = [p.model_dump(mode="json") | {"sigma2": "400"} for p in wide.plan().phases]
        changes = {"trust": "shared", "phases": noisy}
    plan = _with_west(wide, **changes)
    with wide.open() as silo:
        verdict = wide.verdict(silo.gateway.propose(plan=wide.sealed(plan)))
        assert (verdict.answer, verdict.code) == (Answer.REFUSED, "plan-refused")
        assert "'west'" in str(verdict.message)
        wide.decide(silo, plan, Verdict.APPROVED)
        assert isinstance(wide.ask(silo, plan), Refusal), "no person can approve it either"
        assert silo.ledger.charges() == ()


def test_a_silo_that_another_project_pins_is_not_pinned_in_this_one(wide: Federation) -> None:
    data = wide.policy.model_dump(mode="json", by_alias=True)
    data["projects"][1]["roster"]["west"] = wide.rogue.public
    wide.policy = PolicyFile.model_validate(data)
    with wide.open() as silo:
        assert _propose(wide, silo, _with_west(wide)) is Answer.REFUSED
        assert _propose(wide, silo, _with_west(wide, project="elsewhere")) is Answer.APPROVED


def test_keys_that_changed_places_are_refused(wide: Federation) -> None:
    data = wide.policy.model_dump(mode="json", by_alias=True)
    data["projects"][0]["roster"]["west"] = wide.rogue.public
    wide.policy = PolicyFile.model_validate(data)
    right = {"north": wide.north.public, "south": wide.south.public, "west": wide.rogue.public}
    with wide.open() as silo:
        for one, other in (("south", "west"), ("north", "south")):
            changed = right | {one: right[other], other: right[one]}
            plan = wide.plan(silos=list(right), roster=changed)
            assert _propose(wide, silo, plan) is Answer.REFUSED
        assert _propose(wide, silo, wide.plan(silos=list(right), roster=right)) is Answer.APPROVED


# Approvers


def _signed(
    federation: Federation, plan: Plan, key: SigningKey, *, minutes: float = 0, **changes: Any
) -> bytes:
    values = {
        "silo": "north",
        "plan_digest": plan.digest,
        "signer": federation.hub.public,
        "verdict": Verdict.APPROVED,
        "why": "agreed",
        "signed_at": time_text(NOW + timedelta(minutes=minutes)),
    }
    return sign_decision(SignedDecision.model_validate(values | changes), key=key)


def _take_in(federation: Federation, silo: Silo, signed: bytes) -> Mapping[str, Any]:
    desk = Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)
    return desk.ask(Question(command=Command.TAKE_IN, signed=plain_text(signed)), user=0)


@pytest.fixture
def two_of_three(federation: Federation) -> Federation:
    federation.approve_none()
    federation.name_approvers(ANNA, BEN, CARLA, needed=2)
    return federation


def test_two_signed_decisions_approve_a_plan_and_stand_in_the_audit(
    two_of_three: Federation,
) -> None:
    plan = two_of_three.plan()
    words = [_signed(two_of_three, plan, key) for key in (ANNA, BEN)]
    with two_of_three.open() as silo:
        assert _propose(two_of_three, silo, plan) is Answer.PENDING
        first = _take_in(two_of_three, silo, words[0])
        assert (first["verdict"], first["approved_by"]) == (None, ["anna"])
        assert isinstance(two_of_three.ask(silo, plan), Refusal)
        assert _propose(two_of_three, silo, plan) is Answer.PENDING
        assert _take_in(two_of_three, silo, words[1])["verdict"] == "approved"
        assert isinstance(two_of_three.ask(silo, plan), Release)
        account = verify_audit(silo.ledger.audit()).account
    assert [w.word.statement for w in account.words] == [plain_text(w) for w in words]
    (decision,) = account.decisions
    assert (decision.by, decision.authority) == ("anna, ben", Authority.APPROVERS)


def test_one_approver_is_one_however_often_it_signs(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        for minutes in range(3):
            said = _take_in(two_of_three, silo, _signed(two_of_three, plan, ANNA, minutes=minutes))
            assert said["verdict"] is None
        assert isinstance(two_of_three.ask(silo, plan), Refusal)


def test_where_approvers_sign_nobody_at_the_desk_approves(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        desk = Desk(policy=two_of_three.policy, key=silo.key, ledger=silo.ledger)
        question = Question(command=Command.DECIDE, plan=plan.digest, approve=True)
        with pytest.raises(InvalidArgument, match="2 signed decisions"):
            desk.ask(question, user=0)
        two_of_three.decide(silo, plan, Verdict.APPROVED)
        assert isinstance(two_of_three.ask(silo, plan), Refusal), "nor by the ledger alone"


def _other_plan(f: Federation, plan: Plan) -> bytes:
    return _signed(f, f.plan(id="q"), ANNA)


def _other_coordinator(f: Federation, plan: Plan) -> bytes:
    return _signed(f, plan, ANNA, signer=f.rogue.public)


def _other_silo(f: Federation, plan: Plan) -> bytes:
    return _signed(f, plan, ANNA, silo="south")


def _stranger(f: Federation, plan: Plan) -> bytes:
    return _signed(f, plan, STRANGER)


def _coordinators_own(f: Federation, plan: Plan) -> bytes:
    return _signed(f, plan, f.hub)


def _tampered(f: Federation, plan: Plan) -> bytes:
    return _signed(f, plan, ANNA, why="disagreed").replace(b"disagreed", b"Disagreed")


def _for_another_purpose(f: Federation, plan: Plan) -> bytes:
    return f.sealed(plan, key=ANNA)


def _from_the_future(f: Federation, plan: Plan) -> bytes:
    return _signed(f, plan, ANNA, minutes=600)


@pytest.mark.parametrize(
    "make",
    [
        _other_plan,
        _other_coordinator,
        _other_silo,
        _stranger,
        _coordinators_own,
        _tampered,
        _for_another_purpose,
        _from_the_future,
    ],
)
def test_a_decision_that_is_not_an_approvers_on_this_plan_is_not_taken_in(
    two_of_three: Federation, make: Any
) -> None:
    plan = two_of_three.plan()
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        with pytest.raises((InvalidArgument, Untrusted)):
            _take_in(two_of_three, silo, make(two_of_three, plan))
        _take_in(two_of_three, silo, _signed(two_of_three, plan, BEN))
        assert isinstance(two_of_three.ask(silo, plan), Refusal)
        assert len(silo.ledger.verify().words) == 1


def test_a_decision_is_taken_in_once_and_never_after_a_newer_one(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    approved = _signed(two_of_three, plan, ANNA)
    refused = _signed(two_of_three, plan, ANNA, minutes=1, verdict=Verdict.REFUSED)
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        _take_in(two_of_three, silo, approved)
        with pytest.raises(RequestConflict, match="anew"):
            _take_in(two_of_three, silo, approved)
        _take_in(two_of_three, silo, refused)
    with two_of_three.open() as silo:
        for old in (approved, refused):
            with pytest.raises(RequestConflict, match="anew"):
                _take_in(two_of_three, silo, old)
        assert _propose(two_of_three, silo, plan) is Answer.REFUSED


def test_after_a_refusal_all_who_approved_sign_anew(two_of_three: Federation) -> None:
    plan = two_of_three.plan()

    def sign(key: SigningKey, minutes: float, verdict: Verdict = Verdict.APPROVED) -> bytes:
        return _signed(two_of_three, plan, key, minutes=minutes, verdict=verdict)

    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        _take_in(two_of_three, silo, sign(ANNA, 0))
        assert _take_in(two_of_three, silo, sign(CARLA, 0, Verdict.REFUSED))["verdict"] == "refused"
        assert _take_in(two_of_three, silo, sign(BEN, 1))["verdict"] is None
        assert isinstance(two_of_three.ask(silo, plan), Refusal)
        assert _take_in(two_of_three, silo, sign(ANNA, 2))["verdict"] == "approved"
        assert isinstance(two_of_three.ask(silo, plan), Release)


def test_signatures_for_one_coordinator_are_none_for_another(two_of_three: Federation) -> None:
    two_of_three.trust("rival", two_of_three.rogue)
    plan, rogue = two_of_three.plan(), two_of_three.rogue
    theirs = two_of_three.sealed(plan, key=rogue)
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        silo.gateway.propose(plan=theirs)
        for key, signer in ((ANNA, two_of_three.hub), (BEN, rogue)):
            signed = _signed(two_of_three, plan, key, signer=signer.public)
            assert _take_in(two_of_three, silo, signed)["verdict"] is None
        assert _propose(two_of_three, silo, plan) is Answer.PENDING
        verdict = two_of_three.verdict(silo.gateway.propose(plan=theirs))
        assert verdict.answer is Answer.PENDING


def test_a_refusing_word_is_no_approval(two_of_three: Federation) -> None:
    """Words of one chain, as the ledger gives them out, are counted one by one."""
    approvers = two_of_three.policy.approving()
    plan = two_of_three.plan()
    words = [
        RecordedWord(word=read_word(data, approvers=approvers, silo="north", now=NOW), **_AT)
        for data in (
            _signed(two_of_three, plan, ANNA),
            _signed(two_of_three, plan, BEN, verdict=Verdict.REFUSED),
        )
    ]
    assert approved_by(words, approvers) == ("anna",)
    assert not enough(words, approvers)


def test_signatures_are_counted_by_the_present_policy(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        for key in (ANNA, BEN):
            _take_in(two_of_three, silo, _signed(two_of_three, plan, key))
    two_of_three.name_approvers(ANNA, BEN, CARLA, needed=3)
    with two_of_three.open() as silo:
        _check_pending(two_of_three, silo, plan)
    two_of_three.name_approvers(ANNA, CARLA, needed=1)
    with two_of_three.open() as silo:
        assert isinstance(two_of_three.ask(silo, plan), Release)


def test_an_approver_who_left_the_policy_counts_no_more(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        for key in (ANNA, BEN):
            _take_in(two_of_three, silo, _signed(two_of_three, plan, key))
    two_of_three.name_approvers(CARLA, BEN, STRANGER, needed=2)
    with two_of_three.open() as silo:
        _check_pending(two_of_three, silo, plan)


def test_fewer_signatures_are_enough_once_the_policy_says_so(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        _take_in(two_of_three, silo, _signed(two_of_three, plan, ANNA))
    two_of_three.name_approvers(ANNA, BEN, needed=1)
    with two_of_three.open() as silo:
        assert isinstance(two_of_three.ask(silo, plan), Refusal), "propose it first"
        assert _propose(two_of_three, silo, plan) is Answer.APPROVED
        assert isinstance(two_of_three.ask(silo, plan), Release)


def test_an_approval_of_one_is_not_enough_once_approvers_are_named(federation: Federation) -> None:
    federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        _propose(federation, silo, plan)
        federation.decide(silo, plan, Verdict.APPROVED)
    federation.name_approvers(ANNA, BEN, needed=2)
    with federation.open() as silo:
        _check_pending(federation, silo, plan)


def test_what_is_automatic_needs_no_signature(federation: Federation) -> None:
    federation.name_approvers(ANNA, BEN, needed=2)
    with federation.open() as silo:
        assert isinstance(federation.release(silo, federation.plan()), Release)


def test_no_bytes_make_a_decision(two_of_three: Federation) -> None:
    plan = two_of_three.plan()
    good = _signed(two_of_three, plan, ANNA)
    with two_of_three.open() as silo:
        _propose(two_of_three, silo, plan)
        for bad in (b"", good[:-1], good + b" ", good.ljust(8193), b"\xff" * 100):
            with pytest.raises(SilosynthError):
                _take_in(two_of_three, silo, bad)
        assert silo.ledger.verify().words == ()
