"""What a region's rule asks of a plan is asked of what the plan lets out, not of its words."""

from __future__ import annotations

from typing import Any

import pytest

from silosynth.common.plan import Plan, fewest_in_sum
from silosynth.simulations.world.permits import Rules
from silosynth.simulations.world.rules import broken
from tests.support.tables.worlds import plan


def _names(rules: dict[str, Any], asked: Plan) -> list[str]:
    return [name for name, _ in broken(Rules.model_validate(rules), asked)]


@pytest.mark.parametrize(
    ("lacks", "fewest"),
    [
        ({"west": ("ill",)}, 3),
        ({"west": ("ill",), "east": ("ill",)}, 2),
        ({"west": ("ill",), "east": ("ill",), "south": ("ill",)}, 1),
        ({"west": ("ill",), "east": ("town",), "south": ("town",)}, 1),
        ({"west": ("ill",), "east": ("ill",), "south": ("town",), "north": ("town",)}, 2),
    ],
)
def test_silos_that_lack_a_column_add_no_rows_to_its_sum(
    lacks: dict[str, tuple[str, ...]], fewest: int
) -> None:
    asked = plan("mst", trust="shared", lacks=lacks)
    assert fewest_in_sum(asked) == fewest
    rule = {"min_silos_in_sum": 3}
    assert _names(rule, asked) == ([] if fewest >= 3 else ["min_silos_in_sum"])
    assert _names({"only_sums": True}, asked) == ([] if fewest >= 2 else ["only_sums"])


def test_every_rule_that_a_plan_breaks_is_named() -> None:
    rules = {"max_epsilon": 1, "methods": ["aim"], "trust": ["shared"], "datasets": ["x"]}
    assert _names(rules, plan()) == ["max_epsilon", "methods", "trust", "datasets"]
