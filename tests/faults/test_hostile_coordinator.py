"""What a coordinator with a trusted key, or somebody without one, may try: each gets a refusal.

After every attack nothing was charged beyond what was approved, and no answer holds a value.
"""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.gateway import Dataset, Doorkeeper
from silosynth.client.gateway.verify import VerifiedPlan, verify_plan, verify_request
from silosynth.client.policy import Policy, Rules
from silosynth.client.silo import Silo
from silosynth.client.source import SourceFormat, SourceSpec, open_source
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.messages import (
    Answer,
    Refusal,
    Release,
    Request,
    digest_sampler,
    encode_request,
)
from silosynth.common.plan import encode_plan, parse_plan
from silosynth.common.schema import parse_schema
from silosynth.common.trust import MAGIC, Purpose, SigningKey
from silosynth.common.trust.seal import seal
from tests.support.gateways.signed import CANARY, Federation, make_sampler
from tests.support.patience import cheap

DATASET = Scope(kind=ScopeKind.DATASET, name="default")


class Attack:
    """A federation with one approved plan, and the means to see what an attack got."""

    def __init__(self, federation: Federation, silo: Silo) -> None:
        self.federation, self.silo = federation, silo
        self.plan = federation.plan(method="mst")
        self.sealed = federation.sealed(self.plan)
        verdict = federation.verdict(silo.gateway.propose(plan=self.sealed))
        assert verdict.answer is Answer.APPROVED

    @property
    def spent(self) -> int:
        return self.silo.ledger.spent(DATASET)

    def propose(self, data: bytes) -> str:
        """Propose bytes as a plan; return the code of the refusal."""
        answer = self.silo.gateway.propose(plan=data)
        assert CANARY.encode() not in answer
        verdict = self.federation.verdict(answer)
        assert verdict.answer is Answer.REFUSED, "the attack was approved"
        assert self.silo.ledger.pending() == ()
        return str(verdict.code)

    def ask(self, request: bytes, *, plan: bytes | None = None) -> str:
        """Send bytes as a request; return the code of the refusal, which charged nothing."""
        before = self.spent
        data = self.silo.gateway.answer(plan=plan or self.sealed, request=request)
        answer = self.federation.read(data)
        assert isinstance(answer, Refusal), "the attack was answered"
        assert CANARY.encode() not in data
        assert self.spent == before, "the attack was charged"
        return answer.code

    def deliver(self, data: bytes) -> str:
        """Deliver bytes as a result; return why it was not accepted."""
        word = self.federation.acknowledged(self.silo.gateway.deliver(data))
        assert not word.accepted, "the attack was accepted"
        return str(word.message)

    def body(self, **changes: Any) -> bytes:
        """Return the plan with other fields, sealed."""
        value = json.loads(encode_plan(self.plan)) | changes
        return seal(json.dumps(value).encode(), purpose=Purpose.PLAN, key=self.federation.hub)

    def raw_request(self, **changes: Any) -> bytes:
        """Return a request with other fields, sealed, whatever they are."""
        sealed = self.federation.request(self.plan)
        value = json.loads(sealed[sealed.index(b'{"levels"') :]) | changes
        body = json.dumps(value).encode()
        return seal(body, purpose=Purpose.REQUEST, key=self.federation.hub)


@pytest.fixture
def attack(tmp_path: Path) -> Iterator[Attack]:
    federation = Federation(directory=tmp_path)
    with federation.open() as silo:
        yield Attack(federation, silo)


def test_a_plan_signed_by_a_stranger_is_refused(attack: Attack) -> None:
    assert attack.propose(attack.federation.sealed(attack.plan, key=attack.federation.rogue)) == (
        "untrusted"
    )


def test_a_plan_changed_after_it_was_signed_is_refused(attack: Attack) -> None:
    assert attack.propose(attack.sealed.replace(b'"id":"p"', b'"id":"q"')) == "untrusted"


def test_a_plan_without_an_envelope_is_refused(attack: Attack) -> None:
    assert attack.propose(encode_plan(attack.plan)) == "untrusted"


def test_a_signature_made_for_something_else_is_refused(attack: Attack) -> None:
    key = attack.federation.hub
    # What is signed as a change of a roster is read as one, and a plan is none.
    codes = dict.fromkeys(Purpose, "untrusted") | {Purpose.ROSTER: "invalid-plan"}
    for purpose in (p for p in Purpose if p is not Purpose.PLAN):
        sealed = seal(encode_plan(attack.plan), purpose=purpose, key=key)
        assert attack.propose(sealed) == codes[purpose]


def test_a_signature_made_for_something_else_does_not_hold_under_another_label(
    attack: Attack,
) -> None:
    body, start = encode_plan(attack.plan), len(MAGIC) + 4
    audit = seal(body, purpose=Purpose.AUDIT, key=attack.federation.hub)
    header = audit[start : len(audit) - len(body)].replace(b"audit", b"plan")
    relabelled = MAGIC + len(header).to_bytes(4, "little") + header + body
    assert attack.propose(relabelled) == "untrusted"


def test_a_request_signed_by_a_stranger_is_refused(attack: Attack) -> None:
    request = attack.federation.request(attack.plan, key=attack.federation.rogue)
    assert attack.ask(request) == "untrusted"


def test_a_request_by_another_trusted_coordinator_is_refused(tmp_path: Path) -> None:
    federation, second = Federation(directory=tmp_path), SigningKey.generate()
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["coordinators"].append(
        {"name": "second", "key": second.public, "budget": {"epsilon": 3.0, "delta": 1e-6}}
    )
    federation.policy = type(federation.policy).model_validate(data)
    with federation.open() as silo:
        attack = Attack(federation, silo)
        assert attack.ask(federation.request(attack.plan, key=second)) == "untrusted"


def test_a_replayed_request_gets_the_same_bytes_and_no_new_charge(attack: Attack) -> None:
    request = attack.federation.request(attack.plan)
    first = attack.silo.gateway.answer(plan=attack.sealed, request=request)
    assert isinstance(attack.federation.read(first), Release)
    spent = attack.spent
    for _ in range(20):
        assert attack.silo.gateway.answer(plan=attack.sealed, request=request) == first
    assert attack.spent == spent


def test_an_altered_request_under_the_same_id_is_refused(attack: Attack) -> None:
    request = attack.federation.request(attack.plan)
    attack.silo.gateway.answer(plan=attack.sealed, request=request)
    other = attack.federation.request(attack.plan, queries=((("age",), "fine"),))
    assert attack.ask(other) == "request-conflict"


def test_reordered_phases_cost_no_more_than_the_plan(attack: Attack) -> None:
    federation, gateway = attack.federation, attack.silo.gateway
    pair = ((("age", "sex"), "fine"),)
    coarse = {"levels": {"c": {"age": [0] * 5 + [1] * 5}}, "queries": ((("age", "sex"), "c"),)}
    phases: list[dict[str, Any]] = [
        {"phase": "tree", "queries": pair},
        {"phase": "one-way"},
        {"phase": "coarse", **coarse},
    ]
    for _ in range(3):
        for changes in reversed(phases):
            request = federation.request(attack.plan, **changes)
            gateway.answer(plan=attack.sealed, request=request)
    units = sum(c.cost_units for c in attack.silo.ledger.charges())
    assert attack.spent == units
    assert len(attack.silo.ledger.charges()) == len(phases)


def test_a_request_of_one_plan_is_no_request_of_another(attack: Attack) -> None:
    other = attack.federation.plan(id="q")
    attack.silo.gateway.propose(plan=attack.federation.sealed(other))
    assert attack.ask(attack.federation.request(other)) == "invalid-plan"


def test_another_plan_under_an_approved_id_is_refused(attack: Attack) -> None:
    assert attack.propose(attack.body(deadline_seconds=599)) == "request-conflict"


def test_a_plan_outside_the_policy_is_refused(attack: Attack) -> None:
    roster = {"north": attack.federation.north.public, "south": attack.federation.rogue.public}
    assert attack.propose(attack.body(id="q", roster=roster)) == "plan-refused"
    assert attack.propose(attack.body(id="q", project="other")) == "plan-refused"
    assert attack.propose(attack.body(id="q", dataset="../other")) == "invalid-plan"
    many = [p.model_dump(mode="json") | {"marginals": 100_000} for p in attack.plan.phases]
    assert attack.propose(attack.body(id="q", phases=many)) == "cap-exceeded"


def test_a_plan_that_promises_more_than_its_noise_gives_is_refused(attack: Attack) -> None:
    phases = [p.model_dump(mode="json") | {"sigma2": "1/100"} for p in attack.plan.phases]
    assert attack.propose(attack.body(id="q", phases=phases)) == "invalid-plan"


def test_noise_that_writes_itself_out_for_hours_is_refused_at_once(attack: Attack) -> None:
    phases = [p.model_dump(mode="json") for p in attack.plan.phases]
    phases[0]["sigma2"] = "1e999999999"
    with cheap(units=200):
        assert attack.propose(attack.body(id="q", phases=phases)) == "invalid-plan"


@pytest.mark.parametrize("field", ["expression", "__class__", "roster ", "on_absent\0", "🦓"])
def test_unknown_fields_are_refused(attack: Attack, field: str) -> None:
    assert attack.propose(attack.body(**{field: "__import__('os')"})) == "invalid-plan"
    assert attack.ask(attack.raw_request(**{field: 1})) == "invalid-plan"


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "..", "p\0", "p\n", "a/b", "a\\b", "", "\ud800", "p" * 65],
)
def test_path_tricks_in_names_are_refused_and_make_no_file(attack: Attack, name: str) -> None:
    before = sorted(str(p) for p in attack.federation.directory.rglob("*"))
    for field in ("id", "project", "dataset"):
        assert attack.propose(attack.body(**{field: name})) == "invalid-plan"
    assert attack.propose(attack.body(silos=["north", name])) == "invalid-plan"
    assert attack.ask(attack.raw_request(silo=name)) == "invalid-plan"
    assert attack.ask(attack.raw_request(plan_digest="sha256:" + "../" * 21 + "a")) == (
        "invalid-plan"
    )
    result = attack.federation.result(attack.plan)
    forged = result.model_copy(update={"plan_digest": "sha256:" + "../" * 21 + "a"})
    attack.deliver(attack.federation.bundle(forged, make_sampler(attack.plan)))
    assert sorted(str(p) for p in attack.federation.directory.rglob("*")) == before


def test_a_message_bomb_is_refused_before_it_is_parsed(attack: Attack) -> None:
    for body in (b"[" * 900_000, b'{"a":' * 150_000, b"9" * 900_000, b'{"id":' + b'"x' * 400_000):
        bomb = seal(body, purpose=Purpose.PLAN, key=attack.federation.hub)
        with cheap(units=200):
            assert attack.propose(bomb) == "invalid-plan"
    large = seal(b" " * 2_000_000, purpose=Purpose.PLAN, key=attack.federation.hub)
    assert attack.propose(large) == "cap-exceeded"
    groups = {f"l{i}": {"age": [0] * 500_000} for i in range(8)}
    huge = attack.raw_request(levels=groups)
    tracemalloc.start()
    assert attack.ask(huge) == "cap-exceeded"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000, "the request was parsed before its size was judged"


def test_an_envelope_that_lies_about_its_length_is_refused(attack: Attack) -> None:
    for length in (0, 1, 2**31, 2**32 - 1):
        lie = MAGIC + length.to_bytes(4, "little") + attack.sealed[len(MAGIC) + 4 :]
        assert attack.propose(lie) == "untrusted"
        assert attack.ask(lie) == "untrusted"
        assert attack.deliver(length.to_bytes(4, "little") + b"abc")


def test_a_zip_bomb_in_place_of_a_sampler_is_not_unpacked(attack: Attack) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", b"0" * 200_000_000)
    bomb = packed.getvalue()
    result = attack.federation.result(attack.plan)
    result = result.model_copy(update={"sampler_digest": digest_sampler(bomb)})
    tracemalloc.start()
    attack.deliver(attack.federation.bundle(result, bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000, "the archive was unpacked"


@cache
def _wide_door() -> tuple[Doorkeeper, VerifiedPlan]:
    """Return a silo without signatures whose table has 200 attributes of 4,096 codes."""
    attribute = {"kind": "integer", "minimum": 0, "maximum": 4_095, "source": "public"}
    bins = {"bins": {"kind": "width", "count": 4_096}}
    wide = [{"name": f"a{i}"} | attribute | bins for i in range(200)]
    schema = parse_schema({"name": "wide", "attributes": wide})
    source = open_source(
        SourceSpec(format=SourceFormat.PARQUET, path=Path("none.parquet")), schema=schema
    )
    dataset = Dataset(schema=schema, rows=source, policy=Policy())
    phase = {"name": "one-way", "marginals": 200, "cells": 2**40, "sigma2": "100"}
    plan = parse_plan(
        {
            "id": "p",
            "schema_name": "wide",
            "schema_digest": schema.digest,
            "silos": ["north"],
            "privacy": {"epsilon": 1.0, "delta": 1e-6},
            "method": "independent",
            "phases": [phase],
        }
    )
    door = Doorkeeper(silo="north", datasets={"default": dataset}, identity=None, rules=Rules())
    return door, verify_plan(door, encode_plan(plan))


@pytest.mark.parametrize("attributes", [3, 8, 200])
def test_a_huge_domain_is_refused_in_under_a_millisecond_without_allocation(
    attributes: int,
) -> None:
    door, proposed = _wide_door()
    clique = tuple(f"a{i}" for i in range(attributes))
    request = Request.model_validate(
        {
            "plan_digest": proposed.digest,
            "phase": "one-way",
            "silo": "north",
            "queries": [(clique, "fine")],
        }
    )
    data = encode_request(request)
    with cheap(units=30):
        for _ in range(30):
            with pytest.raises((CapExceeded, InvalidPlan)):
                verify_request(door, proposed, data)
    tracemalloc.start()
    with pytest.raises((CapExceeded, InvalidPlan)) as refused:
        verify_request(door, proposed, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 500_000
    assert len(refused.value.message) < 200
