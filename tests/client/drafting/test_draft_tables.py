"""Files beside one another become a draft of tables by what their values do; nothing is vouched."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from silosynth.client.drafting import draft_tables
from silosynth.common.cli.app import run
from silosynth.common.document import placed_comments
from silosynth.common.errors import InvalidArgument, InvalidSchema, InvalidTable
from silosynth.common.tables import load_tables
from silosynth.server.dummy import write_dummy_tables

PERSONS = 300


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Write persons, their visits in stays of a ward, and drugs of visits."""
    folder = tmp_path / "export"
    folder.mkdir()
    random = np.random.default_rng(1)
    born = pd.Timestamp("1950-01-01") + pd.to_timedelta(random.integers(0, 20_000, PERSONS), "D")
    persons = pd.DataFrame({"person_id": np.arange(PERSONS) + 1001, "born": born})
    persons["sex"] = random.choice(["f", "m"], PERSONS)
    number = random.integers(0, 7, PERSONS)
    owner = np.repeat(persons["person_id"].to_numpy(), number)
    keys = np.array([f"V{i:06}" for i in random.permutation(len(owner))])
    visits = pd.DataFrame({"visit_id": keys, "person_id": owner})
    visits["ward"] = random.choice(["w1", "w2", "w3"], len(owner))
    visits["began"] = pd.Timestamp("2015-01-01") + pd.to_timedelta(
        random.integers(0, 2_000, len(owner)), "D"
    )
    visits["preceding_visit_id"] = visits.groupby("person_id")["visit_id"].shift()
    times = random.integers(0, 4, len(owner))
    drugs = pd.DataFrame({"visit_id": np.repeat(keys, times), "person_id": np.repeat(owner, times)})
    drugs["dose"] = random.integers(1, 10, len(drugs))
    drugs.loc[len(drugs)] = ["V999999", 1001, 3]
    persons.to_csv(folder / "persons.csv", index=False)
    visits.to_parquet(folder / "visits.parquet")
    drugs.to_csv(folder / "drugs.csv", index=False)
    wards = pd.DataFrame({"ward": ["w1", "w2", "w3", "w4"], "floor": [1, 2, 3, 4]})
    wards.to_csv(folder / "wards.csv", index=False)
    pd.DataFrame({"a": [1, 2, 2], "b": ["x", "y", "x"]}).to_csv(folder / "notes.csv", index=False)
    return folder


def test_keys_parents_and_links_are_found_by_what_values_do(export: Path) -> None:
    schema = draft_tables(export, name="t", beside=export).schema
    assert schema.person == "persons"
    facts = {n: (t.key, t.parent, t.by, t.order) for n, t in schema.tables.items()}
    assert facts == {
        "persons": ("person_id", None, None, None),
        "visits": ("visit_id", "persons", "person_id", "began"),
        "drugs": (None, "visits", "visit_id", None),
    }
    links = {
        n: {c: (k.to, k.within.value) for c, k in t.links.items()} for n, t in schema.tables.items()
    }
    assert links["visits"] == {
        "ward": ("wards", "anyone"),
        "preceding_visit_id": ("visits", "person"),
    }
    assert links["persons"] == {}
    assert set(schema.references) == {"wards"}


def test_numbers_of_children_are_edges_that_hold_all(export: Path) -> None:
    tables = draft_tables(export, name="t", beside=export).schema.tables
    assert tables["visits"].children == (0, 1, 2, 3, 4, 6)
    assert tables["drugs"].children == (0, 1, 2, 3)


def test_everything_is_unreviewed(export: Path) -> None:
    schema = draft_tables(export, name="t", beside=export).schema
    lines = set(schema.unreviewed)
    assert "persons is the table of persons" in lines
    assert "drugs belongs to visits by visit_id" in lines
    assert "visits.preceding_visit_id names rows of visits" in lines
    assert any(line.startswith("wards is public") for line in lines)
    assert any(line.startswith("a row of visits has 0 to 3") for line in lines)
    known = {"visits.person_id", "visits.ward", "drugs.visit_id"}
    own = {f"{n}.{a.name}" for n, t in schema.tables.items() for a in t.attributes}
    assert own - known <= set(schema.unvouched()), "only what a line says is not said twice"


def test_what_the_operator_alone_should_know_is_no_part_of_the_draft(export: Path) -> None:
    draft = draft_tables(export, name="t", beside=export)
    assert any("drugs.visit_id" in n and "name no row of 'visits'" in n for n in draft.notes)
    assert any(n.startswith("notes: hangs on no other table") for n in draft.notes)
    assert "name no row" not in draft.text()


def test_a_draft_is_a_schema_once_its_lines_are_taken_away(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tables.yaml"
    assert run(["schema", "draft", str(export), "--out", str(out), "--json"]) == 0
    left = json.loads(capsys.readouterr().out)["data"]["unreviewed"]
    assert "persons is the table of persons" in left
    assert run(["schema", "check", str(out)]) == InvalidSchema.exit_code
    document = yaml.safe_load(out.read_text().replace("source: unreviewed", "source: declared"))
    assert "columns" not in document["references"]["wards"]
    out.write_text(yaml.safe_dump(document, sort_keys=False))
    assert run(["schema", "check", str(out)]) == InvalidSchema.exit_code
    assert "persons is the table of persons" in capsys.readouterr().err
    del document["unreviewed"]
    out.write_text(yaml.safe_dump(document, sort_keys=False))
    assert run(["schema", "check", str(out)]) == 0
    written = write_dummy_tables(
        load_tables(out), persons=20, seed=1, folder=tmp_path / "made", ending=".csv"
    )
    assert written["persons"] == 20


def test_small_numbers_that_agree_by_chance_are_no_link(tmp_path: Path) -> None:
    pd.DataFrame({"patient_id": range(1, 60), "age": [30] * 59}).to_csv(
        tmp_path / "patients.csv", index=False
    )
    visits = pd.DataFrame({"visit_id": range(1, 81), "visit": [4, 1, 2, 3] * 20})
    visits = visits.assign(patient_id=[1, 2, 2, 3] * 20, score=[1, 2, 3, 4] * 20)
    visits.to_csv(tmp_path / "visits.csv", index=False)
    schema = draft_tables(tmp_path, name="t", beside=tmp_path).schema
    assert schema.tables["visits"].by == "patient_id"
    assert schema.tables["visits"].links == {}


def test_an_employee_names_a_manager(tmp_path: Path) -> None:
    chief = [None] + [f"E{i // 4:03}" for i in range(59)]
    staff = pd.DataFrame({"employee_id": [f"E{i:03}" for i in range(60)], "manager": chief})
    staff.to_csv(tmp_path / "employees.csv", index=False)
    leave = pd.DataFrame({"employee_id": ["E001", "E002", "E001"] * 9, "days": [1, 2, 3] * 9})
    leave.to_csv(tmp_path / "leave.csv", index=False)
    employees = draft_tables(tmp_path, name="t", beside=tmp_path).schema.tables["employees"]
    assert {c: link.to for c, link in employees.links.items()} == {"manager": "employees"}


def test_a_folder_of_one_table_or_of_strangers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,x\n1,2\n2,2\n")
    with pytest.raises(InvalidTable, match="fewer than two tables"):
        draft_tables(tmp_path, name="t", beside=tmp_path)
    (tmp_path / "b.csv").write_text("y\nq\nr\n")
    with pytest.raises(InvalidTable, match="no table names rows of another"):
        draft_tables(tmp_path, name="t", beside=tmp_path)


def test_each_line_says_why_and_no_number_of_rows(export: Path) -> None:
    draft = draft_tables(export, name="t", beside=export)
    lines = draft.text().splitlines()
    start = lines.index("unreviewed:") + 1
    said = dict(zip(lines[start + 1 :: 2], lines[start::2], strict=True))
    assert all(why.startswith("# ") and line.startswith("- ") for line, why in said.items())
    assert said["- drugs belongs to visits by visit_id"].endswith("and it is called as their key")
    assert said["- persons is the table of persons"].startswith("# it is called like people")
    assert not any("%" in why or "300" in why for why in said.values())


def test_columns_keep_their_order_and_files_their_form(export: Path) -> None:
    text = (export / "persons.csv").read_text().replace(",", ";")
    (export / "persons.csv").write_text(text)
    schema = draft_tables(export, name="t", beside=export).schema
    names = [a.name for a in schema.columns["visits"].whole.attributes]
    assert names == ["visit_id", "person_id", "ward", "began", "preceding_visit_id"]
    forms = {n: t.csv and t.csv.delimiter for n, t in schema.tables.items()}
    assert forms == {"persons": ";", "drugs": ",", "visits": None}


def test_lines_and_attributes_are_accepted(
    export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tables.yaml"
    assert run(["schema", "draft", str(export), "--out", str(out)]) == 0
    accept = ["schema", "accept", str(out)]
    assert run([*accept, "--declared", "visits.begun"]) == InvalidArgument.exit_code
    assert run([*accept, "--lines", "77"]) == InvalidArgument.exit_code
    assert run(accept) == InvalidArgument.exit_code
    assert run([*accept, "--all-declared"]) == InvalidArgument.exit_code, "a reason is needed"
    first = load_tables(out).unreviewed[0]
    assert run([*accept, "--declared", "visits.began", "--lines", "1"]) == 0
    found = load_tables(out)
    assert first not in found.unreviewed
    assert "visits.began" not in found.unvouched()
    assert "persons.born" in found.unvouched()
    assert run([*accept, "--all-public", "--why", "the handbook", "--lines", "all"]) == 0
    assert load_tables(out).unvouched() == ()
    assert {a.why for a in load_tables(out).tables["persons"].attributes} == {"the handbook"}
    assert run(["schema", "check", str(out)]) == 0


def test_a_draft_is_reviewed_line_by_line(
    export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tables.yaml"
    assert run(["schema", "draft", str(export), "--out", str(out)]) == 0
    lines = len(load_tables(out).unreviewed)
    answers = ["c", "visits.children=[3, 1]", "visits.children=[0, 1, 9]", "", "a"]
    answers += ["a"] * (lines - 1) + ["a", "q"]
    monkeypatch.setattr("typer.prompt", lambda *_, **__: answers.pop(0))
    assert run(["schema", "review", str(out)]) == 0
    found = load_tables(out)
    assert answers == []
    assert found.unreviewed == ()
    assert found.tables["visits"].children == (0, 1, 9)
    waiting = [a.source.value for t in found.tables.values() for a in t.attributes]
    assert waiting.count("unreviewed") == len(found.unvouched()) > 3
    assert "drugs.person_id" not in found.unvouched(), "the first attribute was accepted"


def test_accept_and_review_keep_the_reasons_of_what_is_left(
    export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "tables.yaml"
    assert run(["schema", "draft", str(export), "--out", str(out)]) == 0
    before = placed_comments(out.read_text())
    assert ("tables", "visits", "attributes", "began") in before
    first, second = load_tables(out).unreviewed[:2]
    text = out.read_text().replace("  visits:\n", "  # asked Ann\n  visits:\n", 1)
    out.write_text(text)
    assert run(["schema", "accept", str(out), "--declared", "visits.began", "--lines", "1"]) == 0
    kept = placed_comments(out.read_text())
    assert kept == {p: w for p, w in before.items() if p[-1] != first} | {
        ("tables", "visits"): "asked Ann"
    }
    answers = ["a", "q"]
    monkeypatch.setattr("typer.prompt", lambda *_, **__: answers.pop(0))
    capsys.readouterr()
    assert run(["schema", "review", str(out)]) == 0
    assert f"drafted so: {before['unreviewed', second]}" in capsys.readouterr().err
    assert placed_comments(out.read_text()) == {p: w for p, w in kept.items() if p[-1] != second}
