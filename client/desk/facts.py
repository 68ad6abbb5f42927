"""What a person has to know of plans, budgets and releases, as plain data of public facts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silosynth.client.desk.families import cost_share, families_facts
from silosynth.client.learning import plan_checkpoint
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Budget, PolicyFile, alone_epsilon, ledger_epsilon
from silosynth.common.accounting import (
    ORDER_UNIT,
    RHO_UNIT,
    held_epsilon,
    rounded_up,
    units_epsilon,
)
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.plan import BOUND, Phase, Plan, gradient_unit, plan_price

Facts = Mapping[str, Any]


def plan_facts(plan: Plan) -> dict[str, Any]:
    """Return what a plan asks, and what that costs."""
    return {
        "id": plan.id,
        "project": plan.project,
        "dataset": plan.dataset,
        "method": plan.method.value,
        "silos": list(plan.silos),
        "epsilon": plan.privacy.epsilon,
        "delta": plan.privacy.delta,
        "ledger_epsilon": ledger_epsilon(plan),
        "trust": plan.trust.value,
        **{name: getattr(plan, name) for name in ("colluders", "absent", "attempts", "peers")},
        "alone_epsilon": alone_epsilon(plan),
        "rows_per_person": plan.privacy.rows_per_person,
        "checkpoint": plan_checkpoint(plan),
        "features": _feature_facts(plan),
        "projection": _projection_facts(plan),
        "central": _central_facts(plan),
        "votes": _vote_facts(plan),
        "evaluation": _evaluation_facts(plan),
        "renews": None if plan.renews is None else plan.renews.sampler,
        "training": _training_facts(plan),
        "families": families_facts(plan),
        "series": _series_facts(plan),
        "phases": [_phase_facts(phase, plan) for phase in plan.phases],
    }


def _vote_facts(plan: Plan) -> Facts | None:
    """Return what rows vote for, and by what they are near to it."""
    if plan.votes is None:
        return None
    what, near = plan.votes.words
    return plan.votes.model_dump(mode="json") | {"what": what, "near": near}


def table_facts(plan: Plan, *, policy: PolicyFile) -> dict[str, Any]:
    """Return the names of the tables that a plan is about, where the policy names several."""
    section = next((s for s in policy.datasets if s.name == plan.dataset), None)
    return {} if section is None or section.tables is None else {"tables": list(section.tables)}


def budget_facts(plan: Plan, *, consumer: str, policy: PolicyFile, ledger: Ledger) -> list[Facts]:
    """Return what each budget that pays for a plan is charged, at the order it is held at."""
    budgets = policy.budgets()
    payers = (
        Scope(kind=ScopeKind.DATASET, name=plan.dataset),
        Scope(kind=ScopeKind.CONSUMER, name=consumer),
        Scope(kind=ScopeKind.PROJECT, name=plan.project),
    )
    return [_charged(plan, s, budgets[s], ledger=ledger) for s in payers if s in budgets]


def _charged(plan: Plan, scope: Scope, stated: Budget, *, ledger: Ledger) -> Facts:
    """Return what one budget is charged, as an epsilon at its own order and delta."""
    order = ledger.order(scope)
    units = plan_price(plan, order=order)
    if order is None or not plan.chosen.samples_persons:
        epsilon = units_epsilon(units, stated.delta)
    else:
        epsilon = held_epsilon(units, order=order, delta=stated.delta)
    return {
        "scope": scope.kind.value,
        "name": scope.name,
        "order": None if order is None else order / ORDER_UNIT,
        "epsilon": epsilon,
        "budget_epsilon": stated.epsilon,
        "delta": stated.delta,
        "share": units / stated.cap.units,
        "left": ledger.remaining(scope) / stated.cap.units,
    }


def _phase_facts(phase: Phase, plan: Plan) -> Facts:
    """Return what one phase asks, and its noise."""
    several = plan.chosen.several_tables
    weighed = {"fineness": phase.fineness, "cost_share": cost_share(plan, phase)}
    return {
        **(weighed if several else {}),
        "name": phase.name.value,
        "marginals": phase.marginals,
        "held": phase.held,
        "cells": phase.cells,
        "bound": phase.bound,
        "noise_deviation": phase.noise.deviation,
    }


def _feature_facts(plan: Plan) -> Facts | None:
    """Return which random features are summed."""
    features = plan.features
    if features is None:
        return None
    return {
        "frequencies": features.frequencies,
        "order": features.order,
        "label": features.label,
        "images": features.images,
    }


def _series_facts(plan: Plan) -> Facts | None:
    """Return what is approved at once with an epoch of a series; its digest is the template's."""
    series = plan.series
    if series is None:
        return None
    delta = plan.privacy.delta
    return {
        "name": series.name,
        "epochs": series.epochs,
        "first": series.first,
        "days": series.days,
        "epoch_epsilon": units_epsilon(series.epoch_units, delta),
        "lifetime_epsilon": units_epsilon(series.lifetime_units, delta),
    }


def _evaluation_facts(plan: Plan) -> Facts | None:
    """Return which sampler rows are held against, and whose: of a share held out, or all."""
    evaluation = plan.evaluation
    if evaluation is None:
        return None
    share = None if plan.held_out is None else str(plan.held_out.share)
    return {"sampler": evaluation.sampler, "trained": evaluation.trained, "share": share}


def _projection_facts(plan: Plan) -> Facts | None:
    """Return onto what rows are projected."""
    projection = plan.projection
    if projection is None:
        return None
    return {"dimensions": projection.dimensions, "label": projection.label}


def _central_facts(plan: Plan) -> Facts | None:
    """Return how pictures are looked at."""
    central = plan.central
    if central is None:
        return None
    return {"pixels": central.pixels, "blocks": central.blocks, "label": central.label}


def _training_facts(plan: Plan) -> Facts | None:
    """Return which network is trained, and how; noise in units of the clip."""
    training = plan.training
    if training is None:
        return None
    phase = plan.phases[-1]
    unit = gradient_unit(clip=training.clip, parameters=phase.cells)
    return {
        "network": training.architecture.kind,
        "weights": phase.cells,
        "rounds": training.rounds,
        "local_steps": training.local_steps,
        "rate": str(phase.rate),
        "clip": training.clip,
        "optimiser": training.optimiser.value,
        "noise_multiplier": phase.noise.deviation / BOUND,
        "noise_deviation": phase.noise.deviation * unit,
    }


def release_facts(ledger: Ledger) -> list[Facts]:
    """Return every release, with what it cost."""
    account = ledger.verify()
    return [
        {
            "request": r.request_id,
            "at": r.at,
            "bytes": r.size,
            "sha256": r.sha256,
            "rho": account.charges[r.request_id].cost_units / RHO_UNIT,
            "facts": dict(account.charges[r.request_id].facts),
        }
        for r in account.releases.values()
    ]


def spent_facts(ledger: Ledger, policy: PolicyFile) -> list[Facts]:
    """Return what each scope has spent and has left, as zCDP rho and epsilon.

    The epsilon is the zCDP conversion at the delta of the scope's budget, as the budget's is. Those
    of the policy come first, then each series and its epochs: at the smallest delta of a data set.
    """
    return [
        *_policy_facts(ledger, policy),
        *_series_spent(ledger, delta=min(stated.delta for stated in policy.budgets().values())),
    ]


def _series_spent(ledger: Ledger, *, delta: float) -> list[Facts]:
    """Return what each series has cost a person who stayed, and each of its epochs."""
    return [
        {
            "scope": scope.kind.value,
            "name": scope.name,
            "spent_rho": spent / RHO_UNIT,
            "remaining_rho": (cap - spent) / RHO_UNIT,
            "spent_epsilon": units_epsilon(spent, delta) if spent else 0.0,
            # Rounded up as what is spent is, so that a cap that is reached reads as reached.
            "epsilon": float(rounded_up(units_epsilon(cap, delta))),
            "delta": delta,
        }
        for scope, cap, spent in ledger.series()
    ]


def _policy_facts(ledger: Ledger, policy: PolicyFile) -> list[Facts]:
    """Return what each scope of the policy has spent and has left."""
    return [
        {
            "scope": scope.kind.value,
            "name": scope.name,
            **budget(ledger, scope),
            "spent_epsilon": spent_epsilon(ledger, scope, delta=stated.delta),
            "epsilon": stated.epsilon,
            "delta": stated.delta,
        }
        for scope, stated in sorted(policy.budgets().items())
    ]


def budget(ledger: Ledger, scope: Scope) -> dict[str, float]:
    """Return what a scope has spent and has left, as zCDP rho."""
    return {
        "spent_rho": ledger.spent(scope) / RHO_UNIT,
        "remaining_rho": ledger.remaining(scope) / RHO_UNIT,
    }


def spent_epsilon(ledger: Ledger, scope: Scope, *, delta: float) -> float:
    """Return what a scope has spent as an epsilon; at its Rényi order once persons were sampled.

    That order was fixed for the whole budget, so of little that was spent it says much.
    """
    units, order = ledger.spent(scope), ledger.order(scope)
    if order is None or all(c.rdp is None for c in ledger.charges() if scope in c.scopes):
        return units_epsilon(units, delta)
    return held_epsilon(units, order=order, delta=delta)
