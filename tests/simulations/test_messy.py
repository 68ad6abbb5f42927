"""From a messy file to rows by the command line: what each step is told, and what comes out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from silosynth.common.cli.app import run
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidTable
from silosynth.common.evaluate.compare import compare
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, dump_schema, load_schema, parse_schema
from silosynth.common.scores import read_rows
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate
from silosynth.simulations.tables import find_silos, read_silos

ROWS = 400
SCHEMA = parse_schema(
    {
        "name": "people",
        "source": "public",
        "attributes": [
            {"name": "age", "kind": "integer", "minimum": 18, "maximum": 90},
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "other": False},
        ],
    }
)


def people(seed: int = 1, *, sex: tuple[str, str] = ("f", "m")) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    return pd.DataFrame({"age": r.integers(18, 90, ROWS), "sex": r.choice(sex, ROWS)})


def plan_for(schema: Schema, *silos: str) -> Plan:
    return new_plan(schema, epsilon=3.0, delta=1e-6, silos=silos, workload=[("age",), ("sex",)])


def test_a_messy_file_walks_from_draft_to_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    r = np.random.default_rng(3)
    day = pd.Timestamp("2021-01-01") + pd.to_timedelta(r.integers(0, 300, ROWS), unit="D")
    frame = pd.DataFrame(
        {
            "Ort": r.choice(["Köln", "北京"], ROWS),
            "Betrag": [f"{x:.2f}".replace(".", ",") for x in r.gamma(3, 20, ROWS)],
            "Tag": day.strftime("%d.%m.%Y"),
            "leer": "",
            "Währung": "EUR",
            "Alter": [["NA", str(k % 90)][k % 5 > 0] for k in range(ROWS)],
        }
    )
    table, schema, plan = tmp_path / "t.csv", tmp_path / "s.yaml", tmp_path / "p.yaml"
    frame.to_csv(table, index=False, sep=";")
    assert run(["schema", "draft", str(table), "--out", str(schema)]) == 0
    assert run(["schema", "check", str(schema)]) == 4
    assert run(["schema", "accept", str(schema), "--public", "Ort", "--why", "a map"]) == 0
    assert run(["schema", "accept", str(schema), "--all-declared", "--why", "our codebook"]) == 0
    reviewed = load_schema(schema)
    assert reviewed.unreviewed() == ()
    assert {a.why for a in reviewed.attributes} == {"a map", "our codebook"}
    words = ["plan", "new", str(schema), "--epsilon", "5", "--delta", "1e-6", "--out", str(plan)]
    assert run([*words, "--silos", "Köln,北京", "--method", "independent"]) == 0
    words = ["simulate", str(plan), "--schema", str(schema), "--silos", str(table), "--by", "Ort"]
    assert run([*words, "--engine", "local", "--out", str(tmp_path / "run")]) == 0
    sampler, out = tmp_path / "run" / "result.sampler", tmp_path / "out.csv"
    words = ["sample", str(sampler), "--rows", "300", "--seed", "1", "--out", str(out)]
    assert run(words) == 0
    rows = pd.read_csv(out, sep=";", dtype=str, keep_default_na=False)
    assert list(rows.columns) == list(frame.columns)
    assert rows["Betrag"].str.fullmatch(r"\d+,\d\d").all()
    assert rows["Tag"].str.fullmatch(r"\d\d\.\d\d\.2021").all()
    assert set(rows["leer"]) == {""}
    assert set(rows["Währung"]) == {"EUR"}
    assert set(rows["Ort"]) == {"Köln", "北京"}
    assert rows["Alter"].str.fullmatch(r"\d+|NA").all()
    assert "silo 'Köln' is written Koln in the plan" in capsys.readouterr().err
    words = ["evaluate", str(sampler), "--real", str(table), "--out", str(tmp_path / "report")]
    assert run(words) == 0


def test_a_draft_is_reviewed_in_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, schema = tmp_path / "t.csv", tmp_path / "s.yaml"
    people().assign(ward="A", note="B").to_csv(table, index=False)
    assert run(["schema", "draft", str(table), "--out", str(schema)]) == 0
    answers = iter(["c", "maximum=120", "maximum=1", "", "p", "a", "d", "q"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert run(["schema", "review", str(schema)]) == 0
    reviewed = {a.name: a for a in load_schema(schema).attributes}
    assert reviewed["age"].model_dump()["maximum"] == 120
    assert [a.source.value for a in reviewed.values()] == [
        "public",
        "declared",
        "declared",
        "unreviewed",
    ]
    assert reviewed["ward"].kind == "ignored"


RULES = ["18 <= age", "age <= 89", 'never sex = "f" and age = 18']


def _proposed(path: Path) -> Path:
    marked = [f"unreviewed: {rule}" for rule in RULES]
    document = yaml.safe_load(dump_schema(SCHEMA))
    path.write_text(dump_schema(parse_schema({**document, "version": 2, "rules": marked})))
    return path


def test_proposed_rules_are_accepted_by_their_place(tmp_path: Path) -> None:
    schema = _proposed(tmp_path / "s.yaml")
    words = ["schema", "accept", str(schema), "--all-public", "--why", "census"]
    assert run(words) == 4, "rules are not accepted with all attributes"
    assert len(load_schema(schema).unreviewed()) == len(RULES)
    assert run(["schema", "accept", str(schema), "--lines", "4"]) == 4
    assert run(["schema", "accept", str(schema), "--lines", "1,3"]) == 0
    assert load_schema(schema).rules == (RULES[0], f"unreviewed: {RULES[1]}", RULES[2])
    assert run(["schema", "accept", str(schema), "--lines", "all"]) == 0
    assert load_schema(schema).rules == tuple(RULES)


def test_proposed_rules_are_reviewed_after_the_attributes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = _proposed(tmp_path / "s.yaml")
    answers = iter(["d", "c", "age <", "c", "age <= 80", "a"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(answers))
    assert run(["schema", "review", str(schema)]) == 0
    assert load_schema(schema).rules == ("age <= 80", RULES[2])
    assert load_schema(schema).unreviewed() == ()


def test_accepting_all_needs_a_reason_and_known_names(tmp_path: Path) -> None:
    table, schema = tmp_path / "t.csv", tmp_path / "s.yaml"
    people().to_csv(table, index=False)
    assert run(["schema", "draft", str(table), "--out", str(schema)]) == 0
    assert run(["schema", "accept", str(schema), "--all-declared"]) == 4
    assert run(["schema", "accept", str(schema), "--public", "nobody"]) == 4
    assert run(["schema", "accept", str(schema)]) == 4
    assert len(load_schema(schema).unreviewed()) == 2


def test_a_file_has_one_source_for_all() -> None:
    assert SCHEMA.unreviewed() == ()
    assert {a.source.value for a in SCHEMA.attributes} == {"public"}


def test_one_silo_that_spells_otherwise_stops_the_run(tmp_path: Path) -> None:
    silos = {"north": people(), "south": people(2, sex=("1", "2"))}
    plan, told = plan_for(SCHEMA, *silos), list[str]()
    with pytest.raises(InvalidTable, match="silo south: no value of column 'sex' fits the schema"):
        simulate(plan, schema=SCHEMA, silos=silos, engine="local", tell=told.append)
    assert told == [f"south: sex: {ROWS} of {ROWS} values not listed: 0.0% of it fits"]
    again = simulate(plan, schema=SCHEMA, silos=silos, engine="local", accept_misfits=True)
    assert again.certificate.epsilon <= 3.0


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv", ".CSV", ".pq"])
def test_a_folder_of_any_endings_is_read(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("north", "São Paulo"):
        path, frame = tmp_path / f"{name}{ending}", people()
        text = frame.to_csv(index=False, sep="\t" if ending == ".tsv" else ",")
        if ending == ".pq":
            frame.to_parquet(path, index=False)
        elif ending == ".csv.gz":
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
    (tmp_path / "notes.md").write_text("no table")
    assert list(find_silos(tmp_path)) == ["Sao-Paulo", "north"]
    assert "notes.md is left out" in capsys.readouterr().err
    tables = read_silos(tmp_path, schema=SCHEMA, by=None)
    assert {t.num_rows for t in tables.values()} == {ROWS}


def test_frames_of_polars_run_like_any(tmp_path: Path) -> None:
    frame = pl.from_pandas(people()).with_columns(pl.col("sex").cast(pl.Categorical))
    enum = pl.from_pandas(people(2)).with_columns(pl.col("sex").cast(pl.Enum(["f", "m"])))
    silos = {"north": frame, "south": enum}
    result = simulate(plan_for(SCHEMA, *silos), schema=SCHEMA, silos=silos, engine="local")
    assert set(result.sampler.draw(100, seed=1)["sex"]) == {"f", "m"}


def test_columns_that_the_schema_ignores_are_left_alone(tmp_path: Path) -> None:
    schema = parse_schema(
        {
            "name": "people",
            "source": "public",
            "attributes": [
                *(
                    a.model_dump(exclude_defaults=True) | {"kind": a.kind}
                    for a in SCHEMA.attributes
                ),
                {"name": "tags", "kind": "ignored"},
            ],
        }
    )
    table = pa.Table.from_pandas(people()).append_column("tags", pa.array([["a"]] * ROWS))
    for name in ("north", "south"):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    tables = read_silos(tmp_path, schema=schema, by=None)
    assert tables["north"].column_names == ["age", "sex"]


@pytest.mark.parametrize(
    ("epsilon", "delta", "said"),
    [
        ("200", "1e-6", "epsilon 200 is not between 0 and 100"),
        ("1e9", "1e-6", "epsilon 1e+09 is not between 0 and 100"),
        ("0", "1e-6", "epsilon 0 is not between 0 and 100"),
        ("nan", "1e-6", "epsilon nan is not between 0 and 100"),
        ("1", "0.5", "delta 0.5 is not between 0 and 0.01"),
        ("1", "0", "delta 0 is not between 0 and 0.01"),
    ],
)
def test_budgets_out_of_range_are_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], epsilon: str, delta: str, said: str
) -> None:
    (tmp_path / "s.yaml").write_text(dump_schema(SCHEMA))
    words = ["plan", "new", str(tmp_path / "s.yaml"), "--epsilon", epsilon, "--delta", delta]
    code = run([*words, "--silos", "a,b", "--out", str(tmp_path / "p.yaml")])
    assert code == 4
    assert said in capsys.readouterr().err


def test_a_comparison_shows_a_bent_column_as_it_is() -> None:
    frame = people(3, sex=("f", "1"))
    rows = read_rows(frame, codec=Codec(SCHEMA), origin="real")
    sex = next(r for r in rows.read if r.name == "sex")
    assert set(sex.known) == {"f", "1"}


@pytest.mark.parametrize(
    ("column", "values", "share"),
    [
        ("sex", ["f", "m", "1", "2"], 0.5),
        ("sex", ["f", "m", "m", None], 0.25),
        ("age", [20, 30, 17, 91], 0.5),
        ("age", ["20", "old", "40", "50"], 0.25),
    ],
)
def test_a_report_counts_a_bent_value_as_no_value_of_the_schema(
    column: str, values: list[object], share: float
) -> None:
    """What is drawn as the bent rows were counted is as far from them as they are many."""
    real = pa.table({"age": [30] * ROWS, "sex": ["f"] * ROWS})
    place = real.column_names.index(column)
    real = real.set_column(place, column, pa.array(values * (ROWS // 4)))
    codec = Codec(SCHEMA)
    drawn = codec.decode(codec.encode(real).codes, uniform=lambda n: np.full(n, 0.5))
    facts = {a.name: a for a in compare(real, drawn, schema=SCHEMA).attributes}
    assert facts[column].value == pytest.approx(share)
    assert facts[column].labels[-1] == "[does not fit]"
    assert facts[column].reference[-1] == pytest.approx(share)
    assert sum(facts[column].reference) == pytest.approx(1)
    (other,) = facts.keys() - {column}
    assert facts[other].value == 0
    assert "[does not fit]" not in facts[other].labels
