"""A generator of real digits, from noised sums alone: what it draws can be told apart."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from silosynth.common.domain import Grouping
from silosynth.common.generator import FeatureSettings, image_map, sum_image_features
from silosynth.common.measurement import Measurement
from silosynth.common.sampler.network import softmax_parts
from silosynth.common.schema import parse_schema
from silosynth.server.generator import train_generator
from silosynth.server.generator.train import Training

PIXELS = [f"p{i}" for i in range(64)]
EACH = 60
NOISE = 2.0
"""In one row's norm: epsilon 2.4 at delta 1e-6 by this release alone."""


def test_a_classifier_learns_real_digits_from_drawn_ones() -> None:
    found = load_digits()
    label = {"name": "digit", "kind": "categorical", "categories": list(range(10)), "other": False}
    pixels = [{"name": n, "kind": "integer", "minimum": 0, "maximum": 16} for n in PIXELS]
    schema = parse_schema(
        {
            "name": "digits",
            "label": "digit",
            "attributes": [*pixels, label],
            "images": [{"name": "scan", "width": 8, "height": 8, "attributes": PIXELS}],
        }
    )
    settings = FeatureSettings(frequencies=128, label="digit", images=True)
    features = image_map(settings, schema=schema, grouping=Grouping())
    columns = [*found.data.astype(np.uint8).T, found.target.astype(np.uint8)]
    sums, rng = sum_image_features(features, columns), np.random.default_rng(0)
    deviation = NOISE * settings.bound
    released = Measurement(
        clique=schema.domain.attributes,
        values=sums + rng.normal(0, deviation, len(sums)),
        variance=np.full(len(sums), deviation**2),
    )
    one_way = {
        name: Measurement(
            clique=(name,),
            values=np.bincount(column, minlength=size) + rng.normal(0, 30, size),
            variance=np.full(size, 900.0),
        )
        for name, column, size in zip(
            schema.domain.attributes, columns, schema.domain.shape, strict=True
        )
    }
    how = Training(hidden=64, components=8, steps=80, rate=1e-2)
    trained = train_generator(released, one_way, features=features, seed=1, training=how)
    parts = softmax_parts(trained.network.components(), sizes=[17] * 64)
    digit = np.repeat(np.arange(10), EACH)
    component = digit * 8 + rng.integers(0, 8, len(digit))
    uniform = rng.random((64, len(digit), 1))
    drawn = [(p[component].cumsum(1) < u).sum(1) for p, u in zip(parts, uniform, strict=True)]
    model = LogisticRegression(max_iter=200).fit(np.stack(drawn, axis=1) / 16, digit)
    assert model.score(found.data / 16, found.target) > 0.75
