"""Plan a look for drift: everybody, held against a sampler that was handed out before."""

from __future__ import annotations

import math
import secrets
from dataclasses import replace

from silosynth.common.certificate import Certificate
from silosynth.common.digest import NO_DIGEST, digest_of
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.held import Inputs, inputs_digest, work_out
from silosynth.common.plan import EvaluationSettings, Method, Plan
from silosynth.common.sampler import parse_sampler
from silosynth.server.drift.verdict import ALARM, limit_of
from silosynth.server.judging import judging_plan, judging_terms

REPEATS = 6
"""Halves of each pair: what moves from one cell to another shows in all but 1 of 64 choices."""
_SCALE = 2**10
_OF_COUNT = 0.1


def plan_drift(
    trained: Plan,
    sampler: bytes,
    *,
    epsilon: float,
    delta: float | None = None,
    like: Plan | None = None,
    plan_id: str | None = None,
    repeats: int = REPEATS,
) -> tuple[Plan, Inputs]:
    """Return the plan that asks everybody about the sampler of ``trained``, and what it asks.

    Guarantees: it costs a person at most (epsilon, delta); with ``like``, a plan made so before,
    its halves are those of that plan, so that the two releases can be told apart.

    Raises InvalidPlan for a sampler of another plan or schema, and where ``like`` is about another.
    """
    read = parse_sampler(sampler)
    if read.schema.digest != trained.schema_digest:
        raise InvalidPlan(
            f"the sampler is of another schema than plan {trained.id}",
            hint="drift is looked for in the table that the sampler was made of",
        )
    if read.plan_digest != trained.digest:
        raise InvalidPlan("the sampler is of another plan than the run's")
    certificate = Certificate.model_validate(dict(read.certificate))
    if like is None:
        settings = EvaluationSettings(
            trained=trained.digest,
            trained_units=certificate.rho_units,
            trained_epsilon=certificate.epsilon,
            sampler=digest_of(sampler),
            inputs=NO_DIGEST,
            seed=secrets.randbelow(2**31),
            repeats=repeats,
            likelihood=False,
            weights=(_SCALE, 1, 1, 1, 1),
        )
        inputs = work_out(read, settings)
        whole = _weighed(inputs)
    else:
        whole = _settings_of(like, sampler)
        inputs = work_out(read, whole)
    inputs = replace(inputs, settings=whole)
    terms = judging_terms(trained, epsilon=epsilon, delta=delta or trained.privacy.delta)
    name = plan_id or f"{trained.id[:47]}-drift-{secrets.token_hex(4)}"
    return judging_plan(trained, inputs, method=Method.DRIFT, terms=terms, id=name), inputs


def forecast_drift(plan: Plan, inputs: Inputs, *, people: float) -> float:
    """Return the share of people who must move between two cells of a pair to be found, about.

    Before anything is spent: the noise of two releases and the sample of both, as many standard
    errors of it as raise the usual alarm, where the halves tell the two cells apart.
    """
    silos = len(plan.silos)
    noise = float(plan.noise(plan.phases[0]).variance(silos=silos))
    noise /= inputs.settings.weights[0] ** 2
    limit = limit_of(ALARM, halves=inputs.blocks["halves"])
    return limit * math.sqrt(2 * noise / people**2 + 2 / people) / 2


def _weighed(inputs: Inputs) -> EvaluationSettings:
    """Return settings by which the count gets a tenth of the norm's square, and their digest."""
    count = round(_SCALE * math.sqrt(inputs.blocks["halves"] * _OF_COUNT / (1 - _OF_COUNT)))
    return inputs.settings.model_copy(
        update={"weights": (_SCALE, 1, 1, 1, max(count, 1)), "inputs": inputs_digest(inputs)}
    )


def _settings_of(like: Plan, sampler: bytes) -> EvaluationSettings:
    """Return what an earlier plan asked; raise InvalidArgument unless it was about this sampler."""
    if not like.chosen.everybody or like.evaluation is None:
        raise InvalidArgument(
            f"plan {like.id} does not look for drift", hint="name the run of one that does"
        )
    if like.evaluation.sampler != digest_of(sampler):
        raise InvalidArgument(
            f"plan {like.id} looks for drift from another sampler",
            hint="begin anew, without --like: the sampler has changed since",
        )
    return like.evaluation
