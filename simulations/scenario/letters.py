"""What is between the coordinator and its silos: letters on their way, shared lines, and deaths.

All silos beyond one line share it, and messages queue for it. A coordinator may be killed with an
answer in its hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from silosynth.client.gateway import Gateway
from silosynth.simulations.scenario.timeline import Leg
from silosynth.simulations.world import (
    SECOND,
    Befalling,
    CoordinatorCrash,
    Crash,
    Place,
    Point,
    transmission,
)


class Lines:
    """Own what is on the lines: until when each is taken, one queue each way."""

    def __init__(self, *, queued: Counter[str]) -> None:
        """Begin with lines that nothing is on.

        Args: queued: gets how long messages of a region queued altogether, in microseconds.
        """
        self._free: dict[tuple[str, bool], int] = {}
        self._queued = queued

    def arrives(self, place: Place, *, now: int, message: int, size: int, inbound: bool) -> int:
        """Return when a message that leaves now is there.

        Args: inbound: whether it goes to the coordinator, so over the silo's own link first.
        """
        own, line = place.travel(message=message, size=size), place.line
        if line is None:
            return now + own
        reaches = now + own if inbound else now
        begins = max(reaches, self._free.get((place.region, inbound), 0))
        ends = begins + transmission(line, size)
        self._free[place.region, inbound] = ends
        self._queued[place.region] += begins - reaches
        over = ends + place.crossing(message=message)
        return over if inbound else over + own


RESEND = 15 * SECOND

Call = Callable[[Gateway], bytes]


@dataclass(slots=True, kw_only=True)
class Letter:
    """What a silo is sent until it answers. ``parked`` while its people decide."""

    point: Point
    call: Call
    size: int
    answer: int
    work: int
    phase: str | None = None
    sent: int = 0
    wait: int = RESEND
    parked: bool = False


@dataclass(slots=True, kw_only=True)
class Talk:
    """One stage's letters, and what was heard since the coordinator last looked."""

    leg: Leg
    waiting: dict[str, Letter]
    heard: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Encounters:
    """What a silo has met so far: how often, by the number of what befalls it."""

    befell: dict[int, int] = field(default_factory=dict)

    def meets(
        self,
        befalls: Sequence[tuple[int, Befalling]],
        *,
        point: Point,
        phase: str | None,
        now: int,
        answered: bool,
    ) -> Befalling | None:
        """Return what befalls the silo at a point now, and count it.

        Args: answered: at ``send`` a crash comes before there is an answer, all else with it.
        """
        for number, fault in befalls:
            over = fault.until is not None and now >= fault.until
            if fault.at is not point or now < fault.begin or over:
                continue
            if fault.phase is not None and fault.phase.value != phase:
                continue
            if point is Point.SEND and isinstance(fault, Crash) is answered:
                continue
            if self.befell.get(number, 0) < fault.times:
                self.befell[number] = self.befell.get(number, 0) + 1
                return fault
        return None


@dataclass(slots=True, kw_only=True)
class Link:
    """What the coordinator and the silo's machine are at: for one silo.

    ``asked_person`` is when its people heard of the plan, once they have.
    """

    connected: bool = False
    connecting: bool = False
    busy_until: int = -1
    messages: int = 0
    asked_person: int | None = None
    decided: bool = False
    met: Encounters = field(default_factory=Encounters)


def agree(plan: bytes, step: bytes, gateway: Gateway) -> bytes:
    """Take a step towards a sum."""
    return gateway.agree(plan=plan, step=step)


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

    def in_hand(
        self, leg: Leg, point: Point, *, phase: str | None, now: int
    ) -> CoordinatorCrash | None:
        """Return the one that comes with an answer that was heard and not yet written down."""
        heard = len(leg.answered) + 1
        for crash in self._left:
            here = crash.at is point and crash.begin <= now
            there = crash.phase is None or crash.phase.value == phase
            if here and there and heard >= crash.answers:
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
