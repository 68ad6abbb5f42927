"""What is asked of families, and what comes back of it: no row is needed to say either."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.families.views import single_views, view_domains
from silosynth.common.families.weights import MOST_SCALE, Weighing
from silosynth.common.tables import TablesSchema

MOST_CELLS = 2**40
"""Cells of a question, so that the number of one fits in an int64 however it is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Ask for the counts of a view over ``clique``, times ``scale``, a public whole number."""

    view: str
    clique: Clique
    scale: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What is asked of families in one round trip; without a weighing only how long persons are.

    Guarantees, of what a client counts: a person with all its rows, more or less, moves each
    answer of ``plain`` by at most one in one cell; all answers of ``weighed`` together by an L2
    norm of at most ``weighing.sensitivity``; the histogram of norms by one in one cell; and
    nothing of anybody else.
    """

    plain: tuple[Question, ...] = ()
    weighed: tuple[Question, ...] = ()
    weighing: Weighing | None = None

    def check(self, schema: TablesSchema) -> None:
        """Raise InvalidPlan for a question that the schema has no answer to, or not plainly."""
        domains, single = view_domains(schema), single_views(schema)
        for question in (*self.plain, *self.weighed):
            if question.view not in domains:
                listed = ", ".join(map(repr, domains))
                raise InvalidPlan(f"there is no view {question.view!r}", hint=f"known: {listed}")
            if (cells := domains[question.view].size(question.clique)) > MOST_CELLS:
                raise InvalidPlan(f"{cells} cells are asked in {question.view!r}")
            if type(question.scale) is not int or not 1 <= question.scale <= MOST_SCALE:
                raise InvalidPlan(f"scale {question.scale!r} is not from 1 to {MOST_SCALE}")
        for question in self.plain:
            if question.view not in single:
                raise InvalidPlan(f"a person may have several rows in {question.view!r}; weigh it")
            if question.scale != 1:
                raise InvalidPlan("a plain question has no scale")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """A noised answer, summed over silos: (cells,) float64 in rows, its ``variance`` in rows^2.

    Those of weighed questions are divided by the scale and F, and are sums of weighed rows.
    """

    question: Question
    values: np.ndarray = field(repr=False)
    variance: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answers:
    """What a phase brought back; ``norms`` is (NORM_BINS,) float64, in persons."""

    plain: tuple[Answer, ...] = ()
    weighed: tuple[Answer, ...] = ()
    norms: np.ndarray = field(repr=False)
    norms_variance: float
