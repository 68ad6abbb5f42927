"""Codes of a column in few groups, so that the noise of what is compared is small."""

from __future__ import annotations

import numpy as np

from silosynth.common.schema import CodedAttribute


def fold_codes(attribute: CodedAttribute, mass: np.ndarray, *, most: int) -> np.ndarray:
    """Return (codes,) int64, the group of each code: at most ``most`` of listed values.

    Neighbours of what has an order share a group of about equal mass; of a list the heaviest keep
    their own and the rest share one. ``other`` and ``missing`` keep their own.

    Args: mass: (codes,) float64, the rows of each code in all releases together.
    """
    groups = np.arange(attribute.size)
    listed = attribute.values
    if listed > most:
        groups[:listed] = (
            _by_mass(mass[:listed], most) if attribute.rising else _heaviest(mass[:listed], most)
        )
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.int64)


def _by_mass(mass: np.ndarray, most: int) -> np.ndarray:
    """Cut neighbours into groups by where the middle of each code's mass lies."""
    ends = np.cumsum(mass)
    middle = ends - mass / 2
    return np.minimum(middle * most // max(float(ends[-1]), 1e-300), most - 1).astype(np.int64)


def _heaviest(mass: np.ndarray, most: int) -> np.ndarray:
    """Give the heaviest codes a group each, in their order, and the rest the last."""
    heavy = np.sort(np.argsort(-mass, kind="stable")[: most - 1])
    groups = np.full(len(mass), most - 1)
    groups[heavy] = np.arange(most - 1)
    return groups
