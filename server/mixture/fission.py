"""Two sights of the same noised counts whose noises are independent of one another.

Noise of the same size times a part added to them, and the same noise over that part taken off, make
two that are uncorrelated, and so independent where both are normal: what is low or high by chance
in one is not in the other. It costs no privacy.

Source: data fission, Leiner, Duan, Wasserman and Ramdas 2025, example 1.
"""

from __future__ import annotations

import numpy as np


def two_sights(
    counts: np.ndarray, noise: np.ndarray, *, part: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (cells,) twice: what is fitted to, and what that is held against.

    Args: noise: (cells,) drawn as the noise of ``counts`` was, anew.
    """
    return counts + part * noise, counts - noise / part


def times_the_variance(part: float) -> float:
    """Return the variance of the first sight over that of the counts."""
    return 1.0 + part**2
