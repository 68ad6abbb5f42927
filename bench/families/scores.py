"""How near drawn families are to real ones: within a table, across a link, and along siblings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from silosynth.common.domain import Domain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Persons and the rows of one table below: codes in the order of their domains.

    ``above``: (rows,) int64, each row's person; rows of a person are together and in order.
    """

    person: Domain
    child: Domain
    persons: tuple[np.ndarray, ...] = field(repr=False)
    rows: tuple[np.ndarray, ...] = field(repr=False)
    above: np.ndarray = field(repr=False)

    def taken(self, persons: np.ndarray) -> Rows:
        """Return the families of some persons, each as often as it is named."""
        numbers = np.bincount(self.above, minlength=len(self.persons[0]))
        starts = np.cumsum(numbers) - numbers
        each = numbers[persons]
        above = np.repeat(np.arange(len(persons)), each)
        inside = np.arange(len(above)) - np.repeat(np.cumsum(each) - each, each)
        at = starts[persons][above] + inside
        return Rows(
            person=self.person,
            child=self.child,
            persons=tuple(c[persons] for c in self.persons),
            rows=tuple(c[at] for c in self.rows),
            above=above,
        )


def score(real: Rows, drawn: Rows, *, number: str, skip: str) -> dict[str, float]:
    """Return mean total variation distances, and of child numbers the Kolmogorov-Smirnov distance.

    Args: number: the person's attribute that is the class of how many rows it has. skip: the
        child's attribute that only orders rows.
    """
    own = [i for i, a in enumerate(real.child.attributes) if a != skip]
    above = [i for i, a in enumerate(real.person.attributes) if a != number]
    classes = real.person.index(number)

    def mean(tables: list[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([_distance(a, b) for a, b in tables]))

    def siblings(a: int, b: int, apart: int) -> tuple[np.ndarray, np.ndarray]:
        return _sibling(real, a, b, apart), _sibling(drawn, a, b, apart)

    pairs = list(combinations(own, 2))
    persons = list(combinations(range(len(real.person.shape)), 2))
    return {
        "KS": _ks(real, drawn),
        "parent 2": mean([(_persons(real, a, b), _persons(drawn, a, b)) for a, b in persons]),
        "child 1": mean([(_rows(real, a, a), _rows(drawn, a, a)) for a in own]),
        "child 2": mean([(_rows(real, a, b), _rows(drawn, a, b)) for a, b in pairs]),
        "parent x child": mean(
            [(_linked(real, a, b), _linked(drawn, a, b)) for a, b in product(above, own)]
        ),
        "N x child": mean([(_linked(real, classes, b), _linked(drawn, classes, b)) for b in own]),
        "sibling same": mean([siblings(a, a, 1) for a in own]),
        "sibling cross": mean([siblings(a, b, 1) for a, b in product(own, own) if a != b]),
        "siblings two apart": mean([siblings(a, a, 2) for a in own]),
    }


def shuffled(real: Rows, *, seed: int) -> Rows:
    """Return the right tables with rows given to any place: keys shuffled."""
    order = np.random.default_rng(seed).permutation(len(real.above))
    return _with(real, rows=tuple(c[order] for c in real.rows), above=real.above)


def uniform(real: Rows, *, seed: int) -> Rows:
    """Return the right tables with rows given to any person."""
    random = np.random.default_rng(seed)
    above = np.sort(random.integers(0, len(real.persons[0]), len(real.above)))
    order = random.permutation(len(above))
    return _with(real, rows=tuple(c[order] for c in real.rows), above=above)


def bootstrap(real: Rows, *, seed: int) -> Rows:
    """Return as many persons drawn with replacement, with all their rows."""
    count = len(real.persons[0])
    return real.taken(np.random.default_rng(seed).integers(0, count, count))


def _with(real: Rows, *, rows: tuple[np.ndarray, ...], above: np.ndarray) -> Rows:
    return Rows(person=real.person, child=real.child, persons=real.persons, rows=rows, above=above)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return 0.5 * float(np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum())


def _table(first: np.ndarray, second: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    cells = first.astype(np.int64) * sizes[1] + second
    return np.bincount(cells, minlength=sizes[0] * sizes[1]).astype(float)


def _persons(rows: Rows, a: int, b: int) -> np.ndarray:
    return _table(rows.persons[a], rows.persons[b], (rows.person.shape[a], rows.person.shape[b]))


def _rows(rows: Rows, a: int, b: int) -> np.ndarray:
    return _table(rows.rows[a], rows.rows[b], (rows.child.shape[a], rows.child.shape[b]))


def _linked(rows: Rows, a: int, b: int) -> np.ndarray:
    sizes = (rows.person.shape[a], rows.child.shape[b])
    return _table(rows.persons[a][rows.above], rows.rows[b], sizes)


def _sibling(rows: Rows, a: int, b: int, apart: int) -> np.ndarray:
    later = np.flatnonzero(rows.above[apart:] == rows.above[:-apart]) + apart
    sizes = (rows.child.shape[a], rows.child.shape[b])
    return _table(rows.rows[a][later - apart], rows.rows[b][later], sizes)


def _ks(real: Rows, drawn: Rows) -> float:
    counts = [np.bincount(r.above, minlength=len(r.persons[0])) for r in (real, drawn)]
    most = max(int(c.max(initial=0)) for c in counts) + 1
    shares = [np.bincount(c, minlength=most).cumsum() / len(c) for c in counts]
    return float(np.abs(shares[0] - shares[1]).max())


def rows_of(
    tables: Mapping[str, tuple[tuple[np.ndarray, ...], np.ndarray]],
    *,
    person: tuple[str, Domain],
    child: tuple[str, Domain],
) -> Rows:
    """Return families from tables of codes with each row's parent."""
    return Rows(
        person=person[1],
        child=child[1],
        persons=tables[person[0]][0],
        rows=tables[child[0]][0],
        above=tables[child[0]][1],
    )
