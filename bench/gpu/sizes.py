"""How large a check of a GPU is, and the rows that it makes: nothing is read, all from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from silosynth.common.schema import Schema, parse_schema

CLASSES, LEVELS = 10, 4
_WORDS = ("free", "prize", "win", "call", "now"), ("see", "you", "at", "home", "later")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Of the graphical model, of images and messages, of networks, and of how long they train."""

    attributes: int
    codes: int
    iterations: int
    side: int
    images: int
    frequencies: int
    messages: int
    length: int
    width: int
    layers: int
    rounds: int
    batch: int
    drawn: int
    company: int


FULL = Sizes(
    attributes=14,
    codes=24,
    iterations=200,
    side=28,
    images=20_000,
    frequencies=512,
    messages=5_000,
    length=96,
    width=64,
    layers=2,
    rounds=20,
    batch=400,
    drawn=1_000,
    company=45,
)
"""Images as large as MNIST's, and a model of 3.6 million cells."""

SMALL = Sizes(
    attributes=5,
    codes=4,
    iterations=20,
    side=3,
    images=60,
    frequencies=8,
    messages=40,
    length=5,
    width=4,
    layers=1,
    rounds=1,
    batch=100,
    drawn=10,
    company=6,
)
"""A dry run, on any processor in seconds."""


def image_schema(sizes: Sizes) -> Schema:
    """Return labelled square images of four levels."""
    pixel = {"kind": "integer", "minimum": 0, "maximum": LEVELS - 1, "source": "public"}
    names = [f"p{i:04d}" for i in range(sizes.side**2)]
    label = {"name": "label", "kind": "categorical", "categories": list(range(CLASSES))}
    image = {"name": "image", "width": sizes.side, "height": sizes.side, "attributes": names}
    attributes = [label | {"other": False, "source": "public"}]
    attributes += [{"name": name} | pixel for name in names]
    return parse_schema(
        {"name": "images", "label": "label", "attributes": attributes, "images": [image]}
    )


def images(sizes: Sizes) -> pa.Table:
    """Return made images: of each class a shade of its own, which each image differs from."""
    rng = np.random.default_rng(1)
    shades = rng.random((CLASSES, sizes.side**2))
    labels = rng.integers(0, CLASSES, sizes.images)
    grey = shades[labels] + rng.normal(0, 0.2, (sizes.images, sizes.side**2))
    levels = np.clip(grey * LEVELS, 0, LEVELS - 1).astype(np.int64)
    names = [f"p{i:04d}" for i in range(sizes.side**2)]
    return pa.table({"label": labels, **dict(zip(names, levels.T, strict=True))})


def message_schema(sizes: Sizes) -> Schema:
    """Return messages that are spam or not."""
    label = {"name": "label", "kind": "categorical", "categories": ["spam", "ham"]}
    text = {"name": "text", "kind": "text", "max_bytes": sizes.length}
    attributes = [label | {"other": False, "source": "public"}, text]
    return parse_schema({"name": "messages", "label": "label", "attributes": attributes})


def messages(sizes: Sizes) -> pa.Table:
    """Return made messages: words of one of two lists."""
    rng = np.random.default_rng(1)
    kinds = rng.integers(0, 2, sizes.messages)
    texts = [" ".join(rng.choice(_WORDS[kind], 6))[: sizes.length] for kind in kinds]
    return pa.table({"label": np.array(["spam", "ham"])[kinds], "text": texts})


def dealt(table: pa.Table, silos: int) -> dict[str, pa.Table]:
    """Deal rows out to silos in turn."""
    rows = np.arange(len(table))
    return {f"silo-{i}": table.take(rows[rows % silos == i]) for i in range(silos)}
