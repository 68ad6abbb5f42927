"""A mixture of forests against everything written out: tables, marginals, gradients."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import RunFailed
from silosynth.common.measurement import Measurement
from silosynth.server.mixture import Levels, Settings, Trees, fit_trees
from silosynth.server.mixture.fitting import _Fit
from silosynth.server.mixture.forest import Forest
from silosynth.server.mixture.nobody import (
    choose_forest,
    empty_cells,
    find_empty,
    is_shown,
    nearest_table,
)

SIZES = (3, 2, 4, 2, 3)
NAMES = ("a", "b", "c", "d", "e")
DOMAIN = Domain(attributes=NAMES, shape=SIZES)


def forest_of(seed: int) -> Forest:
    """Return a tree of four, two edges deep, beside an attribute that stands alone."""
    random = np.random.default_rng(seed)
    parents = (2, 0, -1, -1, 0)
    allowed = {}
    for v, parent in enumerate(parents):
        if parent >= 0:
            mask = random.random((SIZES[parent], SIZES[v])) < 0.6
            mask[np.arange(SIZES[parent]), random.integers(SIZES[v], size=SIZES[parent])] = True
            mask[random.integers(SIZES[parent], size=SIZES[v]), np.arange(SIZES[v])] = True
            allowed[v] = mask.astype(np.float32)
    return Forest(sizes=SIZES, parents=parents, allowed=allowed)


def trees_of(seed: int, *, components: int = 3) -> Trees:
    random = np.random.default_rng(seed)
    codes = np.hstack([random.dirichlet(np.ones(size), components) for size in SIZES])
    weights = random.dirichlet(np.ones(components))
    return Trees(weights=weights, codes=codes, forest=forest_of(seed))


def written_out(trees: Trees) -> np.ndarray:
    """Return the share of every row, an axis an attribute."""
    forest, whole = trees.forest, np.zeros(SIZES)
    for row in product(*map(range, SIZES)):
        for weight, codes in zip(trees.weights, trees.codes, strict=True):
            share = weight
            for v, parent in enumerate(forest.parents):
                own = codes[forest.slices[v]]
                if parent >= 0:
                    own = own * forest.allowed[v][row[parent]]
                share *= own[row[v]] / own.sum()
            whole[row] += share
    return whole


@pytest.mark.parametrize("seed", range(4))
def test_tables_and_marginals_are_those_of_everything_written_out(seed: int) -> None:
    trees = trees_of(seed)
    whole = written_out(trees)
    assert whole.sum() == pytest.approx(1)
    tables, slices = trees.pair_tables(), trees.forest.slices
    for left, right in combinations(range(len(SIZES)), 2):
        rest = tuple(v for v in range(len(SIZES)) if v not in (left, right))
        assert tables[slices[left], slices[right]] == pytest.approx(whole.sum(axis=rest))
    for places in ((0,), (3, 1), (4, 0, 3), (1, 2, 4), (4, 3, 2, 1, 0)):
        found = trees.forest.marginal(places, weights=trees.weights, codes=trees.codes)
        rest = tuple(v for v in range(len(SIZES)) if v not in places)
        kept = [v for v in range(len(SIZES)) if v in places]
        expected = whole.sum(axis=rest).transpose([kept.index(v) for v in places])
        assert found == pytest.approx(expected)


def test_many_components_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = trees_of(1, components=7)
    tables = trees.pair_tables()
    marginal = trees.forest.marginal((1, 4), weights=trees.weights, codes=trees.codes)
    monkeypatch.setattr("silosynth.server.mixture.forest._AT_ONCE", 1)
    assert trees.pair_tables() == pytest.approx(tables)
    again = trees.forest.marginal((1, 4), weights=trees.weights, codes=trees.codes)
    assert again == pytest.approx(marginal)


def test_nothing_is_ever_where_an_edge_forbids_it() -> None:
    trees = trees_of(2)
    tables, slices = trees.pair_tables(), trees.forest.slices
    for parent, v in trees.forest.edges:
        block = tables[slices[parent], slices[v]]
        assert not block[trees.forest.allowed[v] == 0].any()
        assert (block[trees.forest.allowed[v] == 1] > 0).all()


def measurements(
    law: np.ndarray, *, rows: float, deviation: float, coarse: bool = False, seed: int = 0
) -> Levels:
    """Return what noised 1-ways and pairs of a law say; pairs of two codes of ``c`` if coarse."""
    random = np.random.default_rng(seed)
    grouping = Grouping(groups={"c": (0, 0, 1, 1)} if coarse else {})

    def noised(*places: int) -> Measurement:
        table = law.sum(axis=tuple(v for v in range(law.ndim) if v not in places))
        merge = coarse and len(places) > 1 and 2 in places
        if merge:
            table = np.add.reduceat(table, [0, 2], axis=places.index(2))
        values = table.ravel() * rows + random.normal(size=table.size) * deviation
        return Measurement(
            clique=tuple(NAMES[v] for v in places),
            values=values,
            variance=np.full(values.size, max(deviation, 1e-6) ** 2),
            grouping=grouping if merge else Grouping(),
        )

    return Levels.of_measurements(
        [noised(v) for v in range(law.ndim)],
        [noised(*pair) for pair in combinations(range(law.ndim), 2)],
        domain=DOMAIN,
        rising=(False,) * len(SIZES),
    )


@pytest.mark.parametrize("coarse", [False, True])
def test_the_gradient_is_that_of_the_loss(coarse: bool) -> None:
    """Of pairs within an edge or across trees: those that are exact at every step."""
    trees = trees_of(3)
    levels = measurements(written_out(trees), rows=1000.0, deviation=5.0, coarse=coarse)
    fit = _Fit.of(levels, trees.forest, settings=Settings(components=4, steps=1, smoothing=2.0))
    fit.logits = [x.astype(np.float64) for x in fit.logits]
    fit.alone = fit.alone.astype(np.float64)

    def loss() -> float:
        weights, codes = fit.shares()
        columns = fit.forest.down(codes)
        tables = fit._tables(weights, codes, columns)
        apart = columns.shares * np.log(columns.shares / fit.alone)
        off = weights @ columns.shares - fit.alone
        return float(
            (levels.weight * (tables - levels.table) ** 2).sum()
            + 5.0 * (off**2).sum()
            + float(fit.penalty) * (weights @ apart).sum()
        )

    found = fit._gradients(*fit.shares())
    random = np.random.default_rng(0)
    for logits, gradient in zip(fit.logits, found, strict=True):
        along = random.normal(size=logits.shape)
        logits += 1e-3 * along
        above = loss()
        logits -= 2e-3 * along
        slope = (above - loss()) / 2e-3
        logits += 1e-3 * along
        assert slope == pytest.approx(float((gradient * along).sum()), rel=1e-3, abs=1e-6)


def law_of_places() -> np.ndarray:
    """Return a law in which c says a, a says nothing of b, and d and e are as they are."""
    random = np.random.default_rng(5)
    law = np.zeros(SIZES)
    c = random.dirichlet(np.full(4, 5.0))
    for code, share in enumerate(c):
        rest = random.dirichlet(np.full(2, 3.0))[:, None, None] * random.dirichlet(
            np.full(6, 3.0)
        ).reshape(2, 3)
        law[(0, 1, 2, 2)[code], :, code] += share * rest
    return law


def test_what_one_attribute_says_of_another_is_kept_in_every_row() -> None:
    law = law_of_places()
    levels = measurements(law, rows=20_000.0, deviation=40.0)
    found = fit_trees(
        levels, settings=Settings(components=8, steps=200, smoothing=1.0), most_cells=1000
    )
    assert found.forest.parents[0] == 2 or found.forest.parents[2] == 0
    truth = law.sum(axis=(1, 3, 4))
    mass = found.pair_tables()[found.forest.slices[0], found.forest.slices[2]]
    assert not mass[truth == 0].any()
    assert np.abs(mass - truth).sum() < 0.02
    # What 1-ways say of both may differ by their noise, and one says the other here.
    assert found.shares == pytest.approx(levels.shares, abs=3 * 40.0 / 20_000)


def test_no_edge_is_larger_than_there_is_room_for() -> None:
    levels = measurements(law_of_places(), rows=20_000.0, deviation=40.0)
    plain = trees_of(0)
    tables = np.outer(levels.shares, levels.shares)
    empty = tuple(find_empty(levels, tables))
    assert choose_forest(levels, tables, empty=empty, most_cells=1000).edges
    assert not choose_forest(levels, tables, empty=empty, most_cells=5).edges
    assert plain.forest.edges  # of a forest that was given


@pytest.mark.parametrize("seed", range(3))
def test_independent_columns_get_no_edge_that_forbids_what_is_there(seed: int) -> None:
    random = np.random.default_rng(seed)
    law = np.ones(())
    for size in SIZES:
        law = np.multiply.outer(law, random.dirichlet(np.full(size, 2.0)))
    levels = measurements(law, rows=20_000.0, deviation=100.0, seed=seed)
    tables = np.outer(levels.shares, levels.shares)
    found = choose_forest(levels, tables, empty=find_empty(levels, tables), most_cells=1000)
    for parent, v in found.edges:
        rest = tuple(u for u in range(law.ndim) if u not in (parent, v))
        table = law.sum(axis=rest)
        table = table if parent < v else table.T
        assert table[found.allowed[v] == 0].sum() < 0.01


def test_the_nearest_table_has_the_1_ways_and_nothing_below_nought() -> None:
    counts = np.array([[90.0, -8.0, 5.0], [12.0, 70.0, -20.0]])
    alone = np.array([95.0, 85.0]), np.array([100.0, 70.0, 10.0])
    found = nearest_table(counts, alone=alone)
    assert (found >= 0).all()
    assert found.sum(axis=1) == pytest.approx(alone[0], abs=1.0)
    assert found.sum(axis=0) == pytest.approx(alone[1], abs=1.0)


def test_a_code_whose_rows_are_all_in_one_cell_has_none_in_others() -> None:
    """Though the noise of a cell is as large as what independence puts there."""
    random = np.random.default_rng(0)
    places, kinds = 20, np.arange(20) % 10
    counts = np.zeros((places, 10))
    counts[np.arange(places), kinds] = 1300.0
    noised = counts + random.normal(size=counts.shape) * 90.0
    empty = empty_cells(noised, alone=(counts.sum(axis=1), counts.sum(axis=0)), deviation=90.0)
    assert not empty[counts > 0].any()
    assert empty[counts == 0].mean() > 0.8


def test_what_is_no_pair_or_over_other_codes_is_refused() -> None:
    alone = [
        Measurement(clique=(a,), values=np.full(n, 9.0), variance=np.ones(n))
        for a, n in zip(NAMES, SIZES, strict=True)
    ]
    three = Measurement(clique=("a", "b", "c"), values=np.ones(24), variance=np.ones(24))
    with pytest.raises(RunFailed, match="is no pair"):
        Levels.of_measurements(alone, [three], domain=DOMAIN, rising=(False,) * len(SIZES))
    other = Measurement(clique=("a", "b"), values=np.ones(5), variance=np.ones(5))
    with pytest.raises(RunFailed, match="over other codes"):
        Levels.of_measurements(alone, [other], domain=DOMAIN, rising=(False,) * len(SIZES))


def test_what_was_measured_twice_counts_by_its_precision() -> None:
    alone = [
        Measurement(clique=(a,), values=np.full(n, 12.0 / n), variance=np.ones(n))
        for a, n in zip(NAMES, SIZES, strict=True)
    ]
    one = Measurement(clique=("a", "b"), values=np.full(6, 2.0), variance=np.full(6, 1.0))
    two = Measurement(clique=("a", "b"), values=np.full(6, 5.0), variance=np.full(6, 2.0))
    levels = Levels.of_measurements(alone, [one, two], domain=DOMAIN, rising=(False,) * len(SIZES))
    assert levels.table[levels.pairs[0].block] * 12.0 == pytest.approx(np.full((3, 2), 3.0))
    (pair,) = levels.pairs
    assert pair.table * 12.0 == pytest.approx(np.full((3, 2), 3.0))
    assert pair.deviation * 12.0 == pytest.approx(np.sqrt(2.0 / 3.0))


def test_a_fit_is_surer_of_cells_that_are_empty() -> None:
    levels = measurements(law_of_places(), rows=20_000.0, deviation=40.0)
    pair = levels.pairs[1]
    empty = np.zeros(pair.table.shape, dtype=bool)
    empty[0, 1] = True
    surer = levels.surer_of_empty([(pair, empty)])
    for across, mask in ((pair.block, empty), (pair.block[::-1], empty.T)):
        assert np.all(surer.table[across] == np.where(mask, 0.0, levels.table[across]))
        assert np.all(surer.weight[across] == levels.weight[across] * np.where(mask, 16.0, 1.0))
    assert int((surer.weight != levels.weight).sum()) == 2


def test_what_noise_alone_makes_look_empty_is_no_edge() -> None:
    """On 275 rows with a noise of 60 a cell, forests of noise put rows .78 from the data."""
    random = np.random.default_rng(0)
    alone = np.array([90.0, 80.0, 60.0, 45.0]), np.array([100.0, 90.0, 50.0, 35.0])
    independent = np.outer(*alone) / 275.0
    shown = 0
    for _ in range(200):
        counts = independent + random.normal(size=(4, 4)) * 60.0
        shown += is_shown(counts, alone=alone, deviation=60.0, random=random)
    assert shown <= 2
    clear = np.diag(alone[0])
    noise = random.normal(size=(4, 4)) * 5.0
    assert is_shown(clear + noise, alone=(alone[0], alone[0]), deviation=5.0, random=random)


def test_along_an_order_a_cell_leans_on_its_neighbours() -> None:
    """Children have no grade yet: a block of empty cells, each hidden by the noise of a count."""
    random = np.random.default_rng(1)
    ages, grades, deviation = 24, 12, 30.0
    counts = np.full((ages, grades), 150.0)
    counts[:8, 4:] = 0.0
    alone = counts.sum(axis=1), counts.sum(axis=0)
    right = {}
    for rising in ((False, False), (True, True)):
        hits = []
        for _ in range(20):
            noised = counts + random.normal(size=counts.shape) * deviation
            empty = empty_cells(noised, alone=alone, deviation=deviation, rising=rising)
            hits.append((empty[counts == 0].mean(), empty[counts > 0].mean()))
        right[rising] = np.mean(hits, axis=0)
    assert right[True, True][0] > 1.2 * right[False, False][0]
    assert right[True, True][1] < 0.05
