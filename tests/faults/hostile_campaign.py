"""A campaign of altered messages against one real gateway in memory."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from silosynth.client.silo import Silo
from silosynth.common.audit import Verdict as Decided
from silosynth.common.messages import (
    Answer,
    Bundle,
    Refusal,
    Release,
    encode_receipt,
    encode_statement,
)
from silosynth.common.trust import Purpose, body_of
from silosynth.common.trust.seal import seal
from tests.faults.hostile_mutations import mutate_bytes, mutate_json
from tests.support.gateways.signed import CANARY, Federation, make_sampler
from tests.support.patience import cheap

LONGEST_UNITS = 300
FORBIDDEN = (CANARY, "Traceback", "sqlite", "Error(", "/tmp", "/dev/shm", "people.parquet", ".pem")


@dataclass
class Target:
    """A real gateway with an approved plan and a first release, and valid messages to alter."""

    federation: Federation
    silo: Silo
    release: Release
    tally: Counter[str] = field(default_factory=Counter)
    labels: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        f = self.federation
        plan = f.plan(method="mst")
        self.plan, self.digest = f.sealed(plan), plan.digest
        pair: dict[str, Any] = {"phase": "tree", "queries": ((("age", "sex"), "fine"),)}
        self.requests = (f.request(plan), f.request(plan, **pair))
        self.receipt = encode_receipt(self.release)
        self.result = encode_statement(f.result(plan, self.release), key=f.hub)
        self.sampler = make_sampler(plan)
        self.bundle = Bundle(statement=self.result, sampler=self.sampler).encode()
        self.all = (self.plan, *self.requests, self.receipt, self.bundle)

    def check(self, kind: str, answer: bytes) -> None:
        """Check an answer: signed by the silo, and of public words."""
        if (kind, answer) not in self.labels:
            self.labels[kind, answer] = f"{kind} {self.read(kind, answer)}"
        self.tally[self.labels[kind, answer]] += 1

    def read(self, kind: str, answer: bytes) -> str:
        """Check what the silo signed and said, and return what it amounts to."""
        f = self.federation
        for word in FORBIDDEN:
            assert word.encode() not in answer, f"{kind}: {word!r} left the silo"
        if kind == "propose":
            verdict = f.verdict(answer)
            if verdict.answer is Answer.APPROVED:
                assert verdict.plan_digest == self.digest, "another plan was approved"
            return f"{verdict.answer.value} {verdict.code}"
        if kind == "deliver":
            return str(f.acknowledged(answer).accepted)
        read = f.read(answer)
        return read.code if isinstance(read, Refusal) else "released"

    def send(self, kind: str, call: Callable[[], bytes]) -> None:
        """Make a call, and check its answer."""
        with cheap(units=LONGEST_UNITS):
            answer = call()
        self.check(kind, answer)

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
        assert len(self.silo.ledger.pending()) <= 64
        decided = {d.plan_digest for d in self.silo.ledger.decisions()}
        assert decided == {self.digest}
        assert all(d.verdict is Decided.APPROVED for d in self.silo.ledger.decisions())


@contextmanager
def open_target() -> Iterator[Target]:
    """Open a gateway that answered one plan, and approves no other by itself."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        federation = Federation(directory=Path(directory))
        with federation.open() as silo:
            release = federation.release(silo, federation.plan(method="mst"))
        federation.approve_none()
        with federation.open() as silo:
            yield Target(federation=federation, silo=silo, release=release)


def campaign(seed: int, messages: int) -> Counter[str]:
    """Send altered messages, check every answer and what was charged, and return the tally."""
    chance = random.Random(seed)
    with open_target() as target:
        for i in range(messages):
            (_outside, _inside)[i % 2](target, chance)
        target.hold()
        return target.tally


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
        if chance.random() < 0.75:
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
