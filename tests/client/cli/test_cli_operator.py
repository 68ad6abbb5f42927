"""The operator's commands say the same beside a gateway and without one, and decide as shown."""

from __future__ import annotations

import io
import json
import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.common.accounting import cks_epsilon, rounded_up
from silosynth.common.cli.app import run
from silosynth.common.messages import Answer, Refusal, Release
from silosynth.common.trust import SigningKey
from tests.support.gateways.serving import GATEWAY_USER, Serving
from tests.support.gateways.signed import Federation, people_table

Ask = Callable[..., Any]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Give a silo where every plan waits, and its gateway at work."""
    with Serving(change=lambda federation: federation.approve_none()) as serving:
        serving.start()
        yield serving


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], serving: Serving) -> Ask:
    """Run a command with --json and return its exit code, envelope and words."""

    def ask(*words: str, policy: bool = True) -> tuple[int, dict[str, Any], str]:
        place: Sequence[str] = ("--policy", str(serving.policy)) if policy else ()
        code = run([*words, *place, "--json"])
        captured = capsys.readouterr()
        return code, json.loads(captured.out.strip() or "{}"), captured.err

    return ask


@pytest.mark.parametrize("beside", [True, False], ids=["beside a gateway", "without one"])
def test_a_plan_is_shown_approved_answered_and_audited(
    serving: Serving, command: Ask, tmp_path: Path, beside: bool
) -> None:
    federation, plan = serving.federation, serving.federation.plan()
    sealed, request = federation.sealed(plan), federation.request(plan)
    with serving.gateway() as gateway:
        assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.PENDING
        early = federation.read(gateway.answer(plan=sealed, request=request))
        assert isinstance(early, Refusal)
        assert early.code == "approval-pending"
    with _asked(serving, beside=beside):
        _check_approval(command)
    with serving.gateway() as gateway:
        assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.APPROVED
        release = federation.read(gateway.answer(plan=sealed, request=request))
        assert isinstance(release, Release)
    with _asked(serving, beside=beside):
        _check_figures(command, release)
        _check_audit(federation.north.public, command, tmp_path)


@contextmanager
def _asked(serving: Serving, *, beside: bool) -> Iterator[None]:
    """Leave the gateway at work, or stop it for the time being."""
    if beside:
        yield
    else:
        serving.stop()
        yield
        serving.start()


def _check_approval(command: Ask) -> None:
    """See a plan that waits, and approve it."""
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


def _check_figures(command: Ask, release: Release) -> None:
    """See the release, what it cost, and that the ledger holds."""
    (listed,) = command("silo", "releases")[1]["data"]["releases"]
    assert listed["request"] == release.receipt.request_id
    _, spent, said = command("silo", "spent")
    scopes = spent["data"]["scopes"]
    assert {s["scope"] for s in scopes} == {"dataset", "consumer", "project"}
    rho = Fraction(release.receipt.cost_units, 2**40)
    assert {s["spent_rho"] for s in scopes} == {float(rho)}
    for scope in scopes:
        assert scope["spent_epsilon"] == cks_epsilon(rho, scope["delta"])
        assert f"{rounded_up(scope['spent_epsilon'])} of {scope['epsilon']:g}" in said
    facts = command("silo", "verify-ledger")[1]["data"]
    assert (facts["charges"], facts["releases"], facts["decisions"]) == (1, 1, 1)


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


def test_a_refusal_is_told_and_may_be_taken_back(serving: Serving, command: Ask) -> None:
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


def test_without_a_yes_nothing_is_approved(
    serving: Serving, command: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = serving.federation
    with serving.gateway() as gateway:
        gateway.propose(plan=federation.sealed(federation.plan()))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, _, said = command("silo", "approve", "p")
    assert code == 1
    assert "Approve this?" in said
    assert len(command("silo", "pending")[1]["data"]["plans"]) == 1


def test_a_plan_that_does_not_wait_is_named(command: Ask) -> None:
    code, envelope, _ = command("silo", "approve", "nobody", "--yes")
    assert code == 4
    assert envelope["error"]["message"] == "no plan 'nobody' waits"


@pytest.mark.parametrize("beside", [True, False], ids=["beside a gateway", "without one"])
def test_who_decided_is_asked_of_the_system_and_not_of_the_person(
    serving: Serving, command: Ask, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "someone-else")
    monkeypatch.setenv("SUDO_UID", str(pwd.getpwnam("daemon").pw_uid))
    with serving.gateway() as gateway:
        gateway.propose(plan=serving.federation.sealed(serving.federation.plan()))
    with _asked(serving, beside=beside):
        by_sudo = command("silo", "refuse", "p", "--why", "no")[1]["data"]["by"]
        assert by_sudo == ("daemon (sudo)" if os.geteuid() == 0 else me)
        monkeypatch.delenv("SUDO_UID")
        plan = serving.federation.plan()
        answer = command("silo", "approve", plan.digest, "--yes")[1]["data"]
        assert answer["by"] == me


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's commands need root")
def test_the_gateways_own_user_is_told_from_root(serving: Serving) -> None:
    with serving.gateway() as gateway:
        gateway.propose(plan=serving.federation.sealed(serving.federation.plan()))
    user = pwd.getpwnam(GATEWAY_USER)
    question = {"command": "decide", "plan": "p", "approve": True, "sudo_user": 1, "why": "w"}
    script = (
        "import os, sys; from pathlib import Path; "
        "from silosynth.client.desk.questions import Question; "
        "from silosynth.client.desk.rpc import open_desk; "
        "from silosynth.client.policy.file import load_policy; "
        "import silosynth.client.rpc.caller; "
        "os.setgid(int(sys.argv[4])); os.setuid(int(sys.argv[3])); "
        "desk = open_desk(load_policy(Path(sys.argv[1]))); ask = desk.__enter__(); "
        "print(ask(Question.model_validate_json(sys.argv[2]))['by'])"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-c", script, str(serving.policy), json.dumps(question)),
            *(str(user.pw_uid), str(user.pw_gid)),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == GATEWAY_USER, "it may not say that it is somebody else"


@pytest.fixture
def approvers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    """Make the keys of two approvers by their own command."""
    keys = {name: tmp_path / f"{name}.pem" for name in ("anna", "ben")}
    for path in keys.values():
        assert run(["approver", "key", str(path)]) == 0
        assert path.stat().st_mode & 0o077 == 0
    capsys.readouterr()
    return keys


def test_approvers_sign_elsewhere_and_the_operator_takes_it_in(
    serving: Serving, command: Ask, approvers: dict[str, Path], tmp_path: Path
) -> None:
    federation, plan = serving.federation, serving.federation.plan()
    serving.stop()
    federation.name_approvers(*map(SigningKey.load, approvers.values()), needed=2)
    serving.write_policy()
    serving.start()
    sealed, exported = federation.sealed(plan), tmp_path / "p.plan"
    with serving.gateway() as gateway:
        gateway.propose(plan=sealed)
        assert command("silo", "approve", "p", "--yes")[0] == 4, "nobody approves alone"
        assert command("silo", "export-plan", "p", str(exported))[0] == 0
        assert exported.read_bytes() == sealed
        for name, key in approvers.items():
            signed = tmp_path / f"p.{name}"
            sign = ("approver", "approve", str(exported), "--key", str(key), "--silo", "north")
            to = ("--coordinator", federation.hub.public, "--out", str(signed), "--yes")
            assert command(*sign, *to, policy=False)[0] == 0
            assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.PENDING
            assert command("silo", "take-in", str(signed))[0] == 0
            assert command("silo", "take-in", str(signed))[0] != 0, "a replay"
        assert federation.verdict(gateway.propose(plan=sealed)).answer is Answer.APPROVED
        audit = tmp_path / "north.audit"
        command("silo", "export-audit", str(audit))
        code, checked, said = command(
            "audit", "verify", str(audit), "--key", federation.north.public, policy=False
        )
    assert code == 0
    assert [w["by"] for w in checked["data"]["signed"]] == ["anna", "ben"]
    assert "anna approved" in said


def test_an_approver_signs_only_what_this_coordinator_sent_to_this_silo(
    approvers: dict[str, Path], command: Ask, serving: Serving, tmp_path: Path
) -> None:
    federation = serving.federation
    exported = tmp_path / "p.plan"
    exported.write_bytes(federation.sealed(federation.plan()))
    out = tmp_path / "signed"
    sign = ("approver", "refuse", str(exported), "--key", str(approvers["anna"]), "--why", "no")
    for silo, key in (("north", federation.rogue.public), ("west", federation.hub.public)):
        to = ("--silo", silo, "--coordinator", key, "--out", str(out))
        assert command(*sign, *to, policy=False)[0] in (2, 4)
        assert not out.exists()


def test_what_hardly_fits_is_approved_by_a_word_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def bend(federation: Federation) -> None:
        federation.approve_none()
        table = people_table()
        codes = pa.array(["1"] * table.num_rows)
        place = table.column_names.index("sex")
        pq.write_table(
            table.set_column(place, "sex", codes), federation.directory / "people.parquet"
        )

    with Serving(change=bend) as serving:
        serving.start()
        with serving.gateway() as gateway:
            for plan in (serving.federation.plan(), serving.federation.plan(id="q")):
                gateway.propose(plan=serving.federation.sealed(plan))
        approve = ("silo", "approve", "p", "--policy", str(serving.policy))
        scripted = ("silo", "approve", "q", "--yes", "--policy", str(serving.policy))
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        assert run(list(approve)) in (1, 4), "nothing is approved without the word"
        assert run(list(scripted)) == 0, "a script that stopped here would tell of the rows"
        assert run(["silo", "pending", "--policy", str(serving.policy)]) == 0
        assert "sex: 150 of 150 values not listed: 0.0% of it fits" in capsys.readouterr().err
        assert run(["silo", "notes", "--policy", str(serving.policy)]) == 0
        assert "hardly anything of sex fits" in capsys.readouterr().err
        assert " fit see=" in serving.log
        assert "sex" not in serving.log, "a log holds no figure of the data"
        for typed, code in (("y\nyes\n", 1), ("y\nunfit\n", 0)):
            monkeypatch.setattr("sys.stdin", io.StringIO(typed))
            assert run(list(approve)) == code
        assert "Type 'unfit' to have sex counted" in capsys.readouterr().err
