"""What one coordinator was granted is worth nothing to another, whoever of the two it is."""

from __future__ import annotations

from pathlib import Path
from sqlite3 import Connection
from typing import Any

import pytest

from silosynth.client.ledger import Ledger
from silosynth.client.ledger.rows import append
from silosynth.client.silo import Silo, ledger_path
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.audit.entries import canonical
from silosynth.common.errors import RequestConflict
from silosynth.common.messages import (
    Answer,
    Refusal,
    Release,
    SumStep,
    decode_release,
    encode_sum_statement,
    is_answer,
)
from silosynth.common.plan import Plan
from silosynth.common.trust import SigningKey
from tests.support.gateways.signed import Federation, make_sampler

PAIRS = (("hub", "rival"), ("rival", "hub"))
BY = ("policy", "person")


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    federation = Federation(directory=tmp_path)
    federation.trust("rival", federation.rogue)
    return federation


def _key(federation: Federation, name: str) -> SigningKey:
    return federation.hub if name == "hub" else federation.rogue


def _grant(federation: Federation, silo: Silo, plan: Plan, *, key: SigningKey, by: str) -> None:
    """Get a plan of one coordinator approved, by the policy or by a person."""
    verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan, key=key)))
    if by == "person":
        assert verdict.answer is Answer.PENDING
        federation.decide(silo, plan, Verdict.APPROVED, key=key)
    else:
        assert verdict.answer is Answer.APPROVED


def _spent(silo: Silo, name: str) -> int:
    return silo.ledger.spent(Scope(kind=ScopeKind.CONSUMER, name=name))


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize(("owner", "other"), PAIRS)
@pytest.mark.parametrize("asked", [False, True], ids=["before the release", "after it"])
@pytest.mark.parametrize("restart", [False, True], ids=["at once", "after a restart"])
def test_a_plan_is_answered_to_its_own_coordinator_alone(
    federation: Federation, owner: str, other: str, by: str, asked: bool, restart: bool
) -> None:
    if by == "person":
        federation.approve_none()
    plan, mine, yours = federation.plan(), _key(federation, owner), _key(federation, other)
    with federation.open() as silo:
        _grant(federation, silo, plan, key=mine, by=by)
        if asked:
            assert isinstance(federation.ask(silo, plan, key=mine), Release)
        if not restart:
            _check_refused(federation, silo, plan, owner=owner, other=other)
    if restart:
        with federation.open() as silo:
            _check_refused(federation, silo, plan, owner=owner, other=other)
    with federation.open() as silo:
        assert isinstance(federation.ask(silo, plan, key=mine), Release)
        assert _spent(silo, owner) > 0
        assert len(silo.ledger.charges()) == 1
    assert yours.public != mine.public


def _check_refused(
    federation: Federation, silo: Silo, plan: Plan, *, owner: str, other: str
) -> None:
    """See the other coordinator get nothing by asking, proposing, asking again and replaying."""
    mine, yours = _key(federation, owner), _key(federation, other)
    spent = _spent(silo, owner)
    for _ in range(2):
        refusal = federation.ask(silo, plan, key=yours)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "request-conflict"
        verdict = silo.gateway.propose(plan=federation.sealed(plan, key=yours))
        assert federation.verdict(verdict).answer is Answer.REFUSED
    for plan_key, request_key in ((yours, mine), (mine, yours)):
        mixed = silo.gateway.answer(
            plan=federation.sealed(plan, key=plan_key),
            request=federation.request(plan, key=request_key),
        )
        assert isinstance(federation.read(mixed), Refusal)
    assert (_spent(silo, owner), _spent(silo, other)) == (spent, 0)
    assert silo.ledger.pending() == ()


@pytest.mark.parametrize("by", BY)
def test_a_small_budget_buys_no_stored_release(tmp_path: Path, by: str) -> None:
    federation = Federation(directory=tmp_path)
    federation.trust("rival", federation.rogue, epsilon=0.01)
    if by == "person":
        federation.approve_none()
    plan = federation.plan()
    with federation.open() as silo:
        _grant(federation, silo, plan, key=federation.hub, by=by)
        assert isinstance(federation.ask(silo, plan, key=federation.hub), Release)
        silo.gateway.propose(plan=federation.sealed(plan, key=federation.rogue))
        assert isinstance(federation.ask(silo, plan, key=federation.rogue), Refusal)


@pytest.mark.parametrize(("owner", "other"), PAIRS)
def test_two_who_wait_for_a_person_are_told_apart(
    federation: Federation, owner: str, other: str
) -> None:
    federation.approve_none()
    plan = federation.plan()
    keys = [_key(federation, name) for name in (other, owner)]
    with federation.open() as silo:
        for key in keys:
            sealed = federation.sealed(plan, key=key)
            assert federation.verdict(silo.gateway.propose(plan=sealed)).answer is Answer.PENDING
        assert [w.signer for w in silo.ledger.pending()] == [k.public for k in keys]
        federation.decide(silo, plan, Verdict.APPROVED, key=keys[1])
        assert isinstance(federation.ask(silo, plan, key=keys[0]), Refusal)
        assert isinstance(federation.ask(silo, plan, key=keys[1]), Release)
        with pytest.raises(RequestConflict, match="another coordinator"):
            federation.decide(silo, plan, Verdict.APPROVED, key=keys[0])
        federation.decide(silo, plan, Verdict.REFUSED, key=keys[0])
        assert isinstance(federation.ask(silo, plan, key=keys[1]), Release)


@pytest.mark.parametrize(("refused", "other"), PAIRS)
def test_a_refusal_stops_one_coordinator_and_not_the_other(
    federation: Federation, refused: str, other: str
) -> None:
    plan, mine, yours = federation.plan(), _key(federation, refused), _key(federation, other)
    with federation.open() as silo:
        federation.decide(silo, plan, Verdict.REFUSED, key=mine)
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan, key=mine)))
        assert verdict.code == "plan-refused"
        _grant(federation, silo, plan, key=yours, by="policy")
        assert isinstance(federation.ask(silo, plan, key=yours), Release)
        assert isinstance(federation.ask(silo, plan, key=mine), Refusal)


def test_a_plan_stays_its_coordinators_after_it_was_refused(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        _grant(federation, silo, plan, key=federation.hub, by="policy")
        assert isinstance(federation.ask(silo, plan, key=federation.hub), Release)
        federation.decide(silo, plan, Verdict.REFUSED, key=federation.hub)
        sealed = federation.sealed(plan, key=federation.rogue)
        assert federation.verdict(silo.gateway.propose(plan=sealed)).answer is Answer.REFUSED
        assert isinstance(federation.ask(silo, plan, key=federation.rogue), Refusal)


@pytest.mark.parametrize(("owner", "other"), PAIRS)
def test_a_result_comes_from_the_plans_own_coordinator(
    federation: Federation, owner: str, other: str
) -> None:
    plan, mine, yours = federation.plan(), _key(federation, owner), _key(federation, other)
    with federation.open() as silo:
        _grant(federation, silo, plan, key=mine, by="policy")
        release = federation.ask(silo, plan, key=mine)
        assert isinstance(release, Release)
        result, sampler = federation.result(plan, release), make_sampler(plan)
        silo.gateway.propose(plan=federation.sealed(plan, key=yours))
        theirs = silo.gateway.deliver(federation.bundle(result, sampler, key=yours))
        assert not federation.acknowledged(theirs).accepted
        assert silo.records.result(plan.digest) is None
        ours = silo.gateway.deliver(federation.bundle(result, sampler, key=mine))
        assert federation.acknowledged(ours).accepted


@pytest.mark.parametrize(("owner", "other"), PAIRS)
def test_a_sum_is_agreed_with_the_plans_own_coordinator(
    federation: Federation, owner: str, other: str
) -> None:
    noisy = [p.model_dump(mode="json") | {"sigma2": "400"} for p in federation.plan().phases]
    plan = federation.plan(trust="shared", phases=noisy)
    step = SumStep(plan_digest=plan.digest, session=1)
    with federation.open() as silo:
        _grant(federation, silo, plan, key=_key(federation, owner), by="policy")
        for name, signs in ((other, other), (other, owner), (owner, other)):
            data = silo.gateway.agree(
                plan=federation.sealed(plan, key=_key(federation, name)),
                step=encode_sum_statement(step, key=_key(federation, signs)),
            )
            assert isinstance(decode_release(data, trusted=[federation.north.public]), Refusal)
        mine = _key(federation, owner)
        step_of_mine = encode_sum_statement(step, key=mine)
        keys = silo.gateway.agree(plan=federation.sealed(plan, key=mine), step=step_of_mine)
        assert not is_answer(keys)


# What files of version 3 say: a plan was decided about, and not whose it was.


def _decided_before(silo: Silo, plan: Plan, verdict: Verdict, *, by: str = "anna") -> None:
    """Record a decision as version 3 of the ledger's file did."""
    entry = {"kind": "decision", "plan": plan.digest, "verdict": verdict.value}
    body = canonical(entry | {"why": "agreed", "by": by, "at": "2026-01-02T12:00:00+00:00"})

    def write(connection: Connection) -> None:
        place, _ = append(connection, body)
        connection.execute("INSERT INTO decisions VALUES (?, NULL, ?, NULL)", (plan.digest, place))

    silo.ledger._batch.write(write)


@pytest.mark.parametrize("name", ["hub", "rival"])
def test_an_approval_that_names_nobody_is_asked_again(federation: Federation, name: str) -> None:
    federation.approve_none()
    plan, key = federation.plan(), _key(federation, name)
    with federation.open() as silo:
        _decided_before(silo, plan, Verdict.APPROVED)
        refusal = federation.ask(silo, plan, key=key)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "approval-pending"
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan, key=key)))
        assert verdict.answer is Answer.PENDING
        federation.decide(silo, plan, Verdict.APPROVED, key=key)
        assert isinstance(federation.ask(silo, plan, key=key), Release)


def test_a_refusal_that_names_nobody_holds_for_all(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        _decided_before(silo, plan, Verdict.REFUSED)
        for key in (federation.hub, federation.rogue):
            sealed = federation.sealed(plan, key=key)
            assert federation.verdict(silo.gateway.propose(plan=sealed)).code == "plan-refused"


@pytest.mark.parametrize("kept", [True, False], ids=["with the kept plan", "without it"])
def test_a_run_that_began_before_goes_on_for_who_paid_and_for_nobody_else(
    federation: Federation, kept: bool
) -> None:
    plan, hub = federation.plan(method="mst"), federation.hub
    with federation.open() as silo:
        _grant(federation, silo, plan, key=hub, by="policy")
        assert isinstance(federation.ask(silo, plan, key=hub), Release)
    _forget_signers(federation, plan, kept=kept)
    federation.approve_none()
    with federation.open() as silo:
        for _ in range(2):
            assert isinstance(federation.ask(silo, plan, key=federation.rogue), Refusal)
            silo.gateway.propose(plan=federation.sealed(plan, key=federation.rogue))
        assert isinstance(federation.ask(silo, plan, key=hub), Release)
        assert _spent(silo, "rival") == 0
    federation.approve_all()
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan, key=federation.rogue))
        assert isinstance(federation.ask(silo, plan, key=federation.rogue), Refusal)
        assert isinstance(federation.ask(silo, plan, key=hub), Release)


def _forget_signers(federation: Federation, plan: Plan, *, kept: bool) -> None:
    """Put a ledger in place that holds the same charge, and a decision of version 3."""
    path = ledger_path(federation.policy)
    caps = federation.policy.scope_caps()
    with Ledger.open(path, caps=caps) as old:
        (charge,) = old.charges()
        request = (charge.request_id, charge.request_hash)
        costs: dict[str, Any] = {"cost_units": charge.cost_units, "scopes": charge.scopes}
        stored = old.charge(*request, **costs)
    path.unlink()
    Ledger.create(path)
    assert stored is not None
    with Ledger.open(path, caps=caps) as new:
        new.charge(*request, **costs, facts=charge.facts)
        new.store(charge.request_id, stored)
    with federation.open() as silo:
        _decided_before(silo, plan, Verdict.APPROVED, by="policy")
    if not kept:
        for folder in ("plans", "plan-ids"):
            for entry in (Path(federation.policy.silo.directory) / folder).iterdir():
                for file in entry.iterdir():
                    file.unlink()
                entry.rmdir()


def test_the_copy_that_is_kept_says_whose_an_old_plan_is(federation: Federation) -> None:
    plan = federation.plan()
    with federation.open() as silo:
        silo.records.keep_plan(
            federation.sealed(plan), consumer="hub", plan_id=plan.id, digest=plan.digest
        )
        sealed = federation.sealed(plan, key=federation.rogue)
        assert federation.verdict(silo.gateway.propose(plan=sealed)).code == "request-conflict"
        assert isinstance(federation.ask(silo, plan, key=federation.rogue), Refusal)
        _grant(federation, silo, plan, key=federation.hub, by="policy")


def test_a_stored_release_goes_to_who_paid_whatever_the_gateway_asks(
    federation: Federation,
) -> None:
    """The ledger refuses by itself, should a gateway ever ask it for somebody else."""
    plan = federation.plan()
    with federation.open() as silo:
        federation.release(silo, plan)
        (charge,) = silo.ledger.charges()
        scopes = [s for s in charge.scopes if s.kind is not ScopeKind.CONSUMER]
        with pytest.raises(RequestConflict, match="another coordinator"):
            silo.ledger.charge(
                charge.request_id,
                charge.request_hash,
                cost_units=charge.cost_units,
                scopes=[*scopes, Scope(kind=ScopeKind.CONSUMER, name="rival")],
            )
