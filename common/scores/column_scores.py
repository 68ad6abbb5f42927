"""Column Shapes and Column Pair Trends, as SDMetrics 0.32 defines them, by our own code.

Both compare tables as they come out of :meth:`silosynth.common.codec.codec.Codec.decode`. A score
is 1 for equal and 0 for unlike, and NaN where it is not defined; the mean leaves those out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
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
class Read:
    """One column of one table: ``numbers`` if it is numeric, and ``labels`` if it is not.

    ``numbers`` are (rows,) float64 with NaN for missing. ``labels`` are (rows,) int64, 0 for a
    missing one; ``known`` says which label has which number.
    """

    name: str
    numbers: np.ndarray | None
    labels: np.ndarray
    known: Mapping[str, int]

    def take(self, places: np.ndarray) -> Read:
        """Return the rows at ``places``."""
        if self.numbers is None:
            return replace(self, labels=self.labels[places])
        return replace(self, numbers=self.numbers[places])

    def codes(self) -> np.ndarray:
        """Return (rows,) int64: labels, or the bins that a number is cut into."""
        return self.labels if self.numbers is None else _cut(self.numbers)


Reads = tuple[Read, ...]


def mean_score(scores: Iterable[float]) -> float:
    """Return the mean of the scores that are defined, NaN when none is."""
    defined = [score for score in scores if score == score]
    return sum(defined) / len(defined) if defined else float("nan")


def column_shapes(real: TableLike, synthetic: TableLike, *, schema: Schema) -> dict[str, float]:
    """Score each column: KSComplement for numbers and instants, TVComplement for the others.

    KSComplement is 1 minus the largest distance of the empirical distribution functions,
    TVComplement 1 minus the total variation distance. Missing values are left out.
    """
    return shapes_of(*_both(real, synthetic, schema=schema))


def shapes_of(real: Reads, other: Reads) -> dict[str, float]:
    """Do what :func:`column_shapes` does with columns that were read already."""
    return {a.name: _shape(a, b) for a, b in zip(real, other, strict=True)}


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
    return trends_of(
        *_both(real, synthetic, schema=schema),
        correlation_above=correlation_above,
        association_above=association_above,
    )


def trends_of(
    real: Reads, other: Reads, *, correlation_above: float = 0.0, association_above: float = 0.0
) -> dict[tuple[str, str], float]:
    """Do what :func:`column_pair_trends` does with columns that were read already."""
    codes = [(a.codes(), b.codes()) for a, b in zip(real, other, strict=True)]
    sizes = [_size(a, b) for a, b in zip(real, other, strict=True)]
    found = {}
    for i, j in combinations(range(len(real)), 2):
        numbers = [r[k].numbers for r in (real, other) for k in (i, j)]
        if any(n is None for n in numbers):
            score = _similar_contingency(
                (codes[i], codes[j]), (sizes[i], sizes[j]), above=association_above
            )
        else:
            score = _similar_correlation(numbers, above=correlation_above)
        found[real[i].name, real[j].name] = score
    return found


def _size(a: Read, b: Read) -> int:
    """Return how many codes a column of two tables has."""
    return _BINS + 2 if a.numbers is not None else max(len(a.known), len(b.known)) + 1


def _shape(real: Read, other: Read) -> float:
    if real.numbers is not None and other.numbers is not None:
        sides = [np.sort(n[~np.isnan(n)]) for n in (real.numbers, other.numbers)]
        return 1 - _largest_gap(*sides) if all(map(len, sides)) else float("nan")
    sides = [r.labels[r.labels > 0] for r in (real, other)]
    if not all(map(len, sides)):
        return float("nan")
    return 1 - next(total_variations(sides[0], sides[1:], cells=_size(real, other)))


def _largest_gap(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Kolmogorov-Smirnov statistic of two sorted samples."""
    points = np.concatenate([first, second])
    below = [np.searchsorted(side, points, side="right") / len(side) for side in (first, second)]
    return float(np.abs(below[0] - below[1]).max())


def _similar_correlation(numbers: Sequence[np.ndarray | None], *, above: float) -> float:
    """Score two columns of numbers: both of the real table, then both of the other one."""
    a, b, c, d = (np.zeros(0) if n is None else n for n in numbers)
    real, other = _correlation(a, b), _correlation(c, d)
    return 1 - abs(real - other) / 2 if not above or abs(real) > above else float("nan")


def _similar_contingency(
    codes: tuple[_Sides, _Sides], sizes: tuple[int, int], *, above: float
) -> float:
    """Score two columns of codes, each real and in the other table."""
    a, b = codes
    if not all(map(len, a)):
        return float("nan")
    if above and not _association(a[0], b[0]) > above:
        return float("nan")
    cells = [joint_codes(both, sizes) for both in zip(a, b, strict=True)]
    return 1 - next(total_variations(cells[0], cells[1:], cells=sizes[0] * sizes[1]))


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


def read_columns(table: pa.Table, *, schema: Schema, beside: Reads | None = None) -> Reads:
    """Read the coded columns of a table, in the schema's order.

    Args: beside: what was read of the real table, whose labels keep their numbers.
    """
    known = [r.known for r in beside] if beside else [{} for _ in schema.coded]
    return tuple(
        _read(a, flatten(table[a.name]), known=k) for a, k in zip(schema.coded, known, strict=True)
    )


def _both(real: TableLike, other: TableLike, *, schema: Schema) -> tuple[Reads, Reads]:
    """Read the real table, and the other one beside it."""
    read = read_columns(as_table(real, origin="real table"), schema=schema)
    table = as_table(other, origin="synthetic table")
    return read, read_columns(table, schema=schema, beside=read)


def _read(attribute: CodedAttribute, column: pa.Array, *, known: Mapping[str, int]) -> Read:
    if (number := as_numeric(attribute)) is not None:
        numbers, none = read_numbers(number, column), np.zeros(0, dtype=np.int64)
        return Read(name=attribute.name, numbers=numbers, labels=none, known={})
    more = dict(known)
    labels = _label(column, known=more)
    return Read(name=attribute.name, numbers=None, labels=labels, known=more)


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
