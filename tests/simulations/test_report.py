"""Comparing with real rows: every score between its floor and its ceiling, for any table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidTable
from silosynth.common.evaluate.compare import TRIPLES, compare
from silosynth.common.report import Bound, Mode, Provenance, Reference, ReportFacts, ScoreName
from silosynth.common.report.facts import decode_facts, encode_facts
from silosynth.common.report.layout import render_report
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.scores import merge_bins, read_rows
from silosynth.common.scores.rows import MAX_BINS
from silosynth.server.planning import new_plan
from silosynth.simulations import run_report
from silosynth.simulations.silos import SiloDirectory

ROWS = 600


def make_schema(attributes: list[dict[str, Any]]) -> Schema:
    """Return a reviewed schema."""
    declared = [{"source": "declared", **a} for a in attributes]
    return parse_schema({"name": "people", "attributes": declared})


MIXED = make_schema(
    [
        {"name": "colour", "kind": "categorical", "categories": ["red", "blue"], "missing": True},
        {
            "name": "age",
            "kind": "integer",
            "minimum": 0,
            "maximum": 99,
            "bins": {"kind": "width", "count": 100},
            "missing": True,
            "missing_tokens": ["-1"],
        },
        {"name": "income", "kind": "real", "minimum": 0, "maximum": 1000},
        {"name": "member", "kind": "boolean"},
        {"name": "note", "kind": "text"},
    ]
)


def make_table(seed: int, rows: int = ROWS) -> pa.Table:
    """Return rows whose four attributes all depend on one another."""
    rng = np.random.default_rng(seed)
    member = rng.random(rows) < 0.4
    age = np.clip(rng.normal(35 + 25 * member, 8, rows), 0, 99).astype(int)
    colour = np.where(rng.random(rows) < 0.2 + 0.6 * member, "red", "blue").astype(object)
    colour[rng.random(rows) < 0.1] = None
    age[rng.random(rows) < 0.1] = -1
    return pa.table(
        {
            "colour": pa.array(colour.tolist(), type=pa.string()),
            "age": pa.array(age),
            "income": pa.array(np.clip(5.0 * age + rng.normal(0, 20, rows), 0, 1000)),
            "member": pa.array(member),
        }
    )


def report(real: Any, synthetic: Any, *, schema: Schema = MIXED, **changes: Any) -> ReportFacts:
    """Compare under a plan for two silos."""
    method = "mst" if len(schema.coded) > 1 else "independent"
    plan = new_plan(
        schema, epsilon=1.0, delta=1e-6, silos=["a", "b"], method=method, plan_id="people-1"
    )
    return compare(
        real,
        synthetic,
        schema=schema,
        plan=plan,
        certificate=certify_plan(plan),
        costs={"b": 2 * 10**10, "a": 10**10},
        **changes,
    )


def test_every_score_has_floor_ceiling_and_subsample() -> None:
    facts = report(make_table(1), make_table(2))
    assert [(s.name, s.ways) for s in facts.scores] == [
        (ScoreName.MARGINAL_DISTANCE, 1),
        (ScoreName.MARGINAL_DISTANCE, 2),
        (ScoreName.MARGINAL_DISTANCE, 3),
        (ScoreName.COLUMN_SHAPES, 1),
        (ScoreName.COLUMN_PAIR_TRENDS, 2),
    ]
    assert [s.marginals for s in facts.scores] == [4, 6, 4, 4, 6]
    for score in facts.scores:
        assert score.floor_is is Reference.INDEPENDENT
        assert score.ceiling_is is Reference.BOOTSTRAP
        assert score.subsample is not None
        assert 0 < score.subsample < 1


def test_a_second_sample_lies_near_its_ceiling_and_shuffled_columns_at_their_floor() -> None:
    real = make_table(1)
    rng = np.random.default_rng(3)
    shuffled = pa.table(
        {n: real[n].take(pa.array(rng.permutation(ROWS))) for n in real.column_names}
    )
    again = {(s.name, s.ways): s for s in report(real, make_table(2)).scores}
    loose = {(s.name, s.ways): s for s in report(real, shuffled).scores}
    for ways in (2, 3):
        key = (ScoreName.MARGINAL_DISTANCE, ways)
        assert again[key].ceiling < again[key].floor / 1.5
        assert again[key].ceiling < again[key].value < 2 * again[key].ceiling
        assert again[key].value < loose[key].value
        assert loose[key].value == pytest.approx(loose[key].floor, rel=0.1)
        assert loose[key].subsample < again[key].subsample
    trends = (ScoreName.COLUMN_PAIR_TRENDS, 2)
    assert again[trends].value > loose[trends].value
    assert loose[trends].value == pytest.approx(loose[trends].floor, abs=0.03)


def test_the_real_rows_themselves_score_perfectly() -> None:
    facts = report(make_table(1), make_table(1))
    for score in facts.scores:
        assert score.value == (1.0 if score.higher_is_better else 0.0)
        assert score.subsample_bound is Bound.AT_LEAST
    assert all(a.value == 0 and a.reference == a.synthetic for a in facts.attributes)
    assert all(p.value == 0 for p in facts.pairs.pairs)


def test_a_held_out_sample_becomes_the_ceiling() -> None:
    real, held_out = make_table(1), make_table(4, rows=300)
    facts = report(real, held_out, held_out=held_out)
    for score in facts.scores:
        assert score.ceiling_is is Reference.HELD_OUT
        assert score.ceiling == score.value


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not() -> None:
    first, second = (encode_facts(report(make_table(1), make_table(2))) for _ in range(2))
    assert first == second
    assert decode_facts(first) == report(make_table(1), make_table(2))
    other = report(make_table(1), make_table(2), seed=5)
    assert other.provenance.seeds["comparison"] == 5
    assert other.scores[1].ceiling != decode_facts(first).scores[1].ceiling


def test_distances_are_those_of_the_merged_codes() -> None:
    real, synthetic = make_table(1), make_table(2)
    facts = report(real, synthetic)
    codec = Codec(schema=MIXED)
    shares = []
    for table in (real, synthetic):
        domain, codes = merge_bins(MIXED, read_rows(table, codec=codec, origin="t"))
        joint = np.histogram2d(codes[1], codes[3], bins=[np.arange(s + 1) for s in (26, 2)])[0]
        shares.append(joint / ROWS)
        assert domain.shape == (4, 26, MAX_BINS, 2)
    pair = next(p for p in facts.pairs.pairs if (p.left, p.right) == (1, 3))
    assert pair.value == pytest.approx(0.5 * np.abs(shares[0] - shares[1]).sum(), rel=1e-5)


def test_missing_tokens_are_missing_and_not_numbers() -> None:
    rows = read_rows(make_table(1), codec=Codec(schema=MIXED), origin="t")
    ages = next(r.numbers for r in rows.read if r.name == "age")
    assert ages is not None
    assert np.isnan(ages).any()
    assert np.nanmin(ages) >= 0
    attribute = next(a for a in report(make_table(1), make_table(2)).attributes if a.name == "age")
    assert attribute.labels[-1] == "[missing]"
    assert attribute.reference[-1] == pytest.approx(np.isnan(ages).mean(), rel=1e-5)


def test_attributes_stand_worst_first_and_text_is_named_as_not_compared() -> None:
    real = make_table(1)
    worse = real.set_column(3, "member", pa.array(np.ones(ROWS, dtype=bool)))
    facts = report(real, worse)
    assert facts.attributes[0].name == "member"
    values = [a.value for a in facts.attributes]
    assert values == sorted(values, reverse=True)
    assert facts.not_compared == ("note",)


def test_the_page_of_a_comparison_says_that_it_is_not_private() -> None:
    facts = report(make_table(1), make_table(2), silo_rows={"a": 123, "b": 4567})
    assert facts.mode is Mode.SIMULATION
    assert [s.name for s in facts.silos] == ["a", "b"]
    assert facts.silos[0].epsilon < facts.silos[1].epsilon
    page = render_report(facts)
    assert "not differentially private" in page
    assert "Rows (private)" in page
    assert "4,567" in page


def test_a_silo_that_left_the_run_is_shown_with_what_it_spent_and_no_rows() -> None:
    facts = report(make_table(1), make_table(2), silo_rows={"a": 600})
    assert [(s.name, s.rows) for s in facts.silos] == [("a", 600), ("b", None)]
    assert facts.silos[1].rho > 0
    assert render_report(facts)


def test_chosen_pairs_are_marked_in_either_order() -> None:
    facts = report(make_table(1), make_table(2), chosen=[("member", "age"), ("age", "income")])
    names = facts.pairs.attributes
    marked = {(names[p.left], names[p.right]) for p in facts.pairs.pairs if p.chosen}
    assert marked == {("age", "member"), ("age", "income")}


def test_pandas_and_arrow_tables_give_the_same_facts() -> None:
    real, synthetic = make_table(1), make_table(2)
    frames = [
        t.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get) for t in (real, synthetic)
    ]
    assert report(*frames) == report(real, synthetic)


def test_one_attribute_has_one_score_of_each_kind_and_no_pairs() -> None:
    schema = make_schema([{"name": "member", "kind": "boolean"}])
    tables = [make_table(seed).select(["member"]) for seed in (1, 2)]
    facts = report(*tables, schema=schema)
    assert [(s.name, s.ways) for s in facts.scores] == [
        (ScoreName.MARGINAL_DISTANCE, 1),
        (ScoreName.COLUMN_SHAPES, 1),
    ]
    assert facts.pairs.pairs == ()
    assert "There is no pair to compare" in render_report(facts)


def test_columns_without_a_value_are_shown_and_undefined_scores_left_out() -> None:
    schema = make_schema(
        [
            {"name": "x", "kind": "integer", "minimum": 0, "maximum": 9, "missing": True},
            {"name": "c", "kind": "categorical", "categories": ["a", "b"], "missing": True},
        ]
    )
    empty = pa.table({"x": pa.nulls(20, pa.int64()), "c": pa.nulls(20, pa.string())})
    facts = report(empty, empty, schema=schema)
    assert {s.name for s in facts.scores} == {
        ScoreName.MARGINAL_DISTANCE,
        ScoreName.COLUMN_PAIR_TRENDS,
    }
    for attribute in facts.attributes:
        assert attribute.reference[-1] == attribute.synthetic[-1] == 1.0
    assert "Column shapes" not in render_report(facts).split("How to read this")[0]


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_tables_of_a_few_rows_are_compared(rows: int) -> None:
    assert render_report(report(make_table(1, rows=rows), make_table(2, rows=rows)))


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(InvalidTable, match="synthetic table: has no rows"):
        report(make_table(1), make_table(2, rows=0))
    with pytest.raises(InvalidTable, match="real table: has no rows"):
        report(make_table(1, rows=0), make_table(2))


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(InvalidTable, match=r"synthetic table: .*income"):
        report(make_table(1), make_table(2).drop_columns(["income"]))


def test_forty_attributes_are_compared_with_at_most_200_triples() -> None:
    schema = make_schema([{"name": f"a{i}", "kind": "boolean"} for i in range(40)])
    rng = np.random.default_rng(0)
    tables = [
        pa.table({f"a{i}": pa.array(rng.random(50) < 0.5) for i in range(40)}) for _ in range(2)
    ]
    facts = report(*tables, schema=schema)
    assert [s.marginals for s in facts.scores][:3] == [40, 780, TRIPLES]
    assert len(render_report(facts).encode()) < 1_000_000


def test_provenance_is_kept() -> None:
    made = Provenance(digests={"sampler": "sha256:ab"}, seeds={"draw": 7}, versions={"x": "1"})
    facts = report(make_table(1), make_table(2), provenance=made)
    assert facts.provenance.seeds == {"draw": 7, "comparison": 0}
    assert facts.provenance.digests == {"sampler": "sha256:ab"}


def test_a_silo_is_read_by_the_thousand_and_gives_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table beyond memory: no piece is larger than a batch, and what is kept is the same."""
    table = make_table(3, rows=400)
    place = SiloDirectory(path=tmp_path / "silos" / "a")
    place.path.mkdir(parents=True)
    pq.write_table(table, place.table)
    shares = []
    monkeypatch.setattr(run_report, "MOST_ROWS", 100)
    for batch in (50, 1000):
        monkeypatch.setattr(run_report, "_BATCH", batch)
        pieces = list(run_report._tables(place, schema=MIXED))
        assert [len(p) for p in pieces] == [0, *[min(batch, 400)] * max(400 // batch, 1)]
        assert pa.concat_tables(pieces).equals(table.select(pieces[0].column_names))
        shares.append(
            run_report._share(tmp_path, "a", schema=MIXED, sizes={"a": 400, "b": 400}, seed=1)
        )
    assert len(shares[0]) == 50
    assert shares[0].equals(shares[1])
    few = run_report._share(tmp_path, "a", schema=MIXED, sizes={"a": 40, "b": 40}, seed=1)
    assert len(few) == 400, "all rows of a run of few"
