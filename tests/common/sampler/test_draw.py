"""Drawing: counts are rounded expectations, shuffles are fresh, and a seed fixes every row."""

from __future__ import annotations

import hashlib
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.sampler import CliqueMarginal, shares
from silosynth.common.sampler import draw as draw_module
from silosynth.common.sampler.conditional import WHOLE, Conditional, condition
from silosynth.common.sampler.draw import Step, apportion, compile_steps, draw_batch

DOMAIN = Domain(attributes=("a", "b", "c", "d", "e"), shape=(6, 5, 4, 7, 3))
TREE = (("a", "b"), ("b", "c"), ("b", "d"), ("e",))
LOOP = (("a", "b", "c"), ("a", "c", "d"), ("d", "e"))


def made_joint(cliques: tuple[Clique, ...], *, seed: int = 0) -> np.ndarray:
    """Return the joint of a random model over ``cliques``, summing to one."""
    rng = np.random.default_rng(seed)
    joint = np.ones(DOMAIN.shape)
    for clique in cliques:
        potential = rng.gamma(0.4, size=DOMAIN.sizes(clique))
        shape = [DOMAIN.size((a,)) if a in clique else 1 for a in DOMAIN.attributes]
        joint = joint * potential.reshape(shape)
    return joint / joint.sum()


def marginal(joint: np.ndarray, clique: Clique) -> np.ndarray:
    rest = tuple(i for i, a in enumerate(DOMAIN.attributes) if a not in clique)
    return joint.sum(axis=rest)


def model_steps(joint: np.ndarray, cliques: tuple[Clique, ...]) -> tuple[Step, ...]:
    drawn: set[str] = set()
    nodes = []
    for clique in cliques:
        separator = tuple(a for a in clique if a in drawn)
        values = marginal(joint, clique) * 1e4
        nodes.append(CliqueMarginal(clique=clique, separator=separator, values=values))
        drawn |= set(clique)
    conditionals = condition(nodes, domain=DOMAIN)
    return compile_steps(conditionals, domain=DOMAIN, grouping=Grouping(), within={})


def sample_marginal(columns: tuple[np.ndarray, ...], clique: Clique) -> np.ndarray:
    cells = np.zeros(len(columns[0]), dtype=np.int64)
    for a in clique:
        cells = cells * DOMAIN.size((a,)) + columns[DOMAIN.index(a)]
    counts = np.bincount(cells, minlength=DOMAIN.size(clique))
    return counts.reshape(DOMAIN.sizes(clique)) / len(cells)


def distance(p: np.ndarray, q: np.ndarray) -> float:
    return float(np.abs(p - q).sum() / 2)


def fork(children: int) -> tuple[Step, ...]:
    """Return the steps of a root with two codes and ``children`` children of four codes each."""
    names = ("root", *(f"child{i}" for i in range(children)))
    domain = Domain(attributes=names, shape=(2,) + (4,) * children)
    tables = [Conditional(attribute="root", given=(), ends=shares(np.ones((1, 2)), name="root"))]
    for name in names[1:]:
        ends = shares(np.array([[4.0, 3, 2, 1], [1, 1, 1, 1]]), name=name)
        tables.append(Conditional(attribute=name, given=("root",), ends=ends))
    return compile_steps(tables, domain=domain, grouping=Grouping(), within={})


@st.composite
def groups(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, cells = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    weight = st.one_of(st.just(0.0), st.floats(1e-9, 1e9))
    weights = np.array(draw(st.lists(weight, min_size=rows * cells, max_size=rows * cells)))
    weights[0] += weights.max() == 0
    ends = shares(weights.reshape(rows, cells), name="x")
    sizes = np.array(draw(st.lists(st.integers(0, 2**24), min_size=rows, max_size=rows)))
    offset = st.integers(0, WHOLE - 1)
    offsets = np.array(draw(st.lists(offset, min_size=rows, max_size=rows)))
    return ends, sizes, offsets


@settings(deadline=None, max_examples=100)
@given(groups())
def test_counts_are_expected_counts_rounded_up_or_down(
    made: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    ends, sizes, offsets = made
    counts = apportion(ends, sizes=sizes, offsets=offsets)
    assert (counts.sum(axis=1) == sizes).all()
    scaled = np.diff(ends.astype(object), axis=1, prepend=0) * sizes.astype(object)[:, None]
    for count, exact in zip(counts.ravel().tolist(), scaled.ravel().tolist(), strict=True):
        assert exact // WHOLE <= count <= -(-exact // WHOLE)


def test_rounding_is_unbiased_over_offsets() -> None:
    ends = shares(np.array([[0.03, 0.5, 0.0, 0.2, 0.27]]), name="x")
    steps = 2**12
    offsets = np.arange(steps, dtype=np.int64) * (WHOLE // steps)
    counts = apportion(np.repeat(ends, steps, axis=0), sizes=np.full(steps, 7), offsets=offsets)
    expected = np.diff(ends[0].astype(float), prepend=0) / WHOLE * 7
    assert counts.mean(axis=0) == pytest.approx(expected, abs=2 / steps)


@pytest.mark.parametrize("rows", [0, 1, 2, 1023, 1025])
def test_any_number_of_rows_can_be_drawn(rows: int) -> None:
    columns = draw_batch(fork(2), rows=rows, seed=3)
    assert [len(column) for column in columns] == [rows] * 3
    assert all(column.dtype == np.uint8 for column in columns)


def test_every_cell_of_a_group_is_within_one_row_of_its_expectation() -> None:
    joint = made_joint(LOOP)
    columns = draw_batch(model_steps(joint, LOOP), rows=10_000, seed=1)
    for attribute, given_ in (("a", ()), ("b", ("a",)), ("c", ("a", "b")), ("d", ("a", "c"))):
        clique = tuple(sorted((*given_, attribute)))
        counts = np.moveaxis(sample_marginal(columns, clique) * 10_000, clique.index(attribute), -1)
        table = np.moveaxis(marginal(joint, clique), clique.index(attribute), -1)
        expected = counts.sum(-1, keepdims=True) * table / table.sum(-1, keepdims=True)
        assert np.abs(counts - expected).max() < 1 + 1e-4


@pytest.mark.parametrize("cliques", [TREE, LOOP], ids=["tree", "loop"])
def test_a_million_rows_follow_the_model(cliques: tuple[Clique, ...]) -> None:
    joint = made_joint(cliques)
    columns = draw_batch(model_steps(joint, cliques), rows=1_000_000, seed=2)
    far = [
        distance(sample_marginal(columns, pair), marginal(joint, pair))
        for pair in combinations(DOMAIN.attributes, 2)
    ]
    assert np.mean(far) < 0.001
    for clique in cliques:
        assert distance(sample_marginal(columns, clique), marginal(joint, clique)) < 1e-4


def test_siblings_are_independent_given_their_parent() -> None:
    root, left, right = draw_batch(fork(2), rows=200_000, seed=4)
    for code in (0, 1):
        rows = root == code
        table = np.bincount(left[rows] * 4 + right[rows], minlength=16).reshape(4, 4) / rows.sum()
        assert distance(table, np.outer(table.sum(1), table.sum(0))) < 0.01


def test_pairs_of_siblings_vary_as_random_pairing_does() -> None:
    cells = []
    for seed in range(300):
        root, left, right = draw_batch(fork(2), rows=400, seed=seed)
        cells.append(int(((root == 1) & (left == 0) & (right == 0)).sum()))
    exact = 200 * 0.25 * 0.75 * 0.25 * 0.75 * 200 / 199
    assert 0.75 * exact < np.var(cells) < 1.3 * exact
    assert np.mean(cells) == pytest.approx(200 / 16, abs=0.8)


def test_rows_come_in_random_order() -> None:
    root = draw_batch(fork(0), rows=100_000, seed=5)[0].astype(float)
    assert root[:50_000].mean() == pytest.approx(0.5, abs=0.02)
    assert np.corrcoef(root[1:], root[:-1])[0, 1] == pytest.approx(0, abs=0.02)


def test_rounding_differs_from_batch_to_batch_but_not_on_average() -> None:
    counts = [
        np.bincount(draw_batch(fork(1), rows=7, seed=6, batch=i)[1], minlength=4)
        for i in range(3000)
    ]
    expected = np.array([0.4 + 0.25, 0.3 + 0.25, 0.2 + 0.25, 0.1 + 0.25]) / 2 * 7
    assert np.mean(counts, axis=0) == pytest.approx(expected, abs=0.06)
    assert np.var(counts, axis=0).min() > 0


def test_seed_and_batch_decide_every_row() -> None:
    steps = fork(2)
    first = draw_batch(steps, rows=500, seed=7, batch=1)
    again = draw_batch(steps, rows=500, seed=7, batch=1)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    for other in (
        draw_batch(steps, rows=500, seed=8, batch=1),
        draw_batch(steps, rows=500, seed=7),
    ):
        assert (first[1] != other[1]).any()


def draw_one_by_one(steps: tuple[Step, ...], *, rows: int, seed: int) -> list[list[int]]:
    """Draw batch 0 in plain Python integers, as the file format's readers in any language would."""
    key = hashlib.sha256(f"silosynth/rows/{seed}".encode()).digest()[:16]
    philox = np.random.Philox(counter=0, key=int.from_bytes(key, "little"))
    columns: dict[int, list[int]] = {}
    for step in steps:
        groups, bits = len(step.ends), max((len(step.ends) - 1).bit_length(), 1)
        index_bits = (rows - 1).bit_length()
        group = [sum(int(t[columns[c][row]]) for c, t in step.keys) for row in range(rows)]
        noise = [word % 2 ** (64 - bits) >> index_bits for word in philox.random_raw(rows).tolist()]
        order = sorted(range(rows), key=lambda row: (group[row], noise[row], row))
        offsets = [word >> 33 for word in philox.random_raw(groups).tolist()]
        column = columns[step.column] = [0] * rows
        for g in range(groups):
            members = [row for row in order if group[row] == g]
            start = 0
            for end, code in zip(step.ends[g].tolist(), step.codes.tolist(), strict=True):
                stop = (end * len(members) + offsets[g]) >> 31
                for row in members[start:stop]:
                    column[row] = code
                start = stop
    return [columns[i] for i in range(len(columns))]


def test_a_plain_reading_of_the_method_draws_the_same_rows() -> None:
    for steps in (fork(3), model_steps(made_joint(LOOP), LOOP)):
        columns = draw_batch(steps, rows=777, seed=9)
        assert [c.tolist() for c in columns] == draw_one_by_one(steps, rows=777, seed=9)


def test_the_rows_of_a_seed_never_change() -> None:
    columns = draw_batch(fork(3), rows=5000, seed=2026, batch=3)
    digest = hashlib.sha256(b"".join(column.tobytes() for column in columns)).hexdigest()
    assert digest == "1699182f753f3cc64f2923f986ca6351ef61c0f17f3ae42f8ea099844481ec78"


def merged() -> tuple[Domain, Grouping, dict[str, np.ndarray], tuple[Conditional, ...]]:
    """Return a pair whose second attribute has 300 codes in 3 interleaved groups."""
    domain = Domain(attributes=("x", "y"), shape=(4, 300))
    groups = tuple(i % 3 for i in range(300))
    inside = np.concatenate([shares(np.arange(1.0, 101)[None, :], name="y")[0]] * 3)
    tables = np.arange(1.0, 13).reshape(4, 3)
    conditionals = (
        Conditional(attribute="x", given=(), ends=shares(tables.sum(1)[None, :], name="x")),
        Conditional(attribute="y", given=("x",), ends=shares(tables, name="y")),
    )
    return domain, Grouping(groups={"y": groups}), {"y": inside}, conditionals


@pytest.mark.parametrize("largest", [2**20, 0], ids=["folded", "in its own step"])
def test_codes_inside_a_group_follow_their_shares(
    largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draw_module, "_LARGEST_FOLD", largest)
    domain, grouping, within, conditionals = merged()
    steps = compile_steps(conditionals, domain=domain, grouping=grouping, within=within)
    assert len(steps) == (2 if largest else 3)
    x, y = draw_batch(steps, rows=300_000, seed=0)
    assert y.dtype == np.uint16
    found = np.bincount(x.astype(int) * 300 + y, minlength=1200).reshape(4, 300) / 300_000
    groups = np.arange(12.0).reshape(4, 3) + 1
    inside = np.repeat(np.arange(1.0, 101) / 5050, 3)
    expected = groups[:, np.arange(300) % 3] / groups.sum() * inside
    assert distance(found, expected) < (0.002 if largest else 0.03)
    assert np.abs(found.sum(0) - expected.sum(0)).max() * 300_000 < 6


def test_a_merged_attribute_is_given_by_its_group() -> None:
    domain = Domain(attributes=("x", "y"), shape=(6, 2))
    grouping = Grouping(groups={"x": (1, 0, 1, 0, 1, 0)})
    inside = np.tile(shares(np.ones((1, 3)), name="x")[0], 2)
    conditionals = (
        Conditional(attribute="x", given=(), ends=shares(np.ones((1, 2)), name="x")),
        Conditional(attribute="y", given=("x",), ends=shares(np.eye(2), name="y")),
    )
    steps = compile_steps(conditionals, domain=domain, grouping=grouping, within={"x": inside})
    x, y = draw_batch(steps, rows=6000, seed=0)
    assert (y == 1 - x % 2).all()
    assert np.bincount(x).tolist() == [1000] * 6
