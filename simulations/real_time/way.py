"""The coordinator's way to its silos in real time: Flower, with stages and deaths written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from silosynth.common.errors import RunFailed
from silosynth.common.messages import Request
from silosynth.common.plan import Plan
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import (
    Absent,
    Acknowledged,
    Agree,
    Answered,
    Decided,
    Event,
    Mute,
    Silent,
    Stated,
    Undecided,
)
from silosynth.server.federation import Channel, Federation, Pace, open_grid
from silosynth.simulations.scenario import Deaths, Leg, Timeline, What
from silosynth.simulations.world import SECOND, Point

_HEARD = Decided | Answered | Stated | Acknowledged
_UNHEARD = Undecided | Absent | Mute | Silent


class RealTime:
    """Own a coordinator's run at the SuperLink, and the clock of its scenario."""

    def __init__(
        self,
        plan: Plan,
        *,
        federation: Federation,
        key: SigningKey,
        lock: Path,
        begun: float,
        timeline: Timeline,
        deaths: Deaths,
        pace: Pace | None = None,
    ) -> None:
        """Take the plan, which names the silos' keys, and where its SuperLink is.

        Args: begun: when the clock began, of ``time.time``. pace: a seam for tests.
        """
        self.timeline = timeline
        self._plan, self._federation, self._key = plan, federation, key
        self._lock, self._begun, self._deaths, self._pace = lock, begun, deaths, pace
        self._open = ExitStack()
        self._channel: Channel | None = None

    @property
    def now(self) -> int:
        """Return the time that it is, in microseconds from the beginning."""
        return round((time.time() - self._begun) * SECOND)

    def close(self) -> None:
        """End the run at the SuperLink."""
        self._channel = None
        self._open.close()

    def propose(self, silos: Sequence[str]) -> Iterator[Event]:
        """Show the plan until every silo has decided, or the time for it is over."""
        deadline = time.monotonic() + self._plan.approval_seconds

        def events(channel: Channel) -> Iterator[Event]:
            return channel.propose(silos, deadline=deadline)

        return self._leg("propose", events, asked=len(silos), point=Point.PROPOSE)

    def ask(self, requests: Sequence[Request]) -> Iterator[Event]:
        """Send each request; yield what comes before the deadline, then who is absent."""
        phase = requests[0].phase.value

        def events(channel: Channel) -> Iterator[Event]:
            return channel.ask(requests)

        return self._leg(phase, events, asked=len(requests), point=Point.COUNT, phase=phase)

    def agree(self, steps: Sequence[Agree]) -> Iterator[Event]:
        """Ask for keys or votes; yield what comes before the deadline, then who is mute."""

        def events(channel: Channel) -> Iterator[Event]:
            return channel.agree(steps)

        name = f"agree: {steps[0].asked.value}"
        return self._leg(name, events, asked=len(steps), point=Point.SET)

    def deliver(self, silos: Sequence[str], *, bundle: bytes) -> Iterator[Event]:
        """Hand the result out; yield who took it before the deadline, then who is silent."""

        def events(channel: Channel) -> Iterator[Event]:
            return channel.deliver(silos, bundle=bundle)

        return self._leg("deliver", events, asked=len(silos), point=Point.DELIVER)

    def fit(self) -> None:
        """Write down when the fit ended; a death that was due meanwhile comes before its result."""
        begin = self.timeline.legs[-1].until if self.timeline.legs else 0
        leg = Leg(name="fit", begin=begin, asked=0, until=self.now)
        self.timeline.legs.append(leg)
        self._die_if_due(leg)

    def rest(self, *, until: int) -> None:
        """Be dead for a while: silos work, people decide, answers go by."""
        self.close()
        self._deaths.rest(until=until)
        leg = Leg(name="coordinator off", begin=self.now, asked=0, until=until)
        self.timeline.legs.append(leg)
        time.sleep(max(0.0, (until - self.now) / SECOND))

    def _leg(
        self,
        name: str,
        events: Callable[[Channel], Iterator[Event]],
        *,
        asked: int,
        point: Point,
        phase: str | None = None,
    ) -> Iterator[Event]:
        """Pass the events of one stage on, with who answered when; die where that was said."""
        leg = Leg(name=name, begin=self.now, asked=asked)
        self.timeline.legs.append(leg)
        try:
            for event in events(self._connected()):
                leg.until = self.now
                if isinstance(event, _HEARD):
                    self._die_in_hand(leg, point, phase)
                    leg.answered[event.silo] = self.now
                elif isinstance(event, _UNHEARD):
                    leg.missed.append(event.silo)
                    self.timeline.mark(event.silo, What.LEFT, self.now)
                yield event
        except RunFailed:
            self._die_if_due(leg)
            raise
        leg.until = self.now

    def _connected(self) -> Channel:
        """Return the channel, over a new run at the SuperLink where there is none."""
        if self._channel is None:
            patience = self._pace.patience if self._pace else None
            grid = self._open.enter_context(
                open_grid(self._federation, lock=self._lock, patience=patience)
            )
            self._channel = Channel(
                grid,
                plan=self._plan,
                key=self._key,
                stopping=self._is_due,
                pace=self._pace,
            )
        return self._channel

    def _is_due(self) -> bool:
        return self._deaths.by_time(before=self.now) is not None

    def _die_if_due(self, leg: Leg) -> None:
        """Raise CoordinatorKilled where the coordinator's death is due by the clock."""
        if crash := self._deaths.by_time(before=self.now):
            self._deaths.die(leg, crash, now=self.now)

    def _die_in_hand(self, leg: Leg, point: Point, phase: str | None) -> None:
        """Raise CoordinatorKilled where it comes with the answer at hand, before that is kept."""
        if crash := self._deaths.in_hand(leg, point, phase=phase, now=self.now):
            self._deaths.die(leg, crash, now=self.now)
