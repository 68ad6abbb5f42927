"""Arithmetic of tables whose axes are attributes."""

from __future__ import annotations

import math

import numpy as np

from silosynth.common.domain import Clique, Domain


def axes_outside(clique: Clique, *, kept: Clique) -> tuple[int, ...]:
    """Return the axes of a table over ``clique`` that summing onto ``kept`` removes."""
    return tuple(i for i, a in enumerate(clique) if a not in kept)


def broadcast_shape(domain: Domain, *, source: Clique, target: Clique) -> tuple[int, ...]:
    """Return the shape in which a table over ``source`` multiplies one over ``target``.

    Both cliques are in column order and ``source`` is a part of ``target``.
    """
    return tuple(domain.shape[domain.index(a)] if a in source else 1 for a in target)


def sum_onto(table: np.ndarray, *, clique: Clique, kept: Clique) -> np.ndarray:
    """Sum a table over ``clique`` onto ``kept``, with the axes in the order of ``kept``."""
    summed: np.ndarray = table.sum(axis=axes_outside(clique, kept=kept))
    left = [a for a in clique if a in kept]
    return summed.transpose([left.index(a) for a in kept])


def condition(table: np.ndarray, *, clique: Clique, given: Clique) -> np.ndarray:
    """Divide a table over ``clique`` by its marginal over ``given``, with 0/0 = 0."""
    axes = axes_outside(clique, kept=given)
    marginal = table.sum(axis=axes, keepdims=True)
    scale = np.divide(1.0, marginal, out=np.zeros_like(marginal), where=marginal > 0)
    conditional: np.ndarray = table * scale
    return conditional


def contract(
    left: tuple[Clique, np.ndarray], right: tuple[Clique, np.ndarray], *, kept: Clique
) -> np.ndarray:
    """Multiply two tables on their shared attributes and sum onto ``kept``.

    One batched matrix product does the work, so that no table over both cliques is made.

    Args:    left, right: a clique and its table, one axis per attribute.
    Returns: a table with the axes in the order of ``kept``.
    """
    left = _drop(left, needed=(*right[0], *kept))
    right = _drop(right, needed=(*left[0], *kept))
    shared = [a for a in left[0] if a in right[0]]
    batch = tuple(a for a in shared if a in kept)
    inner = tuple(a for a in shared if a not in kept)
    rows = tuple(a for a in left[0] if a not in right[0])
    columns = tuple(a for a in right[0] if a not in left[0])
    product = _matrix(left, batch, rows, inner) @ _matrix(right, batch, inner, columns)
    sizes = dict(zip(left[0], left[1].shape, strict=True))
    sizes.update(zip(right[0], right[1].shape, strict=True))
    order = (*batch, *rows, *columns)
    table: np.ndarray = product.reshape([sizes[a] for a in order])
    return table.transpose([order.index(a) for a in kept])


def _drop(factor: tuple[Clique, np.ndarray], *, needed: Clique) -> tuple[Clique, np.ndarray]:
    """Sum out what nobody needs."""
    clique, table = factor
    kept = tuple(a for a in clique if a in needed)
    return (clique, table) if kept == clique else (kept, sum_onto(table, clique=clique, kept=kept))


def _matrix(factor: tuple[Clique, np.ndarray], *parts: Clique) -> np.ndarray:
    """Return the table with one axis per part."""
    clique, table = factor
    order = [clique.index(a) for part in parts for a in part]
    shape = [math.prod(table.shape[clique.index(a)] for a in part) for part in parts]
    return table.transpose(order).reshape(shape)
