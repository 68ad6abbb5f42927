"""A run can be cut anywhere and goes on to the same end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from silosynth.common.errors import RunFailed, SiloAbsent
from silosynth.common.messages import Refusal, Request, encode_refusal
from silosynth.common.plan import OnAbsent, Plan
from silosynth.server.coordinator import Absent, Answered, Event, State
from silosynth.server.driver import Journal, Progress
from silosynth.server.driver.drive import drive
from tests.support.fakes import SILOS, answer_exactly, small_codes, small_plan, small_schema

TABLES = {silo: small_codes(seed) for seed, silo in enumerate(SILOS)}


class Cut(Exception):
    """Stands for a crash of the coordinator."""


class Federation:
    """Answers requests, remembers what was asked, and can be cut after some answers."""

    def __init__(self, plan: Plan, *, answers: int = 10**9, away: Sequence[str] = ()) -> None:
        self.plan = plan
        self.answers = answers
        self.away = away
        self.asked: list[str] = []

    def send(self, requests: Sequence[Request]) -> Iterator[Event]:
        for request in requests:
            self.asked.append(request.id)
            if len(self.asked) > self.answers:
                raise Cut
            if request.silo in self.away:
                yield Absent(phase=request.phase, silo=request.silo)
                continue
            data = answer_exactly(request, plan=self.plan, codes=TABLES[request.silo])
            yield Answered(phase=request.phase, silo=request.silo, data=data)


def _drive(plan: Plan, directory: Path, federation: Federation) -> State:
    with Journal(directory, plan_digest=plan.digest) as journal:
        return drive(plan, small_schema(), journal=journal, send=federation.send)


@pytest.mark.parametrize("answers", range(10))
def test_a_run_cut_after_any_answer_resumes_without_asking_again(
    answers: int, tmp_path: Path
) -> None:
    plan = small_plan()
    whole = _drive(plan, tmp_path / "whole", Federation(plan))
    first = Federation(plan, answers=answers)
    if answers < 9:
        with pytest.raises(Cut):
            _drive(plan, tmp_path / "cut", first)
    else:
        _drive(plan, tmp_path / "cut", first)
    second = Federation(plan)
    resumed = _drive(plan, tmp_path / "cut", second)
    assert resumed.asked == whole.asked
    answered = first.asked[:answers]
    assert not set(answered) & set(second.asked)
    assert len(answered) + len(second.asked) == 9


def test_a_silo_that_was_away_is_asked_again_on_resume(tmp_path: Path) -> None:
    plan = small_plan()
    with pytest.raises(SiloAbsent, match="south"):
        _drive(plan, tmp_path, Federation(plan, away=("south",)))
    again = Federation(plan)
    state = _drive(plan, tmp_path, again)
    assert state.phase is None
    assert again.asked[0].endswith("one-way/south")
    assert len(again.asked) == 7


def test_the_answers_of_a_phase_are_kept_even_when_one_silo_fails(tmp_path: Path) -> None:
    plan = small_plan()
    with pytest.raises(SiloAbsent):
        _drive(plan, tmp_path, Federation(plan, away=("north",)))
    with Journal(tmp_path, plan_digest=plan.digest) as journal:
        assert [e.silo for e in journal.events()] == ["south", "west"]


def test_a_run_that_may_go_on_remembers_who_left(tmp_path: Path) -> None:
    plan = small_plan(on_absent=OnAbsent.CONTINUE)
    state = _drive(plan, tmp_path, Federation(plan, away=("south",)))
    again = Federation(plan)
    assert _drive(plan, tmp_path, again).silos == state.silos == ("north", "west")
    assert again.asked == []


def test_a_refusal_is_raised_as_the_silos_error(tmp_path: Path) -> None:
    plan = small_plan()
    refusal = Refusal(silo="north", code="schema-mismatch", message="other schema", hint="mend it")

    def send(requests: Sequence[Request]) -> Iterator[Event]:
        for request in requests:
            yield Answered(phase=request.phase, silo=request.silo, data=encode_refusal(refusal))

    with (
        Journal(tmp_path, plan_digest=plan.digest) as journal,
        pytest.raises(Exception, match="silo north: other schema; mend it"),
    ):
        drive(plan, small_schema(), journal=journal, send=send)


def test_progress_counts_the_answers_of_each_phase(tmp_path: Path) -> None:
    plan = small_plan()
    seen: list[Progress] = []
    with Journal(tmp_path, plan_digest=plan.digest) as journal:
        drive(
            plan,
            small_schema(),
            journal=journal,
            send=Federation(plan).send,
            progress=seen.append,
        )
    assert [p.answered for p in seen] == [0, 1, 2, 3] * 3


def test_a_half_written_last_line_is_cut_off(tmp_path: Path) -> None:
    plan = small_plan()
    with pytest.raises(Cut):
        _drive(plan, tmp_path, Federation(plan, answers=4))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event": "answ')
    assert _drive(plan, tmp_path, Federation(plan)).phase is None


def test_a_journal_of_another_plan_is_refused(tmp_path: Path) -> None:
    plan = small_plan()
    _drive(plan, tmp_path, Federation(plan))
    with pytest.raises(RunFailed, match="another plan"):
        Journal(tmp_path, plan_digest=small_plan(plan_id="q").digest)


@pytest.mark.parametrize("text", [b'{"version": 9}\n', b"nonsense\n"])
def test_a_foreign_journal_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(text)
    with pytest.raises(RunFailed):
        Journal(tmp_path, plan_digest=small_plan().digest)


def test_an_answer_that_was_changed_on_disk_is_refused(tmp_path: Path) -> None:
    plan = small_plan()
    _drive(plan, tmp_path, Federation(plan))
    answer = next((tmp_path / "answers").iterdir())
    answer.write_bytes(answer.read_bytes()[:-1] + b"\xff")
    with pytest.raises(RunFailed, match="changed"):
        _drive(plan, tmp_path, Federation(plan))
