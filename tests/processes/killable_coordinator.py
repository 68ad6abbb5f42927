"""A coordinator for tests: 'silosynth run' with traps at its steps and less patience.

A label is the stage and what was reached in it: ``propose:after-send``, ``keys:before-record``,
``one-way:before-record``, ``fit:after-write``. With ``--sockets`` it speaks to the gateways without
Flower's servers.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from silosynth.common.cli.app import main as command
from silosynth.common.plan import Plan, TrustMode, load_plan
from silosynth.server.coordinator import Answered, Stage, Stated, SumStage
from silosynth.server.driver import Progress
from silosynth.server.driver.journal import read_events
from silosynth.server.federation import RunFiles, pump
from silosynth.server.federation import run as server_run
from silosynth.server.federation.superlink_calls import Pace
from tests.processes import hurried, mutants
from tests.processes.socket_grid import SocketGrid
from tests.processes.trap import Tripwire

QUICK = Pace(
    poll_seconds=0.02,
    idle_poll_seconds=0.1,
    nodes_seconds=0.05,
    challenge_seconds=2.0,
    resend_seconds=2.0,
    resend_most_seconds=8.0,
    failed_seconds=0.1,
    approval_seconds=0.1,
)
OVER_FLOWER = replace(
    QUICK,
    poll_seconds=0.3,
    nodes_seconds=1.0,
    challenge_seconds=10.0,
    resend_seconds=10.0,
    resend_most_seconds=20.0,
    failed_seconds=1.0,
)

AGREEING = (SumStage.KEYS.value, SumStage.SET.value)


class Labels:
    """Own where a run stands, to name its steps; it may have begun in another process."""

    def __init__(self, files: RunFiles, *, reach: Callable[[str], None]) -> None:
        plan = load_plan(files.plan)
        agreeing = AGREEING if plan.trust is TrustMode.SHARED else ()
        over = _answered_by_all(files, plan)
        steps = [*agreeing, *(p.name.value for p in plan.phases)]
        self._asked = iter([step for step in steps if step not in over])
        self._reach = reach
        self._stage = "propose"

    def progress(self, progress: Progress) -> None:
        """Take the stage from what is asked; of an agreement it does not say which step."""
        if progress.phase is not Stage.AGREE:
            self._stage = progress.phase.value

    def reached(self, name: str) -> None:
        """Name a step by its stage, also where the stage only begins."""
        if name == "before-send":
            self._stage = next(self._asked, self._stage)
        elif name in ("before-fit", "before-deliver"):
            self._stage = name.removeprefix("before-")
        self._reach(f"{self._stage}:{name}")


def _answered_by_all(files: RunFiles, plan: Plan) -> set[str]:
    """Return the steps towards a sum and the phases that the journal has all answers of."""
    answers: Counter[str] = Counter()
    for event in read_events(files.path, plan_digest=plan.digest):
        if isinstance(event, Answered):
            answers[event.phase.value] += 1
        elif isinstance(event, Stated):
            answers[event.asked.value] += 1
    return {step for step, count in answers.items() if count == len(plan.silos)}


def _run_with_traps(wire: Tripwire, *, pace: Pace) -> Callable[..., Any]:
    """Return the product's run_federation with a seam and a pace."""
    real = server_run.run_federation

    def run_federation(
        home: Path,
        files: RunFiles,
        begun: Any,
        *,
        watchers: pump.Watchers,
        **named: Any,
    ) -> Any:
        labels = Labels(files, reach=lambda at: wire.reach(at, plan_digest=begun.plan_digest))

        def progress(told: Progress) -> None:
            labels.progress(told)
            watchers.progress(told)

        seen = replace(watchers, reached=labels.reached, progress=progress, pace=pace)
        return real(home, files, begun, watchers=seen, **named)

    return run_federation


@contextmanager
def _grid_over(sockets: dict[str, Path]) -> Iterator[SocketGrid]:
    """Yield a grid that needs no SuperLink."""
    yield SocketGrid(sockets)


def main(arguments: Sequence[str]) -> None:
    """Run the command line with every run's seam set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--notes", type=Path, required=True)
    parser.add_argument("--witness", required=True)
    parser.add_argument("--sockets", type=Path, nargs="*", default=[])
    parser.add_argument("--mutant")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    mutants.coordinator(asked.mutant)
    if asked.sockets:
        sockets = {path.stem: path for path in asked.sockets}
        pump.open_grid = lambda *_, **__: _grid_over(sockets)  # type: ignore[assignment, attr-defined]  # a grid
    wire = Tripwire(asked.notes / "traps", witness=asked.witness)
    pace = QUICK if asked.sockets else hurried.pace(OVER_FLOWER)
    server_run.run_federation = _run_with_traps(wire, pace=pace)
    command(asked.words)
