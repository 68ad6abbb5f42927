"""Where one attribute nearly says another's code, codes are kept apart and nothing is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.schema import CategoricalAttribute, OrdinalAttribute, Schema, Source
from silosynth.server.measuring.dependent import (
    cells_of_rows,
    finer_codes,
    nearly_said,
    parted_by,
    rows_gather,
)
from silosynth.server.measuring.working_domain import coarse_grouping

DOMAIN = Domain(attributes=("place", "density", "sex"), shape=(12, 6, 2))


def _measure(counts: np.ndarray, *clique: str, grouping: Grouping | None = None) -> Measurement:
    values = np.asarray(counts, dtype=float).ravel()
    return Measurement(
        clique=clique,
        values=values,
        variance=np.ones(values.size),
        grouping=grouping or Grouping(),
    )


def _places() -> np.ndarray:
    """Every place has one density, every density two places."""
    table = np.zeros((12, 6))
    table[np.arange(12), np.arange(12) // 2] = 500
    return table


def _schema(sizes: dict[str, int], *, ordered: bool) -> Schema:
    kind = OrdinalAttribute if ordered else CategoricalAttribute
    return Schema(
        name="made",
        attributes=tuple(
            kind(
                name=name,
                categories=tuple(f"c{i:03}" for i in range(size)),
                other=False,
                source=Source.PUBLIC,
            )
            for name, size in sizes.items()
        ),
    )


def test_rows_gather_where_one_attribute_says_the_other() -> None:
    apart = np.full((12, 2), 250.0)
    coarse = [_measure(_places(), "place", "density"), _measure(apart, "place", "sex")]
    found = rows_gather(coarse, domain=DOMAIN)
    assert found["place", "density"] == pytest.approx(6.0)
    assert found["place", "sex"] == 1.0


def test_a_weak_dependence_is_none_that_codes_are_kept_apart_for() -> None:
    """Of the density a place says less than two fifths: one in three has that of its place."""
    mixed = _places() / 3 + _places().sum(axis=1, keepdims=True) / 9
    assert rows_gather([_measure(mixed, "place", "density")], domain=DOMAIN) == {
        ("place", "density"): 1.0
    }


def test_of_a_pair_that_was_measured_again_the_last_counts_say_what_it_says() -> None:
    apart = np.full((12, 6), 1_000 / 12)
    found = nearly_said(
        [_measure(apart, "place", "density"), _measure(_places(), "place", "density")],
        domain=DOMAIN,
    )
    assert found == {("place", "density"): pytest.approx(1.0)}
    assert nearly_said([_measure(apart, "place", "density")], domain=DOMAIN) == {
        ("place", "density"): 0.0
    }


def test_rows_are_in_as_many_cells_as_the_finer_attribute_has_codes_where_it_says_the_other() -> (
    None
):
    alone = {
        "place": _measure(np.full(12, 500), "place"),
        "density": _measure(np.full(6, 1_000), "density"),
    }
    clique = ("place", "density")
    halves = Grouping(groups={"place": (0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2)})
    cells = [
        cells_of_rows(clique, grouping=grouping, one_way=alone, said=said)
        for grouping, said in [(Grouping(), 1.0), (Grouping(), 0.0), (halves, 1.0), (halves, 0.0)]
    ]
    assert cells == pytest.approx([12, 72, 6, 18])


@pytest.mark.parametrize("counts", [np.zeros(72), np.full(72, -3.0)])
def test_counts_of_nobody_gather_nowhere(counts: np.ndarray) -> None:
    assert nearly_said([_measure(counts, "place", "density")], domain=DOMAIN) == {
        ("place", "density"): 0.0
    }
    assert rows_gather([_measure(counts, "place", "density")], domain=DOMAIN) == {
        ("place", "density"): 1.0
    }


@given(
    sizes=st.lists(st.integers(2, 60), min_size=2, max_size=3),
    ordered=st.booleans(),
    count=st.integers(2, 12),
    times=st.floats(1.0, 9.0),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_groups_are_split_and_never_cut_through(
    sizes: list[int], ordered: bool, count: int, times: float, seed: int
) -> None:
    """What was measured on groups, and what is too rare to stand alone, keeps its codes."""
    names = [f"x{i}" for i in range(len(sizes))]
    schema = _schema(dict(zip(names, sizes, strict=True)), ordered=ordered)
    random = np.random.default_rng(seed)
    one_way = [
        _measure(random.exponential(100, size) + random.normal(0, 20, size), name)
        for name, size in zip(names, sizes, strict=True)
    ]
    rare = coarse_grouping(schema, one_way, working=Grouping(), count=40)
    merged = coarse_grouping(schema, one_way, working=rare, count=count)
    finer = finer_codes(
        schema,
        one_way,
        gathered={(names[0], names[1]): times},
        rare=rare,
        merged=merged,
        count=count,
        most=32,
    )
    for name, size in zip(names, sizes, strict=True):
        levels = [g.lookup(name, size) for g in (rare, finer, merged)]
        for fine, coarse in pairwise(levels):
            assert len(set(zip(fine.tolist(), coarse.tolist(), strict=True))) == len(set(fine))
        assert len(set(levels[1])) <= max(len(set(levels[2])), 64)
        if name == "x2" or round(count * times) <= count:
            assert finer.groups.get(name) == merged.groups.get(name)


def test_codes_that_are_merged_part_as_they_are_listed_the_heaviest_alone() -> None:
    schema = _schema({"a": 6, "b": 2}, ordered=False)
    one_way = [_measure(np.array([10, 60, 50, 40, 30, 20]), "a"), _measure(np.ones(2), "b")]
    merged = Grouping(groups={"a": (0, 0, 0, 1, 1, 1)})
    finer = finer_codes(
        schema,
        one_way,
        gathered={("a", "b"): 2.0},
        rare=Grouping(),
        merged=merged,
        count=2,
        most=32,
    )
    assert finer.groups["a"] == (0, 1, 2, 3, 4, 4)


def test_groups_are_parted_as_far_as_something_was_measured_finer() -> None:
    domain = Domain(attributes=("a", "b"), shape=(6, 2))
    merged = Grouping(groups={"a": (0, 0, 0, 1, 1, 1)})
    coarser = _measure(np.ones(2), "a", "b", grouping=Grouping(groups={"a": (0,) * 6}))
    assert parted_by([coarser], merged=merged, domain=domain) == merged
    finer = _measure(np.ones(6), "a", "b", grouping=Grouping(groups={"a": (0, 0, 1, 1, 2, 2)}))
    found = parted_by([coarser, finer], merged=merged, domain=domain)
    assert found.groups["a"] == (0, 0, 1, 2, 3, 3)
    fine = _measure(np.ones(12), "a", "b")
    assert parted_by([fine], merged=merged, domain=domain) == Grouping()
