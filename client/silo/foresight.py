"""What a silo would answer to a plan, by its policy and by what is left to spend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from silosynth.client.gateway import (
    Dataset,
    Doorkeeper,
    check_promise,
    permit_plan,
    plan_scopes,
    public_error,
)
from silosynth.client.learning import Checkpoints
from silosynth.client.policy import (
    PolicyFile,
    Rules,
    SiloIdentity,
    alone_epsilon,
    ledger_epsilon,
    needs_person,
)
from silosynth.client.roster import rosters_of
from silosynth.client.silo.assemble import load_identity
from silosynth.client.silo.rows.datasets import open_datasets
from silosynth.common.accounting import ORDER_UNIT
from silosynth.common.audit import Account, Cap, Decision, Scope, Verdict, repriced
from silosynth.common.errors import BudgetExceeded, PlanRefused, SilosynthError
from silosynth.common.messages import Answer
from silosynth.common.plan import Plan, decode_plan, load_plan, plan_price
from silosynth.common.trust import MAGIC, Purpose, unseal


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """An answer that was not given, and why it would be."""

    answer: Answer
    words: tuple[str, ...]


def _present_rules(policy: PolicyFile, account: Account | None) -> Rules:
    """Return the policy's rules with the rosters that were approved since it was written."""
    rules = policy.rules()
    steps = () if account is None else account.rosters
    rosters = {p: rosters_of(p, rules=rules, steps=steps)[-1].silos for p in rules.rosters}
    return replace(rules, rosters=rosters)


def foresee_plan(policy: PolicyFile, path: Path, *, account: Account | None = None) -> Foreseen:
    """Say what a silo would answer to the plan in a file, sealed or not.

    Guarantees: it spends nothing, opens no ledger and reads no table.

    Args: account: what the ledger adds up to; without it, what was spent already and what was
        decided before is not known.
    """
    door = Doorkeeper(
        silo=policy.silo.name,
        datasets=open_datasets(policy, tell_operator=lambda _: None),
        identity=SiloIdentity(key=load_identity(policy), coordinators=policy.consumers()),
        rules=_present_rules(policy, account),
        checkpoints=Checkpoints(policy.checkpoint_folders()),
    )
    try:
        plan, consumers = _read(policy, path)
        dataset = permit_plan(door, plan)
        if isinstance(dataset, Dataset):
            door.checkpoints.require(plan, dataset.schema)
        check_promise(plan)
        decided = {} if account is None else _decided(policy, plan, account)
        _check_refused(plan, consumers, decided)
        _check_budgets(policy, plan, consumers, account=account, decided=decided)
    except SilosynthError as err:
        error = public_error(err)
        return Foreseen(answer=Answer.REFUSED, words=(f"it would be refused: {error}",))
    return _approval(door, plan, consumers, decided=decided)


def _decided(policy: PolicyFile, plan: Plan, account: Account) -> dict[str, Decision]:
    """Return what was decided last about a plan, by the name of the coordinator who signed it."""
    names = policy.consumers()
    return {
        names[d.signer]: d
        for d in account.decisions
        if d.plan_digest == plan.decided and d.signer in names
    }


def _check_refused(plan: Plan, consumers: tuple[str, ...], decided: Mapping[str, Decision]) -> None:
    """Raise PlanRefused when a plan was refused here for all who might have signed it."""
    refusals = [decided[c] for c in consumers if c in decided]
    refusals = [d for d in refusals if d.verdict is not Verdict.APPROVED]
    if consumers and len(refusals) == len(consumers):
        raise PlanRefused(f"plan {plan.id} was refused here: {refusals[0].why}")


def _approval(
    door: Doorkeeper,
    plan: Plan,
    consumers: tuple[str, ...],
    *,
    decided: Mapping[str, Decision],
) -> Foreseen:
    """Say who would approve a plan that is permitted."""
    cost = (
        f"it costs one person at most epsilon {plan.privacy.epsilon:g} at delta "
        f"{plan.privacy.delta:g}; the budgets are charged epsilon {ledger_epsilon(plan):.4g} "
        "(zCDP conversion)"
    )
    if plan.masked:
        cost += f"; standing alone, if masks failed, this silo spends {alone_epsilon(plan):.4g}"
    refused = [c for c in decided if decided[c].verdict is not Verdict.APPROVED]
    waits = {c: needs_person(door.rules, plan, consumer=c) for c in consumers if c not in refused}
    needed = door.rules.approvers.needed
    whom = f"{needed} signed decisions of approvers" if needed else "a person"
    words = tuple(
        f"signed by {c!r} it was approved here on {decided[c].at}" for c in waits if c in decided
    ) + tuple(f"signed by {c!r} it was refused here: {decided[c].why}" for c in refused)
    waits = {c: why for c, why in waits.items() if c not in decided}
    words += tuple(
        f"signed by {consumer!r} it would be approved by the policy itself"
        if why is None
        else f"signed by {consumer!r} it would wait for {whom}: {why}"
        for consumer, why in waits.items()
    )
    pending = any(why is not None for why in waits.values())
    return Foreseen(answer=Answer.PENDING if pending else Answer.APPROVED, words=(cost, *words))


def _read(policy: PolicyFile, path: Path) -> tuple[Plan, tuple[str, ...]]:
    """Return the plan in a file, and the coordinators who signed it or might."""
    consumers = policy.consumers()
    data = path.read_bytes() if path.is_file() else b""
    if data.startswith(MAGIC):
        opened = unseal(data, purpose=Purpose.PLAN, trusted=consumers.keys())
        return decode_plan(opened.body), (consumers[opened.key],)
    return load_plan(path), tuple(consumers.values())


def _check_budgets(
    policy: PolicyFile,
    plan: Plan,
    consumers: tuple[str, ...],
    *,
    account: Account | None,
    decided: Mapping[str, Decision],
) -> None:
    """Raise when nobody may sign, or when a budget cannot pay: were it whole, or as it stands.

    What was approved before is not held against what is left: part of it may be spent already.
    """
    if not consumers:
        raise PlanRefused("the policy trusts no coordinator", hint="add one under [[coordinators]]")
    caps = policy.scope_caps()
    for consumer in consumers:
        for scope in plan_scopes(plan.dataset, consumer, plan.project):
            cap = caps[scope]
            if plan_price(plan, order=cap.order) > cap.units:
                raise BudgetExceeded(
                    f"it costs more than the whole budget of {scope}", hint=_order_hint(plan, cap)
                )
            if account is None or consumer in decided:
                continue
            left = cap.units - _spent(account, scope, cap)
            if plan_price(plan, order=cap.order) > left:
                raise BudgetExceeded(
                    f"it costs more than {scope} has left",
                    hint=f"{max(0, left) / cap.units:.1%} of that budget is left",
                )


def _spent(account: Account, scope: Scope, cap: Cap) -> int:
    """Return what a scope has spent, at the order that the policy holds it at."""
    if account.orders.get(scope) == cap.order:
        return account.spent.get(scope, 0)
    return repriced(scope, cap=cap, charges=account.charges.values(), losses=account.losses)


def _order_hint(plan: Plan, cap: Cap) -> str | None:
    """Say so when a plan that samples persons is dear at the budget's Rényi order alone."""
    if cap.order is None or not plan.chosen.samples_persons:
        return None
    return (
        f"its budget is held at the Rényi order {cap.order / ORDER_UNIT:.3g}; 'order' in the "
        "policy's budget sets another"
    )
