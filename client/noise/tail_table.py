"""Cumulative tables of the discrete Gaussian in 320-bit fixed point, by integers alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

import numpy as np

FRACTION_BITS = 320
GUIDE_BITS = 16
_FIRST_PRECISION = 400
_WORD = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TailTable:
    """The upper tails of N_Z(0, sigma2), to the last of 320 bits.

    ``tails[k]`` is floor(2^320 P(X > k)), exactly; the list ends before the first 0. The lower
    tails are the same by symmetry, and what rounding takes from the tails falls to 0.

    ``tops``: (entries,) uint64, the upper 64 bits of ``tails`` in rising order. ``guide``:
    (65536,) int32, by bits 47..62 of a word below 2^63: how many tails lie above every such word,
    or -1 where a tail lies among them.
    """

    tails: tuple[int, ...]
    tops: np.ndarray
    guide: np.ndarray


@lru_cache(maxsize=32)
def tail_table(sigma2: Fraction) -> TailTable:
    """Build the table of N_Z(0, sigma2): probability of x proportional to exp(-x² / (2 sigma2)).

    Guarantees: every entry is the floor of the true value. Sums are kept as integer intervals
    that hold it; where both ends do not have the same floor, the precision is doubled.
    """
    precision = _FIRST_PRECISION
    while (tails := _decided_tails(sigma2, precision)) is None:
        precision *= 2
    tops = np.array([t >> (FRACTION_BITS - _WORD) for t in reversed(tails)], dtype=np.uint64)
    return TailTable(tails=tails, tops=tops, guide=_guide(tops))


def exp_bounds(exponent: Fraction, precision: int) -> tuple[int, int]:
    """Return integers low <= 2^precision exp(-exponent) <= high, for an exponent >= 0.

    The exponent is halved until the alternating Taylor series is short, then the result squared.
    Every truncation rounds low down and high up.
    """
    if exponent > precision:
        return 0, 1
    halvings = max(0, (exponent.numerator * 2 // exponent.denominator).bit_length())
    bits = precision + 2 * halvings + 16
    numerator, denominator = exponent.numerator, exponent.denominator << halvings
    total, term, terms = 0, 1 << bits, 0
    while term:
        total += -term if terms % 2 else term
        terms += 1
        term = term * numerator // (denominator * terms)
    low, high = max(0, total - 2 * terms - 2), total + 2 * terms + 2
    for _ in range(halvings):
        low, high = low * low >> bits, (high * high >> bits) + 1
    return low >> (bits - precision), (high >> (bits - precision)) + 1


def _decided_tails(sigma2: Fraction, precision: int) -> tuple[int, ...] | None:
    """Return the nonzero tails, or None where ``precision`` cannot decide a floor."""
    lows, highs, rest = _weights(sigma2, precision)
    above_low = list(accumulate(reversed(lows[1:]), initial=0))[::-1]
    above_high = list(accumulate(reversed(highs[1:]), initial=rest))[::-1]
    one = 1 << precision
    total_low, total_high = one + 2 * above_low[0], one + 2 * above_high[0]
    floors = _floors(above_low, total_high)
    if floors != _floors(above_high, total_low):
        return None
    return tuple(floors)


def _floors(sums: Iterable[int], total: int) -> list[int]:
    """Return floor(2^320 sum / total) of each sum up to the first 0."""
    floors = []
    for value in sums:
        floor = (value << FRACTION_BITS) // total
        if not floor:
            break
        floors.append(floor)
    return floors


def _weights(sigma2: Fraction, precision: int) -> tuple[list[int], list[int], int]:
    """Return bounds of 2^precision exp(-x² / (2 sigma2)) for x = 0, 1, ..., and of the rest's sum.

    exp(-(x+1)²/(2 sigma2)) is the one before times q^(2x+1), and that factor falls by q² a step.
    The rest is at most a geometric series, since the factors fall.
    """
    low, high = exp_bounds(1 / (2 * sigma2), precision)
    one = 1 << precision
    low2, high2 = low * low >> precision, (high * high >> precision) + 1
    lows, highs = [one], [one]
    factor_low, factor_high = low, high
    while True:
        weight_low = lows[-1] * factor_low >> precision
        weight_high = (highs[-1] * factor_high >> precision) + 1
        factor_low = factor_low * low2 >> precision
        factor_high = (factor_high * high2 >> precision) + 1
        if not weight_low:
            return lows, highs, (weight_high << precision) // (one - factor_high) + 1
        lows.append(weight_low)
        highs.append(weight_high)


def _guide(tops: np.ndarray) -> np.ndarray:
    """Return how many tops lie above each bucket of words, or -1 where one lies inside."""
    width = _WORD - 1 - GUIDE_BITS
    first = np.arange(1 << GUIDE_BITS, dtype=np.uint64) << np.uint64(width)
    last = first | np.uint64((1 << width) - 1)
    below, reached = np.searchsorted(tops, first, "left"), np.searchsorted(tops, last, "right")
    return np.where(below == reached, len(tops) - below, -1).astype(np.int32)
