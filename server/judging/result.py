"""What a run that evaluated keeps: the noised counters, and all that follows from them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument, RunFailed
from silosynth.common.files import write_text
from silosynth.common.held import (
    Distance,
    Evaluation,
    Inputs,
    Number,
    drawn_pairs,
    evaluate_release,
    judge_other,
    work_out,
)
from silosynth.common.plan import PhaseName, Plan, load_plan
from silosynth.common.sampler import load_sampler, parse_sampler
from silosynth.server.coordinator import State

RESULT_VERSION = 1
RESULT, JUDGED = "evaluation.json", "judged.sampler"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """A release of counters with the inputs that it is about, and what it says."""

    plan: Plan
    inputs: Inputs = field(repr=False)
    values: np.ndarray = field(repr=False)
    variance: float
    found: Evaluation


def write_judgement(state: State, sampler: bytes, directory: Path) -> Judgement:
    """Write what an evaluation released and what follows, beside its plan; return it.

    The same release gives the same bytes. Raises RunFailed for another sampler than the plan's.
    """
    settings = state.plan.evaluation
    if settings is None or digest_of(sampler) != settings.sampler:
        raise RunFailed("the sampler is not the one that the plan evaluates")
    (released,) = state.measured()[PhaseName.EVALUATION]
    variance = float(released.variance[0])
    judged = _judge(state.plan, sampler, released.values, variance)
    (directory / JUDGED).write_bytes(sampler)
    text = json.dumps(describe(judged), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_text(directory / RESULT, text, force=True)
    return judged


def read_judgement(directory: Path) -> Judgement:
    """Read an evaluation's directory again; raise InvalidArgument where it is none, or damaged."""
    try:
        data = json.loads((directory / RESULT).read_text(encoding="utf-8"))
        sampler = (directory / JUDGED).read_bytes()
    except (OSError, ValueError):
        raise InvalidArgument(
            f"{directory} holds no evaluation", hint="name the run of a plan that evaluates"
        ) from None
    if data.get("version") != RESULT_VERSION:
        raise InvalidArgument(f"{directory / RESULT}: version {data.get('version')!r} is not known")
    plan = load_plan(directory / "plan.yaml")
    if plan.evaluation is None or digest_of(sampler) != plan.evaluation.sampler:
        raise InvalidArgument(f"{directory} holds another sampler than its plan evaluates")
    values = np.array(data["released"], dtype=np.float64)
    return _judge(plan, sampler, values, float(data["variance"]))


def judge_again(judged: Judgement, sampler: Path) -> Distance:
    """Return how far another sampler is, by a release that was paid for already: nothing is spent.

    Its ``said`` is by its own bound. Whoever picks the best of many makes it look better than it
    is, so all that were judged belong on the page.
    """
    return judge_other(
        judged.inputs,
        judged.values,
        variance=judged.variance,
        shares=drawn_pairs(load_sampler(sampler), judged.inputs),
    )


def describe(judged: Judgement) -> dict[str, Any]:
    """Return a judgement as plain data."""
    found, settings = judged.found, judged.inputs.settings
    return {
        "version": RESULT_VERSION,
        "plan_digest": judged.plan.digest,
        "sampler": settings.sampler,
        "epsilon": judged.plan.privacy.epsilon,
        "delta": judged.plan.privacy.delta,
        "people": describe_number(found.people),
        **describe_distance(found.distance),
        "gain": None if found.gain is None else describe_number(found.gain),
        "auc": {a.target: describe_number(a.auc) for a in found.areas},
        "variance": judged.variance,
        "released": [int(v) for v in judged.values],
    }


def describe_distance(distance: Distance) -> dict[str, Any]:
    """Return a distance as plain data; what too few people cannot say is null."""
    return {
        "n_eq": describe_number(distance.close),
        "distance": describe_number(distance.mean) if distance.said else None,
        "squared_distance": describe_number(distance.square),
        "independent": distance.independent,
        "said": distance.said,
    }


def describe_number(number: Number) -> Mapping[str, float | None]:
    """Return an estimate with its ends; null where there is none."""
    ends = {"value": number.value, "low": number.low, "high": number.high}
    return {n: v if v is not None and math.isfinite(v) else None for n, v in ends.items()}


def _judge(plan: Plan, sampler: bytes, values: np.ndarray, variance: float) -> Judgement:
    """Return what noised counters say of a sampler."""
    if plan.evaluation is None:
        raise RunFailed(f"plan {plan.id} evaluates nothing")
    inputs = work_out(parse_sampler(sampler), plan.evaluation)
    found = evaluate_release(inputs, values, variance=variance)
    return Judgement(plan=plan, inputs=inputs, values=values, variance=variance, found=found)
