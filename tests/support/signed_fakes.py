"""A small signed federation without processes: silos with keys, at Flower's seam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from flwr.app import ConfigRecord, Error, Message, RecordDict

from silosynth.common.messages import (
    RECORD,
    WIRE,
    Acknowledgement,
    Answer,
    Bundle,
    Identity,
    Left,
    Result,
    Verdict,
    decode_release,
    decode_request,
    decode_statement,
    encode_release,
    encode_statement,
)
from silosynth.common.plan import Plan, decode_plan, parse_plan
from silosynth.common.trust import Purpose, SigningKey, unseal
from tests.support.fakes import SILOS, answer_exactly, small_codes, small_plan

KEYS = {silo: SigningKey.generate() for silo in SILOS}
COORDINATOR = SigningKey.generate()
TABLES = {silo: small_codes(seed) for seed, silo in enumerate(SILOS)}


def signed_plan(**changes: Any) -> Plan:
    """Return the small plan with every silo's key, and a deadline beyond any load."""
    fields = {"roster": {s: k.public for s, k in KEYS.items()}, "deadline_seconds": 600}
    plan = small_plan()
    return parse_plan(plan.model_dump(mode="json") | fields | changes)


class FakeSilo:
    """Answers letters as a gateway does; ``name`` and ``key`` may disagree."""

    def __init__(self, name: str, *, key: SigningKey | None = None) -> None:
        self.name = name
        self.key = key or KEYS[name]
        self.answers = [Answer.APPROVED]
        self.wire = WIRE
        self.left: dict[str, Left] = {}
        self.received: list[str] = []

    def answer(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        self.received.append(kind)
        if kind == "identify":
            challenge = fields["challenge"].hex()
            identity = Identity(silo=self.name, challenge=challenge, wire=self.wire, left=self.left)
            return {"identity": encode_statement(identity, key=self.key)}
        if kind == "deliver":
            return {"acknowledgement": self._acknowledge(fields["bundle"])}
        sealed = unseal(fields["plan"], purpose=Purpose.PLAN, trusted=(COORDINATOR.public,))
        plan = decode_plan(sealed.body)
        if kind == "propose":
            return {"verdict": self._judge(plan)}
        opened = unseal(fields["request"], purpose=Purpose.REQUEST, trusted=(COORDINATOR.public,))
        request = decode_request(opened.body)
        data = answer_exactly(request, plan=plan, codes=TABLES[self.name])
        release = decode_release(data)
        assert not hasattr(release, "code")
        return {"release": encode_release(release, key=self.key)}  # type: ignore[arg-type]  # no refusal

    def _judge(self, plan: Plan) -> bytes:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        verdict = Verdict(silo=self.name, plan_digest=plan.digest, answer=answer, message="words")
        return encode_statement(verdict, key=self.key)

    def _acknowledge(self, bundle: bytes) -> bytes:
        result = decode_statement(
            Bundle.decode(bundle).statement, Result, trusted=(COORDINATOR.public,)
        )
        said = Acknowledgement(
            silo=self.name,
            plan_digest=result.plan_digest,
            sampler_digest=result.sampler_digest,
            accepted=True,
        )
        return encode_statement(said, key=self.key)


class FakeGrid:
    """Stands in for Flower's Grid; ``lose`` says which letters vanish with their SuperNode."""

    def __init__(self, silos: Sequence[FakeSilo]) -> None:
        self.nodes = {100 + i: silo for i, silo in enumerate(silos)}
        self.sent: list[Message] = []
        self.lose: dict[tuple[str, str], int] = {}
        self.fail: dict[tuple[str, str], int] = {}

    def get_node_ids(self) -> list[int]:
        return list(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        for message in messages:
            message.metadata.__dict__["_message_id"] = str(len(self.sent))
            self.sent.append(message)
            ids.append(message.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        wanted = set(message_ids)
        waiting = [m for m in self.sent if m is not None and m.metadata.message_id in wanted]
        replies = [self._reply(m) for m in waiting]
        return [r for r in replies if r is not None]

    def _reply(self, message: Message) -> Message | None:
        silo = self.nodes[message.metadata.dst_node_id]
        kind = message.metadata.message_type.removeprefix("query.")
        if message.metadata.__dict__.get("lost"):
            return None
        if self.lose.get((silo.name, kind), 0):
            self.lose[(silo.name, kind)] -= 1
            message.metadata.__dict__["lost"] = True
            return None
        if self.fail.get((silo.name, kind), 0):
            self.fail[(silo.name, kind)] -= 1
            return Message(Error(code=0, reason="x"), reply_to=message)
        fields = silo.answer(kind, dict(message.content.config_records[RECORD]))
        return Message(RecordDict({RECORD: ConfigRecord(fields)}), reply_to=message)

    def letters(self, kind: str) -> list[str]:
        """Return the silos that letters of ``kind`` were sent to, in order."""
        return [
            self.nodes[m.metadata.dst_node_id].name
            for m in self.sent
            if m.metadata.message_type == f"query.{kind}"
        ]
