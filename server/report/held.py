"""What people held out said of a run's sampler, as facts of its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from silosynth.common.certificate import Certificate
from silosynth.common.evaluate import (
    Guarantee,
    guarantee_of,
    held_lamps,
    reuse_measures,
)
from silosynth.common.report import (
    Candidate,
    HeldArea,
    HeldFacts,
    HeldOutFacts,
    Interval,
    Measure,
    ReportFacts,
)
from silosynth.common.sampler import parse_sampler
from silosynth.server.judging import (
    Judgement,
    check_judges,
    describe,
    judgement_words,
    read_candidates,
    read_judgement,
)
from silosynth.server.report.again import run_costs


def with_held_out(facts: ReportFacts, *, run: Path, evaluation: Path) -> ReportFacts:
    """Return a run's report with what the people whom it held out said of its sampler.

    Everything is post-processing of one release. Raises InvalidArgument where ``evaluation`` is no
    evaluation, or one of another run's sampler.
    """
    check_judges(evaluation, run=run)
    judged, sampler = read_judgement(evaluation), (run / "result.sampler").read_bytes()
    read = parse_sampler(sampler)
    certificate = Certificate.model_validate(dict(read.certificate))
    reuse = (
        *reuse_measures(read, sampler_bytes=len(sampler), epsilon=certificate.epsilon, seed=_SEED),
        *run_costs(run, judged.plan),
    )
    held = held_out_facts(
        judged,
        others=read_candidates(evaluation),
        guarantee=guarantee_of(certificate),
        reuse=reuse,
    )
    return facts.model_copy(update={"held_out": held})


_SEED = 1


def held_out_facts(
    judged: Judgement,
    *,
    others: Sequence[Mapping[str, Any]],
    guarantee: Guarantee,
    reuse: Sequence[Measure],
) -> HeldOutFacts:
    """Return a judgement as facts. ``others`` are all that were judged by the same release."""
    told, plan = describe(judged), judged.plan
    whole = held_facts(told)
    return HeldOutFacts(
        plan=plan.id,
        plan_digest=plan.digest,
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        trust=plan.trust.value,
        lamps=held_lamps(whole, guarantee=guarantee, reuse=reuse),
        sentences=tuple(judgement_words(told)),
        whole=whole,
        silos=tuple(held_facts(found, silo=silo) for silo, found in told["silos"].items()),
        candidates=tuple(
            Candidate(
                name=other["name"],
                sampler=other["sampler"],
                near=other["n_eq"]["value"],
                distance=_interval(other["distance"]),
            )
            for other in others
        ),
    )


def held_facts(told: Mapping[str, Any], *, silo: str | None = None) -> HeldFacts:
    """Return what people said, from :func:`silosynth.server.judging.result.describe_found`."""
    return HeldFacts(
        silo=silo,
        people=Interval.model_validate(told["people"]),
        near=Interval.model_validate(told["n_eq"]),
        distance=_interval(told["distance"]),
        independent=told["independent"],
        gain=_interval(told["gain"]),
        areas=tuple(
            HeldArea(target=target, auc=Interval.model_validate(auc))
            for target, auc in told["auc"].items()
        ),
    )


def _interval(told: Mapping[str, Any] | None) -> Interval | None:
    return None if told is None else Interval.model_validate(told)
