"""What a silo says to a plan: approved, pending or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from silosynth.client.gateway.kept import Records
from silosynth.client.gateway.verify import Doorkeeper, VerifiedPlan
from silosynth.client.ledger.ledger import Ledger
from silosynth.client.policy.rules import needs_person
from silosynth.common.audit.entries import Decision, Scope, ScopeKind
from silosynth.common.audit.entries import Verdict as Decided
from silosynth.common.digest import digest_of
from silosynth.common.errors import (
    ApprovalPending,
    BudgetExceeded,
    CapExceeded,
    PlanRefused,
)
from silosynth.common.messages.release import decode_receipt
from silosynth.common.messages.statements import Answer, Verdict
from silosynth.common.plan.cost import plan_price
from silosynth.common.plan.plan import Plan
from silosynth.common.trust.seal import body_of

MAX_RECEIPTS = 10_000
BY_POLICY = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Judge plans by the policy, by decisions in the ledger, and by what is left to spend."""

    door: Doorkeeper
    ledger: Ledger
    records: Records | None
    tell_operator: Callable[[str], None]

    def judge(self, proposed: VerifiedPlan) -> Verdict:
        """Return the verdict on a plan that the policy's limits allow; it spends nothing.

        Raises PlanRefused when a person refused it, BudgetExceeded when not all of it can be paid,
        InvalidPlan when its noise gives more than its epsilon, RequestConflict when its id is
        taken.
        """
        if proposed.consumer is None:
            return self._verdict(proposed, Answer.APPROVED)
        consumer, plan = proposed.consumer, proposed.plan
        self._check_id(proposed)
        decision = self.ledger.decision(proposed.digest)
        if decision is None:
            check_promise(plan)
            self._check_budget(plan, consumer=consumer)
            waits = needs_person(self.door.rules, plan, consumer=consumer)
            if waits is not None:
                for gone in self.ledger.wait(proposed.digest, proposed.sealed):
                    self.tell_operator(f"plan {gone} waits no longer: newer plans pushed it out")
                return self._verdict(proposed, Answer.PENDING, message=waits)
            self._keep(proposed)
            self.ledger.decide(proposed.digest, Decided.APPROVED, why="automatic", by=BY_POLICY)
        else:
            _check_decision(plan, decision)
            self._keep(proposed)
        return self._verdict(proposed, Answer.APPROVED)

    def require_approval(self, proposed: VerifiedPlan) -> None:
        """Raise ApprovalPending, PlanRefused or RequestConflict unless a plan may be answered."""
        if proposed.consumer is None:
            return
        self._check_id(proposed)
        _check_decision(proposed.plan, self.ledger.decision(proposed.digest))
        self._keep(proposed)

    def present_receipts(self, receipts: Sequence[bytes]) -> None:
        """Show the ledger what receipts prove that others hold, so that an old copy is noticed.

        Guarantees: only receipts that this silo itself signed count, so nobody can fence it with an
        invented one.

        Raises Untrusted for a receipt that is not this silo's, LedgerUnavailable for an old copy.
        """
        if self.door.identity is None or not receipts:
            return
        if len(receipts) > MAX_RECEIPTS:
            raise CapExceeded(f"over {MAX_RECEIPTS} receipts were presented")
        trusted = {self.door.identity.key.public}
        mine = [decode_receipt(data, trusted=trusted) for data in receipts]
        self.ledger.present_heads(
            {r.ledger_head for r in mine}, released={r.request_id for r in mine}
        )

    def _check_id(self, proposed: VerifiedPlan) -> None:
        """Raise RequestConflict when the id of a plan belongs to another one."""
        if self.records is not None and proposed.consumer is not None:
            self.records.check_id(
                consumer=proposed.consumer, plan_id=proposed.plan.id, digest=proposed.digest
            )

    def _keep(self, proposed: VerifiedPlan) -> None:
        """Keep an approved plan: a result is checked against it later."""
        if self.records is not None and proposed.consumer is not None:
            self.records.keep_plan(
                proposed.sealed,
                consumer=proposed.consumer,
                plan_id=proposed.plan.id,
                digest=proposed.digest,
            )

    def _check_budget(self, plan: Plan, *, consumer: str) -> None:
        """Raise BudgetExceeded when dataset, consumer or project cannot pay for all of a plan."""
        for scope in plan_scopes(plan.dataset, consumer, plan.project):
            units = plan_price(plan, order=self.ledger.order(scope))
            if units > self.ledger.remaining(scope):
                raise BudgetExceeded(
                    f"plan {plan.id} costs more than {scope} has left",
                    hint="ask for less, or have the silo's operator grant more",
                )

    def _verdict(
        self, proposed: VerifiedPlan, answer: Answer, *, message: str | None = None
    ) -> Verdict:
        return Verdict(
            silo=self.door.silo,
            plan_digest=proposed.digest,
            answer=answer,
            code=ApprovalPending.code if answer is Answer.PENDING else None,
            message=message,
            ledger_head=self.ledger.head,
        )


def plan_scopes(dataset: str, consumer: str, project: str) -> tuple[Scope, ...]:
    """Return the three budgets that pay for a plan, all of them or none."""
    return (
        Scope(kind=ScopeKind.DATASET, name=dataset),
        Scope(kind=ScopeKind.CONSUMER, name=consumer),
        Scope(kind=ScopeKind.PROJECT, name=project),
    )


def check_promise(plan: Plan) -> None:
    """Raise InvalidPlan when the noise of a plan gives more than the epsilon that it states."""
    # The accountant's libraries are large, and a gateway that waits should not hold them.
    from silosynth.common.plan.budget import check_budget

    check_budget(plan)


def unread_digest(sealed: bytes) -> str:
    """Return the digest of a plan that was not read: of its body as it came, signed or not."""
    return digest_of(body_of(sealed))


def _check_decision(plan: Plan, decision: Decision | None) -> None:
    """Raise ApprovalPending without a decision, PlanRefused when it is a refusal."""
    if decision is None:
        raise ApprovalPending(
            f"plan {plan.id} was not approved here", hint="propose it, and wait for the silo"
        )
    if decision.verdict is not Decided.APPROVED:
        raise PlanRefused(
            f"plan {plan.id} was refused here: {decision.why}", hint="ask the silo's operator"
        )
