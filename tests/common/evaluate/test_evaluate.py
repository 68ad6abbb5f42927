"""Evaluation on values: what looks good by bins and is not must look bad, and faults are named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
import yaml

from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, InvalidTable
from silosynth.common.evaluate import Wish, load_audit
from silosynth.common.evaluate.coefficients import coefficient_measures
from silosynth.common.evaluate.evaluate import evaluate
from silosynth.common.evaluate.files import _stood
from silosynth.common.evaluate.joint import value_distances
from silosynth.common.evaluate.lamps import fidelity_lamp, privacy_lamp
from silosynth.common.evaluate.made import Guarantee
from silosynth.common.evaluate.shapes import column_facts, shape
from silosynth.common.report import Axis, Better, ColumnFacts, EvaluationFacts, Measure, State
from silosynth.common.report.facts import decode_facts
from silosynth.common.report.layout import render_report
from silosynth.common.schema import parse_schema
from silosynth.common.scores import ValueKind, make_sides, read_sample, read_values
from silosynth.common.scores.value_bins import value_bins

ROWS = 1200


def make_table(seed: int, rows: int = ROWS, **changed: Any) -> pa.Table:
    """Return rows in which everything depends on ``member``; costs are 0 in nine of ten."""
    rng = np.random.default_rng(seed)
    member = rng.random(rows) < 0.4
    age = np.clip(rng.normal(35 + 20 * member, 9, rows), 0, 99).astype(int)
    cost = np.where(rng.random(rows) < 0.9, 0.0, np.round(rng.exponential(500, rows), 2))
    place = np.where(
        member, rng.choice(["north", "east"], rows), rng.choice(["south", "west"], rows)
    )
    code = rng.integers(0, 10**9, rows)
    columns = {"age": age, "cost": cost, "place": place, "member": member, "code": code}
    return pa.table(columns | changed)


def column(facts: EvaluationFacts, name: str) -> ColumnFacts:
    """Return a column's facts."""
    return next(c for c in facts.columns if c.name == name)


def value(facts: EvaluationFacts, name: str) -> float:
    """Return a measure's value."""
    return next(m.value for m in facts.measures if m.name == name)


@pytest.fixture(scope="module")
def smeared() -> EvaluationFacts:
    """A table whose zeros are gone: each lies somewhere in the bin that begins with 0."""
    real, other = make_table(1), make_table(2)
    cost = other["cost"].to_numpy()
    moved = np.where(cost == 0, np.random.default_rng(3).uniform(0, 30, ROWS), cost)
    return evaluate(real, other.set_column(1, "cost", pa.array(moved)), wish=Wish())


@pytest.fixture(scope="module")
def again() -> EvaluationFacts:
    """Another sample of the same people, with a control."""
    return evaluate(
        make_table(1),
        make_table(2),
        control=make_table(4),
        wish=Wish(targets=("member",), groups=("place",)),
    )


def test_a_column_that_lost_its_zeros_cannot_look_good(smeared: EvaluationFacts) -> None:
    worst = smeared.columns[0]
    assert worst.name == "cost"
    assert worst.real.zeros is not None
    assert worst.real.zeros > 0.85
    assert worst.synthetic.zeros == 0
    assert worst.shape < 0.2
    assert worst.form_off > 0.5
    assert smeared.lamps[0].axis is Axis.FIDELITY
    assert smeared.lamps[0].state is State.POOR
    assert smeared.told_apart_by[0][0] == "cost"


def test_another_sample_of_the_same_people_looks_good(again: EvaluationFacts) -> None:
    assert again.lamps[0].state is State.GOOD
    assert all(c.shape > 0.9 for c in again.columns)
    assert all(c.form_off == 0 for c in again.columns)
    assert value(again, "told apart by a classifier, AUC") < 0.6
    assert again.rows_control == ROWS
    assert again.lamps[2].state is State.UNKNOWN


def test_every_fidelity_score_has_a_ceiling_between_value_and_best(again: EvaluationFacts) -> None:
    for measure in again.measures:
        if measure.name.endswith("distance of values") and not measure.name.startswith("1-way"):
            assert measure.floor is not None
            assert measure.ceiling is not None
            assert measure.ceiling < measure.floor
            assert measure.value < measure.floor


def test_shuffled_columns_are_at_the_floor_and_useless() -> None:
    real = make_table(1)
    rng = np.random.default_rng(5)
    loose = pa.table({n: real[n].take(pa.array(rng.permutation(ROWS))) for n in real.column_names})
    facts = evaluate(real, loose, wish=Wish(targets=("member",)))
    assert facts.lamps[0].state is State.POOR
    assert facts.lamps[1].state is State.POOR
    assert facts.targets[0].whole.synthetic < 0.65 < facts.targets[0].whole.real
    assert value(facts, "rows in impossible combinations") > 0.3
    names = {i.columns for i in facts.impossible}
    assert ("place", "member") in names


def test_impossible_cells_can_be_pasted_into_the_schema() -> None:
    real = make_table(1).select(["age", "place", "member"])
    rng = np.random.default_rng(5)
    loose = pa.table({n: real[n].take(pa.array(rng.permutation(ROWS))) for n in real.column_names})
    document: dict[str, Any] = {
        "name": "people",
        "attributes": [
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "declared"},
            {
                "name": "place",
                "kind": "categorical",
                "categories": ["north", "east", "south", "west"],
                "source": "declared",
            },
            {"name": "member", "kind": "boolean", "source": "declared"},
        ],
    }
    schema = parse_schema(document)
    facts = evaluate(real, loose, schema=schema)
    assert facts.structural_zeros.startswith("# unreviewed")
    pasted = parse_schema(document | yaml.safe_load(facts.structural_zeros))
    found = {frozenset(z.attributes): len(z.cells) for z in pasted.structural_zeros}
    assert found[frozenset({"place", "member"})] == 4
    assert all(set(z.attributes) <= {"age", "place", "member"} for z in pasted.structural_zeros)


def test_groups_are_judged_by_themselves(again: EvaluationFacts) -> None:
    target = again.targets[0]
    assert target.name == "member"
    assert not target.chosen
    assert target.whole.real > 0.9
    assert target.whole.synthetic > target.whole.real - 0.05


def test_the_ten_commonest_values_and_missing_ones_are_counted() -> None:
    real = make_table(1)
    gone = real["cost"].to_pylist()
    holes = pa.array([None if i % 4 == 0 else v for i, v in enumerate(gone)])
    facts = evaluate(real, real.set_column(1, "cost", holes))
    found = column(facts, "cost")
    assert found.synthetic.missing == pytest.approx(0.25)
    assert found.shape == pytest.approx(0.75, abs=0.01)


def test_a_lost_form_is_seen() -> None:
    dates = [f"2024-0{1 + i % 9}-1{i % 10}" for i in range(ROWS)]
    spelled = [f"{d[8:]}.{d[5:7]}.{d[:4]}" for d in dates]
    real = make_table(1).append_column("day", pa.array(dates))
    other = make_table(2).append_column("day", pa.array(spelled))
    facts = evaluate(real, other)
    assert column(facts, "day").form_off == 1.0
    assert facts.lamps[0].state is not State.GOOD


def test_dropped_categories_are_listed_by_weight() -> None:
    real, other = make_table(1), make_table(2)
    kept = [p if p != "north" else "east" for p in other["place"].to_pylist()]
    facts = evaluate(real, other.set_column(2, "place", pa.array(kept)))
    assert [(d.column, d.category) for d in facts.dropped] == [("place", "north")]


def test_text_and_numbers_of_a_csv_file_are_the_same_values(tmp_path: Path) -> None:
    table = make_table(1)
    csv.write_csv(table, tmp_path / "t.csv")
    pq.write_table(table, tmp_path / "t.parquet")
    sides = [read_sample(tmp_path / f"t.{end}", seed=1).table for end in ("csv", "parquet")]
    (first, second), _ = read_values(sides)
    for one, two in zip(first.columns, second.columns, strict=True):
        assert one.kind is two.kind
        assert shape(one, two) == 1.0
    assert first.columns[1].kind is ValueKind.NUMBER


def test_an_atom_has_a_cell_of_its_own() -> None:
    (real, other), _ = read_values(
        [
            pa.table({"x": [0.0] * 900 + list(range(1, 101))}),
            pa.table({"x": [0.001] * 900 + list(range(1, 101))}),
        ]
    )
    bins = value_bins(real.columns[0], count=32)
    zero = set(bins.cells(real.columns[0])[:900])
    assert len(zero) == 1
    assert not zero & set(bins.cells(other.columns[0])[:900])


def test_a_sample_of_a_large_file_is_fair_and_repeatable(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": np.arange(50_000)}), tmp_path / "t.parquet", row_group_size=997)
    one, two = (read_sample(tmp_path / "t.parquet", seed=7, most=4_000) for _ in range(2))
    assert one.rows == 50_000
    assert one.table.num_rows == 4_000
    assert one.table.equals(two.table)
    places = one.table["x"].to_numpy()
    assert (np.diff(places) > 0).all()
    # Six standard deviations of the mean of 4,000 of 50,000 places.
    assert abs(places.mean() - 24_999.5) < 6 * 14_434 / 4_000**0.5


def test_coefficients_agree_with_themselves_and_not_with_noise() -> None:
    tables, _ = read_values([make_table(1), make_table(1)])
    sides = make_sides(tables[0], tables[1], None, seed=0)
    overlap, gap = coefficient_measures(sides, target="member")
    assert overlap.value == pytest.approx(1.0)
    assert gap.value == pytest.approx(0.0, abs=1e-9)
    assert overlap.floor is not None
    assert overlap.floor < 0.8
    assert value_distances(sides, seed=0)[1].value == 0


def small(rows: int) -> pa.Table:
    return make_table(1).slice(0, rows)


FAULTS: dict[str, tuple[Callable[[], object], str]] = {
    "few rows": (lambda: evaluate(small(199), make_table(2)), "fewer than 200 rows"),
    "few synthetic rows": (lambda: evaluate(make_table(2), small(10)), "synthetic table has fewer"),
    "shared rows": (
        lambda: evaluate(make_table(1), make_table(2), control=make_table(1)),
        "shares rows with the real table",
    ),
    "a few shared rows": (
        lambda: evaluate(
            make_table(1),
            make_table(2),
            control=pa.concat_tables([make_table(9), make_table(1).slice(0, 40)]),
        ),
        "shares rows with the real table",
    ),
    "one class": (
        lambda: evaluate(
            make_table(1, member=np.ones(ROWS, dtype=bool)),
            make_table(2),
            wish=Wish(targets=("member",)),
        ),
        "one class alone",
    ),
    "all missing": (
        lambda: evaluate(
            make_table(1, place=pa.nulls(ROWS, pa.string())),
            make_table(2),
            wish=Wish(targets=("place",)),
        ),
        "missing in every row",
    ),
    "unknown target": (
        lambda: evaluate(make_table(1), make_table(2), wish=Wish(targets=("nothing",))),
        "no column that is compared",
    ),
    "another schema": (
        lambda: evaluate(make_table(1), make_table(2).drop_columns(["age"])),
        "'age' is in the real table",
    ),
    "attack without control": (
        lambda: evaluate(make_table(1), make_table(2), wish=Wish(attack=True)),
        "needs a control",
    ),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_bad_input_is_named(fault: str) -> None:
    attempt, words = FAULTS[fault]
    with pytest.raises((InvalidTable, InvalidArgument), match=words):
        attempt()


@pytest.mark.parametrize("copied", [1.0, 0.04])
def test_a_copy_is_found_and_another_sample_is_not(copied: float) -> None:
    real, control = make_table(1, rows=4000), make_table(4, rows=8000)
    part = round(copied * 4000)
    mixed = pa.concat_tables([real.slice(0, part), make_table(2, rows=4000).slice(0, 4000 - part)])
    wish = Wish(targets=("member",), attack=True)
    leaking = evaluate(real, mixed, control=control, wish=wish)
    assert leaking.lamps[2].state is State.POOR
    assert len(leaking.worst_records) == 10


def test_the_command_writes_a_page_and_holds_a_gate(tmp_path: Path) -> None:
    for name, seed in (("real", 1), ("made", 2), ("other", 4)):
        pq.write_table(make_table(seed), tmp_path / f"{name}.parquet")
    gate = tmp_path / "gate.yaml"
    words = ["evaluate", str(tmp_path / "made.parquet"), "--real", str(tmp_path / "real.parquet")]
    words += ["--control", str(tmp_path / "other.parquet"), "--target", "member"]
    words += ["--out", str(tmp_path / "out"), "--gate", str(gate), "--force"]
    name = "2-way distance of values"
    for most, code in ((0.9, 0), (0.0, 1)):
        gate.write_text(yaml.safe_dump({"version": 1, "bars": [{"name": name, "at_most": most}]}))
        assert run(words) == code
    gate.write_text(yaml.safe_dump({"version": 1, "bars": [{"name": "beauty", "at_most": 1}]}))
    assert run(words) == 4
    facts = decode_facts((tmp_path / "out" / "report.json").read_bytes())
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page == render_report(facts)
    assert facts.evaluation is not None
    for lamp in facts.evaluation.lamps:
        assert lamp.sentence.split(";")[0] in page


def _people(seed: int) -> pa.Table:
    """Return a column of each kind that tables were damaged in."""
    r = np.random.default_rng(seed)
    rows = 2_000
    at = np.datetime64("2024-03-01") + r.integers(0, 5 * 86_400, rows).astype("timedelta64[s]")
    zone = pa.timestamp("s", tz="America/New_York")
    return pa.table(
        {
            "day": [f"{str(t)[8:10]}/{str(t)[5:7]}/{str(t)[:4]}" for t in at],
            "seen": pa.array(at).cast(pa.timestamp("s", tz="UTC")).cast(zone),
            "fare": np.round(r.gamma(3, 9, rows), 2),
            "toll": np.where(r.random(rows) < 0.9, 0.0, np.round(r.exponential(500, rows), 2)),
            "hours": np.where(r.random(rows) < 0.5, 40, r.integers(1, 80, rows)),
            "country": r.choice(["NA", "FR", "NO"], rows),
            "concept": r.choice([8507, 8532], rows),
            "paid": np.where(
                r.random(rows) < 0.7, 10 * r.integers(0, 21, rows), r.integers(0, 200, rows)
            ),
            "gap": pa.array(np.arange(rows) % 90, mask=r.random(rows) < 0.3),
        }
    )


def _moved(table: pa.Table, name: str, change: Callable[[np.ndarray], Any]) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(change(table[name].to_numpy())))


_RANDOM = np.random.default_rng(9)
DAMAGES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "dates lose their form": lambda t: _moved(
        t, "day", lambda v: [f"{d[6:]}-{d[3:5]}-{d[:2]}T00:00:00.123456" for d in v]
    ),
    "zones become UTC": lambda t: t.set_column(
        1, "seen", t["seen"].cast(pa.timestamp("s", tz="UTC"))
    ),
    "cents become fifteen digits": lambda t: _moved(
        t, "fare", lambda v: v + 1e-3 * _RANDOM.random(len(v))
    ),
    "zeros are gone": lambda t: _moved(
        t, "toll", lambda v: np.where(v == 0, np.round(_RANDOM.uniform(0, 90, len(v)), 2), v)
    ),
    "a tail grows to the bound": lambda t: _moved(
        t, "toll", lambda v: np.where(_RANDOM.random(len(v)) < 0.05, 100_000.0, v)
    ),
    "a common value is smeared": lambda t: _moved(
        t, "hours", lambda v: np.where(v == 40, _RANDOM.integers(30, 50, len(v)), v)
    ),
    "Namibia becomes a gap": lambda t: _moved(
        t, "country", lambda v: [None if c == "NA" else c for c in v]
    ),
    "concepts are invented": lambda t: _moved(
        t, "concept", lambda v: np.where(_RANDOM.random(len(v)) < 0.3, 8519, v)
    ),
    "heaps are smeared": lambda t: _moved(
        t, "paid", lambda v: v + np.where(v % 10 == 0, _RANDOM.integers(-2, 3, len(v)), 0)
    ),
    "gaps are filled": lambda t: _moved(t, "gap", lambda v: np.nan_to_num(v)),
}


def _closeness(other: pa.Table) -> State:
    """Return how close a table is called when its pairs are as near as they can be."""
    (real, synthetic, control), _ = read_values([_people(1), other, _people(3)], schema=None)
    sides = zip(real.columns, synthetic.columns, control.columns, strict=True)
    columns = sorted((column_facts(*side) for side in sides), key=lambda c: c.shape - c.form_off)
    near = Measure(
        axis=Axis.FIDELITY,
        name="2-way distance of values",
        value=0.1,
        ceiling=0.1,
        floor=0.5,
        better=Better.LOW,
    )
    return fidelity_lamp(columns, [near], ceiling_is="the control").state


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_what_came_out_wrong_in_public_files_cannot_look_good(damage: str) -> None:
    assert _closeness(DAMAGES[damage](_people(2))) is not State.GOOD


def test_undamaged_people_look_good() -> None:
    assert _closeness(_people(2)) is State.GOOD


def test_rules_keys_and_values_that_cannot_be_are_counted() -> None:
    document: dict[str, Any] = {
        "name": "visits",
        "version": 2,
        "attributes": [
            {"name": "key", "kind": "identifier"},
            {"name": "begin", "kind": "integer", "minimum": 0, "maximum": 99, "source": "declared"},
            {"name": "end", "kind": "integer", "minimum": 0, "maximum": 99, "source": "declared"},
            {"name": "ward", "kind": "categorical", "categories": ["x", "y"], "source": "declared"},
        ],
        "rules": ["begin <= end"],
    }
    rng = np.random.default_rng(1)

    def visits(rows: int, *, swapped: int = 0, twice: int = 0, strange: int = 0) -> pa.Table:
        times = np.sort(rng.integers(0, 100, (rows, 2)), axis=1)
        times[:swapped] = (30, 20)
        keys = np.arange(rows)
        keys[:twice] = keys[-1]
        wards = np.where(np.arange(rows) < strange, "q", rng.choice(["x", "y"], rows))
        return pa.table({"key": keys, "begin": times[:, 0], "end": times[:, 1], "ward": wards})

    facts = evaluate(
        visits(400),
        visits(400, swapped=40, twice=7, strange=12),
        control=visits(400),
        schema=parse_schema(document),
    )
    found = {(m.name, m.target): m for m in facts.measures}
    broken = found["rows that break a rule", "begin <= end"]
    assert broken.value == pytest.approx(0.1, abs=0.005)
    assert broken.ceiling == 0
    assert broken.floor is not None
    assert 0.1 < broken.floor < 0.3  # of two draws in order, exchanged by lot: one in six
    assert found["rows that break a rule, the worst one", None].value == broken.value
    assert found["keys that occur twice", "key"].value == pytest.approx(8 / 400)
    assert found["values that the schema refuses", None].value == pytest.approx(12 / 1200)
    [worst] = [m for m in facts.measures if m.name == "distance of the worst pair"]
    assert worst.target is not None
    assert "begin" in worst.target  # the times were damaged most, and each pair with them
    assert worst.ceiling is not None
    assert worst.value > worst.ceiling


def test_a_key_without_a_schema_is_known_by_its_values() -> None:
    real = make_table(1).append_column("key", pa.array([f"k{i}" for i in range(ROWS)]))
    again = real.set_column(5, "key", pa.array([f"k{i // 2}" for i in range(ROWS)]))
    facts = evaluate(real, again)
    assert value(facts, "keys that occur twice") == 1


def test_a_column_of_nothing_is_no_key() -> None:
    nothing = pa.nulls(ROWS, pa.string())
    facts = evaluate(
        make_table(1).append_column("none", nothing), make_table(2).append_column("none", nothing)
    )
    assert not any(m.target == "none" and "keys" in m.name for m in facts.measures)


def test_rows_beside_each_other_are_spelled_as_the_file_is() -> None:
    rng = np.random.default_rng(1)
    fees = rng.integers(0, 900, ROWS)
    real = pa.table({"fee": [f"{n / 10:.2f}" for n in fees], "w": [f"{n:.1f}" for n in fees]})
    made = pa.table({"fee": fees[::-1] / 10, "w": fees[::-1].astype(float)})
    number = {"kind": "real", "minimum": 0, "source": "public"}
    fee = {"name": "fee", "maximum": 90, "decimals": 2, "spelled": {"places": 2}}
    weight = {"name": "w", "maximum": 900, "decimals": 1, "spelled": {"places": 1}}
    schema = parse_schema({"name": "t", "attributes": [number | fee, number | weight]})
    example = evaluate(real, made, schema=schema).example
    assert example is not None
    for row in (*example.real, *example.synthetic):
        assert re.fullmatch(r"\d+\.\d\d", row[0])
        assert re.fullmatch(r"\d+\.\d", row[1])


def _attack(name: str, low: float) -> Measure:
    return Measure(
        axis=Axis.PRIVACY,
        name=name,
        value=low + 0.05,
        ceiling=0.5,
        floor=1.0,
        low=low,
        high=low + 0.1,
        better=Better.LOW,
    )


def test_what_the_coordinator_finds_within_the_promise_is_said_and_does_not_forbid() -> None:
    promise = Guarantee(epsilon=1.0, delta=1e-6, unit="person", mu=0.27)
    by_releases, by_table = "membership by releases, AUC", "membership by shares of pairs, AUC"
    calm = privacy_lamp(promise, [_attack(by_releases, 0.49)])
    assert calm.state is State.GOOD
    told = privacy_lamp(promise, [_attack(by_releases, 0.7), _attack(by_table, 0.49)])
    assert told.state is State.FAIR
    assert "sees what left the silos" in told.sentence
    assert privacy_lamp(promise, [_attack(by_table, 0.7)]).state is State.POOR
    assert privacy_lamp(None, [_attack(by_releases, 0.7)]).state is State.POOR


def test_an_audit_is_read_by_its_version(tmp_path: Path) -> None:
    path = tmp_path / "audit.json"
    words = {"version": 1, "epsilon": 4, "epsilon_at_least": 3.7, "delta": 1e-5, "games": 9600}
    path.write_text(json.dumps(words | {"z": 0.3}))
    assert load_audit(path).at_least == 3.7
    path.write_text(json.dumps(words | {"version": 2}))
    with pytest.raises(InvalidArgument, match="version"):
        load_audit(path)


def test_the_rows_of_a_sample_are_named_by_their_place_in_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": np.arange(50_000)}), tmp_path / "t.parquet", row_group_size=997)
    sampled = read_sample(tmp_path / "t.parquet", seed=7, most=4_000)
    assert (sampled.places == sampled.table["x"].to_numpy()).all()


def test_the_most_exposed_are_named_by_where_they_stood(again: EvaluationFacts) -> None:
    exposed = again.model_copy(update={"worst_records": (2, 0)})
    assert _stood(exposed, np.array([10, 20, 30])) == (30, 10)
    assert _stood(exposed, np.zeros(0, dtype=np.int64)) == (2, 0)
