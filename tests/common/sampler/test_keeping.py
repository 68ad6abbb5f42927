"""Finished rows keep every rule: those that do not are drawn again, and how many is said."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidSampler
from silosynth.common.sampler.keeping import Kept, draw_kept
from silosynth.common.schema import Schema, parse_schema

NUMBER = {"kind": "integer", "minimum": 0, "maximum": 99, "source": "public"}


def _schema(*rules: str) -> Schema:
    attributes = [{"name": n, **NUMBER} for n in "ab"]
    return parse_schema({"name": "t", "attributes": attributes, "rules": list(rules)})


def _drawn(rows: int, index: int) -> pa.Table:
    """Return rows of which every second one has an odd a."""
    return pa.table({"a": np.arange(rows) % 100, "b": np.full(rows, index % 7)})


SCHEMA = _schema("keep a % 2 = 0")


def test_rows_that_break_a_rule_are_drawn_again() -> None:
    table = draw_kept(_drawn, rows=300, index=0, schema=SCHEMA, told=Kept())
    odd = sum(a % 2 for a in table["a"].to_pylist())
    assert (table.num_rows, odd) == (300, 0)


def test_the_bias_is_what_was_drawn_in_vain() -> None:
    told = Kept()
    draw_kept(_drawn, rows=300, index=0, schema=SCHEMA, told=told)
    assert told.bias == 0.5


def test_a_rule_that_nothing_keeps_is_named() -> None:
    with pytest.raises(InvalidSampler, match=r"rule 'keep \(a % 2\) = 7' least"):
        draw_kept(_drawn, rows=300, index=0, schema=_schema("keep a % 2 = 7"), told=Kept())


def test_rows_that_break_a_rule_are_coded_as_any() -> None:
    schema = _schema("a <= b")
    found = Codec(schema).encode(pa.table({"a": [90, 5], "b": [10, 50]}))
    assert [note.broken for note in found.notes if note.broken] == [1]
