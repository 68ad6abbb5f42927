"""Put a lost ledger back: all that may have been spent is charged, and nothing is refunded.

What is known comes from copies, audits and receipts; what is not known is taken for spent. How much
that is depends on what is whole:

- a mirror holds all that ever left: nothing is charged on top;
- where the folder of approved plans is whole, each plan in it is charged in full;
- otherwise every budget is charged all that it has left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from silosynth.client.gateway import plan_scopes
from silosynth.client.ledger import CopyKind, fence_path, lengthened, read_fence
from silosynth.client.ledger.rebuild import rebuild
from silosynth.client.policy import PolicyFile
from silosynth.client.silo.assemble import ledger_path
from silosynth.client.silo.found import Found, KeptPlan, kept_plans
from silosynth.common.audit import (
    Account,
    Cap,
    Loss,
    Row,
    Scope,
    cap_body,
    loss_body,
    price,
    recovered_body,
    replay,
)
from silosynth.common.errors import InvalidArgument, InvalidCopy, OutputExists
from silosynth.common.messages import Receipt
from silosynth.common.plan import plan_price


class Basis(StrEnum):
    """What stands for that which no copy holds."""

    MIRROR = "mirror"
    PLANS = "plans"
    ALL = "all"


_ALL = "all that was left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A ledger that can be put back: its chain, releases, and what is charged for what is lost."""

    path: Path
    basis: Basis
    rows: tuple[Row, ...]
    releases: Mapping[str, bytes]
    known: Account
    account: Account

    @property
    def charged(self) -> dict[Scope, int]:
        """Return the units that each scope is charged for what was lost."""
        new = self.account.losses[len(self.known.losses) :]  # the others stand before them
        return {s: sum(n.units for n in new if n.scope == s) for s in self.account.caps}


@dataclass(slots=True, kw_only=True)
class _Owed:
    """Caps and losses in the making, on top of a known account."""

    known: Account
    caps: Mapping[Scope, Cap]
    at: str
    bodies: list[str] = field(default_factory=list)

    def cap(self, scope: Scope) -> Cap:
        """Return the larger of the cap on record and that of the policy, at the order on record."""
        stated = self.caps.get(scope, Cap(units=0))
        if scope not in self.known.caps:
            return stated
        units = max(stated.units, self.known.caps[scope])
        return Cap(units=units, order=self.known.orders.get(scope))

    def charge(self, scope: Scope, losses: Sequence[Loss]) -> None:
        """Charge a scope, and let its cap grow where what was spent does not fit below."""
        cap = self.cap(scope)
        spent = self.known.spent.get(scope, 0)
        whole = max(cap.units, spent + sum(loss.units for loss in losses))
        if whole != self.known.caps.get(scope):
            self.bodies.append(cap_body(scope, cap=whole, at=self.at, order=cap.order))
        self.bodies += [loss_body(loss, at=self.at) for loss in losses if loss.units]


def recover(
    policy: PolicyFile,
    found: Found,
    *,
    basis: Basis | None,
    by: str,
    at: str,
) -> Recovery:
    """Work out the ledger of a silo from what was found of it.

    Guarantees: nothing that any copy, audit or receipt holds is charged less than it was, and no
    request that was answered, or may have been, is answered with other noise for the same charge.

    Args:
        basis: what stands for that which no copy holds; None takes the mirror that the policy
            names, if it was not given up, and all that is left otherwise. A copy of a mirror that
            lies elsewhere may be an old one, so that it is the newest has to be said.
    Raises OutputExists while there is a ledger, InvalidCopy when what was found contradicts itself
    or the basis, InvalidArgument when something is missing.
    """
    path = ledger_path(policy)
    if path.exists():
        raise OutputExists(f"{path} is there", hint="where it is damaged, move it away and keep it")
    live = _followed(found, policy.mirror())
    taken = basis or (Basis.MIRROR if live else Basis.ALL)
    if taken is Basis.MIRROR and not _followed(found):
        raise InvalidArgument(
            "there is no mirror that was followed to the end",
            hint="without one, what is not known counts as spent",
        )
    rows, known = found.longest(at=at)
    gone = _Gone.of(found, known, fence=fence_path(path))
    owed = _Owed(known=known, caps=policy.scope_caps(), at=at)
    match taken:
        case Basis.MIRROR:
            gone.check_none()
        case Basis.PLANS:
            _charge_plans(owed, policy, found.receipts, proven=gone.proven)
        case Basis.ALL:
            for scope in sorted({*known.caps, *owed.caps}):
                cap = owed.cap(scope)
                left = cap.units - known.spent.get(scope, 0)
                owed.charge(scope, [Loss(scope=scope, units=left, why=_ALL, order=cap.order)])
    lost = gone.lost if taken is Basis.MIRROR else gone.lost | _unanswered(known)
    if taken is not Basis.MIRROR:
        owed.bodies.append(recovered_body(heads=[*gone.heads], lost=[*lost], by=by, at=at))
    whole = lengthened(rows, tuple(owed.bodies))
    return Recovery(
        path=path,
        basis=taken,
        rows=whole,
        releases=found.releases(),
        known=known,
        account=replay(whole),
    )


def write_recovery(recovery: Recovery, *, reached: Callable[[str], None] = lambda _: None) -> None:
    """Make the ledger, whole or not at all; raise LedgerUnavailable when it cannot be."""
    rebuild(recovery.path, recovery.rows, releases=recovery.releases, reached=reached)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gone:
    """What peers hold, and the known chain does not."""

    heads: frozenset[str]
    lost: frozenset[str]
    proven: bool

    @staticmethod
    def of(found: Found, known: Account, *, fence: Path) -> _Gone:
        """Compare receipts, the fence and the releases on record with what is known."""
        fenced, receipts = read_fence(fence), found.receipts
        rows = found.longest_rows()
        here = {head for _, _, head in rows} | known.heads
        kept = found.releases().keys() | known.lost
        by_receipt = {r.ledger_head for r in receipts} - here
        answered = {r.request_id for r in receipts} - kept
        heads = by_receipt | (set(fenced.heads) - here)
        asked = answered | (set(fenced.released) - kept)
        return _Gone(
            heads=frozenset(heads),
            lost=frozenset(asked | (known.releases.keys() - kept)),
            proven=heads == by_receipt and asked == answered,
        )

    def check_none(self) -> None:
        """Raise InvalidCopy when a mirror lacks what somebody holds: it was not the newest."""
        if self.heads or self.lost:
            raise InvalidCopy(
                "the mirror lacks what a receipt, an audit or the fence proves: it is an old one",
                hint="find the newest; or use it as a backup, with --basis plans or all",
            )


def _followed(found: Found, path: Path | None = None) -> bool:
    """Say whether one of the longest copies is a mirror that was not given up, and lies there."""
    length = len(found.longest_rows())
    return any(
        c.kind is CopyKind.MIRROR and not c.torn and len(c.rows) == length
        for where, c in found.copies.items()
        if path is None or where.resolve() == path.resolve()
    )


def _unanswered(known: Account) -> frozenset[str]:
    """Return requests that were charged when a copy was made, and may have been answered since."""
    return frozenset(known.charges.keys() - known.releases.keys() - known.lost)


def _charge_plans(
    owed: _Owed, policy: PolicyFile, receipts: Sequence[Receipt], *, proven: bool
) -> None:
    """Charge each approved plan what it has not been charged yet of its whole price."""
    plans = {p.plan.digest: p for p in kept_plans(policy)}
    named = {d.plan_digest for d in owed.known.claims.values()} | {r.plan_digest for r in receipts}
    named |= {str(c.facts["plan"]) for c in owed.known.charges.values() if "plan" in c.facts}
    if named - plans.keys() or not proven:
        raise InvalidArgument(
            f"the folder of plans lacks {min(named - plans.keys())}"
            if named - plans.keys()
            else "the fence names answers that no receipt given is about",
            hint="give all that the coordinators kept, or let all that is left count as spent",
        )
    rests: dict[Scope, list[Loss]] = {}
    for kept in plans.values():
        for scope in _payers(kept):
            rests.setdefault(scope, []).append(_rest(owed, kept, scope))
    for scope, losses in sorted(rests.items()):
        owed.charge(scope, losses)


def _payers(kept: KeptPlan) -> tuple[Scope, ...]:
    """Return the budgets that pay for a plan."""
    return plan_scopes(kept.plan.dataset, kept.consumer, kept.plan.project)


def _rest(owed: _Owed, kept: KeptPlan, scope: Scope) -> Loss:
    """Return what a plan may still have taken from a scope, at the scope's order.

    What samples no persons costs the same at every order.
    """
    order = owed.cap(scope).order
    charged = sum(
        price(c, order)
        for c in owed.known.charges.values()
        if c.facts.get("plan") == kept.plan.digest and scope in c.scopes
    )
    digest = kept.plan.digest
    before = (n.price(order) for n in owed.known.losses if n.scope == scope and n.why == digest)
    charged += sum(units or 0 for units in before)
    return Loss(
        scope=scope,
        units=max(0, plan_price(kept.plan, order=order) - charged),
        why=digest,
        order=order if kept.plan.chosen.samples_persons else None,
    )
