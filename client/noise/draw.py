"""Exact integer noise from uniform bits, and the share of it that one silo adds to a sum.

There is no seed here. Who may call this is decided elsewhere: one function of the silo, after the
charge.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Protocol

import numpy as np

from silosynth.client.noise.tail_table import (
    FRACTION_BITS,
    GUIDE_BITS,
    TailTable,
    exp_bounds,
    tail_table,
)
from silosynth.common.accounting import Noise, Vector, check_share, rdp_vector, rho_units
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Phase, Plan, phase_cost

LARGEST_TABLE_SIGMA2 = 2**20
LARGEST_SIGMA2 = 2**100
_BLOCK = 1 << 17
_WORD = 64
_REST_WORDS = FRACTION_BITS // _WORD - 1
_REST_MASK = (1 << _WORD * _REST_WORDS) - 1
_SIGN = np.uint64(_WORD - 1)


class BitSource(Protocol):
    """Where random bits come from."""

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64, every bit uniform and independent of all others."""


class SystemBits:
    """Bits from the operating system's cryptographic generator."""

    def words(self, count: int) -> np.ndarray:
        """Return (count,) uint64."""
        return np.frombuffer(os.urandom(8 * count), dtype=np.uint64)


def discrete_gaussian(*, sigma2: Fraction, count: int, bits: BitSource) -> np.ndarray:
    """Draw ``count`` independent values of N_Z(0, sigma2), as (count,) int64.

    N_Z(0, sigma2) has probability proportional to exp(-x² / (2 sigma2)) at every integer x.

    Guarantees: symmetric to the last bit; the law of one draw differs from N_Z(0, sigma2) by less
    than 2^-300 in statistical distance; ``bits`` alone decides the result; no float decides one.

    A draw is a sign and a uniform 319-bit number, inverted in a table of tails that are each
    within 2^-320 of the truth. Up to sigma = 1024 a side has fewer than 2^15 entries, hence the
    bound; beyond, draws are made of such draws by exact rejection.
    Only the first of five words is drawn; the others are drawn when it ties with an entry.

    Raises InvalidPlan when sigma2 is not an exact number above 0 and up to 2^100.
    Source: Canonne, Kamath, Steinke 2020 for the law; inversion by a table is elementary.
    """
    _check(sigma2, count)
    draw = _draw_table if sigma2 <= LARGEST_TABLE_SIGMA2 else _draw_large
    out = np.empty(count, dtype=np.int64)
    for start in range(0, count, _BLOCK):
        size = min(_BLOCK, count - start)
        out[start : start + size] = draw(Fraction(sigma2), size, bits)
    return out


def add_noise(
    counts: Sequence[np.ndarray], *, noise: Noise, bits: BitSource
) -> tuple[np.ndarray, ...]:
    """Add independent noise to every cell of every marginal."""
    ends = list(accumulate(len(c) for c in counts))
    drawn = draw_noise(noise, count=ends[-1], bits=bits)
    noised = np.concatenate(counts)
    noised += drawn
    return tuple(noised[start:end] for start, end in pairwise((0, *ends)))


def draw_noise(noise: Noise, *, count: int, bits: BitSource) -> np.ndarray:
    """Draw ``count`` independent values of all shares of a noise together, as (count,) int64."""
    return discrete_gaussian(sigma2=noise.sigma2, count=count, bits=bits)


def check_noise(noise: Noise) -> None:
    """Raise InvalidPlan unless all shares together can be drawn; ask this before charging."""
    _check_sigma2(noise.sigma2)


def _check_sigma2(sigma2: Fraction) -> None:
    """Raise InvalidPlan unless noise of ``sigma2`` can be drawn."""
    if isinstance(sigma2, bool) or not isinstance(sigma2, Fraction | int):
        raise InvalidPlan("sigma2 must be exact", hint="give a Fraction, not a float")
    if not 0 < sigma2 <= LARGEST_SIGMA2:
        raise InvalidPlan("sigma2 is out of range", hint="it must be above 0 and at most 2^100")


def _check(sigma2: Fraction, count: int) -> None:
    """Raise InvalidPlan unless the arguments make sense."""
    _check_sigma2(sigma2)
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise InvalidPlan(f"count is {count!r}", hint="give an integer of at least 0")


def _draw_table(sigma2: Fraction, count: int, bits: BitSource) -> np.ndarray:
    """Draw by inverting the tails: m of them lie above a number below one half.

    The top bit of the first word is the sign; where it is set, the other 63 are mirrored. Further
    words mean the same under both signs, so +m and -m are equally likely.
    """
    table = tail_table(sigma2)
    words = bits.words(count)
    negative = -(words >> _SIGN).astype(np.int64)
    magnitude = _magnitudes(table, words ^ negative.view(np.uint64), bits)
    return (magnitude ^ negative) - negative


def _magnitudes(table: TailTable, uniform: np.ndarray, bits: BitSource) -> np.ndarray:
    """Count the tails above each 320-bit number that starts with ``uniform`` < 2^63, as int64."""
    buckets = (uniform >> np.uint64(_WORD - 1 - GUIDE_BITS)).view(np.int64)
    counts = table.guide[buckets].astype(np.int64)
    unclear = np.flatnonzero(counts < 0)
    words = uniform[unclear]
    lowest = np.searchsorted(table.tops, words, "left")
    beyond = np.searchsorted(table.tops, words, "right")
    counts[unclear] = len(table.tops) - beyond
    for tie in np.flatnonzero(lowest < beyond):
        first = len(table.tops) - int(beyond[tie])
        tied = table.tails[first : len(table.tops) - int(lowest[tie])]
        counts[unclear[tie]] += _refined(tied, bits)
    return counts


def _refined(tied: tuple[int, ...], bits: BitSource) -> int:
    """Count the tails above a number that shares their first word, by its four further words."""
    rest = _integer(bits.words(_REST_WORDS))
    return sum((tail & _REST_MASK) > rest for tail in tied)


def _integer(words: np.ndarray) -> int:
    """Return the words as one integer, the first word highest."""
    return int.from_bytes(words.astype(">u8").tobytes(), "big")


def _draw_large(sigma2: Fraction, count: int, bits: BitSource) -> np.ndarray:
    """Draw at a scale beyond the table, by rejection from a table at 2^-shift of the scale.

    A magnitude is x 2^shift + y with x >= 0 from the table and y uniform in [0, 2^shift); it is
    kept with probability exp(-y (y + 2 x 2^shift) / (2 sigma2)), which leaves
    exp(-magnitude² / (2 sigma2)). Then a sign; -0 is thrown away. About half of the proposals
    are kept, which makes the table's 2^-305 at most four times as large.

    Source: Ducas, Durmus, Lepoint, Lyubashevsky 2013 (BLISS), Algorithm 11.
    """
    shift = _shift(sigma2)
    parts: list[np.ndarray] = []
    missing = count
    while missing > 0:
        size = 2 * missing + 64
        coarse = _draw_table(sigma2 / 4**shift, size, bits)
        words = bits.words(size)
        fine = (words & np.uint64((1 << shift) - 1)).view(np.int64)
        negative = -(words >> _SIGN).astype(np.int64)
        proposed = np.flatnonzero(coarse >= 0)
        coarse, fine, negative = coarse[proposed], fine[proposed], negative[proposed]
        value = (coarse << shift) + fine
        kept = _coins(fine, value + (coarse << shift), sigma2, bits)
        kept &= (value > 0) | (negative == 0)
        parts.append(((value ^ negative) - negative)[kept][:missing])
        missing -= len(parts[-1])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _shift(sigma2: Fraction) -> int:
    """Return the smallest shift for which sigma2 / 4^shift has a table."""
    shift = 0
    while sigma2 > LARGEST_TABLE_SIGMA2 << 2 * shift:
        shift += 1
    return shift


def _coins(a: np.ndarray, b: np.ndarray, sigma2: Fraction, bits: BitSource) -> np.ndarray:
    """Toss coins of probability exp(-a b / (2 sigma2)) for int64 a, b >= 0, as booleans.

    A float with an error far below 2^-40 decides where a 53-bit uniform is farther away than
    that; the others are decided by 320 bits and exact bounds.
    """
    words = bits.words(len(a))
    uniform = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    chance = np.exp(-(a.astype(np.float64) * b.astype(np.float64)) / float(2 * sigma2))
    heads = uniform < chance
    for i in np.flatnonzero(np.abs(uniform - chance) < 2.0**-40):
        number = _integer(np.concatenate([words[i : i + 1], bits.words(_REST_WORDS)]))
        heads[i] = _below_exp(number, Fraction(int(a[i]) * int(b[i])) / (2 * sigma2))
    return heads


def _below_exp(number: int, exponent: Fraction) -> bool:
    """Say whether a 320-bit ``number`` is below floor(2^320 exp(-exponent)).

    The precision grows until the floor is known; it is at last, since the exponential of a nonzero
    rational is irrational.
    """
    if not exponent:
        return True
    precision = FRACTION_BITS
    while True:
        precision += 80
        low, high = (e >> (precision - FRACTION_BITS) for e in exp_bounds(exponent, precision))
        if low == high or number < low or number >= high:
            return number < low


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseShare:
    """The noise that a silo draws, and the cost of one request in units of 2^-40 of zCDP rho.

    ``alone_units`` is what the request costs if nobody else adds noise. In own trust it is what
    the request costs. ``vector`` is there where persons are sampled.
    """

    noise: Noise
    cost_units: int
    alone_units: int
    vector: Vector | None = None


def noise_share(plan: Plan, phase: Phase, *, marginals: int, length: int = 1) -> NoiseShare:
    """Return a silo's share of the noise of one request: that of the sum / (K - t - d).

    Guarantees: whichever t silos take their noise out of the sum, and whichever d stay away, the
    noise of the others has at least the variance of the phase that is charged for.

    Args: length: T, where persons are weighed; the noise grows with it and the cost does not.

    Raises InvalidPlan when the share is below 1 or cannot be drawn.
    """
    cost = replace(
        phase_cost(phase, rows_per_person=plan.privacy.rows_per_person, shares=plan.shares),
        count=marginals,
    )
    if plan.masked:
        check_share(cost.share)
    noise = plan.noise(phase, length=length).share
    check_noise(noise)
    return NoiseShare(
        noise=noise,
        cost_units=rho_units(cost.rho),
        alone_units=rho_units(cost.alone.rho),
        vector=rdp_vector(cost) if cost.rate < 1 else None,
    )
