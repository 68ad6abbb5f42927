"""The statistical tests' false alarms add up to one in a million, and their bounds are bounds."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from silosynth.client.noise.draw import discrete_gaussian
from tests.support.chance import (
    ALARM,
    MISS,
    SUITE,
    Binomial,
    Distance,
    FixedBits,
    Law,
    SubGaussian,
    SumOfSquares,
    accepted,
    agrees,
    at_most,
    counts_agree,
    masked,
    statistical,
)

TESTS = Path(__file__).parent
SOURCES = {
    *("SystemBits", "new_secret", "urandom", "token_bytes", "opendp_gaussian"),
    *("Gateway", "open_gateway", "open_silo", "open_learner", "circle", "Federation"),
    *("simulate", "demo", "run_local", "make_silos"),
}
"""Names behind which the operating system's randomness is: noise, keys, and whole silos."""

MEASURES = {
    *("abs", "mean", "var", "std", "median", "corrcoef", "norm", "quantile", "percentile"),
    *("pvalue", "chisquare", "kstest", "accuracy", "total_variation", "distance", "ratio"),
}
"""Names of what a tolerance is for, where it is compared by other than equality."""
NEARLY = {"approx", "allclose", "isclose"}
"""Names of tolerances, whatever they are compared with."""
FIXED = {"fixed_bits", "fixed_bits_of_a_module", "FixedBits", "FIXED_SECRETS"}
"""Names that give all of a test's noise one outcome."""

EXACT = {
    "simulations/test_cli.py::test_the_whole_walk": "shares of a forecast, which is not random",
    (
        "privacy/test_round.py::"
        "test_weights_between_steps_follow_from_noised_sums_and_public_numbers"
    ): "the bits are a script's",
    (
        "privacy/test_evaluation.py::test_the_page_says_what_people_held_out_said"
    ): "what a page says in six digits of a number that is at hand",
    (
        "processes/test_federation.py::"
        "test_a_shared_run_over_processes_ends_in_the_sampler_of_the_one_process_driver"
    ): "two costs of one plan, but for what is rounded up",
    (
        "simulations/test_shared_noise.py::test_receipts_state_both_costs"
    ): "two costs of one plan, but for what is rounded up",
}
"""Tests that look statistical and are not, and why."""


# The list


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A test, the function in its module, and what it and the helpers that it calls are made of."""

    name: str
    node: ast.FunctionDef
    reached: tuple[ast.AST, ...]

    @property
    def alarm(self) -> float | None:
        """Return the false-alarm probability that it states, if any."""
        for call in self.node.decorator_list:
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "statistical":
                named = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
                return float(named["alarm"])
        return None

    @property
    def names(self) -> set[str]:
        """Return every name that it reaches, and the words of the command line."""
        return {name for node in self.reached for name in _names(node)}

    @property
    def is_tolerant(self) -> bool:
        """Say whether something measured is compared with a tolerance."""
        asserts = [n for node in self.reached for n in ast.walk(node) if isinstance(n, ast.Assert)]
        if any(NEARLY & set(_names(a.test)) for a in asserts):
            return True
        compared = (c for a in asserts for c in ast.walk(a.test) if isinstance(c, ast.Compare))
        orders = ast.Lt | ast.LtE | ast.Gt | ast.GtE
        unequal = (c for c in compared if any(isinstance(o, orders) for o in c.ops))
        return any(MEASURES & set(_names(c)) for c in unequal)


def _names(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.arg):
            yield part.arg
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def _tests(name: str, text: str) -> Iterator[Found]:
    """Find the tests of a module, with the functions and values of it that each reaches."""
    tree = ast.parse(text)
    known: dict[str, ast.AST] = {
        n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)
    }
    for line in tree.body:
        if isinstance(line, ast.Assign):
            known |= {t.id: line for t in line.targets if isinstance(t, ast.Name)}
    for node in list(known.values()):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            reached = _reach(node, known)
            yield Found(name=f"{name}::{node.name}", node=node, reached=tuple(reached))


def _reach(node: ast.AST, known: dict[str, ast.AST]) -> Iterable[ast.AST]:
    seen, waiting = {id(node): node}, [node]
    while waiting:
        for name in set(_names(waiting.pop())) & known.keys():
            if id(known[name]) not in seen:
                seen[id(known[name])] = known[name]
                waiting.append(known[name])
    return seen.values()


def _all() -> Iterator[Found]:
    for path in sorted(TESTS.rglob("test_*.py")):
        if path != Path(__file__):
            yield from _tests(str(path.relative_to(TESTS)), path.read_text())


def _bypasses(test: Found) -> bool:
    """Say whether a test draws from real randomness and compares with a tolerance of its own."""
    named = test.names
    return bool(SOURCES & named and test.is_tolerant and test.alarm is None and not FIXED & named)


def test_the_false_alarms_of_all_statistical_tests_add_up() -> None:
    stated = {test.name: test.alarm for test in _all() if test.alarm is not None}
    listed = "\n".join(f"{alarm:.1e}  {name}" for name, alarm in stated.items())
    print(f"{listed}\n{sum(stated.values()):.1e}  all {len(stated)}")
    assert len(stated) > 20
    assert all(0 < alarm <= ALARM for alarm in stated.values()), listed
    assert sum(stated.values()) <= SUITE, listed


def test_no_statistical_test_has_a_tolerance_of_its_own() -> None:
    found = {test.name for test in _all() if _bypasses(test)}
    assert found == EXACT.keys()


@pytest.mark.parametrize(
    "text",
    [
        "def test_a():\n    x = draw(bits=SystemBits())\n    assert abs(x.mean()) < 5",
        "B = SystemBits()\ndef test_a():\n    assert 0.6 < np.var(draw(B)) < 1.6",
        "def test_a():\n    assert 0.6 <= share(simulate(1)).mean() <= 0.8",
        "def test_a():\n    assert simulate(1).total == pytest.approx(9, rel=0.1)",
        "def f(x):\n    assert x.mean() > 1\ndef test_a():\n    f(simulate(1))",
        "def test_a():\n    run(['demo'])\n    assert data['accuracy'] > 0.5",
        "class A:\n    def r(self):\n        return Gateway(1)\n"
        "def test_a():\n    assert abs(A().r()) < 3",
    ],
)
def test_a_tolerance_of_its_own_is_found(text: str) -> None:
    assert [_bypasses(test) for test in _tests("x", text)] == [True]
    fixed = text.replace("def test_a():", "@pytest.mark.usefixtures('fixed_bits')\ndef test_a():")
    assert not any(_bypasses(test) for test in _tests("x", fixed))


# The budget of a test


def test_a_test_that_spends_more_or_nothing_fails() -> None:
    law = Binomial(count=10, chance=0.5)

    @statistical(alarm=1e-9)
    def twice() -> None:
        for _ in range(2):
            agrees(5, law=law, mutants={}, alarm=1e-9)

    @statistical(alarm=1e-9)
    def nothing() -> None:
        pass

    with pytest.raises(AssertionError, match="spends 2e-09"):
        twice()
    with pytest.raises(AssertionError, match="compared nothing"):
        nothing()
    with pytest.raises(AssertionError, match="decorate the test"):
        agrees(5, law=law, mutants={}, alarm=1e-9)
    with pytest.raises(ValueError, match="at most"):
        statistical(alarm=1e-8)


@statistical(alarm=1e-9)
def test_a_comparison_without_power_proves_nothing() -> None:
    law = Binomial(count=1000, chance=0.5)
    near = {"nearly the same": Binomial(count=1000, chance=0.51)}
    for compare in (agrees, at_most):
        with pytest.raises(AssertionError, match="would pass with chance"):
            compare(500, law=law, mutants=near, alarm=1e-10)
    with pytest.raises(AssertionError, match="would pass with chance"):
        counts_agree([500, 500], chances=[0.5, 0.5], mutants={"x": [0.51, 0.49]}, alarm=1e-10)
    with pytest.raises(AssertionError, match="is not within"):
        agrees(700, law=law, mutants={}, alarm=1e-10)
    with pytest.raises(AssertionError, match="bin 0"):
        counts_agree([700, 300], chances=[0.5, 0.5], mutants={}, alarm=1e-10)
    with pytest.raises(AssertionError, match="is not within"):
        masked(np.arange(25, dtype=np.uint64), alarm=1e-10)


# Tails


def _exact_squares(count: int, sigma2: Fraction) -> np.ndarray:
    """Return the law of the sum of squares, by convolution."""
    reach = 60
    one = np.zeros(reach**2 + 1)
    for x in range(-reach, reach + 1):
        one[x * x] += np.exp(-(x**2) / (2 * float(sigma2)))
    one /= one.sum()
    law = one
    for _ in range(count - 1):
        law = np.convolve(law, one)
    return law


@pytest.mark.parametrize("sigma2", [Fraction(1, 3), Fraction(4), Fraction(25)])
def test_tails_of_squares_bound_the_exact_ones_and_not_by_much(sigma2: Fraction) -> None:
    law = SumOfSquares(count=4, sigma2=float(sigma2))
    exact = _exact_squares(4, sigma2)
    above, below = np.cumsum(exact[::-1])[::-1], np.cumsum(exact)
    for value in np.unique(np.linspace(1, 40 * float(sigma2), 60).astype(int)):
        assert above[value] <= law.above(float(value)) * (1 + 1e-9)
        assert below[value] <= law.below(float(value)) * (1 + 1e-9)
    far = int(40 * float(sigma2))
    assert above[far] > 1e-3 * law.above(float(far))


@pytest.mark.parametrize("count", [100, 5000])
def test_tails_of_squares_bound_those_of_chi_square(count: int) -> None:
    law = SumOfSquares(count=count, sigma2=1e6)
    for factor in (0.5, 0.8, 0.99, 1.01, 1.2, 2.0):
        value = factor * count
        assert stats.chi2.cdf(value, count) <= law.below(1e6 * value) * (1 + 1e-9)
        assert stats.chi2.sf(value, count) <= law.above(1e6 * value) * (1 + 1e-9)


def test_tails_of_noise_bound_the_exact_ones() -> None:
    law = SubGaussian(mean=0, variance=4.0)
    x = np.arange(-60, 61)
    chances = np.exp(-(x**2) / 8)
    chances /= chances.sum()
    for value in range(1, 30):
        assert chances[x >= value].sum() <= law.above(value)
        assert law.below(-value) == law.above(value)


@pytest.mark.parametrize(
    "law",
    [
        Binomial(count=200_000, chance=0.25),
        Binomial(count=25, chance=2.0**-13),
        SubGaussian(mean=3, variance=9),
        SumOfSquares(count=100, sigma2=4),
        SumOfSquares(count=100_000, sigma2=1e12),
    ],
)
def test_both_ends_are_the_outermost_that_are_accepted(law: Law) -> None:
    low, high = accepted(law, alarm=ALARM)
    assert law.below(low) > ALARM / 2
    assert law.above(high) > ALARM / 2
    assert law.above(high * (1 + 1e-6) + 1e-6) <= ALARM / 2
    assert low <= 0 or law.below(low * (1 - 1e-6) - 1e-6) <= ALARM / 2


def test_distances_are_bounded_as_massart_says() -> None:
    law = Distance(count=1000)
    for value in (0.02, 0.05, 0.08):
        assert stats.kstwo.sf(value, 1000) <= law.above(value)


def test_a_right_program_passes_and_a_wrong_one_does_not_over_many_starts() -> None:
    law = SumOfSquares(count=112_000, sigma2=4)
    low, high = accepted(law, alarm=ALARM)
    for start in range(10):
        bits = FixedBits(start)
        right = discrete_gaussian(sigma2=Fraction(4), count=law.count, bits=bits)
        wrong = discrete_gaussian(sigma2=Fraction(38, 10), count=law.count, bits=bits)
        assert low <= int((right**2).sum()) <= high
        assert int((wrong**2).sum()) < low
    assert SumOfSquares(count=law.count, sigma2=3.8).above(low) <= MISS
