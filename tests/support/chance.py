"""Statistical tests: each says beforehand how often a right program would fail it.

A test that draws from a real source of randomness and compares with a tolerance is decorated with
:func:`statistical`, which names its false-alarm probability, and compares through :func:`agrees`,
which works the tolerance out of the law. The chances of all tests are added up by a test.

Every law gives tails that are exact or upper bounds. So a right program is refused with at most
the stated chance, and where the law of a mutant is given, the mutant passes with at most ``MISS``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

ALARM = 1e-9
"""The most false alarms of one test, all of its cases together."""
SUITE = 1e-6
"""The most false alarms of all tests together."""
MISS = 1e-6
"""The most chance with which a mutant may pass its test once."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(slots=True, kw_only=True)
class _Budget:
    """What a running test may still spend."""

    alarm: float
    spent: float = 0.0


_BUDGET: ContextVar[_Budget | None] = ContextVar("budget", default=None)


def statistical(*, alarm: float, cases: int = 1) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Name a test's false-alarm probability: of all its ``cases`` of parametrisation together.

    The test fails when its comparisons spend more, or none at all.
    """
    if not 0 < alarm <= ALARM:
        raise ValueError(f"a test raises a false alarm with chance {alarm}; at most {ALARM} may be")

    def decorate(test: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(test)
        def run(*args: P.args, **named: P.kwargs) -> R:
            with _budgeted(alarm / cases):
                return test(*args, **named)

        run.statistical_cases = cases  # type: ignore[attr-defined]  # read at collection
        return run

    return decorate


@contextmanager
def _budgeted(alarm: float) -> Iterator[None]:
    """Let comparisons spend so much, and demand that they spend something."""
    budget = _Budget(alarm=alarm)
    token = _BUDGET.set(budget)
    try:
        yield
    finally:
        _BUDGET.reset(token)
    assert budget.spent > 0, "a statistical test compared nothing through support.chance"


def spend(alarm: float) -> None:
    """Take a chance of a false alarm from the running test's budget."""
    budget = _BUDGET.get()
    assert budget is not None, "decorate the test with @statistical(alarm=...)"
    budget.spent += alarm
    assert budget.spent <= budget.alarm * (1 + 1e-9), f"the test spends {budget.spent:.3g}"


class Law(Protocol):
    """A law of one number, by its tails."""

    def below(self, value: float) -> float:
        """Return at least the chance of ``value`` or less."""

    def above(self, value: float) -> float:
        """Return at least the chance of ``value`` or more."""

    @property
    def reach(self) -> tuple[float, float]:
        """Return two values with more or less everything between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binomial:
    """How many of ``count`` independent trials succeed: exact tails."""

    count: int
    chance: float

    def below(self, value: float) -> float:
        return float(binom.cdf(math.floor(value), self.count, self.chance))

    def above(self, value: float) -> float:
        return float(binom.sf(math.ceil(value) - 1, self.count, self.chance))

    @property
    def reach(self) -> tuple[float, float]:
        return -1.0, self.count + 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SubGaussian:
    """Any variable with E exp(t (X - mean)) <= exp(t² variance / 2): tails by Chernoff's bound.

    Among them: sums of N_Z(0, sigma2) with weights, for the weights' squares times sigma2
    (Canonne, Kamath, Steinke 2020, Fact 18); anything within [a, b], for (b - a)² / 4
    (Hoeffding 1963); the sum of independent ones, for the sum of their variances.
    """

    mean: float
    variance: float

    def below(self, value: float) -> float:
        return self._tail(self.mean - value)

    def above(self, value: float) -> float:
        return self._tail(value - self.mean)

    @property
    def reach(self) -> tuple[float, float]:
        far = 20 * math.sqrt(self.variance)
        return self.mean - far, self.mean + far

    def _tail(self, distance: float) -> float:
        return math.exp(-(max(distance, 0.0) ** 2) / (2 * self.variance))


@dataclass(frozen=True, slots=True, kw_only=True)
class SumOfSquares:
    """The sum of ``count`` squares of N_Z(0, sigma2): tails by Chernoff's bound.

    E exp(t X²) = theta(s) / theta(sigma2) where 1 / s = 1 / sigma2 - 2 t and theta(s) is the sum of
    exp(-x² / (2 s)) over the integers. The best s makes the mean of N_Z(0, s)² that of the value.
    """

    count: int
    sigma2: float

    def below(self, value: float) -> float:
        return self._tail(value) if value < self.count * _second_moment(self.sigma2) else 1.0

    def above(self, value: float) -> float:
        return self._tail(value) if value > self.count * _second_moment(self.sigma2) else 1.0

    @property
    def reach(self) -> tuple[float, float]:
        mean = self.count * _second_moment(self.sigma2)
        return math.exp(-100 / self.count) * mean / 2, (2 + 100 / self.count) * mean

    def _tail(self, value: float) -> float:
        other = _parameter(value / self.count)
        t = (1 / self.sigma2 - 1 / other) / 2
        exponent = self.count * (_log_theta(other) - _log_theta(self.sigma2)) - t * value
        return math.exp(min(exponent, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """The most that the empirical law of ``count`` draws is off the true one, anywhere.

    Source: Massart 1990 (Dvoretzky, Kiefer, Wolfowitz): at most 2 exp(-2 n d²).
    """

    count: int

    def below(self, value: float) -> float:
        return 1.0

    def above(self, value: float) -> float:
        return min(1.0, 2 * math.exp(-2 * self.count * max(value, 0.0) ** 2))

    @property
    def reach(self) -> tuple[float, float]:
        return -1.0, 1.0


def accepted(law: Law, *, alarm: float) -> tuple[float, float]:
    """Return the ends between which a value is accepted: half of ``alarm`` lies beyond each."""
    low, high = law.reach
    return (
        _edge(lambda x: law.below(x) > alarm / 2, taken=high, refused=low),
        _edge(lambda x: law.above(x) > alarm / 2, taken=low, refused=high),
    )


def _edge(takes: Callable[[float], bool], *, taken: float, refused: float) -> float:
    """Return the last value that is taken on the way to one that is not."""
    if takes(refused):
        return refused
    while (middle := (refused + taken) / 2) not in (refused, taken):
        refused, taken = (refused, middle) if takes(middle) else (middle, taken)
    return taken


def agrees(value: float, *, law: Law, alarm: float, mutants: Mapping[str, Law]) -> None:
    """Fail unless a right program may give ``value``, and where a mutant might give it as well.

    ``mutants``: what the value's law would be in programs that the test is there to find; each is
    accepted with a chance of at most ``MISS``, or the test proves nothing.
    """
    spend(alarm)
    low, high = accepted(law, alarm=alarm)
    for name, other in mutants.items():
        missed = min(other.above(low), other.below(high))
        assert missed <= MISS, f"{name} would pass with chance {missed:.3g}"
    assert low <= value <= high, f"{value} is not within {low:.6g} and {high:.6g}"


def at_most(value: float, *, law: Law, alarm: float, mutants: Mapping[str, Law]) -> None:
    """Fail where ``value`` is more than a right program gives, whose law ``law`` bounds above."""
    spend(alarm)
    low, high = law.reach
    most = _edge(lambda x: law.above(x) > alarm, taken=low, refused=high)
    for name, other in mutants.items():
        missed = other.below(most)
        assert missed <= MISS, f"{name} would pass with chance {missed:.3g}"
    assert value <= most, f"{value} is more than {most:.6g}"


def counts_agree(
    counts: Sequence[int] | np.ndarray,
    *,
    chances: Sequence[float] | np.ndarray,
    alarm: float,
    mutants: Mapping[str, Sequence[float] | np.ndarray],
    others: int = 0,
) -> None:
    """Fail unless all ``counts`` of bins may be binomial with their chances, each for itself.

    A mutant is found where one bin finds it. The alarms of the bins add up to ``alarm``. So many
    ``others`` of the draws may have any law: they move a count by no more than their number.
    """
    spend(alarm)
    trials, each = int(np.sum(counts)), alarm / len(counts)
    laws = [Binomial(count=trials, chance=float(p)) for p in chances]
    ends = [(a - others, b + others) for a, b in (accepted(law, alarm=each) for law in laws)]
    for name, changed in mutants.items():
        missed = min(
            min(other.above(low - others), other.below(high + others))
            for p, (low, high) in zip(changed, ends, strict=True)
            for other in [Binomial(count=trials, chance=float(p))]
        )
        assert missed <= MISS, f"{name} would pass with chance {missed:.3g}"
    far = [
        f"bin {i}: {count} of {low:.0f} to {high:.0f}"
        for i, (count, (low, high)) in enumerate(zip(counts, ends, strict=True))
        if not low <= count <= high
    ]
    assert not far, "; ".join(far[:5])


def masked(words: np.ndarray, *, alarm: float) -> None:
    """Fail where 64-bit words do not look like masks: none of them hides a value below 2^50.

    Of uniform words one in 2^13 lies as near to zero, from above or below.
    """
    near = int((np.abs(words.view(np.int64).astype(float)) < 2**50).sum())
    bare: Mapping[str, Law] = {"no mask": Binomial(count=len(words), chance=1.0)}
    agrees(near, law=Binomial(count=len(words), chance=2.0**-13), mutants=bare, alarm=alarm)


class FixedBits:
    """Bits with a fixed start, for tests of which randomness proves nothing: they have one outcome.

    It stands where a silo's source of bits does.
    """

    def __init__(self, start: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(start))

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64."""
        return self._generator.integers(0, 2**64, size=count, dtype=np.uint64)


def _log_theta(s: float) -> float:
    """Return the logarithm of the sum of exp(-x² / (2 s)) over all integers."""
    if s > 20:  # Poisson summation: the next term is 2 exp(-2 pi² s), below 1e-171.
        return 0.5 * math.log(2 * math.pi * s)
    x = np.arange(1, 40 * math.ceil(math.sqrt(s)) + 2, dtype=float)
    return math.log1p(2 * float(np.exp(-(x**2) / (2 * s)).sum()))


def _second_moment(s: float) -> float:
    """Return E X² of N_Z(0, s)."""
    if s > 20:
        return s
    x = np.arange(1, 40 * math.ceil(math.sqrt(s)) + 2, dtype=float)
    weights = np.exp(-(x**2) / (2 * s))
    return float(2 * (x**2 * weights).sum() / (1 + 2 * weights.sum()))


def _parameter(second_moment: float) -> float:
    """Return the s whose N_Z(0, s) has this second moment."""
    if second_moment > 20:
        return second_moment
    return float(brentq(lambda s: _second_moment(s) - second_moment, 1e-3, 21.0))
