"""Free text to codes and back: the bytes of UTF-8, then END up to the declared length."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from silosynth.common.codec.examples import END
from silosynth.common.codec.notes import EncodingNote
from silosynth.common.codec.written.parsing import distinct, flatten, readable, to_texts


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
