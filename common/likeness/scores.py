"""How far drawn families lie from real ones: within a table, across a link, and along siblings.

All but one are means of total variation distances, from 0 to 1; numbers of rows are compared by
the Kolmogorov-Smirnov distance. Formulas: docs/how-to/several-tables.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, product

import numpy as np
import pyarrow as pa

from silosynth.common.codec import codec_of
from silosynth.common.domain import Domain
from silosynth.common.likeness.rows import Families, Level
from silosynth.common.tables import number_attribute, number_name

ONE, TWO = "columns, one at a time", "columns, in pairs"
NUMBERS = "rows that a parent has, KS"
PARENT, PERSON, NUMBER = "parent x child", "person x child", "number of rows x child"
SAME, CROSS, APART = "siblings, same column", "siblings, two columns", "siblings two apart"
LINKED = (PARENT, PERSON, NUMBER, SAME, CROSS, APART)
"""What keys alone decide: right tables with keys shuffled have none of it."""
Table = tuple[np.ndarray, np.ndarray]


def score_persons(real: Families, drawn: Families) -> dict[str, float]:
    """Return the distances of the persons' table, with the numbers of rows below it."""
    one, other = (_with_numbers(f) for f in (real, drawn))
    return _within(one, other)


def score_table(
    real: Families, drawn: Families, name: str, *, order: str | None
) -> dict[str, float]:
    """Return the distances of a table below the persons', as far as its rows say something.

    Args: order: its column that only orders rows; of that, siblings are not compared.
    """
    both = (real, drawn)
    one, other = (f.levels[name] for f in both)
    parent = real.parents[name]
    found = {NUMBERS: _steps(*(f.levels[parent].numbers[name] for f in both))}
    if not one.codes:
        return found
    found |= _within(one, other)
    pairs = [_linked(f, name, parent) for f in both]
    found |= _mean(PARENT, zip(*pairs, strict=True))
    if parent != real.person:
        pairs = [_linked(f, name, real.person) for f in both]
        found |= _mean(PERSON, zip(*pairs, strict=True))
    pairs = [_of_number(f, name) for f in both]
    found |= _mean(NUMBER, zip(*pairs, strict=True))
    return found | _along(one, other, order=order)


def _along(one: Level, other: Level, *, order: str | None) -> dict[str, float]:
    """Return the distances of rows with the row before, and with the one before that."""
    own = [i for i, a in enumerate(one.domain.attributes) if a != order]
    crossed = ((a, b) for a, b in product(own, own) if a != b)
    return (
        _mean(SAME, (_siblings(one, other, a, a, 1) for a in own))
        | _mean(CROSS, (_siblings(one, other, a, b, 1) for a, b in crossed))
        | _mean(APART, (_siblings(one, other, a, a, 2) for a in own))
    )


def _within(one: Level, other: Level) -> dict[str, float]:
    sizes = one.domain.shape
    columns = range(len(sizes))

    def table(level: Level, a: int, b: int) -> np.ndarray:
        return _count(level.codes[a], level.codes[b], (sizes[a], sizes[b]))

    single = ((table(one, a, a), table(other, a, a)) for a in columns)
    pairs = ((table(one, a, b), table(other, a, b)) for a, b in combinations(columns, 2))
    return _mean(ONE, single) | _mean(TWO, pairs)


def _with_numbers(families: Families) -> Level:
    """Return the persons with how many rows each has, as attributes of theirs."""
    level = families.levels[families.person]
    classes = [_classes(families, child) for child in level.numbers]
    domain = Domain(
        attributes=(*level.domain.attributes, *(number_name(child) for child in level.numbers)),
        shape=(*level.domain.shape, *(size for _, size in classes)),
    )
    codes = (*level.codes, *(c for c, _ in classes))
    return Level(domain=domain, codes=codes, above=level.above)


def _classes(families: Families, child: str) -> tuple[np.ndarray, int]:
    """Return the class of how many rows of a table each parent has, and how many there are."""
    attribute = number_attribute(child, families.edges[child])
    numbers = families.levels[families.parents[child]].numbers[child]
    return codec_of(attribute).encode(pa.array(numbers))[0], attribute.size


def _mean(name: str, tables: Iterable[Table]) -> dict[str, float]:
    """Return the mean distance of pairs of tables; nothing where there are none."""
    found = [_distance(a, b) for a, b in tables]
    return {name: float(np.mean(found))} if found else {}


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return 0.5 * float(np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum())


def _count(first: np.ndarray, second: np.ndarray, sizes: tuple[int, int]) -> np.ndarray:
    cells = first.astype(np.int64) * sizes[1] + second
    return np.bincount(cells, minlength=sizes[0] * sizes[1]).astype(float)


def _linked(families: Families, name: str, above: str) -> list[np.ndarray]:
    """Return the table of each attribute of a row above with each of a row's own."""
    level, upper = families.levels[name], families.levels[above]
    at, table = level.above, families.parents[name]
    while table != above:
        at, table = families.levels[table].above[at], families.parents[table]
    return [
        _count(upper.codes[a][at], level.codes[b], (upper.domain.shape[a], level.domain.shape[b]))
        for a, b in product(range(len(upper.codes)), range(len(level.codes)))
    ]


def _of_number(families: Families, name: str) -> list[np.ndarray]:
    """Return the table of how many rows the parent has with each attribute of a row."""
    level = families.levels[name]
    classes, most = _classes(families, name)
    return [
        _count(classes[level.above], codes, (most, size))
        for codes, size in zip(level.codes, level.domain.shape, strict=True)
    ]


def _siblings(one: Level, other: Level, a: int, b: int, apart: int) -> Table:
    sizes = (one.domain.shape[a], one.domain.shape[b])

    def table(level: Level) -> np.ndarray:
        later = np.flatnonzero(level.above[apart:] == level.above[:-apart]) + apart
        return _count(level.codes[a][later - apart], level.codes[b][later], sizes)

    return table(one), table(other)


def _steps(one: np.ndarray, other: np.ndarray) -> float:
    """Return the largest difference of the shares of parents with at most so many rows."""
    most = max(int(n.max(initial=0)) for n in (one, other)) + 1
    shares = [np.bincount(n, minlength=most).cumsum() / max(len(n), 1) for n in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())
