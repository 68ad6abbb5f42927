"""What the methods of all pairs give their 1-ways, and how long a mixture is fitted."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from silosynth.common.plan import Own, PhaseName
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.methods.marginals import FIFTH, shares_of
from silosynth.server.methods.method import Terms
from silosynth.server.methods.mixture import SMOOTHING, STEPS
from silosynth.server.mixture import Settings
from silosynth.server.mixture.fitting import COMPONENTS, FEWEST_STEPS

BUDGET: dict[str, Any] = {
    "epsilon": 1.0,
    "delta": 1e-6,
    "rows_per_person": 1,
    "silos": 1,
    "trust": Own(),
}


def made_schema(*, width: int, codes: int) -> Schema:
    number = {"kind": "integer", "minimum": 0, "maximum": codes - 1, "source": "public"}
    attributes = [{"name": f"x{i}", **number} for i in range(width)]
    return parse_schema({"name": "made", "attributes": attributes})


def alone(schema: Schema, **terms: Any) -> Fraction:
    shares = shares_of(schema, Terms(**(BUDGET | terms)))
    assert sum(shares.values()) == 1
    return shares[PhaseName.ONE_WAY]


def test_pairs_of_few_codes_say_their_1_ways_as_well() -> None:
    assert alone(made_schema(width=137, codes=2)) == Fraction(4, 137)
    assert alone(made_schema(width=500, codes=2)) == Fraction(1, 50)
    assert alone(made_schema(width=137, codes=2), rows_at_most=2_000) == Fraction(4, 137)


def test_1_ways_of_many_codes_get_a_fifth_and_more_where_rows_are_few() -> None:
    """With a sixteenth of the budget 65 columns of digits were half as far again."""
    schema = made_schema(width=100, codes=16)
    assert alone(schema) == FIFTH
    assert alone(schema, rows_at_most=10**7) == FIFTH
    assert FIFTH < alone(schema, rows_at_most=60_000) < alone(schema, rows_at_most=20_000)
    assert alone(schema, rows_at_most=10) == Fraction(3, 5)


@pytest.mark.parametrize(("codes", "steps"), [(100, STEPS), (1200, FEWEST_STEPS)])
def test_a_fit_is_long_where_it_is_quick(codes: int, steps: int) -> None:
    found = Settings.of_codes(codes, steps=STEPS, smoothing=SMOOTHING)
    assert found.steps == steps
    assert found.components <= COMPONENTS
