"""Central images: sums of whole pictures by class, then of what lies around them.

First each class's pixels are summed, each picture scaled to a length. The noised means are public,
and what is asked next is how pictures differ from that of their class: sums and second moments of
the difference, over blocks of pixels. A difference is shorter than a picture, and so is the noise
on it. Sums of whole pictures first are those of DP-FETA (Gong, Zhao, Li, Chen and Wang 2025);
asking about the difference is ours. All of it is whole numbers but for one scaling, after which
each row is measured again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from silosynth.common.domain import Clique, Domain
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.generator.pieces import classes_of, in_pieces
from silosynth.common.generator.projection import (
    LENGTH,
    MOST_COLUMNS,
    SCORE,
    add_moments,
    bounded_rows,
    longest,
    moments_bound,
    moments_cells,
)
from silosynth.common.schema import PlainModel, Schema

MOST_PIXELS = MOST_COLUMNS
MOST_CLASSES = 4096
"""A request names a picture of each, so a plan with more could not be gone through."""

CENTRE_BYTES = 5
"""Of a pixel of such a picture, a sign, three digits and a comma."""

MOST_RADIUS = 2**20
"""More than the longest difference of two pictures' pixels, summed by blocks."""

_ROOM = (3, 4)
"""Pictures whose squared length is above this part of the longest are scaled down."""


Grey = Annotated[int, Field(ge=-SCORE, le=SCORE)]
"""A pixel: whole SCORE-ths from black to white."""


class CentralSettings(PlainModel):
    """How pictures are looked at: ``pixels`` in all, in ``blocks`` of ``side`` to a side.

    ``label`` names the classes. Pixels and blocks follow from the schema, and a plan that states
    others is refused; they stand here so that a request can be measured by its plan alone.
    """

    pixels: int = Field(ge=1, le=MOST_PIXELS)
    side: int = Field(ge=1, le=64)
    blocks: int = Field(ge=1, le=MOST_PIXELS)
    label: str | None = None

    @property
    def bounds(self) -> dict[str, int]:
        """Return the L2 norm that a row adds to each phase's sum at most: a picture its length."""
        return {"central": LENGTH, "around": moments_bound()}

    @property
    def around(self) -> int:
        """Return how many numbers say how the pictures of one class differ from its centre."""
        return moments_cells(self.blocks)

    def classes(self, domain: Domain) -> int:
        """Return the number of classes; one without a label."""
        return 1 if self.label is None else domain.size((self.label,))

    def centre_bytes(self, domain: Domain) -> int:
        """Return the most bytes that a picture of each class takes in a request."""
        return self.classes(domain) * (CENTRE_BYTES * self.pixels + 3)


class CentralStep(PlainModel):
    """What a request names around which rows are looked at: each class's picture, and a radius.

    ``centres`` is (classes, pixels); differences longer than ``radius`` by blocks are scaled down.
    """

    centres: tuple[tuple[Grey, ...], ...] = Field(min_length=1, max_length=MOST_CLASSES)
    radius: int = Field(ge=1, le=MOST_RADIUS)

    def check(self, settings: CentralSettings, *, classes: int) -> None:
        """Raise InvalidPlan unless there is a whole picture of each class."""
        if len(self.centres) != classes:
            raise InvalidPlan(
                f"{len(self.centres)} central images for {classes} classes of the label"
            )
        for centre in self.centres:
            if len(centre) != settings.pixels:
                raise InvalidPlan(
                    f"a central image has {len(centre)} pixels; the plan has {settings.pixels}"
                )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CentralMap:
    """The pictures of rows over codes of ``domain``; ``label`` is a column, or None.

    ``pixels`` are columns, ``scores[i]`` (codes,) int64 what the codes of one stand for, and
    ``blocks`` (pixels, blocks) int64 of 0 and 1.
    """

    domain: Domain
    label: int | None
    pixels: tuple[int, ...]
    scores: tuple[np.ndarray, ...]
    blocks: np.ndarray

    @property
    def classes(self) -> int:
        """Return the number of classes; one without a label."""
        return 1 if self.label is None else self.domain.shape[self.label]

    @property
    def radius2(self) -> int:
        """Return the squared length from which on a picture is scaled down."""
        return max(_ROOM[0] * len(self.pixels) * SCORE**2 // _ROOM[1], 1)

    @property
    def scale(self) -> float:
        """Return how many whole numbers of a sum one of a score is, of pictures as they are."""
        return longest(len(self.pixels)) / math.sqrt(self.radius2)

    def around_scale(self, step: CentralStep) -> float:
        """Return how many whole numbers one of a difference is, of rows not scaled down."""
        return longest(self.blocks.shape[1]) / step.radius

    def pictures(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """Return (rows, pixels) float64, whole numbers from -SCORE to SCORE."""
        return np.stack(
            [s[columns[i]] for i, s in zip(self.pixels, self.scores, strict=True)], axis=1
        ).astype(np.float64)


def central_settings(schema: Schema, *, side: int) -> CentralSettings:
    """Return how a schema's pictures are looked at in blocks of a side.

    Raises InvalidPlan for a schema without images, or with nothing beside their pixels that says
    how many rows there are; CapExceeded for too many pixels or classes.
    """
    if not schema.images:
        raise InvalidPlan(
            f"schema {schema.name!r} has no images to take the middle of",
            hint="declare which attributes are pixels, or use another method",
        )
    pixels = sum(len(image.attributes) for image in schema.images)
    if pixels > MOST_PIXELS:
        raise CapExceeded(
            f"the images have {pixels} pixels; at most {MOST_PIXELS} are looked at",
            hint="make them smaller, or use the method one-shot",
        )
    if pixels == len(schema.domain.attributes):
        raise InvalidPlan(
            "the images are all that there is, and nothing counts the rows",
            hint="add a label to the schema, or use the method one-shot",
        )
    blocks = sum(-(-i.width // side) * -(-i.height // side) for i in schema.images)
    label = schema.label if schema.label in schema.domain.attributes else None
    settings = CentralSettings(pixels=pixels, side=side, blocks=blocks, label=label)
    if (classes := settings.classes(schema.domain)) > MOST_CLASSES:
        raise CapExceeded(
            f"the label {label!r} has {classes} classes; at most {MOST_CLASSES} have pictures",
            hint="merge classes of the label, or use the method one-shot",
        )
    return settings


def check_central(settings: CentralSettings, schema: Schema) -> None:
    """Raise InvalidPlan unless a plan states what its schema has."""
    exact = central_settings(schema, side=settings.side)
    if exact != settings:
        raise InvalidPlan(
            f"the plan looks at {settings.pixels} pixels in {settings.blocks} blocks, by class of "
            f"{settings.label!r}; the schema has {exact.pixels} in {exact.blocks}, by class of "
            f"{exact.label!r}",
            hint="make the plan again with 'silosynth plan new'",
        )


def central_cells(
    settings: CentralSettings, *, clique: Clique, domain: Domain, step: CentralStep | None
) -> int:
    """Return the length of the vector of all classes, before anything is allocated.

    Raises InvalidPlan unless all attributes are named, in order, and every class has its centre.

    Args: step: around what rows are looked at; None where pictures themselves are summed.
    """
    if clique != domain.attributes:
        raise InvalidPlan("central images are asked of all attributes, in the schema's order")
    classes = settings.classes(domain)
    if step is None:
        return classes * settings.pixels
    step.check(settings, classes=classes)
    return classes * settings.around


def central_map(settings: CentralSettings, *, schema: Schema) -> CentralMap:
    """Work out what codes of pixels stand for; silos and coordinator get the same."""
    check_central(settings, schema)
    domain = schema.domain
    names = [name for image in schema.images for name in image.attributes]
    return CentralMap(
        domain=domain,
        label=None if settings.label is None else domain.index(settings.label),
        pixels=tuple(map(domain.index, names)),
        scores=tuple(_scores(domain.size((name,))) for name in names),
        blocks=_blocks(schema, settings),
    )


def sum_images(central: CentralMap, columns: Sequence[np.ndarray]) -> np.ndarray:
    """Return (classes * pixels,) int64, the sum of the rows' pictures by class.

    Guarantees: adding or removing one row moves the line of its class by an L2 norm of at most
    the ``central`` one of :attr:`CentralSettings.bounds`.

    Args: columns: (rows,) codes of each attribute of the domain.
    """
    total = np.zeros((central.classes, len(central.pixels)), dtype=np.int64)
    for part in in_pieces(columns, width=len(central.pixels)):
        rows = bounded_rows(central.pictures(part), radius2=central.radius2)
        np.add.at(total, classes_of(part, central.label), rows)
    return total.ravel()


def sum_around(
    central: CentralMap, columns: Sequence[np.ndarray], *, step: CentralStep
) -> np.ndarray:
    """Return (classes * cells,) int64: how rows differ from their class's centre, and moments.

    Guarantees: adding or removing one row moves the line of its class by an L2 norm of at most
    the ``around`` one of :attr:`CentralSettings.bounds`, whatever centres and radius are.

    Args: columns: (rows,) codes of each attribute of the domain.
    """
    size = central.blocks.shape[1]
    total = np.zeros((central.classes, moments_cells(size)), dtype=np.int64)
    centres, blocks = np.array(step.centres, dtype=np.float64), central.blocks.astype(np.float64)
    for part in in_pieces(columns, width=len(central.pixels)):
        classes = classes_of(part, central.label)
        apart = (central.pictures(part) - centres[classes]) @ blocks
        add_moments(bounded_rows(apart, radius2=step.radius**2), classes, total=total)
    return total.ravel()


def _scores(levels: int) -> np.ndarray:
    """Return (levels,) int64: from -SCORE to SCORE in equal steps, nought for a single level."""
    if levels == 1:
        return np.zeros(1, dtype=np.int64)
    places: np.ndarray = np.rint(np.linspace(-SCORE, SCORE, levels)).astype(np.int64)
    return places


def _blocks(schema: Schema, settings: CentralSettings) -> np.ndarray:
    """Return (pixels, blocks) int64: one where a pixel is in a block."""
    numbers, start = [], 0
    for image in schema.images:
        across = -(-image.width // settings.side)
        row, column = np.divmod(np.arange(len(image.attributes)), image.width)
        numbers.append(start + row // settings.side * across + column // settings.side)
        start += across * -(-image.height // settings.side)
    own: np.ndarray = np.eye(start, dtype=np.int64)[np.concatenate(numbers)]
    return own
