"""What a chain of ledger entries adds up to, if every entry could have been made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from silosynth.common.accounting import price_units
from silosynth.common.audit.entries import (
    GENESIS,
    Cap,
    Charge,
    Decision,
    Loss,
    RecordedWord,
    StoredRelease,
    Verdict,
    canonical,
    next_head,
    read_decision,
    read_part,
    read_scope,
    read_vector,
    read_word,
)
from silosynth.common.audit.rosters import RosterStep, read_roster
from silosynth.common.audit.scopes import Scope, Sums, SumsOf, charge_sums, closed, sums_of
from silosynth.common.errors import InvalidArgument

_CHARGE: Mapping[str, type] = {
    "request": str,
    "hash": str,
    "cost": int,
    "scopes": list,
    "facts": dict,
    "at": str,
}
_RDP_CHARGE: Mapping[str, type] = {**_CHARGE, "orders": int, "rdp": list}
_PART: Mapping[str, type] = {"split": str, "side": str}
_DECISION: Mapping[str, type] = {"plan": str, "verdict": str, "why": str, "by": str, "at": str}
_FIELDS: Mapping[str, Mapping[str, type]] = {
    "ledger": {"id": str, "at": str},
    "cap": {"scope": list, "cap": int, "at": str},
    "rdp-cap": {"scope": list, "cap": int, "order": int, "at": str},
    "charge": _CHARGE,
    "rdp-charge": _RDP_CHARGE,
    "parted-charge": {**_CHARGE, **_PART},
    "parted-rdp-charge": {**_RDP_CHARGE, **_PART},
    "release": {"request": str, "sha256": str, "size": int, "at": str},
    "decision": _DECISION,
    "plan-decision": {**_DECISION, "signer": str, "authority": str},
    "approver-word": {
        **_DECISION,
        "signer": str,
        "key": str,
        "signed_at": str,
        "statement": str,
    },
    "roster": {
        "project": str,
        "version": int,
        "roster": str,
        "change": str,
        "signer": str,
        "by": str,
        "authority": str,
        "statement": str,
        "at": str,
    },
    "loss": {"scope": list, "units": int, "why": str, "at": str},
    "rdp-loss": {"scope": list, "units": int, "why": str, "order": int, "at": str},
    "recovered": {"heads": list, "lost": list, "by": str, "at": str},
}


class BrokenChain(ValueError):
    """An entry does not follow from those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What a chain adds up to; ``decisions`` holds all of them, the newest of a plan counts.

    ``caps`` and ``spent`` are in units at each scope's Rényi order; ``orders`` names those that
    have one. ``claims`` says for whom each plan was approved first; for nobody else it ever is.
    ``losses`` is what was charged for records that were lost, part of ``spent``; ``heads`` are of
    chains that were lost, and the requests in ``lost`` are answered no more. ``parts`` are the two
    sums of each split; of each the larger is in ``spent``.
    """

    ledger_id: str
    entries: int
    head: str
    caps: Mapping[Scope, int]
    spent: Mapping[Scope, int]
    charges: Mapping[str, Charge]
    releases: Mapping[str, StoredRelease]
    decisions: tuple[Decision, ...]
    orders: Mapping[Scope, int] = field(default_factory=dict)
    words: tuple[RecordedWord, ...] = ()
    claims: Mapping[str, Decision] = field(default_factory=dict)
    rosters: tuple[RosterStep, ...] = ()
    losses: tuple[Loss, ...] = ()
    heads: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    parts: Mapping[tuple[Scope, str], Sums] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class _Fold:
    """An account in the making."""

    ledger_id: str = ""
    caps: dict[Scope, int] = field(default_factory=dict)
    spent: dict[Scope, int] = field(default_factory=dict)
    charges: dict[str, Charge] = field(default_factory=dict)
    releases: dict[str, StoredRelease] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    orders: dict[Scope, int] = field(default_factory=dict)
    words: list[RecordedWord] = field(default_factory=list)
    said: dict[tuple[str, str, str], str] = field(default_factory=dict)
    claims: dict[str, Decision] = field(default_factory=dict)
    rosters: list[RosterStep] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    heads: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    parts: dict[tuple[Scope, str], Sums] = field(default_factory=dict)


def replay(rows: Iterable[tuple[int, str, str]]) -> Account:
    """Add up entries (sequence, body, head) in order.

    Guarantees: no scope of the account spent more than its cap, at any entry; every release
    follows its charge.

    Raises BrokenChain naming the first entry that does not follow from those before it.
    """
    fold, head, expected = _Fold(), GENESIS, 0
    for sequence, body, stored_head in rows:
        expected += 1
        if body.isascii():
            head = next_head(head, sequence=sequence, body=body)
        if sequence != expected or head != stored_head:
            raise BrokenChain(f"entry {expected} does not follow from the one before")
        try:
            _apply(fold, body, sequence=sequence, head=head)
        except (KeyError, TypeError, ValueError, RecursionError, InvalidArgument) as err:
            raise BrokenChain(f"entry {sequence} cannot be read") from err
    if not expected:
        raise BrokenChain("it has no first entry")
    return Account(
        ledger_id=fold.ledger_id,
        entries=expected,
        head=head,
        caps=fold.caps,
        spent=fold.spent,
        charges=fold.charges,
        releases=fold.releases,
        decisions=tuple(fold.decisions),
        orders=fold.orders,
        words=tuple(fold.words),
        claims=fold.claims,
        rosters=tuple(fold.rosters),
        losses=tuple(fold.losses),
        heads=frozenset(fold.heads),
        lost=frozenset(fold.lost),
        parts=fold.parts,
    )


def price(charge: Charge, order: int | None) -> int:
    """Return what a charge takes from a scope that is held at ``order``."""
    return price_units(cost_units=charge.cost_units, vector=charge.rdp, order=order)


def repriced(scope: Scope, *, cap: Cap, charges: Iterable[Charge], losses: Iterable[Loss]) -> int:
    """Return what charges and losses of a scope take at the order of its next cap.

    A loss that is not bounded at that order is taken for all that there is.
    """
    spent, _ = repriced_parts(scope, order=cap.order, charges=charges)
    lost = [loss.price(cap.order) for loss in losses if loss.scope == scope]
    spent += sum(units or 0 for units in lost)
    return max(spent, cap.units) if None in lost else spent


def repriced_parts(
    scope: Scope, *, order: int | None, charges: Iterable[Charge]
) -> tuple[int, SumsOf]:
    """Return what charges of a scope take from one person at an order, and the sums of splits."""
    return sums_of(scope, [(c.part, price(c, order)) for c in charges if scope in c.scopes])


def _read(body: str) -> dict[str, Any]:
    """Parse a body that has exactly the fields of its kind, in its one spelling."""
    entry = json.loads(body)
    fields = {"kind": str, **_FIELDS[entry["kind"]]}
    if {name: type(value) for name, value in entry.items()} != fields:
        raise ValueError("its fields are not those of its kind")
    if canonical(entry) != body:
        raise ValueError("it is not spelled as the ledger spells")
    return dict(entry)


def _apply(fold: _Fold, body: str, *, sequence: int, head: str) -> None:
    """Add one entry."""
    entry = _read(body)
    if (entry["kind"] == "ledger") != (sequence == 1):
        raise ValueError("a chain begins once")
    match entry["kind"]:
        case "ledger":
            fold.ledger_id = entry["id"]
        case "cap" | "rdp-cap":
            _apply_cap(fold, entry)
        case "charge" | "rdp-charge" | "parted-charge" | "parted-rdp-charge":
            _apply_charge(fold, entry, sequence=sequence, head=head)
        case "release":
            _apply_release(fold, entry, sequence=sequence, head=head)
        case "decision" | "plan-decision":
            _apply_decision(fold, read_decision(body, sequence=sequence, head=head))
        case "approver-word":
            _apply_word(fold, read_word(body, sequence=sequence, head=head))
        case "roster":
            _apply_roster(fold, read_roster(body, sequence=sequence, head=head))
        case "loss" | "rdp-loss":
            _apply_loss(fold, entry)
        case "recovered":
            _apply_recovered(fold, entry, sequence=sequence)


def _apply_cap(fold: _Fold, entry: dict[str, Any]) -> None:
    """Set one cap; at another order, what was spent is added up anew."""
    scope = read_scope(entry["scope"])
    cap = Cap(units=entry["cap"], order=entry.get("order"))
    fold.spent.setdefault(scope, 0)
    if cap.order != fold.orders.get(scope):
        fold.spent[scope] = repriced(
            scope, cap=cap, charges=fold.charges.values(), losses=fold.losses
        )
        fold.parts |= repriced_parts(scope, order=cap.order, charges=fold.charges.values())[1]
        fold.orders.pop(scope, None)
    if cap.units < fold.spent[scope]:
        raise ValueError("a cap below what was spent")
    fold.caps[scope] = cap.units
    if cap.order is not None:
        fold.orders[scope] = cap.order


def _apply_loss(fold: _Fold, entry: dict[str, Any]) -> None:
    """Charge one scope for what was lost."""
    scope = read_scope(entry["scope"])
    loss = Loss(scope=scope, units=entry["units"], why=entry["why"], order=entry.get("order"))
    units = loss.price(fold.orders.get(scope))
    if loss.units < 1 or units is None or fold.spent[scope] + units > fold.caps[scope]:
        raise ValueError("a loss of nothing, at another order, or above its cap")
    fold.spent[scope] += units
    fold.losses.append(loss)


def _apply_recovered(fold: _Fold, entry: dict[str, Any], *, sequence: int) -> None:
    """Add what was held once, and no longer is; no split before it takes a charge again."""
    heads, lost = entry["heads"], entry["lost"]
    if not all(isinstance(text, str) for text in (*heads, *lost)):
        raise ValueError("no head, or no request")
    fold.heads |= set(heads)
    fold.lost |= set(lost)
    fold.parts = {(s, closed(n, place=sequence)): sums for (s, n), sums in fold.parts.items()}
    for name, charge in fold.charges.items():
        if charge.part is not None:
            part = replace(charge.part, split=closed(charge.part.split, place=sequence))
            fold.charges[name] = replace(charge, part=part)


def _apply_decision(fold: _Fold, decision: Decision) -> None:
    """Add one decision; a plan is approved for one signer alone."""
    fold.decisions.append(decision)
    if decision.signer is None or decision.verdict is not Verdict.APPROVED:
        return
    if fold.claims.setdefault(decision.plan_digest, decision).signer != decision.signer:
        raise ValueError("a plan that was approved for another signer")


def _apply_word(fold: _Fold, recorded: RecordedWord) -> None:
    """Add one approver's word, newer than what the approver said of the same before."""
    word = recorded.word
    place = (word.plan_digest, word.signer, word.key)
    if word.signed_at <= fold.said.get(place, ""):
        raise ValueError("a word that was taken in before")
    fold.said[place] = word.signed_at
    fold.words.append(recorded)


def _apply_roster(fold: _Fold, step: RosterStep) -> None:
    """Add one change of a roster: approved, and ahead of those before it of its project."""
    before = [r.version for r in fold.rosters if r.project == step.project]
    if step.version <= max(before, default=0):
        raise ValueError("a roster that goes back")
    claim = fold.claims.get(step.change)
    if claim is None or claim.signer != step.signer:
        raise ValueError("a roster that nobody approved")
    fold.rosters.append(step)


def _apply_charge(fold: _Fold, entry: dict[str, Any], *, sequence: int, head: str) -> None:
    """Add one charge to all its scopes."""
    charge = Charge(
        request_id=entry["request"],
        request_hash=entry["hash"],
        cost_units=entry["cost"],
        scopes=tuple(read_scope(s) for s in entry["scopes"]),
        facts=entry["facts"],
        at=entry["at"],
        sequence=sequence,
        head=head,
        rdp=read_vector(entry),
        part=read_part(entry),
    )
    if charge.request_id in fold.charges or charge.cost_units < 1 or not charge.scopes:
        raise ValueError("a charge that could not have been made")
    for scope in charge.scopes:
        units = price(charge, fold.orders.get(scope))
        fold.spent[scope] += charge_sums(fold.parts, scope, charge.part, units)
        if fold.spent[scope] > fold.caps[scope]:
            raise ValueError("a charge above its cap")
    fold.charges[charge.request_id] = charge


def _apply_release(fold: _Fold, entry: dict[str, Any], *, sequence: int, head: str) -> None:
    """Add one release to its charge."""
    if entry["request"] not in fold.charges or entry["request"] in fold.releases:
        raise ValueError("a release that was not charged, or a second one")
    fold.releases[entry["request"]] = StoredRelease(
        request_id=entry["request"],
        sha256=entry["sha256"],
        size=entry["size"],
        at=entry["at"],
        sequence=sequence,
        head=head,
    )
