"""The sampler: built from a model's floats, checked whole, drawn as tables and files."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from silosynth.common.batches import map_batches, split_rows
from silosynth.common.codec import Codec
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidArgument, InvalidSampler, OutputExists
from silosynth.common.sampler import (
    CliqueMarginal,
    Sampler,
    build_sampler,
    describe_sampler,
    draw_codes,
    shares,
    write_rows,
)
from silosynth.common.sampler import sampler as sampler_module
from silosynth.common.sampler.conditional import WHOLE, Conditional, condition
from silosynth.common.sampler.draw import draw_batch
from silosynth.common.sampler.rows_file import SheetWriter
from silosynth.common.sampler.sampler import draw, draw_batches
from silosynth.common.schema import CsvDialect, parse_schema
from tests.support.patience import patience

SCHEMA = parse_schema(
    {
        "name": "made",
        "attributes": [
            {"name": "key", "kind": "identifier", "prefix": "p"},
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "missing": True}
            | {"other_as": "other"},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99}
            | {"bins": {"kind": "width", "count": 20}},
            {"name": "note", "kind": "text"},
            {"name": "grade", "kind": "ordinal", "categories": ["low", "high"], "other": False},
        ],
    }
)
GROUPING = Grouping(groups={"age": tuple(i // 5 for i in range(20))})
DIGEST = "sha256:" + "ab" * 32


def made_nodes() -> list[CliqueMarginal]:
    rng = np.random.default_rng(0)
    joint = rng.gamma(1.0, size=(4, 4, 2))
    return [
        CliqueMarginal(clique=("sex", "age"), separator=(), values=joint.sum(2)),
        CliqueMarginal(clique=("age", "grade"), separator=("age",), values=joint.sum(0)),
    ]


def made_sampler(**changes: Any) -> Sampler:
    given_: dict[str, Any] = {
        "schema": SCHEMA,
        "grouping": GROUPING,
        "within": {"age": np.arange(1.0, 21)},
        "nodes": made_nodes(),
        "total": 1234.4,
        "certificate": {"epsilon": 1.0, "silos": ["north", "south"]},
        "plan_digest": DIGEST,
    }
    return build_sampler(**(given_ | changes))


@settings(deadline=None, max_examples=100)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(0, 1e12))
)
def test_shares_are_within_half_a_unit_and_zero_stays_zero(weights: np.ndarray) -> None:
    weights = np.where(weights < 1e-3, 0.0, weights)
    weights[:, 0] += weights.sum(axis=1) == 0
    ends = shares(weights, name="x").astype(np.int64)
    exact = weights.cumsum(axis=1) / weights.sum(axis=1, keepdims=True) * WHOLE
    assert np.abs(ends - exact).max() <= 0.5 + 1e-3
    assert (np.diff(ends, axis=1, prepend=0) >= 0).all()
    assert (np.diff(ends, axis=1, prepend=0)[weights == 0] == 0).all()


def test_a_group_without_weight_takes_the_shares_of_all() -> None:
    ends = shares(np.array([[0.0, 0.0], [1.0, 3.0]]), name="x")
    assert ends[0].tolist() == ends[1].tolist() == [WHOLE // 4, WHOLE]


@pytest.mark.parametrize("weights", [[[-1.0, 2.0]], [[np.nan, 1.0]], [[np.inf, 1.0]], [[0.0, 0.0]]])
def test_weights_that_are_no_distribution_are_refused(weights: list[list[float]]) -> None:
    with pytest.raises(InvalidSampler):
        shares(np.array(weights), name="x")


def test_the_product_of_conditionals_is_the_model() -> None:
    domain = Domain(attributes=("a", "b", "c", "d"), shape=(3, 2, 4, 2))
    rng = np.random.default_rng(1)
    abc, cd = rng.gamma(1.0, size=(3, 2, 4)), rng.gamma(1.0, size=(4, 2))
    joint = abc[:, :, :, None] * cd[None, None]
    joint /= joint.sum()
    nodes = [
        CliqueMarginal(
            clique=("c", "a", "b"), separator=(), values=joint.sum(3).transpose(2, 0, 1)
        ),
        CliqueMarginal(clique=("d", "c"), separator=("c",), values=joint.sum((0, 1)).T.ravel()),
    ]
    found = np.ones_like(joint)
    for conditional in condition(nodes, domain=domain):
        table = np.diff(conditional.ends.astype(float), axis=1, prepend=0) / WHOLE
        table = table.reshape(domain.sizes((*conditional.given, conditional.attribute)))
        names = (*conditional.given, conditional.attribute)
        for cell in product(*map(range, joint.shape)):
            found[cell] *= table[tuple(cell[domain.index(a)] for a in names)]
    assert found == pytest.approx(joint, abs=1e-8)


@pytest.mark.parametrize(
    ("clique", "separator", "message"),
    [
        (("age", "grade"), (), "not what it shares"),
        (("age", "grade"), ("grade",), "not what it shares"),
        (("sex", "grade"), ("sex", "age"), "not what it shares"),
        (("sex",), ("sex",), "never drawn"),
    ],
)
def test_cliques_that_are_no_junction_tree_are_refused(
    clique: tuple[str, ...], separator: tuple[str, ...], message: str
) -> None:
    size = GROUPING.domain(SCHEMA.domain).size(clique)
    wrong = CliqueMarginal(clique=clique, separator=separator, values=np.ones(size))
    with pytest.raises(InvalidSampler, match=message):
        made_sampler(nodes=[made_nodes()[0], wrong])


def test_a_separator_spread_over_two_cliques_is_refused() -> None:
    nodes = [CliqueMarginal(clique=(a,), separator=(), values=np.ones(4)) for a in ("sex", "age")]
    both = CliqueMarginal(
        clique=("sex", "age", "grade"), separator=("sex", "age"), values=np.ones(32)
    )
    with pytest.raises(InvalidSampler, match="lies in no earlier clique"):
        made_sampler(nodes=[*nodes, both])


def test_a_marginal_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(InvalidSampler, match="16 cells expected"):
        made_sampler(
            nodes=[CliqueMarginal(clique=("sex", "age"), separator=(), values=np.ones(15))]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total": True}, "total"),
        ({"total": -1}, "total"),
        ({"plan_digest": "sha256:1"}, "plan digest"),
        ({"certificate": {"a": {1, 2}}}, "plain JSON"),
        ({"certificate": {"a": float("nan")}}, "plain JSON"),
        ({"certificate": {1: "a"}}, "plain JSON"),
        ({"conditionals": ()}, "never drawn"),
        ({"within": {}}, "inside groups"),
        ({"within": {"age": np.full(20, WHOLE, np.int64)}}, "another shape"),
        ({"within": {"age": np.full(20, WHOLE - 1, np.uint32)}}, "rise to one"),
        ({"within": {"age": np.array([5, 4, 3, 2, WHOLE] * 4, np.uint32)}}, "rise to one"),
        ({"grouping": Grouping(groups={"age": (0, 1)})}, "does not fit"),
        ({"grouping": Grouping()}, "shape of its domain"),
        (
            {"schema": parse_schema({"name": "t", "attributes": [{"name": "k", "kind": "text"}]})},
            "codes",
        ),
    ],
)
def test_a_sampler_that_makes_no_sense_cannot_be_built(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidSampler, match=message):
        replace(made_sampler(), **changes)


def test_conditionals_out_of_order_are_refused() -> None:
    made = made_sampler()
    for conditionals in (made.conditionals[::-1], made.conditionals * 2):
        with pytest.raises(InvalidSampler, match="drawn twice, or drawn before"):
            replace(made, conditionals=conditionals)


@pytest.mark.parametrize(
    "ends",
    [
        np.array([[5, 4, WHOLE]], np.uint32),
        np.array([[1, 2, WHOLE - 1]], np.uint32),
        np.array([[1, 2, WHOLE]], np.int64),
        np.array([1, WHOLE], np.uint32),
        np.zeros((0, 2), np.uint32),
    ],
)
def test_shares_that_do_not_rise_to_one_are_refused(ends: np.ndarray) -> None:
    with pytest.raises(InvalidSampler):
        Conditional(attribute="a", given=(), ends=ends)


def test_the_total_is_rounded_and_never_below_zero() -> None:
    assert made_sampler().total == 1234
    assert made_sampler(total=-3.2).total == 0


def test_a_draw_has_the_columns_and_rows_of_the_schema() -> None:
    table = draw(made_sampler(), rows=1000, seed=1)
    assert table.column_names == ["key", "sex", "age", "grade"]
    assert table["key"][999].as_py() == "p1000"
    ages = table["age"].to_numpy()
    assert ages.min() >= 0
    assert ages.max() <= 99
    frame = made_sampler().draw(1000, seed=1)
    assert isinstance(frame, pd.DataFrame)
    assert frame["age"].tolist() == ages.tolist()


def test_a_draw_decodes_the_codes_that_are_drawn() -> None:
    made = made_sampler()
    codes = draw_codes(made, rows=500, seed=4)
    table = draw(made, rows=500, seed=4).append_column("note", pa.nulls(500, pa.string()))
    again = Codec(SCHEMA).encode(table).codes
    assert all((a == b).all() for a, b in zip(codes, again, strict=True))


def test_weights_inside_interleaved_groups_go_to_their_own_codes() -> None:
    grouping = Grouping(groups={"age": tuple(i % 4 for i in range(20))})
    weights = np.array([1.0, 0, 2, 0] * 4 + [0, 3, 2, 0])
    made = made_sampler(grouping=grouping, within={"age": weights})
    age = draw_codes(made, rows=10_000, seed=0)[1]
    counts = np.bincount(age, minlength=20).reshape(5, 4)
    groups = counts.sum(axis=0)
    assert (counts[:4, 0] > 0.24 * groups[0]).all()
    assert counts[4, 1] == groups[1]
    assert counts[:, 2] == pytest.approx(groups[2] / 5, abs=5)
    assert counts[:, 3] == pytest.approx(groups[3] / 5, abs=5)


def test_values_inside_a_bin_differ_from_batch_to_batch() -> None:
    first, second = draw_batches(made_sampler(), rows=200, seed=2, batch_rows=100)
    inside = [np.asarray(batch["age"]) % 5 for batch in (first, second)]
    assert np.corrcoef(*inside)[0, 1] == pytest.approx(0, abs=0.3)


def test_no_rows_make_an_empty_table_with_all_columns() -> None:
    table = draw(made_sampler(), rows=0, seed=1)
    assert table.num_rows == 0
    assert table.schema == draw(made_sampler(), rows=5, seed=1).schema
    assert [len(column) for column in draw_codes(made_sampler(), rows=0, seed=1)] == [0, 0, 0]


def test_batches_are_the_draw_and_keys_run_through() -> None:
    made = made_sampler()
    batches = list(draw_batches(made, rows=250, seed=2, batch_rows=100))
    assert [batch.num_rows for batch in batches] == [100, 100, 50]
    assert batches[2]["key"].to_pylist() == [f"p{i}" for i in range(201, 251)]
    third = draw_batch(made.steps(), rows=50, seed=2, batch=2)
    alone = Codec(SCHEMA).encode(batches[2], origin="batch").codes
    assert all((a == b).all() for a, b in zip(third, alone, strict=True))
    assert next(draw_batches(made, rows=100, seed=2, batch_rows=100)).equals(batches[0])


def test_threads_do_not_change_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler_module, "BATCH_ROWS", 100)
    made = made_sampler()
    alone, together = (draw_codes(made, rows=950, seed=3, threads=n) for n in (1, 3))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))
    tables = [
        pa.concat_tables(draw_batches(made, rows=950, seed=3, batch_rows=100, threads=n))
        for n in (1, 3)
    ]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("wrong", [-1, 1.0, True, "1"])
def test_a_seed_or_number_of_rows_that_is_no_count_is_refused(wrong: Any) -> None:
    made = made_sampler()
    for arguments in ({"rows": wrong, "seed": 1}, {"rows": 1, "seed": wrong}):
        for verb in (draw, draw_codes, draw_batches):
            with pytest.raises(InvalidArgument, match="whole number"):
                verb(made, **arguments)
    with pytest.raises(InvalidArgument, match="batch"):
        draw_batches(made, rows=1, seed=1, batch_rows=0)


def test_batches_under_way_are_bounded_and_stop_with_the_reader() -> None:
    begun: list[int] = []
    gate = Semaphore(0)

    def work(index: int, size: int) -> int:
        begun.append(index)
        assert gate.acquire(timeout=patience(10))
        return size

    results = map_batches(work, split_rows(1000, batch_rows=10), threads=3)
    gate.release(3)
    assert next(results) == 10
    gate.release(3)
    results.close()
    assert len(begun) <= 3


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_written_rows_are_the_drawn_rows(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, told = tmp_path / f"rows{ending}", list[int]()
    write_rows(made_sampler(), rows=300, seed=5, path=path, progress=told.append)
    table = draw(made_sampler(), rows=300, seed=5)
    if ending == ".parquet":
        assert pa.parquet.read_table(path).equals(table.unify_dictionaries())
    else:
        read = pa.csv.read_csv(
            path, convert_options=pa.csv.ConvertOptions(strings_can_be_null=True)
        )
        assert read.to_pylist() == table.to_pylist()
    assert told == [300]


def _sampler_with(dialect: CsvDialect) -> Any:
    made = made_sampler()
    return replace(made, schema=made.schema.model_copy(update={"csv": dialect}))


@pytest.mark.parametrize("name", ["rows.csv.gz", "rows.CSV.GZ"])
def test_rows_are_packed_where_the_name_says_so(name: str, tmp_path: Path) -> None:
    write_rows(made_sampler(), rows=300, seed=5, path=tmp_path / "rows.csv")
    write_rows(made_sampler(), rows=300, seed=5, path=tmp_path / name)
    packed = (tmp_path / name).read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "rows.csv").read_bytes()
    write_rows(made_sampler(), rows=300, seed=5, path=tmp_path / name, force=True)
    assert (tmp_path / name).read_bytes() == packed


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.tsv.gz", "\t")])
def test_a_name_that_says_tabs_has_tabs(name: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_rows(_sampler_with(CsvDialect(delimiter=";")), rows=30, seed=5, path=path)
    data = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    assert mark in data.decode().splitlines()[0]


def test_a_sheet_holds_the_rows_and_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    write_rows(made_sampler(), rows=300, seed=5, path=path)
    sheet = openpyxl.load_workbook(path).active
    rows = list(sheet.iter_rows(values_only=True))
    table = draw(made_sampler(), rows=300, seed=5)
    assert list(rows[0]) == table.column_names
    assert [list(row) for row in rows[1:]] == [list(row.values()) for row in table.to_pylist()]
    writer = SheetWriter(path, names=["=a"])
    at = datetime(2020, 1, 1, tzinfo=UTC)
    for value in ("=1+1", Decimal("1.50"), 2**60, at, date(1850, 1, 1), None, "a\x01"):
        writer.write_table(pa.table({"=a": [value]}))
    writer.close()
    cells = [cell for (cell,) in openpyxl.load_workbook(path).active.iter_rows()]
    assert [cell.value for cell in cells] == [
        *("=a", "=1+1", 1.5, str(2**60), "2020-01-01 00:00:00+00:00", "1850-01-01", None),
        "a\ufffd",
    ]
    assert {cell.data_type for cell in cells[:2]} == {"s"}
    full = SheetWriter(path, names=["a"])
    with closing(full), pytest.raises(InvalidArgument, match="rows at most"):
        full.write_table(pa.table({"a": pa.nulls(1_048_576)}))


def test_an_output_that_is_there_is_kept_without_force(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("mine")
    with pytest.raises(OutputExists, match="--force"):
        write_rows(made_sampler(), rows=3, seed=5, path=path)
    assert path.read_text() == "mine"
    write_rows(made_sampler(), rows=3, seed=5, path=path, force=True)
    assert pa.parquet.read_table(path).num_rows == 3


@pytest.mark.parametrize("existed", [False, True])
def test_ctrl_c_leaves_no_half_file(existed: bool, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    if existed:
        path.write_text("mine")

    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(made_sampler(), rows=10, seed=5, path=path, force=True, progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == (["rows.csv"] if existed else [])
    assert not existed or path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"), [("rows.ods", "format"), ("no/rows.csv", "not a directory")]
)
def test_an_output_that_cannot_be_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=message):
        write_rows(made_sampler(), rows=10, seed=5, path=tmp_path / name)


def test_a_description_is_plain_json_and_tells_the_sizes() -> None:
    facts = json.loads(json.dumps(describe_sampler(made_sampler())))
    assert facts["total"] == 1234
    assert facts["attributes"][1] == {
        "name": "age",
        "codes": 20,
        "source": "unreviewed",
        "working_codes": 4,
        "working_source": "bought",
    }
    assert facts["conditionals"][2] == {"attribute": "grade", "given": ["age"], "cells": 8}
    assert facts["certificate"]["silos"] == ["north", "south"]
