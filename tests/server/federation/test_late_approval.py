"""An approval that came after the run's time for it is heard by the run that is resumed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flwr.supercore.task_identity import TaskIdentity

from silosynth.common.errors import DeadlineExceeded, PlanRefused
from silosynth.common.messages import Answer
from silosynth.server.coordinator import Stage, State
from silosynth.server.federation import (
    Federation,
    RunFiles,
    RunState,
    Watchers,
    begin_run,
    find_run,
    read_ended,
    read_standing,
    run_federation,
)
from silosynth.server.federation import pump as module
from silosynth.server.federation.standing import Standing
from silosynth.server.federation.superlink_calls import Pace
from tests.support.fakes import SILOS, small_schema
from tests.support.signed_fakes import COORDINATOR, FakeGrid, FakeSilo, signed_plan

PACE = Pace(
    poll_seconds=0.001, nodes_seconds=0.01, approval_seconds=0.05, approval_last_seconds=0.2
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """A run whose time for approval was over long ago, and its silos."""

    home: Path
    files: RunFiles
    federation: Federation
    silos: dict[str, FakeSilo]

    def resume(self) -> State:
        """Resume the run."""
        watchers = Watchers(pace=PACE)
        _, begun = find_run(self.home, self.files.id)
        return run_federation(
            self.home, self.files, begun, federation=self.federation, watchers=watchers
        )


@pytest.fixture
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Late:
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    silos = {name: FakeSilo(name) for name in SILOS}
    grid = FakeGrid(list(silos.values()))

    @contextmanager
    def open_grid(*_: Any, **__: Any) -> Iterator[FakeGrid]:
        yield grid

    monkeypatch.setattr(module, "open_grid", open_grid)
    identity = tmp_path / "identity.pem"
    COORDINATOR.save(identity)
    federation = Federation(
        superlink="localhost:1", ca=identity, identity=identity, superexec_secret=identity
    )
    files = begin_run(
        tmp_path,
        plan=signed_plan(approval_seconds=1),
        schema=small_schema(),
        federation="f",
        now=datetime.now(UTC) - timedelta(days=3),
        token="1a2b",
    )
    return Late(home=tmp_path, files=files, federation=federation, silos=silos)


def test_a_late_approval_is_heard_by_a_resumed_run(late: Late) -> None:
    late.silos["west"].answers = [Answer.PENDING]
    with pytest.raises(DeadlineExceeded, match="silo west did not approve"):
        late.resume()
    assert read_ended(late.files).state is RunState.FAILED
    late.silos["west"].answers = [Answer.APPROVED]
    assert late.resume().stage is Stage.ENDED


def test_a_plan_refused_meanwhile_is_told_as_refused(late: Late) -> None:
    late.silos["west"].answers = [Answer.REFUSED]
    with pytest.raises(PlanRefused, match="silo west: words"):
        late.resume()


def test_a_resumed_run_waits_the_whole_time_again_and_no_longer(late: Late) -> None:
    late.silos["west"].answers = [Answer.PENDING]
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        late.resume()
    assert time.monotonic() - begun >= 1.0
    assert read_standing(late.files.standing)["west"].what is Standing.PENDING
