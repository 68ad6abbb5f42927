"""Adapters of a pretrained network: each row's gradient is its own, and clipped as one whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from silosynth.client.learning.gradient import Gradients
from silosynth.client.noise import SystemBits
from silosynth.common.codec import Codec, layout_of, to_examples
from silosynth.common.generator import (
    MaskedMlp,
    Pretrained,
    PretrainedNetwork,
    digest_checkpoint,
    initial_vector,
    load_pretrained,
    open_checkpoint,
    usual_layers,
)
from silosynth.common.plan import BOUND, LARGEST_WEIGHT, gradient_unit
from silosynth.common.schema import parse_schema
from tests.support.tiny_checkpoint import make_checkpoint

BITS = SystemBits()
SCHEMA = parse_schema(
    {
        "name": "notes",
        "label": "kind",
        "attributes": [
            {"name": "kind", "kind": "categorical", "categories": ["ham", "spam"]}
            | {"source": "public"},
            {"name": "note", "kind": "text", "max_bytes": 20},
        ],
    }
)
LAYOUT = layout_of(SCHEMA)


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint"), kind=request.param)


def _architecture(folder: Path) -> Pretrained:
    digest = digest_checkpoint(folder)
    return Pretrained(
        checkpoint=digest,
        layers=usual_layers(open_checkpoint(folder, digest)),
        rank=2,
        tokens=20,
        table=MaskedMlp(width=4, layers=1, views=2),
    )


def _gradients(folder: Path, *, clip: float, scale: float = 1.0) -> Gradients:
    architecture = _architecture(folder)
    network = PretrainedNetwork(
        architecture, SCHEMA, open_checkpoint(folder, architecture.checkpoint)
    )
    found = Gradients(architecture, LAYOUT, clip=clip, pretrained=network)
    found.load((_weights(architecture) * scale).astype(np.float32))
    return found


def _weights(architecture: Pretrained) -> np.ndarray:
    """Return weights at which both matrices of every adapter have a gradient."""
    random = np.random.default_rng(1)
    first = initial_vector(architecture, LAYOUT, seed=1)
    return (first + random.normal(0, 0.1, len(first))).astype(np.float32)


def _rows(count: int) -> np.ndarray:
    random = np.random.default_rng(2)
    letters = np.array(list("abcdefgh wins£"))
    texts = ["".join(random.choice(letters, random.integers(0, 24))) for _ in range(count)]
    table = pa.table({"kind": random.choice(["ham", "spam", "eggs"], count), "note": texts})
    codec = Codec(SCHEMA)
    return to_examples(codec.encode(table).codes, codec.encode_texts(table)[0], schema=SCHEMA)


def _same_masks(count: int) -> np.ndarray:
    return np.full(count, 0x6FFFFFFF_6FFFFFFF, dtype=np.uint64)


def test_gradients_are_those_of_autograd_row_by_row(folder: Path) -> None:
    clip = 1e3
    gradients, rows = _gradients(folder, clip=clip), _rows(12)
    architecture = _architecture(folder)
    network = load_pretrained(architecture, SCHEMA, folder, _weights(architecture))
    network.requires_grad_(True)
    parameters = list(network.parameters())
    uniform = torch.full((1, network.draws), float(0x6FFFFF * 2.0**-24), dtype=torch.float32)
    unit = gradient_unit(clip=clip, parameters=sum(p.numel() for p in parameters))
    for row in rows:
        total, lost = gradients.sum(row[None], words=_same_masks)
        assert lost == 0
        loss = network(torch.from_numpy(network.prepare(row[None])), uniform).sum()
        found = torch.autograd.grad(loss, parameters)
        exact = torch.cat([g.ravel() for g in found]).numpy()
        assert np.linalg.norm(exact) < clip
        assert np.count_nonzero(exact) > 0.9 * len(exact)
        assert np.abs(total * unit - exact).max() <= unit * 0.51 + 1e-3 * np.abs(exact).max()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, float(LARGEST_WEIGHT) / 2])
def test_one_row_stays_within_the_bound_whatever_the_weights_are(
    folder: Path, scale: float
) -> None:
    gradients = _gradients(folder, clip=0.5, scale=scale)
    for row in _rows(5):
        total, _ = gradients.sum(row[None], words=BITS.words)
        assert sum(int(v) ** 2 for v in total) <= BOUND**2


@pytest.mark.parametrize("scale", [5e-324, 1e-30, 1.0, 1000.0])
def test_one_row_stays_within_the_bound_whatever_the_adapters_are_multiplied_by(
    folder: Path, scale: float
) -> None:
    architecture = _architecture(folder).model_copy(update={"scale": scale})
    checkpoint = open_checkpoint(folder, architecture.checkpoint)
    network = PretrainedNetwork(architecture, SCHEMA, checkpoint)
    for clip in (1e-6, 1.0):
        gradients = Gradients(architecture, LAYOUT, clip=clip, pretrained=network)
        for weights in (1e-40, 1.0, float(LARGEST_WEIGHT) / 2):
            gradients.load((_weights(architecture) * weights).astype(np.float32))
            total, _ = gradients.sum(_rows(1), words=BITS.words)
            assert sum(int(v) ** 2 for v in total) <= BOUND**2


def test_a_long_gradient_is_cut_to_the_clip_as_one_whole(folder: Path) -> None:
    total, _ = _gradients(folder, clip=1e-3).sum(_rows(1), words=_same_masks)
    norm = np.sqrt(sum(int(v) ** 2 for v in total))
    assert 0.97 * BOUND < norm <= BOUND


def test_a_rows_integers_do_not_depend_on_its_company(folder: Path) -> None:
    gradients, rows = _gradients(folder, clip=0.5), _rows(45)
    alone = sum(gradients.sum(row[None], words=_same_masks)[0] for row in rows)
    together, _ = gradients.sum(rows, words=_same_masks)
    parts = np.split(rows, (1, 3, 10, 27))
    some = sum(gradients.sum(part, words=_same_masks)[0] for part in parts)
    assert np.array_equal(alone, together)
    assert np.array_equal(some, together)


def test_every_microbatch_has_one_shape(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no product rounds in another order because of who else is there."""
    gradients, shapes = _gradients(folder, clip=0.5), set[tuple[int, ...]]()
    found = gradients._gradient

    def seen(parameters: object, codes: torch.Tensor, uniform: torch.Tensor) -> object:
        shapes.add((*codes.shape, *uniform.shape))
        return found(parameters, codes, uniform)

    monkeypatch.setattr(gradients, "_gradient", seen)
    for rows in (1, 3, 16, 21):
        gradients.sum(_rows(rows), words=BITS.words)
    assert len(shapes) == 1


def test_the_checkpoint_gets_no_gradient_and_does_not_move(folder: Path) -> None:
    digest = digest_checkpoint(folder)
    model = open_checkpoint(folder, digest).model
    before = {n: p.clone() for n, p in model.named_parameters()}
    gradients = _gradients(folder, clip=1.0, scale=50.0)
    total, _ = gradients.sum(_rows(4), words=BITS.words)
    assert len(total) == _architecture(folder).parameters(LAYOUT)
    assert all(torch.equal(before[n], p) for n, p in model.named_parameters())
    assert not any(p.requires_grad for p in model.parameters())
