"""A few synthetic images and texts, for the report: post-processing, whatever they show."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Codec, modelled_texts
from silosynth.common.report.facts import SampleFacts, SheetFacts, StripFacts, TextFacts
from silosynth.common.sampler import DrawsRows
from silosynth.common.schema import Image, Schema
from silosynth.common.seeded import SeededWords

ROWS = 400
TEXT_ROWS = 64
IMAGES_EACH = 12
TEXTS_EACH = 8
MOST_CLASSES = 20
_WHOLE = "all"


def sample_facts(sampler: DrawsRows, *, seed: int) -> SampleFacts | None:
    """Return images and texts by class of the label; None where the schema has neither."""
    schema = sampler.schema
    if not (schema.images or modelled_texts(schema)):
        return None
    rows = TEXT_ROWS if modelled_texts(schema) else ROWS
    drawn = sampler.drawer()(rows=rows, seed=seed, batch=0)
    coded = len(sampler.domain.shape)
    words = SeededWords(seed=seed, purpose="values")
    table = Codec(schema).decode(
        drawn[:coded], drawn[coded:], uniform=words.uniform, spreads=sampler.spreads
    )
    classes = _classes(schema, table, rows=rows)
    codes = dict(zip(sampler.domain.attributes, drawn, strict=False))
    return SampleFacts(
        sheets=tuple(_sheet(i, schema, codes=codes, classes=classes) for i in schema.images),
        texts=tuple(
            text
            for name in modelled_texts(schema)
            if name in table.column_names
            for text in _texts(name, table[name].to_pylist(), classes=classes)
        ),
    )


def _classes(schema: Schema, table: pa.Table, *, rows: int) -> list[tuple[str, np.ndarray]]:
    """Return the classes of the label that were drawn, each with its rows."""
    if schema.label is None or schema.label not in schema.domain.attributes:
        return [(_WHOLE, np.arange(rows))]
    names = ["missing" if v is None else str(v) for v in table[schema.label].to_pylist()]
    spelled = np.asarray(names, dtype=object)
    return [(name, np.flatnonzero(spelled == name)) for name in sorted(set(names))][:MOST_CLASSES]


def _sheet(
    image: Image,
    schema: Schema,
    *,
    codes: dict[str, np.ndarray],
    classes: Sequence[tuple[str, np.ndarray]],
) -> SheetFacts:
    """Return a few images of each class, their pixels as shares of the lightest level."""
    lightest = np.array([schema.domain.size((name,)) - 1 for name in image.attributes])
    pixels = np.stack([codes[name] for name in image.attributes], axis=1) / np.maximum(lightest, 1)
    return SheetFacts(
        name=image.name,
        width=image.width,
        height=image.height,
        strips=tuple(
            StripFacts(
                label=name,
                images=tuple(tuple(row) for row in pixels[places[:IMAGES_EACH]].tolist()),
            )
            for name, places in classes
        ),
    )


def _texts(
    name: str, texts: Sequence[str], *, classes: Sequence[tuple[str, np.ndarray]]
) -> list[TextFacts]:
    """Return a few texts of each class, without characters that do not show."""
    return [
        TextFacts(attribute=name, label=label, text=visible(texts[place]))
        for label, places in classes
        for place in places[:TEXTS_EACH].tolist()
    ]


def visible(text: str) -> str:
    """Put U+FFFD for control and format characters, which could hide or turn what follows.

    >>> visible("tab\\tand\\u202eback")
    'tab�and�back'
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cn") else c
        for c in text
    )
