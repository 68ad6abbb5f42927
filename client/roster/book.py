"""Which rosters a silo goes by, and who may change them: a person of the silo, or what it wrote.

A coordinator signs a change and can do no more. It is gone by once a person at the desk, the
policy's approvers, or as many other silos' persons as the policy asks for have approved it, and
only where it follows from the roster that is gone by now. Other silos' persons are not enough for
another key of a silo that its former key has not signed. So no coordinator slips a silo, a key or
an older roster past a silo's persons, and two silos that were shown different changes of one
version part for good: nothing that follows on one fits on the other.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from silosynth.client.ledger import Ledger
from silosynth.client.policy import Rules, SiloIdentity, approved_by, enough
from silosynth.common.audit import Authority, RosterStep, Verdict
from silosynth.common.errors import (
    ApprovalPending,
    InvalidPlan,
    InvalidPolicy,
    PlanRefused,
    SilosynthError,
    Untrusted,
)
from silosynth.common.messages import Answer, decode_statement
from silosynth.common.messages import Verdict as Said
from silosynth.common.roster import Difference, Roster, RosterChange, compare, open_change
from silosynth.common.trust import PublicKey, Purpose, plain_bytes, plain_text, unseal

BY_PERSON = "seen-by-person"
"""The code of a silo's word that persons approved a change there: such words vouch for it."""
MOST_VOUCHERS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A change that fits on the roster of now, and what it does."""

    change: RosterChange
    signer: PublicKey
    sealed: bytes
    now: Roster
    difference: Difference


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterBook:
    """Read and change the rosters of one silo; what was approved stands in its ledger.

    Guarantees: of each project one roster is gone by, at any time; its version only rises; each
    change follows from the roster before it and leaves this silo's own key as it is.
    """

    silo: str
    identity: SiloIdentity
    rules: Rules
    ledger: Ledger

    def current(self, project: str) -> Roster | None:
        """Return the roster of a project that is gone by; None for a project nobody named."""
        return next(reversed(self.ever(project)), None)

    def ever(self, project: str) -> tuple[Roster, ...]:
        """Return every roster of a project that was gone by since the policy's, oldest first."""
        return rosters_of(project, rules=self.rules, steps=self.ledger.rosters)

    def check(self) -> None:
        """Raise InvalidPolicy where a roster of the policy was changed by hand under a change."""
        for project, version in self.rules.versions.items():
            mine = (s for s in self.ledger.rosters if s.project == project)
            steps = [s for s in mine if s.version > version]
            for before, step in zip(self.ever(project), steps, strict=False):
                if _change_of(step).previous != before.digest:
                    raise InvalidPolicy(
                        f"the roster of project {project!r} in the policy is not the one that "
                        f"version {step.version}, approved at {step.at}, follows from",
                        hint="put it back; or, to begin anew from what the policy says, write "
                        f"roster_version = {steps[-1].version + 1} below the project",
                    )

    def read(self, sealed: bytes) -> Proposed:
        """Return a change that may be approved here now.

        Raises Untrusted unless a coordinator of the policy signed it and every new key asked for
        its place, PlanRefused or InvalidPlan where it does not fit on what is gone by here.
        """
        change, signer = open_change(sealed, trusted=self.identity.coordinators.keys())
        now = self.current(change.project)
        if now is None:
            raise PlanRefused(
                f"project {change.project!r} is not in this silo's policy",
                hint="ask the silo's operator to add it",
            )
        difference = compare(now, change)
        self._check_own(change)
        return Proposed(change=change, signer=signer, sealed=sealed, now=now, difference=difference)

    def judge(self, sealed: bytes, *, vouchers: Sequence[bytes] = ()) -> Said:
        """Return what this silo says to a change: approved, or pending until a person decides.

        Args: vouchers: what other silos said to the same change, each signed by its silo.
        Raises what :meth:`read` raises, and PlanRefused when a person refused it.
        """
        change, signer = open_change(sealed, trusted=self.identity.coordinators.keys())
        step = self._step(change)
        if step is not None:
            return self._said(change, step)
        decision = self.ledger.decision(change.digest, signer=signer)
        if decision is not None and decision.verdict is not Verdict.APPROVED:
            raise PlanRefused(
                f"the change of the roster was refused here: {decision.why}",
                hint="ask the silo's operator",
            )
        proposed = self.read(sealed)
        step = self._by_itself(proposed, vouchers)
        if step is not None:
            return self._said(change, step)
        self.ledger.wait(change.digest, sealed, signer=signer)
        return self._said(change, None)

    def approve(self, sealed: bytes, *, by: str, authority: Authority, why: str) -> RosterStep:
        """Go by a change from now on; raise what :meth:`read` raises unless it still fits."""
        proposed = self.read(sealed)
        change = proposed.change
        step = RosterStep(
            project=change.project,
            version=change.roster,
            roster=change.after.digest,
            change=change.digest,
            signer=proposed.signer,
            by=by,
            authority=authority,
            statement=plain_text(sealed),
            at="",
        )
        return self.ledger.change_roster(step, why=why)

    def _by_itself(self, proposed: Proposed, vouchers: Sequence[bytes]) -> RosterStep | None:
        """Go by a change that signed decisions, or other silos' persons, are enough for."""
        approvers, change = self.rules.approvers, proposed.change
        words = self.ledger.words(change.digest, signer=proposed.signer)
        if enough(words, approvers):
            by = ", ".join(approved_by(words, approvers))
            return self.approve(
                proposed.sealed, by=by, authority=Authority.APPROVERS, why="signed decisions"
            )
        seen = self._vouching(proposed, vouchers)
        if self.rules.vouchers is None or len(seen) < self.rules.vouchers:
            return None
        if self._swaps_keys(proposed):
            return None
        why = f"approved by persons of {', '.join(sorted(seen))}"
        return self.approve(
            proposed.sealed, by="policy", authority=Authority.POLICY, why=why[:2000]
        )

    def _swaps_keys(self, proposed: Proposed) -> bool:
        """Say whether a silo gets a key that its former key has not signed: a person decides that.

        A silo that left and comes back stands by its last key, or two changes would do it.
        """
        difference = proposed.difference
        if any(r.by_previous is None for r in difference.replaced.values()):
            return True
        last = {s: k for r in self.ever(proposed.change.project) for s, k in r.silos.items()}
        return any(last.get(s, r.asked.key) != r.asked.key for s, r in difference.added.items())

    def _vouching(self, proposed: Proposed, vouchers: Sequence[bytes]) -> Collection[str]:
        """Return the silos, by name, whose persons approved this very change.

        Only silos count that were in the roster before it with the key that they keep: who comes in
        by a change has no say in it, and neither has who leaves.
        """
        change, seen = proposed.change, set()
        old = {
            key: name
            for name, key in proposed.now.silos.items()
            if name != self.silo and change.silos.get(name) == key
        }
        for data in vouchers[:MOST_VOUCHERS]:
            try:
                key = unseal(data, purpose=Purpose.VERDICT, trusted=old.keys()).key
                said = decode_statement(data, Said, trusted={key})
            except SilosynthError:
                continue
            about = (said.plan_digest, said.answer, said.code)
            if said.silo == old[key] and about == (change.digest, Answer.APPROVED, BY_PERSON):
                seen.add(said.silo)
        return seen

    def _check_own(self, change: RosterChange) -> None:
        """Raise unless a change leaves this silo its key, and names no key of another role."""
        own = self.identity.key.public
        if change.silos.get(self.silo) != own:
            raise PlanRefused(
                f"the change of the roster names another key of silo {self.silo!r}, or none",
                hint="a silo goes by no roster but one with the key that it runs with",
            )
        others = {*self.identity.coordinators, *self.rules.approvers.names}
        if others & set(change.silos.values()):
            raise InvalidPlan(
                "the change of the roster names the key of a coordinator or approver as a silo's"
            )

    def _step(self, change: RosterChange) -> RosterStep | None:
        """Return when a change was approved here, if it was."""
        return next((s for s in self.ledger.rosters if s.change == change.digest), None)

    def _said(self, change: RosterChange, step: RosterStep | None) -> Said:
        """Return the silo's word on a change."""
        if step is None:
            return Said(
                silo=self.silo,
                plan_digest=change.digest,
                answer=Answer.PENDING,
                code=ApprovalPending.code,
                message="a person of the silo decides about changes of the roster",
                ledger_head=self.ledger.head,
            )
        persons = step.authority is not Authority.POLICY
        return Said(
            silo=self.silo,
            plan_digest=change.digest,
            answer=Answer.APPROVED,
            code=BY_PERSON if persons else None,
            ledger_head=self.ledger.head,
        )


def rosters_of(project: str, *, rules: Rules, steps: Iterable[RosterStep]) -> tuple[Roster, ...]:
    """Return every roster of a project since the policy's, as ``steps`` that were approved say."""
    silos = rules.rosters.get(project)
    if silos is None:
        return ()
    first = Roster(project=project, version=rules.versions.get(project, 0), silos=silos)
    mine = (s for s in steps if s.project == project and s.version > first.version)
    return (first, *(_change_of(s).after for s in mine))


def _change_of(step: RosterStep) -> RosterChange:
    """Return the change that a ledger holds; its signature was checked when it was approved."""
    sealed = plain_bytes(step.statement)
    change, _ = open_change(sealed, trusted={step.signer})
    return change


def says_roster(step: RosterStep) -> bool:
    """Say whether the signed statement of a change, as a ledger or an audit holds it, says so."""
    try:
        change = _change_of(step)
    except (Untrusted, InvalidPlan, ValueError):
        return False
    stated = (step.project, step.version, step.roster, step.change)
    return stated == (change.project, change.roster, change.after.digest, change.digest)
