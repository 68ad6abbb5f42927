"""Draw rows attribute by attribute, each by a log-linear law of what is known by then.

The law of an attribute is a sum of scores, one of each term: a table of whole numbers, by the codes
of the columns that the term is given. Only integers take part, so that a draw is the same on every
machine; and a row's words follow from its own number, so that it is the same in batches of any
size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from silosynth.common.codec import code_dtype
from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import InvalidSampler
from silosynth.common.generated import even_words, row_words

SCORE_BITS = 12
"""A score is a power of two, in steps of 2^-12 of an exponent."""
MOST_SCORE = 1 << 16
"""No term makes a code more than 65,536 times as likely, or less."""
NEVER = -(1 << 27)
"""The score of a code that cannot be."""
MOST_TERMS = 512
_LEAST = NEVER // 2
Follows: TypeAlias = "Callable[[np.ndarray], dict[str, np.ndarray]]"
"""Says by the codes of an attribute what else is known then."""
_EXACT_BITS = 60
_WORD_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Term:
    """What some columns say of an attribute: (cells of ``given``, codes) int32, row-major."""

    given: Clique
    scores: np.ndarray = field(repr=False)
    forbids: bool = field(init=False, repr=False, default=False)
    """Whether a code of it cannot be."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "forbids", bool((self.scores == NEVER).any()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Draw one attribute: its score is the sum of the terms', of which one may be given nothing.

    ``even``: rows have its codes as often as the law says, but for one in each 64 of them, and not
    as chance has it.
    """

    attribute: str
    terms: tuple[Term, ...]
    even: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chain:
    """The steps that draw a row's own attributes, in their order.

    ``domain`` holds them and all that is known of a row before.

    Guarantees: what can be built can be drawn: each step is given what is known by then, and its
    scores fit its domain. Raises InvalidSampler.
    """

    domain: Domain
    own: Clique
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if sorted(s.attribute for s in self.steps) != sorted(self.own):
            raise InvalidSampler("an attribute is never drawn, or drawn twice")
        known = set(self.domain.attributes) - set(self.own)
        for step in self.steps:
            if not known.issuperset(a for t in step.terms for a in t.given):
                raise InvalidSampler(f"{step.attribute!r} is drawn before what it is given")
            known.add(step.attribute)
            _check_terms(step, domain=self.domain)

    @property
    def given(self) -> Clique:
        """Return the columns that are known before, of those that any step is given."""
        used = {a for s in self.steps for t in s.terms for a in t.given}
        return tuple(a for a in self.domain.attributes if a in used and a not in self.own)

    def draw(
        self,
        known: Mapping[str, np.ndarray],
        *,
        rows: np.ndarray,
        seed: int,
        barred: Mapping[str, np.ndarray] | None = None,
        follows: Mapping[str, Follows] | None = None,
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draw the own attributes of some rows, and say which rows came to an end without a code.

        Args:
            known: (rows,) codes of each column that is known before.
            rows: (rows,) uint64, the number of each: its words are a function of that and the seed.
            barred: by attribute (rows, codes) bool, what each row cannot have.
            follows: by attribute what is known as soon as it is drawn, of its codes.
        Returns: (rows,) unsigned codes by attribute, with what follows, and (rows,) bool, true
            where zeros left none.
        """
        drawn: dict[str, np.ndarray] = {}
        lost = np.zeros(len(rows), dtype=bool)
        for step in self.steps:
            codes, none = draw_step(
                step,
                {**known, **drawn},
                domain=self.domain,
                rows=rows,
                seed=seed,
                barred=(barred or {}).get(step.attribute),
            )
            drawn[step.attribute] = codes
            lost |= none
            if follows is not None and step.attribute in follows:
                drawn |= follows[step.attribute](codes)
        return drawn, lost


def draw_step(
    step: Step,
    known: Mapping[str, np.ndarray],
    *,
    domain: Domain,
    rows: np.ndarray,
    seed: int,
    barred: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one attribute; see :meth:`Chain.draw`."""
    codes = domain.size((step.attribute,))
    scores = np.zeros((len(rows), codes), dtype=np.int32)
    for term in step.terms:
        scores += term.scores[cells_of(known, term.given, domain=domain, rows=len(rows))]
        if term.forbids:
            np.maximum(scores, 2 * NEVER, out=scores)
    np.maximum(scores, 2 * NEVER, out=scores)
    if barred is not None:
        scores[barred] = 2 * NEVER
    best = scores.max(axis=1, initial=2 * NEVER)
    ends = _weights(scores, best=best).cumsum(axis=1, dtype=np.uint32)
    draw = even_words if step.even else row_words
    words = draw(seed=seed, purpose=f"code/{step.attribute}", rows=rows)
    # A total is below 2^31 and a word below 2^32, so that nothing wraps.
    target = (words >> np.uint64(64 - _WORD_BITS)) * ends[:, -1] >> np.uint64(_WORD_BITS)
    found = (ends <= target.astype(np.uint32)[:, None]).sum(axis=1)
    np.minimum(found, codes - 1, out=found)
    return found.astype(code_dtype(codes)), best < _LEAST


def cells_of(
    known: Mapping[str, np.ndarray], given: Clique, *, domain: Domain, rows: int
) -> np.ndarray:
    """Return (rows,) int64, the cell of each row over some columns, row-major."""
    cells = np.zeros(rows, dtype=np.int64)
    for attribute in given:
        cells *= domain.size((attribute,))
        cells += known[attribute]
    return cells


def to_scores(weights: np.ndarray) -> np.ndarray:
    """Return natural logarithms of weights as scores; minus infinity is never."""
    steps = np.rint(np.where(np.isneginf(weights), 0.0, weights) / np.log(2) * (1 << SCORE_BITS))
    scores = np.clip(steps, -MOST_SCORE, MOST_SCORE)
    return np.where(np.isneginf(weights), NEVER, scores).astype(np.int32)


def _check_terms(step: Step, *, domain: Domain) -> None:
    codes = domain.size((step.attribute,))
    if not 1 <= len(step.terms) <= MOST_TERMS:
        raise InvalidSampler(f"{step.attribute!r} has {len(step.terms)} terms, 1 to {MOST_TERMS}")
    for term in step.terms:
        scores = term.scores
        if scores.dtype != np.int32 or scores.shape != (domain.size(term.given), codes):
            raise InvalidSampler(f"the scores of {step.attribute!r} do not fit its domain")
        if ((np.abs(scores) > MOST_SCORE) & (scores != NEVER)).any():
            raise InvalidSampler(f"a score of {step.attribute!r} is out of range")
        scores.setflags(write=False)


def _weights(scores: np.ndarray, *, best: np.ndarray) -> np.ndarray:
    """Return (rows, codes) uint32, the weight of each code, that of the best the largest.

    A code that is never drawn has weight 0; where all are, each has one.
    """
    powers = _powers(scores.shape[1])
    behind = (best[:, None] - scores).view(np.uint32)
    # A power is below 2^30, so that 31 leave nothing of it.
    shift = np.minimum(behind >> np.uint32(SCORE_BITS), np.uint32(31))
    weights: np.ndarray = powers[behind & np.uint32((1 << SCORE_BITS) - 1)] >> shift
    return weights


@lru_cache(maxsize=64)
def _powers(codes: int) -> np.ndarray:
    """Return (4096,) uint32, ``2^-(i / 4096)`` in units so small that codes' sum is below 2^31."""
    bits = 30 - max(codes - 1, 1).bit_length()
    return np.array([p >> (_EXACT_BITS - bits) for p in _exact_powers()], dtype=np.uint32)


@lru_cache(maxsize=1)
def _exact_powers() -> tuple[int, ...]:
    with localcontext(prec=30):
        root = Decimal(2) ** (Decimal(-1) / (1 << SCORE_BITS))
        return tuple(int(root**i * (1 << _EXACT_BITS)) for i in range(1 << SCORE_BITS))


def steps_of(terms: Mapping[str, Sequence[Term]]) -> tuple[Step, ...]:
    """Return the steps of attributes in their order."""
    return tuple(Step(attribute=a, terms=tuple(t)) for a, t in terms.items())
