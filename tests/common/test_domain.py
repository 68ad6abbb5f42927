"""Domains and groupings refuse what cannot be, and merge as they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidPlan

DOMAIN = Domain(attributes=("a", "b", "c"), shape=(2, 3, 4))


@pytest.mark.parametrize(
    ("attributes", "shape", "message"),
    [
        (("a",), (2, 3), "1 attributes but 2 sizes"),
        (("a", "a"), (2, 3), "twice"),
        (("a",), (0,), "'a' has size 0"),
    ],
)
def test_a_domain_refuses_what_cannot_be(
    attributes: tuple[str, ...], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InvalidPlan, match=message):
        Domain(attributes=attributes, shape=shape)


def test_sizes_follow_the_clique_and_never_overflow() -> None:
    assert DOMAIN.sizes(("c", "a")) == (4, 2)
    assert Domain(attributes=("x", "y"), shape=(2**40, 2**40)).size(("x", "y")) == 2**80
    assert DOMAIN.ordered({"c", "a"}) == ("a", "c")


def test_an_unknown_or_repeated_attribute_is_named() -> None:
    with pytest.raises(InvalidPlan, match="unknown attribute 'z'"):
        DOMAIN.size(("z",))
    with pytest.raises(InvalidPlan, match="twice"):
        DOMAIN.size(("a", "a"))


@pytest.mark.parametrize("groups", [(), (1, 1), (0, 2), (-1, 0), (0, 10**15)])
def test_a_grouping_with_gaps_is_refused_without_allocating(groups: tuple[int, ...]) -> None:
    with pytest.raises(InvalidPlan, match="every group from 0 up"):
        Grouping(groups={"a": groups})


def test_a_grouping_must_fit_the_domain() -> None:
    with pytest.raises(InvalidPlan, match="has 2 entries but the attribute has 3 codes"):
        Grouping(groups={"b": (0, 0)}).domain(DOMAIN)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_the_merged_size_is_the_number_of_groups(raw: list[int]) -> None:
    dense = {group: rank for rank, group in enumerate(sorted(set(raw)))}
    groups = tuple(dense[group] for group in raw)
    grouping = Grouping(groups={"c": groups})
    assert grouping.domain(DOMAIN).shape == (2, 3, len(dense))
    assert grouping.lookup("c", 4).tolist() == list(groups)
    assert grouping.lookup("b", 3).tolist() == [0, 1, 2]
