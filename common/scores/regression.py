"""Linear and logistic regression of a few columns: coefficients and their standard errors."""

from __future__ import annotations

import numpy as np

Fit = tuple[np.ndarray, np.ndarray]
"""Coefficients without the intercept, and their standard errors, (columns - 1,) float64 each."""

_STEPS = 25
_RIDGE = 1e-6
_LARGEST = 20.0


def fit_linear(design: np.ndarray, answer: np.ndarray) -> Fit:
    """Fit by least squares; leave the intercept out of the answer.

    Args: design: (rows, columns) float64, the first column ones; answer: (rows,) float64.
    """
    inverse = np.linalg.inv(design.T @ design + _RIDGE * np.eye(design.shape[1]))
    found = inverse @ (design.T @ answer)
    rest = answer - design @ found
    variance = float(rest @ rest) / max(len(answer) - design.shape[1], 1)
    return found[1:], np.sqrt(np.maximum(np.diag(inverse) * variance, 0))[1:]


def fit_logistic(design: np.ndarray, answer: np.ndarray) -> Fit:
    """Fit by Newton's method, with a ridge that keeps separable tables finite.

    Args: as of :func:`fit_linear`; ``answer`` holds 0 and 1.
    """
    found = np.zeros(design.shape[1])
    inverse = np.eye(design.shape[1])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -_LARGEST, _LARGEST)))
        weight = np.maximum(chance * (1 - chance), _RIDGE)
        inverse = np.linalg.inv((design * weight[:, None]).T @ design + 1e-3 * np.eye(len(found)))
        step = inverse @ (design.T @ (answer - chance) - 1e-3 * found)
        found = np.clip(found + step, -_LARGEST, _LARGEST)
        if np.abs(step).max() < 1e-8:
            break
    return found[1:], np.sqrt(np.diag(inverse))[1:]
