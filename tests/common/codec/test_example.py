"""Rows, images and texts as sequences of codes."""

from __future__ import annotations

import numpy as np
import pytest

from silosynth.common.codec import END, Layout, from_examples, layout_of, to_examples
from silosynth.common.domain import Grouping
from silosynth.common.errors import CapExceeded, InvalidPlan
from silosynth.common.schema import Schema, parse_schema

PIXELS = [f"p{i}" for i in range(4)]


def made_schema() -> Schema:
    return parse_schema(
        {
            "name": "cards",
            "label": "digit",
            "attributes": [
                *({"name": n, "kind": "integer", "minimum": 0, "maximum": 16} for n in PIXELS),
                {"name": "note", "kind": "text", "max_bytes": 3},
                {"name": "hand", "kind": "boolean"},
                {"name": "free", "kind": "text"},
                {"name": "digit", "kind": "categorical", "categories": list("ab"), "other": False},
            ],
            "images": [{"name": "scan", "width": 2, "height": 2, "attributes": PIXELS}],
        }
    )


def test_the_label_stands_first_then_attributes_pixels_and_bytes() -> None:
    layout = layout_of(made_schema())
    assert layout.attributes == ("digit", "hand", *PIXELS)
    assert layout.sizes == (2, 2, 17, 17, 17, 17, END + 1, END + 1, END + 1)
    assert layout.vocabularies == (0, 1, 2, 2, 2, 2, 3, 3, 3)
    assert layout.vocabulary_sizes == (2, 2, 17, END + 1)
    assert layout.offsets == (0, 2, 4, 4, 4, 4, 21, 21, 21)
    assert (layout.free, layout.texts) == (2, ((6, 9),))


def test_examples_go_back_to_columns_and_texts() -> None:
    schema, rng = made_schema(), np.random.default_rng(1)
    columns = [rng.integers(0, s, 5).astype(np.uint8) for s in schema.domain.shape]
    texts = [rng.integers(0, END + 1, (5, 3)).astype(np.uint16)]
    examples = to_examples(columns, texts, schema=schema)
    assert (examples.shape, examples.dtype) == ((5, 9), np.int64)
    assert (examples[:, 0] == columns[-1]).all()
    back, again = from_examples(examples, schema=schema, layout=layout_of(schema))
    for one, two in zip([*columns, *texts], [*back, *again], strict=True):
        assert (one == two).all()
        assert one.dtype == two.dtype  # type: ignore[attr-defined]  # as loose as a test may be
    with pytest.raises(InvalidPlan, match="texts"):
        to_examples(columns, schema=schema)


def test_a_grouping_merges_codes() -> None:
    schema = made_schema()
    grouping = Grouping(groups={"p0": tuple(i // 9 for i in range(17))})
    layout = layout_of(schema, grouping=grouping)
    assert layout.sizes[2:4] == (2, 17)
    assert layout.vocabularies == (0, 1, 2, 3, 4, 5, 6, 6, 6)
    columns = [np.full(1, s - 1, dtype=np.uint8) for s in schema.domain.shape]
    texts = [np.full((1, 3), END, dtype=np.uint16)]
    assert to_examples(columns, texts, schema=schema, grouping=grouping)[0, 2] == 1


def test_an_example_has_some_codes_and_not_too_many() -> None:
    with pytest.raises(CapExceeded, match="0 codes"):
        Layout(attributes=(), sizes=(), vocabularies=(), free=0)
    with pytest.raises(CapExceeded, match="symbols"):
        Layout(attributes=("a",), sizes=(2**20 + 1,), vocabularies=(0,), free=1)
    key = {"name": "t", "attributes": [{"name": "id", "kind": "identifier"}]}
    with pytest.raises(InvalidPlan, match="nothing"):
        layout_of(parse_schema(key))
