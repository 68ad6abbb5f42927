"""Count the marginals of a phase over families: one row a person plainly, all others weighed.

A block of whole families is seen in views: rows with what stands above them, first rows apart, and
later ones with the row before beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.families import (
    NORM_BINS,
    Phase,
    Question,
    first_of,
    later_of,
    norm_bins,
    places_of,
    view_domains,
)
from silosynth.common.tables import TablesSchema, ancestors


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableRows:
    """Some rows of a table, those of a parent together and in order. Private.

    ``codes``: one (rows,) array an attribute, in the order of the row's domain; ``above``: (rows,)
    int64, each row's parent among the rows of the table above; ``person``: (rows,) int64 likewise
    among the persons; ``gaps``: (rows,) codes of how long after the row before each comes, as
    :meth:`GapScale.gap_codes` has them, None for a table without.
    """

    codes: tuple[np.ndarray, ...] = field(repr=False)
    above: np.ndarray = field(repr=False)
    person: np.ndarray = field(repr=False)
    gaps: np.ndarray | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Rows as they are counted: ``columns`` in the order of ``domain``, and whose they are."""

    domain: Domain
    columns: tuple[np.ndarray, ...] = field(repr=False)
    person: np.ndarray = field(repr=False)


def make_views(schema: TablesSchema, rows: Mapping[str, TableRows]) -> dict[str, View]:
    """Return the views of some whole families."""
    domains = view_domains(schema)
    person = rows[schema.person]
    views = {
        schema.person: View(
            domain=domains[schema.person], columns=person.codes, person=person.person
        )
    }
    for name in schema.downward[1:]:
        table = rows[name]
        inherited = _inherited(schema, rows, name)
        first = first_rows(table.above)
        later = np.flatnonzero(~first)
        ends = []
        if name in schema.told_last:
            ends.append(np.append(first[1:], True)[: len(first)].astype(np.uint8))
        views[first_of(name)] = View(
            domain=domains[first_of(name)],
            columns=tuple(c[first] for c in (*table.codes, *inherited, *ends)),
            person=table.person[first],
        )
        columns = [c[later] for c in table.codes]
        start = np.flatnonzero(first)[np.cumsum(first) - 1][later]
        for at in (later - 1, np.maximum(later - 2, start), start):
            columns += [c[at] for c in table.codes]
        columns += [c[later] for c in inherited]
        numbers = np.bincount(table.above)[table.above[later]]
        columns.append(places_of(later - start, numbers))
        columns += [(c[later] == c[later - 1]).astype(np.uint8) for c in table.codes]
        if table.gaps is not None:
            columns += [table.gaps[later], table.gaps[later - 1]]
        columns += [c[later] for c in ends]
        views[later_of(name)] = View(
            domain=domains[later_of(name)], columns=tuple(columns), person=table.person[later]
        )
    return views


def first_rows(above: np.ndarray) -> np.ndarray:
    """Return (rows,) bool, where the rows of a parent begin.

    Args: above: (rows,) each row's parent, those of one together.
    """
    first = np.ones(len(above), dtype=bool)
    first[1:] = above[1:] != above[:-1]
    return first


def _inherited(schema: TablesSchema, rows: Mapping[str, TableRows], name: str) -> list[np.ndarray]:
    """Return the codes of all that stands above each row, nearest table first."""
    found: list[np.ndarray] = []
    at = rows[name].above
    for table in ancestors(schema.tables, name):
        found += [codes[at] for codes in rows[table].codes]
        at = rows[table].above[at]
    return found


_SAFE = 2**62
"""Where a person's number and a cell's would no longer fit in one int64."""

BEYOND, _LONG = 2**61, 1.5 * 2**60
"""Squares above all (F T)^2, which are 2^60 at most, and where they are surely so when rounded."""


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
    """Return (persons,) int64: over all questions, the squares of scale times count.

    Guarantees: exact up to 2^60, and ``BEYOND`` for whoever has more, who weighs nothing by any F
    and T. The way there is the same whatever rows anybody has: one that only long persons take
    would show in the time that an answer takes, at a length that the scales choose.
    """
    squares = np.zeros(persons, dtype=np.int64)
    for question in questions:
        view = views[question.view]
        owner, counts = _counts_by_person(view, question, persons=persons)
        scaled = counts * question.scale
        each, rounded = np.zeros(persons, dtype=np.int64), np.zeros(persons)
        np.add.at(each, owner, scaled * scaled)
        # A sum of whole numbers wraps where it is too long; one of floats says where.
        np.add.at(rounded, owner, scaled.astype(np.float64) ** 2)
        each[rounded > _LONG] = BEYOND
        squares = np.minimum(squares + each, BEYOND)
    return squares


def _counts_by_person(
    view: View, question: Question, *, persons: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return whose each count is that is not 0, and how many rows it has."""
    size, cells = view.domain.size(question.clique), _cells(view, question)
    if persons * size > _SAFE:
        kinds, cells = np.unique(cells, return_inverse=True)
        size = max(len(kinds), 1)
    pairs, counts = np.unique(view.person * size + cells, return_counts=True)
    return pairs // size, counts


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
