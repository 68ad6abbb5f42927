"""Random features of images: each frequency looks at all pixels of an image at once.

A frequency turns by a public angle for each level of each pixel; the cosine and the sine of the
whole turn are two integers, summed by class of the label as in
:mod:`~silosynth.common.generator.features` (Harder, Adamczewski and Park 2021, DP-MERF).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator.features import FeatureSettings, quantise
from silosynth.common.generator.pieces import classes_of, in_pieces
from silosynth.common.schema import Schema
from silosynth.common.seeded import SeededWords

TURN = 1 << 16
"""The integer that stands for a whole turn."""

_PITCHES = (0.2, 0.4, 0.8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageMap:
    """The features of rows over working codes of ``domain``; ``label`` is a column, or None.

    ``pixels[i]`` are the columns of the i-th image; ``turns[i][p]`` is (codes, frequencies) int64
    for its pixel ``p``, in 65,536ths of a turn.
    """

    domain: Domain
    label: int | None
    pixels: tuple[tuple[int, ...], ...]
    turns: tuple[tuple[np.ndarray, ...], ...]

    @property
    def frequencies(self) -> int:
        """Return how many frequencies there are."""
        return sum(int(turns[0].shape[1]) for turns in self.turns)

    @property
    def classes(self) -> int:
        """Return the number of classes; one without a label."""
        return 1 if self.label is None else self.domain.shape[self.label]

    @property
    def inputs(self) -> tuple[int, ...]:
        """Return the columns beside the label."""
        return tuple(i for i in range(len(self.domain.shape)) if i != self.label)


def image_map(settings: FeatureSettings, *, schema: Schema, grouping: Grouping) -> ImageMap:
    """Work the features out of the public seed; silos and coordinator get the same.

    The angle of a level is linear in it. Raises InvalidPlan unless the schema has images.
    """
    if not schema.images:
        raise InvalidPlan(f"schema {schema.name!r} has no images to take features of")
    domain = grouping.domain(schema.domain)
    share, rest = divmod(settings.frequencies, len(schema.images))
    if not share:
        raise InvalidPlan("there are more images than frequencies", hint="raise the frequencies")
    turns = []
    for number, image in enumerate(schema.images):
        count = share + (number < rest)
        words = SeededWords(seed=settings.seed, purpose="image-features", index=number)
        scale = np.asarray(_PITCHES)[words.below(len(_PITCHES), count)]
        turns.append(
            tuple(
                _turns(schema, name=name, grouping=grouping, slope=scale * words.normal(count))
                for name in image.attributes
            )
        )
    return ImageMap(
        domain=domain,
        label=None if settings.label is None else domain.index(settings.label),
        pixels=tuple(tuple(domain.index(a) for a in i.attributes) for i in schema.images),
        turns=tuple(turns),
    )


def sum_image_features(features: ImageMap, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return (classes * frequencies * 2,) int64, the sum of the rows' vectors.

    Guarantees: angles are added in integers, so that the vector of a row is the same whatever rows
    stand beside it; adding or removing one row adds or takes away its vector, in the block of its
    class, whose L2 norm is at most
    :attr:`~silosynth.common.generator.features.FeatureSettings.bound`. Sums
    of at most 2^53 rows do not overflow.

    Args: columns: (rows,) working codes of each attribute of the domain.
    """
    waves = quantise(np.arange(TURN) * (2 * math.pi / TURN))
    total = np.zeros((features.classes, features.frequencies, 2), dtype=np.int64)
    for part in in_pieces(columns, width=features.frequencies):
        angles, classes = _angles(features, part), classes_of(part, features.label)
        for c in np.unique(classes).tolist():
            total[c] += waves[angles[classes == c]].sum(axis=0)
    return total.ravel()


def _angles(features: ImageMap, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return (rows, frequencies) int64, the angle of each row in [0, TURN)."""
    parts = []
    for pixels, turns in zip(features.pixels, features.turns, strict=True):
        angles = np.zeros((len(columns[0]), turns[0].shape[1]), dtype=np.int64)
        for column, turn in zip(pixels, turns, strict=True):
            angles += turn[columns[column]]
        parts.append(angles)
    return np.concatenate(parts, axis=1) % TURN


def _turns(schema: Schema, *, name: str, grouping: Grouping, slope: np.ndarray) -> np.ndarray:
    """Return (working codes, frequencies) int64: the angle of each level of one pixel."""
    size = schema.domain.size((name,))
    groups = grouping.lookup(name, size)
    members = np.bincount(groups)
    places = np.bincount(groups, weights=np.arange(size) / max(size - 1, 1)) / members
    turns: np.ndarray = np.rint(places[:, None] * slope * (TURN / (2 * math.pi))).astype(np.int64)
    return turns
