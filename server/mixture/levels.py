"""All that was measured of pairs, each over codes of its own, beside one another in one matrix.

A pair may be known over few groups of codes from one phase and over finer ones from another. Every
merge of an attribute that something was measured over gives columns, and a pair's table is a block
of theirs. What a model says of all blocks is one product of matrices, like what it says of codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.errors import RunFailed
from silosynth.common.measurement import Measurement
from silosynth.server.mixture.codes import SideBySide
from silosynth.server.mixture.pairs import NoisedPairs, projected_shares

FEW_CELLS, FEW_CELLS_SURER, SURER = 100, 16.0, 4.0
"""How many times surer than its noise a fit is of empty cells, each of which would hold many rows
in a table of few."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """One noised table, in shares: between which attributes, over which groups of their codes.

    ``groups`` are each (codes,) int64, ``table`` is (left groups, right groups), ``deviation`` the
    standard deviation of the noise in a cell, and ``block`` where the table lies among columns.
    """

    left: int
    right: int
    groups: tuple[np.ndarray, np.ndarray]
    table: np.ndarray
    deviation: float
    block: tuple[slice, slice] = (slice(0), slice(0))

    @property
    def sides(self) -> tuple[tuple[int, np.ndarray], tuple[int, np.ndarray]]:
        """Return each attribute with the groups of its codes."""
        return (self.left, self.groups[0]), (self.right, self.groups[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Levels(SideBySide):
    """What a mixture is fitted to, in shares of ``total`` rows.

    ``rising`` says of which attributes codes stand in an order, ``shares`` is (codes,) the 1-ways.
    A column is a group of an attribute's codes: ``members`` is (2, entries) int64, each entry a
    code and a column that it is in, columns rising. ``table`` and ``weight`` are (columns, columns)
    float32, the shares of cells and how surely they are known beside one whose noise is
    ``typical``; nought where nothing is.
    """

    sizes: tuple[int, ...]
    rising: tuple[bool, ...]
    total: float
    shares: np.ndarray
    pairs: tuple[Pair, ...]
    members: np.ndarray
    table: np.ndarray
    weight: np.ndarray
    typical: float

    @classmethod
    def of_pairs(
        cls, pairs: NoisedPairs, covariance: np.ndarray, *, rising: Sequence[bool]
    ) -> Levels:
        """Return all pairs of a table over the same codes, with what is fitted to in their place.

        Args: covariance: (codes, codes), that of ``pairs`` or one with less noise.
        """
        known = pairs.known
        weight = np.where(known, (pairs.typical / np.where(known, pairs.noise, 1.0)) ** 2, 0.0)
        codes = len(pairs.shares)
        return cls(
            sizes=pairs.sizes,
            rising=tuple(rising),
            total=pairs.total,
            shares=pairs.shares,
            pairs=tuple(_blocks(pairs)),
            members=np.tile(np.arange(codes), (2, 1)),
            table=(covariance + np.outer(pairs.shares, pairs.shares)).astype(np.float32),
            weight=weight.astype(np.float32),
            typical=pairs.typical if np.isfinite(pairs.typical) else 0.0,
        )

    @classmethod
    def of_measurements(
        cls,
        one_way: Sequence[Measurement],
        pairs: Iterable[Measurement],
        *,
        domain: Domain,
        rising: Sequence[bool],
        cleaned: Iterable[Measurement] | None = None,
    ) -> Levels:
        """Return 1-ways over ``domain`` and pairs over groups of its codes, as one matrix.

        What was measured twice over the same groups counts by its precision.

        Args: cleaned: the pairs as they are fitted to, some with less noise; as measured without.
            What is empty is looked for in those that were measured.

        Raises RunFailed for a measurement of three attributes or more.
        """
        total = max(float(np.mean([m.values.sum() for m in one_way])), 1.0)
        alone = {m.clique[0]: m.values / total for m in one_way}
        measured = tuple(pairs)
        found = [_pair(m, domain=domain, total=total) for m in measured]
        found, members = _placed(found, starts=np.cumsum((0, *domain.shape[:-1])))
        typical = float(np.median([p.deviation for p in found])) if found else 0.0
        end = int(members[1].max()) + 1 if members.size else 0
        table, weight = np.zeros((end, end)), np.zeros((end, end))
        for pair, m in zip(found, measured if cleaned is None else cleaned, strict=True):
            precision = (typical / pair.deviation) ** 2
            table[pair.block] += precision * (m.values.reshape(pair.table.shape) / total)
            weight[pair.block] += precision
        table = np.where(weight > 0, table / np.where(weight > 0, weight, 1.0), 0.0)
        return cls(
            sizes=domain.shape,
            rising=tuple(rising),
            total=total,
            shares=np.concatenate([projected_shares(alone[a]) for a in domain.attributes]),
            pairs=tuple(_each_once(found)),
            members=members,
            table=(table + table.T).astype(np.float32),
            weight=(weight + weight.T).astype(np.float32),
            typical=typical,
        )

    def surer_of_empty(self, cells: Iterable[tuple[Pair, np.ndarray]]) -> Levels:
        """Return these, where cells of pairs, (left, right) bool, hold none and count for more."""
        table, weight = self.table.copy(), self.weight.copy()
        for pair, empty in cells:
            times = FEW_CELLS_SURER if empty.size <= FEW_CELLS else SURER
            for across, mask in ((pair.block, empty), (pair.block[::-1], empty.T)):
                table[across][mask] = 0.0
                weight[across][mask] *= times
        return replace(self, table=table, weight=weight)

    def merged(self, codes: np.ndarray) -> np.ndarray:
        """Return (rows, columns) what (rows, codes) shares make of the groups."""
        member, column = self.members
        if len(member) == len(self.table):
            return codes[:, member]
        return np.add.reduceat(codes[:, member], _firsts(column), axis=1)

    def gathered(self, codes: np.ndarray) -> np.ndarray:
        """Return (columns, columns) the sums over groups of a (codes, codes) matrix."""
        return self.merged(self.merged(codes).T)

    def spread(self, columns: np.ndarray) -> np.ndarray:
        """Return (codes, codes) a matrix over columns, each code with what its groups have."""
        member, column = self.members
        order = np.argsort(member, kind="stable")
        found = columns
        for _ in range(2):
            some = np.add.reduceat(found[column[order]], _firsts(member[order]), axis=0)
            whole = np.zeros((len(self.shares), found.shape[1]), dtype=columns.dtype)
            whole[np.unique(member)] = some
            found = whole.T
        return found


def _firsts(rising: np.ndarray) -> np.ndarray:
    """Return where each value of a rising array stands first."""
    return np.flatnonzero(np.append(True, rising[1:] != rising[:-1]))


def _placed(pairs: Sequence[Pair], *, starts: np.ndarray) -> tuple[list[Pair], np.ndarray]:
    """Return pairs with where their tables lie, and the members of the columns that they make.

    Args: starts: (attributes,) where the codes of each begin.
    """
    columns: dict[tuple[int, bytes], slice] = {}
    rows: list[np.ndarray] = [np.zeros((2, 0), dtype=np.int64)]
    end = 0
    for v, groups in (side for pair in pairs for side in pair.sides):
        if (v, groups.tobytes()) not in columns:
            size = int(groups.max()) + 1
            columns[v, groups.tobytes()] = slice(end, end + size)
            rows.append(np.stack([starts[v] + np.arange(len(groups)), end + groups]))
            end += size
    places = np.concatenate(rows, axis=1)
    members = places[:, np.argsort(places[1], kind="stable")]
    return [replace(p, block=_block(p, columns)) for p in pairs], members


def _each_once(pairs: Iterable[Pair]) -> Iterable[Pair]:
    """Return pairs, those over the same groups as one by the precision of each."""
    found: dict[tuple[int, int], Pair] = {}
    for pair in pairs:
        place = pair.block[0].start, pair.block[1].start
        if (before := found.get(place)) is not None:
            known, more = before.deviation**-2, pair.deviation**-2
            table = (known * before.table + more * pair.table) / (known + more)
            pair = replace(pair, table=table, deviation=(known + more) ** -0.5)
        found[place] = pair
    return found.values()


def _block(pair: Pair, columns: Mapping[tuple[int, bytes], slice]) -> tuple[slice, slice]:
    """Return where a pair's table lies."""
    left, right = (columns[v, groups.tobytes()] for v, groups in pair.sides)
    return left, right


def _pair(m: Measurement, *, domain: Domain, total: float) -> Pair:
    """Return a noised pair in shares, over the groups of ``domain`` that it was measured over."""
    if len(m.clique) != 2:
        raise RunFailed(f"{', '.join(m.clique)} is no pair")
    left, right = (domain.index(a) for a in m.clique)
    groups = tuple(m.grouping.lookup(a, domain.shape[domain.index(a)]) for a in m.clique)
    shape = tuple(int(g.max()) + 1 for g in groups)
    if m.values.size != shape[0] * shape[1]:
        raise RunFailed(f"the pair {', '.join(m.clique)} was measured over other codes")
    return Pair(
        left=left,
        right=right,
        groups=(np.asarray(groups[0]), np.asarray(groups[1])),
        table=m.values.reshape(shape) / total,
        deviation=float(np.sqrt(np.median(m.variance))) / total,
    )


def _blocks(pairs: NoisedPairs) -> Iterable[Pair]:
    """Yield every pair that was measured, over the codes that all were asked over."""
    codes = pairs.slices
    noised = pairs.covariance + np.outer(pairs.shares, pairs.shares)
    for left in range(len(pairs.sizes)):
        for right in range(left + 1, len(pairs.sizes)):
            if np.isfinite(pairs.deviation[left, right]):
                yield Pair(
                    left=left,
                    right=right,
                    groups=(np.arange(pairs.sizes[left]), np.arange(pairs.sizes[right])),
                    table=noised[codes[left], codes[right]],
                    deviation=float(pairs.deviation[left, right]),
                    block=(codes[left], codes[right]),
                )
