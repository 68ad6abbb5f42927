"""Nobody slips a silo, a key or an older roster past a silo's persons.

The coordinator is malicious: it signs what it likes, withholds, repeats, shows different changes to
different silos, and makes keys of its own. Each test is an attack on a real gateway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.desk import Command, Question, plan_words
from silosynth.client.desk import rosters as rosters_module
from silosynth.client.ledger import Ledger
from silosynth.client.policy import PolicyFile, SignedDecision, sign_decision, time_text
from silosynth.client.roster import says_roster
from silosynth.client.roster.book import BY_PERSON
from silosynth.client.silo import Silo
from silosynth.common.audit import Authority, verify_audit
from silosynth.common.audit import Verdict as Decided
from silosynth.common.digest import canonical_json
from silosynth.common.errors import InvalidArgument, InvalidPlan, InvalidPolicy, RequestConflict
from silosynth.common.messages import (
    Answer,
    Refusal,
    Release,
    SumStep,
    Verdict,
    decode_statement,
    encode_receipt,
    encode_sum_statement,
)
from silosynth.common.plan import Plan, parse_plan
from silosynth.common.roster import Roster, RosterChange, make_request, seal_change
from silosynth.common.trust import Purpose, SigningKey, plain_text
from silosynth.common.trust.seal import seal
from silosynth.server.planning import new_plan
from tests.support.gateways.joining import (
    altered,
    asks,
    decides,
    desk_of,
    gains,
    goes_by,
    loses,
    pending,
    plan_with,
    proposes,
    roster_of,
    says,
)
from tests.support.gateways.signed import Federation, people

EAST, WEST, MADE_UP, APPROVER = (SigningKey.generate() for _ in range(4))


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


@pytest.fixture
def silo(federation: Federation) -> Iterator[Silo]:
    """Open the silo once, so that all happens without a restart."""
    with federation.open() as opened:
        yield opened


def _answers(federation: Federation, silo: Silo, plan: Plan) -> str:
    """Return what a silo says to a plan: that it was answered, or the code of the refusal."""
    sealed = federation.sealed(plan)
    verdict = federation.verdict(silo.gateway.propose(plan=sealed))
    if verdict.answer is not Answer.APPROVED:
        return verdict.code or verdict.answer.value
    answer = federation.read(silo.gateway.answer(plan=sealed, request=federation.request(plan)))
    return "released" if isinstance(answer, Release) else answer.code


def _approved(federation: Federation, silo: Silo, change: RosterChange) -> Roster:
    """Let a person approve a change; return the roster of then."""
    assert proposes(federation, silo, change).answer is Answer.PENDING
    decides(federation, silo, change.digest)
    assert goes_by(federation, silo)["digest"] == change.after.digest
    return change.after


# What is meant to work


def test_a_silo_comes_in_with_a_persons_approval_and_without_a_restart(
    federation: Federation, silo: Silo
) -> None:
    now = roster_of(federation)
    change = gains(now, asks("east", EAST))
    before = plan_with(federation, now.silos, name="a")
    after = plan_with(federation, change.after.silos, name="b")
    assert _answers(federation, silo, before) == "released"
    assert _answers(federation, silo, after) == "plan-refused"
    assert proposes(federation, silo, change).answer is Answer.PENDING
    assert _answers(federation, silo, after) == "plan-refused", "what waits counts for nothing"
    decides(federation, silo, "roster-default-1")
    said = proposes(federation, silo, change)
    assert (said.answer, said.code) == (Answer.APPROVED, BY_PERSON)
    assert _answers(federation, silo, after) == "released"
    assert pending(federation, silo) == []


def test_what_was_approved_is_gone_by_after_a_restart_and_stands_in_the_audit(
    federation: Federation,
) -> None:
    with federation.open() as silo:
        first = _approved(federation, silo, gains(roster_of(federation), asks("east", EAST)))
    with federation.open() as silo:
        assert goes_by(federation, silo)["version"] == 1
        _approved(federation, silo, loses(first, "south"))
    with federation.open() as silo:
        assert [s["silo"] for s in goes_by(federation, silo)["silos"]] == ["east", "north"]
        steps = silo.ledger.verify().rosters
        assert [(s.version, s.by) for s in steps] == [(1, "bin"), (2, "bin")]


def test_a_silo_that_left_is_answered_no_more_in_a_run_that_had_begun(
    federation: Federation, silo: Silo
) -> None:
    now = _approved(federation, silo, gains(roster_of(federation), asks("east", EAST)))
    plan = plan_with(federation, now.silos, name="three")
    assert _answers(federation, silo, plan) == "released"
    _approved(federation, silo, loses(now, "east"))
    assert _answers(federation, silo, plan) == "plan-refused"


# Who may change a roster


def test_a_coordinators_signature_lets_nobody_in(federation: Federation, silo: Silo) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    for _ in range(3):
        assert proposes(federation, silo, change).answer is Answer.PENDING
    assert goes_by(federation, silo)["version"] == 0
    assert len(pending(federation, silo)) == 1


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.ROSTER])
def test_what_was_signed_for_another_purpose_changes_no_roster(
    federation: Federation, silo: Silo, purpose: Purpose
) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    said = federation.verdict(
        silo.gateway.propose(plan=seal(change.body, purpose=purpose, key=federation.hub))
    )
    assert said.answer is Answer.REFUSED
    assert pending(federation, silo) == []


def test_a_strangers_change_does_not_even_wait(federation: Federation, silo: Silo) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    for stranger in (federation.rogue, federation.south, EAST):
        said = proposes(federation, silo, change, key=stranger)
        assert (said.answer, said.code) == (Answer.REFUSED, "untrusted")
    assert pending(federation, silo) == []


def test_a_refusal_stands_until_a_person_takes_it_back(federation: Federation, silo: Silo) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    proposes(federation, silo, change)
    decides(federation, silo, "roster-default-1", approve=False)
    assert proposes(federation, silo, change).code == "plan-refused"
    assert pending(federation, silo) == []
    decides(federation, silo, change.digest)
    assert goes_by(federation, silo)["version"] == 0, "no refusal is turned into an approval"
    _approved(federation, silo, change)


def test_what_is_gone_by_is_not_undone_at_the_desk(federation: Federation, silo: Silo) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    _approved(federation, silo, change)
    for approve in (True, False):
        with pytest.raises(InvalidArgument, match="gone by"):
            decides(federation, silo, change.digest, approve=approve)
    assert goes_by(federation, silo)["version"] == 1


# An honest silo's key


def test_no_plan_with_a_key_of_the_coordinators_own_comes_to_a_secure_sum(
    federation: Federation, silo: Silo
) -> None:
    """Masks for a key that the coordinator made would hide nothing."""
    roster = {"north": federation.north, "south": MADE_UP}
    plan = new_plan(
        people(),
        epsilon=0.2,
        delta=1e-6,
        silos=("north", "south"),
        rows_per_person=2,
        method="independent",
        trust="shared",
        plan_id="sum",
    )
    facts = plan.model_dump(mode="json")
    forged = parse_plan(facts | {"roster": {n: k.public for n, k in roster.items()}})
    now = roster_of(federation)
    change = gains(now, asks("south", MADE_UP, replaces=federation.south.public))
    proposes(federation, silo, change)
    step = SumStep(plan_digest=forged.digest, session=1)
    signed = encode_sum_statement(step, key=federation.hub)
    answer = silo.gateway.agree(plan=federation.sealed(forged), step=signed)
    refusal = federation.read(answer)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "plan-refused"
    assert list(Path(federation.policy.silo.directory).glob("sums/*")) == []


def test_another_key_for_a_silo_is_shown_with_what_its_old_key_says_of_it(
    federation: Federation, silo: Silo
) -> None:
    now, south = roster_of(federation), federation.south
    for previous in (None, south):
        request = asks("south", MADE_UP, replaces=south.public, previous=previous)
        proposes(federation, silo, gains(now, request))
    lost, signed = pending(federation, silo)
    assert [c["replaced"][0]["by_former_key"] for c in (lost, signed)] == [False, True]
    assert lost["added"] == signed["added"] == []


@pytest.mark.parametrize("forger", [MADE_UP, EAST], ids=["its own key", "another key"])
def test_the_old_keys_signature_cannot_be_made_up(
    federation: Federation, silo: Silo, forger: SigningKey
) -> None:
    request = asks("south", MADE_UP, replaces=federation.south.public)
    honest = gains(roster_of(federation), request)
    forged = asks("south", MADE_UP, replaces=federation.south.public, previous=forger)
    change = altered(honest, requests={"south": forged.model_dump(mode="json")})
    assert proposes(federation, silo, change).code == "untrusted"


def test_nobodys_key_is_entered_without_its_holder(federation: Federation, silo: Silo) -> None:
    """A key that is not the coordinator's, under a name of the coordinator's, would sum twice."""
    now = roster_of(federation)
    honest = gains(now, asks("east", EAST))
    facts = asks("east", EAST).model_dump(mode="json")
    other_place = asks("west", EAST).model_dump(mode="json")
    other_project = asks("east", EAST, project="trial").model_dump(mode="json")
    forged = make_request(asks("east", EAST).asked, key=MADE_UP).model_dump(mode="json")
    borrowed = facts | {"signature": asks("east", MADE_UP).model_dump(mode="json")["signature"]}
    cases: list[tuple[dict[str, object], str]] = [
        ({"requests": {}}, "invalid-plan"),
        ({"requests": {"east": forged}}, "untrusted"),
        ({"requests": {"east": borrowed}}, "untrusted"),
        ({"requests": {"east": other_place}}, "invalid-plan"),
        ({"requests": {"east": other_project}}, "invalid-plan"),
        ({"requests": {"east": asks("east", WEST).model_dump(mode="json")}}, "invalid-plan"),
    ]
    for fields, code in cases:
        assert proposes(federation, silo, altered(honest, **fields)).code == code, fields
    assert pending(federation, silo) == []


def test_this_silos_own_place_is_not_the_coordinators_to_change(
    federation: Federation, silo: Silo
) -> None:
    now = roster_of(federation)
    mine = asks("north", MADE_UP, replaces=federation.north.public)
    both = altered(
        gains(now, mine), silos={"north": MADE_UP.public, "south": federation.south.public}
    )
    for change in (gains(now, mine), loses(now, "north"), both):
        assert proposes(federation, silo, change).code == "plan-refused"
    assert pending(federation, silo) == []


def test_a_key_of_another_role_or_place_is_no_silos(federation: Federation, silo: Silo) -> None:
    now = roster_of(federation)
    assert proposes(federation, silo, gains(now, asks("east", federation.hub))).code == (
        "invalid-plan"
    )
    with pytest.raises(InvalidPlan, match="same key"):
        gains(now, asks("east", federation.south))
    moved = asks("east", federation.south)
    swapped = altered(
        gains(now, asks("east", EAST)),
        silos={"north": federation.north.public, "east": federation.south.public},
        requests={"east": moved.model_dump(mode="json")},
    )
    assert proposes(federation, silo, swapped).code == "invalid-plan"


# Older rosters, and two of one version


def test_an_older_roster_does_not_come_back(federation: Federation, silo: Silo) -> None:
    """South's key was stolen and replaced; who stole it would like the roster of before."""
    start, south = roster_of(federation), federation.south
    first = gains(start, asks("east", EAST))
    second = gains(first.after, asks("south", WEST, replaces=south.public, previous=south))
    _approved(federation, silo, first)
    _approved(federation, silo, second)
    assert proposes(federation, silo, first).answer is Answer.APPROVED, "it was; that is all"
    assert goes_by(federation, silo)["version"] == 2
    stolen = plan_with(federation, first.after.silos, name="stolen")
    assert _answers(federation, silo, stolen) == "plan-refused"
    back = gains(second.after, asks("south", south, replaces=WEST.public, previous=None))
    assert proposes(federation, silo, back).answer is Answer.PENDING, "a person would see it"
    for change in (
        gains(start, asks("west", WEST)),
        altered(back, roster=1, previous=start.digest),
        altered(back, roster=2, previous=first.after.digest),
        altered(back, roster=9),
        altered(back, previous=first.after.digest),
    ):
        assert proposes(federation, silo, change).code == "invalid-plan"


def test_of_two_changes_of_one_version_one_alone_is_ever_gone_by(
    federation: Federation, silo: Silo
) -> None:
    now = roster_of(federation)
    one, other = gains(now, asks("east", EAST)), gains(now, asks("west", WEST))
    for change in (one, other):
        assert proposes(federation, silo, change).answer is Answer.PENDING
    with pytest.raises(InvalidArgument, match="2 plans"):
        decides(federation, silo, "roster-default-1")
    decides(federation, silo, one.digest)
    assert [c.get("unusable") is None for c in pending(federation, silo)] == [False]
    with pytest.raises(InvalidArgument, match="cannot be approved"):
        decides(federation, silo, other.digest)
    assert proposes(federation, silo, other).code == "invalid-plan"
    assert goes_by(federation, silo)["digest"] == one.after.digest


def test_silos_that_were_shown_different_rosters_never_meet_in_a_plan(tmp_path: Path) -> None:
    """A coordinator shows one silo its own key as east's, and the other the true one."""
    ends = []
    for name, key in (("a", EAST), ("b", MADE_UP)):
        (tmp_path / name).mkdir()
        shown = Federation(directory=tmp_path / name)
        with shown.open() as silo:
            now = _approved(shown, silo, gains(roster_of(shown), asks("east", key)))
            honest = plan_with(shown, {**now.silos, "east": EAST.public}, name="x")
            ends.append(_answers(shown, silo, honest))
            other = EAST if key is MADE_UP else MADE_UP
            apart = gains(roster_of(shown), asks("east", other)).after
            follows = gains(apart, asks("west", WEST))
            assert proposes(shown, silo, follows).code == "invalid-plan"
    assert ends == ["released", "plan-refused"]


def test_the_ledger_takes_no_version_twice_even_where_two_decide_at_once(
    federation: Federation, silo: Silo
) -> None:
    now = roster_of(federation)
    one, other = gains(now, asks("east", EAST)), gains(now, asks("west", WEST))
    proposes(federation, silo, one)
    proposes(federation, silo, other)
    book = silo.gateway._door.book
    assert book is not None
    waiting = {w.plan_digest: w.plan for w in silo.ledger.pending()}
    step = book.approve(waiting[one.digest], by="a", authority=Authority.PERSON, why="x")
    late = replace(step, change=other.digest, roster=other.after.digest)
    with pytest.raises(RequestConflict, match="version 1 here already"):
        silo.ledger.change_roster(late, why="x")
    assert [d.verdict for d in silo.ledger.decisions()] == ["approved"], "all of it or nothing"


@pytest.mark.parametrize("place", ["version", "requests", "asked"])
def test_a_change_of_another_version_is_not_read(
    federation: Federation, silo: Silo, place: str
) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    facts = change.model_dump(mode="json")
    request = facts["requests"]["east"]
    {"version": facts, "requests": request, "asked": request["asked"]}[place]["version"] = 2
    data = seal(canonical_json(facts), purpose=Purpose.ROSTER, key=federation.hub)
    said = federation.verdict(silo.gateway.propose(plan=data))
    assert (said.answer, said.code) == (Answer.REFUSED, "invalid-plan")


# The rule that an operator may write


def test_persons_of_other_silos_vouch_where_the_policy_says_so(federation: Federation) -> None:
    federation.change(approval={"roster_vouchers": 1})
    with federation.open() as silo:
        change = gains(roster_of(federation), asks("east", EAST))
        word = says(federation.south, "south", change, code=BY_PERSON)
        assert proposes(federation, silo, change).answer is Answer.PENDING
        said = proposes(federation, silo, change, vouchers=(word,))
        assert said.answer is Answer.APPROVED
        assert said.code is None, "who went by a rule vouches for nothing"
        assert silo.ledger.rosters[0].authority == "policy"


def test_without_that_rule_no_voucher_counts(federation: Federation, silo: Silo) -> None:
    change = gains(roster_of(federation), asks("east", EAST))
    word = says(federation.south, "south", change, code=BY_PERSON)
    assert proposes(federation, silo, change, vouchers=(word,)).answer is Answer.PENDING


def test_vouchers_are_of_different_silos_that_stay_and_of_this_very_change(
    federation: Federation,
) -> None:
    federation.change(approval={"roster_vouchers": 2})
    with federation.open() as silo:
        now = _grown(federation, silo)
        change = make_leaving(now)
        south, west, hub = federation.south, WEST, federation.hub
        good = says(south, "south", change, code=BY_PERSON)
        another = gains(now, asks("new", MADE_UP))
        useless = (
            good,
            says(south, "west", change, code=BY_PERSON),
            says(hub, "west", change, code=BY_PERSON),
            says(MADE_UP, "new", change, code=BY_PERSON),
            says(EAST, "east", change, code=BY_PERSON),
            says(federation.north, "north", change, code=BY_PERSON),
            says(west, "west", another, code=BY_PERSON),
            says(west, "west", change, code=None),
            says(west, "west", change, code=BY_PERSON, answer="pending"),
            b"rubbish",
        )
        said = proposes(federation, silo, change, vouchers=useless)
        assert said.answer is Answer.PENDING
        enough = (good, says(west, "west", change, code=BY_PERSON))
        assert proposes(federation, silo, change, vouchers=enough).answer is Answer.APPROVED


def test_vouchers_alone_never_replace_a_key_that_has_not_signed(federation: Federation) -> None:
    """South colludes with the coordinator, and vouches that west, which is honest, lost its key."""
    federation.change(approval={"roster_vouchers": 1})
    with federation.open() as silo:
        now = _grown(federation, silo)
        evil = asks("west", MADE_UP, replaces=WEST.public)
        stolen = gains(now, evil)
        both = gains(now, evil, asks("new", SigningKey.generate()))
        for change in (stolen, both):
            word = says(federation.south, "south", change, code=BY_PERSON)
            assert proposes(federation, silo, change, vouchers=(word,)).answer is Answer.PENDING
        assert {p["digest"] for p in pending(federation, silo)} == {stolen.digest, both.digest}
        assert goes_by(federation, silo)["version"] == 1
        honest = gains(now, asks("west", MADE_UP, replaces=WEST.public, previous=WEST))
        word = says(federation.south, "south", honest, code=BY_PERSON)
        assert proposes(federation, silo, honest, vouchers=(word,)).answer is Answer.APPROVED


def test_nor_do_they_by_two_changes_of_which_one_takes_the_silo_out(
    federation: Federation,
) -> None:
    federation.change(approval={"roster_vouchers": 1})
    with federation.open() as silo:
        now = _grown(federation, silo)
        out = loses(now, "west")
        word = says(federation.south, "south", out, code=BY_PERSON)
        assert proposes(federation, silo, out, vouchers=(word,)).answer is Answer.APPROVED
        for key, answer in ((MADE_UP, Answer.PENDING), (WEST, Answer.APPROVED)):
            back = gains(out.after, asks("west", key))
            word = says(federation.south, "south", back, code=BY_PERSON)
            assert proposes(federation, silo, back, vouchers=(word,)).answer is answer
        assert back.after.silos["west"] == WEST.public


def test_words_to_compare_are_worked_out_for_what_is_shown_alone(
    federation: Federation, silo: Silo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes 50 ms, and a coordinator has 64 changes of 100 keys wait."""
    worked: list[str] = []

    def words(name: str, key: str) -> str:
        worked.append(name)
        return f"{name}-words"

    monkeypatch.setattr(rosters_module, "key_words", words)
    now = roster_of(federation)
    for number in range(3):
        many = [asks(f"s{number}-{n}", SigningKey.generate()) for n in range(10)]
        proposes(federation, silo, gains(now, *many))
    last = gains(now, asks("east", EAST))
    proposes(federation, silo, last)
    desk = desk_of(federation, silo)
    facts = desk.pending()
    assert worked == []
    shown = pending(federation, silo)
    assert len(worked) == 20, "then the asker's own process works them out"
    assert len([s for s in plan_words(facts[0]) if "-words" in s]) == 20
    worked.clear()
    assert [len([s for s in plan_words(c) if "-words" in s]) for c in shown] == [20, 20, 20, 2]
    assert sorted(set(worked)) == sorted({*(e["silo"] for e in shown[2]["added"]), "east"})
    worked.clear()
    decides(federation, silo, last.digest)
    desk.ask(Question(command=Command.PLAN, plan=facts[0]["digest"]), user=2)
    assert worked == []


def _grown(federation: Federation, silo: Silo) -> Roster:
    """Return a roster of four that a person approved."""
    change = gains(roster_of(federation), asks("east", EAST), asks("west", WEST))
    return _approved(federation, silo, change)


def make_leaving(now: Roster) -> RosterChange:
    """Return a change by which east leaves and a silo comes in."""
    request = asks("new", MADE_UP)
    silos = {s: k for s, k in now.silos.items() if s != "east"}
    return RosterChange(
        project="default",
        roster=now.version + 1,
        previous=now.digest,
        silos={**silos, "new": MADE_UP.public},
        requests={"new": request},
    )


def test_a_policy_with_approvers_asks_them_about_rosters_too(federation: Federation) -> None:
    federation.name_approvers(APPROVER, needed=1)
    with federation.open() as silo:
        change = gains(roster_of(federation), asks("east", EAST))
        assert proposes(federation, silo, change).answer is Answer.PENDING
        with pytest.raises(InvalidArgument, match="signed decisions"):
            decides(federation, silo, change.digest)
        _takes_in(federation, silo, change)
        assert goes_by(federation, silo)["digest"] == change.after.digest
        assert silo.ledger.rosters[0].authority == "approvers"


# The policy's own file


def test_a_roster_edited_under_a_change_is_noticed_and_a_new_beginning_is_said(
    federation: Federation,
) -> None:
    with federation.open() as silo:
        _approved(federation, silo, gains(roster_of(federation), asks("east", EAST)))
    project = federation.policy.model_dump(mode="json", by_alias=True)["projects"][0]
    _edit(federation, project | {"roster": project["roster"] | {"west": WEST.public}})
    with pytest.raises(InvalidPolicy, match="follows from") as caught, federation.open():
        pass
    assert "roster_version = 2" in (caught.value.hint or "")
    edited = project["roster"] | {"west": WEST.public}
    _edit(federation, project | {"roster": edited, "roster_version": 2})
    with federation.open() as silo:
        assert goes_by(federation, silo)["version"] == 2
        assert "east" not in {s["silo"] for s in goes_by(federation, silo)["silos"]}


def test_a_silo_with_a_new_key_is_bound_by_receipts_of_the_old_one(
    federation: Federation,
) -> None:
    """An old copy of the ledger is noticed by what the key of before signed."""
    plan = federation.plan()
    with federation.open() as silo:
        release = federation.release(silo, plan)
    _rekey(federation, MADE_UP)
    ledger = Path(federation.policy.silo.directory) / "ledger.sqlite"
    ledger.unlink()
    Ledger.create(ledger)
    with federation.open() as silo:
        rekeyed = gains(
            roster_of(federation),
            asks("north", MADE_UP, replaces=federation.north.public, previous=federation.north),
        )
        sealed = seal_change(rekeyed, key=federation.hub)
        said = decode_statement(
            silo.gateway.propose(plan=sealed), Verdict, trusted={MADE_UP.public}
        )
        assert said.answer is Answer.PENDING
        decides(federation, silo, rekeyed.digest)
        moved = plan_with(federation, rekeyed.silos, name="moved")
        data = silo.gateway.propose(
            plan=federation.sealed(moved), receipts=[encode_receipt(release)]
        )
        said = decode_statement(data, Verdict, trusted={MADE_UP.public})
        assert said.code == "ledger-unavailable"


def _rekey(federation: Federation, key: SigningKey) -> None:
    """Give a silo another key; the file says which one it had."""
    path = Path(federation.policy.silo.key).with_name("next.pem")
    key.save(path)
    federation.change(silo={"key": str(path), "previous_keys": [federation.north.public]})


def _edit(federation: Federation, project: Mapping[str, Any]) -> None:
    """Write another project section by hand."""
    data = federation.policy.model_dump(mode="json", by_alias=True)
    federation.policy = PolicyFile.model_validate(data | {"projects": [project]})


def _takes_in(federation: Federation, silo: Silo, change: RosterChange) -> None:
    """Let an approver sign, and the operator take it in."""
    decision = SignedDecision(
        silo="north",
        plan_digest=change.digest,
        signer=federation.hub.public,
        verdict=Decided.APPROVED,
        why="compared",
        signed_at=time_text(datetime.now(UTC)),
    )
    signed = plain_text(sign_decision(decision, key=APPROVER))
    desk_of(federation, silo).ask(Question(command=Command.TAKE_IN, signed=signed), user=2)


def test_an_audit_tells_a_change_that_nobody_signed_so(federation: Federation, silo: Silo) -> None:
    _approved(federation, silo, gains(roster_of(federation), asks("east", EAST)))
    (step,) = verify_audit(silo.ledger.audit()).account.rosters
    assert says_roster(step)
    other = gains(roster_of(federation), asks("west", WEST))
    false = (
        replace(step, version=2),
        replace(step, roster=other.after.digest),
        replace(step, change=other.digest),
        replace(step, signer=federation.south.public),
        replace(step, project="trial"),
        replace(step, statement=plain_text(seal_change(other, key=federation.hub))),
        replace(step, statement="rubbish"),
    )
    assert [says_roster(s) for s in false] == [False] * len(false)
