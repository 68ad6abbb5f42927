#!/usr/bin/env python3
"""A weak renderer of handwritten figures, 8 x 8: it reads lines and writes a picture for each.

An empty line asks for a picture, any other, which is a picture, for a variation of it. Figures are
a few strokes each, as anybody would sketch them, bent and slanted by chance. It was written without
a look at the rows that it is measured on, knows no label and writes none.
"""

from __future__ import annotations

import sys

import numpy as np

SIDE, _FINE, _LEVELS = 8, 4, 255
_POINTS = 24

Stroke = tuple[tuple[float, float], ...]


def _arc(x: float, y: float, rx: float, ry: float, start: float, stop: float) -> Stroke:
    """Return points on an ellipse, angles in turns, clockwise from the right; y goes down."""
    turns = np.linspace(start, stop, 9) * 2 * np.pi
    return tuple((x + rx * float(np.cos(t)), y + ry * float(np.sin(t))) for t in turns)


FIGURES: tuple[tuple[Stroke, ...], ...] = (
    (_arc(0.5, 0.5, 0.4, 0.5, 0, 1),),
    (_arc(0.5, 0.5, 0.28, 0.5, 0, 1),),
    (((0.5, 0.0), (0.5, 1.0)),),
    (((0.25, 0.25), (0.55, 0.0), (0.55, 1.0)),),
    (((0.25, 0.25), (0.5, 0.0), (0.5, 1.0)), ((0.2, 1.0), (0.8, 1.0))),
    ((*_arc(0.5, 0.27, 0.35, 0.27, -0.5, 0.1), (0.1, 1.0), (0.9, 1.0)),),
    (
        (
            *_arc(0.5, 0.27, 0.35, 0.27, -0.45, 0.15),
            *_arc(0.3, 0.87, 0.2, 0.13, -0.2, -0.9)[4:],
            (0.9, 0.95),
        ),
    ),
    ((*_arc(0.45, 0.25, 0.35, 0.25, -0.45, 0.25), *_arc(0.45, 0.75, 0.4, 0.25, -0.25, 0.42)),),
    (((0.15, 0.0), (0.85, 0.0), (0.45, 0.4)), _arc(0.45, 0.7, 0.4, 0.3, -0.25, 0.42)),
    (((0.5, 0.0), (0.1, 0.65), (0.9, 0.65)), ((0.65, 0.35), (0.65, 1.0))),
    (((0.15, 0.0), (0.15, 0.5), (0.8, 0.5)), ((0.8, 0.0), (0.75, 1.0))),
    (((0.85, 0.0), (0.2, 0.0), (0.17, 0.42)), _arc(0.45, 0.68, 0.4, 0.32, -0.3, 0.42)),
    (((0.85, 0.0), (0.25, 0.0), (0.2, 0.45), (0.75, 0.45), (0.85, 0.75), (0.6, 1.0), (0.1, 1.0)),),
    (((0.7, 0.0), (0.3, 0.3), (0.15, 0.7)), _arc(0.48, 0.72, 0.33, 0.28, -0.5, 0.5)),
    (((0.4, 0.0), (0.18, 0.5), (0.15, 0.7)), _arc(0.48, 0.72, 0.34, 0.28, -0.5, 0.5)),
    (((0.1, 0.0), (0.9, 0.0), (0.4, 1.0)),),
    (((0.1, 0.05), (0.9, 0.0), (0.4, 1.0)), ((0.3, 0.5), (0.8, 0.5))),
    (_arc(0.5, 0.26, 0.3, 0.26, 0, 1), _arc(0.5, 0.76, 0.36, 0.24, 0, 1)),
    (((0.85, 0.1), (0.5, 0.0), (0.2, 0.2), (0.8, 0.75), (0.5, 1.0), (0.2, 0.8), (0.85, 0.1)),),
    (_arc(0.45, 0.28, 0.33, 0.28, 0, 1), ((0.8, 0.2), (0.75, 1.0))),
    (_arc(0.48, 0.28, 0.33, 0.28, 0, 1), ((0.82, 0.25), (0.75, 0.75), (0.5, 1.0), (0.15, 0.95))),
)
"""Sketches in a box of one by one, some in two ways of writing."""


def sketch(rng: np.random.Generator) -> np.ndarray:
    """Return (SIDE, SIDE) float64 in [0, 1], a figure by chance, bent by chance."""
    figure = FIGURES[rng.integers(len(FIGURES))]
    bend = rng.normal(0, 0.05, (3, 3, 2))
    strokes = [_bent(np.array(stroke), bend, rng) for stroke in figure]
    slant, turn = rng.normal(0, 0.15), rng.normal(0, 0.1)
    matrix = np.array([[np.cos(turn), -np.sin(turn) + slant], [np.sin(turn), np.cos(turn)]])
    strokes = [(stroke - 0.5) @ matrix.T for stroke in strokes]
    ends = np.concatenate(strokes)
    low, high = ends.min(axis=0), ends.max(axis=0)
    wide = min(max((high - low)[0] * rng.uniform(0.85, 1.3), 0.1), 1.0)
    size = np.array([wide / max((high - low)[0], 0.05), 1 / max((high - low)[1], 0.05)])
    width = rng.uniform(0.07, 0.13)
    placed = [((s - (low + high) / 2) * size) * (1 - width) + 0.5 for s in strokes]
    return _ink(placed, width=width)


def _bent(points: np.ndarray, bend: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (_POINTS, 2) points along a stroke, each moved as its place in the box is."""
    points = points + rng.normal(0, 0.02, points.shape)
    steps = np.r_[0, np.cumsum(np.hypot(*np.diff(points, axis=0).T))]
    along = np.linspace(0, steps[-1], _POINTS)
    found = np.stack([np.interp(along, steps, axis) for axis in points.T], axis=1)
    weights = [np.stack([(1 - a) ** 2, 2 * a * (1 - a), a**2], axis=1) for a in found.T.clip(0, 1)]
    moved: np.ndarray = found + np.einsum("ni,nj,jik->nk", *weights, bend)
    return moved


def _ink(strokes: list[np.ndarray], *, width: float) -> np.ndarray:
    """Return (SIDE, SIDE) the ink of strokes of a width, from a finer grid."""
    fine = SIDE * _FINE
    axis = (np.arange(fine) + 0.5) / fine
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    near = np.full(len(grid), np.inf)
    for stroke in strokes:
        start, step = stroke[:-1], np.diff(stroke, axis=0)
        apart = grid[:, None] - start
        length = np.maximum((step**2).sum(axis=1), 1e-12)
        part = ((apart * step).sum(axis=2) / length).clip(0, 1)
        near = np.minimum(
            near, np.hypot(*np.moveaxis(apart - part[..., None] * step, -1, 0)).min(1)
        )
    black = (near < width).reshape(SIDE, _FINE, SIDE, _FINE)
    ink: np.ndarray = black.mean(axis=(1, 3))
    return ink


def vary(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a picture moved by a part of a pixel, and with more or less ink."""
    moved = picture
    for axis in (0, 1):
        part = rng.uniform(-0.4, 0.4)
        moved = moved * (1 - abs(part)) + abs(part) * np.roll(moved, int(np.sign(part)), axis)
    varied: np.ndarray = (moved * rng.uniform(0.9, 1.4)).clip(0, 1)
    return varied


def main() -> None:
    """Answer each line with a picture, as two hexadecimal digits a pixel."""
    rng = np.random.default_rng()
    for line in sys.stdin:
        asked = line.strip()
        if asked:
            told = np.frombuffer(bytes.fromhex(asked), np.uint8).reshape(SIDE, SIDE) / _LEVELS
        picture = vary(told, rng) if asked else sketch(rng)
        print(np.rint(picture * _LEVELS).astype(np.uint8).tobytes().hex())


if __name__ == "__main__":
    main()
