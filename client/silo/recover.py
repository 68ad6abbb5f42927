"""Put a lost ledger back: all that may have been spent is charged, and nothing is refunded.

What is known comes from copies, audits and receipts; what is not known is taken for spent. How much
that is depends on what is whole:

- a mirror holds all that ever left: nothing is charged on top;
- where the folder of approved plans is whole, each plan in it is charged in full;
- otherwise every budget is charged all that it has left, or what receipts prove if that is more.

What an earlier recovery charged paid for the ledger that was lost then. It counts against this loss
only where the chain is known to be the newest, so that nothing ran since but what it holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from silosynth.client.gateway import plan_scopes
from silosynth.client.ledger import (
    CopyKind,
    fence_path,
    lengthened,
    noted_mirror,
    read_fence,
)
from silosynth.client.ledger.rebuild import rebuild
from silosynth.client.policy import PolicyFile
from silosynth.client.roster import rosters_of
from silosynth.client.silo.assemble import ledger_path
from silosynth.client.silo.found import Found, KeptPlan, kept_plans
from silosynth.client.silo.lives import forget_unserved, lives_since, note_recovery
from silosynth.client.sums import SUMS
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
    room,
)
from silosynth.common.errors import InvalidArgument, InvalidCopy, LedgerUnavailable, OutputExists
from silosynth.common.files import sync_directory
from silosynth.common.messages import Receipt
from silosynth.common.plan import plan_price


class Basis(StrEnum):
    """What stands for that which no copy holds."""

    MIRROR = "mirror"
    PLANS = "plans"
    ALL = "all"


_ALL = "all that was left"
_COMPARE = (
    "compare it with 'roster show' at the coordinator; approve again what was approved, refuse "
    "again what was refused since the copy"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A ledger that can be put back: its chain, releases, and what is charged for what is lost.

    ``rosters`` holds the version of each project's roster that the silo goes by afterwards. The
    records of sums in ``sums`` are of the lost ledger and are moved away; None where none was lost.
    """

    path: Path
    basis: Basis
    rows: tuple[Row, ...]
    releases: Mapping[str, bytes]
    known: Account
    account: Account
    rosters: Mapping[str, int]
    sums: Path | None

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

    def before(self, scope: Scope, *, why: str | None = None) -> int:
        """Return what earlier recoveries charged a scope, for one reason or for any."""
        order = self.cap(scope).order
        named = (n for n in self.known.losses if n.scope == scope and why in (None, n.why))
        return sum(n.price(order) or 0 for n in named)

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
    newest: bool = False,
) -> Recovery:
    """Work out the ledger of a silo from what was found of it.

    Guarantees: nothing that any copy, audit or receipt holds is charged less than it was, and no
    request that was answered, or may have been, is answered with other noise for the same charge.

    Args:
        basis: what stands for that which no copy holds; None takes the mirror that the policy
            names, if it was not given up, and all that is left otherwise. A copy of a mirror that
            lies elsewhere, or without a note of how long it was, may be an old one, so that it is
            the newest has to be said.
        newest: whether a person says that the ledger given is the one that lay there last. A copy
            of its file looks the same, so nothing but a person can tell.
    Raises OutputExists while there is a ledger, InvalidCopy when what was found contradicts itself
    or the basis, InvalidArgument when something is missing.
    """
    path = ledger_path(policy)
    if path.exists():
        raise OutputExists(f"{path} is there", hint="where it is damaged, move it away and keep it")
    mirror = policy.mirror()
    rows, known = found.longest(at=at)
    noted = noted_mirror(path)
    # Lives of which the chain knows nothing, and has not paid for.
    lives = lives_since(path.parent, heads={*(head for _, _, head in rows), *known.heads})
    old = bool(lives) or len(rows) < noted.entries
    live = mirror is not None and noted.made and noted.path == mirror and not old
    live = live and _longest(found, CopyKind.MIRROR, mirror)
    taken = basis or (Basis.MIRROR if live else Basis.ALL)
    if taken is Basis.MIRROR and not _longest(found, CopyKind.MIRROR):
        raise InvalidArgument(
            "there is no mirror that was followed to the end",
            hint="without one, what is not known counts as spent",
        )
    if newest:
        _check_newest(found, old=old)
    gone = _Gone.of(found, known, fence=fence_path(path))
    owed = _Owed(known=known, caps=policy.scope_caps(), at=at)
    newest = newest or (live and not gone.heads and not gone.lost)
    match taken:
        case Basis.MIRROR:
            gone.check_none(old=old)
        case Basis.PLANS:
            if not gone.proven:
                raise _lacking("the fence names answers that no receipt given is about")
            _charge_plans(owed, policy, found.receipts, newest=newest, lives=len(lives))
        case Basis.ALL:
            _charge_all(owed, policy, found, newest=newest)
    lost = gone.lost if taken is Basis.MIRROR else gone.lost | _unanswered(known)
    if taken is not Basis.MIRROR:
        heads = [*gone.heads, *lives]
        owed.bodies.append(recovered_body(heads=heads, lost=[*lost], by=by, at=at))
    whole = lengthened(rows, tuple(owed.bodies))
    account = replay(whole)
    return Recovery(
        path=path,
        basis=taken,
        rows=whole,
        releases=found.releases(),
        known=known,
        account=account,
        rosters=_rosters(policy, account),
        sums=None if taken is Basis.MIRROR else Path(policy.silo.directory) / SUMS,
    )


def write_recovery(
    recovery: Recovery,
    *,
    reached: Callable[[str], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Make the ledger, whole or not at all; raise LedgerUnavailable when it cannot be.

    Guarantees: where answers may have left that it does not hold, no mask of theirs is made again,
    and a person is told what no copy can know: the newest rosters and refusals.
    """
    if recovery.sums is not None and not recovery.path.exists():
        reached("recover:sums")
        _move_away(recovery.sums)
        note_recovery(recovery.path.parent, head=recovery.account.head)
    elif not recovery.path.exists():
        forget_unserved(recovery.path.parent)
    rebuild(recovery.path, recovery.rows, releases=recovery.releases, reached=reached)
    if recovery.basis is not Basis.MIRROR:
        for project, version in sorted(recovery.rosters.items()):
            tell(f"- project {project!r} goes by version {version} of its roster now: {_COMPARE}")


def _move_away(sums: Path) -> None:
    """Move the records of sums away, durably.

    A session whose vector left, and whose charge is lost, would make the same mask again under
    other noise: the difference of both vectors has no mask.
    """
    try:
        if sums.exists():
            sums.rename(sums.with_name(f"{sums.name}.lost-{secrets.token_hex(4)}"))
        sync_directory(sums.parent)  # also for one that died between the two
    except OSError as err:
        raise LedgerUnavailable(f"cannot move {sums} away: {err.strerror}") from err


def _rosters(policy: PolicyFile, account: Account) -> dict[str, int]:
    """Return the version of each project's roster that a silo goes by."""
    rules = policy.rules()
    return {p: rosters_of(p, rules=rules, steps=account.rosters)[-1].version for p in rules.rosters}


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

    def check_none(self, *, old: bool) -> None:
        """Raise InvalidCopy when a mirror lacks what somebody holds: it was not the newest.

        Args: old: whether what is noted beside the ledger says so.
        """
        if old or self.heads or self.lost:
            raise InvalidCopy(
                "the mirror lacks what a receipt, an audit, the fence or a note beside the ledger "
                "proves: it is an old one",
                hint="find the newest; or use it as a backup, with --basis plans or all",
            )


def _check_newest(found: Found, *, old: bool) -> None:
    """Raise unless a ledger was found that may be the one that lay there last."""
    if not _longest(found, CopyKind.LEDGER):
        raise InvalidArgument(
            "none of the longest copies is a ledger that was moved away",
            hint="what else is the newest is not known; leave --newest out",
        )
    if old:
        raise InvalidCopy(
            "the ledger given is no newest one: it lacks what is noted where it lay",
            hint="leave --newest out; what it lacks is then charged",
        )


def _longest(found: Found, kind: CopyKind, path: Path | None = None) -> bool:
    """Say whether one of the longest copies is whole, of a kind, and lies there.

    A mirror that was given up is of another kind.
    """
    length = len(found.longest_rows())
    return any(
        c.kind is kind and not c.torn and len(c.rows) == length
        for where, c in found.copies.items()
        if path is None or where.resolve() == path.resolve()
    )


def _unanswered(known: Account) -> frozenset[str]:
    """Return requests that were charged when a copy was made, and may have been answered since."""
    return frozenset(known.charges.keys() - known.releases.keys() - known.lost)


def _charge_all(owed: _Owed, policy: PolicyFile, found: Found, *, newest: bool) -> None:
    """Charge each budget all that it has left, or what receipts prove if that is more.

    A receipt whose plan cannot be read may have been paid by any budget: it counts for all. So does
    what the part of a split that paid less may have paid, for nothing, up to the other.
    """
    payers = {p.plan.digest: _payers(p) for p in kept_plans(policy, whole=False)}
    unknown = found.unknown_receipts()
    scopes = {*owed.known.caps, *owed.caps}
    scopes |= {s for r in unknown for s in payers.get(r.plan_digest, ())}
    for scope in sorted(scopes):
        cap = owed.cap(scope)
        left = cap.units - owed.known.spent.get(scope, 0) + room(owed.known.parts, scope)
        proven = sum(r.cost_units for r in unknown if scope in payers.get(r.plan_digest, scopes))
        if newest:
            proven -= owed.before(scope)
        owed.charge(scope, [Loss(scope=scope, units=max(left, proven), why=_ALL, order=cap.order)])


def _lacking(what: str) -> InvalidArgument:
    """Return the error for plans that are not known to be whole."""
    return InvalidArgument(
        what, hint="give all that the coordinators kept, or let all that is left count as spent"
    )


def _charge_plans(
    owed: _Owed,
    policy: PolicyFile,
    receipts: Sequence[Receipt],
    *,
    newest: bool,
    lives: int,
) -> None:
    """Charge each approved plan what it has not been charged yet of its whole price.

    Args: lives: lost ledgers of which the chain knows nothing, each of which may have paid all.
    """
    plans = {p.plan.digest: p for p in kept_plans(policy)}
    named = {d.plan_digest for d in owed.known.claims.values()} | {r.plan_digest for r in receipts}
    named |= {str(c.facts["plan"]) for c in owed.known.charges.values() if "plan" in c.facts}
    if named := named - plans.keys() - {p.plan.decided for p in plans.values()}:
        raise _lacking(f"the folder of plans lacks {min(named)}")
    rests: dict[Scope, list[Loss]] = {}
    for kept in plans.values():
        for scope in _payers(kept):
            rest = _rest(owed, kept, scope, newest=newest)
            rests.setdefault(scope, []).extend([rest, *[_whole(owed, kept, scope)] * lives])
    for scope, losses in sorted(rests.items()):
        owed.charge(scope, losses)


def _payers(kept: KeptPlan) -> tuple[Scope, ...]:
    """Return the budgets that pay for a plan."""
    return plan_scopes(kept.plan.dataset, kept.consumer, kept.plan.project)


def _whole(owed: _Owed, kept: KeptPlan, scope: Scope) -> Loss:
    """Return all that a plan can take from a scope, at the scope's order."""
    order = owed.cap(scope).order
    return Loss(
        scope=scope,
        units=plan_price(kept.plan, order=order),
        why=kept.plan.digest,
        order=order if kept.plan.chosen.samples_persons else None,
    )


def _rest(owed: _Owed, kept: KeptPlan, scope: Scope, *, newest: bool) -> Loss:
    """Return what a plan may still have taken from a scope, at the scope's order.

    What samples no persons costs the same at every order.
    """
    order = owed.cap(scope).order
    charged = sum(
        price(c, order)
        for c in owed.known.charges.values()
        if c.facts.get("plan") == kept.plan.digest and scope in c.scopes
    )
    if newest:
        charged += owed.before(scope, why=kept.plan.digest)
    whole = _whole(owed, kept, scope)
    return replace(whole, units=max(0, whole.units - charged))
