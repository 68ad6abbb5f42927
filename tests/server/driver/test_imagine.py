"""A program that writes candidates is asked line by line, and held to time, lines and bytes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from silosynth.common.errors import InvalidArgument, InvalidCheckpoint, RunFailed
from silosynth.common.plan import PhaseName, Plan
from silosynth.server.driver import generator_of
from silosynth.server.driver.imagine import run_program, to_candidates
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate
from tests.support.patience import paced, patience
from tests.support.tables.texts import messages

Program = Callable[[str], Path]
ECHO = "for line in sys.stdin:\n    print('a text', line.strip() or 'anew')\n"


@cache
def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"epsilon": 20.0, "delta": 1e-6, "silos": ("a", "b"), "plan_id": "p"}
    return new_plan(
        messages(max_bytes=20), **(asked | {"method": "votes", "candidates": 4} | changes)
    )


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Return what makes a program of a few lines of Python."""

    def write(body: str) -> Path:
        path = tmp_path / "generator"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time, subprocess\n{body}")
        path.chmod(0o755)
        return path

    return write


def answers(path: Path, lines: tuple[str, ...] = ("", "b", ""), seconds: float = 60) -> Any:
    settings = made_plan().votes
    assert settings is not None
    return run_program(path, lines, settings=settings, seconds=seconds)


def test_each_line_is_answered_with_one(program: Program) -> None:
    assert answers(program(ECHO)) == ("a text anew", "a text b", "a text anew")


def test_a_program_gets_no_shell_no_folder_of_ours_and_no_secret(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILOSYNTH_TOKEN", "secret")
    body = "print(sorted(os.environ), os.listdir('.'), os.getsid(0) == os.getpid())\n"
    (said,) = answers(program(body), ("$(touch x); `id`",))
    assert "SILOSYNTH_TOKEN" not in said
    assert said.endswith("[] True")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "wrote nothing"),
        ("sys.stdin.read(); print('  ')", "wrote nothing"),
        ("print('one')", "wrote 1 lines for 3"),
        ("print('x\\n' * 5)", "wrote 6 lines for 3"),
        ("print('x' * 10**6)", "wrote more than 12348 bytes for 3 lines"),
        ("while True: print('x' * 100)", "wrote more than 12348 bytes for 3 lines"),
        ("sys.exit(3)", "failed with status 3"),
        ("sys.stdout.buffer.write(b'\\xff\\n' * 3)", "no UTF-8"),
    ],
)
def test_a_program_that_writes_otherwise_is_told_in_one_line(
    body: str, words: str, program: Program
) -> None:
    with pytest.raises(RunFailed, match=words) as told:
        answers(program(body))
    assert "\n" not in told.value.message


def test_a_program_that_never_ends_is_ended_with_what_it_started(
    program: Program, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    body = (
        "child = subprocess.Popen(['sleep', '1000'], stdout=subprocess.DEVNULL)\n"
        f"open({str(child)!r}, 'w').write(str(child.pid))\n"
        f"os.rename({str(child)!r}, {str(child) + '.pid'!r})\n"
        "time.sleep(1000)\n"
    )
    with pytest.raises(RunFailed, match="was not done within"):
        answers(program(body), seconds=paced(3))
    pid = int((tmp_path / "child.pid").read_text())
    end = time.monotonic() + patience(5)
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    """Say whether a process is there and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def test_what_was_written_becomes_candidates() -> None:
    settings = made_plan().votes
    assert settings is not None
    lines = ("one", "one ", "", "two " + "x" * 40, "é" * 11, "four", "five")
    made = to_candidates(lines, settings=settings)
    assert made == ("one", "two " + "x" * 16, "é" * 10, "four")
    with pytest.raises(RunFailed, match=r"U\+65E5, which is not of the alphabet latin"):
        to_candidates(("日本",), settings=settings)
    with pytest.raises(RunFailed, match="wrote nothing"):
        to_candidates(("", " "), settings=settings)


def test_what_is_no_generator_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    plan, plain = made_plan(), tmp_path / "plain"
    plain.write_text("x")
    for path, words in (
        (plain, "neither a program"),
        (tmp_path / "none", "neither a program"),
        (tmp_path, "has no configuration"),
    ):
        with pytest.raises((InvalidArgument, InvalidCheckpoint), match=words):
            generator_of(path, plan)
    with pytest.raises(InvalidArgument, match="nothing was named that writes them"):
        generator_of(None, plan)
    other = made_plan(method="dp-sgd")
    with pytest.raises(InvalidArgument, match="needs no generator"):
        generator_of(plain, other)
    generator_of(None, other)


def test_a_program_that_is_not_there_any_more_is_told(program: Program) -> None:
    path = program(ECHO)
    path.write_text("#!/no/such/program\n")
    with pytest.raises(RunFailed, match="cannot be started"):
        answers(path)


def test_a_run_goes_on_with_the_candidates_that_were_kept(program: Program, tmp_path: Path) -> None:
    """A run that is cut after the generator wrote asks it no more, though it is broken by now."""
    silos = {n: pa.table({"kind": ["ham", "spam"], "text": ["a text", "b"]}) for n in ("a", "b")}
    body = "for i, line in enumerate(sys.stdin):\n    print('a text', i, os.getpid())\n"
    path, plan, out = program(body), made_plan(vote_rounds=2), tmp_path / "run"
    asked: dict[str, Any] = {"schema": messages(max_bytes=20), "silos": silos, "engine": "local"}
    simulate(plan, generator=path, directory=out, **asked)
    sampler = (out / "result.sampler").read_bytes()
    program("sys.exit(1)")
    for known in (path, None, tmp_path / "gone"):
        again = simulate(plan, generator=known, directory=out, **asked)
        assert (out / "result.sampler").read_bytes() == sampler
    assert again.state.candidates.keys() == {PhaseName.VOTES_1, PhaseName.VOTES_2}
