"""What is no table, and columns that have no name, are told as what they are."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.common.codec import as_table
from silosynth.common.errors import InvalidTable


@pytest.mark.parametrize("column", [pd.Series([1, 2]), pl.Series("a", [1, 2]), pa.array([1, 2])])
def test_a_column_is_told_apart_from_a_table(column: object) -> None:
    with pytest.raises(InvalidTable, match=r"is one column and not a table|is not a table"):
        as_table(column)  # type: ignore[arg-type]  # what a person may give


def test_the_column_that_arrow_has_no_type_for_is_named() -> None:
    frame = pl.DataFrame({"a": [1, 2], "big": pl.Series([1, 2], dtype=pl.Int128)})
    with pytest.raises(InvalidTable, match="column 'big' has a type that Arrow has not"):
        as_table(frame)


def test_a_column_without_a_name_is_called_after_its_place() -> None:
    frame = pd.DataFrame([[1, True, "x"]] * 30, columns=["a", "", " "])
    assert as_table(frame).column_names == ["a", "column_2", "column_3"]
    draft = draft_schema(frame, name="t")
    assert any("columns 2, 3 have no name" in note for note in draft.notes)
