"""A run says why it waits for each silo, and a plan that waits is proposed less and less often."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.errors import InvalidArgument
from silosynth.common.messages import Answer, Left
from silosynth.server.coordinator import Decided, Undecided
from silosynth.server.federation import Waiting, read_left, read_standing, summarise
from silosynth.server.federation.channel import Channel
from silosynth.server.federation.standing import Standing, keep_left, keep_standing, printable
from silosynth.server.federation.superlink_calls import Pace
from tests.support.fakes import SILOS
from tests.support.patience import paced
from tests.support.signed_fakes import COORDINATOR, FakeGrid, FakeSilo, signed_plan

PACE = Pace(
    poll_seconds=0.001,
    nodes_seconds=0.01,
    challenge_seconds=0.05,
    resend_seconds=10.0,
    failed_seconds=0.02,
    approval_seconds=0.02,
    approval_last_seconds=0.0,
)


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say which run messages belong to, as Flower's process does."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


class AwaySilo(FakeSilo):
    """A relay whose gateway is away: it says whose it is, and nothing is signed."""

    away = True
    claims = "south"

    def answer(self, kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        if self.away:
            self.received.append(kind)
            return {"unreachable": "connection-failed", "silo": self.claims}
        return super().answer(kind, fields)


def _propose(
    grid: FakeGrid, *, seconds: float, pace: Pace = PACE, **told: Any
) -> tuple[list[Any], list[Any]]:
    seen: list[Mapping[str, Waiting]] = []
    channel = Channel(
        grid, plan=signed_plan(), key=COORDINATOR, standing=seen.append, pace=pace, **told
    )
    events = list(channel.propose(SILOS, deadline=time.monotonic() + seconds))
    return events, [{s: w.what for s, w in told.items()} for told in seen]


def test_three_reasons_to_wait_are_told_apart() -> None:
    north, south = FakeSilo("north"), AwaySilo("south")
    north.answers = [Answer.PENDING]
    events, seen = _propose(FakeGrid([north, south]), seconds=0.4)
    assert all(isinstance(e, Undecided) for e in events)
    assert seen[-1] == {
        "north": Standing.PENDING,
        "south": Standing.GATEWAY_AWAY,
        "west": Standing.ABSENT,
    }


def test_a_gateway_that_goes_away_after_its_silo_was_known_is_told() -> None:
    south = AwaySilo("south")
    south.away = False
    south.answers = [Answer.PENDING]
    grid = FakeGrid([FakeSilo("north"), south, FakeSilo("west")])
    answer = south.answer

    def leave(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        south.away = kind == "propose" and south.received.count("propose") >= 2
        return answer(kind, fields)

    south.answer = leave  # type: ignore[method-assign]  # a silo that changes
    _, seen = _propose(grid, seconds=0.4)
    assert {"south": Standing.PENDING} in seen
    assert {"south": Standing.GATEWAY_AWAY} in seen


def test_a_relay_cannot_speak_for_a_silo_that_has_proved_who_it_is() -> None:
    liar = AwaySilo("west")
    liar.claims = "north"
    north = FakeSilo("north")
    north.answers = [Answer.PENDING]
    _, seen = _propose(FakeGrid([north, FakeSilo("south"), liar]), seconds=0.4)
    assert seen[-1]["north"] is Standing.PENDING


def test_a_node_that_leaves_is_told_and_is_asked_when_it_is_back() -> None:
    south = FakeSilo("south")
    south.answers = [Answer.PENDING]
    grid = FakeGrid([FakeSilo("north"), south, FakeSilo("west")])
    looks: Iterator[int] = iter(range(10**9))
    listed = grid.get_node_ids
    grid.get_node_ids = lambda: [  # type: ignore[method-assign]  # a node that comes and goes
        n for n in listed() if grid.nodes[n] is not south or not 10 < next(looks) < 15
    ]
    _, seen = _propose(grid, seconds=0.8)
    told = [s.get("south") for s in seen]
    away = told.index(Standing.ABSENT, told.index(Standing.PENDING))
    assert Standing.PENDING in told[away:]


def test_a_plan_that_waits_is_proposed_less_and_less_often() -> None:
    south = FakeSilo("south")
    south.answers = [Answer.PENDING]
    grid = FakeGrid([FakeSilo("north"), south, FakeSilo("west")])
    _propose(grid, seconds=1.0)
    doubling = 6  # 0.02, 0.04, 0.08, 0.16, 0.32, 0.64: their sum is beyond the deadline
    assert 2 <= grid.letters("propose").count("south") <= doubling + 1


def test_the_wait_has_a_limit_and_is_short_before_the_deadline() -> None:
    limited = replace(PACE, approval_most_seconds=0.02)
    south = FakeSilo("south")
    south.answers = [Answer.PENDING] * 9 + [Answer.APPROVED]
    grid = FakeGrid([FakeSilo("north"), south, FakeSilo("west")])
    events, _ = _propose(grid, seconds=30.0, pace=limited)
    assert sum(isinstance(e, Decided) for e in events) == 3
    late = FakeSilo("south")
    late.answers = [Answer.PENDING]
    grid = FakeGrid([FakeSilo("north"), late, FakeSilo("west")])
    approved_at = time.monotonic() + paced(1.5)
    answer = late.answer

    def decide(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        if time.monotonic() > approved_at:
            late.answers = [Answer.APPROVED]
        return answer(kind, fields)

    late.answer = decide  # type: ignore[method-assign]  # a person who decides late
    hurried = replace(PACE, approval_seconds=0.05, approval_last_seconds=paced(1.0))
    events, _ = _propose(grid, seconds=paced(2.5), pace=hurried)
    assert sum(isinstance(e, Decided) for e in events) == 3


def test_standing_is_kept_with_a_version_and_refused_when_unknown(tmp_path: Path) -> None:
    path = tmp_path / "standing.json"
    assert read_standing(path) == {}
    silos = {"north": Waiting(what=Standing.PENDING, since=datetime.now(UTC), why="words")}
    keep_standing(path, silos)
    assert read_standing(path) == silos
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(InvalidArgument, match="another version"):
        read_standing(path)


LEFT = Left(share=0.25, epsilon=20.0, delta=1e-6)


def test_what_silos_say_is_left_is_heard_and_kept_for_each_until_they_say_otherwise(
    tmp_path: Path,
) -> None:
    path, north = tmp_path / "left.json", FakeSilo("north")
    north.left = {"default": LEFT}
    _propose(
        FakeGrid([north, FakeSilo("south"), FakeSilo("west")]),
        seconds=30.0,
        left=lambda silo, left: keep_left(path, silo, left),
    )
    told = read_left(path)
    assert told is not None
    assert told.silos == {"north": {"default": LEFT}}
    keep_left(path, "north", {})
    told = read_left(path)
    assert told is not None
    assert told.silos == {}
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    assert read_left(path) is None


def test_a_file_is_written_only_where_somebody_says_something(tmp_path: Path) -> None:
    keep_left(tmp_path / "left.json", "north", {})
    assert list(tmp_path.iterdir()) == []


def test_words_of_a_silo_cannot_command_a_terminal() -> None:
    assert printable("a\x1b[2Jb\nc") == "a [2Jb c"
    assert printable("x" * 10_000) == "x" * 300
    assert printable("") is None


def test_a_summary_names_each_reason_once_and_is_silent_about_asked_silos() -> None:
    now = datetime.now(UTC)
    kinds = {"a": Standing.ASKED, "b": Standing.PENDING, "c": Standing.ABSENT, "d": Standing.ABSENT}
    silos = {s: Waiting(what=k, since=now) for s, k in kinds.items()}
    assert summarise(silos) == "not connected: c, d; waits for a person there: b"
    assert summarise({"a": silos["a"]}) == ""
