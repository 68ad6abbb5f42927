"""When the coordinator of a scenario is killed, and with which answer in its hand."""

from __future__ import annotations

from collections.abc import Iterable

from silosynth.simulations.scenario.letters import Letter
from silosynth.simulations.scenario.timeline import Leg
from silosynth.simulations.world import CoordinatorCrash


class CoordinatorKilled(BaseException):
    """The coordinator died. Not an Exception: no handler may answer for it.

    ``until`` is when it is there again.
    """

    def __init__(self, *, until: int) -> None:
        """Say when it is started again."""
        super().__init__("the coordinator was killed")
        self.until = until


class Deaths:
    """Own the coordinator's deaths that are to come; each is died once."""

    def __init__(self, crashes: Iterable[CoordinatorCrash]) -> None:
        """Take them in any order."""
        self._left = sorted(crashes, key=lambda crash: crash.begin)

    def by_time(self, *, before: int) -> CoordinatorCrash | None:
        """Return the next one by time, if it comes before a moment."""
        return next((c for c in self._left if c.at is None and c.begin < before), None)

    def in_hand(self, leg: Leg, letter: Letter, *, now: int) -> CoordinatorCrash | None:
        """Return the one that comes with an answer that was heard and not yet written down."""
        heard = len(leg.answered) + 1
        for crash in self._left:
            here = crash.at is letter.point and crash.begin <= now
            phase = crash.phase is None or crash.phase.value == letter.phase
            if here and phase and heard >= crash.answers:
                return crash
        return None

    def die(self, leg: Leg, crash: CoordinatorCrash, *, now: int) -> None:
        """End the coordinator in the middle of a stage: raise CoordinatorKilled."""
        self._left.remove(crash)
        leg.until, leg.cut = now, True
        raise CoordinatorKilled(until=now + max(1, crash.lasts))

    def rest(self, *, until: int) -> None:
        """Drop those by time that would fall on a coordinator that is off until a moment."""
        self._left = [c for c in self._left if c.at is not None or c.begin >= until]
