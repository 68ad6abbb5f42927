"""Runs that nobody sits beside: taken up in order, so many at once, whatever stopped before."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from silosynth.common.cli.app import run as command
from silosynth.common.errors import ConnectionFailed, InvalidArgument, RunFailed, SiloAbsent
from silosynth.server.federation import (
    Ended,
    RunFiles,
    RunState,
    begin_run,
    cancel_run,
    read_ended,
    write_ended,
)
from silosynth.server.federation.run_files import describe_failure, lock_run
from silosynth.server.service import Service, serving_alone, submit
from silosynth.server.service.processes import RunProcess
from silosynth.server.service.queue import waiting
from tests.support.coordinators import make_home
from tests.support.fakes import small_plan, small_schema
from tests.support.homes import BEGUN
from tests.support.patience import patience


@dataclass(kw_only=True)
class Pump:
    """Stands for a run's process: a test says when and how it ends."""

    code: int | None = None
    told: bool = False

    def ended(self) -> int | None:
        return self.code

    def tell(self) -> None:
        self.told = True

    def stop(self) -> None:
        self.code = 1 if self.code is None else self.code


@dataclass(kw_only=True)
class World:
    """A home with its service, and what was taken up in it."""

    home: Path
    at_once: int = 2
    now: float = 0.0
    begun: list[str] = field(default_factory=list)
    pumps: dict[str, Pump] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service = self.another()

    def another(self) -> Service:
        """Return a service that knows nothing, as after a restart."""
        return Service(self.home, at_once=self.at_once, start=self._start, clock=lambda: self.now)

    def submit(self, name: str, *, priority: int = 0) -> RunFiles:
        files = begin_run(
            self.home,
            plan=small_plan(plan_id=name),
            schema=small_schema(),
            federation="f",
            now=BEGUN,
            token="0000",
        )
        at = BEGUN + timedelta(seconds=len(list((self.home / "runs").iterdir())))
        submit(files, priority=priority, now=at)
        return files

    def end(self, run: RunFiles, ended: Ended | None, *, code: int = 0) -> None:
        """End the process of a run, which has written how it ended, or was killed before."""
        if ended is not None:
            write_ended(run, ended)
        self.pumps[run.id].code = code

    def look(self) -> list[str]:
        """Let the service look; return what it has taken up now, by the plan's name."""
        before = len(self.begun)
        self.service.look()
        return [run_id.partition("-")[0] for run_id in self.begun[before:]]

    def _start(self, run: RunFiles) -> Pump:
        self.begun.append(run.id)
        self.pumps[run.id] = Pump()
        write_ended(run, Ended(state=RunState.INTERRUPTED))
        return self.pumps[run.id]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(home=tmp_path)


DONE = Ended(state=RunState.COMPLETED)


def test_the_most_urgent_is_taken_up_first_and_no_more_than_there_is_room_for(
    world: World,
) -> None:
    runs = {n: world.submit(n, priority=p) for n, p in (("a", 0), ("b", 0), ("c", 9), ("d", -9))}
    assert {read_ended(r).state for r in runs.values()} == {RunState.QUEUED}
    assert world.look() == ["c", "a"]
    assert world.look() == []
    world.end(runs["c"], DONE)
    assert world.look() == ["b"]
    world.end(runs["a"], DONE)
    world.end(runs["b"], DONE)
    assert world.look() == ["d"]
    world.end(runs["d"], DONE)
    assert world.look() == []
    assert waiting(world.home) == []


def test_a_run_that_another_process_pumps_takes_a_place_and_is_not_begun_again(
    world: World,
) -> None:
    runs = {n: world.submit(n) for n in ("a", "b", "c")}
    with ExitStack() as held:
        held.enter_context(lock_run(runs["a"]))
        assert world.look() == ["b"]
    assert world.look() == ["a"]


def test_a_service_that_comes_after_one_that_was_killed_goes_on_in_any_state(
    world: World,
) -> None:
    states = {
        "queued": Ended(state=RunState.QUEUED),
        "interrupted": Ended(state=RunState.INTERRUPTED),
        "away": describe_failure(ConnectionFailed("x"), cancelled=False),
        "failed": describe_failure(SiloAbsent("x"), cancelled=False),
        "cancelled": Ended(state=RunState.CANCELLED),
        "completed": DONE,
    }
    world.at_once = 9
    for name, ended in states.items():
        write_ended(world.submit(name), ended)
    world.service = world.another()
    assert sorted(world.look()) == ["away", "interrupted", "queued"]
    assert {w.run.id.partition("-")[0] for w in waiting(world.home)} == {
        "away",
        "interrupted",
        "queued",
    }


def test_what_passes_is_tried_again_after_a_pause_that_doubles_up_to_ten_minutes(
    world: World,
) -> None:
    run, away = world.submit("a"), describe_failure(ConnectionFailed("x"), cancelled=False)
    assert world.look() == ["a"]
    pauses = []
    for _ in range(7):
        world.end(run, away, code=2)
        assert world.look() == []
        begun = world.now
        while not world.look():
            world.now += 1
        pauses.append(world.now - begun)
    assert pauses == [30, 60, 120, 240, 480, 600, 600]
    world.end(run, None, code=-9)
    assert world.look() == []
    world.now += 600
    assert world.look() == ["a"]
    world.end(run, describe_failure(SiloAbsent("x"), cancelled=False), code=1)
    world.now += 10_000
    assert world.look() == []
    assert waiting(world.home) == []


def test_a_run_that_waits_can_be_cancelled_and_is_never_begun(world: World) -> None:
    run = world.submit("a")
    cancel_run(run)
    assert world.look() == []
    assert read_ended(run).state is RunState.CANCELLED
    with pytest.raises(RunFailed, match="is cancelled"):
        submit(run, priority=0, now=BEGUN)


def test_a_service_that_is_told_to_end_stops_what_it_pumps_where_it_can_go_on(
    world: World,
) -> None:
    world.submit("a")
    looks = iter([False, True])
    world.service.serve(lambda _seconds: next(looks))
    (pump,) = world.pumps.values()
    assert (pump.told, pump.code) == (True, 1)
    assert len(waiting(world.home)) == 1


def test_bad_input_is_one_line(world: World) -> None:
    run = world.submit("a")
    for priority in (101, -101):
        with pytest.raises(InvalidArgument, match="out of bounds"):
            submit(run, priority=priority, now=BEGUN)
    write_ended(run, DONE)
    with pytest.raises(RunFailed, match="is completed"):
        submit(run, priority=0, now=BEGUN)
    (run.path / "submitted.json").write_text('{"version": 2, "at": "2026-03-01T12:00:00Z"}')
    with pytest.raises(InvalidArgument, match="another version"):
        world.look()


def _hold(home: Path, held: object, release: object) -> None:
    with serving_alone(home):
        held.set()  # type: ignore[attr-defined]  # an Event
        release.wait(patience(30))  # type: ignore[attr-defined]  # an Event


def test_a_home_has_one_service(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path, held, release))
    process.start()
    assert held.wait(patience(30))
    with pytest.raises(RunFailed, match="another coordinator serves"), serving_alone(tmp_path):
        pass
    process.kill()
    process.join()
    with serving_alone(tmp_path):
        pass


def test_a_run_s_process_is_asked_to_stop_as_by_ctrl_c(tmp_path: Path) -> None:
    up, script = tmp_path / "up", tmp_path / "run.py"
    script.write_text(
        "import pathlib, sys, time\n"
        f"try:\n pathlib.Path({str(up)!r}).touch(); time.sleep(600)\n"
        "except KeyboardInterrupt:\n sys.exit(7)\n"
    )
    process = RunProcess((sys.executable, str(script)))
    end = patience(30)
    while not up.exists() and end > 0:
        end -= 0.1
        assert process.ended() is None
        subprocess.run(["sleep", "0.1"], check=True)
    assert process.ended() is None
    process.stop()
    assert process.ended() == 7


def test_a_plan_is_submitted_and_the_service_runs_it_until_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody answers at the SuperLink's address: the run waits, and is stopped where it stands."""
    plan, schema = make_home(tmp_path, monkeypatch)
    words = ["submit", str(plan), "--schema", str(schema), "--federation", "f", "--json"]
    assert command([*words, "--priority", "5"]) == 0
    run_id = json.loads(capsys.readouterr().out)["data"]["run_id"]
    assert command(["status", run_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["state"] == "queued"
    log = tmp_path / "log"
    with log.open("wb") as err:
        service = subprocess.Popen(
            [sys.executable, "-m", "silosynth.common.cli", "coordinator", "--json-logs"],
            stderr=err,
            env=dict(os.environ),
        )
    try:
        waits = patience(30)
        while "run-taken-up" not in log.read_text() and waits > 0:
            assert service.poll() is None, log.read_text()
            subprocess.run(["sleep", "0.1"], check=True)
            waits -= 0.1
        assert run_id in log.read_text()
        service.send_signal(signal.SIGTERM)
        assert service.wait(patience(60)) == 0
    finally:
        service.kill()
        service.wait()
    assert command(["status", run_id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["state"] in (
        "queued",
        "interrupted",
        "failed",
    )
    assert command(["cancel", run_id]) == 0
    assert command(["submit", "--resume", run_id]) == 1
