"""The working domain merges what the noise hides, from noised 1-ways alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.measuring import coarse_grouping, regroup, within_groups, working_grouping


def _schema(**attribute: object) -> Schema:
    return parse_schema(
        {"name": "t", "attributes": [{"name": "x", "source": "public"} | attribute]}
    )


def _one_way(values: list[float], deviation: float = 10.0) -> tuple[Measurement, ...]:
    array = np.asarray(values, dtype=np.float64)
    return (Measurement(clique=("x",), values=array, variance=np.full(array.shape, deviation**2)),)


CATEGORICAL = _schema(kind="categorical", categories=["a", "b", "c", "d"], missing=True)
INTEGER = _schema(kind="integer", minimum=0, maximum=5, missing=True)


def test_rare_categories_share_one_group_and_common_ones_keep_theirs() -> None:
    grouping = working_grouping(CATEGORICAL, _one_way([100, 5, 200, -3, 29, 31]))
    assert grouping.groups["x"] == (0, 3, 1, 3, 3, 2)


def test_one_rare_category_has_nothing_to_merge_with() -> None:
    assert working_grouping(CATEGORICAL, _one_way([100, 5, 200, 90, 90, 90])).groups == {}


def test_rare_neighbours_of_a_number_merge_until_they_are_seen() -> None:
    grouping = working_grouping(INTEGER, _one_way([500, 20, 15, 30, 400, 2, 3]))
    assert grouping.groups["x"] == (0, 1, 1, 1, 2, 2, 3)


def test_missing_is_never_merged_with_a_number() -> None:
    for values in ([0.0] * 7, [-5.0] * 7, [1e3] * 6 + [0.0]):
        groups = working_grouping(INTEGER, _one_way(values)).groups.get("x", tuple(range(7)))
        assert groups.count(groups[-1]) == 1


def test_quantile_bins_have_about_one_mass() -> None:
    schema = _schema(
        kind="real", minimum=0.0, maximum=1.0, bins={"kind": "quantiles", "count": 4, "grid": 64}
    )
    mass = np.linspace(0, 100, 64)
    groups = np.asarray(working_grouping(schema, _one_way(list(mass), 0.1)).groups["x"])
    shares = np.bincount(groups, weights=mass) / mass.sum()
    assert len(shares) == 4
    assert np.abs(shares - 0.25).max() < 0.05


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-50, 500), min_size=7, max_size=7))
def test_shares_within_a_group_sum_to_one(values: list[float]) -> None:
    one_way = _one_way(values)
    grouping = working_grouping(INTEGER, one_way)
    for name, within in within_groups(grouping, one_way).items():
        groups = np.asarray(grouping.groups[name])
        assert np.allclose(np.bincount(groups, weights=within), 1.0)
        assert (within >= 0).all()


def test_codes_that_noise_alone_tells_apart_have_one_share() -> None:
    schema = _schema(kind="categorical", categories=list("abcdefgh"), missing=True)
    rare = [12.0, -9.0, 3.0, 0.0, 15.0, -2.0, 8.0, 5.0]
    one_way = _one_way([*rare, 900.0])
    within = within_groups(working_grouping(schema, one_way), one_way)["x"]
    assert within[:8] == pytest.approx(np.full(8, 1 / 8))


def test_codes_that_differ_by_more_than_noise_keep_their_shares() -> None:
    schema = _schema(kind="categorical", categories=list("abcdefgh"), missing=True)
    one_way = _one_way([28.0, 29.0, 28.0, 27.0, -15.0, -20.0, -18.0, -19.0, 900.0])
    within = within_groups(working_grouping(schema, one_way), one_way)["x"]
    assert within[:4].sum() > 0.95


@pytest.mark.parametrize("schema", [CATEGORICAL, INTEGER])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_coarse_groups_are_few_and_never_cut_a_working_group(
    schema: Schema, data: st.DataObject
) -> None:
    size = schema.domain.shape[0]
    values = data.draw(st.lists(st.floats(-50, 500), min_size=size, max_size=size))
    one_way = _one_way(values)
    working = working_grouping(schema, one_way)
    coarse = coarse_grouping(schema, one_way, working=working, count=3)
    assert max(coarse.lookup("x", size)) < 3
    measured = Measurement(
        clique=("x",),
        values=np.zeros(coarse.domain(schema.domain).shape[0]),
        variance=np.ones(coarse.domain(schema.domain).shape[0]),
        grouping=coarse,
    )
    regroup(measured, domain=schema.domain, grouping=working).check(working.domain(schema.domain))


def test_a_fine_measurement_is_summed_within_groups_with_its_variances() -> None:
    schema = parse_schema(
        {
            "name": "t",
            "attributes": [{"name": "u", "kind": "boolean"}, {"name": "v", "kind": "boolean"}],
        }
    )
    measured = Measurement(
        clique=("v", "u"), values=np.array([1.0, 2, 3, 4]), variance=np.array([1.0, 1, 2, 2])
    )
    merged = regroup(measured, domain=schema.domain, grouping=Grouping(groups={"u": (0, 0)}))
    assert merged.values.tolist() == [3.0, 7.0]
    assert merged.variance.tolist() == [2.0, 4.0]
