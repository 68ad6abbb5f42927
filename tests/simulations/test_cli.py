"""The command line walks from a description to rows, and says in one line what is wrong."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.schema import dump_schema
from silosynth.simulations.demo_insurers import demo_schema, demo_silos, demo_table


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Write the demonstration's schema and one table a silo."""
    (tmp_path / "schema.yaml").write_text(dump_schema(demo_schema()))
    (tmp_path / "tables").mkdir()
    for name, table in demo_silos().items():
        pq.write_table(table.slice(0, 300), tmp_path / "tables" / f"{name}.parquet")
    return tmp_path


def _plan_new(place: Path, *more: str) -> list[str]:
    silos = ",".join(demo_silos())
    words = ["plan", "new", place / "schema.yaml", "--epsilon", "1", "--delta", "1e-6"]
    return [str(w) for w in (*words, "--silos", silos, "--out", place / "plan.yaml", *more)]


def _simulate(place: Path, *more: str) -> list[str]:
    words = ["simulate", place / "plan.yaml", "--schema", place / "schema.yaml", "--silos"]
    more = more or (str(place / "tables"),)
    return [str(w) for w in (*words, *more, "--out", place / "run", "--engine", "local")]


def _json(capsys: pytest.CaptureFixture[str], words: list[str]) -> Any:
    capsys.readouterr()
    code = run([*words, "--json"])
    out = capsys.readouterr().out
    envelope = json.loads(out)
    assert envelope["schema_version"] == 1
    assert (envelope["status"] == "ok") == (code == 0)
    return envelope["data"] if code == 0 else envelope["error"] | {"exit": code}


def test_the_whole_walk(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema, plan, result = place / "schema.yaml", place / "plan.yaml", place / "run"
    assert _json(capsys, ["schema", "check", str(schema)])["attributes"]["health"] == 4
    made = _json(capsys, _plan_new(place))
    checked = _json(capsys, ["plan", "check", str(plan), "--schema", str(schema)])
    assert checked["digest"] == made["digest"]
    shown = _json(capsys, ["plan", "show", str(plan), "--schema", str(schema), "--rows", "1500"])
    assert [p["name"] for p in shown["forecast"]["phases"]] == [
        "values",
        "closer",
        "one-way",
        "coarse",
        "round-1",
        "round-2",
    ]
    assert abs(sum(p["rho_share"] for p in shown["forecast"]["phases"]) - 1) < 1e-9
    ran = _json(capsys, _simulate(place))
    assert ran["epsilon"] <= 1.0
    inspected = _json(capsys, ["inspect", ran["sampler"]])
    assert inspected["plan_digest"] == made["digest"]
    for name in ("a.parquet", "b.csv"):
        out = str(place / name)
        words = ["sample", ran["sampler"], "--rows", "50", "--seed", "1", "--out", out]
        assert _json(capsys, words)["rows"] == 50
    assert pq.read_table(place / "a.parquet").num_rows == 50
    words = [*words, "--force", "--where", "health=excellent", "--where", "coinsurance=25"]
    assert _json(capsys, words)["where"] == {"health": "excellent", "coinsurance": "25"}
    drawn = csv.read_csv(place / "b.csv")
    assert (set(drawn["health"].to_pylist()), set(drawn["coinsurance"].to_pylist())) == (
        {"excellent"},
        {25},
    )
    assert _json(capsys, [*words[:-1], "coinsurance=7"])["exit"] == 4
    made = _json(capsys, ["replicate", str(result), "--count", "3"])
    assert made["count"] == len(list(Path(made["replicates"]).glob("*.sampler"))) == 3
    estimated = _json(
        capsys,
        ["estimate", ran["sampler"], "--share", "coinsurance=25", "--by", "health"],
    )
    assert [i["group"] for i in estimated["intervals"]][:2] == ["", "health=poor"]
    assert estimated["intervals"][0]["low"] < estimated["intervals"][0]["high"]
    regressed = _json(capsys, ["estimate", ran["sampler"], "--regress", "visits ~ health"])
    assert all(i["error"] is None or i["error"] > 0 for i in regressed["intervals"])
    assert run(["estimate", ran["sampler"], "--regress", "visits ~ diseases"]) == 0
    shown = capsys.readouterr()
    assert [w for w in shown.err.splitlines() if w.split()[:1] == ["diseases"]]
    out = str(place / "with.csv")
    words = ["sample", ran["sampler"], "--rows", "9", "--seed", "1", "--out", out, "--replicates"]
    assert len(_json(capsys, words)["replicates"]) == 3
    assert csv.read_csv(place / "with-003.csv").num_rows == 9
    for more in ([], ["--released-only", "--force"]):
        written = _json(capsys, ["report", str(result), *more])
        assert Path(written["html"]).stat().st_size > 10_000


def test_silos_may_keep_their_tables_in_different_formats(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sorted((place / "tables").iterdir())[0]
    csv.write_csv(pq.read_table(path), path.with_suffix(".csv"))
    path.unlink()
    assert run(_plan_new(place)) == 0
    assert run(_simulate(place)) == 0
    assert Path(_json(capsys, ["report", str(place / "run")])["html"]).exists()


def test_one_table_is_split_by_a_column(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(demo_table(), place / "all.parquet")
    words = _plan_new(place)
    words[words.index("--silos") + 1] = "0,25,50,95,100"
    assert run(words) == 0
    table = str(place / "all.parquet")
    data = _json(capsys, _simulate(place, table, "--by", "coinsurance"))
    assert sorted(data["silos"]) == ["0", "100", "25", "50", "95"]


def test_a_draft_is_unreviewed_and_no_plan_is_made_from_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, draft = next((place / "tables").iterdir()), place / "draft.yaml"
    data = _json(capsys, ["schema", "draft", str(table), "--out", str(draft)])
    assert "visits" in data["unreviewed"]
    assert _json(capsys, ["schema", "check", str(draft)])["exit"] == 4
    words = _plan_new(place)
    words[2] = str(draft)
    assert "unreviewed" in _json(capsys, words)["message"]


def test_a_schema_is_imported(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "domain.json").write_text('{"age": 10, "sex": 2}')
    out = str(place / "imported.yaml")
    _json(capsys, ["schema", "import", str(place / "domain.json"), "--out", out])
    assert "sex" in Path(out).read_text()


def _fault(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = run(words)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    return code, " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"--epsilon": "0"}, "epsilon"),
        ({"--epsilon": "-1"}, "epsilon"),
        ({"--epsilon": "nan"}, "epsilon"),
        ({"--epsilon": "lots"}, "--epsilon"),
        ({"--delta": "1"}, "delta"),
        ({"--silos": "a,a"}, "'a' stands twice"),
        ({"--silos": ""}, "silos"),
        ({"--method": "fixed"}, "workload"),
        ({"--method": "magic"}, "--method"),
        ({"--method": "fixed", "--workload": "visits,shoes"}, "shoes"),
        ({"--method": "fixed", "--workload": ",;"}, "--workload"),
        ({"--out": "/nowhere/at/all.yaml"}, "/nowhere/at"),
    ],
)
def test_a_wrong_wish_for_a_plan_is_named_in_one_line(
    change: dict[str, str], words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = _plan_new(place)
    for name, value in change.items():
        if name in arguments:
            arguments[arguments.index(name) + 1] = value
        else:
            arguments += [name, value]
    code, said = _fault(arguments, capsys)
    assert code == 4
    assert words in said
    assert not (place / "plan.yaml").exists()


def test_files_in_the_way_are_kept_unless_forced(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_plan_new(place)) == 0
    before = (place / "plan.yaml").read_bytes()
    code, said = _fault(_plan_new(place), capsys)
    assert (code, "--force" in said) == (4, True)
    assert (place / "plan.yaml").read_bytes() == before
    assert run(_plan_new(place, "--force")) == 0
    assert (place / "plan.yaml").read_bytes() != before


def test_force_never_removes_a_directory_that_is_no_run(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_plan_new(place)) == 0
    (place / "run").mkdir()
    (place / "run" / "diary.txt").write_text("dear diary")
    code, said = _fault([*_simulate(place), "--force"], capsys)
    assert (code, "not the directory of a run" in said) == (4, True)
    assert (place / "run" / "diary.txt").read_text() == "dear diary"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("schema.yaml", "version: 3\n", "version 3"),
        ("schema.yaml", "a: [1\n", "line"),
        ("schema.yaml", "name: x\nattributes: []\n", "attributes"),
        ("plan.yaml", "version: 1\n", "plan.yaml"),
        ("plan.yaml", "\xff", "plan.yaml"),
    ],
)
def test_a_broken_file_is_named(
    name: str, text: str, words: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_plan_new(place)) == 0
    (place / name).write_bytes(text.encode("latin-1"))
    words_line = ["plan", "show", str(place / "plan.yaml"), "--schema", str(place / "schema.yaml")]
    code, said = _fault(words_line, capsys)
    assert code == 4
    assert words in said


def test_a_missing_table_and_a_doubled_silo_are_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(_plan_new(place)) == 0
    one = sorted((place / "tables").iterdir())[0]
    (place / "tables" / f"{one.stem}.csv").write_text("visits\n1\n")
    code, said = _fault(_simulate(place), capsys)
    assert (code, f"two tables of silo '{one.stem}'" in said) == (4, True)
    (place / "tables" / f"{one.stem}.csv").unlink()
    one.unlink()
    code, said = _fault(_simulate(place), capsys)
    assert (code, one.stem in said) == (4, True)
    code, said = _fault(_simulate(place, str(place / "nowhere")), capsys)
    assert (code, "does not exist" in said) == (4, True)


def test_a_damaged_sampler_is_refused_by_name(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "x.sampler"
    path.write_bytes(b"PK not really")
    code, said = _fault(["inspect", str(path)], capsys)
    assert (code, "x.sampler" in said) == (4, True)


def test_an_unknown_command_and_option_are_refused_with_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (["frobnicate"], ["plan", "show", "--colour"], ["sample", "x"]):
        code, said = _fault(words, capsys)
        assert (code, "--help" in said) == (4, True)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["schema"],
        ["plan"],
        *(["schema", c] for c in ("draft", "check", "import", "json-schema")),
        *(["plan", c] for c in ("new", "check", "show")),
        *([c] for c in ("simulate", "sample", "report", "inspect", "demo")),
    ],
)
def test_every_command_explains_itself_with_an_example(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--help"]) == 0
    assert "silosynth" in capsys.readouterr().out


def test_the_version_is_shown_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"silosynth {version('silosynth')}\n"


def test_our_own_bugs_are_one_line_without_values(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_path: Path) -> None:
        raise ZeroDivisionError("zebra-7731")

    monkeypatch.setattr("silosynth.common.cli.plan.load_plan", broken)
    words = ["plan", "check", str(place / "p"), "--schema", str(place / "schema.yaml")]
    code, said = _fault(words, capsys)
    assert code == 5
    assert "ZeroDivisionError" in said
    assert "zebra-7731" not in said
