"""Families as codes: the rows of each table under those that they belong to, and in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from silosynth.common.domain import Domain


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Level:
    """The rows of one table: those of a parent together, in their order.

    ``codes``: one (rows,) array an attribute of ``domain``; ``above``: (rows,) int64, each row's
    parent among the rows of the table above, never falling; ``numbers``: by table below, (rows,)
    int64, how many rows each has.
    """

    domain: Domain
    codes: tuple[np.ndarray, ...] = field(repr=False)
    above: np.ndarray = field(repr=False)
    numbers: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        """Return how many rows there are."""
        return len(self.above)

    def taken(self, rows: np.ndarray, above: np.ndarray) -> Level:
        """Return some rows, each as often as it is named, under other parents."""
        return Level(
            domain=self.domain,
            codes=tuple(c[rows] for c in self.codes),
            above=above,
            numbers={child: n[rows] for child, n in self.numbers.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What holds of a table's rows. Private of real ones.

    ``orphans`` belong to nobody, ``double_keys`` have the key of another row, ``falls`` stand
    after a row of their parent that comes later, and ``broken`` rows break a rule, by rule.
    """

    rows: int
    orphans: int = 0
    double_keys: int = 0
    falls: int = 0
    broken: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: Held) -> Held:
        """Return what holds of the rows of both."""
        return Held(
            rows=self.rows + other.rows,
            orphans=self.orphans + other.orphans,
            double_keys=self.double_keys + other.double_keys,
            falls=self.falls + other.falls,
            broken={rule: n + other.broken.get(rule, 0) for rule, n in self.broken.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Families:
    """Whole families: ``levels`` by table, top down, the persons' first.

    ``edges`` are by table the public ones of how many rows a parent has.
    """

    levels: Mapping[str, Level]
    parents: Mapping[str, str]
    edges: Mapping[str, tuple[int, ...]]
    held: Mapping[str, Held]

    @property
    def person(self) -> str:
        """Return the table of the persons."""
        return next(iter(self.levels))

    @property
    def persons(self) -> int:
        """Return how many persons there are."""
        return self.levels[self.person].rows

    def taken(self, persons: np.ndarray) -> Families:
        """Return the families of some persons, each as often as it is named."""
        chosen = {self.person: persons}
        levels = {self.person: self.levels[self.person].taken(persons, np.zeros_like(persons))}
        for name, parent in self.parents.items():
            level, above = self.levels[name], chosen[parent]
            each = np.bincount(level.above, minlength=self.levels[parent].rows)
            starts = (np.cumsum(each) - each)[above]
            sizes = each[above]
            under = np.repeat(np.arange(len(above)), sizes)
            inside = np.arange(len(under)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            chosen[name] = starts[under] + inside
            levels[name] = level.taken(chosen[name], under)
        return replace(self, levels=levels)

    def with_broken(self, broken: Mapping[str, Mapping[str, int]]) -> Families:
        """Return these families with more rules, and by table how many rows break each."""
        held = {
            n: replace(h, broken={**h.broken, **broken.get(n, {})}) for n, h in self.held.items()
        }
        return replace(self, held=held)

    def with_level(self, name: str, level: Level) -> Families:
        """Return these families with other rows of one table."""
        return replace(self, levels={**self.levels, name: level})


def pool(parts: Sequence[Families]) -> Families:
    """Return the families of several silos: a person is what hangs together in one of them."""
    first = parts[0]
    levels = {}
    for name, level in first.levels.items():
        found = [p.levels[name] for p in parts]
        parent = first.parents.get(name)
        rows = [p.levels[parent].rows if parent else 0 for p in parts]
        starts = np.cumsum([0, *rows[:-1]])
        levels[name] = Level(
            domain=level.domain,
            codes=tuple(np.concatenate(c) for c in zip(*(f.codes for f in found), strict=True)),
            above=np.concatenate([f.above + s for f, s in zip(found, starts, strict=True)]),
            numbers={c: np.concatenate([f.numbers[c] for f in found]) for c in level.numbers},
        )
    held = dict(first.held)
    for part in parts[1:]:
        held = {name: h.plus(part.held[name]) for name, h in held.items()}
    return replace(first, levels=levels, held=held)
