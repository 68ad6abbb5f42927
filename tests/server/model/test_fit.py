"""Fitting: against exact solutions on small domains, and on everything noise can bring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidArgument, InvalidMeasurement, ModelTooLarge
from silosynth.common.measurement import Measurement
from silosynth.server.model import GraphicalModel, build_junction_tree
from silosynth.server.model.fit import fit
from silosynth.server.model.tables import sum_onto
from silosynth.server.model.targets import estimate_total, merge_measurements

ABCD = Domain(attributes=("a", "b", "c", "d"), shape=(2, 3, 4, 3))
COARSE = Grouping(groups={"b": (0, 0, 1), "c": (1, 0, 0, 2)})
GOOD = Measurement(clique=("a",), values=np.ones(2), variance=np.ones(2))
SHAPES: dict[str, list[Clique]] = {
    "tree": [("a", "b"), ("b", "c"), ("b", "d")],
    "cycle": [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")],
    "unconnected": [("a", "c"), ("d", "b")],
    "repeated": [("a", "b"), ("b", "a"), ("a", "b"), ("b",), ("c", "b", "d"), ("d", "c")],
    "single": [("a",), ("c",)],
}


def project(clique: Clique, *, domain: Domain, grouping: Grouping) -> np.ndarray:
    """Return (measured cells, cells of the joint): the matrix of a grouped marginal."""
    codes = np.indices(domain.shape).reshape(len(domain.shape), -1)
    merged = [grouping.lookup(a, domain.size((a,)))[codes[domain.index(a)]] for a in clique]
    cells = np.ravel_multi_index(merged, grouping.domain(domain).sizes(clique))
    return np.equal.outer(np.arange(grouping.domain(domain).size(clique)), cells).astype(float)


def measure(
    joint: np.ndarray,
    cliques: Sequence[Clique],
    *,
    domain: Domain = ABCD,
    sigma: float,
    seed: int = 0,
    grouping: Grouping | None = None,
) -> list[Measurement]:
    """Measure marginals of a joint table of counts with normal noise; variances are stated."""
    rng = np.random.default_rng(seed)
    grouping = grouping or Grouping()
    measurements = []
    for clique in cliques:
        exact = project(clique, domain=domain, grouping=grouping) @ joint.ravel()
        scale = sigma * rng.uniform(0.5, 2.0)
        measurements.append(
            Measurement(
                clique=clique,
                values=exact + rng.normal(0.0, scale, exact.size),
                variance=np.full(exact.size, max(scale, 1e-3) ** 2),
                grouping=grouping,
            )
        )
    return measurements


def random_joint(seed: int, *, domain: Domain = ABCD, total: float = 1000.0) -> np.ndarray:
    """Return a table of counts with many small cells."""
    joint = np.random.default_rng(seed).gamma(0.2, size=domain.shape)
    return joint * total / joint.sum()


def weighted_loss(measurements: Sequence[Measurement], joint: np.ndarray, domain: Domain) -> float:
    """Return the loss as it is defined."""
    return sum(
        0.5
        * float(
            (
                (project(m.clique, domain=domain, grouping=m.grouping) @ joint.ravel() - m.values)
                ** 2
                / m.variance
            ).sum()
        )
        for m in measurements
    )


def exact_optimum(
    measurements: Sequence[Measurement], *, total: float, domain: Domain = ABCD
) -> float:
    """Return the least loss over all non-negative joint tables of ``total`` rows (active set)."""
    rows, right = [], []
    for m in measurements:
        scale = 1.0 / np.sqrt(m.variance)
        rows.append(project(m.clique, domain=domain, grouping=m.grouping) * scale[:, None])
        right.append(m.values * scale)
    heavy = 1e4 * max(float(np.abs(r).max()) for r in rows)
    rows.append(np.full((1, math.prod(domain.shape)), heavy))
    right.append(np.array([total * heavy]))
    solution, _ = nnls(np.vstack(rows), np.concatenate(right))
    return weighted_loss(measurements, solution * total / solution.sum(), domain)


def model_joint(model: GraphicalModel) -> np.ndarray:
    """Return the joint table of a small model."""
    return model.marginal(model.domain.attributes).reshape(model.domain.shape)


def assert_consistent(model: GraphicalModel) -> None:
    """Check what a model guarantees about its tables."""
    for i, (clique, table) in enumerate(zip(model.tree.cliques, model.tables, strict=True)):
        assert table.sum() == pytest.approx(model.total, rel=1e-9)
        assert (table >= 0).all()
        parent, separator = model.tree.parents[i], model.tree.separators[i]
        if parent is not None:
            np.testing.assert_allclose(
                sum_onto(table, clique=clique, kept=separator),
                sum_onto(model.tables[parent], clique=model.tree.cliques[parent], kept=separator),
                rtol=1e-7,
                atol=1e-9 * model.total,
            )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sigma", [1.0, 20.0, 300.0])
def test_the_loss_is_within_a_hundredth_of_the_exact_optimum(shape: str, sigma: float) -> None:
    measurements = measure(random_joint(1), SHAPES[shape], sigma=sigma, seed=2)
    measurements += measure(
        random_joint(1), [("b", "c"), ("c",)], sigma=sigma, seed=3, grouping=COARSE
    )
    model = fit(measurements, domain=ABCD, total=1000.0)
    optimum = exact_optimum(measurements, total=1000.0)
    cells = sum(m.values.size for m in measurements)
    assert optimum * (1 - 1e-6) <= model.loss <= 1.01 * optimum + 1e-3 * cells
    assert model.loss == pytest.approx(
        weighted_loss(measurements, model_joint(model), ABCD), rel=1e-6, abs=1e-6
    )
    assert_consistent(model)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.data())
def test_any_measurements_are_fitted_as_well_as_they_can_be(seed: int, data: st.DataObject) -> None:
    cliques = data.draw(
        st.lists(
            st.lists(st.sampled_from(ABCD.attributes), unique=True, min_size=1, max_size=3).map(
                tuple
            ),
            min_size=1,
            max_size=5,
        )
    )
    sigma = data.draw(st.sampled_from([0.5, 10.0, 100.0]))
    measurements = measure(random_joint(seed), cliques, sigma=sigma, seed=seed)
    model = fit(measurements, domain=ABCD, total=1000.0)
    optimum = exact_optimum(measurements, total=1000.0)
    cells = sum(m.values.size for m in measurements)
    assert model.loss <= 1.01 * optimum + 2e-3 * cells
    assert_consistent(model)


@pytest.mark.parametrize("shape", SHAPES)
def test_noiseless_measurements_are_reproduced(shape: str) -> None:
    joint = random_joint(5)
    measurements = measure(joint, SHAPES[shape], sigma=0.0)
    model = fit(measurements, domain=ABCD, tolerance=0.0, iterations=4000)
    assert model.total == pytest.approx(1000.0)
    for m in measurements:
        np.testing.assert_allclose(model.marginal(m.clique), m.values, atol=0.5)


def test_noiseless_measurements_of_a_tree_are_imposed_before_the_first_iteration() -> None:
    measurements = measure(random_joint(5), SHAPES["tree"], sigma=0.0)
    start = fit(measurements, domain=ABCD, iterations=0)
    assert start.iterations == 0
    for m in measurements:
        np.testing.assert_allclose(start.marginal(m.clique), m.values, atol=0.5)


def test_one_marginal_is_fitted_exactly_before_the_first_iteration() -> None:
    rng = np.random.default_rng(4)
    deviation = rng.uniform(20.0, 80.0, 36)
    noised = Measurement(
        clique=("b", "c", "d"),
        values=rng.gamma(0.2, size=36) * 50.0 + rng.normal(0.0, deviation),
        variance=deviation**2,
    )
    start = fit([noised], domain=ABCD, total=1000.0, iterations=0)
    assert start.loss == pytest.approx(exact_optimum([noised], total=1000.0), rel=0.02)


def test_what_is_not_measured_stays_independent_and_uniform() -> None:
    joint = random_joint(6)
    model = fit(measure(joint, [("a",), ("b",)], sigma=1e-3), domain=ABCD)
    table = model.marginal(("a", "b")).reshape(2, 3) / 1000.0
    np.testing.assert_allclose(
        table, np.outer(joint.sum(axis=(1, 2, 3)), joint.sum(axis=(0, 2, 3))) / 1e6, atol=1e-3
    )
    np.testing.assert_allclose(model.marginal(("c",)), np.full(4, 250.0), rtol=1e-6)


def test_codes_merged_in_every_measurement_share_their_count_evenly() -> None:
    measurements = measure(random_joint(7), [("b", "c")], sigma=5.0, grouping=COARSE)
    model = fit(measurements, domain=ABCD)
    table = model.marginal(("b", "c")).reshape(3, 4)
    np.testing.assert_allclose(table[0], table[1], rtol=1e-6)
    np.testing.assert_allclose(table[:, 1], table[:, 2], rtol=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.permutations(ABCD.attributes))
def test_the_order_of_attributes_changes_nothing(seed: int, order: list[str]) -> None:
    joint = random_joint(seed)
    measurements = measure(joint, SHAPES["cycle"], sigma=20.0, seed=seed)
    model = fit(measurements, domain=ABCD)
    shuffled = Domain(attributes=tuple(order), shape=ABCD.sizes(tuple(order)))
    turned = []
    for m in reversed(measurements):
        table = m.values.reshape(ABCD.sizes(m.clique)).T
        turned.append(Measurement(clique=m.clique[::-1], values=table.ravel(), variance=m.variance))
    other = fit(turned, domain=shuffled)
    assert other.loss == pytest.approx(model.loss, rel=5e-3)
    for m in measurements:
        np.testing.assert_allclose(
            other.marginal(m.clique), model.marginal(m.clique), atol=5.0 + 0.02 * model.total
        )


def test_measurements_of_one_clique_are_one_target_with_their_joint_precision() -> None:
    grouping = Grouping(groups={"a": (0, 1), "d": (0, 0, 1)})
    pair = (np.arange(6.0), np.full(6, 2.0))
    first = Measurement(clique=("a", "b"), values=pair[0], variance=pair[1])
    turned = Measurement(
        clique=("b", "a"),
        values=pair[0].reshape(2, 3).T.ravel() + 3.0,
        variance=np.full(6, 4.0),
        grouping=grouping,
    )
    coarse = Measurement(clique=("a", "b"), values=np.ones(4), variance=np.ones(4), grouping=COARSE)
    coarse_target, target = sorted(
        merge_measurements([first, turned, coarse], domain=ABCD), key=lambda t: t.values.size
    )
    np.testing.assert_allclose(target.values, pair[0] + 1.0)
    np.testing.assert_allclose(target.precision, np.full(6, 0.75))
    assert target.cell_of is None
    assert target.spread == pytest.approx(0.5 * 6 * (1.0 / 2.0 + 4.0 / 4.0))
    np.testing.assert_array_equal(coarse_target.cell_of, [0, 0, 1, 2, 2, 3])


def test_the_total_is_the_minimum_variance_mean_of_the_sums() -> None:
    one = Measurement(clique=("a",), values=np.array([30.0, 70.0]), variance=np.full(2, 2.0))
    two = Measurement(clique=("b",), values=np.full(3, 40.0), variance=np.full(3, 4.0))
    assert estimate_total([one, two]) == pytest.approx((100 / 4 + 120 / 12) / (1 / 4 + 1 / 12))


@pytest.mark.parametrize("value", [1e60, -1e60])
def test_absurd_values_give_a_consistent_model(value: float) -> None:
    absurd = Measurement(clique=("a", "b"), values=np.full(6, 1.0), variance=np.full(6, 4.0))
    absurd.values[2] = value
    assert_consistent(fit([absurd, GOOD], domain=ABCD, total=1000.0))
    assert_consistent(fit([absurd, GOOD], domain=ABCD))


@pytest.mark.parametrize("value", [0.0, -7.0])
def test_zero_and_negative_counts_make_a_model_of_one_row(value: float) -> None:
    measurements = [
        Measurement(clique=c, values=np.full(ABCD.size(c), value), variance=np.ones(ABCD.size(c)))
        for c in SHAPES["cycle"]
    ]
    model = fit(measurements, domain=ABCD)
    assert model.total == 1.0
    assert_consistent(model)
    for clique in SHAPES["cycle"]:
        cells = ABCD.size(clique)
        np.testing.assert_allclose(model.marginal(clique), np.full(cells, 1.0 / cells), atol=1e-6)


@pytest.mark.parametrize("variances", [(1e-12, 1e-12), (1e-9, 1e9), (1e-60, 1e60), (1e60, 1e60)])
def test_extreme_variances_give_a_consistent_model(variances: tuple[float, float]) -> None:
    joint = random_joint(8)
    measurements = [
        Measurement(
            clique=m.clique, values=m.values, variance=np.full(m.values.size, variances[i % 2])
        )
        for i, m in enumerate(measure(joint, SHAPES["cycle"], sigma=5.0, seed=8))
    ]
    model = fit(measurements, domain=ABCD, total=1000.0)
    assert_consistent(model)
    assert all(np.isfinite(t).all() for t in model.tables)


def test_a_precise_measurement_outweighs_a_vague_one_of_the_same_cells() -> None:
    precise = Measurement(clique=("a",), values=np.array([900.0, 100.0]), variance=np.full(2, 1e-4))
    vague = Measurement(clique=("a", "b"), values=np.full(6, 1000.0 / 6), variance=np.full(6, 1e4))
    model = fit([vague, precise], domain=ABCD, total=1000.0)
    np.testing.assert_allclose(model.marginal(("a",)), [900.0, 100.0], atol=0.1)


def test_a_warm_start_needs_fewer_iterations_for_the_same_loss() -> None:
    names = tuple(f"a{i}" for i in range(8))
    domain = Domain(attributes=names, shape=(3,) * 8)
    joint = random_joint(9, domain=domain)
    pairs = list(combinations(names, 2))
    measurements = measure(joint, pairs[::3], domain=domain, sigma=5.0)
    earlier = fit(measurements[:-1], domain=domain, total=1000.0)
    cold = fit(measurements, domain=domain, total=1000.0, iterations=10)
    warm = fit(measurements, domain=domain, total=1000.0, iterations=10, warm_start=earlier)
    best = fit(measurements, domain=domain, total=1000.0, iterations=3000, tolerance=0.0)
    assert best.loss <= warm.loss < cold.loss
    assert_consistent(warm)


def test_a_warm_start_that_fits_is_kept() -> None:
    measurements = measure(random_joint(9), SHAPES["cycle"], sigma=20.0)
    earlier = fit(measurements, domain=ABCD)
    again = fit(measurements, domain=ABCD, iterations=0, warm_start=earlier)
    assert_consistent(again)
    for m in measurements:
        np.testing.assert_allclose(
            again.marginal(m.clique), earlier.marginal(m.clique), atol=0.011 * earlier.total
        )


def test_a_warm_start_recovers_what_the_earlier_model_ruled_out() -> None:
    tree = build_junction_tree([], domain=ABCD)
    tables = [np.full(size, 1000.0 / size) for size in ABCD.shape]
    tables[0] = np.array([1000.0, 0.0])
    earlier = GraphicalModel(tree=tree, total=1000.0, tables=tuple(tables), loss=0.0, iterations=0)
    pair = Measurement(clique=("a", "b"), values=np.full(6, 1000.0 / 6), variance=np.ones(6))
    model = fit([pair], domain=ABCD, total=1000.0, iterations=0, warm_start=earlier)
    np.testing.assert_allclose(model.marginal(("a",)), [500.0, 500.0], atol=0.5)


def test_a_warm_start_that_would_take_too_much_memory_is_left_aside() -> None:
    domain = Domain(attributes=tuple("abcde"), shape=(6,) * 5)
    joint = random_joint(3, domain=domain)
    chain = [("a", "b", "c"), ("b", "c", "e"), ("c", "e", "d")]
    blocks = measure(joint, chain, domain=domain, sigma=9.0)
    earlier = fit(blocks, domain=domain)
    ends = measure(joint, [("a", "d")], domain=domain, sigma=9.0)
    limit = build_junction_tree([("a", "d")], domain=domain).bytes / 2**20
    cold = fit(ends, domain=domain, iterations=3, max_model_mb=limit)
    same = fit(ends, domain=domain, iterations=3, max_model_mb=limit, warm_start=earlier)
    np.testing.assert_array_equal(same.marginal(("a", "d")), cold.marginal(("a", "d")))


def test_a_model_above_the_limit_is_refused_before_it_is_made() -> None:
    names = tuple(f"a{i}" for i in range(30))
    domain = Domain(attributes=names, shape=(2,) * 29 + (300,))
    wheel = [
        Measurement(clique=c, values=np.zeros(domain.size(c)), variance=np.ones(domain.size(c)))
        for c in combinations(names, 2)
    ]
    with pytest.raises(ModelTooLarge, match=r"largest clique .*; measure fewer"):
        fit(wheel, domain=domain)
    assert build_junction_tree([m.clique for m in wheel], domain=domain).bytes == 300 * 2**32


def test_the_limit_is_on_the_bytes_of_the_clique_tables() -> None:
    measurements = measure(random_joint(1), [("a", "b", "c", "d")], sigma=1.0)
    exactly = 72 * 8 / 2**20
    assert fit(measurements, domain=ABCD, max_model_mb=exactly, iterations=1).total > 0
    with pytest.raises(ModelTooLarge):
        fit(measurements, domain=ABCD, max_model_mb=exactly * 0.999)


@pytest.mark.parametrize(
    "measurement",
    [
        Measurement(clique=("a",), values=np.ones(3), variance=np.ones(3)),
        Measurement(clique=("a",), values=np.ones((1, 2)), variance=np.ones((1, 2))),
        Measurement(clique=("a",), values=np.ones(2), variance=np.array([1.0, 0.0])),
        Measurement(clique=("a",), values=np.ones(2), variance=np.array([1.0, -1.0])),
        Measurement(clique=("a",), values=np.ones(2), variance=np.array([1.0, np.nan])),
        Measurement(clique=("a",), values=np.ones(2), variance=np.array([1.0, 1e-300])),
        Measurement(clique=("a",), values=np.ones(2), variance=np.array([1.0, 1e300])),
        Measurement(clique=("a",), values=np.array([1.0, -1e300]), variance=np.ones(2)),
        Measurement(clique=("a",), values=np.array([1.0, np.nan]), variance=np.ones(2)),
        Measurement(clique=("a",), values=np.array([1.0, np.inf]), variance=np.ones(2)),
        Measurement(clique=("a", "a"), values=np.ones(4), variance=np.ones(4)),
        Measurement(clique=("nobody",), values=np.ones(2), variance=np.ones(2)),
        Measurement(clique=("b",), values=np.ones(3), variance=np.ones(3), grouping=COARSE),
        Measurement(
            clique=("a",),
            values=np.ones(2),
            variance=np.ones(2),
            grouping=Grouping(groups={"a": (0, 1, 1)}),
        ),
    ],
)
def test_measurements_that_do_not_fit_are_refused(measurement: Measurement) -> None:
    with pytest.raises(InvalidMeasurement):
        fit([GOOD, measurement], domain=ABCD)


def test_nothing_measured_is_refused() -> None:
    with pytest.raises(InvalidMeasurement, match="no measurement"):
        fit([], domain=ABCD)


@pytest.mark.parametrize("total", [0.0, -1.0, math.nan, math.inf])
def test_a_total_that_is_no_number_of_rows_is_refused(total: float) -> None:
    with pytest.raises(InvalidMeasurement, match="leave it out"):
        fit([GOOD], domain=ABCD, total=total)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="iterations"):
        fit([GOOD], domain=ABCD, iterations=-1)
    with pytest.raises(InvalidArgument, match="tolerance"):
        fit([GOOD], domain=ABCD, tolerance=math.nan)
    with pytest.raises(InvalidArgument, match="max_model_mb"):
        fit([GOOD], domain=ABCD, max_model_mb=math.nan)
    other = fit([GOOD], domain=Domain(attributes=("a",), shape=(2,)))
    with pytest.raises(InvalidArgument, match="warm start"):
        fit([GOOD], domain=ABCD, warm_start=other)
