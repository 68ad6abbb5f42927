"""Of how many silos' rows whatever leaves is a sum, at least."""

from __future__ import annotations

import pytest

from silosynth.common.plan import Method, fewest_in_sum
from tests.support.patience import cheap
from tests.support.tables.worlds import plan


def test_what_a_plan_spares_does_not_count_towards_a_sum() -> None:
    assert fewest_in_sum(plan()) == 1
    assert fewest_in_sum(plan(trust="shared")) == 4
    spares = plan(trust="shared", absent=1, on_absent="continue")
    assert fewest_in_sum(spares) == 3
    assert fewest_in_sum(plan(trust="shared", colluders=2)) == 2


@pytest.mark.parametrize(("method", "fewest"), [("mst", 2), ("aim", 1)])
def test_a_marginal_of_three_columns_counts_where_the_method_may_ask_it(
    method: str, fewest: int
) -> None:
    """North holds every column, and beside it one other silo each two of the three."""
    lacks = {"south": ("x",), "west": ("y",), "east": ("z",)}
    asked = plan(trust="shared").model_copy(update={"method": Method(method), "lacks": lacks})
    assert fewest_in_sum(asked) == fewest


def test_a_thousand_silos_that_lack_columns_are_counted_without_asking_each_about_each_pair() -> (
    None
):
    """A silo counts them before anybody approved: one by one that were minutes of its time."""
    silos = tuple(f"s{i:03}" for i in range(1000))
    lacks = {s: tuple(f"c{(7 * i + j) % 250}" for j in range(60)) for i, s in enumerate(silos)}
    asked = plan(trust="shared").model_copy(update={"silos": silos, "lacks": lacks})
    with cheap(units=200):
        fewest = fewest_in_sum(asked)
    pairs = [asked.holders((f"c{a}", "c0"), silos=silos) for a in range(250)]
    assert fewest == min(map(len, pairs)) > 0
