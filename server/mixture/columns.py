"""What 1-ways and the sides of all pairs say together of every attribute by itself.

Each pair of an attribute says how many rows its groups of codes hold, with noise of its own: where
pairs are many, about as well as the 1-way does. What all say is put together by generalised least
squares, each by its precision. Post-processing: it costs no privacy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.measurement import Measurement


@dataclass(slots=True, kw_only=True, eq=False)
class _Side:
    """Sums of the same groups of an attribute's codes: counts times precision, and precision."""

    groups: np.ndarray
    counts: np.ndarray
    precision: np.ndarray


def join_columns(
    one_way: Sequence[Measurement], pairs: Iterable[Measurement], *, domain: Domain
) -> list[Measurement]:
    """Return the 1-ways with the counts that all of them, and all pairs, say together.

    The noise of a pair's cells is its own; of the rows in all, every 1-way tells what the others
    do not. Variances stay those that were measured.

    Args: one_way: over the codes of ``domain``. pairs: over groups of them.
    """
    sides = _sides(pairs, domain=domain)
    known = {m.clique: 1.0 / float(m.variance.sum()) for m in one_way}
    rows = {m.clique: known[m.clique] * float(m.values.sum()) for m in one_way}
    return [
        _joined(
            m,
            sides.get(m.clique[0], {}).values(),
            rows=sum(rows.values()) - rows[m.clique],
            precision=sum(known.values()) - known[m.clique],
        )
        for m in one_way
    ]


def _joined(
    m: Measurement, sides: Iterable[_Side], *, rows: float, precision: float
) -> Measurement:
    """Return a 1-way with what its sides say, and others of the number of all rows.

    Args: rows: what others say of it, times its ``precision``.
    """
    matrix = np.diag(1.0 / m.variance) + precision
    wanted = m.values / m.variance + rows
    for side in sides:
        members = np.eye(len(side.counts))[side.groups]
        matrix += (members * side.precision) @ members.T
        wanted += members @ side.counts
    return replace(m, values=np.linalg.solve(matrix, wanted))


def _sides(pairs: Iterable[Measurement], *, domain: Domain) -> dict[str, dict[bytes, _Side]]:
    """Return what pairs say of each attribute alone, by the groups that they were asked over."""
    found: dict[str, dict[bytes, _Side]] = {}
    for m in pairs:
        groups = [np.asarray(m.grouping.lookup(a, domain.size((a,)))) for a in m.clique]
        shape = [int(g.max()) + 1 for g in groups]
        table, variance = m.values.reshape(shape), m.variance.reshape(shape)
        for axis, (name, of) in enumerate(zip(m.clique, groups, strict=True)):
            precision = 1.0 / variance.sum(axis=1 - axis)
            counts = precision * table.sum(axis=1 - axis)
            side = found.setdefault(name, {}).get(of.tobytes())
            if side is not None:
                counts, precision = side.counts + counts, side.precision + precision
            found[name][of.tobytes()] = _Side(groups=of, counts=counts, precision=precision)
    return found
