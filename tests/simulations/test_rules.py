"""Rules from silos' tables to drawn rows: every row keeps them, and no gateway minds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.common.cli.app import run
from silosynth.common.codec import keeps_rules
from silosynth.common.errors import InvalidSampler, InvalidSchema, InvalidTable
from silosynth.common.sampler import load_sampler
from silosynth.common.sampler.keeping import Kept
from silosynth.common.sampler.sampler import draw, draw_batches
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.run import Engine, simulate
from silosynth.simulations.run_files import RunDirectory

ROWS = 3000


def _trips(seed: int, *, broken: int = 0) -> pa.Table:
    """Return trips that end minutes after they began; ``broken`` of them before."""
    rng = np.random.default_rng(seed)
    pickup = pd.Timestamp("2019-03-01") + pd.to_timedelta(
        rng.integers(0, 30 * 86400, ROWS), unit="s"
    )
    dropoff = pickup + pd.to_timedelta(rng.gamma(2, 400, ROWS).astype(int) + 60, unit="s")
    fare, tip = (rng.gamma(3, 4, ROWS) + 2.5).round(2), rng.gamma(2, 1, ROWS).round(2)
    paid = np.where(rng.random(ROWS) < 0.3, "cash", "card")
    frame = pd.DataFrame({"pickup": pickup, "dropoff": dropoff, "fare": fare, "tip": tip})
    frame["total"] = frame.fare + frame.tip
    frame["paid"] = paid
    frame["card"] = np.where(paid == "card", rng.integers(1, 5, ROWS).astype(float), np.nan)
    frame["bank"] = np.where(paid == "card", rng.integers(1, 3, ROWS).astype(float), np.nan)
    frame.loc[: broken - 1, ["pickup", "dropoff"]] = frame.loc[
        : broken - 1, ["dropoff", "pickup"]
    ].to_numpy()
    return pa.Table.from_pandas(frame, preserve_index=False)


def _schema(*rules: str) -> Schema:
    days = {
        "kind": "datetime",
        "minimum": "2019-03-01",
        "maximum": "2019-04-01",
        "source": "public",
    }
    money = {"kind": "real", "minimum": 0, "source": "public"}
    number = {"kind": "integer", "minimum": 1, "maximum": 9, "missing": True, "source": "public"}
    listed = {"kind": "categorical", "categories": ["cash", "card"], "other": False}
    return parse_schema(
        {
            "name": "trips",
            "attributes": [
                {"name": "id", "kind": "identifier", "prefix": "t"},
                {"name": "pickup", **days},
                {"name": "dropoff", **days},
                {"name": "fare", **money, "maximum": 80},
                {"name": "tip", **money, "maximum": 20},
                {"name": "total", **money, "maximum": 100},
                {"name": "paid", **listed, "source": "public"},
                {"name": "card", **number},
                {"name": "bank", **number},
            ],
            "rules": list(rules),
        }
    )


RULES = (
    "pickup < dropoff",
    "total = fare + tip",
    "null together: card, bank",
    'card null iff paid = "cash"',
    "keep tip <= fare",
)


def _simulate(
    schema: Schema, directory: Path, *, method: str = "mst", broken: int = 0, anyway: bool = False
) -> Any:
    plan = new_plan(
        schema, epsilon=4.0, delta=1e-6, silos=["north", "south"], method=method, plan_id="p"
    )
    tables = {"north": _trips(1, broken=broken), "south": _trips(2)}
    return simulate(
        plan,
        schema=schema,
        silos=tables,
        directory=directory,
        engine=Engine.LOCAL,
        accept_misfits=anyway,
    )


@pytest.mark.usefixtures("fixed_bits")
def test_every_drawn_row_keeps_every_rule_and_trips_last_minutes(tmp_path: Path) -> None:
    schema = _schema(*RULES)
    assert "total" not in schema.domain.attributes
    result = _simulate(schema, tmp_path / "run", broken=40)
    sampler = load_sampler(RunDirectory(path=tmp_path / "run").sampler)
    assert sampler.schema == schema
    told = Kept()
    rows = pa.concat_tables(draw_batches(sampler, rows=20_000, seed=1, told=told))
    assert rows.column_names == [a.name for a in schema.attributes]
    assert {
        r: int((~k).sum()) for r, k in keeps_rules(rows, schema=schema).items()
    } == dict.fromkeys(RULES, 0)
    assert told.bias < 0.2
    frame = rows.to_pandas()
    assert frame["id"].tolist() == [f"t{i}" for i in range(1, 20_001)]
    real = _trips(1).to_pandas()
    ratio = (frame.dropoff - frame.pickup).median() / (real.dropoff - real.pickup).median()
    assert 0.5 < ratio < 2
    assert draw(result.sampler, rows=20_000, seed=1).equals(rows)


def test_no_gateway_refuses_because_of_rows_that_break_rules(tmp_path: Path) -> None:
    schema = _schema(*RULES)
    fine = _simulate(schema, tmp_path / "fine", method="independent")
    with pytest.raises(InvalidTable, match=r"silo north: only 0.0% of the rows keep the rule"):
        _simulate(schema, tmp_path / "stopped", method="independent", broken=ROWS)
    broken = _simulate(schema, tmp_path / "broken", method="independent", broken=ROWS, anyway=True)
    assert broken.certificate.epsilon == fine.certificate.epsilon
    assert broken.receipts.keys() == fine.receipts.keys()
    rows = draw(broken.sampler, rows=500, seed=1)
    assert all(k.all() for k in keeps_rules(rows, schema=schema).values())


def test_the_command_line_says_what_rules_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = _schema(*RULES)
    (tmp_path / "s.yaml").write_text(dump_schema(schema))
    assert run(["schema", "check", str(tmp_path / "s.yaml"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["data"]["rules"]
    assert [t["rule"] for t in told] == list(RULES)
    assert "not counted" in told[1]["kept"]
    assert "null patterns" in told[2]["kept"]
    _simulate(schema, tmp_path / "run")
    sampler = str(RunDirectory(path=tmp_path / "run").sampler)
    out = str(tmp_path / "rows.csv")
    words = ["sample", sampler, "--rows", "500", "--seed", "1", "--out", out, "--json"]
    assert run(words) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["data"]["rules"]["count"] == len(RULES)
    assert "drawn again" in captured.err


def test_rules_are_proposed_and_marked_until_somebody_vouches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(_trips(1, broken=5), tmp_path / "t.parquet")
    (tmp_path / "s.yaml").write_text(dump_schema(_schema()))
    words = ["schema", "rules", tmp_path / "t.parquet", "--schema", tmp_path / "s.yaml"]
    assert run([str(w) for w in (*words, "--out", tmp_path / "r.yaml", "--json")]) == 0
    proposed = json.loads(capsys.readouterr().out)["data"]["proposed"]
    assert {"pickup <= dropoff", "total = fare + tip", "null together: card, bank"} <= set(proposed)
    assert run(["schema", "check", str(tmp_path / "r.yaml")]) == InvalidSchema.exit_code
    assert "unreviewed" in capsys.readouterr().err
    text = (tmp_path / "r.yaml").read_text().replace("unreviewed: ", "")
    (tmp_path / "r.yaml").write_text(text)
    assert run(["schema", "check", str(tmp_path / "r.yaml")]) == 0


def test_a_rule_that_hardly_a_row_keeps_is_refused_when_drawing(tmp_path: Path) -> None:
    schema = _schema("keep fare * tip > 1500")
    result = _simulate(schema, tmp_path / "run", anyway=True)
    with pytest.raises(InvalidSampler, match="fewer than 5%") as raised:
        draw(result.sampler, rows=2000, seed=1)
    assert "fare * tip" in str(raised.value)


@pytest.mark.parametrize("method", ["aim", "independent", "mixture", "copula", "one-shot"])
def test_each_method_keeps_rules_or_draws_again(tmp_path: Path, method: str) -> None:
    schema = _schema("pickup <= dropoff", "total = fare + tip", "card null iff paid = cash")
    result = _simulate(schema, tmp_path / "run", method=method)
    rows = draw(result.sampler, rows=2000, seed=1)
    assert all(k.all() for k in keeps_rules(rows, schema=schema).values())


def test_a_dummy_needs_the_schema_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = _schema(*RULES)
    (tmp_path / "s.yaml").write_text(dump_schema(schema))
    out = tmp_path / "d.parquet"
    words = ["dummy", str(tmp_path / "s.yaml"), "--rows", "3000", "--out", str(out), "--json"]
    assert run(words) == 0
    assert json.loads(capsys.readouterr().out)["data"]["epsilon"] == 0
    rows = pq.read_table(out)
    assert b"the schema alone" in rows.schema.metadata[b"silosynth"]
    assert all(k.all() for k in keeps_rules(rows, schema=schema).values())
    assert set(rows["paid"].to_pylist()) == {"cash", "card"}
    assert (rows.num_rows, rows.column_names) == (3000, [a.name for a in schema.attributes])
    (tmp_path / "s.yaml").write_text(
        dump_schema(schema).replace("total = fare + tip", "'unreviewed: total = fare + tip'")
    )
    assert run([*words, "--force"]) == InvalidSchema.exit_code


def test_a_dummy_of_made_up_columns_alone_has_them_alone(tmp_path: Path) -> None:
    attributes = [
        {"name": "größe", "kind": "generated", "provider": "uuid"},
        {"name": "id", "kind": "generated", "provider": "pattern", "like": "[A-Z]{3}"},
    ]
    schema = parse_schema({"name": "keys", "attributes": attributes})
    (tmp_path / "s.yaml").write_text(dump_schema(schema))
    for ending in ("parquet", "csv"):
        out = tmp_path / f"d.{ending}"
        assert run(["dummy", str(tmp_path / "s.yaml"), "--rows", "700", "--out", str(out)]) == 0
    rows = pq.read_table(tmp_path / "d.parquet")
    assert rows.column_names == ["größe", "id"]
    assert len(set(rows["id"].to_pylist())) == rows.num_rows == 700
    assert (tmp_path / "d.csv").read_text().splitlines()[0] == "größe,id"
