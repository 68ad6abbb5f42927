"""The operator's commands say the same beside a gateway and without one, and decide as shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from serving import Serving

from silosynth.common.cli import run
from silosynth.common.dialogue import Answer
from silosynth.common.wire import Refusal, Release

Ask = Callable[..., Any]


@pytest.fixture(params=["running", "stopped"])
def silo(request: pytest.FixtureRequest) -> Iterator[tuple[Serving, bool]]:
    """Give a silo where every plan waits, with a gateway at work or between two starts of one."""
    with Serving(change=lambda federation: federation.approve_none()) as serving:
        serving.start()
        yield serving, request.param == "running"


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], silo: tuple[Serving, bool]) -> Ask:
    """Run a command with --json and return its exit code and envelope."""
    serving, running = silo

    def ask(*words: str, policy: bool = True) -> tuple[int, dict[str, Any], str]:
        if not running:
            serving.stop()
        place: Sequence[str] = ("--policy", str(serving.policy)) if policy else ()
        code = run([*words, *place, "--json"])
        captured = capsys.readouterr()
        if not running:
            serving.start()
        return code, json.loads(captured.out), captured.err

    return ask


def test_a_plan_is_shown_approved_answered_and_audited(
    silo: tuple[Serving, bool], command: Ask, tmp_path: Path
) -> None:
    serving, _ = silo
    federation, plan = serving.federation, serving.federation.plan()
    sealed, request = federation.sealed(plan), federation.request(plan)
    with serving.gateway() as gateway:
        assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.PENDING
        early = federation.read(gateway.answer(plan=sealed, request=request))
        assert isinstance(early, Refusal)
        assert early.code == "approval-pending"

        code, shown, said = command("silo", "pending")
        assert code == 0
        (waiting,) = shown["data"]["plans"]
        assert (waiting["id"], waiting["coordinator"], waiting["epsilon"]) == ("p", "hub", 1.0)
        assert "epsilon 1 at delta 1e-06" in said

        code, approved, said = command("silo", "approve", "p", "--yes", "--why", "the board met")
        assert code == 0
        assert approved["data"]["verdict"] == "approved"
        assert "'hub' asks" in said
        assert command("silo", "pending")[1]["data"]["plans"] == []

        assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.APPROVED
        release = federation.read(gateway.answer(plan=sealed, request=request))
        assert isinstance(release, Release)

    (listed,) = command("silo", "releases")[1]["data"]["releases"]
    assert listed["request"] == release.receipt.request_id
    scopes = command("silo", "spent")[1]["data"]["scopes"]
    assert {s["scope"] for s in scopes} == {"dataset", "consumer", "project"}
    assert len({s["spent_rho"] for s in scopes}) == 1
    assert scopes[0]["spent_rho"] == release.receipt.cost_units / 2**40
    facts = command("silo", "verify-ledger")[1]["data"]
    assert (facts["charges"], facts["releases"], facts["decisions"]) == (1, 1, 1)
    _check_audit(federation.north.public, command, tmp_path)


def _check_audit(key: str, command: Ask, directory: Path) -> None:
    """Export an audit, verify it as a third party, and see a changed one refused."""
    path = directory / "north.audit"
    assert command("silo", "export-audit", str(path))[0] == 0
    verify = ("audit", "verify", str(path), "--key")
    code, summary, _ = command(*verify, key, policy=False)
    assert code == 0
    assert (summary["data"]["releases"], summary["data"]["unanswered"]) == (1, 0)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"charge", b"charje", 1))
    assert command(*verify, key, policy=False)[0] == 2
    path.write_bytes(data)
    other = "ed25519:" + "A" * 43
    assert command(*verify, other, policy=False)[0] == 2


def test_a_refusal_is_told_and_may_be_taken_back(silo: tuple[Serving, bool], command: Ask) -> None:
    serving, _ = silo
    federation, plan = serving.federation, serving.federation.plan()
    sealed = federation.sealed(plan)
    with serving.gateway() as gateway:
        gateway.propose(plan=sealed)
        assert command("silo", "refuse", plan.digest[:20], "--why", "not now")[0] == 0
        verdict = federation.verdict(gateway.propose(plan=sealed))
        assert verdict.answer is Answer.REFUSED
        assert "not now" in (verdict.message or "")
        assert command("silo", "approve", plan.digest, "--yes")[0] == 0
        assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.APPROVED


def test_without_a_yes_nothing_is_approved(silo: tuple[Serving, bool], command: Ask) -> None:
    serving, _ = silo
    federation = serving.federation
    with serving.gateway() as gateway:
        gateway.propose(plan=federation.sealed(federation.plan()))
        with pytest.raises(json.JSONDecodeError):
            command("silo", "approve", "p")
    if serving.process is None or serving.process.poll() is not None:
        serving.start()
    assert len(command("silo", "pending")[1]["data"]["plans"]) == 1


def test_a_plan_that_does_not_wait_is_named(command: Ask) -> None:
    code, envelope, _ = command("silo", "approve", "nobody", "--yes")
    assert code == 4
    assert envelope["error"]["message"] == "no plan 'nobody' waits"
