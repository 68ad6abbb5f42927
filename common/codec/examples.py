"""An example: a row of a table, an image or a text as one sequence of integer codes.

A generator learns examples and nothing else, so one family of networks serves them all. The label
stands first, then the other attributes, then the pixels of images, then the bytes of texts: those
of UTF-8, then END up to the declared length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from silosynth.common.codec.notes import EncodingNote, code_dtype
from silosynth.common.codec.written.parsing import distinct, flatten, readable, to_texts
from silosynth.common.domain import Clique, Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.schema import Schema


def encode_texts(
    column: pa.ChunkedArray | pa.Array, *, name: str, max_bytes: int
) -> tuple[np.ndarray, EncodingNote]:
    """Return (rows, max_bytes) uint16 codes, and how many texts were cut.

    A text that is too long ends with its last whole character; null is the empty text; what is not
    UTF-8 was replaced by U+FFFD before.
    """
    values, positions = distinct(readable(flatten(column)))
    table = np.full((len(values), max_bytes), END, dtype=np.uint16)
    cut = np.zeros(len(values), dtype=bool)
    for number, text in enumerate(to_texts(values).to_pylist()):
        data = (text or "").encode()
        cut[number] = len(data) > max_bytes
        if cut[number]:
            data = data[:max_bytes].decode("utf-8", "ignore").encode()
        table[number, : len(data)] = np.frombuffer(data, dtype=np.uint8)
    note = EncodingNote(attribute=name, clipped=int(cut[positions].sum()))
    return table[positions], note


def decode_texts(codes: np.ndarray) -> pa.Array:
    """Return the texts of (rows, max_bytes) codes; bytes that are not UTF-8 become U+FFFD.

    Guarantees: any codes up to END can be decoded; ``decode_texts(encode_texts(x)[0])`` is ``x``
    as far as it fits.
    """
    ended = codes == END
    lengths = np.where(ended.any(axis=1), ended.argmax(axis=1), codes.shape[1])
    plain = codes.astype(np.uint8)
    texts = [
        row[:length].tobytes().decode("utf-8", "replace")
        for row, length in zip(plain, lengths.tolist(), strict=True)
    ]
    return pa.array(texts, pa.large_string())


MOST_POSITIONS = 8192
MOST_SYMBOLS = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What stands at each position of an example.

    ``sizes[i]`` is how many codes position ``i`` has. Positions with the same number among
    ``vocabularies`` (0, 1, ... by first appearance) have the same codes, so that a network shares
    what it knows of them. The first ``free`` positions may be learnt and drawn in any order, all
    before the rest, which follows in the order given. ``texts`` are (start, stop) of positions
    that hold a text: its bytes, then code ``END`` up to the stop; only the first END counts.
    ``attributes`` names the columns at the first positions, one each; texts are the rest.
    """

    attributes: Clique
    sizes: tuple[int, ...]
    vocabularies: tuple[int, ...]
    free: int
    texts: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.positions <= MOST_POSITIONS:
            raise CapExceeded(
                f"an example would have {self.positions} codes; 1 to {MOST_POSITIONS} are allowed",
                hint="shorten the texts, or leave attributes out",
            )
        if sum(self.vocabulary_sizes) > MOST_SYMBOLS:
            raise CapExceeded(
                f"a generator would know {sum(self.vocabulary_sizes)} symbols; at most "
                f"{MOST_SYMBOLS} are allowed",
                hint="give large attributes fewer bins or categories",
            )

    @property
    def positions(self) -> int:
        """Return how many codes an example has."""
        return len(self.sizes)

    @property
    def vocabulary_sizes(self) -> tuple[int, ...]:
        """Return how many codes each vocabulary has."""
        return tuple(dict(zip(self.vocabularies, self.sizes, strict=True)).values())

    @property
    def offsets(self) -> tuple[int, ...]:
        """Return, for each position, where its codes begin among those of all vocabularies."""
        starts = np.cumsum([0, *self.vocabulary_sizes]).tolist()
        return tuple(starts[v] for v in self.vocabularies)


END = 256
"""The code that ends a text; the codes before it are bytes."""


def layout_of(schema: Schema, *, grouping: Grouping | None = None) -> Layout:
    """Return how rows of ``schema`` stand as examples; over working codes with a ``grouping``.

    Errors: CapExceeded for too many codes; InvalidPlan where there is nothing to learn.
    """
    working = (grouping or Grouping()).domain(schema.domain)
    pixels = [name for image in schema.images for name in image.attributes]
    plain = [a for a in working.attributes if a not in set(pixels)]
    plain.sort(key=lambda name: name != schema.label)
    sizes = [*working.sizes(tuple(plain)), *working.sizes(tuple(pixels))]
    vocabularies = list(range(len(plain)))
    for image in schema.images:
        number, one = max(vocabularies, default=-1) + 1, len(set(working.sizes(image.attributes)))
        count = len(image.attributes)
        vocabularies += [number] * count if one == 1 else range(number, number + count)
    texts = []
    for length in modelled_texts(schema).values():
        texts.append((len(sizes), len(sizes) + length))
        vocabularies += [max(vocabularies, default=-1) + 1] * length
        sizes += [END + 1] * length
    if not sizes:
        raise InvalidPlan(f"schema {schema.name!r} has nothing that a generator could learn")
    return Layout(
        attributes=(*plain, *pixels),
        sizes=tuple(sizes),
        vocabularies=tuple(vocabularies),
        free=len(plain),
        texts=tuple(texts),
    )


def modelled_texts(schema: Schema) -> dict[str, int]:
    """Return the text attributes that a generator learns, and up to how many bytes."""
    return {text.name: text.max_bytes for text in schema.texts if text.max_bytes}


def to_examples(
    columns: Sequence[np.ndarray],
    texts: Sequence[np.ndarray] = (),
    *,
    schema: Schema,
    grouping: Grouping | None = None,
) -> np.ndarray:
    """Return (rows, positions) int64 examples.

    Args:
        columns: (rows,) fine codes of each coded attribute, in the schema's order.
        texts: (rows, max_bytes) codes of each text attribute with ``max_bytes``, in order.
    """
    layout, merge = layout_of(schema, grouping=grouping), grouping or Grouping()
    by_name = dict(zip(schema.domain.attributes, columns, strict=True))
    parts = [
        merge.lookup(name, schema.domain.size((name,)))[by_name[name]][:, None]
        for name in layout.attributes
    ]
    examples = np.concatenate([*parts, *texts], axis=1, dtype=np.int64)
    if examples.shape[1] != layout.positions:
        raise InvalidPlan("the texts are not those of the schema")
    return examples


def from_examples(
    examples: np.ndarray, *, schema: Schema, layout: Layout
) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    """Return what :func:`to_examples` takes: columns of codes, and texts."""
    place = {name: i for i, name in enumerate(layout.attributes)}
    columns = tuple(
        examples[:, place[name]].astype(code_dtype(layout.sizes[place[name]]))
        for name in schema.domain.attributes
    )
    return columns, tuple(examples[:, a:b].astype(np.uint16) for a, b in layout.texts)
