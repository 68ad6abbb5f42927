"""Whether impossible cells leave a row at all: asked of a schema, before a plan is made of it.

What contradicts itself over many columns may pass, as finding that out can take forever; then the
fit says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.common.schema.attributes import CodedAttribute
from silosynth.common.schema.zeros import ImpossibleCells

MOST_JOINT_CELLS = 200_000
_ROUNDS = 16
Possible = dict[str, np.ndarray]


def check_agree(zeros: Sequence[ImpossibleCells], *, coded: Sequence[CodedAttribute]) -> None:
    """Raise ValueError where no row is left, naming what leaves none.

    Guarantees: what is raised is so. Found is what follows from one declaration after the other,
    and everything about columns that have at most 200,000 cells together.
    """
    shape = {a.name: a.size for a in coded}
    left = [z for z in zeros if z.mask.any()]
    possible = {a: np.ones(shape[a], dtype=bool) for z in left for a in z.clique}
    _narrow(left, possible)
    for part in _parts(left):
        names = sorted({a for z in part for a in z.clique}, key=list(shape).index)
        kept = {a: np.flatnonzero(possible[a]) for a in names}
        if len(part) > 1 and math.prod(len(k) for k in kept.values()) <= MOST_JOINT_CELLS:
            _check_joint(part, kept)


def _narrow(zeros: Sequence[ImpossibleCells], possible: Possible) -> None:
    """Take out the codes that some declaration leaves no cell of, until none is found."""
    for _ in range(_ROUNDS):
        before = {a: int(p.sum()) for a, p in possible.items()}
        for cells in zeros:
            allowed = ~cells.mask
            for axis, name in enumerate(cells.clique):
                sized = [-1 if i == axis else 1 for i in range(allowed.ndim)]
                allowed = allowed & possible[name].reshape(sized)
            for axis, name in enumerate(cells.clique):
                others = tuple(i for i in range(allowed.ndim) if i != axis)
                possible[name] = np.asarray(allowed.any(axis=others))
                if not possible[name].any():
                    raise ValueError(_said([z for z in zeros if name in z.clique], [name]))
        if before == {a: int(p.sum()) for a, p in possible.items()}:
            return


def _parts(zeros: Sequence[ImpossibleCells]) -> list[list[ImpossibleCells]]:
    """Return the declarations that are joined by columns which they share."""
    parts: list[list[ImpossibleCells]] = []
    for cells in zeros:
        shared = [p for p in parts if any(set(cells.clique) & set(z.clique) for z in p)]
        apart = [p for p in parts if not any(p is s for s in shared)]
        parts = [*apart, [*(z for p in shared for z in p), cells]]
    return parts


def _check_joint(zeros: Sequence[ImpossibleCells], kept: Mapping[str, np.ndarray]) -> None:
    """Raise ValueError where declarations leave no combination of the codes that are kept."""
    names = list(kept)
    empty = np.zeros([len(k) for k in kept.values()], dtype=bool)
    for cells in zeros:
        mask = cells.mask[np.ix_(*(kept[a] for a in cells.clique))]
        place = [names.index(a) for a in cells.clique]
        mask = mask.transpose(np.argsort(place))
        sized = [len(kept[a]) if a in cells.clique else 1 for a in names]
        empty |= mask.reshape(sized)
    if empty.all():
        raise ValueError(_said(zeros, names))


def _said(zeros: Sequence[ImpossibleCells], names: Sequence[str]) -> str:
    """Say what leaves nothing of which columns."""
    rules = list(dict.fromkeys(z.rule for z in zeros if z.rule))
    told = ["structural zeros"] if any(z.declared and not z.rule for z in zeros) else []
    told += [f"rule {rule!r}" for rule in rules]
    first = f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told)
    shown = ", ".join(map(repr, names[:4])) + (" and others" if len(names) > 4 else "")
    return f"{first or 'the rules'} contradict one another: no value of {shown} is left"
