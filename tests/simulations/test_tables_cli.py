"""Several tables by the commands of one: simulate, sample, inspect, report, evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from silosynth.common.cli.app import run
from silosynth.common.errors import (
    InvalidArgument,
    InvalidTable,
    OutputExists,
)
from silosynth.common.plan import Own, dump_plan
from silosynth.common.tables import dump_tables, parse_tables
from silosynth.server.planning.tables import new_tables_plan

PERSONS = 80


def listed(name: str, words: str) -> dict[str, Any]:
    return {"name": name, "kind": "categorical", "categories": list(words), "other": False}


def key(name: str, prefix: str) -> dict[str, Any]:
    return {"name": name, "kind": "identifier", "prefix": prefix, "digits": 4}


LINK = {"kind": "identifier", "missing": True}
SCHEMA = parse_tables(
    {
        "name": "clinic",
        "person": "people",
        "source": "public",
        "tables": {
            "people": {
                "key": "id",
                "links": {"boss": "people"},
                "csv": {"delimiter": ";"},
                "attributes": [key("id", "p"), {"name": "boss", **LINK}, listed("town", "xy")],
            },
            "visits": {
                "parent": "people",
                "by": "id",
                "key": "visit",
                "order": "came",
                "children": [0, 1, 2, 3],
                "links": {"seen_by": "people", "after": {"to": "visits", "within": "person"}},
                "csv": {},
                "attributes": [
                    key("visit", "v"),
                    {"name": "id", "kind": "identifier"},
                    {"name": "came", "kind": "integer", "minimum": 0, "maximum": 9},
                    {"name": "left", "kind": "integer", "minimum": 0, "maximum": 9},
                    {"name": "seen_by", **LINK},
                    {"name": "after", **LINK},
                ],
                "rules": ["came <= left"],
            },
            "drugs": {
                "parent": "visits",
                "by": "visit",
                "children": [0, 1, 2],
                "attributes": [listed("dose", "123")],
            },
        },
    }
)
Place = Path


def export(folder: Path) -> dict[str, pd.DataFrame]:
    """Write people, their visits and drugs, and a visit of nobody."""
    folder.mkdir()
    random = np.random.default_rng(1)
    people = pd.DataFrame({"id": [f"p{i:04}" for i in range(PERSONS)]})
    people["boss"] = np.where(random.random(PERSONS) < 0.5, "p0000", "")
    people["town"] = random.choice(["x", "y"], PERSONS)
    owner = np.repeat(people["id"].to_numpy(), random.integers(0, 4, PERSONS))
    visits = pd.DataFrame({"visit": [f"v{i:04}" for i in range(len(owner))], "id": owner})
    visits["came"] = random.integers(0, 10, len(owner))
    visits["left"] = np.minimum(visits["came"] + 1, 9)
    visits["seen_by"] = random.choice(people["id"], len(owner))
    visits["after"] = visits.groupby("id")["visit"].shift()
    drugs = pd.DataFrame({"visit": np.repeat(visits["visit"].to_numpy(), 1)})
    drugs["dose"] = random.choice(list("123"), len(drugs))
    visits.loc[len(visits)] = ["v9999", "p9999", 1, 2, "p0000", None]
    people.to_csv(folder / "people.csv", sep=";", index=False)
    visits.to_csv(folder / "visits.csv", index=False)
    drugs.to_parquet(folder / "drugs.parquet")
    return {"people": people, "visits": visits, "drugs": drugs}


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a folder with an export, a plan, and a run of it, split by town."""
    place = tmp_path_factory.mktemp("place")
    export(place / "export")
    (place / "tables.yaml").write_text(dump_tables(SCHEMA))
    plan = new_tables_plan(SCHEMA, epsilon=50, delta=1e-6, silos=("x", "y"), trust=Own())
    (place / "plan.yaml").write_text(dump_plan(plan))
    assert run(simulate(place, "--by", "town")) == 0
    return place


def simulate(place: Path, *more: str, out: str = "run") -> list[str]:
    words = ["simulate", place / "plan.yaml", "--schema", place / "tables.yaml"]
    words += ["--silos", place / "export", "--out", place / out, *more]
    return [str(w) for w in words]


def told(capsys: pytest.CaptureFixture[str], words: list[object]) -> Any:
    capsys.readouterr()
    code = run([*map(str, words), "--json"])
    found = json.loads(capsys.readouterr().out)
    return found["data"] if code == 0 else found["error"] | {"exit": code}


def test_a_run_ends_with_sampler_certificate_and_report(ended: Place) -> None:
    made = {p.name for p in (ended / "run").iterdir()}
    assert made >= {"result.sampler", "certificate.json", "report.html", "report.json"}
    facts = json.loads((ended / "run" / "report.json").read_text())
    held = {t["name"]: t["synthetic"] for t in facts["tables"]}
    assert all(h["orphans"] == h["double_keys"] == h["falls"] == 0 for h in held.values())
    assert facts["persons_real"] == facts["persons_synthetic"] == PERSONS
    assert facts["certificate"]["epsilon"] <= 50


def test_each_silo_gets_its_persons_with_all_their_rows(ended: Place) -> None:
    whole = {
        n: pd.read_csv(ended / "export" / f"{n}.csv", sep=s)
        for n, s in (("people", ";"), ("visits", ","))
    }
    found = {
        (town, n): pd.read_parquet(ended / "run" / "silos" / town / "tables" / f"{n}.parquet")
        for town in ("x", "y")
        for n in ("people", "visits", "drugs")
    }
    for town in ("x", "y"):
        ids = set(whole["people"].loc[whole["people"]["town"] == town, "id"])
        assert set(found[town, "people"]["id"]) == ids
        own = whole["visits"][whole["visits"]["id"].isin(ids)]
        assert sorted(found[town, "visits"]["visit"]) == sorted(own["visit"])
        assert set(found[town, "drugs"]["visit"]) == set(own["visit"])
        assert list(found[town, "visits"].columns) == list(whole["visits"].columns)


def test_files_are_drawn_in_the_forms_of_the_schema_and_hang_together(
    ended: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", ended / "run" / "result.sampler", "--rows", "70", "--seed", "3", "--out"]
    wrote = told(capsys, [*words, ended / "made"])
    names = {Path(p).name for p in wrote["files"].values()}
    assert names == {"people.csv", "visits.csv", "drugs.parquet"}
    people = pd.read_csv(ended / "made" / "people.csv", sep=";", dtype=str)
    visits = pd.read_csv(ended / "made" / "visits.csv", dtype={"came": int, "left": int})
    drugs = pd.read_parquet(ended / "made" / "drugs.parquet")
    assert wrote["rows"] == {"people": 70, "visits": len(visits), "drugs": len(drugs)}
    assert people["id"].is_unique
    assert visits["visit"].is_unique
    assert set(visits["id"]) < set(people["id"]), "some people have no visit"
    assert set(drugs["visit"]) <= set(visits["visit"])
    assert visits.groupby("id").size().max() <= 3
    assert (visits["came"] <= visits["left"]).all()
    assert visits.groupby("id")["came"].is_monotonic_increasing.all()
    place = dict(zip(people["id"], people.index, strict=True))
    bosses = people.dropna(subset=["boss"])
    assert (bosses["boss"].map(place) < bosses.index).all(), "nobody is the boss of a boss's boss"
    assert set(visits["seen_by"].dropna()) <= set(people["id"])
    owner = dict(zip(visits["visit"], visits["id"], strict=True))
    after = visits.dropna(subset=["after"])
    assert (after["after"].map(owner) == after["id"]).all()
    assert told(capsys, [*words, ended / "made"])["exit"] == OutputExists.exit_code
    assert "drugs.csv" in {
        Path(p).name
        for p in told(capsys, [*words, ended / "made", "--force", "--format", "csv"])[
            "files"
        ].values()
    }


def test_what_one_table_alone_takes_is_refused_in_a_line(
    ended: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sample", ended / "run" / "result.sampler", "--rows", "7", "--seed", "3", "--out"]
    assert (
        "--where is for one table"
        in told(capsys, [*words, ended / "z", "--where", "a=b"])["message"]
    )
    assert "is no folder" in told(capsys, [*words, ended / "z.csv"])["message"]
    sweep = told(capsys, [*simulate(ended, out="z"), "--sweep", "epsilon=1"])
    assert "--sweep is for one table" in sweep["message"]
    real = ["evaluate", ended / "run", "--real", ended / "export", "--out", ended / "z"]
    assert "--target is for one table" in told(capsys, [*real, "--target", "dose"])["message"]
    assert not (ended / "z").exists()


def test_a_sampler_is_inspected(ended: Place, capsys: pytest.CaptureFixture[str]) -> None:
    facts = told(capsys, ["inspect", ended / "run" / "result.sampler"])
    assert facts["tables"] == ["people", "visits", "drugs"]


def test_a_report_is_made_again_from_the_run(
    ended: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    own = (ended / "run" / "report.json").read_bytes()
    told(capsys, ["report", ended / "run"])
    assert (ended / "run" / "report.json").read_bytes() == own, "what the run wrote, once more"
    wrote = told(capsys, ["report", ended / "run", "--out", ended / "again"])
    assert Path(wrote["json"]).read_bytes() == (ended / "run" / "report.json").read_bytes()
    only = told(capsys, ["report", ended / "run", "--released-only", "--out", ended / "z"])
    assert "real rows" in only["message"]


def test_an_evaluation_holds_a_gate(ended: Place, capsys: pytest.CaptureFixture[str]) -> None:
    gate = ended / "gate.yaml"
    bars = [{"name": "orphans", "at_most": 0}, {"name": "parent x child", "at_most": 0.9}]
    gate.write_text(json.dumps({"version": 1, "bars": bars}))
    words = ["evaluate", ended / "run", "--real", ended / "export", "--gate", gate, "--out"]
    assert told(capsys, [*words, ended / "good"])["missed"] == []
    gate.write_text(json.dumps({"version": 1, "bars": [{"name": "orphans", "at_least": 1}]}))
    assert run([*map(str, words), str(ended / "bad")]) == 1
    assert "gate missed: orphans" in capsys.readouterr().err
    told(capsys, ["evaluate", ended / "export", "--real", ended / "export", "--out", ended / "x"])
    facts = json.loads((ended / "good" / "report.json").read_text())
    assert {m["target"] for m in facts["measures"]} == {"people", "visits", "drugs", None}


def test_what_is_wrong_with_silos_is_one_line(
    ended: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(simulate(ended, "--by", "city", out="o")) == InvalidTable.exit_code
    assert "no column 'city' of 'people'" in capsys.readouterr().err
    assert run(simulate(ended, out="p")) == InvalidArgument.exit_code
    assert "holds no folder of a silo" in capsys.readouterr().err
    assert run(simulate(ended, "--by", "boss", out="q")) == InvalidTable.exit_code
    assert "silos that have no table" in capsys.readouterr().err
    assert run(simulate(ended, "--by", "town", "--force", out="q")) == 0, (
        "it is put right by --force"
    )


def test_lines_that_are_passed_over_are_counted_and_anyway_says_what_it_does(
    ended: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ended / "torn"
    export(place)
    with (place / "people.csv").open("a") as file:
        file.write("End of report\n")
    words = simulate(ended, "--by", "town", "--anyway", out="torn-run")
    words[words.index("--silos") + 1] = str(place)
    capsys.readouterr()
    assert run(words) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "people: 1 line has more or fewer fields than the header line: not read" in said
    assert said.count("not read") == 1
    assert "--anyway changes nothing of several tables" in said
