"""Drawing code by code follows the probabilities that the network is trained by."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from silosynth.common.codec import END, Layout
from silosynth.common.generator import (
    Architecture,
    MaskedMlp,
    MaskedMlpNetwork,
    Transformer,
    TransformerNetwork,
    initial_vector,
)
from silosynth.common.sampler import condition_cells, draw_examples, load_network
from silosynth.common.sampler.network_draw import Cells, _begin
from silosynth.common.seeded import SeededWords

TABLE = Layout(attributes=("a", "b", "c"), sizes=(2, 3, 2), vocabularies=(0, 1, 0), free=3)
TEXT = Layout(
    attributes=("a",),
    sizes=(2, *[END + 1] * 6),
    vocabularies=(0, 1, 1, 1, 2, 2, 2),
    free=1,
    texts=((1, 4), (4, 7)),
)
IMAGE = Layout(
    attributes=("a", "b", "p", "q", "r"),
    sizes=(2, 3, 4, 4, 4),
    vocabularies=(0, 1, 2, 2, 2),
    free=2,
)
KINDS: tuple[Architecture, ...] = (
    MaskedMlp(width=8, layers=2, views=2),
    Transformer(width=8, layers=2, heads=2),
)


def made(architecture: Architecture, layout: Layout) -> MaskedMlpNetwork | TransformerNetwork:
    vector = initial_vector(architecture, layout, seed=1)
    noise = np.random.default_rng(1).normal(size=vector.shape).astype(np.float32)
    return load_network(architecture, layout, vector + noise / 2)


def log_shares(
    network: MaskedMlpNetwork | TransformerNetwork,
    order: tuple[int, ...],
    codes: tuple[int, ...] = (1, 2, 0),
) -> float:
    """Return the log probability of one example, code by code."""
    chain, total = _begin(network, rows=1, steps=len(codes)), 0.0
    for position in order:
        code = codes[position]
        total += float(torch.log(chain.shares(position)[0, code]))
        chain.put(position, torch.tensor([code]))
    return total


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_transformers_chain_is_what_it_is_trained_by(order: tuple[int, ...]) -> None:
    network = made(KINDS[1], TABLE)
    ranks = torch.tensor(np.argsort(order) / 3)[None]
    trained = -float(network(torch.tensor([[1, 2, 0]]), ranks))
    assert log_shares(network, order) == pytest.approx(trained, abs=1e-4)


@pytest.mark.parametrize("free", [(0, 1), (1, 0)])
def test_a_chain_tells_pixels_of_the_label_as_training_does(free: tuple[int, ...]) -> None:
    network = made(KINDS[1], IMAGE)
    codes = (1, 2, 0, 3, 1)
    ranks = torch.tensor(np.argsort(free) / 2)[None]
    trained = -float(network(torch.tensor([codes]), ranks))
    order = (*free, 2, 3, 4)
    assert log_shares(network, order, codes) == pytest.approx(trained, abs=1e-4)


def test_a_chain_that_takes_rows_takes_what_they_are_told_as_well() -> None:
    network = made(KINDS[1], IMAGE)
    cells = condition_cells(network, {1: np.ones(3), 0: np.array([1.0, 1.0])})
    weights = {1: np.ones(3), 0: np.ones(2), 2: np.ones(4)}
    joint = condition_cells(network, weights)
    for codes, share in zip(joint.codes.tolist(), joint.shares.tolist(), strict=True):
        chain = _begin(network, rows=1, steps=3)
        chain.put(1, torch.tensor([codes[0]]))
        chain.put(0, torch.tensor([codes[1]]))
        before = cells.shares[cells.codes.tolist().index(codes[:2])]
        expected = before * float(chain.shares(2)[0, codes[2]])
        assert share == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_masked_mlps_chain_is_what_it_is_trained_by(order: tuple[int, ...]) -> None:
    network = made(KINDS[0], TABLE)
    assert isinstance(network, MaskedMlpNetwork)
    codes, expected = torch.tensor([[1, 2, 0]]), 0.0
    for i, position in enumerate(order):
        given = torch.zeros(1, 3, dtype=torch.bool)
        given[0, list(order[:i])] = True
        expected -= float(network.wrong(codes, given)[0, position])
    assert log_shares(network, order) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_of_conditions_hold_their_joint_probability(kind: Architecture) -> None:
    network = made(kind, TABLE)
    weights = {2: np.array([0.5, 1.0]), 1: np.array([1.0, 0.0, 1.0])}
    cells = condition_cells(network, weights)
    assert cells.codes.tolist() == [[0, 0], [0, 2], [1, 0], [1, 2]]
    first = _begin(network, rows=1, steps=2)
    outer = first.shares(2)[0].numpy()
    first.take(torch.tensor([0, 0]))
    first.put(2, torch.tensor([0, 1]))
    inner = first.shares(1).numpy()
    expected = (outer * [0.5, 1.0])[:, None] * inner[:, [0, 2]]
    assert cells.shares == pytest.approx(expected.ravel(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_drawn_from_the_cells_and_then_from_the_network(kind: Architecture) -> None:
    network = made(kind, TABLE)
    cells = condition_cells(network, {2: np.array([0.0, 1.0]), 1: np.array([1.0, 0.0, 1.0])})
    words = SeededWords(seed=1, purpose="test")
    rows = draw_examples(network, rows=40_000, cells=cells, words=words)
    joint = np.zeros((2, 3, 2))
    np.add.at(joint, tuple(rows.T), 1 / len(rows))
    chain = _begin(network, rows=2, steps=3)
    chain.put(2, torch.tensor([1, 1]))
    chain.put(1, torch.tensor([0, 2]))
    last = chain.shares(0).numpy()
    expected = np.zeros((2, 3, 2))
    expected[:, [0, 2], 1] = (cells.shares / cells.shares.sum() * last.T).reshape(2, 2)
    assert np.abs(joint - expected).max() < 0.01
    assert not joint[expected == 0].any()


def test_a_text_ends_once_and_the_next_one_begins_anew() -> None:
    network = made(KINDS[1], TEXT)
    assert isinstance(network, TransformerNetwork)
    with torch.no_grad():
        for head in network.heads[1:]:
            head.bias[END] += 4
    everything = Cells(positions=(), codes=np.zeros((1, 0), dtype=np.int64), shares=np.ones(1))
    rows = draw_examples(
        network, rows=300, cells=everything, words=SeededWords(seed=1, purpose="test")
    )
    part = draw_examples(
        network, rows=300, cells=everything, words=SeededWords(seed=1, purpose="test"), whole=False
    )
    assert set(part[:, 0].tolist()) == {0, 1}
    assert not part[:, 1:].any()
    for first, stop in TEXT.texts:
        ended = rows[:, first:stop] == END
        assert (np.diff(ended.astype(int), axis=1) >= 0).all()
        assert 0 < ended[:, 0].mean() < 1


def test_a_draw_is_repeatable_and_of_any_length() -> None:
    network = made(KINDS[0], TABLE)
    cells = condition_cells(network, {})
    one, two = (
        draw_examples(network, rows=9_000, cells=cells, words=SeededWords(seed=3, purpose="test"))
        for _ in range(2)
    )
    assert np.array_equal(one, two)
    none = draw_examples(network, rows=0, cells=cells, words=SeededWords(seed=3, purpose="test"))
    assert none.shape == (0, 3)
