"""A series is approved once; each epoch is answered once, in order, on its day, within its caps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.desk.facts import spent_facts
from silosynth.client.gateway.series import epoch_scope, series_scope
from silosynth.client.silo import Silo
from silosynth.common.accounting import RHO_UNIT, rounded_up
from silosynth.common.audit import Scope, ScopeKind, Verdict
from silosynth.common.errors import InvalidPlan, RequestConflict
from silosynth.common.messages import Answer, Refusal, Release, digest_sampler
from silosynth.common.plan import PhaseName, Plan, check_series, plan_units
from tests.support.gateways.series import at, epoch
from tests.support.gateways.signed import Federation, make_sampler

DATASET = Scope(kind=ScopeKind.DATASET, name="default")


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def approve(federation: Federation, silo: Silo, plan: Plan) -> None:
    """Propose an epoch, which waits, and have a person approve its template."""
    verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
    assert verdict.answer is Answer.PENDING
    (waiting,) = silo.ledger.pending()
    assert waiting.plan_digest == plan.decided
    federation.decide(silo, plan, Verdict.APPROVED)


def refused(federation: Federation, silo: Silo, plan: Plan) -> str:
    """Return the one line that a silo refuses an epoch with, which spends nothing."""
    before = silo.ledger.spent(DATASET)
    answer = federation.ask(silo, plan)
    assert isinstance(answer, Refusal), answer
    verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
    assert verdict.answer is Answer.REFUSED
    assert verdict.message == answer.message
    assert silo.ledger.spent(DATASET) == before
    assert "\n" not in answer.message
    return answer.message


def test_a_person_approves_once_and_what_epochs_cost_adds_up(federation: Federation) -> None:
    first, second = epoch(federation, 1), epoch(federation, 2)
    with federation.open() as silo:
        at(silo, "2030-01-01")
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
        at(silo, "2030-01-31")
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(second)))
        assert verdict.answer is Answer.APPROVED
        assert isinstance(federation.ask(silo, second), Release)
        units = plan_units(first)
        assert silo.ledger.spent(epoch_scope(first, 1)) == units
        assert silo.ledger.spent(series_scope(second)) == 2 * units
        assert silo.ledger.spent(DATASET) == 2 * units
        told = {(s["scope"], s["name"]): s for s in spent_facts(silo.ledger, federation.policy)}
        whole = told["series", first.decided]
        assert whole["spent_rho"] == 2 * units / RHO_UNIT
        assert whole["remaining_rho"] == units / RHO_UNIT
        assert whole["spent_epsilon"] >= first.privacy.epsilon
        assert told["epoch", f"{first.decided}/2"]["spent_rho"] == units / RHO_UNIT
        spent = told["epoch", f"{first.decided}/2"]  # all of its cap, and shown so
        assert rounded_up(spent["spent_epsilon"]) == f"{spent['epsilon']:g}"
        assert ("epoch", f"{first.decided}/3") not in told
        # The same request again costs nothing, whatever the clock says.
        at(silo, "2030-06-01")
        assert isinstance(federation.ask(silo, second), Release)
        assert silo.ledger.spent(DATASET) == 2 * units
        silo.ledger.verify()
    with federation.open() as silo:
        assert silo.ledger.spent(series_scope(first)) == 2 * units


def test_an_epoch_is_answered_once(federation: Federation) -> None:
    first = epoch(federation, 1)
    # The same template and epoch, and yet another plan: only what epochs before it cost differs.
    second, again = epoch(federation, 2), epoch(federation, 2, before=plan_units(first) - 1)
    assert second.decided == again.decided != second.digest != again.digest
    with federation.open() as silo:
        at(silo, "2030-02-01")
        approve(federation, silo, second)
        assert isinstance(federation.ask(silo, second), Release)
        # Under one id there is one plan, and without that check there is the ledger's.
        assert "was approved here with other content" in refused(federation, silo, again)
        silo.gateway._proposals.records.check_id = lambda **_: None  # type: ignore[union-attr, method-assign]  # a gap
        assert "epoch 2 of series monthly was answered under another plan" in refused(
            federation, silo, again
        )
        assert "epoch 1 of series monthly was passed over: epoch 2" in refused(
            federation, silo, first
        )


PAIR: dict[str, Any] = {"phase": PhaseName.COARSE, "queries": ((("age", "sex"), "fine"),)}


def test_an_epoch_is_over_once_a_later_one_was_answered(federation: Federation) -> None:
    first = epoch(federation, 1, method="mst")
    with federation.open() as silo:
        at(silo, "2030-02-01")
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
        # The second states what half of the first has cost; so the other half is asked no more.
        half = silo.ledger.spent(series_scope(first))
        assert half < plan_units(first)
        second = epoch(federation, 2, method="mst", before=half)
        assert isinstance(federation.ask(silo, second), Release)
        spent = silo.ledger.spent(DATASET)
        answer = federation.ask(silo, first, **PAIR)
        assert isinstance(answer, Refusal)
        assert "epoch 1 of this series is over: epoch 2 was answered" in answer.message
        assert silo.ledger.spent(DATASET) == spent
        # What was answered before is answered again, for nothing; and the second goes on.
        assert isinstance(federation.ask(silo, first), Release)
        assert silo.ledger.spent(DATASET) == spent
        assert isinstance(federation.ask(silo, second, **PAIR), Release)


def test_what_earlier_epochs_cost_is_held_against_the_ledger_as_it_is_charged(
    federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = epoch(federation, 1, method="mst")
    with federation.open() as silo:
        at(silo, "2030-02-01")
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
        second = epoch(federation, 2, method="mst", before=0)
        spent = silo.ledger.spent(DATASET)
        # Asked at once with the first, before that was charged: the gateway's own look saw nothing.
        monkeypatch.setattr("silosynth.client.gateway.series._check_spent", lambda *_, **__: None)
        answer = federation.ask(silo, second)
        assert isinstance(answer, Refusal)
        assert "epoch 2 of this series states less than what those before it" in answer.message
        assert silo.ledger.spent(DATASET) == spent


def test_the_ledger_itself_charges_an_epoch_to_one_plan(federation: Federation) -> None:
    first = epoch(federation, 1)
    payers = (DATASET, series_scope(first), epoch_scope(first, 1))
    with federation.open() as silo:
        silo.ledger.grant(dict.fromkeys(payers[1:], 100))
        for request, plan in (("r1", "one"), ("r2", "one")):
            silo.ledger.charge(request, "h", cost_units=5, scopes=payers, facts={"plan": plan})
        with pytest.raises(RequestConflict, match="epoch 1 of this series was answered under"):
            silo.ledger.charge("r3", "h", cost_units=5, scopes=payers, facts={"plan": "other"})
        assert silo.ledger.spent(DATASET) == 10


def test_no_epoch_is_begun_before_its_day(federation: Federation) -> None:
    with federation.open() as silo:
        at(silo, "2029-12-31")
        first = epoch(federation, 1)
        approve(federation, silo, first)
        assert "epoch 1 of series monthly is due on 2030-01-01" in refused(federation, silo, first)
        at(silo, "2030-01-01")
        assert isinstance(federation.ask(silo, first), Release)
        at(silo, "2030-01-30")
        second = epoch(federation, 2)
        assert "epoch 2 of series monthly is due on 2030-01-31" in refused(federation, silo, second)


def test_a_clock_that_went_back_begins_no_epoch(federation: Federation) -> None:
    first, second = epoch(federation, 1), epoch(federation, 2)
    with federation.open() as silo:
        at(silo, "2030-06-01")
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
        at(silo, "2030-05-01")
        assert "clock says 2030-05-01, and its ledger was written on 2030-06-01" in refused(
            federation, silo, second
        )
        assert isinstance(federation.ask(silo, first), Release)


def test_a_template_that_changes_is_refused(federation: Federation) -> None:
    first = epoch(federation, 1)
    with federation.open() as silo:
        at(silo, "2030-02-01")
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
        for changes in ({"epsilon": 0.2}, {"series": {"epochs": 5}}, {"series": {"days": 1}}):
            other = epoch(federation, 2, **changes)
            assert "is of another template than series monthly" in refused(federation, silo, other)
        # Another name is another series: it waits, and the other budgets go on.
        other = epoch(federation, 1, series={"name": "weekly"})
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(other)))
        assert verdict.answer is Answer.PENDING


def test_a_lifetime_ends_a_series(federation: Federation) -> None:
    plans = [epoch(federation, number) for number in (1, 2, 3)]
    with federation.open() as silo:
        at(silo, "2031-01-01")
        approve(federation, silo, plans[0])
        for plan in plans:
            assert isinstance(federation.ask(silo, plan), Release)
        assert "and all epochs together may cost" in refused(federation, silo, epoch(federation, 4))
        # Nor by stating less than what earlier epochs cost: the ledger knows better.
        assert "for the epochs before it; they cost" in refused(
            federation, silo, epoch(federation, 4, before=0)
        )


def test_a_result_is_an_epoch_s_and_no_template_s(federation: Federation) -> None:
    plan = epoch(federation, 1)
    with federation.open() as silo:
        at(silo, "2030-01-01")
        approve(federation, silo, plan)
        release = federation.ask(silo, plan)
        assert isinstance(release, Release)
        stated = federation.result(plan, release)
        certificate = stated.certificate.model_dump(mode="json")
        sampler = make_sampler(plan.template, certificate=certificate)
        changed = {"plan_digest": plan.decided, "sampler_digest": digest_sampler(sampler)}
        second = federation.bundle(stated.model_copy(update=changed), sampler)
        word = federation.acknowledged(silo.gateway.deliver(second))
        assert not word.accepted
        assert "is of a series, and of none of its epochs" in str(word.message)
        first = federation.bundle(stated, make_sampler(plan))
        assert federation.acknowledged(silo.gateway.deliver(first)).accepted


def test_an_epoch_that_cannot_be_paid_whole_is_not_begun(federation: Federation) -> None:
    first, second = epoch(federation, 1, method="mst"), epoch(federation, 2, method="mst")
    with federation.open() as silo:
        at(silo, "2030-02-01")
        approve(federation, silo, first)
        silo.ledger.grant({DATASET: plan_units(first) * 3 // 2})
        for phase in ({}, PAIR):
            assert isinstance(federation.ask(silo, first, **phase), Release)
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(second)))
        assert verdict.answer is Answer.REFUSED
        assert "costs more than dataset 'default' has left" in str(verdict.message)
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(first)))
        assert verdict.answer is Answer.APPROVED  # it was begun


def test_a_refusal_ends_a_series(federation: Federation) -> None:
    first, second = epoch(federation, 1), epoch(federation, 2)
    with federation.open() as silo:
        at(silo, "2030-03-01")
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
        federation.decide(silo, first, Verdict.REFUSED, why="enough")
        assert "was refused here: enough" in refused(federation, silo, second)


def test_a_template_is_no_epoch(federation: Federation) -> None:
    with federation.open() as silo:
        said = refused(federation, silo, epoch(federation, None))
        assert "is the template of a series" in said


def test_no_policy_approves_a_series_by_itself_nor_another_coordinator_s(
    federation: Federation,
) -> None:
    federation.trust("other", federation.rogue)
    first = epoch(federation, 1)
    with federation.open() as silo:
        at(silo, "2030-03-01")
        approve(federation, silo, first)
        sealed = federation.sealed(first, key=federation.rogue)
        verdict = federation.verdict(silo.gateway.propose(plan=sealed))
        assert verdict.answer is Answer.REFUSED
        assert isinstance(federation.ask(silo, first), Release)


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ({"lifetime_units": 1}, "below the cap of one epoch"),
        ({"first": "2030-02-30"}, "is no day"),
        ({"first": "9999-12-01"}, "after the year 9999"),
        ({"epochs": 1}, "epochs"),
        ({"version": 2}, "version"),
    ],
)
def test_bad_series_are_refused_in_one_line(
    federation: Federation, series: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidPlan, match=said):
        epoch(federation, 1, series=series)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: epoch(f, 5), "behind the last"),
        (lambda f: epoch(f, 2, before=2**61), "more than the epochs before may cost"),
        (lambda f: epoch(f, 1, id="other"), "in this series it is monthly-001"),
    ],
)
def test_bad_epochs_are_refused_in_one_line(
    federation: Federation, change: Callable[[Federation], Plan], said: str
) -> None:
    with pytest.raises((InvalidPlan, TypeError), match=said):
        change(federation)


def test_a_cap_below_one_epoch_is_refused_on_both_sides(federation: Federation) -> None:
    low = epoch(federation, 1, series={"epoch_units": 5, "lifetime_units": 9})
    with pytest.raises(InvalidPlan, match="one epoch of series monthly costs"):
        check_series(low)
    with federation.open() as silo:
        assert "one epoch of series monthly costs" in refused(federation, silo, low)
