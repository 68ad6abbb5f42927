"""A generator learns from released features what the rows were."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from silosynth.client.counting.count import count_marginals
from silosynth.common.domain import Grouping
from silosynth.common.errors import RunFailed
from silosynth.common.generator import (
    FeatureMap,
    FeatureSettings,
    feature_map,
    image_map,
    sum_features,
    sum_image_features,
)
from silosynth.common.measurement import MarginalQuery, Measurement
from silosynth.common.sampler.network import softmax_parts
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.generator import class_shares, train_generator
from silosynth.server.generator.train import Trained, Training
from silosynth.server.methods import require_generators
from silosynth.server.methods import table as methods_table
from silosynth.server.planning import new_plan
from tests.support.patience import patience

ROWS = 20_000
QUICK = Training(hidden=32, latent=8, components=128, steps=600, rate=1e-2)


def made_schema(label: str | None) -> Schema:
    return parse_schema(
        {
            "name": "made",
            "label": label,
            "attributes": [
                {"name": "a", "kind": "categorical", "categories": ["p", "q", "r"], "other": False},
                {"name": "b", "kind": "categorical", "categories": ["x", "y"], "other": False},
                {"name": "c", "kind": "boolean"},
            ],
        }
    )


def made_columns() -> tuple[np.ndarray, ...]:
    """Return rows whose three attributes hang together, two by two."""
    rng = np.random.default_rng(0)
    a = rng.choice(3, ROWS, p=[0.5, 0.3, 0.2])
    b = (rng.random(ROWS) < np.array([0.9, 0.5, 0.1])[a]).astype(int)
    c = (rng.random(ROWS) < np.array([0.2, 0.85])[b]).astype(int)
    return tuple(x.astype(np.uint8) for x in (a, b, c))


def train(label: str | None, *, order: int = 2, noise: float = 30.0) -> tuple[FeatureMap, Trained]:
    schema = made_schema(label)
    asked = FeatureSettings(frequencies=64, label=label, order=order)
    features = feature_map(asked, schema=schema, grouping=Grouping())
    columns = made_columns()
    queries = [MarginalQuery(clique=c) for c in features.cliques()]
    levels = {"fine": Grouping()}
    sums = sum_features(
        features, count_marginals(columns, domain=schema.domain, queries=queries, levels=levels)
    )
    rng = np.random.default_rng(1)
    deviation = 256 * noise
    released = Measurement(
        clique=schema.domain.attributes,
        values=sums + rng.normal(0, deviation, len(sums)),
        variance=np.full(len(sums), deviation**2),
    )
    counts = [
        np.bincount(c, minlength=s) for c, s in zip(columns, schema.domain.shape, strict=True)
    ]
    one_way = {
        name: Measurement(clique=(name,), values=n * 1.0, variance=np.full(len(n), 25.0))
        for name, n in zip(schema.domain.attributes, counts, strict=True)
    }
    return features, train_generator(released, one_way, features=features, seed=1, training=QUICK)


def joint_of(features: FeatureMap, trained: Trained) -> np.ndarray:
    """Return the generator's joint over the three attributes."""
    sizes = [features.domain.shape[i] for i in features.inputs]
    parts = softmax_parts(trained.network.components(), sizes=sizes)
    if features.label is None:
        return np.einsum("ni,nj,nk->ijk", *parts) / len(parts[0])
    shares = np.bincount(made_columns()[features.label], minlength=2) / ROWS
    left, right = (p.reshape(2, -1, p.shape[1]) for p in parts)
    joint: np.ndarray = np.einsum("l,lni,lnj->ijl", shares, left, right) / left.shape[1]
    return joint


@pytest.mark.parametrize("label", ["c", None])
def test_it_learns_how_attributes_hang_together(label: str | None) -> None:
    found = joint_of(*train(label))
    columns = made_columns()
    real = np.zeros((3, 2, 2))
    np.add.at(real, columns, 1 / ROWS)
    independent = np.einsum("i,j,k->ijk", real.sum((1, 2)), real.sum((0, 2)), real.sum((0, 1)))
    for axis in range(3):
        distance = np.abs(found.sum(axis) - real.sum(axis)).sum() / 2
        assert distance < 0.02
    assert np.abs(independent - real).sum() / 2 > 0.2


def test_it_learns_what_pictures_look_like() -> None:
    """Four pixels that are all dark or all light, more often light in one class."""
    pixels = ["p0", "p1", "p2", "p3"]
    schema = parse_schema(
        {
            "name": "made",
            "label": "c",
            "attributes": [
                *({"name": n, "kind": "integer", "minimum": 0, "maximum": 2} for n in pixels),
                {"name": "c", "kind": "boolean"},
            ],
            "images": [{"name": "scan", "width": 2, "height": 2, "attributes": pixels}],
        }
    )
    rng = np.random.default_rng(0)
    c = (rng.random(ROWS) < 0.4).astype(np.uint8)
    light = (rng.random(ROWS) < np.array([0.2, 0.7])[c]).astype(np.uint8) * 2
    columns = [light] * 4 + [c]
    settings = FeatureSettings(frequencies=48, label="c", images=True)
    features = image_map(settings, schema=schema, grouping=Grouping())
    sums = sum_image_features(features, columns)
    deviation = 256.0 * 30
    released = Measurement(
        clique=schema.domain.attributes,
        values=sums + rng.normal(0, deviation, len(sums)),
        variance=np.full(len(sums), deviation**2),
    )
    one_way = {
        name: Measurement(
            clique=(name,), values=np.bincount(x, minlength=s) * 1.0, variance=np.full(s, 25.0)
        )
        for name, s, x in zip(schema.domain.attributes, schema.domain.shape, columns, strict=True)
    }
    how = Training(hidden=32, latent=8, components=16, steps=400, rate=1e-2)
    trained = train_generator(released, one_way, features=features, seed=1, training=how)
    parts = softmax_parts(trained.network.components(), sizes=[3] * 4)
    same = np.prod(parts, axis=0).reshape(2, 16, 3).mean(axis=1)
    assert np.abs(same - [[0.8, 0, 0.2], [0.3, 0, 0.7]]).max() < 0.1


def test_an_order_of_one_sees_the_label_alone() -> None:
    features, trained = train("c", order=1)
    found = joint_of(features, trained)
    real = np.zeros((3, 2, 2))
    np.add.at(real, made_columns(), 1 / ROWS)
    assert np.abs(found.sum(0) - real.sum(0)).sum() / 2 < 0.03


def test_the_loss_of_a_good_fit_is_about_the_noise() -> None:
    assert train("c")[1].loss < 2.0


def test_training_is_repeatable_and_leaves_the_threads_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, again = (train("c")[1].network.layers[-1].bias for _ in range(2))
        assert np.array_equal(first, again)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_label_without_positive_counts_has_even_shares() -> None:
    features = train("c")[0]
    nothing = Measurement(clique=("c",), values=np.array([-3.0, -1.0]), variance=np.ones(2))
    assert class_shares(features, {"c": nothing}).tolist() == [0.5, 0.5]


def test_without_pytorch_a_plan_is_refused_before_anything_is_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = made_schema("c")
    reviewed = [a.model_dump(mode="json") | {"source": "public"} for a in schema.attributes]
    schema = parse_schema(schema.model_dump(mode="json") | {"attributes": reviewed})
    plan = new_plan(schema, epsilon=1, delta=1e-6, silos=("s",), method="one-shot")
    require_generators(plan)
    monkeypatch.setattr(methods_table, "find_spec", lambda _name: None)
    with pytest.raises(RunFailed, match="needs PyTorch"):
        require_generators(plan)
    require_generators(new_plan(schema, epsilon=1, delta=1e-6, silos=("s",)))


WITHOUT_PYTORCH = (
    "client.relay.messages",
    "client.gateway.gateway",
    "common.cli.app",
    "common.sampler.stored.file",
    "server.coordinator.outcome",
)


def test_nothing_but_training_imports_pytorch() -> None:
    """One after the other in one interpreter: the first after which it is there brought it."""
    words = (
        "import importlib, sys\n"
        f"for name in {WITHOUT_PYTORCH}:\n"
        "    importlib.import_module(f'silosynth.{name}')\n"
        "    print(name, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", words],
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=True,
    )
    assert done.stdout.split() == [w for name in WITHOUT_PYTORCH for w in (name, "False")]
