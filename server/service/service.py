"""The coordinator as a service: it takes up what was submitted, so many at once, until it is told.

What it knows stands in the runs' own folders. It may be killed at any moment: runs that were under
way are interrupted, or go on by themselves, and the next service finds them as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from silosynth.common.errors import RunFailed
from silosynth.common.files import lock_alone, make_directory
from silosynth.common.telemetry import log
from silosynth.server.federation import RunFiles, RunState
from silosynth.server.service.queue import Waits, forget, is_over, waiting

FIRST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 30.0, 600.0
_LOOK_SECONDS = 2.0


class Pumped(Protocol):
    """What pumps a run beside us."""

    def ended(self) -> int | None:
        """Return how it ended; None while it runs."""
        ...

    def tell(self) -> None:
        """Ask it to stop."""
        ...

    def stop(self) -> None:
        """Return once it has stopped."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pause:
    """A run that stopped is taken up again ``due``; the next pause is twice as long."""

    due: float
    seconds: float


class Service:
    """Own what pumps the runs that were submitted to a home.

    Guarantees: no more than ``at_once`` runs are pumped, those counted that another process
    pumps; of those that wait the most urgent is taken up first; a run that stopped by what passes
    (no connection, a full disk, a kill) is taken up again, after a pause that doubles.
    """

    def __init__(
        self,
        home: Path,
        *,
        at_once: int,
        start: Callable[[RunFiles], Pumped],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing taken up."""
        self._home, self._at_once, self._start, self._clock = home, at_once, start, clock
        self._pumped: dict[str, Pumped] = {}
        self._pauses: dict[str, _Pause] = {}

    def serve(self, stopped: Callable[[float], bool]) -> None:
        """Look again and again, until ``stopped`` says so, which waits as long as it is told."""
        try:
            while not stopped(_LOOK_SECONDS):
                self.look()
        finally:
            self._stop()

    def look(self) -> None:
        """See what has ended and what waits, and take up as many as there is room for."""
        self._take_back()
        found = []
        for waits in waiting(self._home):
            if is_over(waits.ended) and waits.run.id not in self._pumped:
                log("run-over", run=waits.run.id, state=waits.ended.state.value)
                forget(waits.run)
                self._pauses.pop(waits.run.id, None)
            else:
                found.append(waits)
        under_way = [w for w in found if self._is_under_way(w)]
        for waits in [w for w in found if self._may_begin(w)][: self._room(len(under_way))]:
            log("run-taken-up", run=waits.run.id, priority=waits.submitted.priority)
            self._pumped[waits.run.id] = self._start(waits.run)

    def _take_back(self) -> None:
        """Note which runs have stopped; one that ended badly rests before it is taken up again."""
        for run_id, pumped in list(self._pumped.items()):
            code = pumped.ended()
            if code is None:
                continue
            del self._pumped[run_id]
            log("run-stopped", run=run_id, code=code)
            if code:
                known = self._pauses.get(run_id)
                seconds = FIRST_PAUSE_SECONDS if known is None else 2 * known.seconds
                seconds = min(seconds, MOST_PAUSE_SECONDS)
                self._pauses[run_id] = _Pause(due=self._clock() + seconds, seconds=seconds)

    def _is_under_way(self, waits: Waits) -> bool:
        """Tell whether somebody pumps a run, we or a process that outlived its service."""
        return waits.run.id in self._pumped or waits.ended.state is RunState.RUNNING

    def _may_begin(self, waits: Waits) -> bool:
        """Tell whether a run may be taken up now."""
        pause = self._pauses.get(waits.run.id)
        rested = pause is None or self._clock() >= pause.due
        return rested and not self._is_under_way(waits) and not waits.run.cancel.exists()

    def _room(self, under_way: int) -> int:
        """Return for how many more runs there is room."""
        return max(0, self._at_once - under_way)

    def _stop(self) -> None:
        """Stop what we pump, all at the same time."""
        for pumped in self._pumped.values():
            pumped.tell()
        for run_id, pumped in self._pumped.items():
            pumped.stop()
            log("run-stopped", run=run_id, code=pumped.ended())


@contextmanager
def serving_alone(home: Path) -> Iterator[None]:
    """Hold a home, so that it has one service; the lock ends with the process.

    Raises RunFailed when another one has it.
    """
    make_directory(home, mode=0o700)
    with (home / "service.lock").open("a") as file:
        if not lock_alone(file):
            raise RunFailed(
                f"another coordinator serves {home}",
                hint="submit to it, or give this one a SILOSYNTH_HOME of its own",
            )
        yield
