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


def test_rare_categories_of_a_list_merge_with_the_next_rare_ones_until_they_are_seen() -> None:
    schema = _schema(kind="categorical", categories=list("abcdefgh"), other=False)
    counts = [20.0, 500, 20, 25, 400, 5, 60, 7]
    grouping = working_grouping(schema, _one_way(counts), listed=True)
    assert grouping.groups["x"] == (0, 1, 0, 0, 2, 0, 3, 0)
    finer = working_grouping(schema, _one_way(counts, 5.0), listed=True)
    assert finer.groups["x"] == (0, 1, 2, 3, 4, 5, 6, 5)


def test_codes_of_a_list_merge_with_those_beside_them_and_the_heavy_stand_alone() -> None:
    schema = _schema(kind="categorical", categories=list("abcdefgh"), other=False)
    one_way = _one_way([10.0, 12, 300, 11, 9, 10, 400, 10], 1.0)
    by_list = coarse_grouping(schema, one_way, working=Grouping(), count=4, listed=True)
    assert by_list.groups["x"] == (0, 0, 1, 0, 2, 2, 3, 2)
    nothing = _one_way([5.0, 0, 3, 0, 2, 0, 0, 0], 1.0)
    by_list = coarse_grouping(schema, nothing, working=Grouping(), count=3, listed=True)
    assert by_list.groups["x"] == (0, 1, 2, 1, 1, 1, 1, 1)
    for count in range(1, 9):
        few = coarse_grouping(schema, one_way, working=Grouping(), count=count, listed=True)
        assert len(set(few.lookup("x", 8))) <= count


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


# Code lists

ABOVE = {"E10": "E", "E11": "E", "E10.1": "E10", "E10.9": "E10", "E11.6": "E11", "I10": "I"}
CODES = ["E10.1", "E10.9", "E11", "E11.6", "I10"]


def _diagnosis(counts: list[float], **more: object) -> list[set[str]]:
    """Return which codes share a group, of counts with a deviation of 10: rare is below 30."""
    facts = {"kind": "categorical", "categories": CODES, "other": False}
    schema = _schema(**{**facts, "hierarchy": ABOVE, **more})
    groups = working_grouping(schema, _one_way(counts)).lookup("x", schema.coded[0].size)
    words = [*CODES, "[other]"]
    return [{words[i] for i in np.flatnonzero(groups == g)} for g in range(groups.max() + 1)]


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ([100, 100, 100, 100, 100], [{"E10.1"}, {"E10.9"}, {"E11"}, {"E11.6"}, {"I10"}]),
        # Brothers together stand out, at 3 deviations of their sum.
        ([25, 25, 100, 100, 100], [{"E10.1", "E10.9"}, {"E11"}, {"E11.6"}, {"I10"}]),
        # What is rare below a code joins that code.
        ([100, 100, 100, 5, 100], [{"E10.1"}, {"E10.9"}, {"E11", "E11.6"}, {"I10"}]),
        # Brothers that do not, go up: all of E.
        ([10, 10, 20, 20, 100], [{"E10.1", "E10.9", "E11", "E11.6"}, {"I10"}]),
        # Nothing stands out to the very top.
        ([100, 100, 100, 100, 5], [{"E10.1"}, {"E10.9"}, {"E11"}, {"E11.6"}, {"I10"}]),
        ([1, 1, 1, 1, 1], [set(CODES)]),
    ],
)
def test_rare_codes_merge_with_those_below_the_same_one(
    counts: list[float], groups: list[set[str]]
) -> None:
    assert _diagnosis(counts) == groups


def test_a_rare_other_joins_what_is_rare_to_the_top() -> None:
    assert _diagnosis([100, 100, 100, 100, 5, 5], other=True)[-1] == {"I10", "[other]"}
    assert _diagnosis([100, 100, 100, 100, 5, 90], other=True)[-1] == {"[other]"}


@given(
    st.lists(st.floats(-30, 200), min_size=5, max_size=5),
    st.lists(st.sampled_from(["top", "E", "E10", "E11", "I"]), min_size=5, max_size=5),
)
@settings(deadline=None, max_examples=200)
def test_every_group_but_the_last_stands_out_and_lies_below_one_code(
    counts: list[float], parents: list[str]
) -> None:
    """Whatever the tree: no group is rare but the one that is left at the top."""
    above = dict(zip(CODES, parents, strict=True)) | {"E10": "E", "I": "top"}
    above = {c: a for c, a in above.items() if c != a}
    found = _diagnosis(counts, hierarchy=above)
    assert sorted(c for g in found for c in g) == sorted(CODES)
    lines = {c: _above(c, above) for c in CODES}
    rare = [
        g for g in found if sum(counts[CODES.index(c)] for c in g) < 30 * np.sqrt(len(g)) - 1e-6
    ]
    apart = [g for g in found if not set.intersection(*(lines[c] for c in g))]
    assert len([g for g in found if g in rare or g in apart]) <= 1, "what is left at the top"


def _above(code: str, above: dict[str, str]) -> set[str]:
    """Return a code and all that are above it."""
    line = [code]
    while line[-1] in above:
        line.append(above[line[-1]])
    return set(line)
