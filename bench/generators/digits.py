"""Digits: what a classifier that learnt from synthetic images knows of real ones, and a sheet.

The 3,823 images of 30 writers are trained on, in three silos that sum in secret, and the 1,797 of
13 other writers are the test. The classifier is a support vector machine on the pixels. Every way
is run three times. DP-SGD learns four levels of grey, split at EDGES, one-shot all 17.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from bench.generators.learn import image_accuracy
from bench.generators.repeat import repeat
from bench.generators.run import Made, Way, dealt, make
from bench.support.results import Figure, is_quick, results_of
from bench.support.tables import data_directory
from silosynth.common.generator import Transformer
from silosynth.common.plan import Optimiser
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.methods.training import TrainingChoice

SIDE, LEVELS, CLASSES = 8, 16, 10
DELTA, SILOS = 1e-5, 3
EPSILONS = (1.0, 10.0)
EDGES = (1, 6, 12)
"""Blank paper is a level of its own; the others are about equally wide."""
PIXELS = tuple(f"p{row}{column}" for row in range(SIDE) for column in range(SIDE))
SHOWN, SCALE = 16, 4
"""Images of each digit on a sheet, and how many dots of the sheet a pixel is wide."""


def measure(*, only: str = "") -> Iterator[Figure]:
    """Yield the accuracy at each budget, and draw a sheet of what was made.

    Args: only: ways whose name and budget, such as ``dp-sgd, epsilon 10,``, hold this.
    """
    table = pyarrow.parquet.read_table(data_directory() / "optdigits" / "optdigits.parquet")
    train, test = (table.filter(pc.equal(table["split"], s)) for s in ("train", "test"))
    train = train.select(["label", *PIXELS])
    silos = dealt(train, SILOS)
    best = accuracy(train, test)
    yield Figure(figure="digits, real images, accuracy", value=best, unit="share")
    for epsilon in EPSILONS[:1] if is_quick() else EPSILONS:
        for way in _ways():
            if only not in f"{way.name}, epsilon {epsilon:g},":
                continue
            yield from repeat(
                f"digits, epsilon {epsilon:g}, {way.name}",
                partial(_made, way, silos, epsilon=epsilon, rows=len(train)),
                score=lambda made: accuracy(made.table, test),
                measure="accuracy",
                unit="share",
                best=best,
                keep=partial(_keep, name=f"generators-digits-{way.name}-{epsilon:g}.png"),
            )
    draw_sheet(train, "generators-digits-real.png")


def _made(way: Way, silos: dict[str, pa.Table], seed: int, *, epsilon: float, rows: int) -> Made:
    """Run a way with first weights of their own."""
    seeded = way.training and replace(way.training, seed=seed)
    way = replace(way, training=seeded)
    edges = EDGES if way.training else ()
    return make(way, silos, schema=schema(edges), epsilon=epsilon, rows=rows, delta=DELTA)


def _keep(made: Made, *, name: str) -> None:
    """Draw a sheet of a run."""
    draw_sheet(made.table, name)


def schema(edges: Sequence[int] = ()) -> Schema:
    """Return labelled images of 8 x 8 pixels of 17 levels, or of fewer that ``edges`` split."""
    pixel: dict[str, object] = {"kind": "integer", "minimum": 0, "maximum": LEVELS}
    pixel |= {"source": "public"}
    if edges:
        pixel["bins"] = {"kind": "edges", "edges": list(edges)}
    label = {"name": "label", "kind": "categorical", "categories": list(range(CLASSES))}
    return parse_schema(
        {
            "name": "digits",
            "label": "label",
            "attributes": [
                label | {"other": False, "source": "public"},
                *({"name": name} | pixel for name in PIXELS),
            ],
            "images": [{"name": "digit", "width": SIDE, "height": SIDE, "attributes": PIXELS}],
        }
    )


def accuracy(table: pa.Table, test: pa.Table) -> float:
    """Return what share of the test images a classifier that learnt from a table names right."""
    return image_accuracy((_pixels(table), _labels(table)), (_pixels(test), _labels(test)))


def draw_sheet(table: pa.Table, name: str) -> None:
    """Write a picture with the first images of each digit in a row of their own, dark on white."""
    pixels, labels = _pixels(table), _labels(table)
    edge = SIDE + 2
    sheet = np.zeros((CLASSES * edge, SHOWN * edge))
    for digit in range(CLASSES):
        for place, image in enumerate(pixels[labels == digit][:SHOWN]):
            top, left = digit * edge + 1, place * edge + 1
            sheet[top : top + SIDE, left : left + SIDE] = image.reshape(SIDE, SIDE) / LEVELS
    shades = np.rint(255 * (1 - sheet)).astype(np.uint8)
    directory = results_of("generators")
    directory.mkdir(parents=True, exist_ok=True)
    write_png(directory / name, np.kron(shades, np.ones((SCALE, SCALE), dtype=np.uint8)))


def write_png(path: Path, shades: np.ndarray) -> None:
    """Write (height, width) uint8 as a grey picture (PNG 1.2: IHDR, IDAT, IEND)."""
    height, width = shades.shape
    lines = np.concatenate([np.zeros((height, 1), dtype=np.uint8), shades], axis=1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def _ways() -> tuple[Way, ...]:
    training = TrainingChoice(
        architecture=Transformer(width=16, layers=1, heads=2),
        rounds=3 if is_quick() else 120,
        rate=Fraction(1, 8),
        optimiser=Optimiser.ADAM,
        learning_rate=0.02,
    )
    few = 16 if is_quick() else None
    shared = Way(name="one-shot", method="one-shot", pooled=False, trust="shared", frequencies=few)
    trained = replace(shared, name="dp-sgd", method="dp-sgd", training=training, frequencies=None)
    return shared, trained


def _pixels(table: pa.Table) -> np.ndarray:
    return np.stack([table[name].to_numpy() for name in PIXELS], axis=1).astype(np.float64)


def _labels(table: pa.Table) -> np.ndarray:
    return np.array([int(label) for label in table["label"].to_pylist()])
