"""Column Shapes and Column Pair Trends, as SDMetrics 0.32 defines them, by our own code.

Both compare tables as they come out of :meth:`silosynth.common.codec.codec.Codec.decode`. A score
is 1 for equal and 0 for unlike, and NaN where it is not defined; the mean leaves those out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from silosynth.common.codec import TableLike, as_table, distinct, flatten, read_numbers, to_texts
from silosynth.common.schema import CodedAttribute, Schema, as_numeric
from silosynth.common.scores.metrics import joint_codes, total_variations

REPORT_CORRELATION = 0.5
REPORT_ASSOCIATION = 0.3
_BINS = 10

_Sides = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pair:
    """One column, real and synthetic: ``numbers`` if it is numeric, and ``codes`` in any case.

    ``numbers`` are (rows,) float64 with NaN for missing. ``codes`` are (rows,) int64 below
    ``size``, the same in both tables for a category, and 0 for a missing one.
    """

    name: str
    numbers: _Sides | None
    codes: _Sides
    size: int


def mean_score(scores: Iterable[float]) -> float:
    """Return the mean of the scores that are defined, NaN when none is."""
    defined = [score for score in scores if score == score]
    return sum(defined) / len(defined) if defined else float("nan")


def column_shapes(real: TableLike, synthetic: TableLike, *, schema: Schema) -> dict[str, float]:
    """Score each column: KSComplement for numbers and instants, TVComplement for the others.

    KSComplement is 1 minus the largest distance of the empirical distribution functions,
    TVComplement 1 minus the total variation distance. Missing values are left out.
    """
    return {pair.name: _shape(pair) for pair in _read(real, synthetic, schema=schema)}


def column_pair_trends(
    real: TableLike,
    synthetic: TableLike,
    *,
    schema: Schema,
    correlation_above: float = 0.0,
    association_above: float = 0.0,
) -> dict[tuple[str, str], float]:
    """Score each pair of columns.

    Two numeric columns get CorrelationSimilarity, 1 - |r - s| / 2 of the Pearson correlations over
    rows without missing values. Other pairs get ContingencySimilarity, 1 minus the total variation
    distance of the joint frequencies; missing is a category there, and a numeric column is cut
    into ten bins of one width between the smallest and the largest value of its own table, with
    the largest value and the missing ones in an eleventh.

    Pairs whose real |r|, or whose real Cramér's V, is not above a positive threshold are NaN.
    SDMetrics' quality report has used ``REPORT_CORRELATION`` and ``REPORT_ASSOCIATION`` of late,
    and no threshold before; it also scores 50,000 random rows where there are more.
    """
    pairs = _read(real, synthetic, schema=schema)
    return {
        (a.name, b.name): _similar_correlation(a.numbers, b.numbers, above=correlation_above)
        if a.numbers is not None and b.numbers is not None
        else _similar_contingency(a, b, above=association_above)
        for a, b in combinations(pairs, 2)
    }


def _shape(pair: _Pair) -> float:
    if pair.numbers is not None:
        sides = [np.sort(numbers[~np.isnan(numbers)]) for numbers in pair.numbers]
        return 1 - _largest_gap(*sides) if all(map(len, sides)) else float("nan")
    sides = [codes[codes > 0] for codes in pair.codes]
    if not all(map(len, sides)):
        return float("nan")
    return 1 - next(total_variations(sides[0], sides[1:], cells=pair.size))


def _largest_gap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov statistic of two sorted samples."""
    points = np.concatenate([first, second])
    below = [np.searchsorted(side, points, side="right") / len(side) for side in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _similar_correlation(a: _Sides, b: _Sides, *, above: float) -> float:
    real, synthetic = (_correlation(x, y) for x, y in zip(a, b, strict=True))
    return 1 - abs(real - synthetic) / 2 if not above or abs(real) > above else float("nan")


def _similar_contingency(a: _Pair, b: _Pair, *, above: float) -> float:
    if not all(map(len, a.codes)):
        return float("nan")
    if above and not _association(a.codes[0], b.codes[0]) > above:
        return float("nan")
    cells = [joint_codes(both, (a.size, b.size)) for both in zip(a.codes, b.codes, strict=True)]
    return 1 - next(total_variations(cells[0], cells[1:], cells=a.size * b.size))


def _association(a: np.ndarray, b: np.ndarray) -> float:
    """Return Cramér's V of the codes that occur, NaN where one of the columns is constant."""
    (first, a), (second, b) = (np.unique(codes, return_inverse=True) for codes in (a, b))
    smaller = min(len(first), len(second)) - 1
    if smaller == 0:
        return float("nan")
    table = np.bincount(a * len(second) + b, minlength=len(first) * len(second))
    shares = table.reshape(len(first), len(second)) / len(a)
    expected = np.outer(shares.sum(axis=1), shares.sum(axis=0))
    return float(np.sqrt(((shares - expected) ** 2 / expected).sum() / smaller))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return the Pearson correlation over complete rows, NaN where a column is constant."""
    complete = ~(np.isnan(x) | np.isnan(y))
    x, y = x[complete], y[complete]
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def _read(real: TableLike, synthetic: TableLike, *, schema: Schema) -> list[_Pair]:
    """Return the coded columns of both tables, in the schema's order."""
    tables = (as_table(real, origin="real table"), as_table(synthetic, origin="synthetic table"))
    return [
        _read_pair(attribute, *(flatten(table[attribute.name]) for table in tables))
        for attribute in schema.coded
    ]


def _read_pair(attribute: CodedAttribute, real: pa.Array, synthetic: pa.Array) -> _Pair:
    if (number := as_numeric(attribute)) is not None:
        numbers = (read_numbers(number, real), read_numbers(number, synthetic))
        codes = (_cut(numbers[0]), _cut(numbers[1]))
        return _Pair(name=attribute.name, numbers=numbers, codes=codes, size=_BINS + 2)
    known: dict[str, int] = {}
    codes = (_label(real, known=known), _label(synthetic, known=known))
    return _Pair(name=attribute.name, numbers=None, codes=codes, size=len(known) + 1)


def _cut(numbers: np.ndarray) -> np.ndarray:
    """Return (rows,) int64 in 1..11: ten bins between the extremes, which include the smallest."""
    present = numbers[~np.isnan(numbers)]
    bins: np.ndarray = np.digitize(numbers, np.histogram_bin_edges(present, bins=_BINS))
    return bins.astype(np.int64)


def _label(column: pa.Array, *, known: dict[str, int]) -> np.ndarray:
    """Return (rows,) int64, numbers from 1 for texts in order of appearance, 0 for missing."""
    values, positions = distinct(column)
    texts = to_texts(values).to_pylist()
    codes = [0 if text is None else known.setdefault(text, len(known) + 1) for text in texts]
    labels: np.ndarray = np.asarray(codes, dtype=np.int64)[positions]
    return labels
