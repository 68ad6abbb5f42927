"""Families are read, held and scored as a person would count them in pandas."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from silosynth.common.errors import InvalidArgument, InvalidSchema, InvalidTable
from silosynth.common.likeness import judge_families, judge_folder, write_families_report
from silosynth.common.likeness.judge import Side
from silosynth.common.likeness.read import read_families
from silosynth.common.likeness.rows import Families, pool
from silosynth.common.likeness.scores import score_persons, score_table
from silosynth.common.tables import TablesSchema, parse_tables


def listed(name: str, words: str) -> dict[str, Any]:
    return {"name": name, "kind": "categorical", "categories": list(words), "other": False}


SINCE = {"name": "since", "kind": "integer", "minimum": 0, "maximum": 29}
SCHEMA = parse_tables(
    {
        "name": "clinic",
        "person": "people",
        "source": "public",
        "tables": {
            "people": {
                "key": "id",
                "attributes": [listed("sex", "fm"), listed("town", "xyz"), SINCE],
            },
            "visits": {
                "parent": "people",
                "by": "id",
                "key": "visit",
                "order": "came",
                "children": [0, 1, 2, 4],
                "csv": {"delimiter": ";"},
                "attributes": [
                    {"name": "came", "kind": "integer", "minimum": 0, "maximum": 29},
                    {"name": "left", "kind": "integer", "minimum": 0, "maximum": 29},
                    listed("ward", "abc"),
                    listed("kind", "uv"),
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
Frames = dict[str, pd.DataFrame]


def clinic(*, seed: int, persons: int = 60) -> Frames:
    """Return people, visits in no order of the file, and drugs of visits; all hangs together."""
    random = np.random.default_rng(seed)
    people = pd.DataFrame({"id": [f"p{seed}-{i}" for i in range(persons)]})
    people["sex"], people["town"] = (random.choice(list(w), persons) for w in ("fm", "xyz"))
    people["since"] = random.integers(0, 20, persons)
    owner = np.repeat(people["id"].to_numpy(), random.integers(0, 5, persons))
    visits = pd.DataFrame({"visit": [f"v{seed}-{i}" for i in range(len(owner))], "id": owner})
    visits["came"] = random.permutation(len(owner)) % 30
    visits["left"] = np.minimum(visits["came"] + random.integers(0, 5, len(owner)), 29)
    visits["ward"], visits["kind"] = (random.choice(list(w), len(owner)) for w in ("abc", "uv"))
    each = random.integers(0, 3, len(visits))
    drugs = pd.DataFrame({"visit": np.repeat(visits["visit"].to_numpy(), each)})
    drugs["dose"] = random.choice(list("123"), len(drugs))
    return {"people": people, "visits": visits, "drugs": drugs}


def written(folder: Path, frames: Frames) -> Path:
    folder.mkdir()
    frames["people"].to_parquet(folder / "people.parquet")
    frames["visits"].to_csv(folder / "visits.csv", sep=";", index=False)
    frames["drugs"].to_csv(folder / "drugs.csv", index=False)
    return folder


def read(folder: Path, *, schema: TablesSchema = SCHEMA, most: int = 10**6) -> Families:
    return judge_folder(schema, [folder], seed=1, most=most).families


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Frames, Frames, Families, Families]:
    folder = tmp_path_factory.mktemp("both")
    real, drawn = clinic(seed=1), clinic(seed=2, persons=90)
    read_ones = [read(written(folder / n, f)) for n, f in (("a", real), ("b", drawn))]
    return real, drawn, read_ones[0], read_ones[1]


def distance(one: pd.DataFrame, other: pd.DataFrame, columns: list[str]) -> float:
    shares = [f.groupby(columns, dropna=False).size() / len(f) for f in (one, other)]
    return float(shares[0].sub(shares[1], fill_value=0).abs().sum() / 2)


def mean_distance(one: pd.DataFrame, other: pd.DataFrame, pairs: Any) -> float:
    return float(np.mean([distance(one, other, list(p)) for p in pairs]))


def joined(frames: Frames) -> pd.DataFrame:
    """Return visits in their order with their person, number of visits and neighbours.

    What is compared of ``left`` is how far above ``came`` it is, as the rule has it.
    """
    number = frames["visits"].groupby("id").size().clip(upper=2).rename("number")
    visits = frames["visits"].sort_values(["id", "came"], kind="stable")
    visits["left"] -= visits["came"]
    for back in (1, 2):
        shifted = visits.groupby("id")[["ward", "kind", "left"]].shift(back)
        visits = visits.join(shifted.add_suffix(f"-{back}"))
    return visits.join(number, on="id").merge(frames["people"], on="id")


def test_distances_are_those_that_pandas_counts(
    both: tuple[Frames, Frames, Families, Families],
) -> None:
    real, drawn, one, other = both
    found = score_table(one, other, "visits", order="came")
    a, b = (joined(f) for f in (real, drawn))
    own, above = ["came", "left", "ward", "kind"], ["sex", "town", "since"]
    assert found["parent x child"] == pytest.approx(mean_distance(a, b, product(above, own)))
    assert found["number of rows x child"] == pytest.approx(
        mean_distance(a, b, product(["number"], own))
    )
    assert found["columns, in pairs"] == pytest.approx(
        mean_distance(a, b, [(x, y) for i, x in enumerate(own) for y in own[i + 1 :]])
    )
    for back, name in ((1, "siblings, same column"), (2, "siblings two apart")):
        parts = [f.dropna(subset=[f"ward-{back}"]) for f in (a, b)]
        pairs = [(c, f"{c}-{back}") for c in ("left", "ward", "kind")]
        assert found[name] == pytest.approx(mean_distance(parts[0], parts[1], pairs))
    counts = [f["visits"].groupby("id").size() for f in (real, drawn)]
    numbers = [
        c.reindex(f["people"]["id"], fill_value=0)
        for c, f in zip(counts, (real, drawn), strict=True)
    ]
    steps = [[(n <= k).mean() for k in range(6)] for n in numbers]
    assert found["rows that a parent has, KS"] == pytest.approx(
        max(abs(x - y) for x, y in zip(*steps, strict=True))
    )
    deeper = score_table(one, other, "drugs", order=None)
    c, d = (f["drugs"].merge(joined(f), on="visit") for f in (real, drawn))
    assert deeper["person x child"] == pytest.approx(mean_distance(c, d, product(above, ["dose"])))


def test_a_table_is_no_distance_from_itself_and_its_floors_are(
    both: tuple[Frames, Frames, Families, Families],
) -> None:
    _, _, one, _ = both
    assert set(score_table(one, one, "visits", order="came").values()) == {0.0}
    assert set(score_persons(one, one).values()) == {0.0}
    facts = judge_families(SCHEMA, Side(families=one), Side(families=one), seed=1)
    linked = [m for m in facts.measures if m.floor is not None]
    assert {m.value for m in linked} == {0.0}
    assert all(m.floor > 0 and m.ceiling is not None and m.ceiling > 0 for m in linked if m.floor)
    assert len([m for m in linked if m.floor]) == 13
    again = judge_families(SCHEMA, Side(families=one), Side(families=one), seed=1)
    assert again == facts


def test_what_does_not_hang_together_is_counted(tmp_path: Path) -> None:
    frames = clinic(seed=3)
    visits = frames["visits"]
    lost = visits.iloc[:2].assign(id="nobody", visit=["l1", "l2"])
    twice = visits.iloc[[5]]
    late = visits.iloc[[7]].assign(visit="broken", came=20, left=19)
    frames["visits"] = pd.concat(
        [visits.sort_values(["id", "came"]), lost, twice, late], ignore_index=True
    )
    extra = pd.DataFrame({"visit": ["l1", "nowhere"], "dose": ["1", "2"]})
    frames["drugs"] = pd.concat([frames["drugs"], extra], ignore_index=True)
    held = read(written(tmp_path / "x", frames)).held
    assert held["visits"].orphans == 2
    assert held["visits"].double_keys == 1
    assert held["drugs"].orphans == 2, "a drug of a visit of nobody is nobody's"
    assert held["visits"].broken == {"came <= left": 1}
    rows = frames["visits"].iloc[: len(visits)]
    same = rows["id"].eq(rows["id"].shift())
    assert not (same & (rows["came"] < rows["came"].shift())).any()
    appended = [  # rows that stand behind all others of their person
        (row["came"] < rows[rows["id"] == row["id"]]["came"].max())
        for _, row in pd.concat([twice, late]).iterrows()
    ]
    assert held["visits"].falls == sum(appended)


def test_rules_of_a_row_and_those_above_it_are_checked(tmp_path: Path) -> None:
    frames = clinic(seed=7)
    lost = frames["visits"].iloc[[0]].assign(id="nobody", visit="l1", came=0)
    frames["visits"] = pd.concat([frames["visits"], lost], ignore_index=True)
    folder = written(tmp_path / "r", frames)
    rules = ["people.since <= visits.came", "never people.sex = f and drugs.dose = '1'"]
    held = judge_folder(SCHEMA, [folder], seed=1, across=rules).families.held
    whole = frames["visits"].merge(frames["people"], on="id")
    assert held["visits"].broken[rules[0]] == (whole["since"] > whole["came"]).sum() > 0
    deep = frames["drugs"].merge(whole, on="visit")
    broken = ((deep["sex"] == "f") & (deep["dose"] == "1")).sum()
    assert held["drugs"].broken[rules[1]] == broken > 0
    for wrong, said in (
        ("people.height <= 3", "names no row"),
        ("people.since <= visits.ward", "cannot order"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            judge_folder(SCHEMA, [folder], seed=1, across=[wrong])


def test_silos_are_pooled_and_persons_chosen_with_all_their_rows(
    both: tuple[Frames, Frames, Families, Families], tmp_path: Path
) -> None:
    real, _, one, other = both
    whole = pool([one, other])
    assert whole.persons == 150
    assert whole.levels["visits"].rows == sum(f.levels["visits"].rows for f in (one, other))
    assert set(score_table(whole, pool([one, other]), "drugs", order=None).values()) == {0.0}
    some = read(written(tmp_path / "c", real), most=20)
    assert some.persons == 20
    assert some.held["visits"].rows == len(real["visits"])
    assert some.held["visits"].orphans == 0
    assert some.levels["people"].numbers["visits"].sum() == some.levels["visits"].rows > 0


def test_the_page_escapes_what_it_shows(
    both: tuple[Frames, Frames, Families, Families], tmp_path: Path
) -> None:
    frames = clinic(seed=4)
    frames["people"].loc[0, "id"] = "<script>"
    folder = written(tmp_path / "d", frames)
    side = judge_folder(SCHEMA, [folder], seed=1)
    facts = judge_families(SCHEMA, Side(families=both[2]), side, seed=1)
    page, data = write_families_report(facts, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert "default-src 'none'" in text
    assert "not differentially private" in text
    assert json.loads(data.read_text())["version"] == 1


def test_a_folder_without_a_table_or_a_column_is_refused(tmp_path: Path) -> None:
    frames = clinic(seed=5)
    folder = written(tmp_path / "e", frames)
    (folder / "drugs.csv").unlink()
    with pytest.raises(InvalidTable, match="no file of table 'drugs'"):
        judge_folder(SCHEMA, [folder], seed=1)
    frames["drugs"].drop(columns="dose").to_csv(folder / "drugs.csv", index=False)
    with pytest.raises(InvalidTable, match="column 'dose' is missing"):
        judge_folder(SCHEMA, [folder], seed=1)
    few = written(tmp_path / "f", clinic(seed=6, persons=9))
    with pytest.raises(InvalidTable, match="fewer than 20 persons"):
        judge_folder(SCHEMA, [few], seed=1)
    files = {n: few / f for n, f in (("people", "people.parquet"), ("visits", "visits.csv"))}
    (few / "drugs.csv").write_bytes(b'"\xff')
    with pytest.raises(InvalidTable):
        read_families(SCHEMA, {**files, "drugs": few / "drugs.csv"}, seed=1)


def test_rules_of_the_schema_across_tables_are_counted_unasked_and_those_of_last_rows(
    tmp_path: Path,
) -> None:
    rules = ("people.since <= visits.came", "visits.ward = c is last")
    document = SCHEMA.model_dump(mode="json") | {"rules": rules}
    with pytest.raises(InvalidSchema, match="declare gaps"):
        parse_tables(document)
    document["tables"]["visits"]["gaps"] = [0, 1, 5, 29]
    ruled = parse_tables(document)
    frames = clinic(seed=7)
    held = judge_folder(ruled, [written(tmp_path / "r", frames)], seed=1).families.held["visits"]
    visits = frames["visits"].merge(frames["people"], on="id")
    assert held.broken[rules[0]] == (visits["since"] > visits["came"]).sum()
    latest = visits.groupby("id")["came"].transform("max")
    broken = ((visits["ward"] == "c") & (visits["came"] < latest)).sum()
    assert held.broken[rules[1]] == broken > 0
