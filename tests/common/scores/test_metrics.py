"""Scores: against SDMetrics' own numbers, brute force, and what floors and ceilings must be."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.scores import column_scores, metrics

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "sdmetrics.json").read_text())
DOMAIN = Domain(attributes=("a", "b", "c", "d"), shape=(3, 4, 2, 300))


@pytest.fixture(scope="module")
def schema() -> Schema:
    return parse_schema(
        {
            "name": "golden",
            "attributes": [
                {"name": "colour", "kind": "categorical", "missing": True}
                | {"categories": ["red", "green", "blue", "grey"]},
                {"name": "size", "kind": "ordinal", "categories": ["s", "m", "l"]},
                {"name": "member", "kind": "boolean"},
                {"name": "age", "kind": "integer", "minimum": 18, "maximum": 90},
                {"name": "income", "kind": "real", "minimum": -1e5, "maximum": 2e5}
                | {"missing": True},
                {"name": "constant", "kind": "integer", "minimum": 0, "maximum": 9},
                {"name": "joined", "kind": "datetime", "missing": True}
                | {"minimum": "2010-01-01", "maximum": "2040-01-01"},
            ],
        }
    )


def golden_table(side: str) -> pa.Table:
    return pa.table(GOLDEN[side])


def made_codes(rows: int, *, seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 3, rows)
    b = np.where(rng.random(rows) < 0.7, a + 1, rng.integers(0, 4, rows))
    c = (rng.random(rows) < 0.2 + 0.2 * b).astype(int)
    d = np.minimum(rng.geometric(0.02, rows) + 20 * b, 299)
    columns = zip((a, b, c, d), (np.uint8, np.uint8, np.uint8, np.uint16), strict=True)
    return tuple(column.astype(dtype) for column, dtype in columns)


def brute_distance(real: list[tuple[int, ...]], synthetic: list[tuple[int, ...]]) -> float:
    left, right = Counter(real), Counter(synthetic)
    cells = left.keys() | right.keys()
    return sum(abs(left[c] / len(real) - right[c] / len(synthetic)) for c in cells) / 2


def test_column_shapes_equal_those_of_sdmetrics(schema: Schema) -> None:
    golden = GOLDEN["column_shapes"]
    shapes = column_scores.column_shapes(
        golden_table("real"), golden_table("synthetic"), schema=schema
    )
    assert shapes == pytest.approx(golden["scores"], abs=1e-9)
    assert column_scores.mean_score(shapes.values()) == pytest.approx(golden["mean"], abs=1e-9)


@pytest.mark.parametrize("golden", GOLDEN["column_pair_trends"], ids=["all", "related"])
def test_column_pair_trends_equal_those_of_sdmetrics(
    schema: Schema, golden: dict[str, Any]
) -> None:
    trends = column_scores.column_pair_trends(
        golden_table("real"),
        golden_table("synthetic"),
        schema=schema,
        correlation_above=golden["correlation_above"],
        association_above=golden["association_above"],
    )
    expected = {(a, b): np.nan if score is None else score for a, b, score in golden["scores"]}
    assert trends == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert column_scores.mean_score(trends.values()) == pytest.approx(golden["mean"], abs=1e-9)
    assert sum(np.isnan(score) for score in expected.values()) >= 3


def test_pairs_that_are_not_related_enough_are_left_out(schema: Schema) -> None:
    real, synthetic = golden_table("real"), golden_table("synthetic")
    both = {"correlation_above": 0.9999, "association_above": 0.9999}
    for names, kept in ((both, 0), (both | {"correlation_above": 0.0}, 3)):
        trends = column_scores.column_pair_trends(real, synthetic, schema=schema, **names)
        assert sum(score == score for score in trends.values()) == kept


def test_scores_do_not_depend_on_how_a_table_is_stored(schema: Schema) -> None:
    real, synthetic = golden_table("real"), golden_table("synthetic")
    frame = synthetic.to_pandas().astype({"colour": "category", "size": "category"})
    frame["joined"] = pd.to_datetime(frame["joined"])
    for score in (column_scores.column_shapes, column_scores.column_pair_trends):
        stored = score(real, frame, schema=schema)
        assert list(stored.values()) == pytest.approx(
            list(score(real, synthetic, schema=schema).values()), nan_ok=True
        )


@pytest.mark.parametrize("kept", [40, 5])
def test_rows_of_a_table_that_was_read_score_as_the_table_of_these_rows(
    schema: Schema, kept: int
) -> None:
    """Also where they lack labels and extremes that the whole table has."""
    real, synthetic = golden_table("real"), golden_table("synthetic")
    places = np.random.default_rng(kept).permutation(min(real.num_rows, synthetic.num_rows))[:kept]
    read = column_scores.read_columns(real, schema=schema)
    beside = column_scores.read_columns(synthetic, schema=schema, beside=read)
    for table, other in ((real, read), (synthetic, beside)):
        taken, rows = tuple(r.take(places) for r in other), table.take(pa.array(places))
        shapes = column_scores.column_shapes(real, rows, schema=schema)
        trends = column_scores.column_pair_trends(real, rows, schema=schema)
        assert column_scores.shapes_of(read, taken) == pytest.approx(shapes, nan_ok=True)
        assert column_scores.trends_of(read, taken) == pytest.approx(trends, nan_ok=True)


def test_scores_of_an_empty_column_are_undefined_and_left_out_of_the_mean(schema: Schema) -> None:
    real = golden_table("real")
    empty = real.set_column(0, "colour", pa.nulls(real.num_rows, pa.string()))
    shapes = column_scores.column_shapes(real, empty, schema=schema)
    assert np.isnan(shapes["colour"])
    assert column_scores.mean_score(shapes.values()) == 1.0
    assert np.isnan(column_scores.mean_score([]))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**32))
def test_marginal_distance_equals_brute_force(n: int, m: int, k: int, seed: int) -> None:
    real, synthetic = made_codes(n, seed=seed), made_codes(m, seed=seed + 1)
    cliques = metrics.all_cliques(DOMAIN, k)
    found = metrics.marginal_distance(real, synthetic, domain=DOMAIN, cliques=cliques)
    for clique, distance in zip(cliques, found, strict=True):
        rows = [
            list(zip(*(table[DOMAIN.index(a)].tolist() for a in clique), strict=True))
            for table in (real, synthetic)
        ]
        assert distance == pytest.approx(brute_distance(*rows), abs=1e-12)


def test_a_clique_too_large_for_counters_is_counted_all_the_same() -> None:
    domain = Domain(attributes=("x", "y", "z"), shape=(60_000, 60_000, 60_000))
    rng = np.random.default_rng(0)
    real = tuple(rng.integers(0, 3, 50) * 29_999 for _ in range(3))
    synthetic = tuple(rng.integers(0, 3, 70) * 29_999 for _ in range(3))
    clique = [("x", "y", "z")]
    found = metrics.marginal_distance(real, synthetic, domain=domain, cliques=clique)
    rows = [list(zip(*(c.tolist() for c in t), strict=True)) for t in (real, synthetic)]
    assert found[0] == pytest.approx(brute_distance(*rows), abs=1e-12)


def test_distance_is_zero_for_the_same_rows_and_one_for_disjoint_ones() -> None:
    domain = Domain(attributes=("x",), shape=(2,))
    zeros, ones = (np.zeros(5, np.uint8),), (np.ones(3, np.uint8),)
    for other, expected in ((zeros, 0.0), (ones, 1.0)):
        found = metrics.marginal_distance(zeros, other, domain=domain, cliques=[("x",)])
        assert found.tolist() == [expected]


def test_distance_without_rows_is_refused() -> None:
    domain = Domain(attributes=("x",), shape=(2,))
    none, some = (np.zeros(0, np.uint8),), (np.zeros(3, np.uint8),)
    for real, synthetic in ((none, some), (some, none)):
        with pytest.raises(InvalidArgument, match="rows on both sides"):
            metrics.marginal_distance(real, synthetic, domain=domain, cliques=[("x",)])


def test_distance_with_a_column_too_few_is_refused() -> None:
    codes = made_codes(5, seed=0)
    with pytest.raises(InvalidArgument, match="4 columns"):
        metrics.marginal_distance(codes, codes[:3], domain=DOMAIN, cliques=[("a",)])


def test_fixed_cliques_are_fixed_and_different() -> None:
    domain = Domain(attributes=tuple(f"x{i}" for i in range(24)), shape=(2,) * 24)
    cliques = metrics.fixed_cliques(domain, 3, count=200, seed=0)
    assert cliques == metrics.fixed_cliques(domain, 3, count=200, seed=0)
    assert len(set(cliques)) == 200
    assert set(cliques) <= set(combinations(domain.attributes, 3))
    assert cliques != metrics.fixed_cliques(domain, 3, count=200, seed=1)
    assert cliques[0] == ("x0", "x1", "x9")
    assert metrics.fixed_cliques(DOMAIN, 3, count=200, seed=0) == metrics.all_cliques(DOMAIN, 3)


def test_independent_columns_keep_every_column_and_lose_the_dependence() -> None:
    codes = made_codes(4000, seed=3)
    shuffled = metrics.independent_columns(codes, seed=0)
    one = metrics.marginal_distance(
        codes, shuffled, domain=DOMAIN, cliques=metrics.all_cliques(DOMAIN, 1)
    )
    assert (one == 0).all()
    pair = metrics.marginal_distance(codes, shuffled, domain=DOMAIN, cliques=[("a", "b")])
    table = np.bincount(codes[0] * 4 + codes[1], minlength=12).reshape(3, 4) / 4000
    independent = np.outer(table.sum(1), table.sum(0))
    assert pair[0] == pytest.approx(np.abs(table - independent).sum() / 2, abs=0.02)


def test_bootstrap_takes_whole_rows() -> None:
    codes = made_codes(500, seed=4)
    drawn = metrics.bootstrap(codes, seed=1)
    rows, again = set(zip(*codes, strict=True)), list(zip(*drawn, strict=True))
    assert len(again) == 500
    assert set(again) <= rows
    share = len({int(d) for d in metrics.bootstrap((np.arange(10_000),), seed=2)[0]}) / 10_000
    assert share == pytest.approx(1 - np.exp(-1), abs=0.02)


def test_a_subsample_finds_its_own_fraction() -> None:
    codes = made_codes(5000, seed=5)
    cliques = metrics.all_cliques(DOMAIN, 2)
    curve = metrics.subsample_curve(codes, domain=DOMAIN, cliques=cliques, seed=0)
    assert list(curve.distances) == sorted(curve.distances, reverse=True)
    for fraction in (0.03, 0.3, 0.7):
        chosen = np.random.default_rng(6).permutation(5000)[: int(5000 * fraction)]
        sample = [column[chosen] for column in codes]
        distance = metrics.marginal_distance(codes, sample, domain=DOMAIN, cliques=cliques).mean()
        found = metrics.equivalent_subsample(distance, curve=curve)
        assert found == pytest.approx(fraction, rel=0.1)


def test_equivalent_subsample_stays_on_its_curve() -> None:
    curve = metrics.SubsampleCurve(fractions=(0.1, 0.5), distances=(0.3, 0.1))
    assert metrics.equivalent_subsample(0.9, curve=curve) == pytest.approx(0.1)
    assert metrics.equivalent_subsample(0.0, curve=curve) == 0.5
    assert 0.1 < metrics.equivalent_subsample(0.2, curve=curve) < 0.5


def test_a_curve_of_no_rows_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="too few"):
        metrics.subsample_curve(
            made_codes(1, seed=0), domain=DOMAIN, cliques=[("a",)], seed=0, fractions=(0.1,)
        )
