"""Cells that nobody is in are found in noised counts, and those that somebody is in are kept."""

from __future__ import annotations

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.server.measuring.soft_zeros import (
    emptiness,
    empty_cells,
    soft_zeros,
    trust_empty,
)

DOMAIN = Domain(attributes=("place", "density"), shape=(12, 6))
SIGMA = 20.0


def _spread(cells: int) -> np.ndarray:
    """Return as many normal numbers as the law has between equal chances, well mixed."""
    levels = (np.arange(cells) + 0.5) / cells
    numbers = np.array([NormalDist().inv_cdf(p) for p in levels])
    return numbers[(np.arange(cells) * 7919) % cells]


def _measure(counts: np.ndarray, *clique: str) -> Measurement:
    """Return counts with the noise of a law's own quantiles."""
    flat = counts.ravel().astype(float)
    return Measurement(
        clique=clique,
        values=flat + SIGMA * _spread(flat.size),
        variance=np.full(flat.size, SIGMA**2),
    )


def _alone(table: np.ndarray) -> dict[str, Measurement]:
    sums = {"place": table.sum(axis=1), "density": table.sum(axis=0)}
    return {name: _measure(counts, name) for name, counts in sums.items()}


def _places() -> np.ndarray:
    """Every place has one density, and about 500 people."""
    table = np.zeros((12, 6))
    table[np.arange(12), np.arange(12) // 2] = 500
    return table


def test_chances_and_rows_are_those_of_the_law_that_counts_were_drawn_from() -> None:
    """Half of 2,000 cells are empty, the others hold 100 rows in the mean."""
    rows = np.zeros(2_000)
    rows[::2] = -100.0 * np.log((np.arange(1_000) + 0.5) / 1_000)
    values = rows + SIGMA * _spread(2_000)
    empty, expected = emptiness(values, np.full(2_000, SIGMA))
    assert empty.mean() == pytest.approx(0.5, abs=0.05)
    assert expected.sum() == pytest.approx(rows.sum(), rel=0.03)
    assert (empty[values > 4 * SIGMA] < 0.05).all()
    for low, high in ((0.2, 0.5), (0.5, 0.9)):
        told = (empty >= low) & (empty < high)
        assert (rows[told] == 0).mean() == pytest.approx(empty[told].mean(), abs=0.1)


def test_the_cells_that_no_place_has_are_left_out_and_no_other() -> None:
    table = _places()
    mask = empty_cells(_measure(table, *DOMAIN.attributes), _alone(table), domain=DOMAIN)
    assert not mask[table > 0].any()
    assert mask[table == 0].mean() > 0.9


def test_a_table_without_empty_cells_keeps_them_all() -> None:
    table = np.outer(np.arange(1, 13), np.arange(1, 7)) * 10.0
    mask = empty_cells(_measure(table, *DOMAIN.attributes), _alone(table), domain=DOMAIN)
    assert not mask.any()


def test_a_code_whose_rows_are_elsewhere_or_within_the_noise_keeps_its_cells() -> None:
    """The first place spreads 180 people over all densities, the second has hardly any."""
    table = _places()
    table[0], table[1] = 30, 0
    mask = empty_cells(_measure(table, *DOMAIN.attributes), _alone(table), domain=DOMAIN)
    assert not mask[:2].any()
    assert mask[2:].any()


def test_zeros_of_merged_codes_are_those_of_which_every_code_is_one() -> None:
    table = _places()
    merged = Grouping(groups={"place": tuple(np.arange(12) // 4)})
    found = soft_zeros(
        [_measure(table, *DOMAIN.attributes)],
        list(_alone(table).values()),
        domain=DOMAIN,
        grouping=merged,
    )
    assert found[0].mask.shape == (3, 6)
    assert not found[0].declared
    held = table.reshape(3, 4, 6).sum(axis=1) > 0
    assert not found[0].mask[held].any()
    assert found[0].mask.sum() >= 10


def test_a_fit_is_surer_of_cells_that_nobody_is_in_and_of_no_others() -> None:
    counts = _places()
    pair, alone = _measure(counts, "place", "density"), _alone(counts)
    (found,) = trust_empty([pair], alone.values(), domain=DOMAIN, times=25.0)
    surer = found.variance < pair.variance
    assert surer.sum() >= 50
    assert not (surer & (counts.ravel() > 0)).any()
    assert (found.values[surer] == 0.0).all()
    assert found.variance[surer] == pytest.approx(pair.variance[surer] / 25)
    assert (found.values[~surer] == pair.values[~surer]).all()


def test_what_was_measured_twice_is_looked_at_together() -> None:
    """A cell that holds somebody by one noise, and nobody by both, is empty in both."""
    counts = _places()
    first = _measure(counts, "place", "density")
    second = replace(first, values=counts.ravel() * 2 - first.values)
    found = trust_empty([first, second], _alone(counts).values(), domain=DOMAIN, times=4.0)
    surer = [m.variance < SIGMA**2 for m in found]
    assert (surer[0] == surer[1]).all()
    assert surer[0].sum() == (counts == 0).sum()


def test_independent_attributes_have_no_empty_cells_to_be_sure_of() -> None:
    counts = np.full((12, 6), 80.0)
    pair = _measure(counts, "place", "density")
    (found,) = trust_empty([pair], _alone(counts).values(), domain=DOMAIN, times=25.0)
    assert (found.variance == pair.variance).all()
