"""How likely a sampler says that a row is, beside independent columns; how it scores a target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.sampler import COMPONENT, WHOLE, Sampler

MIX = 0.1
"""The part of independent columns in what is scored, so that no row is impossible."""
LEAST = -math.log(MIX)
"""A row counts for at least -LEAST nats of gain, whatever it holds."""
STEPS = 256
"""Integer steps of one nat."""
_THIN = 1e-3
_MOST_SUMS = 2**22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """log P(code | given) of one column, and where its rows are found.

    ``logs`` is (components, groups, codes) float64, of one component where all have the same.
    """

    place: int
    given: tuple[int, ...]
    shape: tuple[int, ...]
    logs: np.ndarray = field(repr=False)

    def groups(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """Return (rows,) int64, the cell of the columns that are given."""
        found = np.zeros(len(codes[0]), dtype=np.int64)
        for place, size in zip(self.given, self.shape, strict=True):
            found = found * size + codes[place]
        return found

    def of_rows(self, codes: Sequence[np.ndarray]) -> np.ndarray:
        """Return (components, rows) what each component says of the column's codes."""
        said: np.ndarray = self.logs[:, self.groups(codes), codes[self.place]]
        return said


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Likelihood:
    """A sampler's law over its working codes, beside that of independent columns.

    ``components`` is (components,) float64, the log of each one's share; of one, where a sampler is
    no mixture.
    """

    components: np.ndarray = field(repr=False)
    lookups: tuple[np.ndarray, ...] = field(repr=False)
    tables: tuple[_Table, ...] = field(repr=False)
    thin: tuple[_Table, ...] = field(repr=False)
    alone: tuple[np.ndarray, ...] = field(repr=False)

    def working(self, columns: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return (rows,) int64 working codes of each column of fine codes."""
        return [look[column] for look, column in zip(self.lookups, columns, strict=True)]

    def gains(self, columns: Sequence[np.ndarray], *, clip: int) -> np.ndarray:
        """Return (rows,) float64: log of the law with a tenth of independence, over independence.

        Guarantees: in [-log 10, clip].
        """
        codes = self.working(columns)
        step = max(_MOST_SUMS // len(self.components), 1)
        laws = [
            _joined(self._sums(self.tables, [c[i : i + step] for c in codes]))
            for i in range(0, max(len(codes[0]), 1), step)
        ]
        law = np.concatenate(laws)
        independent = sum((a[c] for a, c in zip(self.alone, codes, strict=True)), 0.0)
        with np.errstate(over="ignore"):
            mixed = np.log((1 - MIX) * np.exp(np.minimum(law - independent, 700.0)) + MIX)
        gains: np.ndarray = np.clip(mixed, -LEAST, clip)
        return gains

    def scores(self, columns: Sequence[np.ndarray], place: int, positive: np.ndarray) -> np.ndarray:
        """Return (rows,) float64, the log odds of a column's positive codes, given the others.

        So many rows at a time that their sums take 32 MB at most.

        Args: positive: (working codes,) bool.
        """
        step = max(_MOST_SUMS // (len(positive) * len(self.components)), 1)
        parts = [
            self._odds([c[i : i + step] for c in columns], place, positive)
            for i in range(0, max(len(columns[0]), 1), step)
        ]
        return np.concatenate(parts)

    def _odds(self, columns: Sequence[np.ndarray], place: int, positive: np.ndarray) -> np.ndarray:
        codes = self.working(columns)
        sums = np.empty((len(positive), len(codes[0])))
        touched = [t for t in self.thin if place == t.place or place in t.given]
        # What other columns say is the same for every code, unless components differ in it.
        mixed = len(self.components) > 1
        rest = [t for t in self.thin if mixed and t not in touched]
        others = self._sums(rest, codes) if mixed else np.zeros((1, len(codes[0])))
        for code in range(len(positive)):
            codes[place] = np.full(len(codes[0]), code)
            sums[code] = _joined(others + sum((t.of_rows(codes) for t in touched), 0.0))
        top = sums.max(axis=0)
        weights = np.exp(sums - top)
        found: np.ndarray = np.log(_added(weights[positive]) + 1e-300)
        found -= np.log(_added(weights[~positive]) + 1e-300)
        return found

    def _sums(self, tables: Sequence[_Table], codes: Sequence[np.ndarray]) -> np.ndarray:
        """Return (components, rows) the log of a component's share and what it says of the rows."""
        share = self.components[:, None] + np.zeros(len(codes[0]))
        found: np.ndarray = sum((t.of_rows(codes) for t in tables), share)
        return found


def _joined(sums: np.ndarray) -> np.ndarray:
    """Return (rows,) the log of what all components say together."""
    if len(sums) == 1:
        alone: np.ndarray = sums[0]
        return alone
    top = np.maximum(sums.max(axis=0), -1e300)
    with np.errstate(divide="ignore"):
        joined: np.ndarray = top + np.log(_added(np.exp(sums - top)))
    return joined


def _added(parts: np.ndarray) -> np.ndarray:
    """Return (rows,) the sums of (parts, rows), each row's in the order of the parts.

    NumPy adds in an order of its own, by how many rows there are and how they lie in memory. Then
    one row more would move the last bits of others, and those that lie on an edge of a bin with it.
    """
    total: np.ndarray = np.zeros(parts.shape[1])
    for part in parts:
        total += part
    return total


def likelihood_of(sampler: Sampler, drawn: Sequence[np.ndarray]) -> Likelihood:
    """Return the law of a sampler; independent columns are those of ``drawn`` rows."""
    domain = sampler.domain
    lookups = tuple(
        sampler.grouping.lookup(name, size)
        for name, size in zip(domain.attributes, domain.shape, strict=True)
    )
    working = sampler.grouping.domain(domain)
    shares = []
    for look, column, size in zip(lookups, drawn, working.shape, strict=True):
        counts = np.bincount(look[column], minlength=size) + 0.5
        shares.append(counts / counts.sum())
    tables, thin, components = [], [], np.zeros(1)
    for conditional in sampler.conditionals:
        law = np.diff(conditional.ends.astype(np.float64), axis=1, prepend=0) / WHOLE
        if conditional.attribute == COMPONENT:
            with np.errstate(divide="ignore"):
                components = np.log(law[0])
            continue
        place = working.index(conditional.attribute)
        given = tuple(working.index(name) for name in conditional.given if name != COMPONENT)
        shape = tuple(working.shape[i] for i in given)
        law = _by_component(law, conditional.given, sampler.working.sizes(conditional.given))
        with np.errstate(divide="ignore"):
            tables.append(_Table(place=place, given=given, shape=shape, logs=np.log(law)))
        mixed = np.log((1 - _THIN) * law + _THIN * shares[place])
        thin.append(_Table(place=place, given=given, shape=shape, logs=mixed))
    return Likelihood(
        components=components,
        lookups=lookups,
        tables=tuple(tables),
        thin=tuple(thin),
        alone=tuple(np.log(s) for s in shares),
    )


def _by_component(law: np.ndarray, given: Clique, sizes: tuple[int, ...]) -> np.ndarray:
    """Return (components, groups, codes) shares, the groups being of what rows show alone."""
    whole = law.reshape(*sizes, law.shape[1])
    if COMPONENT not in given:
        return law[None]
    first: np.ndarray = np.moveaxis(whole, given.index(COMPONENT), 0)
    return first.reshape(len(first), -1, law.shape[1])
