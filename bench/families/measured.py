"""Noised answers of whole families, counted in memory: the noise is normal and seeded.

For figures alone: a run counts in the gateways, with exact noise that has no seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.client.families.count import View, add_squares, count_families
from silosynth.common.accounting import rho_for
from silosynth.common.families import NORM_BINS, Answer, Phase, Question, Weighing, norm_bins
from silosynth.common.tables import TablesSchema
from silosynth.server.families import ask_families, choose_weighing, rho_shares

DELTA = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The answers of all phases, and how long a person's counts might be."""

    answers: tuple[Answer, ...]
    weighing: Weighing


def measure(
    schema: TablesSchema,
    views: Mapping[str, View],
    *,
    epsilon: float,
    noises: float = 1.0,
    seed: int = 0,
    left_out: Sequence[str] = (),
) -> Measured:
    """Count all phases over the families of ``views``, and add noise.

    Args: noises: how many times the noise of one silo is in the sum.
    """
    random = np.random.default_rng(seed)
    rho, shares = rho_for(epsilon, DELTA), rho_shares(schema)
    asked = ask_families(schema, left_out=left_out)

    def noised(values: np.ndarray, variance: float) -> np.ndarray:
        found: np.ndarray = values + random.normal(0, variance**0.5, values.shape)
        return found

    def each(part: str, count: int) -> float:
        return noises * count / float(2 * rho * shares[part])

    answers = []
    for part, phase in (("persons", asked.persons), ("first", asked.first)):
        plain = Phase(plain=phase.plain)
        found = count_families([views], schema=schema, phase=plain).plain
        for question, values in zip(phase.plain, found, strict=True):
            variance = each(part, len(phase.plain))
            answers.append(
                Answer(question=question, values=noised(values, variance), variance=variance)
            )
    if not asked.later.weighed:
        return Measured(answers=tuple(answers), weighing=Weighing(fineness=256, length=1))
    weighing = _weighing(schema, views, asked.later.weighed, each=each, noised=noised)
    phase = Phase(weighed=asked.later.weighed, weighing=weighing)
    found = count_families([views], schema=schema, phase=phase).weighed
    for question, values in zip(phase.weighed, found, strict=True):
        scale = question.scale * weighing.fineness
        variance = each("later", 1) * (weighing.length / question.scale) ** 2
        rows = noised(values / scale, variance)
        answers.append(Answer(question=question, values=rows, variance=variance))
    return Measured(answers=tuple(answers), weighing=weighing)


def _weighing(schema, views, questions: Sequence[Question], *, each, noised) -> Weighing:  # type: ignore[no-untyped-def]  # the two are closures of measure
    persons = len(views[schema.person].person)
    bins = norm_bins(add_squares(views, questions, persons=persons))
    norms = np.bincount(bins[bins >= 0], minlength=NORM_BINS)
    variance = each("norms", 1)
    squares = sum(q.scale**2 for q in questions)
    return choose_weighing(
        noised(norms, variance),
        variance=variance,
        questions=questions,
        schema=schema,
        noise=(each("later", 1) * squares) ** 0.5,
    )
