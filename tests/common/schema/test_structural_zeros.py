"""What cannot occur is declared by value, read as codes, and refused when it says nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml

from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import Schema, dump_schema, parse_schema

ATTRIBUTES: list[dict[str, Any]] = [
    {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"}
    | {"bins": {"kind": "width", "count": 20}, "missing": True},
    {"name": "status", "kind": "categorical", "categories": ["single", "married"]}
    | {"source": "public"},
    {"name": "ill", "kind": "boolean"},
    {"name": "key", "kind": "identifier"},
]


def _schema(*zeros: Any) -> Schema:
    return parse_schema(
        {"name": "people", "attributes": ATTRIBUTES, "structural_zeros": list(zeros)}
    )


def _zero(attributes: list[str], *cells: list[Any]) -> dict[str, Any]:
    return {"attributes": attributes, "cells": list(cells)}


def test_a_range_covers_the_bins_inside_it_alone() -> None:
    (found,) = _schema(_zero(["age", "status"], [[0, 17], "married"])).impossible()
    assert found.clique == ("age", "status")
    assert found.mask.shape == (21, 3)
    assert [tuple(cell) for cell in np.argwhere(found.mask)] == [(0, 1), (1, 1), (2, 1)]


def test_cells_are_in_column_order_whatever_order_names_them() -> None:
    (found,) = _schema(_zero(["ill", "age"], [True, None])).impossible()
    assert found.clique == ("age", "ill")
    assert [tuple(cell) for cell in np.argwhere(found.mask)] == [(20, 1)]


def test_a_schema_with_zeros_survives_writing_and_reading() -> None:
    schema = _schema(_zero(["age", "status"], [[0, 15], "married"], [None, "single"]))
    from_text = parse_schema(yaml.safe_load(dump_schema(schema)))
    assert from_text == schema
    assert from_text.digest == schema.digest != _schema().digest


@pytest.mark.parametrize(
    ("zero", "words"),
    [
        (_zero(["age", "height"], [None, 1]), "'height' is not an attribute with codes"),
        (_zero(["key", "ill"], ["1", True]), "'key' is not an attribute with codes"),
        (_zero(["status", "ill"], ["widowed", True]), "'status' has no value 'widowed'"),
        (_zero(["status", "ill"], [True, True]), "'status' has no value True"),
        (_zero(["status", "ill"], [None, True]), "'status' has no value null"),
        (_zero(["ill", "age"], [True, [1, 3]]), "holds no whole bin"),
        (_zero(["ill", "age"], [True, [3, 1]]), "must rise"),
        (_zero(["ill", "age"], [True, ["a", "b"]]), "from, below"),
        (_zero(["ill", "age"], [True]), "one value for each"),
        (_zero(["ill", "ill"], [True, True]), "twice"),
        (_zero(["ill"], [True], [False]), "no cell of ill is left"),
        (_zero(["ill"]), "cells"),
    ],
)
def test_a_zero_that_says_nothing_is_refused(zero: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSchema, match=words):
        _schema(zero)
