"""Images: attributes of a table that are the pixels of a picture, as the schema declares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from silosynth.common.domain import Clique
from silosynth.common.schema.kinds.attributes import CodedAttribute
from silosynth.common.schema.kinds.bins import PlainModel

_LEVELS = ("integer", "ordinal")


class Image(PlainModel):
    """A grey picture: one attribute a pixel, row by row from the upper left, dark to light."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f]+$")
    width: int = Field(ge=1, le=64)
    height: int = Field(ge=1, le=64)
    attributes: Clique = Field(
        min_length=1, max_length=4096, description="the pixels, row by row from the upper left"
    )

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        if len(self.attributes) != self.width * self.height:
            raise ValueError(
                f"{len(self.attributes)} pixels are named; "
                f"{self.width} x {self.height} makes {self.width * self.height}"
            )
        return self


def check_images(
    images: Sequence[Image], *, coded: Sequence[CodedAttribute], label: str | None
) -> None:
    """Raise ValueError unless every pixel is an attribute of its own that has levels."""
    by_name = {a.name: a for a in coded}
    pixels = [name for image in images for name in image.attributes]
    if len(set(pixels)) != len(pixels):
        raise ValueError("images: an attribute is two pixels")
    if len({image.name for image in images}) != len(images):
        raise ValueError("images: two have one name")
    for name in pixels:
        attribute = by_name.get(name)
        if attribute is None or attribute.kind not in _LEVELS or attribute.missing:
            raise ValueError(
                f"images: pixel {name!r} must be an integer or ordinal attribute, never missing"
            )
    if label in pixels:
        raise ValueError(f"images: the label {label!r} is a pixel")
