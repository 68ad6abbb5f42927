"""What is asked of families, by which weights, and what comes back: no row is needed to say it.

One whole-number weight a person bounds all that it adds to a phase to F times T at most. The rows
of a person are many, and one of them would be paid for as the worst case. Weighing the person's
counts over all marginals of a phase together bounds their length instead, whatever the number of
rows (docs/decisions/082-families.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan
from silosynth.common.families.views import single_views, view_domains
from silosynth.common.tables import TablesSchema

NORM_BINS = 48
MOST_FINENESS = 2**12
MOST_LENGTH = 2**18
MOST_SCALE = 2**10


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighing:
    """The public numbers of a phase: F, how finely weights are told apart, and T, the length kept.

    Guarantees: a person's weighed counts, stacked over all marginals of the phase, have an L2 norm
    of at most ``sensitivity``, exactly.

    >>> Weighing(fineness=256, length=3).sensitivity
    768
    """

    fineness: int
    length: int

    def __post_init__(self) -> None:
        for name, most in (("fineness", MOST_FINENESS), ("length", MOST_LENGTH)):
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidPlan(f"{name} {value!r} is not a whole number from 1 to {most:,}")

    @property
    def sensitivity(self) -> int:
        """Return F times T, in units of weighed counts."""
        return self.fineness * self.length

    def weights(self, squares: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return (persons,) int64, ``min(F, isqrt(F^2 T^2 // s))``; 0 where s is 0.

        Guarantees: ``w^2 s <= F^2 T^2`` in whole numbers, and each weight is a function of its
        own ``s``.

        Args: squares: (persons,) whole numbers, as :func:`add_squares` makes them, of any size.
        """
        bound = self.sensitivity**2
        if isinstance(squares, np.ndarray) and squares.dtype.kind == "i":
            room = np.minimum(bound // np.maximum(squares, 1), self.fineness**2)
            root = np.sqrt(room.astype(np.float64)).astype(np.int64)
            root -= root * root > room
            root += (root + 1) * (root + 1) <= room
            return np.where(squares > 0, root, 0)
        each = [min(self.fineness, math.isqrt(bound // int(s))) if s else 0 for s in squares]
        return np.array(each, dtype=np.int64)


def norm_bins(squares: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return (persons,) int64, ``floor(4 log2 norm)`` up to the last bin; -1 where there is none.

    Exactly: the largest k with ``2^k <= s^2``, for ``4 log2 sqrt(s) = log2 s^2``.
    """
    each = [min((int(s) ** 2).bit_length(), NORM_BINS) - 1 for s in squares]
    return np.array(each, dtype=np.int64)


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
