"""Pieces to the model's codes: as many as the schema's bins, of about equal mass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from silosynth.common.codec import quantile_groups
from silosynth.server.values.pieces import Pieces


def choose_edges(
    pieces: Pieces, *, codes: int, points: int, declared: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return the points at which the second and later of ``codes`` codes begin.

    Values that hold a code's share of the mass stand alone; a wide piece that holds more is cut
    evenly. Where there are fewer pieces than codes, the heaviest codes are halved, so that the
    schema's number of codes stands whatever the noise says.

    Guarantees: ``codes - 1`` points that rise inside of 0..points.
    """
    fine = _cut(pieces, share=float(pieces.mass.sum()) / codes)
    edges = {0}
    if len(fine.mass):
        groups = np.asarray(quantile_groups(fine.mass, count=codes))
        firsts = np.flatnonzero(np.diff(groups, prepend=-1) > 0)
        edges |= {int(fine.start[i]) for i in firsts[1:]}
        edges |= _ends_of_values(fine, firsts, room=codes - len(edges))
    while len(edges) < codes:
        edges.add(_halve(sorted(edges), fine=fine, points=points))
    return tuple(sorted(_at_declared(edges - {0}, fine=fine, declared=declared)))


def _at_declared(edges: set[int], *, fine: Pieces, declared: Sequence[int]) -> set[int]:
    """Move edges to declared ones that less than half a code's mass lies between.

    A code that a declared edge cuts in two would be parted by what the tree says, whose noise is
    several times that of a 1-way marginal. Edges of values that stand alone stay.
    """
    share = float(fine.mass.sum()) / (len(edges) + 1)
    alone = (fine.stop - fine.start == 1) & (fine.mass > share / 2)
    kept = {*fine.start[alone].tolist(), *fine.stop[alone].tolist(), *declared}
    free = np.array(sorted(edges - kept), dtype=np.int64)
    open_ = np.array(sorted(set(declared) - edges), dtype=np.int64)
    if not len(free) or not len(open_):
        return edges
    far = np.abs(_before(open_, fine=fine)[:, None] - _before(free, fine=fine)[None, :])
    moved: dict[int, int] = {}
    for place in np.argsort(far, axis=None, kind="stable"):
        i, j = divmod(int(place), len(free))
        if far[i, j] > share / 2:
            break
        if int(free[j]) not in moved and int(open_[i]) not in moved.values():
            moved[int(free[j])] = int(open_[i])
    return {moved.get(edge, edge) for edge in edges}


def _before(points: np.ndarray, *, fine: Pieces) -> np.ndarray:
    """Return (points,) the mass below each point."""
    held = np.clip(points[:, None], fine.start[None, :], fine.stop[None, :]) - fine.start[None, :]
    before: np.ndarray = (held * (fine.mass / (fine.stop - fine.start))[None, :]).sum(axis=1)
    return before


def cut_at(pieces: Pieces, *, edges: tuple[int, ...]) -> Pieces:
    """Return the pieces cut at the codes' edges, so that each lies in one code."""
    start, stop, mass = [], [], []
    inner = np.asarray(edges, dtype=np.int64)
    for begin, end, held in zip(pieces.start, pieces.stop, pieces.mass, strict=True):
        cuts = inner[np.searchsorted(inner, begin, "right") : np.searchsorted(inner, end)]
        bounds = np.concatenate(([begin], cuts, [end]))
        start.append(bounds[:-1])
        stop.append(bounds[1:])
        mass.append(held * np.diff(bounds) / (end - begin))
    if not start:
        return pieces
    return Pieces(np.concatenate(start), np.concatenate(stop), np.concatenate(mass))


def _cut(pieces: Pieces, *, share: float) -> Pieces:
    """Cut pieces of several points that hold more than a share evenly."""
    if share <= 0:
        return pieces
    parts = np.minimum(np.ceil(pieces.mass / share), pieces.points).astype(np.int64)
    index = np.repeat(np.arange(len(parts)), parts)
    place = np.arange(len(index)) - np.repeat(np.cumsum(parts) - parts, parts)
    width, whole = pieces.points[index], parts[index]
    # Points stay below 2^48 and parts below 2^13, so a product stays below 2^63.
    start = pieces.start[index] + width * place // whole
    stop = pieces.start[index] + width * (place + 1) // whole
    return Pieces(start, stop, pieces.mass[index] / whole)


def _ends_of_values(fine: Pieces, firsts: np.ndarray, *, room: int) -> set[int]:
    """Return where heavy single values end, the heaviest first: a gap after one is another code."""
    stops = np.append(firsts[1:], len(fine.mass))
    alone = [int(i) for i, j in zip(firsts, stops, strict=True) if j - i == 1]
    alone = [i for i in alone if fine.stop[i] - fine.start[i] == 1]
    last = len(fine.mass) - 1
    gaps = [i for i in alone if i < last and fine.stop[i] < fine.start[i + 1]]
    heaviest = sorted(gaps, key=lambda i: -fine.mass[i])[: max(room, 0)]
    return {int(fine.stop[i]) for i in heaviest}


def _halve(edges: list[int], *, fine: Pieces, points: int) -> int:
    """Return a new edge inside the heaviest code of several points."""
    bounds = np.asarray([*edges, points])
    inside = np.searchsorted(bounds, fine.start, "right") - 1
    mass = np.bincount(inside, weights=fine.mass, minlength=len(edges))
    wide = np.diff(bounds) > 1
    code = int(np.argmax(np.where(wide, mass, -1.0)))
    begin, end = int(bounds[code]), int(bounds[code + 1])
    held = np.flatnonzero((inside == code) & (fine.start > begin))
    if len(held):
        before = np.searchsorted(fine.start, begin)
        cumulative = np.cumsum(fine.mass[before : held[-1] + 1])
        middle = held[np.argmin(np.abs(cumulative[held - before] - cumulative[-1] / 2))]
        return int(fine.start[middle])
    return begin + (end - begin) // 2
