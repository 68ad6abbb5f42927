"""Silos that ask to join, and the coordinator that answers, for tests of the real gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from silosynth.client.desk import Command, Desk, Question
from silosynth.client.silo import Silo
from silosynth.common.messages import Answer, Verdict, encode_statement
from silosynth.common.plan import Plan, parse_plan
from silosynth.common.roster import (
    Asked,
    JoinRequest,
    Roster,
    RosterChange,
    make_change,
    make_request,
    seal_change,
)
from silosynth.common.trust import PublicKey, SigningKey
from tests.support.gateways.signed import Federation

NODE = (
    ec.generate_private_key(ec.SECP384R1())
    .public_key()
    .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    .decode()
)


def asks(
    silo: str,
    key: SigningKey,
    *,
    project: str = "default",
    replaces: PublicKey | None = None,
    previous: SigningKey | None = None,
) -> JoinRequest:
    """Return a silo's request to be in the roster."""
    asked = Asked(project=project, silo=silo, key=key.public, supernode=NODE, replaces=replaces)
    return make_request(asked, key=key, previous=previous)


def roster_of(federation: Federation, *, version: int = 0, **more: SigningKey) -> Roster:
    """Return the roster of north and south, and of more."""
    keys = {"north": federation.north, "south": federation.south} | more
    silos = {name: key.public for name, key in keys.items()}
    return Roster(project="default", version=version, silos=silos)


def gains(now: Roster, *requests: JoinRequest) -> RosterChange:
    """Return the change by which silos come in, or get another key."""
    new = {r.asked.silo: r.asked.key for r in requests}
    return make_change(now, {**now.silos, **new}, requests=requests)


def loses(now: Roster, name: str) -> RosterChange:
    """Return the change by which a silo leaves."""
    return make_change(now, {s: k for s, k in now.silos.items() if s != name})


def altered(change: RosterChange, **fields: Any) -> RosterChange:
    """Return a change that no honest coordinator makes."""
    return RosterChange.model_validate(change.model_dump(mode="json") | fields)


def proposes(
    federation: Federation,
    silo: Silo,
    change: RosterChange,
    *,
    key: SigningKey | None = None,
    vouchers: tuple[bytes, ...] = (),
) -> Verdict:
    """Propose a change to a silo's gateway; return what it says."""
    sealed = seal_change(change, key=key or federation.hub)
    return federation.verdict(silo.gateway.propose(plan=sealed, receipts=vouchers))


def desk_of(federation: Federation, silo: Silo) -> Desk:
    """Return the desk beside a gateway."""
    return Desk(policy=federation.policy, key=silo.key, ledger=silo.ledger)


def decides(federation: Federation, silo: Silo, name: str, *, approve: bool = True) -> Any:
    """Decide at the desk about what waits."""
    question = Question(command=Command.DECIDE, plan=name, approve=approve, why="compared")
    return desk_of(federation, silo).ask(question, user=2)


def pending(federation: Federation, silo: Silo) -> list[Mapping[str, Any]]:
    """Return what waits at the desk."""
    return list(desk_of(federation, silo).ask(Question(command=Command.PENDING), user=2)["plans"])


def goes_by(federation: Federation, silo: Silo) -> Mapping[str, Any]:
    """Return the roster that a silo goes by."""
    answer = desk_of(federation, silo).ask(Question(command=Command.ROSTERS), user=2)
    return dict(answer["rosters"][0])


def says(
    key: SigningKey, silo: str, change: RosterChange, *, code: str | None, **fields: Any
) -> bytes:
    """Return what another silo says of a change."""
    facts = {"silo": silo, "plan_digest": change.digest, "answer": Answer.APPROVED, "code": code}
    return encode_statement(Verdict.model_validate(facts | fields), key=key)


def plan_with(federation: Federation, roster: Mapping[str, PublicKey], *, name: str) -> Plan:
    """Return a plan for the silos of a roster."""
    plan = federation.plan(id=name)
    facts = plan.model_dump(mode="json")
    return parse_plan(facts | {"silos": sorted(roster), "roster": dict(roster)})
