"""The statistical tests' false alarms add up to one in a million, and their bounds are bounds."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from support.chance import (
    ALARM,
    SUITE,
    Binomial,
    Distance,
    FixedBits,
    Law,
    SubGaussian,
    SumOfSquares,
    accepted,
    agrees,
    counts_agree,
    spend,
    statistical,
)

from silosynth.client.noise.discrete_gaussian import discrete_gaussian

TESTS = Path(__file__).parent


# The list


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """A statistical test and its false-alarm probability."""

    name: str
    alarm: float


def _stated() -> Iterator[Stated]:
    """Find every test that states a chance, in the text of the tests."""
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for call in node.decorator_list:
                    if isinstance(call, ast.Call) and ast.unparse(call.func) == "statistical":
                        named = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
                        name = f"{path.relative_to(TESTS)}::{node.name}"
                        yield Stated(name=name, alarm=named["alarm"])


def test_the_false_alarms_of_all_statistical_tests_add_up(
    record_property: pytest.RecordProperty if False else object,  # noqa
) -> None:
    stated = list(_stated())
    assert len(stated) > 10
    assert all(0 < s.alarm <= ALARM for s in stated), stated
    total = sum(s.alarm for s in stated)
    assert total <= SUITE, "\n".join(f"{s.alarm:.1e} {s.name}" for s in stated)
