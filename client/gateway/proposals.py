"""What a silo says to a plan: approved, pending or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from silosynth.client.gateway.judged import part_of, require_others
from silosynth.client.gateway.kept import KeepsRecords
from silosynth.client.gateway.series import check_epoch, check_not_lost, series_caps
from silosynth.client.gateway.verify import Doorkeeper, VerifiedPlan
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Rules, SiloIdentity, approved_by, enough, needs_person
from silosynth.client.roster import RosterBook
from silosynth.common.audit import Authority, Decision, Scope, ScopeKind
from silosynth.common.audit import Verdict as Decided
from silosynth.common.digest import digest_of
from silosynth.common.errors import (
    ApprovalPending,
    BudgetExceeded,
    CapExceeded,
    PlanRefused,
    RequestConflict,
    Untrusted,
)
from silosynth.common.messages import Answer, Verdict, decode_receipt, request_prefix
from silosynth.common.plan import Plan, Series, plan_price
from silosynth.common.trust import PublicKey, Purpose, body_of, unseal

MAX_RECEIPTS = 10_000
BY_POLICY = "policy"
SIGNED = "signed decisions"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """A plan, the key that signed it, and what the policy calls the holder of that key."""

    plan: Plan
    digest: str
    sealed: bytes
    key: PublicKey
    consumer: str

    @property
    def decided(self) -> str:
        """Return the digest that people decide about: the template's, of an epoch."""
        return self.plan.decided if self.plan.series else self.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Judge plans by the policy, by decisions in the ledger, and by what is left to spend.

    Guarantees: what was decided about a plan holds for the key that signed it and for no other;
    a plan that was approved for one key is answered to that key alone, for good. Before the first
    charge an approval is asked of the present policy each time; after it, it stands until a person
    refuses.
    """

    door: Doorkeeper
    ledger: Ledger
    records: KeepsRecords | None
    tell_operator: Callable[[str], None]

    def judge(self, proposed: VerifiedPlan) -> Verdict:
        """Return the verdict on a plan that the policy's limits allow; it spends nothing.

        Raises PlanRefused when a person refused it, BudgetExceeded when not all of it can be paid,
        InvalidPlan when its noise gives more than its epsilon, RequestConflict when its id is
        taken.
        """
        signed = _signed(proposed)
        if signed is None:
            return self._verdict(proposed, Answer.APPROVED)
        self._check_owner(signed)
        check_not_lost(signed.plan, ledger=self.ledger)
        decision = self.ledger.decision(signed.decided, signer=signed.key)
        _check_refused(signed.plan, decision)
        if decision is None or self._lapsed(signed, decision) is not None:
            waits = self._decide(signed)
            if waits is not None:
                return self._verdict(proposed, Answer.PENDING, message=waits)
        check_epoch(signed.plan, ledger=self.ledger)
        if signed.plan.series is not None and self._payer(signed) is None:
            self._check_budget(signed.plan, consumer=signed.consumer)
        self._keep(signed)
        return self._verdict(proposed, Answer.APPROVED)

    def require_approval(self, proposed: VerifiedPlan) -> None:
        """Raise ApprovalPending, PlanRefused or RequestConflict unless a plan may be answered."""
        if (signed := _signed(proposed)) is not None:
            self._require_approved(signed)
        require_others(proposed.plan, part=proposed.part, ledger=self.ledger)

    def _require_approved(self, signed: _Signed) -> None:
        """Raise unless a signed plan was approved, and still is; keep it then."""
        self._check_owner(signed)
        check_not_lost(signed.plan, ledger=self.ledger)
        decision = self.ledger.decision(signed.decided, signer=signed.key)
        _check_refused(signed.plan, decision)
        if decision is None:
            raise ApprovalPending(
                f"plan {signed.plan.id} was not approved here",
                hint="propose it, and wait for the silo",
            )
        lapsed = self._lapsed(signed, decision)
        if lapsed is not None:
            raise ApprovalPending(
                f"plan {signed.plan.id} was approved here before, and is no more: {lapsed}",
                hint="propose it again, and wait for the silo",
            )
        check_epoch(signed.plan, ledger=self.ledger)
        self._keep(signed)
        self._grant(signed.plan)

    def _grant(self, plan: Plan) -> None:
        """Give the budgets of a series that was approved what its template says, durably."""
        caps = series_caps(plan)
        if any(self.ledger.remaining(scope) == 0 for scope in caps):
            self.ledger.grant(caps)

    def _decide(self, signed: _Signed) -> str | None:
        """Approve a plan by the policy or by its approvers, or let it wait and say why."""
        plan, digest = signed.plan, signed.decided
        check_promise(plan)
        self._check_budget(plan, consumer=signed.consumer)
        rules = self.door.rules
        waits = needs_person(rules, plan, consumer=signed.consumer)
        words = self.ledger.words(digest, signer=signed.key)
        authority, by, why = Authority.POLICY, BY_POLICY, "automatic"
        if waits is not None:
            if not enough(words, rules.approvers):
                for gone in self.ledger.wait(digest, signed.sealed, signer=signed.key):
                    self.tell_operator(f"plan {gone} waits no longer: newer plans pushed it out")
                return waits
            authority, why = Authority.APPROVERS, SIGNED
            by = ", ".join(approved_by(words, rules.approvers))
        self._keep(signed)
        self.ledger.decide(
            digest, Decided.APPROVED, signer=signed.key, why=why, by=by, authority=authority
        )
        return None

    def _lapsed(self, signed: _Signed, decision: Decision) -> str | None:
        """Say why an approval holds no more; None while it does.

        Once the first charge is made it holds: what a run has spent is not given back, and half of
        it is worth nothing.
        """
        if self._payer(signed) is not None:
            return None
        if decision.signer is None:
            return "the silo's record does not say for whom"
        rules = self.door.rules
        waits = needs_person(rules, signed.plan, consumer=signed.consumer)
        if waits is None:
            return None
        match decision.authority:
            case Authority.PERSON if not rules.approvers.needed:
                return None
            case Authority.APPROVERS if enough(
                self.ledger.words(signed.decided, signer=signed.key), rules.approvers
            ):
                return None
            case Authority.POLICY:
                return waits
            case _:
                return "this silo's policy asks for other approvers now"

    def _payer(self, signed: _Signed) -> str | None:
        """Return who paid for the first request of a plan, if anybody did."""
        return self.ledger.payer(signed.digest, prefix=request_prefix(signed.digest))

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
        trusted = {self.door.identity.key.public, *self.door.identity.former}
        mine = [decode_receipt(data, trusted=trusted) for data in receipts]
        self.ledger.present_heads(
            {r.ledger_head for r in mine}, released={r.request_id for r in mine}
        )

    def _check_owner(self, signed: _Signed) -> None:
        """Raise RequestConflict when a plan, or its id, belongs to somebody else.

        A plan belongs to the key that it was approved for first. What files before version 4 hold
        says less: there it belongs to who paid for it, and to the signer of the copy that is kept.
        """
        owner = self.ledger.owner(signed.decided)
        payer = self._payer(signed) if owner is None else None
        if owner not in (None, signed.key) or payer not in (None, signed.consumer):
            raise _belongs(signed.plan)
        if self.records is None:
            return
        self.records.check_id(
            consumer=signed.consumer, plan_id=signed.plan.id, digest=signed.digest
        )
        if signed.plan.series is not None:
            self._check_template(signed, series=signed.plan.series)
        kept = self.records.plan(signed.digest)
        if kept not in (None, signed.sealed) and not _signed_by(kept, signed.key):
            raise _belongs(signed.plan)

    def _check_template(self, signed: _Signed, *, series: Series) -> None:
        """Raise PlanRefused where a series of this name was approved with another template."""
        if self.records is None:
            return
        try:
            self.records.check_id(
                consumer=signed.consumer, plan_id=series.name, digest=signed.decided
            )
        except RequestConflict as err:
            raise PlanRefused(
                f"plan {signed.plan.id} is of another template than series {series.name}, which "
                "was approved here",
                hint="leave the template as it is, or have a series of another name approved",
            ) from err

    def _keep(self, signed: _Signed) -> None:
        """Keep an approved plan: a result is checked against it later."""
        if self.records is not None:
            if signed.plan.series is not None:
                self.records.keep_plan(
                    signed.sealed,
                    consumer=signed.consumer,
                    plan_id=signed.plan.series.name,
                    digest=signed.decided,
                )
            self.records.keep_plan(
                signed.sealed,
                consumer=signed.consumer,
                plan_id=signed.plan.id,
                digest=signed.digest,
            )

    def _check_budget(self, plan: Plan, *, consumer: str) -> None:
        """Raise BudgetExceeded when dataset, consumer or project cannot pay for all of a plan."""
        part = part_of(self.door.datasets[plan.dataset], plan)
        for scope in plan_scopes(plan.dataset, consumer, plan.project):
            price = plan_price(plan, order=self.ledger.order(scope))
            units = self.ledger.growth(scope, price, part=part)
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


def payers(proposed: VerifiedPlan) -> tuple[Scope, ...] | None:
    """Return who pays: all scopes in a simulation; dataset, consumer and project otherwise.

    Of an epoch of a series, that epoch and the series as well.
    """
    if proposed.consumer is None:
        return None
    plan = proposed.plan
    return (*plan_scopes(plan.dataset, proposed.consumer, plan.project), *series_caps(plan))


def open_book(
    silo: str, identity: SiloIdentity | None, *, rules: Rules, ledger: Ledger
) -> RosterBook | None:
    """Return the silo's book of rosters; None in simulations, where nothing is signed."""
    if identity is None:
        return None
    return RosterBook(silo=silo, identity=identity, rules=rules, ledger=ledger)


def check_promise(plan: Plan) -> None:
    """Raise InvalidPlan when the noise of a plan gives more than the epsilon that it states."""
    # The accountant's libraries are large, and a gateway that waits should not hold them.
    from silosynth.common.plan import check_budget

    check_budget(plan)


def unread_digest(sealed: bytes) -> str:
    """Return the digest of a plan that was not read: of its body as it came, signed or not."""
    return digest_of(body_of(sealed))


def _signed(proposed: VerifiedPlan) -> _Signed | None:
    """Return a plan with its signer; None in simulations, where nothing is signed."""
    if proposed.key is None or proposed.consumer is None:
        return None
    return _Signed(
        plan=proposed.plan,
        digest=proposed.digest,
        sealed=proposed.sealed,
        key=proposed.key,
        consumer=proposed.consumer,
    )


def _signed_by(sealed: bytes, key: PublicKey) -> bool:
    """Say whether a key sealed a plan."""
    try:
        unseal(sealed, purpose=Purpose.PLAN, trusted={key})
    except Untrusted:
        return False
    return True


def _belongs(plan: Plan) -> RequestConflict:
    """Return the error of a plan that was approved for another coordinator."""
    return RequestConflict(
        f"plan {plan.id} was approved here for another coordinator",
        hint="make a plan of your own, with another id",
    )


def _check_refused(plan: Plan, decision: Decision | None) -> None:
    """Raise PlanRefused when a decision is a refusal."""
    if decision is not None and decision.verdict is not Decided.APPROVED:
        raise PlanRefused(
            f"plan {plan.id} was refused here: {decision.why}", hint="ask the silo's operator"
        )
