"""A silo of several tables, from its policy: made, checked, read, opened; bad tables in a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import yaml

from silosynth.client.gateway import TablesDataset
from silosynth.client.policy import load_policy, parse_policy
from silosynth.client.silo import fits_of, open_silo
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidPolicy
from silosynth.common.tables import dump_tables
from tests.support.tables.families import SCHEMA, clinic


@pytest.fixture(scope="module")
def silo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a silo whose tables have a bit of all that can be wrong with them."""
    folder = tmp_path_factory.mktemp("silo")
    tables = clinic(20)
    people, visits = tables["people"].to_pylist(), tables["visits"].to_pylist()
    people += [{"id": 3, "sex": "m"}, {"id": None, "sex": "f"}]
    visits += [{"visit": f"many-{n}", "id": 5, "day": 1, "ward": "a"} for n in range(500)]
    visits += [{"visit": None, "id": 6, "day": 1, "ward": "nowhere"}]
    (folder / "export").mkdir()
    pq.write_table(pa.Table.from_pylist(people), folder / "export" / "people.parquet")
    pacsv.write_csv(pa.Table.from_pylist(visits), folder / "export" / "visits.csv")
    with (folder / "export" / "visits.csv").open("a") as file:
        file.write("ragged,7,1,a,too many\n")
    (folder / "tables.yaml").write_text(dump_tables(SCHEMA))
    words = ["silo", "init", str(folder / "north"), "--name", "north"]
    words += ["--schema", str(folder / "tables.yaml"), "--table", str(folder / "export")]
    assert run(words) == 0
    return folder / "north"


def test_init_names_a_source_for_each_table(silo: Path) -> None:
    policy = load_policy(silo / "silo.toml")
    (section,) = policy.datasets
    kinds = {name: spec.format.value for name, spec in section.sources().items()}
    assert kinds == {"people": "parquet", "visits": "csv"}
    with open_silo(policy) as opened:
        dataset = opened.datasets["default"]
        assert isinstance(dataset, TablesDataset)
        assert dataset.schema_digest == SCHEMA.digest


def test_check_says_who_a_person_is_and_what_is_not_counted(
    silo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["silo", "check", "--policy", str(silo / "silo.toml"), "--read", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert "has the tables people (parquet), visits (csv)" in told["words"][0]
    assert "a row of the persons' table with all rows that are below it" in told["words"][0]
    said = told["tables"]["default"]
    assert said[:7] == [
        "visits: 1 record has too few or too many fields: not counted",
        "people: 20 rows belong to a person and are counted",
        "people: 1 rows belong to nobody and are not counted: have no key",
        "people: 1 rows have the key of another row; one row a key is counted",
        "visits: 531 rows belong to a person and are counted",
        "visits: 3 rows belong to nobody and are not counted: 'id' names no row of 'people' here",
        "visits: 1 rows of people have fewer than 0 or more than 4 of them; they are counted as "
        "having so many",
    ]
    assert any(line.startswith("visits: ward: 1 of 531 values") for line in said[7:])


def test_a_gateway_knows_how_the_tables_fit(silo: Path) -> None:
    (fit,) = fits_of(load_policy(silo / "silo.toml")).asked("default")
    assert fit.known
    assert "visits: 3 rows belong to nobody" in " ".join(fit.words())
    assert set(fit.shares) == {"visits: ward"}


def changed(silo: Path, **changes: Any) -> dict[str, Any]:
    """Return the policy as data, with its data set changed; None takes a field away."""
    policy = load_policy(silo / "silo.toml")
    data = policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    dataset = data["datasets"][0] | changes
    return data | {"datasets": [{k: v for k, v in dataset.items() if v is not None}]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": "parquet", "path": "x"}, "format: belongs to one table"),
        ({"rows_per_person": 3}, "rows_per_person: belongs to one table"),
        ({"person_column": "id"}, "person_column: belongs to one table"),
        ({"map": "m.yaml"}, "map: belongs to one table"),
        ({"tables": None}, "format: is missing"),
        ({"tables": {"people": {"format": "parquet"}}}, "parquet needs a path alone"),
        ({"tables": {"people": {"format": "csv", "path": "x", "rows": 1}}}, "rows"),
        ({"push_down": True}, "nothing to push counting down to"),
        (
            {
                "push_down": True,
                "tables": {
                    n: {"format": "postgresql", "uri": f"postgresql://{n}/x", "query": "SELECT 1"}
                    for n in ("people", "visits")
                },
            },
            "another database than the first",
        ),
    ],
)
def test_a_policy_of_several_tables_is_refused_for_what_one_has(
    silo: Path, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidPolicy, match=why) as told:
        parse_policy(changed(silo, **changes), home=silo)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("tables", "why"),
    [(("people",), "lacks table 'visits'"), (("people", "visits", "drugs"), "names 'drugs'")],
)
def test_a_policy_names_the_tables_of_its_schema(
    silo: Path, tables: Sequence[str], why: str
) -> None:
    sources = {n: {"format": "parquet", "path": f"{n}.parquet"} for n in tables}
    policy = parse_policy(changed(silo, tables=sources), home=silo)
    with pytest.raises(InvalidPolicy, match=why), open_silo(policy):
        pass


PEOPLE = {"key": "id", "attributes": [{"name": "sex", "kind": "categorical", "categories": ["f"]}]}
VISITS = {"parent": "people", "by": "who", "key": "visit", "children": [0, 1, 4]}
DRUGS = {"parent": "visits", "by": "visit", "key": "drug", "children": [0, 2]}


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"people": PEOPLE, "visits": {**VISITS, "parent": "drugs"}, "drugs": DRUGS}, "circle"),
        ({"people": PEOPLE, "visits": {**VISITS, "parent": "visits"}}, "its own parent"),
        ({"people": PEOPLE, "doctors": PEOPLE, "visits": VISITS}, "doctors"),
        (
            {
                "people": {
                    **PEOPLE,
                    "attributes": [
                        {"name": "id", "kind": "identifier", "prefix": "P-", "digits": 5}
                    ],
                },
                "visits": {
                    **VISITS,
                    "attributes": [{"name": "who", "kind": "identifier", "digits": 9}],
                },
            },
            "write them alike",
        ),
        (
            {
                "people": {
                    **PEOPLE,
                    "attributes": [{"name": "id", "kind": "identifier", "missing": True}],
                },
                "visits": VISITS,
            },
            "a key is in every row",
        ),
    ],
    ids=["a circle", "its own parent", "two roots", "keys of two kinds", "a key with gaps"],
)
def test_a_schema_without_a_finite_unit_is_refused_by_every_plan_in_a_line(
    tables: dict[str, Any], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "tables.yaml"
    schema.write_text(yaml.safe_dump({"person": "people", "source": "public", "tables": tables}))
    words = ["plan", "new", str(schema), "--epsilon", "1", "--delta", "1e-6", "--silos", "a,b"]
    assert run([*words, "--out", str(tmp_path / "plan.yaml")]) != 0
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert why in line
    assert not (tmp_path / "plan.yaml").exists()


def test_what_a_killed_gateway_spilled_is_removed_when_it_starts(silo: Path) -> None:
    policy = load_policy(silo / "silo.toml")
    spilled = silo / "state" / "cache" / "default" / "spill" / "silosynth-x"
    spilled.mkdir(parents=True)
    (spilled / "duckdb_temp_storage-0.tmp").write_text("rows")
    with open_silo(policy):
        assert not spilled.exists()
