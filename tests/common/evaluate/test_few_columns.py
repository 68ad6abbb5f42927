"""Tables of one column, or of columns that have nothing to do with one another, are judged as such.

A lamp says nothing of pairs where there are none, and nothing is useful by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.errors import InvalidTable
from silosynth.common.evaluate.evaluate import evaluate
from silosynth.common.report import State
from silosynth.common.schema import parse_schema, rows_with_keys

ROWS = 1_200


def few_columns(*names: str, seed: int) -> pa.Table:
    """Return rows of columns that have nothing to do with one another."""
    draws = np.random.default_rng(seed)
    letters = np.array(list("abcd"))
    words = np.array(["see you at the station", "the parcel is late again", "call me back now"])
    made: dict[str, Callable[[], Any]] = {
        "list": lambda: letters[draws.integers(0, 4, ROWS)],
        "other": lambda: letters[draws.integers(0, 4, ROWS)],
        "number": lambda: draws.normal(50, 10, ROWS),
        "yes": lambda: draws.random(ROWS) < 0.3,
        "same": lambda: ["x"] * ROWS,
        "key": lambda: [f"ID-{i:06}" for i in draws.permutation(10**6)[:ROWS]],
        "text": lambda: [
            f"{w} {n}"
            for w, n in zip(
                words[draws.integers(0, 3, ROWS)], draws.integers(0, 10**6, ROWS), strict=True
            )
        ],
    }
    return pa.table({name: pa.array(made[name]()) for name in names})


@pytest.mark.parametrize(
    "names",
    [("list",), ("number",), ("yes",), ("same",), ("list", "key"), ("list", "text")],
    ids="-".join,
)
def test_a_column_alone_has_no_pairs_and_teaches_nothing(names: tuple[str, ...]) -> None:
    tables = [few_columns(*names, seed=seed) for seed in range(3)]
    fidelity, utility, *_ = evaluate(*tables[:2], control=tables[2]).lamps
    assert fidelity.state is State.GOOD
    assert "nothing is said of pairs" in fidelity.sentence
    assert "off, where" not in fidelity.sentence
    assert utility.state is State.UNKNOWN
    assert "One column is compared" in utility.sentence


def test_a_column_alone_is_not_close_where_its_values_are_not() -> None:
    real = few_columns("list", seed=1)
    other = pa.table({"list": pa.array(np.where(np.arange(ROWS) % 4 == 0, "b", "a"))})
    assert evaluate(real, other).lamps[0].state is State.POOR


@pytest.mark.parametrize(
    "names", [("list", "other"), ("list", "same"), ("number", "yes")], ids="-".join
)
def test_columns_that_do_not_hang_together_are_close_and_teach_nothing(
    names: tuple[str, ...],
) -> None:
    tables = [few_columns(*names, seed=seed) for seed in range(3)]
    fidelity, utility, *_ = evaluate(*tables[:2], control=tables[2]).lamps
    assert fidelity.state is State.GOOD
    assert "hardly hang together" in fidelity.sentence
    assert utility.state is State.UNKNOWN
    assert "Nothing can be learnt" in utility.sentence


def test_columns_that_hang_together_in_synthetic_rows_alone_are_not_close() -> None:
    real, control = (few_columns("list", "other", seed=seed) for seed in range(2))
    twice = real.set_column(1, "other", real["list"])
    assert evaluate(real, twice, control=control).lamps[0].state is State.POOR


@pytest.mark.parametrize("names", [("text",), ("key",), ("key", "text")], ids="-".join)
def test_a_table_of_nothing_that_is_compared_is_told_what_it_has(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidTable, match=f"nothing but .*{names[-1]}"):
        evaluate(few_columns(*names, seed=1), few_columns(*names, seed=2))


def test_no_more_rows_are_drawn_than_there_are_keys() -> None:
    facts = {"name": "key", "kind": "identifier", "like": "N[1-9]A[0-9]"}
    made = {"name": "made", "kind": "generated", "provider": "pattern", "like": "[A-Z][0-9]"}
    plain = {"name": "id", "kind": "identifier"}
    schema = parse_schema({"name": "t", "source": "public", "attributes": [facts, made, plain]})
    assert rows_with_keys(schema.attributes, schema.ruled, most=20_000) == 90
    assert rows_with_keys(schema.attributes, schema.ruled, most=20) == 20
    few = parse_schema({"name": "t", "source": "public", "attributes": [plain]})
    assert rows_with_keys(few.attributes, few.ruled, most=20_000) == 20_000
