"""Silos that spell otherwise, from their tables to a sampler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from silosynth.client.maps.silo_map import parse_map
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidMap, InvalidTable, OutputExists
from silosynth.common.plan import dump_plan
from silosynth.common.schema import dump_schema, parse_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.run import reopen, simulate
from silosynth.simulations.run_report import report_facts

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
ROWS = 400
MAP = parse_map({"version": 1, "columns": {"sex": {"map": {"2": "f", "1": "m"}}}})


def table(*, f: str, m: str, seed: int) -> pa.Table:
    """Return rows of which a quarter are f."""
    random = np.random.default_rng(seed)
    sex = np.where(random.random(ROWS) < 0.25, f, m)
    return pa.table({"age": random.integers(18, 90, ROWS), "sex": sex})


SILOS = {"north": table(f="f", m="m", seed=1), "south": table(f="2", m="1", seed=2)}
PLAN = new_plan(
    SCHEMA, epsilon=50.0, delta=1e-6, silos=tuple(SILOS), method="independent", plan_id="p"
)


@pytest.mark.usefixtures("fixed_bits")
def test_a_map_brings_a_silo_to_the_schema(tmp_path: Path) -> None:
    out, told = tmp_path / "run", list[str]()
    result = simulate(
        PLAN,
        schema=SCHEMA,
        silos=SILOS,
        maps={"south": MAP},
        directory=out,
        engine="local",
        tell=told.append,
    )
    assert [line for line in told if line.startswith("south: map: sex")]
    digests = {s: {r.map_digest for r in rs} for s, rs in result.receipts.items()}
    assert digests["north"] == {None}
    assert None not in digests["south"]
    assert len(digests["south"]) == 1
    (sex,) = (m for m in result.state.known().one_way if m.clique == ("sex",))
    share = sex.values[0] / sex.values.sum()
    assert share == pytest.approx(0.25, abs=0.08)
    facts = report_facts(reopen(out), directory=out, seed=1)
    assert min(s.value for s in facts.scores if s.ways == 1) < 0.1


def test_a_run_does_not_go_on_with_another_map(tmp_path: Path) -> None:
    out = tmp_path / "run"
    simulate(PLAN, schema=SCHEMA, silos=SILOS, maps={"south": MAP}, directory=out, engine="local")
    other = parse_map({"version": 1, "columns": {"sex": {"map": {"2": "m", "1": "f"}}}})
    with pytest.raises(OutputExists, match="another map"):
        simulate(
            PLAN, schema=SCHEMA, silos=SILOS, maps={"south": other}, directory=out, engine="local"
        )


def test_a_column_of_which_hardly_anything_fits_stops_a_run() -> None:
    """Nineteen of twenty words are none of the schema's: the run does not just go on."""
    bent = SILOS["south"].to_pandas()
    bent.loc[: ROWS // 20, "sex"] = "m"
    silos = {"north": SILOS["north"], "south": bent}
    with pytest.raises(InvalidTable, match=r"only 5\.\d% of the values of column 'sex'"):
        simulate(PLAN, schema=SCHEMA, silos=silos, engine="local")


@pytest.mark.parametrize(
    ("maps", "said"),
    [
        ({"east": MAP}, "map of silo 'east', and no table"),
        ({"south": MAP.model_copy(update={"unreviewed": True})}, "silo south: 1 columns are unrev"),
        (
            {"south": parse_map({"version": 1, "columns": {"sex": {"map": {"1": "x"}}}})},
            "silo south: column 'sex' maps '1' onto 'x', which the schema does not list",
        ),
    ],
)
def test_a_map_that_cannot_be_stops_a_run_before_it_begins(maps: dict, said: str) -> None:
    with pytest.raises(InvalidMap, match=said):
        simulate(PLAN, schema=SCHEMA, silos=SILOS, maps=maps, engine="local")


def test_the_command_reads_a_map_beside_its_table_and_drafts_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables, schema = tmp_path / "tables", tmp_path / "schema.yaml"
    tables.mkdir()
    schema.write_text(dump_schema(SCHEMA))
    (tmp_path / "plan.yaml").write_text(dump_plan(PLAN))
    for name, rows in SILOS.items():
        pacsv.write_csv(rows, tables / f"{name}.csv")
    command = ["simulate", str(tmp_path / "plan.yaml"), "--schema", str(schema)]
    command += ["--silos", str(tables), "--out", str(tmp_path / "run"), "--engine", "local"]
    assert run(command) == InvalidTable.exit_code
    assert "silosynth silo map" in capsys.readouterr().err.replace("\n", " ")
    south = tables / "south.map.yaml"
    drafting = ["silo", "map", str(tables / "south.csv"), "--schema", str(schema)]
    assert run([*drafting, "--out", str(south)]) == 0
    assert run(command) == InvalidMap.exit_code
    text = south.read_text()
    assert "unreviewed: true" in text
    south.write_text("\n".join(line for line in text.splitlines() if "unreviewed" not in line))
    assert run(command) == 0
