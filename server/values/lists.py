"""Long lists of codes, of which most hold few rows: what their noised counts say of all of them.

Most counts of a long list are noise. How many rows codes have in general is learnt from all counts
at once, and each count is then what is expected of it (Robbins 1956; Kiefer and Wolfowitz 1956).
Post-processing of releases.
"""

from __future__ import annotations

import numpy as np

from silosynth.server.values.tree import project

FEWEST_CODES = 6
"""Shorter lists say too little of how many rows codes have in general."""
_LARGE = 8.0
"""Standard deviations from which on a count says enough by itself."""
_FAR = 6.0
"""Standard deviations of a sum that noise does not reach."""
_POINTS, _ROUNDS = 121, 200
_BINS = 16
"""Counts are told apart to so many parts of their standard deviation."""


def steady_counts(counts: np.ndarray, *, deviation: float, rows: float) -> np.ndarray:
    """Return what is expected of the counts of a list, without negative ones.

    They are ``rows`` in all where noise can explain that they add up to another number, else as
    many as they were.

    Args:
        counts: (codes,) noised counts of one standard deviation.
        deviation: of their noise. rows: of the table, as far as it is known.
    Returns: (codes,) float64.
    """
    steady = np.asarray(counts, dtype=np.float64).copy()
    few = steady < _LARGE * deviation
    if few.sum() > 1:
        steady[few] = _expected(steady[few] / deviation) * deviation
    own = float(np.sum(counts))
    near = abs(own - rows) <= _FAR * deviation * np.sqrt(len(steady))
    there = np.ones((1, len(steady)), dtype=bool)
    total = np.array([max(rows if near else own, 0.0)])
    whole: np.ndarray = project(steady[None, :], there=there, total=total)[0]
    return whole


def _expected(counts: np.ndarray) -> np.ndarray:
    """Return the expectation of each mean behind counts with noise of one.

    The law of the means is the likeliest one on a grid, by expectation and maximisation.
    """
    places, where, often = np.unique(
        np.rint(counts * _BINS), return_inverse=True, return_counts=True
    )
    points = np.linspace(0.0, _LARGE + 2.0, _POINTS)
    likely = np.exp(-0.5 * (places[:, None] / _BINS - points[None, :]) ** 2) + 1e-300
    law = np.full(_POINTS, 1.0 / _POINTS)
    for _ in range(_ROUNDS):
        share = likely * law
        share /= share.sum(axis=1, keepdims=True)
        law = often @ share / often.sum()
    share = likely * law
    expected: np.ndarray = (share @ points) / share.sum(axis=1)
    return expected[where]
