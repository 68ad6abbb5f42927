"""Count the marginals of a phase over families: one row a person plainly, all others weighed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.client.families.views import View
from silosynth.common.domain import Domain
from silosynth.common.families import (
    NORM_BINS,
    Phase,
    Question,
    fits_in_int64,
    norm_bins,
    view_domains,
)
from silosynth.common.tables import TablesSchema

_SAFE = 2**62
"""Where a person's number and a cell's would no longer fit in one int64."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counted:
    """The answers of a phase, (cells,) int64 each, before any noise. Private.

    Those of ``weighed`` are in units of scale / F rows. ``norms``: how many persons' stacked counts
    are how long, by :func:`norm_bins`.
    """

    plain: tuple[np.ndarray, ...] = field(repr=False)
    weighed: tuple[np.ndarray, ...] = field(repr=False)
    norms: np.ndarray = field(repr=False)


def count_families(
    blocks: Iterable[Mapping[str, View]], *, schema: TablesSchema, phase: Phase
) -> Counted:
    """Count a phase over whole families, block by block; see :class:`Phase` for what it promises.

    Args: blocks: the views of some persons each, no person in two of them.
    """
    phase.check(schema)
    domains = view_domains(schema)
    plain = [_zeros(domains, q) for q in phase.plain]
    weighed = [_zeros(domains, q) for q in phase.weighed if phase.weighing is not None]
    norms = np.zeros(NORM_BINS, dtype=np.int64)
    for views in blocks:
        persons = len(views[schema.person].person)
        for question, total in zip(phase.plain, plain, strict=True):
            cells = _cells(views[question.view], question)
            total += np.bincount(cells, minlength=len(total))
        squares = add_squares(views, phase.weighed, persons=persons)
        bins = norm_bins(squares)
        norms += np.bincount(bins[bins >= 0], minlength=NORM_BINS)
        if phase.weighing is None:
            continue
        weights = phase.weighing.weights(squares)
        for question, total in zip(phase.weighed, weighed, strict=True):
            view = views[question.view]
            # Exact: a sum of whole numbers below 2^53, for a weight is at most 2^12.
            sums = np.bincount(
                _cells(view, question), weights=weights[view.person], minlength=len(total)
            )
            total += sums.astype(np.int64) * question.scale
    return Counted(plain=tuple(plain), weighed=tuple(weighed), norms=norms)


def add_squares(
    views: Mapping[str, View], questions: Sequence[Question], *, persons: int
) -> np.ndarray:
    """Return (persons,) whole numbers: over all questions, the squares of scale times count.

    int64 where no person can pass it, else Python's own integers, so that none ever wraps.
    """
    rows = np.zeros(persons, dtype=np.int64)
    for name in {q.view for q in questions}:
        np.maximum(rows, np.bincount(views[name].person, minlength=persons), out=rows)
    small = fits_in_int64(rows, [q.scale for q in questions])
    squares = np.zeros(persons, dtype=np.int64 if small else object)
    for question in questions:
        view = views[question.view]
        size = view.domain.size(question.clique)
        cells = _cells(view, question)
        if persons * size > _SAFE:
            kinds, cells = np.unique(cells, return_inverse=True)
            size = max(len(kinds), 1)
        pairs, counts = np.unique(view.person * size + cells, return_counts=True)
        owner = pairs // size
        each = counts if small else counts.astype(object)
        np.add.at(squares, owner, each * each * question.scale**2)
    return squares


def _zeros(domains: Mapping[str, Domain], question: Question) -> np.ndarray:
    return np.zeros(domains[question.view].size(question.clique), dtype=np.int64)


def _cells(view: View, question: Question) -> np.ndarray:
    """Return (rows,) int64, the cell of each row, row-major over the question's clique."""
    sizes = view.domain.sizes(question.clique)
    cells = np.zeros(len(view.person), dtype=np.int64)
    for attribute, size in zip(question.clique, sizes, strict=True):
        cells *= size
        cells += view.columns[view.domain.index(attribute)]
    return cells
