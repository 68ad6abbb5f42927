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

RESULT_VERSION = 2
RESULT, JUDGED, OTHERS = "evaluation.json", "judged.sampler", "candidates.json"
OTHERS_VERSION = 1
TRAINED = "result.sampler"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judgement:
    """A release of counters with the inputs that it is about, and what it says.

    ``alone`` are the counters of each silo, ``silos`` what they say of its own people: where silos
    add noise of their own. A secret sum cannot be taken apart.
    """

    plan: Plan
    inputs: Inputs = field(repr=False)
    values: np.ndarray = field(repr=False)
    variance: float
    found: Evaluation
    alone: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    silos: Mapping[str, Evaluation] = field(default_factory=dict)


def write_judgement(state: State, sampler: bytes, directory: Path) -> Judgement:
    """Write what an evaluation released and what follows, beside its plan; return it.

    The same release gives the same bytes. Raises RunFailed for another sampler than the plan's.
    """
    settings = state.plan.evaluation
    if settings is None or digest_of(sampler) != settings.sampler:
        raise RunFailed("the sampler is not the one that the plan evaluates")
    (released,) = state.measured()[PhaseName.EVALUATION]
    variance = float(released.variance[0])
    judged = _judge(state.plan, sampler, released.values, variance, alone=_alone(state))
    (directory / JUDGED).write_bytes(sampler)
    text = json.dumps(describe(judged), indent=1, sort_keys=True, allow_nan=False) + "\n"
    write_text(directory / RESULT, text, force=True)
    return judged


def read_judgement(directory: Path) -> Judgement:
    """Read an evaluation's directory again; raise InvalidArgument where it is none, or damaged."""
    data = read_found(directory)
    try:
        sampler = (directory / JUDGED).read_bytes()
    except OSError:
        raise InvalidArgument(f"{directory} holds no sampler that was judged") from None
    plan = load_plan(directory / "plan.yaml")
    if plan.evaluation is None or digest_of(sampler) != plan.evaluation.sampler:
        raise InvalidArgument(f"{directory} holds another sampler than its plan evaluates")
    values = np.array(data["released"], dtype=np.float64)
    alone = {silo: np.array(found["released"]) for silo, found in data["silos"].items()}
    return _judge(plan, sampler, values, float(data["variance"]), alone=alone)


def read_found(directory: Path) -> dict[str, Any]:
    """Read what an evaluation found, as :func:`describe` gave it.

    Raises InvalidArgument where there is none, or of another version.
    """
    try:
        data: dict[str, Any] = json.loads((directory / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InvalidArgument(
            f"{directory} holds no evaluation", hint="name the run of a plan that evaluates"
        ) from None
    if data.get("version") != RESULT_VERSION:
        raise InvalidArgument(f"{directory / RESULT}: version {data.get('version')!r} is not known")
    return data


def refuse_evaluation(run: Path) -> None:
    """Raise InvalidArgument where a run evaluated another, and so made no sampler of its own."""
    if (run / RESULT).is_file():
        raise InvalidArgument(
            f"{run.name} evaluated another run, and made no sampler of its own",
            hint=f"see what it says with 'silosynth report RUN --evaluation {run.name}'",
        )


def check_judges(evaluation: Path, *, run: Path) -> None:
    """Raise InvalidArgument unless an evaluation is about a run's own sampler."""
    found, sampler = read_found(evaluation), run / TRAINED
    if not sampler.is_file() or digest_of(sampler.read_bytes()) != found["sampler"]:
        raise InvalidArgument(
            f"{evaluation} evaluates another sampler than that of {run}",
            hint="'silosynth evaluate RUN --with EVAL_RUN' judges others by it",
        )


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


def judge_candidate(directory: Path, sampler: Path, *, name: str) -> Distance:
    """Judge another sampler by the evaluation in a directory, and note there that it was.

    Each sampler is noted once, under the name that it had last; the one that was asked about is
    not another.
    Raises InvalidArgument where it cannot be judged, or the note not be written.
    """
    judged = read_judgement(directory)
    found, digest = judge_again(judged, sampler), digest_of(sampler.read_bytes())
    if digest == judged.inputs.settings.sampler:
        return found
    others = [other for other in read_candidates(directory) if other["sampler"] != digest]
    others.append({"name": name, "sampler": digest, **describe_distance(found)})
    text = json.dumps({"version": OTHERS_VERSION, "candidates": others}, indent=1) + "\n"
    try:
        write_text(directory / OTHERS, text, force=True)
    except OSError as err:
        raise InvalidArgument(
            f"{directory / OTHERS}: what was judged cannot be noted: {err.strerror}",
            hint="make the evaluation's directory one that you may write to",
        ) from err
    return found


def read_candidates(directory: Path) -> list[dict[str, Any]]:
    """Return all other samplers that were judged by an evaluation, in the order of their names.

    Raises InvalidArgument for a note that is damaged or of another version.
    """
    path = directory / OTHERS
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["version"] != OTHERS_VERSION:
            raise InvalidArgument(f"{path}: version {data['version']!r} is not known")
        return sorted(data["candidates"], key=lambda c: (str(c["name"]), str(c["sampler"])))
    except (OSError, ValueError, KeyError, TypeError):
        raise InvalidArgument(
            f"{path} is damaged", hint="take it away: samplers can be judged again for nothing"
        ) from None


def describe(judged: Judgement) -> dict[str, Any]:
    """Return a judgement as plain data."""
    return {
        "version": RESULT_VERSION,
        "plan_digest": judged.plan.digest,
        "sampler": judged.inputs.settings.sampler,
        "epsilon": judged.plan.privacy.epsilon,
        "delta": judged.plan.privacy.delta,
        **describe_found(judged.found),
        "silos": {
            silo: {**describe_found(found), "released": [int(v) for v in judged.alone[silo]]}
            for silo, found in judged.silos.items()
        },
        "variance": judged.variance,
        "released": [int(v) for v in judged.values],
    }


def describe_found(found: Evaluation) -> dict[str, Any]:
    """Return what people said, of all silos or of one, as plain data."""
    return {
        "people": describe_number(found.people),
        **describe_distance(found.distance),
        "gain": None if found.gain is None else describe_number(found.gain),
        "auc": {a.target: describe_number(a.auc) for a in found.areas},
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


def _alone(state: State) -> Mapping[str, np.ndarray]:
    """Return each silo's counters, where its noise is its own; none of a secret sum."""
    if state.plan.masked:
        return {}
    answered = state.releases[PhaseName.EVALUATION]
    return {silo: answered[silo].marginals[0] for silo in state.silos if silo in answered}


def _judge(
    plan: Plan,
    sampler: bytes,
    values: np.ndarray,
    variance: float,
    *,
    alone: Mapping[str, np.ndarray],
) -> Judgement:
    """Return what noised counters say of a sampler, of all silos and of each alone."""
    if plan.evaluation is None:
        raise RunFailed(f"plan {plan.id} evaluates nothing")
    inputs = work_out(parse_sampler(sampler), plan.evaluation)
    noise = float(plan.noise(plan.phase(PhaseName.EVALUATION)).variance(silos=1))
    return Judgement(
        plan=plan,
        inputs=inputs,
        values=values,
        variance=variance,
        found=evaluate_release(inputs, values, variance=variance),
        alone=alone,
        silos={
            silo: evaluate_release(inputs, counters.astype(np.float64), variance=noise)
            for silo, counters in alone.items()
        },
    )
