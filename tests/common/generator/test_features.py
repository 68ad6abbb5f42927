"""Random features: a row adds at most the stated norm, and sums say what rows say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from silosynth.client.counting.count import count_marginals
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator import (
    AMPLITUDE,
    FeatureMap,
    FeatureSettings,
    feature_cells,
    feature_map,
    sum_features,
)
from silosynth.common.generator import features as module
from silosynth.common.generator.features import PAIR_BOUND2, quantise
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import Schema, parse_schema


def made_schema(label: str | None = "ill") -> Schema:
    bins = {"kind": "width", "count": 6}
    return parse_schema(
        {
            "name": "made",
            "label": label,
            "attributes": [
                {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "missing": True},
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "bins": bins}
                | {"missing": True},
                {"name": "grade", "kind": "ordinal", "categories": [1, 2, 3], "other": False},
                {"name": "ill", "kind": "boolean"},
            ],
        }
    )


GROUPING = Grouping(groups={"age": (0, 0, 1, 1, 2, 2, 3)})


def made_map(label: str | None = "ill", **changes: Any) -> tuple[FeatureSettings, FeatureMap]:
    asked = FeatureSettings(**({"frequencies": 7, "label": label} | changes))
    return asked, feature_map(asked, schema=made_schema(label), grouping=GROUPING)


def sum_rows(features: FeatureMap, columns: list[np.ndarray]) -> np.ndarray:
    """Sum the features of rows, by counting them first as a gateway does."""
    queries = [MarginalQuery(clique=c) for c in features.cliques()]
    levels = {"fine": Grouping()}
    return sum_features(
        features, count_marginals(columns, domain=features.domain, queries=queries, levels=levels)
    )


def rows_of(features: FeatureMap, *, rows: int, seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, size, rows).astype(np.uint8) for size in features.domain.shape]


@settings(max_examples=300, deadline=None)
@given(hnp.arrays(np.float64, 64, elements=st.floats(width=64)))
def test_no_phase_gives_a_pair_beyond_its_bound(phases: np.ndarray) -> None:
    assert (quantise(phases) ** 2).sum(axis=-1).max() <= PAIR_BOUND2


def test_a_cosine_beyond_one_is_dropped_and_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (1.5, -1.5, 2.0**24, 1e300, np.nan, np.inf, -np.inf):
        monkeypatch.setattr(module.np, "cos", lambda x, wrong=wrong: np.full_like(x, wrong))  # type: ignore[attr-defined]  # replaced where it is used
        assert not quantise(np.zeros(5)).any()


def test_a_usual_pair_is_the_rounded_cosine_and_sine() -> None:
    phases = np.linspace(-50, 50, 10_001)
    exact = AMPLITUDE * np.stack((np.cos(phases), np.sin(phases)), axis=-1)
    assert np.abs(quantise(phases) - exact).max() <= 0.5


@settings(max_examples=60, deadline=None)
@given(
    frequencies=st.integers(1, 40),
    order=st.integers(1, 2),
    label=st.sampled_from(["ill", "grade", None]),
    seed=st.integers(0, 99),
)
def test_one_row_moves_the_sum_by_at_most_the_bound_and_in_its_class_alone(
    frequencies: int, order: int, label: str | None, seed: int
) -> None:
    asked, features = made_map(label, frequencies=frequencies, order=order, seed=seed)
    columns = rows_of(features, rows=30, seed=seed)
    without = [c[1:] for c in columns]
    moved = sum_rows(features, columns) - sum_rows(features, without)
    assert int((moved.astype(object) ** 2).sum()) <= asked.bound**2
    by_class = moved.reshape(features.classes, -1)
    own = 0 if features.label is None else int(columns[features.label][0])
    assert not np.delete(by_class, own, axis=0).any()
    assert by_class[own].any()


def test_the_bound_is_tight_to_a_percent() -> None:
    asked, features = made_map(frequencies=500)
    moved = sum_rows(features, rows_of(features, rows=1, seed=0))
    assert 0.99 * asked.bound < np.sqrt((moved.astype(float) ** 2).sum()) <= asked.bound


@pytest.mark.parametrize("order", [1, 2])
def test_the_sum_is_that_of_its_rows_one_by_one(order: int) -> None:
    _, features = made_map(order=order)
    columns = rows_of(features, rows=25, seed=3)
    alone = [sum_rows(features, [c[i : i + 1] for c in columns]) for i in range(25)]
    assert np.array_equal(sum_rows(features, columns), np.sum(alone, axis=0))
    assert not sum_rows(features, [c[:0] for c in columns]).any()


def test_silos_add_up() -> None:
    _, features = made_map()
    columns = rows_of(features, rows=40, seed=5)
    parts = [sum_rows(features, [c[a:b] for c in columns]) for a, b in ((0, 11), (11, 40))]
    assert np.array_equal(sum_rows(features, columns), parts[0] + parts[1])


def test_the_public_seed_makes_the_features() -> None:
    first, again, other = (made_map(seed=s)[1].blocks[0].phases[0] for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_neighbours_of_an_order_have_near_features_and_missing_does_not() -> None:
    asked = FeatureSettings(frequencies=4000, order=1)
    schema = parse_schema({"name": "t", "attributes": [made_schema().attributes[1].model_dump()]})
    features = feature_map(asked, schema=schema, grouping=Grouping())
    waves = np.exp(1j * features.blocks[0].phases[0])
    kernel = np.abs((waves @ waves.conj().T) / asked.frequencies)
    assert kernel[0, 1] > 0.5 > 0.1 > kernel[0, 6]


def test_every_pair_of_attributes_is_looked_at() -> None:
    _, features = made_map(frequencies=64, label=None)
    assert len({b.columns for b in features.blocks}) == 6
    assert sum(b.frequencies for b in features.blocks) == 64


def test_cells_are_known_before_anything_is_allocated() -> None:
    asked, features = made_map(frequencies=16_384)
    domain = features.domain
    assert feature_cells(asked, clique=domain.attributes, domain=domain) == 2 * 16_384 * 2
    with pytest.raises(InvalidPlan, match="all attributes"):
        feature_cells(asked, clique=("sex",), domain=domain)


def test_counts_too_large_to_make_are_refused() -> None:
    asked = FeatureSettings(frequencies=4, order=2)
    domain = Domain(attributes=("a", "b"), shape=(65_536, 65_536))
    with pytest.raises(CapExceeded):
        feature_cells(asked, clique=domain.attributes, domain=domain)


@pytest.mark.parametrize(
    "change",
    [
        {"frequencies": 0},
        {"frequencies": 99_999},
        {"order": 3},
        {"order": 0},
        {"seed": -1},
        {"x": 1},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureSettings(**({"frequencies": 8} | change))


def test_a_label_alone_is_refused() -> None:
    schema = parse_schema(
        {"name": "t", "label": "ill", "attributes": [{"name": "ill", "kind": "boolean"}]}
    )
    with pytest.raises(InvalidPlan, match="beside the label"):
        feature_map(FeatureSettings(frequencies=2, label="ill"), schema=schema, grouping=Grouping())
