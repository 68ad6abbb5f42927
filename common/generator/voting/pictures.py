"""Pictures that rows vote for: lines of two hexadecimal digits a pixel, and which is near.

A picture stands row by row from the top left, ``00`` the lowest and ``ff`` the highest of a pixel.
It is nearest to the candidate whose greys, each added to its eight neighbours, go up and down with
its own: the cosine of what differs from the mean. All of it is sums of whole numbers below 2^53, so
that no order of adding up changes a bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from silosynth.common.codec import modelled_texts
from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator.pieces import classes_of, in_pieces
from silosynth.common.generator.voting.nearest import UNIT_BITS, alike, nearest_to, to_units
from silosynth.common.schema import Schema

DIGITS: Final = 2
"""Of a pixel, in a line."""

WHITE: Final = 255

GREYS: Final = digest_of(
    canonical_json(
        {
            "embedding": "silosynth greys",
            "version": 1,
            "levels": WHITE,
            "sums": "3 x 3, edges repeated",
            "less": "the mean",
            "unit": UNIT_BITS,
        }
    )
)
"""The digest of this embedding: of all that its numbers follow from."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pictures:
    """The pictures of rows over a schema's codes: ``pixels`` and ``label`` are columns.

    ``levels[i]`` is how many codes a pixel has, from black to white in equal steps.
    """

    label: int
    classes: int
    pixels: tuple[int, ...]
    levels: tuple[int, ...]
    width: int

    def greys(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Return (rows, pixels) int64 from 0 to WHITE, the nearest to each code's place."""
        codes = np.stack([columns[i].astype(np.int64) for i in self.pixels], axis=1)
        steps = np.maximum(np.array(self.levels) - 1, 1)
        greys: np.ndarray = (2 * WHITE * codes + steps) // (2 * steps)
        return greys

    def codes(self, candidates: Sequence[str]) -> np.ndarray:
        """Return (candidates, pixels) int64, the code whose place is nearest to each grey."""
        steps = np.array(self.levels) - 1
        codes: np.ndarray = (2 * read_pictures(candidates) * steps + WHITE) // (2 * WHITE)
        return codes


def pictures_of(schema: Schema, *, label: str) -> Pictures:
    """Return how the rows of a schema are pictures.

    Raises InvalidPlan unless there is one image and one label beside it, which is no number, and
    for pixels of more codes than a candidate has greys: a sampler has a table of each pixel's.
    """
    domain = schema.domain
    names = [name for image in schema.images for name in image.attributes]
    numbers = {attribute.name for attribute in schema.numbers}
    beside = [name for name in domain.attributes if name not in names]
    if len(schema.images) != 1 or beside != [label] or label in numbers or modelled_texts(schema):
        raise InvalidPlan(
            "votes for pictures are by the classes of one label that is no number, for one image; "
            f"schema {schema.name!r} has {len(schema.images)} images and {len(beside)} attributes "
            "beside their pixels",
            hint="leave the others out of the schema, or use the method central or one-shot",
        )
    levels = tuple(domain.size((name,)) for name in names)
    if max(levels) > WHITE + 1:
        raise InvalidPlan(
            f"a pixel of schema {schema.name!r} has {max(levels)} codes, and a candidate at most "
            f"{WHITE + 1} greys",
            hint="give the pixels fewer bins, or use the method central or one-shot",
        )
    return Pictures(
        label=domain.index(label),
        classes=domain.size((label,)),
        pixels=tuple(map(domain.index, names)),
        levels=levels,
        width=schema.images[0].width,
    )


def sum_votes(
    pictures: Pictures, columns: Sequence[np.ndarray], *, candidates: Sequence[str]
) -> np.ndarray:
    """Return (candidates * classes,) int64: the rows of each class that are nearest to each.

    Guarantees: adding or removing one row changes one number by one, or none: a picture of one grey
    votes for none. What a row votes for depends on that row alone.

    Args: columns: (rows,) codes of each attribute of the domain.
    """
    total = np.zeros(len(candidates) * pictures.classes, dtype=np.int64)
    units = to_units(_shapes(read_pictures(candidates), width=pictures.width))
    for part in in_pieces(columns, width=max(len(pictures.pixels), len(candidates))):
        nearest = nearest_to(_shapes(pictures.greys(part), width=pictures.width), units)
        cells = nearest * pictures.classes + classes_of(part, pictures.label)
        total += np.bincount(cells[nearest >= 0], minlength=len(total)).astype(np.int64)
    return total


def alike_pictures(candidates: Sequence[str], *, width: int) -> np.ndarray:
    """Return (candidates, candidates) float64 in [0, 1]: how much each two go up and down alike."""
    return alike(to_units(_shapes(read_pictures(candidates), width=width)))


def read_pictures(candidates: Sequence[str]) -> np.ndarray:
    """Return (candidates, pixels) int64 greys of lines that are pictures."""
    data = b"".join(map(bytes.fromhex, candidates))
    return np.frombuffer(data, dtype=np.uint8).reshape(len(candidates), -1).astype(np.int64)


def _shapes(greys: np.ndarray, *, width: int) -> np.ndarray:
    """Return (rows, pixels) int64: each pixel with its neighbours, times pixels, less all of them.

    Below 2^23 for up to 2^11 pixels, so a product with a line of length 2^20 is below 2^49.
    """
    rows, pixels = greys.shape
    framed = np.pad(greys.reshape(rows, -1, width), ((0, 0), (1, 1), (1, 1)), mode="edge")
    down = framed[:, :-2] + framed[:, 1:-1] + framed[:, 2:]
    near = (down[:, :, :-2] + down[:, :, 1:-1] + down[:, :, 2:]).reshape(rows, pixels)
    shapes: np.ndarray = near * pixels - near.sum(axis=1, keepdims=True)
    return shapes
