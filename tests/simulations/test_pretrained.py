"""Whole runs that start from a pretrained checkpoint, by the command line and in both trusts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import read_csv

from silosynth.client.gateway import public_error
from silosynth.client.learning import checkpoints as checkpoints_module
from silosynth.client.ledger import Ledger
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument, InvalidCheckpoint, InvalidPlan, Refused
from silosynth.common.messages import Release, decode_release, encode_request
from silosynth.common.plan import Plan, encode_plan
from silosynth.common.sampler import AutoregressiveSampler, load_sampler
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.coordinator import Ask
from silosynth.server.coordinator.machine import start
from silosynth.server.driver import Journal, Progress
from silosynth.server.generator import network as planner_pretrained
from silosynth.server.generator.network import (
    NetworkKind,
    NetworkOptions,
    PretrainedChoice,
    plan_pretrained,
    read_network,
)
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations.local import run_local
from silosynth.simulations.run import reopen, simulate
from silosynth.simulations.silos import SiloDirectory, make_silos, open_gateway
from tests.support.tiny_checkpoint import make_checkpoint

SILOS = ("north", "south")
ROWS = 80
PUBLIC = {"source": "public"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("checkpoint") / "other", seed=1)


def _schema(max_bytes: int = 16) -> Schema:
    kinds, regions = ["ham", "spam"], ["north", "south"]
    return parse_schema(
        {
            "name": "notes",
            "label": "kind",
            "attributes": [
                {"name": "kind", "kind": "categorical", "categories": kinds, "other": False}
                | PUBLIC,
                {"name": "region", "kind": "categorical", "categories": regions, "other": False}
                | PUBLIC,
                {"name": "note", "kind": "text", "max_bytes": max_bytes},
            ],
        }
    )


def _tables() -> dict[str, pa.Table]:
    tables = {}
    for number, silo in enumerate(SILOS):
        random = np.random.default_rng(number)
        spam = random.random(ROWS) < 0.5
        columns = {
            "kind": np.where(spam, "spam", "ham"),
            "region": random.choice(["north", "south"], ROWS),
            "note": np.where(spam, "win a prize £", "see you later"),
        }
        tables[silo] = pa.table(columns)
    return tables


@cache
def _plan(folder: Path, *, trust: str = "own") -> Plan:
    choice = TrainingChoice(
        architecture=plan_pretrained(_schema(), PretrainedChoice(checkpoint=folder, rank=2)),
        rounds=2,
        local_steps=2 if trust == "own" else None,
        rate=Fraction(1, 8),
    )
    return new_plan(
        _schema(),
        epsilon=8.0,
        delta=1e-5,
        silos=SILOS,
        method="dp-sgd",
        trust=trust,
        training=choice,
        plan_id="p",
    )


def _charged(place: Path, silo: str) -> list[str]:
    path = place / "silos" / silo / "ledger.sqlite"
    if not path.exists():
        return []
    with Ledger.open(path, caps={}) as ledger:
        return [c.request_id.split("/")[1] for c in ledger.charges()]


def test_the_whole_walk_by_the_command_line(
    folder: Path, other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, plan, place = (str(tmp_path / n) for n in ("schema.yaml", "plan.yaml", "run"))
    Path(schema).write_text(dump_schema(_schema()))
    (tmp_path / "tables").mkdir()
    for silo, table in _tables().items():
        pq.write_table(table, tmp_path / "tables" / f"{silo}.parquet")
    words = ["plan", "new", schema, "--epsilon", "8", "--delta", "1e-5", "--out", plan]
    words += ["--silos", "north,south", "--method", "dp-sgd", "--network", "pretrained"]
    words += ["--rounds", "2", "--local-steps", "1", "--rate", "1/8", "--lora-rank", "2"]
    assert run([*words, "--checkpoint", str(folder), "--text-tokens", "12"]) == 0
    assert str(tmp_path) not in Path(plan).read_text()
    assert str(folder) not in Path(plan).read_text()
    capsys.readouterr()
    assert run(["checkpoint", str(folder), "--json"]) == 0
    digest = json.loads(capsys.readouterr().out)["data"]["digest"]
    assert digest in Path(plan).read_text()
    assert run(["plan", "show", plan, "--schema", schema, "--rows", "160"]) == 0
    assert "adapters of rank 2 beside 2 of its layers" in " ".join(capsys.readouterr().err.split())
    simulated = ["simulate", plan, "--schema", schema, "--silos", str(tmp_path / "tables")]
    simulated += ["--out", place, "--engine", "local"]
    assert run(simulated) == InvalidArgument.exit_code
    assert "with --checkpoint" in capsys.readouterr().err
    assert run([*simulated, "--checkpoint", str(other)]) == InvalidCheckpoint.exit_code
    assert not Path(place).exists(), "refused before anything is begun"
    assert run([*simulated, "--checkpoint", str(folder)]) == 0

    sampler, rows = str(Path(place) / "result.sampler"), [tmp_path / f"{n}.csv" for n in "abc"]
    drawn = ["sample", sampler, "--rows", "30", "--seed", "1", "--out"]
    where = ["--where", "kind=spam", "--checkpoint", str(folder)]
    assert run([*drawn, str(rows[0]), *where]) == 0
    assert run([*drawn, str(rows[1]), *where]) == 0
    assert rows[0].read_bytes() == rows[1].read_bytes()
    assert set(read_csv(rows[0])["kind"].to_pylist()) == {"spam"}
    capsys.readouterr()
    assert run([*drawn, str(rows[2])]) == InvalidArgument.exit_code
    assert "which is not part of it; say in which folder" in capsys.readouterr().err
    wrong = [*drawn, str(rows[2]), "--checkpoint", str(other)]
    assert run(wrong) == InvalidCheckpoint.exit_code
    assert "is another checkpoint" in capsys.readouterr().err
    assert not rows[2].exists()

    assert run(["inspect", sampler, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)["data"]["generator"]
    assert (facts["kind"], facts["checkpoint"]) == ("pretrained", digest)
    assert run(["report", place, "--force"]) == 0
    assert json.loads((Path(place) / "report.json").read_text())["samples"]["texts"]


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_a_run_resumes_without_charging_twice_and_holds_adapters_alone(
    folder: Path, trust: str, tmp_path: Path
) -> None:
    plan, schema = _plan(folder, trust=trust), _schema()
    path = tmp_path / "schema.yaml"
    path.write_text(dump_schema(schema))
    places = make_silos(
        tmp_path / "silos", plan=plan, schema_path=path, tables=_tables(), checkpoint=folder
    )

    class Killed(Exception):
        pass

    def die(progress: Progress) -> None:
        training = progress.training
        if training is not None and (training.round, progress.answered) == (1, 1):
            raise Killed

    with Journal(tmp_path, plan_digest=plan.digest) as journal, pytest.raises(Killed):
        run_local(plan, schema, silos=places, journal=journal, progress=die)
    result = simulate(
        plan,
        schema=schema,
        silos=_tables(),
        directory=tmp_path / "run",
        engine="local",
        checkpoint=folder,
    )
    with Journal(tmp_path, plan_digest=plan.digest) as journal:
        state = run_local(plan, schema, silos=places, journal=journal)
    assert state.learning is not None
    session = "" if trust == "own" else ".1"
    steps = [n + session for n in ("one-way", "training-0", "training-1")]
    assert all(_charged(tmp_path, silo) == steps for silo in SILOS)

    sampler = result.sampler
    assert isinstance(sampler, AutoregressiveSampler)
    cells = plan.phases[-1].cells
    assert sampler.weights.size == cells < 3000
    assert all(len(r[1].cells) == 1 and r[1].cells[0] == cells for r in result.receipts.values())
    assert len(sampler.draw(20, seed=1)["note"]) == 20
    kept = load_sampler(tmp_path / "run" / "result.sampler")
    assert isinstance(kept, AutoregressiveSampler)
    assert kept.checkpoint is None
    with pytest.raises(InvalidArgument, match="say in which folder it lies"):
        kept.draw(5, seed=1)
    bare = kept.without_texts().draw(20, seed=1)
    assert list(bare.columns) == ["kind", "region"]
    again = kept.with_checkpoint(folder).draw(20, seed=1)
    assert again.equals(sampler.draw(20, seed=1))
    assert set(kept.with_checkpoint(folder).given({"kind": "ham"}).draw(20, seed=1)["kind"]) == {
        "ham"
    }


def test_a_report_says_where_the_checkpoint_lies_now(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    simulate(
        _plan(copy),
        schema=_schema(),
        silos=_tables(),
        directory=tmp_path / "run",
        engine="local",
        checkpoint=copy,
    )
    copy.rename(tmp_path / "moved")
    with pytest.raises(InvalidCheckpoint, match="there is no checkpoint"):
        reopen(tmp_path / "run")
    assert reopen(tmp_path / "run", checkpoint=tmp_path / "moved").sampler.total > 0


def _answer(place: SiloDirectory, plan: Plan) -> str:
    """Return what a silo says to the first request of a plan."""
    _, commands = start(plan, _schema())
    request = next(c for c in commands if isinstance(c, Ask)).request
    with open_gateway(place) as gateway:
        answer = decode_release(
            gateway.answer(plan=encode_plan(plan), request=encode_request(request))
        )
    return "" if isinstance(answer, Release) else answer.message


def test_without_the_plans_checkpoint_a_silo_answers_nothing_and_charges_nothing(
    folder: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, path = _plan(folder), tmp_path / "schema.yaml"
    path.write_text(dump_schema(_schema()))
    places = make_silos(tmp_path / "silos", plan=plan, schema_path=path, tables=_tables())
    assert "which this silo's policy does not name" in _answer(places[0], plan)
    places[0].checkpoint.write_text(json.dumps({"folder": str(other)}))
    assert "which this silo's policy does not name" in _answer(places[0], plan)
    places[0].checkpoint.write_text(json.dumps({"folder": str(folder)}))
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints_module, "find_spec", lambda name: None)
        assert "cannot train a pretrained network" in _answer(places[0], plan)
    assert _charged(tmp_path, "north") == []
    assert _answer(places[0], plan) == ""
    assert _charged(tmp_path, "north") == ["one-way"]


# What is refused when a plan is made


def test_a_plan_needs_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planner_pretrained, "find_spec", lambda name: None)
    _plan.cache_clear()
    with pytest.raises(InvalidArgument, match=r"install silosynth\[pretrained\]"):
        _plan(folder)


def test_texts_that_are_too_long_are_named_with_what_fits(folder: Path) -> None:
    with pytest.raises(InvalidPlan, match="learn at most") as caught:
        plan_pretrained(_schema(max_bytes=200), PretrainedChoice(checkpoint=folder))
    room = int((caught.value.hint or "").split("at most ")[1].split()[0])
    choice = PretrainedChoice(checkpoint=folder, tokens=room)
    assert plan_pretrained(_schema(max_bytes=200), choice).tokens == room


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--network", "pretrained"], "name its folder with --checkpoint"),
        (["--lora-rank", "2"], "add --network pretrained"),
        (["--network", "pretrained", "--checkpoint", "here", "--width", "8"], "leave --width"),
        (["--network", "pretrained", "--checkpoint", "nowhere"], "there is no checkpoint"),
    ],
)
def test_options_that_do_not_go_together_are_named(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = tmp_path / "schema.yaml"
    schema.write_text(dump_schema(_schema()))
    command = ["plan", "new", str(schema), "--epsilon", "1", "--delta", "1e-6", "--silos", "a"]
    command += ["--method", "dp-sgd", "--out", str(tmp_path / "plan.yaml"), *options]
    assert run(command) == InvalidArgument.exit_code
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_rank_out_of_range_is_named(folder: Path) -> None:
    options = NetworkOptions(kind=NetworkKind.PRETRAINED, checkpoint=folder, rank=0)
    with pytest.raises(InvalidArgument, match="rank"):
        read_network(options, _schema())


def test_nothing_but_such_a_plan_imports_transformers() -> None:
    code = (
        "import sys, silosynth.client.serving.serve, silosynth.server.planning.planner, "
        "silosynth.simulations.run, "
        "silosynth.common.cli.app as c; c.build_app(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"transformers", "peft", "tokenizers", "torch"}


def test_a_silo_that_refuses_says_no_path(folder: Path) -> None:
    said = public_error(InvalidCheckpoint(f"{folder}: is another checkpoint"))
    assert isinstance(said, Refused)
    assert str(folder) not in str(said)
