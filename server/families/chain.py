"""Fit the chain of one view: attribute by attribute, on rows that the laws before it drew."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.families import PREVIOUS
from silosynth.common.forest import (
    NEVER,
    SCORE_BITS,
    Chain,
    Follows,
    Step,
    Term,
    cells_of,
    draw_step,
    to_scores,
)
from silosynth.common.schema import ImpossibleCells
from silosynth.common.tables import table_seed
from silosynth.server.families.evidence import Evidence, Pair
from silosynth.server.families.population import SEED, Population
from silosynth.server.families.regression import (
    IMPOSSIBLE,
    Problem,
    Staying,
    Stays,
    find_staying,
    regress,
    stays_of,
)

FEW_ROWS = 5_000
MOST_OWN = 11.0
"""Of the logarithms of an attribute's own shares."""
MOST_RATIO = 2.0
"""A code that is drawn more often than was noised carries at most so much more of the excess."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How many rows a law is fitted on, and how often it is improved: first on few, then on all."""

    rows: int
    first: int
    then: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Law:
    """What one attribute is fitted to: the columns it is given, and where their codes stand."""

    attribute: str
    codes: int
    share: np.ndarray = field(repr=False)
    pairs: Mapping[str, Pair] = field(repr=False)
    staying: Staying | None = None
    never: tuple[Term, ...] = ()
    barred: np.ndarray | None = field(repr=False, default=None)


def fit_chain(
    evidence: Evidence,
    population: Population,
    *,
    domain: Domain,
    own: Sequence[str],
    zeros: Sequence[ImpossibleCells],
    order: str | None,
    effort: Effort,
    start: Chain | None = None,
    even: Collection[str] = (),
    barred: Mapping[str, np.ndarray] | None = None,
    follows: Mapping[str, Follows] | None = None,
) -> Chain:
    """Fit the laws of a view's own attributes in their order; a function of the arguments.

    Args:
        domain: what rows of the view are and are given.
        zeros: cells that cannot be, of own attributes.
        order: an own attribute whose codes never fall from row to row; None where none does.
        start: laws to begin at, of the same view.
        even: own attributes that are drawn evenly.
        barred: by attribute (rows, codes) bool, what rows of the population cannot have.
        follows: by attribute what is known of these rows as soon as it is drawn.
    """
    known = dict(population.known)
    words = np.arange(population.rows, dtype=np.uint64)
    begun = {s.attribute: s for s in start.steps} if start is not None else {}
    steps = []
    for place, attribute in enumerate(own):
        given = [a for a in known if a not in own] + list(own[:place])
        law = _Law(
            attribute=attribute,
            codes=domain.size((attribute,)),
            share=_share(evidence, attribute),
            pairs=evidence.given(attribute, given),
            staying=find_staying(evidence, attribute, known),
            never=_never(attribute, known, zeros, order=order, domain=domain),
            barred=(barred or {}).get(attribute),
        )
        terms = _fit(law, known, population, evidence=evidence, effort=effort, begun=begun)
        step = Step(attribute=attribute, terms=(*terms, *law.never), even=attribute in even)
        known[attribute], _ = draw_step(
            step,
            known,
            domain=domain,
            rows=words,
            seed=table_seed(SEED, f"fit/{attribute}"),
            barred=law.barred,
        )
        if follows is not None and attribute in follows:
            known |= follows[attribute](known[attribute])
        steps.append(step)
    return Chain(domain=domain, own=tuple(own), steps=tuple(steps))


def _share(evidence: Evidence, attribute: str) -> np.ndarray:
    codes = evidence.domain.size((attribute,))
    return evidence.shares.get(attribute, np.full(codes, 1 / codes))


def _fit(
    law: _Law,
    known: Mapping[str, np.ndarray],
    population: Population,
    *,
    evidence: Evidence,
    effort: Effort,
    begun: Mapping[str, Step],
) -> list[Term]:
    """Return the terms of one law, that of its own shares first."""
    columns = list(law.pairs)
    sizes = [evidence.domain.size((c,)) for c in columns]
    theta, stays = _start(law, columns, sizes, begun.get(law.attribute))
    if population.rows and law.codes > 1:
        for rows, iterations in ((FEW_ROWS, effort.first), (population.rows, effort.then)):
            if iterations:
                part = _part(population.rows, rows)
                problem = _problem(law, known, population, part, evidence=evidence)
                theta, stays = regress(problem, start=(theta, stays), iterations=iterations)
    cuts = np.cumsum([1, *sizes])
    tables = np.split(theta, cuts[:-1])
    scores = [to_scores(t) for t in tables]
    terms = [
        Term(given=given, scores=table)
        for given, table in zip([(), *((c,) for c in columns)], scores, strict=True)
    ]
    return [*terms, law.staying.term(stays)] if law.staying else terms


def _part(all_rows: int, rows: int) -> np.ndarray:
    return (np.arange(min(rows, all_rows)) * all_rows) // min(rows, all_rows)


def _start(
    law: _Law, columns: Sequence[str], sizes: Sequence[int], begun: Step | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return where to begin: the law of a step before, else the column that says most.

    From nothing, the logarithms of many columns that say the same would rise together and slowly.
    """
    before = {t.given: _logarithms(t.scores) for t in begun.terms} if begun is not None else {}
    parts = [np.log(np.maximum(law.share, 1e-7))[None, :]]
    parts += [np.zeros((size, law.codes)) for size in sizes]
    for i, given in enumerate([(), *((c,) for c in columns)]):
        if given in before and before[given].shape == parts[i].shape:
            parts[i] = before[given]
    if begun is None and columns:
        best = max(range(len(columns)), key=lambda i: law.pairs[columns[i]].told)
        parts[best + 1] = law.pairs[columns[best]].logarithms
    stays = law.staying.start(before) if law.staying else np.zeros(0)
    return np.concatenate(parts), stays


def _logarithms(scores: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.where(scores == NEVER, 0.0, scores * np.log(2) / (1 << SCORE_BITS))
    return found


def _problem(
    law: _Law,
    known: Mapping[str, np.ndarray],
    population: Population,
    part: np.ndarray,
    *,
    evidence: Evidence,
) -> Problem:
    """Return the regression of one law on some of the rows.

    A pair's target is what its columns make on these rows, and its excess; the excess of a code
    that is drawn more or less often than was noised goes with it.
    """
    weights = population.weights[part]
    mass = float(weights.sum())
    targets, ridges = [law.share[None, :] * mass], [np.full((1, law.codes), 1e-6)]
    most = [np.full((1, law.codes), MOST_OWN)]
    given = [np.zeros(len(part), dtype=np.int64)]
    begin = 1
    for column, pair in law.pairs.items():
        codes = known[column][part]
        size = pair.excess.shape[0]
        held = np.bincount(codes, weights=weights, minlength=size)
        ratio = _ratio(held / mass, _share(evidence, column))
        targets.append(held[:, None] * law.share + mass * pair.excess * ratio[:, None])
        ridges.append(pair.pull(weights))
        most.append(pair.most)
        given.append(codes.astype(np.int64) + begin)
        begin += size
    return Problem(
        given=np.stack(given, axis=1),
        weights=weights,
        targets=np.concatenate(targets),
        ridge=np.concatenate(ridges),
        most=np.concatenate(most),
        offsets=_offsets(law, known, part, evidence=evidence),
        stays=_stays(law, known, part, weights=weights, evidence=evidence),
    )


def _ratio(drawn: np.ndarray, noised: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.minimum(drawn / np.maximum(noised, 1e-12), MOST_RATIO)
    return found


def _stays(
    law: _Law,
    known: Mapping[str, np.ndarray],
    part: np.ndarray,
    *,
    weights: np.ndarray,
    evidence: Evidence,
) -> Stays | None:
    if law.staying is None:
        return None
    here = {c: known[c][part] for c in law.staying.given}
    drawn = np.bincount(here[law.staying.group], weights=weights, minlength=law.staying.groups)
    ratio = _ratio(drawn / weights.sum(), _share(evidence, law.staying.group))
    return stays_of(law.staying, here, weights=weights, ratio=ratio)


def _offsets(
    law: _Law, known: Mapping[str, np.ndarray], part: np.ndarray, *, evidence: Evidence
) -> np.ndarray | None:
    if not law.never and law.barred is None:
        return None
    found = np.zeros((len(part), law.codes), dtype=np.float32)
    here = {a: c[part] for a, c in known.items()}
    for term in law.never:
        cells = cells_of(here, term.given, domain=evidence.domain, rows=len(part))
        found[term.scores[cells] == NEVER] = IMPOSSIBLE
    if law.barred is not None:
        found[law.barred[part]] = IMPOSSIBLE
    return found


def _never(
    attribute: str,
    known: Collection[str],
    zeros: Sequence[ImpossibleCells],
    *,
    order: str | None,
    domain: Domain,
) -> tuple[Term, ...]:
    """Return what cannot be, as terms of the last attribute of each declaration."""
    found = []
    for zero in zeros:
        others = tuple(a for a in zero.clique if a != attribute)
        if attribute in zero.clique and set(others) <= set(known):
            axes = [zero.clique.index(a) for a in (*others, attribute)]
            mask = zero.mask.transpose(axes).reshape(-1, zero.mask.shape[axes[-1]])
            found.append(_forbidden(others, mask))
    earlier = f"{PREVIOUS}{attribute}"
    if attribute == order and earlier in known:
        size = domain.size((attribute,))
        found.append(_forbidden((earlier,), np.tri(size, k=-1, dtype=bool)))
    return tuple(found)


def _forbidden(given: tuple[str, ...], mask: np.ndarray) -> Term:
    return Term(given=given, scores=np.where(mask, NEVER, 0).astype(np.int32))
