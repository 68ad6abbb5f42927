"""What 'silo check --plan' foresees is what the gateway then answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from silosynth.client.silo import ledger_path
from silosynth.common.audit import Verdict as Decided
from silosynth.common.cli.app import run
from silosynth.common.messages import Answer, Verdict
from silosynth.common.plan import Plan
from silosynth.common.trust import SigningKey
from tests.support.gateways.joining import asks, decides, gains, plan_with, proposes, roster_of
from tests.support.gateways.serving import Serving
from tests.support.gateways.signed import Federation

EPSILONS = (0.2, 1.4)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    """Give a silo that has a tenth of its budgets left."""
    federation = Federation(directory=tmp_path)
    _write(federation)
    with federation.open() as silo:
        for scope, cap in federation.policy.scope_caps().items():
            silo.ledger.charge(f"x{scope}", "h", cost_units=cap.units * 9 // 10, scopes=[scope])
    return federation


def _write(federation: Federation) -> None:
    data = federation.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    _policy(federation).write_text(tomli_w.dumps(data))


def _policy(federation: Federation) -> Path:
    return federation.directory / "north" / "silo.toml"


def _check(
    policy: Path, sealed: bytes, capsys: pytest.CaptureFixture[str]
) -> tuple[dict[str, Any], str]:
    path = policy.parent / "asked.plan"
    path.write_bytes(sealed)
    capsys.readouterr()
    assert run(["silo", "check", "--policy", str(policy), "--plan", str(path), "--json"]) == 0
    printed = capsys.readouterr()
    return json.loads(printed.out)["data"]["plan"], printed.err


def _answered(federation: Federation, plan: Plan) -> Verdict:
    with federation.open() as silo:
        return federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))


def test_what_is_foreseen_is_answered(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = set()
    for number, epsilon in enumerate(EPSILONS):
        plan = federation.plan(id=f"p{number}", epsilon=epsilon)
        foreseen, words = _check(_policy(federation), federation.sealed(plan), capsys)
        verdict = _answered(federation, plan)
        assert foreseen["answer"] == verdict.answer.value, (epsilon, words)
        assert foreseen["ledger"] is True
        seen.add(verdict.answer)
        if verdict.answer is Answer.REFUSED:
            assert "has left" in words
            assert "10.0% of that budget is left" in words
    assert seen == {Answer.APPROVED, Answer.REFUSED}


def test_a_look_changes_nothing_whatever_the_policy_says_now(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_path(federation.policy)
    before = ledger.read_bytes()
    data = federation.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0]["budget"] = {"epsilon": 9.0, "delta": 1e-6}
    data["coordinators"][0]["budget"] = {"epsilon": 9.0, "delta": 1e-6}
    data["projects"][0]["budget"] = {"epsilon": 9.0, "delta": 1e-6}
    federation.policy = type(federation.policy).model_validate(data)
    _write(federation)
    plan = federation.plan(id="p", epsilon=1.4)
    foreseen, _ = _check(_policy(federation), federation.sealed(plan), capsys)
    assert foreseen["answer"] == "approved"
    assert ledger.read_bytes() == before
    assert _answered(federation, plan).answer is Answer.APPROVED


def test_what_was_decided_is_known(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, verdict in (("yes", Decided.APPROVED), ("no", Decided.REFUSED)):
        plan = federation.plan(id=name, epsilon=0.3)
        with federation.open() as silo:
            federation.decide(silo, plan, verdict, why="the board met")
        foreseen, words = _check(_policy(federation), federation.sealed(plan), capsys)
        assert foreseen["answer"] == _answered(federation, plan).answer.value
        assert ("was approved here on" if name == "yes" else "the board met") in words


def test_a_ledger_that_cannot_be_looked_at_is_said(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = ledger_path(federation.policy)
    ledger.write_bytes(ledger.read_bytes()[:-5000])
    plan = federation.plan(id="p", epsilon=1.4)
    foreseen, words = _check(_policy(federation), federation.sealed(plan), capsys)
    assert foreseen["ledger"] is False
    assert "what is left to spend was not looked at" in words


def test_a_running_gateway_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with Serving() as serving:
        serving.start()
        federation = serving.federation
        plan = federation.plan(id="first", epsilon=1.9)
        with serving.gateway() as gateway:
            gateway.propose(plan=federation.sealed(plan))
            gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
            later = federation.plan(id="later", epsilon=1.9)
            foreseen, words = _check(serving.policy, federation.sealed(later), capsys)
            verdict = federation.verdict(gateway.propose(plan=federation.sealed(later)))
        assert foreseen["ledger"] is True
        assert foreseen["answer"] == verdict.answer.value, words


def test_a_roster_that_was_approved_is_gone_by(
    federation: Federation, capsys: pytest.CaptureFixture[str]
) -> None:
    change = gains(roster_of(federation), asks("east", SigningKey.generate()))
    plan = plan_with(federation, change.after.silos, name="four")
    _, words = _check(_policy(federation), federation.sealed(plan), capsys)
    assert "'east'" in words
    with federation.open() as silo:
        proposes(federation, silo, change)
        decides(federation, silo, change.digest)
    told, words = _check(_policy(federation), federation.sealed(plan), capsys)
    assert told["answer"] == _answered(federation, plan).answer.value
    assert "'east'" not in words
