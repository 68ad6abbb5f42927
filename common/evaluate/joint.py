"""Columns together: distances by cells the model did not choose, correlations, range queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from silosynth.common.domain import Clique, Domain
from silosynth.common.report import Axis, Better, Measure
from silosynth.common.scores import (
    Sides,
    Values,
    all_cliques,
    fixed_cliques,
    marginal_distances,
)
from silosynth.common.scores.value_bins import value_bins
from silosynth.common.seeded import SeededWords

FINE, COARSE = 32, 8
CLIQUES = 200
QUERIES = 500
_WIDEST = 3


def value_distances(sides: Sides, *, seed: int) -> list[Measure]:
    """Return the mean distance over 1 to 4 columns, by quantiles with atoms of their own.

    One and two columns are cut into at most 32 cells each, three and four into at most 8. Of pairs
    the one that lies farthest beyond its ceiling is named.
    """
    found = []
    for ways in range(1, min(len(sides.real.columns), 4) + 1):
        count = FINE if ways < 3 else COARSE
        bins = [value_bins(c, count=count) for c in sides.real.columns]
        domain = Domain(attributes=sides.real.names, shape=tuple(b.size for b in bins))
        tables = [
            [b.cells(c) for b, c in zip(bins, side.columns, strict=True)]
            for side in (sides.real, *sides.others())
        ]
        cliques = _cliques(domain, ways, seed=seed)
        apart = marginal_distances(tables[0], tables[1:], domain=domain, cliques=cliques).T
        found.append(_distance(f"{ways}-way distance of values", [a.mean() for a in apart]))
        if ways == 2:
            worst = int(np.argmax(apart[0] - apart[1]))
            name = " and ".join(cliques[worst])
            marks = [a[worst] for a in apart]
            found.append(_distance("distance of the worst pair", marks, target=name))
    return found


def _distance(name: str, marks: Sequence[float], *, target: str | None = None) -> Measure:
    """Return a distance with its value, ceiling and floor."""
    return Measure(
        axis=Axis.FIDELITY,
        name=name,
        target=target,
        value=float(marks[0]),
        ceiling=float(marks[1]),
        floor=float(marks[2]),
        better=Better.LOW,
    )


def _cliques(domain: Domain, ways: int, *, seed: int) -> tuple[Clique, ...]:
    """Return the cliques that are compared."""
    if ways < 3:
        return all_cliques(domain, ways)
    return fixed_cliques(domain, ways, count=CLIQUES, seed=seed)


def correlation_gaps(sides: Sides) -> list[Measure]:
    """Return mean and largest gap of the rank correlations of all pairs of columns.

    Labels take the order in which the real table shows them, missing values the middle rank.
    """
    if len(sides.real.columns) < 2:
        return []
    real = _correlations(sides.real)
    gaps = [np.abs(_correlations(side) - real) for side in sides.others()]
    return [
        Measure(
            axis=Axis.FIDELITY,
            name=f"correlation gap, {name}",
            value=float(reduce(gaps[0])),
            ceiling=float(reduce(gaps[1])),
            floor=float(reduce(gaps[2])),
            better=Better.LOW,
        )
        for name, reduce in (("mean", np.mean), ("largest", np.max))
    ]


def _correlations(values: Values) -> np.ndarray:
    """Return (pairs,) float64, Spearman's correlation; 0 where a column is constant."""
    ranks = np.stack([_ranks(c.codes if c.listed else c.numbers) for c in values.columns])
    ranks -= ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((ranks**2).sum(axis=1))
    scaled = ranks / np.where(norms > 0, norms, 1)[:, None]
    found: np.ndarray = (scaled @ scaled.T)[np.triu_indices(len(ranks), 1)]
    return found


def _ranks(stored: np.ndarray) -> np.ndarray:
    """Return (rows,) float64, the mean rank of equal values; NaN takes the middle rank."""
    values = stored.astype(np.float64)
    present = ~np.isnan(values)
    _, places, counts = np.unique(values[present], return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks = np.full(len(values), (present.sum() + 1) / 2)
    ranks[present] = middle[places]
    return ranks


def query_errors(sides: Sides, *, seed: int) -> list[Measure]:
    """Return mean and 95th percentile of the errors of 500 questions over up to three columns.

    A question asks how many rows lie in a range of a number, or have one of half the labels.
    """
    questions = _questions(sides.real, seed=seed)
    answers = [_answers(side, questions) for side in (sides.real, *sides.others())]
    errors = [np.abs(a - answers[0]) for a in answers[1:]]
    return [
        Measure(
            axis=Axis.UTILITY,
            name=f"{QUERIES} range queries, {name}",
            value=float(reduce(errors[0])),
            ceiling=float(reduce(errors[1])),
            floor=float(reduce(errors[2])),
            better=Better.LOW,
        )
        for name, reduce in (
            ("mean error", np.mean),
            ("95th percentile of the error", lambda e: np.quantile(e, 0.95)),
        )
    ]


_Question = dict[int, Callable[[np.ndarray], np.ndarray]]


def _questions(real: Values, *, seed: int) -> list[_Question]:
    """Return the questions: by column, which of its values are meant."""
    words = SeededWords(seed=seed, purpose="queries")
    width = min(_WIDEST, len(real.columns))
    chosen = []
    for _ in range(QUERIES):
        order = words.permutation(len(real.columns))[:width]
        chosen.append({int(i): _predicate(real, int(i), words) for i in order})
    return chosen


def _predicate(real: Values, place: int, words: SeededWords) -> Callable[[np.ndarray], np.ndarray]:
    """Return which values of a column a question means."""
    column = real.columns[place]
    if column.listed:
        meant = words.uniform(len(column.labels) + 1) < 0.5
        return lambda codes: np.asarray(meant[codes])
    present = column.numbers[~column.missing]
    if not len(present):
        return np.isnan
    low, high = np.sort(present[words.below(len(present), 2)])
    return lambda numbers: np.asarray((numbers >= low) & (numbers <= high))


def _answers(values: Values, questions: Sequence[_Question]) -> np.ndarray:
    """Return (questions,) float64, the share of rows that each question means."""
    stored = [c.codes if c.listed else c.numbers for c in values.columns]
    found = np.empty(len(questions))
    for i, question in enumerate(questions):
        masks = [meant(stored[place]) for place, meant in question.items()]
        found[i] = np.logical_and.reduce(masks).mean()
    return found
