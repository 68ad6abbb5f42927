"""Random features of images: a row adds at most the stated norm, whatever stands beside it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan, InvalidSchema
from silosynth.common.generator import (
    AMPLITUDE,
    TURN,
    FeatureSettings,
    ImageMap,
    feature_cells,
    image_map,
    pieces,
    sum_image_features,
)
from silosynth.common.generator.features import PAIR_BOUND2
from silosynth.common.schema import Schema, parse_schema

PIXELS = [f"p{i}" for i in range(6)]
GROUPING = Grouping(groups={"p1": (0, 0, 1, 2)})


def made_schema(label: str | None = "kind", **changes: object) -> Schema:
    return parse_schema(
        {
            "name": "pictures",
            "label": label,
            "attributes": [
                *({"name": n, "kind": "integer", "minimum": 0, "maximum": 3} for n in PIXELS),
                {"name": "kind", "kind": "categorical", "categories": list("xyz"), "other": False},
            ],
            "images": [{"name": "scan", "width": 3, "height": 2, "attributes": PIXELS} | changes],
        }
    )


def made_map(label: str | None = "kind") -> tuple[FeatureSettings, ImageMap]:
    settings = FeatureSettings(frequencies=9, label=label, images=True)
    return settings, image_map(settings, schema=made_schema(label), grouping=GROUPING)


def rows_of(features: ImageMap, rows: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.integers(0, size, rows).astype(np.uint8) for size in features.domain.shape]


@pytest.mark.parametrize("label", ["kind", None])
def test_the_sum_is_that_of_cosines_and_sines_by_class(label: str | None) -> None:
    settings, features = made_map(label)
    columns = rows_of(features, 50)
    expected = np.zeros((features.classes, 9, 2))
    for row in zip(*columns, strict=True):
        angle = sum(t[code] for t, code in zip(features.turns[0], row, strict=False))
        wave = np.stack((np.cos(angle * 2 * math.pi / TURN), np.sin(angle * 2 * math.pi / TURN)), 1)
        expected[row[6] if label else 0] += np.rint(AMPLITUDE * wave)
    found = sum_image_features(features, columns)
    assert np.array_equal(found, expected.ravel())
    assert len(found) == feature_cells(
        settings, clique=features.domain.attributes, domain=features.domain
    )


@pytest.mark.parametrize("label", ["kind", None])
def test_one_row_adds_its_own_vector_within_the_bound(
    label: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, features = made_map(label)
    columns = rows_of(features, 40)
    alone = sum_image_features(features, [c[:1] for c in columns])
    rest = sum_image_features(features, [c[1:] for c in columns])
    monkeypatch.setattr(pieces, "_MOST_AT_ONCE", 9 * 7)
    assert np.array_equal(sum_image_features(features, columns) - rest, alone)
    assert (alone**2).sum() <= settings.bound**2
    assert (alone.reshape(-1, 2) ** 2).sum(axis=1).max() <= PAIR_BOUND2
    assert np.count_nonzero((alone.reshape(features.classes, -1) ** 2).sum(axis=1)) == 1


def test_too_many_angles_are_refused_before_anything_is_allocated() -> None:
    domain = Domain(attributes=("a", "b"), shape=(4096, 3))
    settings = FeatureSettings(frequencies=16_384, label="b", images=True)
    with pytest.raises(CapExceeded, match="67108864 angles"):
        feature_cells(settings, clique=("a", "b"), domain=domain)
    few = FeatureSettings(frequencies=8_192, label="b", images=True)
    assert feature_cells(few, clique=("a", "b"), domain=domain) == 2 * 8_192 * 3


def test_angles_are_linear_in_the_level_and_merge_with_the_codes() -> None:
    turns = made_map()[1].turns[0]
    assert [len(t) for t in turns] == [4, 3, 4, 4, 4, 4]
    assert np.abs(turns[0] - np.outer([0, 1, 2, 3], turns[0][3]) / 3).max() <= 1
    again = made_map()[1].turns[0]
    assert all(np.array_equal(a, b) for a, b in zip(turns, again, strict=True))


def test_features_of_images_need_images_and_enough_frequencies() -> None:
    settings = FeatureSettings(frequencies=9, images=True)
    plain = made_schema().model_copy(update={"images": ()})
    with pytest.raises(InvalidPlan, match="no images"):
        image_map(settings, schema=plain, grouping=Grouping())
    three = made_schema().images * 2
    few = FeatureSettings(frequencies=1, images=True)
    with pytest.raises(InvalidPlan, match="more images"):
        image_map(few, schema=made_schema().model_copy(update={"images": three}), grouping=GROUPING)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 4}, "6 pixels are named; 4 x 2 makes 8"),
        ({"attributes": [*PIXELS[:5], "p0"]}, "two pixels"),
        ({"attributes": [*PIXELS[:5], "kind"]}, "must be an integer or ordinal"),
        ({"attributes": [*PIXELS[:5], "nose"]}, "'nose' must be"),
        ({"width": 0}, "images"),
    ],
)
def test_a_picture_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSchema, match=words):
        made_schema(**changes)


def test_a_label_is_no_pixel_and_older_schemas_keep_their_digest() -> None:
    with pytest.raises(InvalidSchema, match="is a pixel"):
        made_schema("p0")
    plain = made_schema().model_copy(update={"images": ()})
    assert plain.digest != made_schema().digest
    text = parse_schema({"name": "t", "attributes": [{"name": "n", "kind": "text"}]})
    assert text.digest == "sha256:" + DIGEST_BEFORE


DIGEST_BEFORE = "1b12b88b99112d46b50b61e481c3e016ec1c306cf242806aafb15db43f7af1ca"
