"""100,000 messages that are almost valid go through the real gateway.

Half are altered after they were signed, as a network or a relay could. Half are altered first and
then signed by the trusted coordinator, as a hostile one would. No answer may be anything but a
release, a refusal, a verdict or an acknowledgement that the silo signed; none may hold a value of
the table, a path or a foreign error; none may take long; and the budgets hold.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hostile_mutations import mutate_bytes, mutate_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from signed import CANARY, Federation, make_sampler

from silosynth.client.ledger import Verdict as Decided
from silosynth.client.silo import Silo
from silosynth.common.dialogue import Answer, Bundle, encode_statement
from silosynth.common.plan import encode_plan
from silosynth.common.roster import Purpose
from silosynth.common.seal import body_of, seal
from silosynth.common.wire import Refusal, Release, encode_receipt

MESSAGES = 100_000
LONGEST_SECONDS = 3.0
FORBIDDEN = (
    CANARY,
    "Traceback",
    "sqlite",
    "Error(",
    "/tmp",
    "/dev/shm",
    "people.parquet",
    "silo.pem",
)


@dataclass
class Target:
    """A real gateway with an approved plan and a first release, and valid messages to alter."""

    federation: Federation
    silo: Silo
    tally: Counter[str] = field(default_factory=Counter)
    plans: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        f, silo = self.federation, self.silo
        plan = f.plan(method="mst")
        self.release = f.release(silo, plan)
        f.approve_none()
        self.plan, self.digest = f.sealed(plan), plan.digest
        pair = {"phase": "tree", "queries": ((("age", "sex"), "fine"),)}
        self.requests = (f.request(plan), f.request(plan, **pair))
        self.receipt = encode_receipt(self.release)
        self.result = encode_statement(f.result(plan, self.release), key=f.hub)
        self.sampler = make_sampler(plan)
        self.bundle = Bundle(statement=self.result, sampler=self.sampler).encode()
        self.all = (self.plan, *self.requests, self.receipt, self.bundle)

    def check(self, kind: str, answer: bytes, *, seconds: float) -> None:
        """Check an answer: signed by the silo, of public words, and in time."""
        f = self.federation
        assert seconds < LONGEST_SECONDS, f"{kind} took {seconds:.1f} s"
        for word in FORBIDDEN:
            assert word.encode() not in answer, f"{kind}: {word!r} left the silo"
        if kind == "propose":
            verdict = f.verdict(answer)
            self.tally[f"{kind} {verdict.answer.value} {verdict.code}"] += 1
            if verdict.answer is Answer.APPROVED:
                assert verdict.plan_digest == self.digest, "another plan was approved"
        elif kind == "deliver":
            word = f.acknowledged(answer)
            self.tally[f"{kind} {word.accepted}"] += 1
        else:
            read = f.read(answer)
            self.tally[f"{kind} {read.code if isinstance(read, Refusal) else 'released'}"] += 1

    def send(self, kind: str, call: Callable[[], bytes]) -> None:
        """Make a call, and check its answer."""
        started = time.perf_counter()
        answer = call()
        self.check(kind, answer, seconds=time.perf_counter() - started)

    def propose(self, plan: bytes, *receipts: bytes) -> None:
        self.send("propose", lambda: self.silo.gateway.propose(plan=plan, receipts=receipts))

    def answer(self, plan: bytes, request: bytes) -> None:
        self.send("answer", lambda: self.silo.gateway.answer(plan=plan, request=request))

    def deliver(self, bundle: bytes) -> None:
        self.send("deliver", lambda: self.silo.gateway.deliver(bundle))

    def hold(self) -> None:
        """Check that only the approved plan was ever charged, within its budget."""
        charges = self.silo.ledger.charges()
        assert {c.facts["plan"] for c in charges} == {self.digest}
        assert len(charges) <= 3
        decided = {d.plan_digest for d in self.silo.ledger.decisions()}
        assert decided == {self.digest}
        assert all(d.verdict is Decided.APPROVED for d in self.silo.ledger.decisions())


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        federation = Federation(directory=Path(directory))
        federation.change(approval={"max_epsilon": 1.2, "projects": ["default"]})
        with federation.open() as silo:
            yield Target(federation, silo)


def _outside(target: Target, chance: random.Random) -> None:
    """Alter messages after they were signed."""

    def changed(data: bytes) -> bytes:
        return mutate_bytes(data, chance=chance, others=target.all)

    match chance.randrange(6):
        case 0 | 1:
            target.propose(changed(target.plan))
        case 2:
            target.propose(target.plan, changed(target.receipt))
        case 3:
            target.answer(changed(target.plan), chance.choice(target.requests))
        case 4:
            target.answer(target.plan, changed(chance.choice(target.requests)))
        case _:
            target.deliver(changed(target.bundle))


def _inside(target: Target, chance: random.Random) -> None:
    """Alter messages and sign them with the trusted key."""
    key = target.federation.hub

    def changed(sealed: bytes, purpose: Purpose) -> bytes:
        body = body_of(sealed)
        if chance.random() < 0.6:
            body = mutate_json(body, chance=chance)
        else:
            body = mutate_bytes(body, chance=chance, others=target.all)
        return seal(body, purpose=purpose, key=key)

    match chance.randrange(5):
        case 0:
            target.propose(changed(target.plan, Purpose.PLAN))
        case 1 | 2:
            target.answer(target.plan, changed(chance.choice(target.requests), Purpose.REQUEST))
        case 3:
            request = chance.choice(target.requests)
            target.answer(changed(target.plan, Purpose.PLAN), request)
        case _:
            statement = changed(target.result, Purpose.RESULT)
            target.deliver(Bundle(statement=statement, sampler=target.sampler).encode())


def test_a_hundred_thousand_mutated_messages_neither_crash_nor_hang_nor_leak(
    target: Target,
) -> None:
    chance = random.Random(20_26)
    for i in range(MESSAGES):
        (_outside, _inside)[i % 2](target, chance)
    target.hold()
    assert target.tally["answer request-conflict"] > 100, "few mutants came as far as the ledger"
    assert len(target.tally) > 12, f"the mutants are all alike: {target.tally}"


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=400), signed=st.sampled_from((None, *Purpose)))
def test_any_bytes_at_all_are_answered(target: Target, data: bytes, signed: Purpose | None) -> None:
    sent = data if signed is None else seal(data, purpose=signed, key=target.federation.hub)
    target.propose(sent, sent)
    target.propose(target.plan, sent)
    target.answer(sent, sent)
    target.answer(target.plan, sent)
    target.deliver(sent)
    target.deliver(Bundle(statement=sent, sampler=data).encode())
    target.send("identify", lambda: target.silo.gateway.identify(data[:31]))


def test_the_valid_messages_that_the_mutants_come_from_are_answered(target: Target) -> None:
    f, gateway = target.federation, target.silo.gateway
    propose = gateway.propose(plan=target.plan, receipts=(target.receipt,))
    assert f.verdict(propose).answer is Answer.APPROVED
    for request in target.requests:
        assert isinstance(f.read(gateway.answer(plan=target.plan, request=request)), Release)
    assert encode_plan(f.plan(method="mst")) == body_of(target.plan)
