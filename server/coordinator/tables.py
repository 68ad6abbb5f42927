"""What a run over several tables asks in each phase, and what its sums are in rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from silosynth.common.families import Answer
from silosynth.common.families import Question as Counted
from silosynth.common.messages import Release, TablesQuestions
from silosynth.common.plan import TABLES_PHASES, PhaseName, Views
from silosynth.server.coordinator.state import State
from silosynth.server.families import ask_families, choose_weighing
from silosynth.server.measuring import add_masked
from silosynth.server.methods import Question


def ask_tables(state: State, phase: PhaseName) -> Question:
    """Return what a phase asks of several tables; T follows from how long persons' counts are.

    Guarantees: it is a function of the schema, the plan and noised sums.
    """
    asked = ask_families(state.tables, left_out=state.plan.unlinked or ())
    kind = TABLES_PHASES[phase]
    questions = {
        Views.PERSONS: asked.persons.plain,
        Views.FIRST: asked.first.plain,
        Views.OTHERS: asked.later.weighed,
    }[kind.views]
    return Question(
        tables=TablesQuestions(
            questions=tuple((q.view, q.clique, q.scale) for q in questions),
            length=_length(state, questions) if kind.weighs else None,
        )
    )


def table_answers(state: State) -> tuple[Answer, ...]:
    """Return every count that was released, summed over the silos, in rows and with its noise."""
    return tuple(answer for phase in state.asked for answer in _answers(state, phase))


def _answers(state: State, phase: PhaseName) -> Iterator[Answer]:
    asked, kind = state.asked[phase].tables, TABLES_PHASES[phase]
    if asked is None or kind.lengths:
        return
    planned = state.plan.phase(phase)
    sums, releases = _summed(state, phase)
    noise = state.plan.noise(planned, length=asked.length or 1)
    variance = float(noise.variance(silos=releases))
    for (view, clique, scale), values in zip(asked.questions, sums, strict=True):
        unit = scale * (planned.fineness or 1)
        yield Answer(
            question=Counted(view=view, clique=clique, scale=scale),
            values=values / unit,
            variance=variance / unit**2,
        )


def _length(state: State, questions: Sequence[Counted]) -> int:
    """Return T, from the noised histogram of the phase that asked how long counts are."""
    weighing = state.plan.weighing
    phase = next(p for p in state.plan.phases if TABLES_PHASES[p.name].lengths)
    (histogram,), releases = _summed(state, phase.name)
    squares = sum(q.scale**2 for q in questions)
    noise = float(state.plan.noise(weighing).variance(silos=releases) * squares)
    return choose_weighing(
        histogram,
        variance=float(state.plan.noise(phase).variance(silos=releases)),
        questions=questions,
        schema=state.tables,
        noise=math.sqrt(noise) / (weighing.fineness or 1),
    ).length


def _summed(state: State, phase: PhaseName) -> tuple[list[np.ndarray], int]:
    """Return the sum of each answer, (cells,) float64, and how many silos' noise is in it.

    It is over the silos that still take part; a shared sum over those that took part in it.
    """
    released = state.releases[phase]
    if state.plan.masked:
        releases: list[Release] = list(released.values())
        sums = add_masked(releases)
    else:
        there = frozenset(state.silos)
        releases = [r for silo, r in released.items() if silo in there]
        sums = [
            np.sum(parts, axis=0) for parts in zip(*(r.marginals for r in releases), strict=True)
        ]
    return [s.astype(np.float64) for s in sums], len(releases)
