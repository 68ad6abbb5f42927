"""Every real table keeps its form: drafted, coded and decoded it has the types that it had."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.drafting import draft_schema
from silosynth.client.source import read_table, read_untyped
from silosynth.common.codec import Codec, Form
from silosynth.common.sampler.rows_file import TextWriter
from silosynth.common.schema import CsvDialect

DATA = Path(os.environ.get("SILOSYNTH_DATA", Path(__file__).parents[3] / "../shared/data"))
ROWS = 4_000
FILES = sorted(p for end in ("*.csv", "*.parquet") for p in DATA.glob(f"*/{end}"))
needs_data = pytest.mark.skipif(not FILES, reason="set SILOSYNTH_DATA to the data sets")


def part(path: Path, place: Path) -> Path:
    """Write the first rows of a file, as it is written."""
    out = place / path.name
    if path.suffix == ".parquet":
        pq.write_table(pq.read_table(path).slice(0, ROWS), out)
    else:
        with path.open(encoding="utf-8") as lines:
            out.write_text("".join(line for line, _ in zip(lines, range(ROWS), strict=False)))
    return out


@needs_data
@pytest.mark.parametrize("path", FILES, ids=[f"{p.parent.name}-{p.stem}" for p in FILES])
def test_a_real_table_keeps_its_form(path: Path, tmp_path: Path) -> None:
    small = part(path, tmp_path)
    schema = draft_schema(small, name="t").schema
    table, codec = read_table(small, schema=schema), Codec(schema)
    encoded = codec.encode(table)
    assert not encoded.notes
    uniform = np.random.default_rng(1).random
    typed = codec.decode(encoded.codes, uniform=uniform)
    assert typed.column_names == table.column_names
    if path.suffix == ".parquet":
        stored = pq.read_schema(small)
        for field in typed.schema:
            before = stored.field(field.name).type
            if pa.types.is_dictionary(before):
                assert pa.types.is_dictionary(field.type)
            else:
                assert field.type == before, field.name
    spelled = codec.decode(encoded.codes, uniform=uniform, form=Form.SPELLED)
    out, how = tmp_path / "out.csv", schema.csv or CsvDialect()
    writer = TextWriter(out, names=spelled.column_names, dialect=how)
    writer.write_table(spelled)
    writer.close()
    again = codec.encode(read_table(out, schema=schema))
    assert not again.notes
    for name, one, other in zip(codec.domain.attributes, again.codes, encoded.codes, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert read_untyped(out, dialect=how).column_names == table.column_names
