"""Free text to codes and back, whatever its bytes are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from silosynth.common.codec import END, Codec, decode_texts, encode_texts
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Schema, parse_schema


def made_schema(max_bytes: int | None = 5) -> Schema:
    text = {"name": "note", "kind": "text"} | ({"max_bytes": max_bytes} if max_bytes else {})
    return parse_schema({"name": "t", "attributes": [{"name": "ill", "kind": "boolean"}, text]})


def test_bytes_then_the_end_up_to_the_length() -> None:
    codes, note = encode_texts(pa.array(["hi", None, "", "abcdef"]), name="x", max_bytes=4)
    assert codes.dtype == np.uint16
    assert codes[0].tolist() == [104, 105, END, END]
    assert (codes[1:3] == END).all()
    assert codes[3].tolist() == [97, 98, 99, 100]
    assert note.clipped == 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)), st.integers(1, 30))
def test_texts_come_back_as_far_as_they_fit(texts: list[str], length: int) -> None:
    codes, note = encode_texts(pa.array(texts, pa.string()), name="x", max_bytes=length)
    for text, back in zip(texts, decode_texts(codes).to_pylist(), strict=True):
        assert text.startswith(back)
        assert len(back.encode()) <= length
        assert back == text or len(text[: len(back) + 1].encode()) > length
    assert note.clipped == sum(len(t.encode()) > length for t in texts)


@given(st.lists(st.lists(st.integers(0, END), min_size=6, max_size=6), min_size=1, max_size=9))
def test_any_codes_are_some_text(rows: list[list[int]]) -> None:
    for text, row in zip(decode_texts(np.array(rows, np.uint16)).to_pylist(), rows, strict=True):
        length = row.index(END) if END in row else 6
        assert text == bytes(row[:length]).decode("utf-8", "replace")


def test_what_is_not_utf8_is_replaced() -> None:
    broken = pa.array([b"\xff\xfea"], pa.binary()).view(pa.string())
    codes, _ = encode_texts(broken, name="x", max_bytes=9)
    assert decode_texts(codes).to_pylist() == ["��a"]


def test_chunks_and_dictionaries_are_texts_too() -> None:
    column = pa.chunked_array([["a", "b"], ["b"]]).dictionary_encode()
    codes, _ = encode_texts(column, name="x", max_bytes=1)
    assert codes.ravel().tolist() == [97, 98, 98]


def test_the_codec_brings_texts_back_where_the_schema_says_how_long() -> None:
    table = pa.table({"note": ["hi", "long text"], "ill": [True, False]})
    codec = Codec(made_schema())
    texts, notes = codec.encode_texts(table)
    assert [(n.attribute, n.clipped) for n in notes] == [("note", 1)]
    back = codec.decode(codec.encode(table).codes, texts, uniform=np.zeros)
    assert back.column_names == ["ill", "note"]
    assert back["note"].to_pylist() == ["hi", "long "]
    assert codec.decode(codec.encode(table).codes, uniform=np.zeros).column_names == ["ill"]
    assert Codec(made_schema(None)).encode_texts(table) == ((), ())


def test_a_text_that_is_learnt_must_be_there_and_be_text() -> None:
    for table in (
        pa.table({"ill": [True]}),
        pa.table({"ill": [True], "note": [1.5]}),
    ):
        with pytest.raises(InvalidTable, match="'note'"):
            Codec(made_schema()).encode(table)
        Codec(made_schema(None)).encode(table)
