"""What must hold after any kill, read from ledgers, journals, files and notes of departures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from silosynth.client.ledger.copied import read_copy
from silosynth.client.rpc import RemoteGateway
from silosynth.common.audit.audit import AuditSummary
from silosynth.common.messages import SumStep, encode_request, encode_sum_statement, request_prefix
from silosynth.common.plan import PhaseName, Plan, TrustMode, encode_plan, plan_units
from silosynth.common.tables import AnySchema
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import Answered, Stage, State, Stated, replay
from silosynth.server.coordinator.agreement import Agreement
from silosynth.server.driver.journal import read_events
from silosynth.server.federation import RunFiles
from tests.processes.killable_gateway import Departures
from tests.processes.lab import MIRRORED, Lab
from tests.processes.silo_tables import SILOS
from tests.processes.sum_promises import check_secrets_are_gone, check_sum_at_death, request_of
from tests.support.patience import patience

if TYPE_CHECKING:
    from tests.processes.cells import Cell

CHARGED = ("after-charge", "counted", "noised", "before-store", "after-store", "before-send")
STORED = ("after-store", "before-send")
AGREEING = ("keys", "set")


@dataclass(frozen=True, slots=True, kw_only=True)
class Silos:
    """Each silo's ledger entries at one time, and what they add up to."""

    entries: Mapping[str, list[bytes]]
    accounts: Mapping[str, AuditSummary]

    @classmethod
    def of(cls, lab: Lab) -> Silos:
        """Export every silo's audit and check it."""
        audits = {silo: lab.audit(silo) for silo in SILOS}
        return cls(
            entries={s: entries for s, (entries, _) in audits.items()},
            accounts={s: account for s, (_, account) in audits.items()},
        )


def check_at_death(lab: Lab, cell: Cell, *, plan: Plan, before: Silos) -> None:
    """Check the ledger that a killed gateway left: charged and stored exactly as far as it came."""
    silo = cell.victim.partition("-")[2]
    mirrored = read_copy(lab.mirror(silo)).account if silo == MIRRORED else None
    entries, summary = lab.audit(silo)
    known = before.entries[silo]
    assert entries[: len(known)] == known, f"{cell}: the ledger lost entries"
    before.entries[silo][:] = entries
    if cell.seen_by != cell.victim:
        return
    what, step = cell.label.split(":")
    if what in ("propose", "deliver"):
        return
    if plan.trust is TrustMode.SHARED:
        check_sum_at_death(lab, plan, silo, cell=cell)
    if what in AGREEING:
        return
    name = request_of(plan, phase=PhaseName(what), silo=silo)
    account = summary.account
    assert (name in account.charges) == (step in CHARGED), f"{cell}: charge at death"
    assert (name in account.releases) == (step in STORED), f"{cell}: release at death"
    if mirrored is not None:
        assert mirrored.head == account.head, f"{cell}: the mirror lacks what was on disk at death"
    if step in ("received", "before-charge", "counted"):
        assert not Departures(lab.directory, silo=silo).of(name), f"{cell}: left too early"


def journal_at_death(run: Path, plan: Plan, schema: AnySchema, *, cell: Cell) -> None:
    """Check what a killed coordinator has on disk: all that it knew before its last step."""
    events = read_events(run, plan_digest=plan.digest)
    state, _ = replay(plan, schema, events)
    stage, step = cell.label.split(":")
    count = _answers(state, stage)
    rules: dict[str, Callable[[], bool]] = {
        "before-record": lambda: count == cell.nth - 1,
        "after-record": lambda: count == cell.nth,
        "before-send": lambda: _all_before(state, stage),
        "before-fit": lambda: not any(state.waiting(p.name) for p in plan.phases),
        "before-deliver": lambda: state.stage is Stage.DELIVER,
        "after-deliver": lambda: state.stage is Stage.ENDED,
    }
    assert rules.get(step, lambda: True)(), f"{cell}: the journal at death is not as it must be"
    files = RunFiles(path=run)
    there = tuple(p.exists() for p in (files.sampler, files.certificate, files.bundle))
    if stage == "fit":
        written = {
            "before-write": (False,) * 3,
            "sampler-written": (True, False, False),
            "after-write": (True,) * 3,
        }
        assert there == written.get(step, there), f"{cell}: {there} on disk at death"


def _answers(state: State, stage: str) -> int:
    """Return how many silos' words of a stage are on disk; 1 for a fit that is."""
    if stage == "propose":
        return len(state.approved)
    if stage in AGREEING:
        agreement = state.agreement or Agreement()
        return len(agreement.adverts if stage == "keys" else agreement.votes)
    if stage == "deliver":
        return len(state.acknowledged)
    if stage == "fit":
        return int(state.sampler_digest is not None)
    return len(next((r for p, r in state.releases.items() if p.value == stage), {}))


def _all_before(state: State, phase: str) -> bool:
    """Tell whether all answers of the steps and phases before ``phase`` are on disk."""
    shared = state.plan.trust is TrustMode.SHARED
    stages = ["propose", *(AGREEING if shared else ()), *(p.name.value for p in state.plan.phases)]
    return all(_answers(state, s) == len(SILOS) for s in stages[: stages.index(phase)])


def check_run(
    lab: Lab, plan: Plan, done: Mapping[str, Any], *, before: Silos, expected: bytes
) -> None:
    """Check a completed run against everything that was promised."""
    run = Path(done["directory"])
    answered = _answered(run, plan)
    steps = [*(AGREEING if plan.trust is TrustMode.SHARED else ()), *_phases(plan)]
    assert sorted(answered) == sorted((what, s) for what in steps for s in SILOS)
    replayed = _replay(lab, plan)
    after = Silos.of(lab)
    _check_mirror(lab)
    for silo in SILOS:
        _check_ledger(lab, plan, silo, answered=answered, before=before, after=after)
        check_secrets_are_gone(lab, plan, silo)
    assert replayed == answered, "asked again, a gateway gave other bytes"
    assert done["silos"] == list(SILOS), done
    assert done["unacknowledged"] == {}, done
    if plan.evaluation is not None:
        found = RunFiles(path=run).evaluation.read_bytes()
        assert found == expected, "the evaluation is not the one of an undisturbed run"
        return
    sampler = RunFiles(path=run).sampler.read_bytes()
    for silo in SILOS:
        kept = lab.ledger(silo).parent / "results" / plan.digest.removeprefix("sha256:")
        assert (kept / "result.sampler").read_bytes() == sampler, f"{silo} keeps another result"
    assert sampler == expected, "the sampler is not the one of an undisturbed run"


def _check_mirror(lab: Lab) -> None:
    """Check that the mirror stands where its ledger does, or comes to as another run charges."""
    until = time.monotonic() + patience(1)
    while read_copy(lab.mirror(MIRRORED)).account.head != lab.audit(MIRRORED)[1].account.head:
        assert time.monotonic() < until, "the mirror is behind"
        time.sleep(0.05)


def _phases(plan: Plan) -> list[str]:
    """Return the names of a plan's phases."""
    return [p.name.value for p in plan.phases]


def _answered(run: Path, plan: Plan) -> dict[tuple[str, str], bytes]:
    """Return what the coordinator has journaled: releases, and steps towards a sum."""
    told = {}
    for event in read_events(run, plan_digest=plan.digest):
        if isinstance(event, Answered):
            told[event.phase.value, event.silo] = event.data
        elif isinstance(event, Stated):
            told[event.asked.value, event.silo] = event.data
    return told


def _check_ledger(
    lab: Lab,
    plan: Plan,
    silo: str,
    *,
    answered: Mapping[tuple[str, str], bytes],
    before: Silos,
    after: Silos,
) -> None:
    """Check that each release was charged once, before it was stored, before it left."""
    entries, account = after.entries[silo], after.accounts[silo].account
    known = before.entries[silo]
    assert entries[: len(known)] == known, f"{silo}: entries of the ledger were lost"
    start = request_prefix(plan.digest)
    charges = {r: c for r, c in account.charges.items() if r.startswith(start)}
    wanted = {request_of(plan, phase=p.name, silo=silo): p.name.value for p in plan.phases}
    assert set(charges) == set(wanted), f"{silo}: charged {sorted(charges)}"
    spent = sum(charge.cost_units for charge in charges.values())
    assert spent == plan_units(plan), f"{silo}: {spent} charged, the plan costs {plan_units(plan)}"
    for request_id, charge in charges.items():
        assert request_id in account.releases, f"{request_id}: left without being stored"
        stored = account.releases[request_id]
        assert charge.sequence < stored.sequence
        left = Departures(lab.directory, silo=silo).of(request_id)
        received = hashlib.sha256(answered[wanted[request_id], silo]).hexdigest()
        assert {received, *left} == {stored.sha256}, f"{request_id}: two answers to one charge"
    prior = before.accounts[silo].totals
    for old, new in zip(prior, after.accounts[silo].totals, strict=True):
        assert new.spent_units >= old.spent_units, f"{silo}: {new.name} was refunded"


def _replay(lab: Lab, plan: Plan) -> dict[tuple[str, str], bytes]:
    """Ask every gateway everything again, and return what it says."""
    key = SigningKey.load(lab.certs.identity)
    sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=key)
    run = lab.run_directory(plan.id)
    state, _ = replay(plan, lab.schema_of(plan), read_events(run, plan_digest=plan.digest))
    proof = state.agreement.proof if state.agreement else None
    answers = {}
    for silo in SILOS:
        with RemoteGateway(lab.gateway_socket(silo), timeout_seconds=patience(5)) as gateway:
            for what, adverts in (("keys", ()), ("set", proof.adverts)) if proof else ():
                step = SumStep(plan_digest=plan.digest, session=1, adverts=adverts)
                letter = encode_sum_statement(step, key=key)
                answers[what, silo] = gateway.agree(plan=sealed, step=letter)
            for phase, question in state.asked.items():
                request = question.request(plan=plan, phase=phase, silo=silo, proof=proof)
                letter = seal(encode_request(request), purpose=Purpose.REQUEST, key=key)
                answers[phase.value, silo] = gateway.answer(plan=sealed, request=letter)
    return answers
