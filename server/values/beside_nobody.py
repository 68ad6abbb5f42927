"""An exponential count with normal noise, beside the noise of a cell that nobody is in.

By z, how many deviations a count lies above the noise's variance over the mean of the exponential.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr


def log_odds(z: np.ndarray, *, ratio: np.ndarray) -> np.ndarray:
    """Return the log of the density of a count that is somebody's over that of noise alone.

    Both are divided by that of a normal about 0, which is never far from either.

    Args: ratio: the deviation of the noise over the mean of the exponential.
    """
    found: np.ndarray = np.log(ratio) + 0.5 * np.log(2.0 * np.pi) + 0.5 * z**2 + log_ndtr(z)
    return found


def pushed_up(z: np.ndarray) -> np.ndarray:
    """Return by how many deviations a normal about z lies higher where it is not below nought."""
    found: np.ndarray = np.exp(-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - log_ndtr(z))
    return found
