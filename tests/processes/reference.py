"""What a plan's sampler is when nothing is killed: the same silos and bits, one process, no net."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from silosynth.client.gateway import Records
from silosynth.client.ledger import Ledger
from silosynth.client.policy import SiloIdentity, load_policy
from silosynth.client.silo import ledger_path, load_identity
from silosynth.client.silo.rows.datasets import open_datasets
from silosynth.client.sums import SumMember, SumStore
from silosynth.common.digest import digest_of
from silosynth.common.messages import Request, encode_request, encode_sum_statement
from silosynth.common.plan import PhaseName, Plan, encode_plan
from silosynth.common.trust import Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import (
    Absent,
    Agree,
    Answered,
    Decided,
    Event,
    State,
    Stated,
    make,
)
from silosynth.server.driver import Journal
from silosynth.server.driver.drive import drive
from silosynth.server.judging import write_judgement
from tests.processes.killable_gateway import LabelledGateway, RepeatableBits
from tests.processes.lab import Lab
from tests.processes.silo_tables import SILOS
from tests.support.remembered import remembered_epsilons


class Reference:
    """Own twins of a laboratory's silos, with ledgers of their own, in this process."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._lab = lab
        self._directory = directory
        self._stack = ExitStack()
        self._stack.enter_context(remembered_epsilons())
        self._key = SigningKey.load(lab.certs.identity)
        self._gateways = {silo: self._twin(silo) for silo in SILOS}

    def close(self) -> None:
        """Close the twins' ledgers."""
        self._stack.close()

    def result(self, plan: Plan) -> bytes:
        """Return what an uninterrupted run makes: a sampler, or what an evaluation found."""
        return self.sampler(plan) if plan.evaluation is None else self._evaluation(plan)

    def sampler(self, plan: Plan, *, lost: tuple[str, PhaseName] | None = None) -> bytes:
        """Return the sampler file of an uninterrupted run.

        Args: lost: a silo that agrees, and answers no request of this phase.
        """
        place = self._directory / plan.id
        make(self._drive(plan, place, lost=lost)).save(place / "sampler")
        return (place / "sampler").read_bytes()

    def _evaluation(self, plan: Plan) -> bytes:
        """Return what people held out say of a sampler that was made here before."""
        assert plan.evaluation is not None
        made = {digest_of(p.read_bytes()): p for p in self._directory.glob("*/sampler")}
        sampler = made[plan.evaluation.sampler].read_bytes()
        for silo in self._gateways:
            records = Records(self._directory / silo / "state")
            records.keep_result(plan.evaluation.trained, bundle=b"", sampler=sampler)
        place = self._directory / plan.id
        write_judgement(self._drive(plan, place), sampler, place)
        return (place / "evaluation.json").read_bytes()

    def _drive(
        self, plan: Plan, place: Path, *, lost: tuple[str, PhaseName] | None = None
    ) -> State:
        """Run a plan over the twins to its last answer."""
        sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=self._key)
        verdicts = [
            Decided(silo=silo, data=gateway.propose(plan=sealed))
            for silo, gateway in self._gateways.items()
        ]
        with Journal(place, plan_digest=plan.digest) as journal:
            for verdict in verdicts:
                journal.record(verdict)
        with Journal(place, plan_digest=plan.digest) as journal:
            return drive(
                plan,
                self._lab.schema_of(plan),
                journal=journal,
                send=lambda requests: self._ask(requests, plan=sealed, lost=lost),
                agree=lambda steps: self._agree(steps, plan=sealed),
            )

    def _ask(
        self, requests: Sequence[Request], *, plan: bytes, lost: tuple[str, PhaseName] | None
    ) -> Iterator[Event]:
        for request in requests:
            if (request.silo, request.phase) == lost:
                yield Absent(phase=request.phase, silo=request.silo)
                continue
            sealed = seal(encode_request(request), purpose=Purpose.REQUEST, key=self._key)
            data = self._gateways[request.silo].answer(plan=plan, request=sealed)
            yield Answered(phase=request.phase, silo=request.silo, data=data)

    def _agree(self, steps: Sequence[Agree], *, plan: bytes) -> Iterator[Event]:
        for ask in steps:
            step = encode_sum_statement(ask.step, key=self._key)
            data = self._gateways[ask.silo].agree(plan=plan, step=step)
            yield Stated(asked=ask.asked, session=ask.step.session, silo=ask.silo, data=data)

    def _twin(self, silo: str) -> LabelledGateway:
        """Return a gateway of the same silo that has spent nothing."""
        place = self._directory / silo
        shutil.copytree(
            self._lab.directory / silo, place, ignore=shutil.ignore_patterns("state", "*.sock")
        )
        (place / "state").mkdir(mode=0o700)
        policy = load_policy(place / "policy.toml")
        Ledger.create(ledger_path(policy))
        ledger = Ledger.open(ledger_path(policy), caps=policy.scope_caps())
        self._stack.enter_context(ledger)
        key = load_identity(policy)
        return LabelledGateway(
            silo=silo,
            datasets=open_datasets(policy, tell_operator=lambda _: None),
            ledger=ledger,
            identity=SiloIdentity(key=key, coordinators=policy.consumers()),
            rules=policy.rules(),
            records=Records(place / "state"),
            sums=SumMember(silo=silo, store=SumStore(place / "state" / "sums"), key=key),
            bits=RepeatableBits(None, silo=silo),
        )
