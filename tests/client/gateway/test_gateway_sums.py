"""The real gateway in a sum: approved plans alone, one vector a request, both costs on record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.desk import plan_facts, plan_words
from silosynth.client.noise import noise_share
from silosynth.client.policy import alone_epsilon, ledger_epsilon
from silosynth.client.silo import Silo
from silosynth.client.sums import SumMember, SumStore
from silosynth.common.messages import (
    Answer,
    Refusal,
    Release,
    Request,
    SumProof,
    SumStep,
    decode_release,
    encode_request,
    encode_sum_statement,
    is_answer,
    pack,
)
from silosynth.common.plan import PhaseName, Plan, parse_plan
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.measuring import add_masked
from silosynth.server.planning import new_plan
from tests.support.chance import SubGaussian, agrees, masked, statistical
from tests.support.gateways.signed import CANARY, Federation, people


@dataclass(kw_only=True)
class Sum:
    """The real silo north, a peer south that masks beside it, and the plan of both."""

    federation: Federation
    plan: Plan
    south: SumMember

    def agree(self, silo: Silo, *adverts: bytes, key: SigningKey | None = None) -> bytes:
        """Return what north says to a step."""
        packed = tuple(pack(a) for a in adverts)
        step = SumStep(plan_digest=self.plan.digest, session=1, adverts=packed)
        sealed = encode_sum_statement(step, key=key or self.federation.hub)
        return silo.gateway.agree(plan=self.federation.sealed(self.plan), step=sealed)

    def proof(self, silo: Silo) -> SumProof:
        """Return the statements of both silos."""
        asked = SumStep(plan_digest=self.plan.digest, session=1)
        adverts = (self.agree(silo), self.south.agree(self.plan, asked))
        packed = tuple(pack(a) for a in adverts)
        both = asked.model_copy(update={"adverts": packed})
        votes = (self.agree(silo, *adverts), self.south.agree(self.plan, both))
        return SumProof(session=1, adverts=packed, votes=tuple(pack(v) for v in votes))

    def request(self, proof: SumProof | None, *, silo: str = "north") -> Request:
        """Return the request of the first phase."""
        return Request(
            plan_digest=self.plan.digest,
            phase=PhaseName.ONE_WAY,
            silo=silo,
            queries=((("age",), "fine"), (("sex",), "fine")),
            sum=proof,
        )

    def ask(self, silo: Silo, request: Request) -> Release | Refusal:
        """Return north's answer."""
        return decode_release(self.ask_bytes(silo, request), trusted=[self.federation.north.public])

    def ask_bytes(self, silo: Silo, request: Request) -> bytes:
        """Return the bytes of north's answer."""
        sealed = seal(encode_request(request), purpose=Purpose.REQUEST, key=self.federation.hub)
        return silo.gateway.answer(plan=self.federation.sealed(self.plan), request=sealed)


def plan_of_two(**changes: Any) -> dict[str, Any]:
    """Return a plan with shared noise over the people of two silos, as plain data, unsigned."""
    plan = new_plan(
        people(),
        epsilon=1.0,
        delta=1e-6,
        silos=("north", "south"),
        method="independent",
        rows_per_person=2,
        plan_id="p",
        trust="shared",
        **changes,
    )
    return plan.model_dump(mode="json")


def sum_of(directory: Path, data: Mapping[str, Any]) -> Sum:
    """Return the two silos of a plan, with keys of their own in it."""
    federation = Federation(directory=directory)
    roster = {"north": federation.north.public, "south": federation.south.public}
    south = SumMember(silo="south", store=SumStore(directory / "sums"), key=federation.south)
    return Sum(federation=federation, plan=parse_plan({**data, "roster": roster}), south=south)


@pytest.fixture
def summed(tmp_path: Path) -> Sum:
    return sum_of(tmp_path, plan_of_two())


def _propose(summed: Sum, silo: Silo) -> None:
    silo.gateway.propose(plan=summed.federation.sealed(summed.plan))


@statistical(alarm=1e-10)
def test_what_leaves_is_masked_signed_and_charged_for_the_sum(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        answer = summed.ask(silo, summed.request(summed.proof(silo)))
        charges = silo.ledger.charges()
    assert isinstance(answer, Release)
    assert answer.receipt.sum is not None
    masked(np.concatenate(answer.marginals), alarm=1e-10)
    assert len(charges) == 1
    assert charges[0].cost_units == answer.receipt.cost_units
    assert charges[0].facts["alone_units"] == answer.receipt.sum.alone_units
    assert answer.receipt.sum.alone_units == pytest.approx(2 * charges[0].cost_units, rel=1e-9)


@statistical(alarm=1e-10)
def test_the_masks_of_north_and_of_its_peer_cancel(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        proof = summed.proof(silo)
        answer = summed.ask(silo, summed.request(proof))
    assert isinstance(answer, Release)
    request = summed.request(proof, silo="south")
    agreed = summed.south.begin(summed.plan, request)
    phase = summed.plan.phase(PhaseName.ONE_WAY)
    zeros = [np.zeros(len(m), dtype=np.int64) for m in answer.marginals]
    cells, receipt = summed.south.mask(
        zeros,
        plan=summed.plan,
        request=request,
        agreed=agreed,
        share=noise_share(summed.plan, phase, marginals=2),
    )
    facts = {"sum": receipt, "silo": "south"}
    other = Release(receipt=answer.receipt.model_copy(update=facts), marginals=cells)
    total = add_masked([answer, other])
    # The peer adds no noise, and north its share of half.
    variance = len(total[0]) * float(phase.sigma2) / 2
    law = SubGaussian(mean=100, variance=variance)
    left = {"a bit of a mask that is left": SubGaussian(mean=2.0**32, variance=variance)}
    agrees(float(total[0].sum()), law=law, mutants=left, alarm=1e-10)


def test_the_same_request_gets_the_same_bytes_after_a_restart_and_no_secret_is_left(
    summed: Sum,
) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        request = summed.request(summed.proof(silo))
        first = summed.ask_bytes(silo, request)
    with summed.federation.open() as silo:
        assert summed.ask_bytes(silo, request) == first
        assert len(silo.ledger.charges()) == 1
    states = list((Path(summed.federation.policy.silo.directory) / "sums").iterdir())
    assert all('"secrets": {}' in path.read_text() for path in states)


def test_a_kill_between_charge_and_store_masks_again_without_a_new_charge(summed: Sum) -> None:
    def dies(name: str) -> None:
        if name == "noised":
            raise KeyboardInterrupt

    with summed.federation.open() as silo:
        _propose(summed, silo)
        request = summed.request(summed.proof(silo))
    with summed.federation.open(reached=dies) as silo, pytest.raises(KeyboardInterrupt):
        summed.ask_bytes(silo, request)
    with summed.federation.open() as silo:
        assert isinstance(summed.ask(silo, request), Release)
        assert len(silo.ledger.charges()) == 1


@pytest.mark.parametrize("approval", ["policy", "person"])
def test_what_leaves_is_a_sum_over_as_many_silos_as_the_policy_asks_for(
    summed: Sum, approval: str
) -> None:
    """Whoever approves: a plan of fewer is refused for a public reason, and nothing is charged."""
    federation = summed.federation
    federation.change(caps={"silos_in_sum": 2})
    if approval == "person":
        federation.approve_none()
    alone = federation.plan(id="alone")
    with federation.open() as silo:
        told = federation.verdict(silo.gateway.propose(plan=federation.sealed(alone)))
        _propose(summed, silo)
        assert told.code == "refused"
        assert "may be a sum over 1 silo; this silo's rows leave in sums over 2" in told.message
        answer = silo.gateway.answer(
            plan=federation.sealed(alone), request=federation.request(alone)
        )
        assert isinstance(federation.read(answer), Refusal)
        assert silo.ledger.charges() == ()
        if approval == "policy":
            assert isinstance(summed.ask(silo, summed.request(summed.proof(silo))), Release)


def test_without_approval_a_silo_makes_no_keys(summed: Sum) -> None:
    summed.federation.approve_none()
    with summed.federation.open() as silo:
        _propose(summed, silo)
        answer = decode_release(summed.agree(silo), trusted=[summed.federation.north.public])
    assert isinstance(answer, Refusal)
    assert answer.code == "approval-pending"


def test_a_step_of_another_coordinator_is_refused(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        answer = decode_release(summed.agree(silo, key=summed.federation.rogue))
    assert isinstance(answer, Refusal)
    assert answer.code == "untrusted"


def test_nothing_is_charged_without_the_whole_proof(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        proof = summed.proof(silo)
        short = proof.model_copy(update={"votes": (proof.votes[0], proof.votes[0])})
        for request in (summed.request(None), summed.request(short)):
            assert isinstance(summed.ask(silo, request), Refusal)
        assert silo.ledger.charges() == ()


def test_another_question_under_the_same_request_is_refused(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        request = summed.request(summed.proof(silo))
        assert isinstance(summed.ask(silo, request), Release)
        other = request.model_copy(update={"queries": ((("age",), "fine"),)})
        answer = summed.ask(silo, other)
    assert isinstance(answer, Refusal)
    assert answer.code == "request-conflict"


def test_keys_are_statements_and_not_answers(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        assert not is_answer(summed.agree(silo))


def test_the_ledger_is_not_touched_by_keys_and_votes(summed: Sum) -> None:
    with summed.federation.open() as silo:
        _propose(summed, silo)
        head = silo.ledger.head
        summed.proof(silo)
        assert silo.ledger.head == head


def test_the_policy_approves_shared_noise_by_what_the_silo_alone_would_spend(summed: Sum) -> None:
    """The sum costs less than the policy allows, the silo's own share of the noise more."""
    between = (ledger_epsilon(summed.plan) + alone_epsilon(summed.plan)) / 2
    assert ledger_epsilon(summed.plan) < between < alone_epsilon(summed.plan)
    summed.federation.change(approval={"max_epsilon": between})
    with summed.federation.open() as silo:
        sealed = summed.federation.sealed(summed.plan)
        verdict = summed.federation.verdict(silo.gateway.propose(plan=sealed))
    assert verdict.answer is Answer.PENDING


def _answer(summed: Sum, **approval: float) -> Answer:
    """Return what the silo says to the plan under another rule for automatic approval."""
    summed.federation.change(approval=dict(approval))
    with summed.federation.open() as silo:
        sealed = summed.federation.sealed(summed.plan)
        return summed.federation.verdict(silo.gateway.propose(plan=sealed)).answer


def test_a_limit_of_its_own_lets_shared_noise_be_automatic(summed: Sum) -> None:
    total, alone = ledger_epsilon(summed.plan), alone_epsilon(summed.plan)
    assert _answer(summed, max_epsilon=1.01 * total, max_alone_epsilon=1.01 * alone) is (
        Answer.APPROVED
    )


@pytest.mark.parametrize(("total", "alone"), [(0.99, 1.01), (1.01, 0.99)])
def test_neither_limit_of_shared_noise_makes_up_for_the_other(
    summed: Sum, total: float, alone: float
) -> None:
    limits = {
        "max_epsilon": total * ledger_epsilon(summed.plan),
        "max_alone_epsilon": alone * alone_epsilon(summed.plan),
    }
    assert _answer(summed, **limits) is Answer.PENDING


def test_who_approves_shared_noise_is_told_what_it_relies_on(summed: Sum) -> None:
    words = " ".join(plan_words(plan_facts(summed.plan) | {"id": "p", "coordinator": "hub"}))
    assert "the noise is shared" in words
    assert "at most 0 silos" in words
    assert f"{alone_epsilon(summed.plan):.4g}" in words


def test_steps_and_proofs_that_a_signed_coordinator_twists_are_refused_in_public_words(
    summed: Sum,
) -> None:
    """The coordinator's key is real; what it signs is mutated, byte by byte."""
    random = np.random.default_rng(11)
    federation, plan = summed.federation, summed.federation.sealed(summed.plan)
    with federation.open() as silo:
        _propose(summed, silo)
        proof = summed.proof(silo)
        step = SumStep(plan_digest=summed.plan.digest, session=1, adverts=proof.adverts)
        bodies = {
            Purpose.SUM_STEP: encode_sum_statement(step),
            Purpose.REQUEST: encode_request(summed.request(proof)),
        }
        for purpose, body in bodies.items():
            for _ in range(150):
                twisted = bytearray(body)
                for place in random.integers(0, len(body), int(random.integers(1, 4))):
                    twisted[place] = int(random.integers(0, 256))
                sealed = seal(bytes(twisted), purpose=purpose, key=federation.hub)
                if purpose is Purpose.SUM_STEP:
                    answer = silo.gateway.agree(plan=plan, step=sealed)
                else:
                    answer = silo.gateway.answer(plan=plan, request=sealed)
                if is_answer(answer):
                    read = decode_release(answer, trusted=[federation.north.public])
                    assert not isinstance(read, Refusal) or CANARY not in read.message
        assert len(silo.ledger.charges()) <= 1
