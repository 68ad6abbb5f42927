"""What the parts of a run in virtual time share: the clock, connections, and what befalls silos."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from functools import partial

from silosynth.common.plan import Plan
from silosynth.simulations.scenario.letters import Lines, Link
from silosynth.simulations.scenario.timeline import Timeline, What
from silosynth.simulations.world import Befalling, Crash, Place, Point, Sizes, Stall

_CHALLENGE, _CHALLENGE_MOST = 15_000_000, 3_600_000_000


class VirtualClock:
    """Own the time that it is, and the heap of what is to happen."""

    def __init__(self) -> None:
        """Begin at 0 microseconds."""
        self.now = 0
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, moment: int, event: Callable[[], None]) -> None:
        """Let something happen at a moment; of one moment's events the first asked is first."""
        self._count += 1
        heapq.heappush(self._heap, (max(moment, self.now), self._count, event))

    def go_on(self, *, before: int) -> bool:
        """Let the next event happen that comes before a moment; say whether there was one."""
        if not self._heap or self._heap[0][0] >= before:
            return False
        moment, _, event = heapq.heappop(self._heap)
        self.now = max(self.now, moment)
        event()
        return True


class Running:
    """Own what befalls the silos of one run, and who of them is connected."""

    def __init__(
        self,
        plan: Plan,
        *,
        kill: Callable[[str], None],
        places: Mapping[str, Place],
        timeline: Timeline,
        sizes: Sizes,
    ) -> None:
        """Take the world, and what ends a silo's gateway; ``plan`` names the silos."""
        self.clock, self.timeline = VirtualClock(), timeline
        self.lines = Lines(queued=timeline.queued)
        self.places, self.sizes, self._kill = places, sizes, kill
        self.links = {s: Link() for s in plan.silos}

    def number(self, silo: str) -> int:
        """Return the number of a silo's next message."""
        self.links[silo].messages += 1
        return self.links[silo].messages

    def befell(
        self, silo: str, point: Point, phase: str | None, *, answered: bool = False
    ) -> Befalling | None:
        """Return what befalls a silo at a point now, and count it."""
        return self.links[silo].met.meets(
            self.places[silo].befalls,
            point=point,
            phase=phase,
            now=self.clock.now,
            answered=answered,
        )

    def stalled(self, silo: str, befell: Befalling | None) -> int:
        """Return how long a stall lasts, and mark it."""
        if not isinstance(befell, Stall):
            return 0
        now = self.clock.now
        self.timeline.mark(silo, What.STALL, now, now + befell.lasts)
        return befell.lasts

    def goes(self, silo: str, befell: Befalling, *, begin: int | None = None) -> None:
        """Take a silo away for as long as something lasts; all but a partition end its gateway."""
        if isinstance(befell, Stall):
            return
        now = self.clock.now if begin is None else begin
        until = now + befell.away
        self.places[silo].befallen(befell, now=now, until=until)
        if befell.kind != "partition":
            self._kill(silo)
        if isinstance(befell, Crash):
            self.timeline.mark(silo, What.CRASH, now, until)


class Connections:
    """Let silos connect and prove who they are, as soon as they are there."""

    def __init__(
        self,
        running: Running,
        *,
        connected: Callable[[str], None],
        identify: Callable[[str], bool],
    ) -> None:
        """Take what is told of a silo that is connected, and what asks for its identity."""
        self._run, self._tell, self._identify = running, connected, identify

    def connect(self, silo: str) -> None:
        """Let a silo connect, unless it is at it."""
        link = self._run.links[silo]
        link.connected = False
        if not link.connecting:
            link.connecting = True
            self._try(silo, _CHALLENGE)

    def _try(self, silo: str, wait: int) -> None:
        """Try to connect once; again later where that fails."""
        run, now = self._run, self._run.clock.now
        place = run.places[silo]
        back = place.back(now)
        if back is None:
            return
        if back > now:
            run.clock.at(back, partial(self._try, silo, wait))
            return
        later = partial(self._try, silo, min(2 * wait, _CHALLENGE_MOST))
        if not place.tells_time(now):
            run.timeline.mark(silo, What.CLOCK, now)
            run.clock.at(now + wait, later)
            return
        befell = run.befell(silo, Point.CONNECT, None)
        if befell is not None and not isinstance(befell, Stall):
            run.goes(silo, befell)
            run.clock.at(now, later)
            return
        number = run.number(silo)
        if place.loses(message=number, now=now, point=Point.CONNECT):
            run.timeline.mark(silo, What.LOST, now)
            run.clock.at(now + wait, later)
            return
        run.clock.at(self._there(silo, number, befell), partial(self._connected, silo))

    def _there(self, silo: str, number: int, befell: Befalling | None) -> int:
        """Return when a challenge is answered: there, some work, and back."""
        run, place = self._run, self._run.places[silo]
        size, back, work = run.sizes.of(Point.CONNECT, None)
        reached = run.lines.arrives(
            place, now=run.clock.now, message=number, size=size, inbound=False
        )
        done = reached + round(work / place.speed) + run.stalled(silo, befell)
        return run.lines.arrives(place, now=done, message=number, size=back, inbound=True)

    def _connected(self, silo: str) -> None:
        """Take a silo's identity, and tell that it is there."""
        run = self._run
        link = run.links[silo]
        link.connecting = False
        if run.places[silo].away(run.clock.now):
            self.connect(silo)
            return
        link.connected = self._identify(silo)
        self._tell(silo)
