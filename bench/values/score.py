"""What a drawn table has of the real one, as a reader sees it: values, and not cells.

Column Shapes are over all columns but keys, which are made up anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa

from bench.generators.learn import table_auc
from bench.support.distances import mean_distances
from bench.support.tables import Case, encode
from silosynth.common.codec import flatten, to_numbers
from silosynth.common.schema import IntegerAttribute, RealAttribute
from silosynth.common.scores import mean_score
from silosynth.common.scores.column_scores import column_shapes

QUANTILES = 32
ATOM = 0.05
"""Values with more than this share of a column's rows count as atoms in the gates."""
TOLD = 6_000
"""Real rows that a model is asked about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InBins:
    """Distances in the schema's own bins of one width, and what a model learns from the codes."""

    pairs: float
    triples: float
    auc: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """How near a table is: shapes, zeros, means in spreads, pairs by quantiles, and in bins."""

    shapes: float
    zeros: float
    means: float
    pairs: float
    bins: InBins
    worst: str


def score(case: Case, other: pa.Table, *, label: str | None = None) -> Scored:
    """Hold a table against the real one."""
    real, numbers = numbers_of(case, case.table), numbers_of(case, other)
    keys = {a.name for a in case.schema.attributes if a.kind == "identifier"}
    shapes = column_shapes(case.table, other, schema=case.schema)
    shapes = {name: shape for name, shape in shapes.items() if name not in keys}
    mean, worst = worst_mean(real, numbers)
    codes, sizes = quantile_codes(case, [case.table, other])
    return Scored(
        shapes=mean_score(shapes.values()),
        zeros=worst_zeros(real, numbers),
        means=mean,
        pairs=pair_distance(codes[0], codes[1], sizes),
        bins=score_codes(
            case, *(encode(t, schema=case.schema) for t in (case.table, other)), label=label
        ),
        worst=f"{worst}; {min(shapes, key=lambda n: shapes[n])}",
    )


def score_codes(case: Case, real: np.ndarray, other: np.ndarray, *, label: str | None) -> InBins:
    """Hold codes of equal bins against the real ones: (rows, attributes) each."""
    _, pairs, triples = mean_distances(real, other, domain=case.domain)
    auc = None if label is None else _auc(case, real, other, label=label)
    return InBins(pairs=float(pairs), triples=float(triples), auc=auc)


def _auc(case: Case, real: np.ndarray, other: np.ndarray, *, label: str) -> float:
    """Return what gradient boosting on drawn rows tells of real ones.

    These were measured, with noise; both plans that are held beside one another saw them.
    """
    place = [a.name for a in case.schema.coded].index(label)
    common = int(np.bincount(real[:, place]).argmax())
    chosen = np.random.default_rng(5).permutation(len(real))[:TOLD]
    sides = [(np.delete(c, place, axis=1), c[:, place] != common) for c in (other, real[chosen])]
    return table_auc(sides[0], sides[1])


def numbers_of(case: Case, table: pa.Table) -> dict[str, np.ndarray]:
    """Return the numbers of each integer and real column, missing ones left out."""
    found = {}
    for a in case.schema.coded:
        if isinstance(a, IntegerAttribute | RealAttribute):
            numbers, _ = to_numbers(flatten(table[a.name]))
            numbers = numbers[np.isfinite(numbers)]
            found[a.name] = numbers[
                ~np.isin(numbers, [float(t) for t in a.missing_tokens if _is_number(t)])
            ]
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def worst_zeros(real: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Return the largest gap of the share of exact zeros over columns where it is an atom."""
    gaps = [
        abs(float((real[n] == 0).mean() - (other[n] == 0).mean()))
        for n in real
        if len(other[n]) and (real[n] == 0).mean() > ATOM
    ]
    return max(gaps, default=0.0)


def worst_mean(real: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> tuple[float, str]:
    """Return the largest gap of means in spreads, and its column."""
    gaps = [
        (abs(float(other[n].mean() - real[n].mean())) / float(real[n].std()), n)
        for n in real
        if real[n].std() > 0 and len(other[n])
    ]
    return max(gaps, default=(0.0, ""))


def quantile_codes(case: Case, tables: list[pa.Table]) -> tuple[list[np.ndarray], list[int]]:
    """Return codes by the first table's quantiles: atoms, and what lies between them, apart."""
    columns: list[list[np.ndarray]] = [[] for _ in tables]
    sizes = []
    for i, a in enumerate(case.schema.coded):
        if not isinstance(a, IntegerAttribute | RealAttribute):
            for codes, table in zip(columns, tables, strict=True):
                codes.append(encode(table, schema=case.schema)[:, i].astype(np.int64))
            sizes.append(a.size)
            continue
        sides = [to_numbers(flatten(t[a.name]))[0] for t in tables]
        tokens = [float(t) for t in a.missing_tokens if _is_number(t)]
        present = [np.isfinite(s) & ~np.isin(s, tokens) for s in sides]
        edges = np.unique(np.quantile(sides[0][present[0]], np.arange(QUANTILES) / QUANTILES))
        for codes, side, there in zip(columns, sides, present, strict=True):
            number = np.where(there, side, edges[0])
            place = 2 * np.searchsorted(edges, number, side="right") - (
                np.isin(number, edges).astype(np.int64)
            )
            codes.append(np.where(there, place + 1, 0))
        sizes.append(2 * len(edges) + 2)
    return [np.stack(c, axis=1) for c in columns], sizes


def pair_distance(real: np.ndarray, other: np.ndarray, sizes: list[int]) -> float:
    """Return the mean total variation distance over all pairs of columns."""
    gaps = []
    for i, j in combinations(range(len(sizes)), 2):
        cells = sizes[i] * sizes[j]
        shares = [
            np.bincount(c[:, i] * sizes[j] + c[:, j], minlength=cells) / len(c)
            for c in (real, other)
        ]
        gaps.append(float(np.abs(shares[0] - shares[1]).sum()) / 2)
    return float(np.mean(gaps))
