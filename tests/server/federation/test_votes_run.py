"""A run of votes over a federation keeps what its generator wrote, and goes on with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.cli.app import run as run_command
from silosynth.common.errors import RunFailed
from silosynth.common.messages import (
    Receipt,
    Release,
    Request,
    count_cells,
    digest_cells,
    encode_release,
)
from silosynth.common.plan import Plan, load_plan, parse_plan
from silosynth.common.sampler import load_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import dump_schema
from silosynth.server.coordinator import Stage
from silosynth.server.federation import Federation, Watchers, begin_run, find_run, run_federation
from silosynth.server.federation import pump as module
from silosynth.server.federation.superlink_calls import Pace
from tests.support import signed_fakes
from tests.support.fakes import SILOS
from tests.support.signed_fakes import COORDINATOR, KEYS, FakeGrid, FakeSilo
from tests.support.tables.texts import messages

PACE = Pace(
    poll_seconds=0.001, nodes_seconds=0.01, approval_seconds=0.05, approval_last_seconds=0.2
)
WRITES = "for i, line in enumerate(sys.stdin):\n    print('text', i, line.strip() and 'again')\n"


def answer_votes(request: Request, *, plan: Plan, **_: Any) -> bytes:
    """Return a release in which the first candidate has all votes of the first class."""
    cells = count_cells(request, plan=plan, counted=messages().domain)
    counts = np.zeros(cells[0], dtype=np.int64)
    counts[0], counts[1] = 900, 100 if request.candidates is None else 0
    receipt = Receipt(
        request_id=request.id,
        request_hash=request.digest,
        plan_digest=plan.digest,
        silo=request.silo,
        cells=cells,
        cells_digest=digest_cells([counts]),
        cost_units=1,
        ledger_head="head",
    )
    return encode_release(Release(receipt=receipt, marginals=(counts,)))


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Return a plan that the command line made, with keys of silos at a stand-in for Flower."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    monkeypatch.setattr(signed_fakes, "answer_exactly", answer_votes)
    grid = FakeGrid([FakeSilo(name) for name in SILOS])

    @contextmanager
    def open_grid(*_: Any, **__: Any) -> Iterator[FakeGrid]:
        yield grid

    monkeypatch.setattr(module, "open_grid", open_grid)
    schema, out = tmp_path / "schema.yaml", tmp_path / "plan.yaml"
    schema.write_text(dump_schema(messages()))
    words = ["plan", "new", str(schema), "--method", "votes", "--epsilon", "5", "--delta", "1e-6"]
    words += ["--silos", ",".join(SILOS), "--candidates", "6", "--vote-rounds", "2"]
    assert run_command([*words, "--alphabet", "ascii", "--out", str(out)]) == 0
    roster = {silo: key.public for silo, key in KEYS.items()}
    data = load_plan(out).model_dump(mode="json")
    return parse_plan(data | {"roster": roster, "deadline_seconds": 600})


def test_a_plan_of_votes_is_shown_in_plain_words(
    planned: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned.votes is not None
    assert (planned.votes.candidates, planned.votes.alphabet) == (6, "ascii")
    assert [p.name for p in planned.phases] == ["one-way", "votes-1", "votes-2"]
    shown = ["plan", "show", str(tmp_path / "plan.yaml"), "--schema", str(tmp_path / "schema.yaml")]
    assert run_command([*shown, "--rows", "900"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "in 2 rounds, up to 6 texts that a generator writes at the coordinator alone" in said
    assert "is advised" not in said


def test_a_run_whose_generator_fails_goes_on_once_it_is_mended(
    planned: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, program = tmp_path / "identity.pem", tmp_path / "generator"
    COORDINATOR.save(identity)
    federation = Federation(
        superlink="localhost:1", ca=identity, identity=identity, superexec_secret=identity
    )
    write = _writer(program)
    write("sys.exit(1)")
    files = begin_run(
        tmp_path,
        plan=planned,
        schema=messages(),
        federation="f",
        now=datetime.now(UTC),
        token="1a2b",
        generator=program,
    )
    assert json.loads(files.begun.read_text())["generator"] == str(program)

    def go_on() -> Any:
        _, found = find_run(tmp_path, files.id)
        watchers = Watchers(pace=PACE)
        return run_federation(tmp_path, files, found, federation=federation, watchers=watchers)

    with pytest.raises(RunFailed, match="failed with status 1"):
        go_on()
    assert '"answered"' not in (files.path / "journal.jsonl").read_text(), "nothing was charged"
    write(WRITES)
    state = go_on()
    assert state.stage is Stage.ENDED
    assert set(state.candidates) == {"votes-1", "votes-2"}
    assert state.candidates["votes-2"][0] == state.candidates["votes-1"][0] == "text 0"
    assert any(c.endswith("again") for c in state.candidates["votes-2"])
    rows = draw(load_sampler(files.sampler), rows=200, seed=1, threads=1)
    assert set(rows["text"].to_pylist()) <= set(state.candidates["votes-2"])


def _writer(path: Path) -> Callable[[str], None]:
    """Return what makes a program of a few lines of Python there."""

    def write(body: str) -> None:
        path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
        path.chmod(0o755)

    return write
