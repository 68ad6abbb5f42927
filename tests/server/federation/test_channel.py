"""Letters reach the silos that prove who they are, and are sent again until answered."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.certificate import Certificate, certify_plan
from silosynth.common.errors import (
    DeadlineExceeded,
    PlanRefused,
    RunFailed,
    SiloAbsent,
    WireVersion,
)
from silosynth.common.messages import (
    WIRE,
    Answer,
    Bundle,
    Request,
    Result,
    digest_sampler,
    encode_request,
    encode_statement,
)
from silosynth.common.plan import Plan
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import Stage, State
from silosynth.server.driver import Journal, Signed
from silosynth.server.driver.drive import STEPS, drive
from silosynth.server.federation import channel
from silosynth.server.federation.channel import Channel
from silosynth.server.federation.superlink_calls import Pace
from tests.support.fakes import SILOS, small_schema
from tests.support.patience import paced
from tests.support.signed_fakes import COORDINATOR, KEYS, FakeGrid, FakeSilo, signed_plan

PACE = Pace(
    poll_seconds=0.001,
    nodes_seconds=0.01,
    challenge_seconds=0.2,
    resend_seconds=0.1,
    failed_seconds=0.02,
    approval_seconds=0.05,
)


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say which run messages belong to, as Flower's process does."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


@cache
def _certificate() -> Certificate:
    """Return some certificate: these silos do not look at it."""
    return certify_plan(signed_plan())


def _federation() -> tuple[FakeGrid, dict[str, FakeSilo]]:
    silos = {name: FakeSilo(name) for name in SILOS}
    return FakeGrid(list(silos.values())), silos


def _drive(
    grid: Any, plan: Plan, directory: Path, *, approval: float = 600.0, **options: Any
) -> State:
    spoken = Channel(grid, plan=plan, key=COORDINATOR, **{"pace": PACE, **options})

    def conclude(state: State) -> str:
        sampler = b"sampler"
        result = Result(
            plan_digest=plan.digest,
            sampler_digest=digest_sampler(sampler),
            certificate=_certificate(),
            silos=state.silos,
            receipts={},
        )
        statement = encode_statement(result, key=COORDINATOR)
        bundle.append(Bundle(statement=statement, sampler=sampler).encode())
        return result.sampler_digest

    bundle: list[bytes] = []
    signed = Signed(
        propose=lambda silos: spoken.propose(silos, deadline=time.monotonic() + approval),
        conclude=conclude,
        deliver=lambda silos: spoken.deliver(silos, bundle=bundle[-1]),
    )
    with Journal(directory, plan_digest=plan.digest) as journal:
        return drive(
            plan,
            small_schema(),
            journal=journal,
            send=spoken.ask,
            signed=signed,
            reached=options.get("reached", lambda _: None),
        )


def test_a_signed_run_proposes_measures_and_delivers(tmp_path: Path) -> None:
    grid, _ = _federation()
    state = _drive(grid, signed_plan(), tmp_path)
    assert state.stage is Stage.ENDED
    assert state.unacknowledged() == {}
    assert sorted(grid.letters("propose")) == sorted(SILOS)
    assert sorted(grid.letters("measure")) == sorted(SILOS * 3)
    assert sorted(grid.letters("deliver")) == sorted(SILOS)


def test_a_question_is_written_when_it_is_sent_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand silos' questions about a sum, each with all silos' keys, are 1.6 GB.

    So few go together, by their bytes: one of these.
    """
    monkeypatch.setattr(channel, "_TOGETHER_BYTES", 1)
    grid, _ = _federation()
    ahead: list[int] = []

    def written(request: Request) -> bytes:
        ahead.append(len(ahead) - len(grid.letters("measure")))
        return encode_request(request)

    monkeypatch.setattr(channel, "encode_request", written)
    assert _drive(grid, signed_plan(), tmp_path).stage is Stage.ENDED
    assert max(ahead) <= 0


def test_every_named_step_is_reached_but_those_of_the_fit(tmp_path: Path) -> None:
    grid, _ = _federation()
    seen: list[str] = []
    _drive(grid, signed_plan(), tmp_path, reached=seen.append)
    fit = {"before-fit", "after-fit", "before-write", "sampler-written", "after-write"}
    assert set(seen) == set(STEPS) - fit


@pytest.mark.parametrize("kind", ["identify", "propose", "measure", "deliver"])
@pytest.mark.parametrize("way", ["lose", "fail"])
def test_a_letter_that_is_lost_or_fails_is_sent_again(kind: str, way: str, tmp_path: Path) -> None:
    grid, _ = _federation()
    getattr(grid, way)[("south", kind)] = 2
    state = _drive(grid, signed_plan(), tmp_path)
    assert state.stage is Stage.ENDED
    assert state.silos == SILOS
    extra = {"identify": 1, "propose": 1, "measure": 3, "deliver": 1}[kind] + 2
    assert grid.letters(kind).count("south") >= extra


class LeavingGrid(FakeGrid):
    """Loses a letter with its SuperNode, which is away for a while."""

    looks_away = 0

    def get_node_ids(self) -> list[int]:
        lost = [m.metadata.dst_node_id for m in self.sent if m.metadata.__dict__.get("lost")]
        if lost and self.looks_away < 3:
            self.looks_away += 1
            return [n for n in self.nodes if n not in lost]
        return super().get_node_ids()


@pytest.mark.parametrize("kind", ["identify", "propose", "measure", "deliver"])
def test_a_silo_whose_node_was_away_gets_its_letter_again_at_once(
    kind: str, tmp_path: Path
) -> None:
    grid = LeavingGrid([FakeSilo(name) for name in SILOS])
    grid.lose[("south", kind)] = 1
    patient = replace(PACE, resend_seconds=600.0, challenge_seconds=600.0)
    state = _drive(grid, signed_plan(), tmp_path, pace=patient)
    assert state.stage is Stage.ENDED
    assert state.silos == SILOS
    assert grid.looks_away == 3


def test_a_node_that_signs_with_another_key_gets_no_plan(tmp_path: Path) -> None:
    stranger = FakeSilo("south", key=SigningKey.generate())
    grid = FakeGrid([FakeSilo("north"), stranger, FakeSilo("west")])
    with pytest.raises(DeadlineExceeded, match="silo south did not approve"):
        _drive(grid, signed_plan(), tmp_path, approval=paced(0.5))
    assert set(stranger.received) == {"identify"}


@pytest.mark.parametrize("version", [WIRE - 1, WIRE + 1])
def test_a_silo_one_version_apart_takes_part(version: int, tmp_path: Path) -> None:
    grid, _ = _federation()
    next(iter(grid.nodes.values())).wire = version
    assert _drive(grid, signed_plan(), tmp_path).stage is Stage.ENDED


def test_a_silo_of_an_unknown_version_ends_the_run_in_one_line(tmp_path: Path) -> None:
    grid = FakeGrid([FakeSilo(s) for s in SILOS])
    grid.nodes[101].wire = WIRE + 2
    with pytest.raises(WireVersion, match="silo south speaks version 3 of the messages") as raised:
        _drive(grid, signed_plan(), tmp_path)
    assert "\n" not in str(raised.value)
    assert "measure" not in grid.nodes[101].received


def test_a_silo_cannot_speak_as_another_one(tmp_path: Path) -> None:
    impostor = FakeSilo("south", key=KEYS["north"])
    grid = FakeGrid([FakeSilo("north"), impostor, FakeSilo("west")])
    with pytest.raises(DeadlineExceeded, match="south"):
        _drive(grid, signed_plan(), tmp_path, approval=paced(0.5))
    assert set(impostor.received) == {"identify"}


def test_a_connected_node_outside_the_roster_gets_no_plan(tmp_path: Path) -> None:
    outside = FakeSilo("east", key=SigningKey.generate())
    grid = FakeGrid([outside, *(FakeSilo(s) for s in SILOS)])
    assert _drive(grid, signed_plan(), tmp_path).stage is Stage.ENDED
    assert set(outside.received) == {"identify"}


def test_a_pending_silo_is_asked_again_until_it_approves(tmp_path: Path) -> None:
    grid, silos = _federation()
    silos["west"].answers = [Answer.PENDING, Answer.PENDING, Answer.APPROVED]
    assert _drive(grid, signed_plan(), tmp_path).stage is Stage.ENDED
    assert grid.letters("propose").count("west") == 3
    assert grid.letters("propose").count("north") == 1


def test_a_silo_that_never_decides_is_named_at_the_deadline(tmp_path: Path) -> None:
    grid, silos = _federation()
    silos["west"].answers = [Answer.PENDING]
    with pytest.raises(DeadlineExceeded, match="silo west did not approve"):
        _drive(grid, signed_plan(), tmp_path, approval=paced(0.3))
    assert grid.letters("measure") == []


def test_a_refusal_of_the_plan_ends_the_run_or_leaves_the_silo_out(tmp_path: Path) -> None:
    grid, silos = _federation()
    silos["west"].answers = [Answer.REFUSED]
    with pytest.raises(PlanRefused, match="silo west: words"):
        _drive(grid, signed_plan(), tmp_path / "stop")
    state = _drive(grid, signed_plan(on_absent="continue"), tmp_path / "go")
    assert state.silos == ("north", "south")
    assert state.left == {"west": "silo west: words"}
    assert silos["west"].received.count("measure") == 0
    assert silos["west"].received.count("deliver") == 0


def test_a_forged_release_is_refused_and_the_silo_named(tmp_path: Path) -> None:
    grid, silos = _federation()
    plan = signed_plan()
    real = silos["south"].answer

    def forge(kind: str, fields: Any) -> dict[str, Any]:
        if kind == "measure":
            silos["south"].key = KEYS["north"]
        return real(kind, fields)

    silos["south"].answer = forge  # type: ignore[method-assign]  # a silo that turned
    with pytest.raises(Exception, match=r"silo south: .*not trusted"):
        _drive(grid, plan, tmp_path)


def test_a_silent_silo_does_not_fail_the_delivery_but_is_named(tmp_path: Path) -> None:
    grid, _ = _federation()
    grid.lose[("north", "deliver")] = 10**6
    state = _drive(grid, signed_plan(deadline_seconds=math.ceil(paced(1))), tmp_path)
    assert state.stage is Stage.ENDED
    assert state.unacknowledged() == {"north": "did not answer"}


def test_a_silent_silo_ends_a_phase_at_its_deadline(tmp_path: Path) -> None:
    grid, _ = _federation()
    grid.lose[("north", "measure")] = 10**6
    with pytest.raises(SiloAbsent, match="north"):
        _drive(grid, signed_plan(deadline_seconds=math.ceil(paced(1))), tmp_path)


def test_resuming_asks_no_silo_what_it_has_answered(tmp_path: Path) -> None:
    grid, silos = _federation()
    grid.lose[("north", "measure")] = 10**6
    plan = signed_plan(deadline_seconds=math.ceil(paced(1)))
    with pytest.raises(SiloAbsent):
        _drive(grid, plan, tmp_path)
    before = list(silos["south"].received)
    again, others = _federation()
    _drive(again, plan, tmp_path)
    assert "propose" not in others["south"].received
    assert before.count("measure") + others["south"].received.count("measure") == 3


def test_a_run_that_is_stopped_waits_no_longer(tmp_path: Path) -> None:
    grid, _ = _federation()
    with pytest.raises(RunFailed, match="stopped"):
        _drive(grid, signed_plan(), tmp_path, stopping=lambda: True)
