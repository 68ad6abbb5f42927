"""A ledger's entries: plain facts in a hash chain, as silos and auditors both read them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from silosynth.common.accounting import ORDERS, ORDERS_VERSION, Vector
from silosynth.common.audit.scopes import Parted, Scope, ScopeKind, Side
from silosynth.common.digest import canonical_json

GENESIS = "0" * 64
Facts = Mapping[str, str | int]


class Verdict(StrEnum):
    """What the silo said to a plan."""

    APPROVED = "approved"
    REFUSED = "refused"


class Authority(StrEnum):
    """Who decided: the policy's own rules, a person at the silo, or approvers who signed."""

    POLICY = "policy"
    PERSON = "person"
    APPROVERS = "approvers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """What a scope may spend, in units of zCDP rho at a Rényi ``order`` in units of 2^-20.

    Without an order every charge takes its zCDP cost.
    """

    units: int
    order: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """A charge as the ledger holds it, with the head that it left behind.

    ``rdp`` is there for sums over a random part of the persons, ``part`` where only one part of a
    split pays.
    """

    request_id: str
    request_hash: str
    cost_units: int
    scopes: tuple[Scope, ...]
    facts: Facts
    at: str
    sequence: int
    head: str
    rdp: Vector | None = None
    part: Parted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRelease:
    """What is known of the bytes of a release, with the head that storing them left behind."""

    request_id: str
    sha256: str
    size: int
    at: str
    sequence: int
    head: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about the plan that ``signer`` signed, with the head that it left behind.

    Neither ``signer`` nor ``authority`` is on record for decisions of files before version 4.
    """

    plan_digest: str
    verdict: Verdict
    why: str
    by: str
    at: str
    sequence: int
    head: str
    signer: str | None = None
    authority: Authority | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a scope was charged for a record that was lost; ``why`` names what may have spent it.

    Without an ``order`` it bounds what was spent at every Rényi order; with one, at that order.
    """

    scope: Scope
    units: int
    why: str
    order: int | None = None

    def price(self, order: int | None) -> int | None:
        """Return the most units that it took at an order; None where that is not bounded.

        Rényi divergences grow with the order, so those at a lower one are no larger; a budget of
        rho at the order alpha admits alpha * rho.
        """
        if self.order is None or order == self.order:
            return self.units
        if order is None or order > self.order:
            return None
        return -(-self.units * self.order // order)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproverWord:
    """What one named approver signed about the plan that ``signer`` signed.

    ``key`` is the approver's, ``signed_at`` the approver's own clock, and ``statement`` the signed
    envelope in base64, so that an auditor can check it.
    """

    plan_digest: str
    signer: str
    verdict: Verdict
    why: str
    by: str
    key: str
    signed_at: str
    statement: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedWord:
    """An approver's word as the ledger holds it, with the head that it left behind."""

    word: ApproverWord
    at: str
    sequence: int
    head: str


def genesis_body(*, ledger_id: str, at: str) -> str:
    """Return the body of the first entry."""
    return canonical({"kind": "ledger", "id": ledger_id, "at": at})


def cap_body(scope: Scope, *, cap: int, at: str, order: int | None = None) -> str:
    """Return the body that sets a cap, held at an order if there is one."""
    body = {"kind": "cap", "scope": plain_scope(scope), "cap": cap, "at": at}
    if order is not None:
        body |= {"kind": "rdp-cap", "order": order}
    return canonical(body)


def charge_body(
    *,
    request_id: str,
    request_hash: str,
    cost_units: int,
    scopes: tuple[Scope, ...],
    facts: Facts,
    at: str,
    rdp: Vector | None = None,
    part: Parted | None = None,
) -> str:
    """Return the body of a charge; with ``rdp`` it names the version of the orders.

    A charge to one ``part`` of a split is of a kind of its own: who does not know it has to stop.
    """
    body = {
        "kind": "charge",
        "request": request_id,
        "hash": request_hash,
        "cost": cost_units,
        "scopes": [plain_scope(s) for s in scopes],
        "facts": dict(facts),
        "at": at,
    }
    if rdp is not None:
        body |= {"kind": "rdp-charge", "orders": ORDERS_VERSION, "rdp": list(rdp)}
    if part is not None:
        body |= {"kind": f"parted-{body['kind']}", "split": part.split, "side": part.side.value}
    return canonical(body)


def release_body(*, request_id: str, release: bytes, at: str) -> str:
    """Return the body of a stored release: its digest and size, not its bytes."""
    return canonical(
        {
            "kind": "release",
            "request": request_id,
            "sha256": digest(release),
            "size": len(release),
            "at": at,
        }
    )


def decision_body(
    *,
    plan_digest: str,
    signer: str,
    verdict: Verdict,
    why: str,
    by: str,
    authority: Authority,
    at: str,
) -> str:
    """Return the body of a decision about the plan that ``signer`` signed."""
    return canonical(
        {
            "kind": "plan-decision",
            "plan": plan_digest,
            "signer": signer,
            "verdict": verdict.value,
            "why": why,
            "by": by,
            "authority": authority.value,
            "at": at,
        }
    )


def word_body(word: ApproverWord, *, at: str) -> str:
    """Return the body of what an approver signed."""
    return canonical(
        {
            "kind": "approver-word",
            "plan": word.plan_digest,
            "signer": word.signer,
            "verdict": word.verdict.value,
            "why": word.why,
            "by": word.by,
            "key": word.key,
            "signed_at": word.signed_at,
            "statement": word.statement,
            "at": at,
        }
    )


def loss_body(loss: Loss, *, at: str) -> str:
    """Return the body that charges a scope what a lost record may have spent of it."""
    body: dict[str, Any] = {
        "kind": "loss",
        "scope": plain_scope(loss.scope),
        "units": loss.units,
        "why": loss.why,
        "at": at,
    }
    if loss.order is not None:
        body |= {"kind": "rdp-loss", "order": loss.order}
    return canonical(body)


def recovered_body(*, heads: Sequence[str], lost: Sequence[str], by: str, at: str) -> str:
    """Return the body that says what a ledger once held and no longer does.

    Args:
        heads: of the chain that was lost, which peers hold receipts of.
        lost: ids of requests whose release left, or may have left, and cannot be given again.
    """
    return canonical(
        {
            "kind": "recovered",
            "heads": sorted(heads),
            "lost": sorted(lost),
            "by": by,
            "at": at,
        }
    )


def read_vector(entry: Mapping[str, Any]) -> Vector | None:
    """Return the vector of a charge's entry; raise ValueError when its orders are not known."""
    if "rdp" not in entry:
        return None
    vector = tuple(entry["rdp"])
    if entry["orders"] != ORDERS_VERSION or len(vector) != len(ORDERS):
        raise ValueError("the orders are not known")
    if any(type(v) is not int or v < 0 for v in vector):
        raise ValueError("a divergence is not a whole number")
    return vector


def read_part(entry: Mapping[str, Any]) -> Parted | None:
    """Return which part of a split pays a charge; raise ValueError when there is no such part."""
    if "split" not in entry:
        return None
    return Parted(split=entry["split"], side=Side(entry["side"]))


def read_decision(body: str, *, sequence: int, head: str) -> Decision:
    """Read the body of a decision; raise KeyError or ValueError when it is none."""
    entry = json.loads(body)
    bound = entry["kind"] == "plan-decision"
    return Decision(
        plan_digest=entry["plan"],
        verdict=Verdict(entry["verdict"]),
        why=entry["why"],
        by=entry["by"],
        at=entry["at"],
        sequence=sequence,
        head=head,
        signer=entry["signer"] if bound else None,
        authority=Authority(entry["authority"]) if bound else None,
    )


def read_word(body: str, *, sequence: int, head: str) -> RecordedWord:
    """Read the body of an approver's word; raise KeyError or ValueError when it is none."""
    entry = json.loads(body)
    word = ApproverWord(
        plan_digest=entry["plan"],
        signer=entry["signer"],
        verdict=Verdict(entry["verdict"]),
        why=entry["why"],
        by=entry["by"],
        key=entry["key"],
        signed_at=entry["signed_at"],
        statement=entry["statement"],
    )
    return RecordedWord(word=word, at=entry["at"], sequence=sequence, head=head)


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def next_head(head: str, *, sequence: int, body: str) -> str:
    """Return SHA-256 over the head before, the place in the chain and the body."""
    return hashlib.sha256(f"{head}\n{sequence}\n{body}".encode()).hexdigest()


def plain_scope(scope: Scope) -> list[str]:
    """Return a scope as plain data."""
    return [scope.kind.value, scope.name]


def read_scope(plain: list[str]) -> Scope:
    """Read a scope from plain data; raise ValueError or InvalidArgument when it is none."""
    kind, name = plain
    return Scope(kind=ScopeKind(kind), name=name)


def canonical(entry: Mapping[str, Any]) -> str:
    """Return JSON with sorted keys and no spaces, in ASCII."""
    return canonical_json(entry).decode("ascii")
