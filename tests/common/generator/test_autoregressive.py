"""Networks of generators: sizes, weights, and probabilities that are probabilities."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from silosynth.common.codec import END, Layout
from silosynth.common.errors import CapExceeded, InvalidArgument, InvalidPlan
from silosynth.common.generator import (
    Architecture,
    MaskedMlp,
    Transformer,
    build_network,
    initial_vector,
    load_vector,
)
from silosynth.common.generator.architecture import text_biases
from silosynth.common.generator.networks import losses, read_vector, tensors_of

TABLE = Layout(attributes=("a", "b", "c"), sizes=(2, 3, 2), vocabularies=(0, 1, 2), free=3)
TEXT = Layout(
    attributes=("a",),
    sizes=(2, *[END + 1] * 5),
    vocabularies=(0, *[1] * 5),
    free=1,
    texts=((1, 6),),
)
IMAGE = Layout(
    attributes=("a", "b", "p", "q"), sizes=(2, 3, 4, 4), vocabularies=(0, 1, 2, 2), free=2
)
SMALL: tuple[Architecture, ...] = (
    MaskedMlp(width=8, layers=2, views=3),
    Transformer(width=8, layers=2, heads=2),
)


def made(architecture: Architecture, layout: Layout, seed: int = 1) -> torch.nn.Module:
    network = build_network(architecture, layout)
    vector = initial_vector(architecture, layout, seed=seed)
    load_vector(
        network, vector + np.random.default_rng(seed).normal(size=vector.shape).astype("f4")
    )
    return network


@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("layout", [TABLE, TEXT, IMAGE])
def test_the_architecture_knows_every_parameter(architecture: Architecture, layout: Layout) -> None:
    if isinstance(architecture, MaskedMlp) and layout.texts:
        with pytest.raises(InvalidPlan, match="cannot learn texts"):
            architecture.parameters(layout)
        return
    network = build_network(architecture, layout)
    expected = [(t.name, t.shape) for t in architecture.tensors(layout)]
    assert [(t.name, t.shape) for t in tensors_of(network)] == expected
    assert architecture.parameters(layout) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("architecture", SMALL)
def test_weights_go_in_and_out_unchanged(architecture: Architecture) -> None:
    network = build_network(architecture, TABLE)
    vector = initial_vector(architecture, TABLE, seed=5)
    load_vector(network, vector)
    assert np.array_equal(read_vector(network), vector)
    assert np.array_equal(vector, initial_vector(architecture, TABLE, seed=5))
    assert not np.array_equal(vector, initial_vector(architecture, TABLE, seed=6))
    for wrong in (vector[:-1], vector.astype(np.float64), np.full_like(vector, np.nan)):
        with pytest.raises(InvalidArgument):
            load_vector(network, wrong)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_a_transformer_gives_probabilities_that_add_up_to_one(order: tuple[int, ...]) -> None:
    network = made(SMALL[1], TABLE)
    cells = torch.tensor(list(product(range(2), range(3), range(2))))
    ranks = torch.tensor(order, dtype=torch.float32).expand(len(cells), -1) / 3
    with torch.no_grad():
        total = float(torch.exp(-network(cells, ranks)).sum())
    assert total == pytest.approx(1, abs=1e-5)


def test_images_have_probabilities_that_add_up_to_one() -> None:
    network = made(SMALL[1], IMAGE)
    cells = torch.tensor(list(product(range(2), range(3), range(4), range(4))))
    ranks = torch.tensor([0.5, 0.0]).expand(len(cells), -1)
    with torch.no_grad():
        total = float(torch.exp(-network(cells, ranks)).sum())
    assert total == pytest.approx(1, abs=1e-5)


def test_pixels_are_told_of_every_attribute_without_attention_and_attributes_are_not() -> None:
    network = made(SMALL[1], IMAGE)
    order = torch.arange(4).expand(2, -1)
    with torch.no_grad():
        for layer in network.layers:
            layer.out.weight.zero_()
        for position in (0, 1):
            codes = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]])
            codes[1, position] = 1
            values = network.hidden(codes, order)
            differs = (values[0] - values[1]).abs().amax(-1) > 1e-3
            assert differs[2:].tolist() == [True, True]
            assert differs[:2].tolist() == [False, position == 0]


def test_a_masked_mlp_predicts_every_code_from_those_it_sees_alone() -> None:
    network = made(SMALL[0], TABLE)
    given = torch.tensor([[True, False, False]])
    with torch.no_grad():
        rows = torch.tensor([[1, b, c] for b in range(3) for c in range(2)])
        wrong = network.wrong(rows, given.expand(6, -1))
    assert float(torch.exp(-wrong[::2, 1]).sum()) == pytest.approx(1, abs=1e-5)
    assert float(torch.exp(-wrong[:2, 2]).sum()) == pytest.approx(1, abs=1e-5)


def test_a_masked_mlp_tells_pixels_of_one_image_apart() -> None:
    network = made(SMALL[0], IMAGE)
    given = torch.tensor([[True, True, True, True]])
    codes = torch.tensor([[1, 1, 0, 3], [1, 1, 3, 0]])
    with torch.no_grad():
        first, second = network.hidden(codes, given.expand(2, -1))
    assert float((first - second).abs().max()) > 1e-3


def test_the_loss_of_a_masked_mlp_averages_what_each_view_misses() -> None:
    network = made(SMALL[0], TABLE)
    codes, uniform = torch.tensor([[1, 2, 0]]), torch.rand(1, network.draws)
    views = uniform.reshape(1, 3, 4)
    expected = 0.0
    for i in range(3):
        seen = math.floor((float(views[0, i, 0]) + i) / 3 * 3)
        given = torch.zeros(1, 3, dtype=torch.bool)
        given[0, views[0, i, 1:].argsort()[:seen]] = True
        wrong = network.wrong(codes, given)[0].detach()
        expected += float((wrong * ~given[0]).sum()) * 3 / (3 - seen) / 3
    assert float(network(codes, uniform).detach()) == pytest.approx(expected, rel=1e-5)


def test_padding_does_not_count_and_the_end_does() -> None:
    network = made(SMALL[1], TEXT)
    codes = torch.tensor([[1, 104, 105, END, END, END], [1, 104, 105, END, 7, 9]])
    with torch.no_grad():
        first, second = network(codes, torch.zeros(2, 1)).tolist()
        assert first == pytest.approx(second, rel=1e-6)
        order = torch.arange(6).expand(2, -1)
        wrong = network.wrong(network.hidden(codes, order), codes)
    assert first == pytest.approx(float(wrong[0, :4].sum()), rel=1e-5)


@pytest.mark.parametrize("architecture", SMALL)
def test_gradients_of_single_examples_are_those_of_each_alone(architecture: Architecture) -> None:
    network = made(architecture, TABLE)
    codes = torch.tensor([[0, 1, 1], [1, 2, 0]])
    uniform = torch.rand(2, network.draws)
    weights = dict(network.named_parameters())

    def loss(weights: dict[str, torch.Tensor], code: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(network, weights, (code[None], u[None]))[0]

    together = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weights, codes, uniform)
    for i in range(2):
        network.zero_grad()
        network(codes[i : i + 1], uniform[i : i + 1]).sum().backward()
        for name, parameter in network.named_parameters():
            assert torch.allclose(together[name][i], parameter.grad, atol=1e-4), name


def test_a_text_begins_as_likely_characters_of_no_text_in_particular() -> None:
    shares = np.exp(text_biases())
    assert shares.sum() == pytest.approx(1)
    assert shares[ord("e")] > shares[ord("E")] > shares[0] > 0
    vector = initial_vector(SMALL[1], TEXT, seed=1)
    assert np.allclose(vector[-len(shares) :], np.log(shares))


def test_losses_draw_their_own_orders_from_a_generator() -> None:
    network = made(SMALL[1], TABLE)
    codes = torch.tensor([[0, 1, 1]] * 4)
    with torch.no_grad():
        one, two = (
            losses(network, codes, generator=torch.Generator().manual_seed(3)) for _ in "ab"
        )
    assert torch.equal(one, two)
    assert one.shape == (4,)


def test_too_large_a_network_is_refused_before_anything_is_allocated() -> None:
    wide = Layout(attributes=("a", "b"), sizes=(60_000, 60_000), vocabularies=(0, 1), free=2)
    for architecture in (MaskedMlp(width=2048), Transformer(width=1024)):
        for verb in (
            lambda a: a.parameters(wide),
            lambda a: build_network(a, wide),
            lambda a: initial_vector(a, wide, seed=1),
        ):
            with pytest.raises(CapExceeded, match="parameters"):
                verb(architecture)


def test_attention_over_too_long_a_text_is_refused_before_anything_is_allocated() -> None:
    long = Layout(
        attributes=(),
        sizes=(END + 1,) * 4096,
        vocabularies=(0,) * 4096,
        free=0,
        texts=((0, 4096),),
    )
    assert Transformer(width=8, layers=2, heads=4).parameters(long) > 0
    with pytest.raises(CapExceeded, match="attention over 4096 positions"):
        Transformer(width=8, layers=2, heads=8).parameters(long)
