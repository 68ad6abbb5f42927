"""Projections of rows: a row adds at most the stated norm, whatever is asked and beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Domain
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    CROSS_WEIGHT,
    LENGTH,
    MOST_SCORE,
    SQUARE_WEIGHT,
    SUM_WEIGHT,
    ProjectionMap,
    ProjectionSettings,
    pieces,
    projection_cells,
    projection_map,
    sum_projections,
)
from silosynth.common.generator import projection as module

NAMES = ("a", "b", "kind", "c", "d", "e")
DOMAIN = Domain(attributes=NAMES, shape=(4, 3, 2, 5, 2, 3))


def made_map(dimensions: int = 3, label: str | None = "kind", **changes: Any) -> ProjectionMap:
    asked = ProjectionSettings(dimensions=dimensions, label=label, **changes)
    inputs = zip(NAMES, DOMAIN.shape, strict=True)
    scores = {n: tuple(range(-90, 200 * s - 90, 200)) for n, s in inputs if n != label}
    return projection_map(asked, domain=DOMAIN, scores=scores)


def made_rows(rows: int = 60) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, size, rows).astype(np.uint8) for size in DOMAIN.shape]


def slow(projection: ProjectionMap, columns: list[np.ndarray]) -> np.ndarray:
    """Return the sum as the module's docstring has it, row by row in Python's own integers."""
    size = projection.dimensions
    most = LENGTH - math.sqrt(size) / 2 - 1
    total = [[0] * (size + size * (size + 1) // 2) for _ in range(projection.classes)]
    for row in zip(*(c.tolist() for c in columns), strict=True):
        scores = [int(s[row[i]]) for i, s in zip(projection.inputs, projection.scores, strict=True)]
        found = [
            sum(s * int(w) for s, w in zip(scores, d, strict=True)) for d in projection.signs.T
        ]
        scale = most / math.sqrt(max(sum(f * f for f in found), projection.radius2))
        whole = [round(f * scale) for f in found]
        mine = [SUM_WEIGHT * w for w in whole]
        for i, left in enumerate(whole):
            mine += [
                (SQUARE_WEIGHT if i == j else CROSS_WEIGHT) * left * whole[j]
                for j in range(i, size)
            ]
        block = total[0 if projection.label is None else row[projection.label]]
        block[:] = [a + b for a, b in zip(block, mine, strict=True)]
    return np.array(total).ravel()


@pytest.mark.parametrize("label", ["kind", None])
@pytest.mark.parametrize("dimensions", [1, 3, 5])
def test_the_sum_is_that_of_projections_and_their_products(
    dimensions: int, label: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    projection, rows = made_map(dimensions, label), made_rows()
    monkeypatch.setattr(pieces, "_MOST_AT_ONCE", 100)
    found = sum_projections(projection, rows)
    assert np.array_equal(found, slow(projection, rows))
    asked = ProjectionSettings(dimensions=dimensions, label=label)
    assert len(found) == (1 if label is None else 2) * asked.cells


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_scores_dimensions_or_seed_let_a_row_move_a_sum_beyond_the_bound(
    data: st.DataObject,
) -> None:
    width = data.draw(st.integers(1, 40))
    asked = ProjectionSettings(
        dimensions=data.draw(st.integers(1, width)), seed=data.draw(st.integers(0, 2**63 - 1))
    )
    score = st.sampled_from([-MOST_SCORE, -1, 0, 1, 7, MOST_SCORE]) | st.integers(
        -MOST_SCORE, MOST_SCORE
    )
    scores = {
        f"x{i}": tuple(data.draw(st.lists(score, min_size=2, max_size=2))) for i in range(width)
    }
    domain = Domain(attributes=tuple(scores), shape=(2,) * width)
    projection = projection_map(asked, domain=domain, scores=scores)
    codes = [np.array([0, 1, i % 2], dtype=np.uint8) for i in range(width)]
    for row in range(3):
        added = sum_projections(projection, [c[row : row + 1] for c in codes])
        assert sum(int(v) ** 2 for v in added) <= asked.bound**2
    assert asked.bound - 1 < math.sqrt(2) * SQUARE_WEIGHT * LENGTH**2 <= asked.bound


def test_a_row_that_is_not_shown_to_be_within_counts_as_zeros(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    projection, rows = made_map(5), made_rows()
    lengths = (projection.rows(rows) ** 2).sum(axis=1)
    assert lengths.min() > 0
    for wrong in (2.0 * LENGTH, math.nan, math.inf):
        monkeypatch.setattr(module, "longest", lambda _, wrong=wrong: wrong)
        with np.errstate(all="ignore"):
            found = projection.rows(rows).tolist()
        # Squares in Python's integers: those of int64 may wrap to nought.
        assert max(sum(v * v for v in row) for row in found) <= LENGTH**2
        assert [0] * projection.dimensions in found


@pytest.mark.parametrize("dimensions", [2, 5])
def test_a_row_adds_its_own_integers_whatever_stands_beside_it(dimensions: int) -> None:
    projection, rows = made_map(dimensions), made_rows()
    whole = sum_projections(projection, rows)
    rest = sum_projections(projection, [c[1:] for c in rows])
    alone = sum_projections(projection, [c[:1] for c in rows])
    assert np.array_equal(whole - rest, alone)
    blocks = alone.reshape(projection.classes, -1).any(axis=1)
    assert blocks.tolist() == [bool(code == rows[2][0]) for code in range(2)]


def test_as_many_dimensions_as_columns_are_the_columns_and_fewer_are_nearly_orthogonal() -> None:
    assert np.array_equal(made_map(5).signs, np.eye(5))
    domain = Domain(attributes=tuple(f"x{i}" for i in range(64)), shape=(2,) * 64)
    scores = dict.fromkeys(domain.attributes, (-256, 256))
    asked = ProjectionSettings(dimensions=9, seed=5)
    signs = projection_map(asked, domain=domain, scores=scores).signs
    assert np.array_equal(signs.T @ signs, 64 * np.eye(9))
    other = asked.model_copy(update={"seed": 6})
    assert not np.array_equal(signs, projection_map(other, domain=domain, scores=scores).signs)


def test_rows_at_the_mean_length_keep_it_and_long_ones_their_direction() -> None:
    domain = Domain(attributes=("a", "b"), shape=(3, 3))
    scores = {"a": (-256, 0, 2048), "b": (-256, 0, 2048)}
    projection = projection_map(ProjectionSettings(dimensions=2), domain=domain, scores=scores)
    usual, long = projection.rows([np.array([0, 2]), np.array([0, 2])])
    assert usual == pytest.approx(-256 * np.ones(2) * projection.scale, abs=0.5)
    assert long[0] == long[1]
    assert math.hypot(*long) == pytest.approx(LENGTH, rel=0.02)


@pytest.mark.parametrize(
    ("dimensions", "label", "scores", "error", "words"),
    [
        (6, "kind", {}, InvalidPlan, "onto 6 dimensions is wider than the table, which has 5"),
        (2, "nose", {}, InvalidPlan, "nose"),
        (2, "kind", {"kind": (1, 2)}, InvalidPlan, "all attributes but the label"),
        (2, "kind", {"a": (1, 2)}, InvalidPlan, "one for each code"),
    ],
)
def test_what_does_not_fit_the_table_is_refused(
    dimensions: int, label: str, scores: dict[str, Any], error: type[Exception], words: str
) -> None:
    asked = ProjectionSettings(dimensions=dimensions, label=label)
    fitting = {n: (0,) * s for n, s in zip(NAMES, DOMAIN.shape, strict=True) if n != label}
    with pytest.raises(error, match=words):
        projection_cells(asked, clique=NAMES, domain=DOMAIN, scores=fitting | scores)
    few = ProjectionSettings(dimensions=1)
    with pytest.raises(InvalidPlan, match="all attributes, in the schema's order"):
        projection_cells(few, clique=NAMES[::-1], domain=DOMAIN, scores=fitting)


def test_too_many_columns_are_refused_before_anything_is_allocated() -> None:
    names = tuple(f"x{i}" for i in range(1025))
    domain = Domain(attributes=names, shape=(2,) * 1025)
    with pytest.raises(CapExceeded, match="1025 columns"):
        projection_cells(ProjectionSettings(dimensions=1), clique=names, domain=domain, scores={})
