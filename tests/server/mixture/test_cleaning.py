"""What pairs say of their columns counts, and noise is taken off as far as it harms a mixture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.server.mixture import Levels, clean_coarse, join_columns
from silosynth.server.mixture.cleaning import Coarse

ROWS = 2000.0
MERGED = Grouping.merging({"a": (0, 0, 1, 1)})


def _measured(
    values: np.ndarray, *clique: str, variance: float, grouping: Grouping | None = None
) -> Measurement:
    return Measurement(
        clique=clique,
        values=values.ravel(),
        variance=np.full(values.size, variance),
        grouping=grouping or Grouping(),
    )


def test_a_column_is_what_its_1_way_and_all_its_pairs_say_by_their_precision() -> None:
    domain = Domain(attributes=("a", "b"), shape=(4, 2))
    alone = [
        _measured(np.array([10.0, 20.0, 30.0, 40.0]), "a", variance=1.0),
        _measured(np.array([50.0, 50.0]), "b", variance=1e12),
    ]
    pair = np.array([[30.0, 30.0], [20.0, 20.0]])
    sure = _measured(pair, "a", "b", variance=1e-6, grouping=MERGED)
    a, b = join_columns(alone, [sure], domain=domain)
    # The pair is all but certain: 60 and 40, and what is missing falls on both codes of a group.
    assert a.values == pytest.approx([25.0, 35.0, 15.0, 25.0], abs=1e-3)
    assert b.values == pytest.approx([50.0, 50.0], abs=1e-3)
    # A side of two cells of variance 2 as sure as a group of two codes of variance 2: half way.
    even = [_measured(alone[0].values, "a", variance=2.0), alone[1]]
    half, _ = join_columns(
        even, [_measured(pair, "a", "b", variance=2.0, grouping=MERGED)], domain=domain
    )
    assert half.values == pytest.approx([17.5, 27.5, 22.5, 32.5], abs=1e-3)
    # Twice as often counted, twice as sure.
    again = [_measured(pair, "a", "b", variance=2.0, grouping=MERGED)] * 2
    assert join_columns(even, again, domain=domain)[0].values == pytest.approx(
        [20.0, 30.0, 20.0, 30.0], abs=1e-3
    )


def test_what_others_say_of_all_rows_counts_for_each() -> None:
    domain = Domain(attributes=("a", "b"), shape=(4, 2))
    rows = _measured(np.array([60.0, 60.0]), "b", variance=1e-6)
    a, _ = join_columns(
        [_measured(np.array([10.0, 20.0, 30.0, 40.0]), "a", variance=1.0), rows], [], domain=domain
    )
    assert a.values == pytest.approx([15.0, 25.0, 35.0, 45.0], abs=1e-3)


DOMAIN = Domain(attributes=tuple(f"q{i}" for i in range(40)), shape=(4,) * 40)


def _noised(kinds: int, *, seed: int) -> tuple[list[Measurement], list[Measurement]]:
    """Return 1-ways and pairs of a mixture of kinds, with noise of 30 rows."""
    random = np.random.default_rng(seed)
    parts = [random.dirichlet(np.full(4, 1.0), kinds) for _ in DOMAIN.shape]

    def noised(shares: np.ndarray, *clique: int) -> Measurement:
        counts = shares * ROWS + random.normal(size=shares.shape) * 30.0
        return _measured(counts, *(DOMAIN.attributes[i] for i in clique), variance=900.0)

    pairs = combinations(range(len(parts)), 2)
    return (
        [noised(part.mean(axis=0), i) for i, part in enumerate(parts)],
        [noised(parts[i].T @ parts[j] / kinds, i, j) for i, j in pairs],
    )


def _cleaned(kinds: int, *, seed: int) -> tuple[Coarse, list[Measurement]]:
    """Return pairs of a mixture, and those that another one is fitted to."""
    alone, pairs = _noised(kinds, seed=seed)

    def levels(noised: Sequence[Measurement], cleaned: Sequence[Measurement]) -> Levels:
        return Levels.of_measurements(
            alone, noised, domain=DOMAIN, rising=[False] * 40, cleaned=cleaned
        )

    found = clean_coarse(pairs, alone, domain=DOMAIN, levels=levels, smoothing=4.0)
    return Coarse.of(pairs, alone, domain=DOMAIN), found


def _off(coarse: Coarse, found: Sequence[Measurement]) -> float:
    """Return what part of what the spectrum leaves out is taken off."""
    raw, clean = (np.concatenate(v) for v in ([m.values for m in coarse.measured], coarse.clean))
    taken = raw - np.concatenate([m.values for m in found])
    return float(taken @ (raw - clean) / ((raw - clean) @ (raw - clean)))


def test_where_pairs_say_nothing_all_that_noise_says_is_taken_off() -> None:
    coarse, found = _cleaned(1, seed=1)
    assert coarse.told == pytest.approx(1.0, abs=0.15)
    assert _off(coarse, found) == pytest.approx(1.0)


def test_where_pairs_say_much_half_of_it_stays() -> None:
    coarse, found = _cleaned(4, seed=1)
    assert coarse.told > 2.0
    assert _off(coarse, found) == pytest.approx(0.5)


def test_without_coarse_pairs_there_is_nothing_to_clean() -> None:
    assert clean_coarse([], [], domain=DOMAIN, levels=lambda *_: 1 / 0, smoothing=4.0) == []  # type: ignore[arg-type]
