"""What the world does to each silo at each moment of virtual time; it has no state of a run.

Every draw has a name of its own, so the world is the same whatever is asked of it and when.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from silosynth.common.plan import Plan
from silosynth.simulations.world.chance import exponential, normal, share
from silosynth.simulations.world.faults import (
    Befalling,
    CoordinatorCrash,
    Fault,
    Loss,
    OfSilos,
    Outage,
    Partition,
    Point,
)
from silosynth.simulations.world.scenario import (
    Approval,
    Clock,
    Distribution,
    Lie,
    Line,
    Link,
    OneSilo,
    Region,
    Scenario,
)
from silosynth.simulations.world.units import MOST_SPAN, SECOND, hours_of

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = 86_400 * SECOND
_HEAD = 1024
_QUERY = 64
_STATEMENT = 512
_MILLISECOND = SECOND // 1000
_AHEAD, _BEHIND = 5 * SECOND, -300 * SECOND
"""How far Flower lets a SuperNode's clock be from the SuperLink's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A stretch of time in which something is so; without ``until`` for ever."""

    begin: int
    until: int | None
    kind: str

    def holds(self, now: int) -> bool:
        """Say whether it is so now."""
        return self.begin <= now and (self.until is None or now < self.until)


def _begin_of(stretch: Stretch) -> int:
    return stretch.begin


class Place:
    """One silo's world: where it stands, how far away it is, and when it is there."""

    def __init__(self, scenario: Scenario, silo: str, *, region: str) -> None:
        """Take a scenario's region, and what is different at this silo."""
        self.silo, self.region = silo, region
        self._seed = scenario.seed
        own = scenario.silos.get(silo, OneSilo())
        common: Region = scenario.regions[region]
        self.link: Link = own.link or common.link
        self.line: Line | None = scenario.line(region)
        self.speed = (own.machine or common.machine).speed
        self.clock: Clock = own.clock or common.clock
        self.approval: Approval = own.approval or common.approval
        self.lie: Lie | None = own.lie
        self._churn = own.churn or common.churn
        self._starts: datetime = scenario.starts
        mine = [(i, f) for i, f in _of_silos(scenario.faults) if self._meets(f)]
        self._fixed = tuple(
            Stretch(begin=f.begin, until=f.until, kind=f.kind)
            for _, f in mine
            if isinstance(f, Outage | Partition) and f.at is None
        )
        self._losses = tuple(f for _, f in mine if isinstance(f, Loss))
        self.befalls: tuple[tuple[int, Befalling], ...] = tuple(
            (i, f) for i, f in mine if not isinstance(f, Loss) and f.at is not None
        )
        self._befallen: list[Stretch] = []
        self._churned: list[Stretch] = []
        self._churn_until = 0

    def _meets(self, fault: OfSilos) -> bool:
        """Say whether a fault is for this silo; one without names is for all."""
        named = fault.silos or fault.regions
        return not named or self.silo in fault.silos or self.region in fault.regions

    def befallen(self, fault: Befalling, *, now: int, until: int) -> None:
        """Take the silo down, or cut it off, from a point of the protocol on."""
        self._befallen.append(Stretch(begin=now, until=until, kind=fault.kind))

    def stretches(self, until: int) -> Iterator[Stretch]:
        """Yield when the silo is away, as far as that is known up to a moment."""
        self._churn_to(until)
        yield from self._fixed
        yield from self._befallen
        yield from self._churned

    def _between(self, begin: int, end: int) -> Iterator[Stretch]:
        """Yield when the silo is away, of what may reach into a stretch of time."""
        self._churn_to(end)
        yield from self._fixed
        yield from self._befallen
        # One that began earlier may hold still; those before it are over: they do not overlap.
        first = bisect_right(self._churned, begin, key=_begin_of)
        for stretch in self._churned[max(first - 1, 0) :]:
            if stretch.begin > end:
                return
            yield stretch

    def away(self, now: int) -> Stretch | None:
        """Return why the silo is not there now, if it is not."""
        return next((s for s in self._between(now, now) if s.holds(now)), None)

    def is_down(self, now: int) -> bool:
        """Say whether its machine or gateway is off, not only out of reach."""
        return any(s.holds(now) and s.kind != "partition" for s in self._between(now, now))

    def goes_down(self, begin: int, end: int) -> int | None:
        """Return when, within a stretch of work, the machine goes off."""
        times = [
            s.begin
            for s in self._between(begin, end)
            if s.kind != "partition" and begin < s.begin <= end
        ]
        return min(times, default=None)

    def back(self, now: int) -> int | None:
        """Return when the silo is there again; None where it never is."""
        while (gone := self.away(now)) is not None:
            if gone.until is None:
                return None
            now = gone.until
        return now

    def _churn_to(self, until: int) -> None:
        """Work out ups and downs as far as they are asked for."""
        if self._churn is None:
            return
        while self._churn_until <= until:
            number = len(self._churned)
            up, down = self._churn.up, self._churn.down
            begin = self._churn_until + max(1, self._spell("up", number, mean=up))
            end = begin + max(1, self._spell("down", number, mean=down))
            self._churned.append(Stretch(begin=begin, until=end, kind="churn"))
            self._churn_until = end

    def _spell(self, what: str, number: int, *, mean: int) -> int:
        return round(exponential(self._seed, self.silo, what, number, mean=float(mean)))

    def travel(self, *, message: int, size: int) -> int:
        """Return how long a message takes one way on the silo's own link, from end to end."""
        delay = _delay(self.link, self._seed, self.silo, "delay", message)
        return delay + transmission(self.link, size)

    def crossing(self, *, message: int) -> int:
        """Return how long a message is under way on the line of its region, which it has."""
        return 0 if self.line is None else _delay(self.line, self._seed, self.silo, "line", message)

    def loses(self, *, message: int, now: int, point: Point | None) -> bool:
        """Say whether a message gets lost, on the silo's link or on the line of its region.

        Args: point: None for what is no letter of the protocol, as when a SuperNode asks for one.
        """
        kept = (1.0 - self.link.loss) * (1.0 - (self.line.loss if self.line else 0.0))
        for loss in self._losses:
            over = loss.until is not None and now >= loss.until
            if loss.begin <= now and not over and loss.at in (None, point):
                kept *= 1.0 - loss.probability
        return kept < 1.0 and share(self._seed, self.silo, "loss", message) >= kept

    def skew(self, now: int) -> int:
        """Return how far the silo's clock is ahead of the coordinator's."""
        return self.clock.offset + round(now * self.clock.drift_ppm / 1e6)

    def tells_time(self, now: int) -> bool:
        """Say whether the clock is near enough for the SuperLink to let the silo in."""
        return _BEHIND <= self.skew(now) <= _AHEAD

    def time(self, now: int) -> datetime:
        """Return the time of day on the silo's clock."""
        return self._starts + timedelta(microseconds=now + self.skew(now))

    def decides(self, now: int) -> int:
        """Return when its person, who hears of a plan now, decides about it."""
        middle = max(self.approval.takes, 1)
        spent = middle * 2.0 ** normal(self._seed, self.silo, "decides")
        return self._at_work(now + max(1, round(spent)))

    def _at_work(self, moment: int) -> int:
        """Return the first moment from ``moment`` on that lies within the hours of work."""
        begin, end = hours_of(self.approval.hours)
        local = self._starts + timedelta(microseconds=self.approval.utc_offset)
        midnight = (local.hour * 3600 + local.minute * 60 + local.second) * SECOND
        since = moment + midnight + local.microsecond
        # From yesterday on: hours over midnight belong to the day on which they begin.
        for number in range(since // _DAY - 1, since // _DAY + 8):
            midnight = number * _DAY
            today = DAYS[(local.weekday() + number) % 7]
            if today in self.approval.days and since < midnight + end:
                return moment + max(0, midnight + begin - since)
        return moment + 7 * _DAY


def _of_silos(faults: Sequence[Fault]) -> Iterator[tuple[int, OfSilos]]:
    """Yield the faults that happen to silos, with their numbers."""
    for number, fault in enumerate(faults):
        if not isinstance(fault, CoordinatorCrash):
            yield number, fault


def _delay(link: Link, seed: int, *name: object) -> int:
    """Return the delay of a message on a link, a microsecond at least."""
    match link.distribution:
        case Distribution.FIXED:
            delay = float(link.delay)
        case Distribution.UNIFORM:
            delay = link.delay + (2 * share(seed, *name) - 1) * link.jitter
        case Distribution.NORMAL:
            delay = link.delay + normal(seed, *name) * link.jitter
        case Distribution.LOGNORMAL:
            spread = link.jitter / max(link.delay, 1)
            delay = link.delay * (1 + spread) ** normal(seed, *name)
    return max(1, round(delay))


def transmission(link: Link, size: int) -> int:
    """Return how long the bytes of a message take over a link: at most as long as time is told."""
    return round(min(size * 8 / link.bandwidth_mbit, float(MOST_SPAN)))


def make_places(scenario: Scenario, silos: Sequence[str]) -> dict[str, Place]:
    """Return the world of each silo."""
    homes = scenario.homes()
    return {silo: Place(scenario, silo, region=homes[silo]) for silo in silos}


class Sizes:
    """Own the bytes of each kind of message of a plan, and the work behind its answer.

    From the plan alone, and not from what is sent: the choice of pairs and the noise would move
    the clock otherwise, and one seed would not give one timeline.
    """

    def __init__(self, plan: Plan, *, sealed: int) -> None:
        """Take a plan and the length of its sealed bytes."""
        self._plan, self._sealed = plan, sealed

    def of(self, point: Point, phase: str | None) -> tuple[int, int, int]:
        """Return bytes there, bytes back, and microseconds of work at speed 1; all at most."""
        plan, silos = self._plan, len(self._plan.silos)
        match point:
            case Point.CONNECT:
                return _STATEMENT, _STATEMENT, 10 * _MILLISECOND
            case Point.PROPOSE:
                return self._sealed + _HEAD, _HEAD, 100 * _MILLISECOND
            case Point.SET:
                there = self._sealed + _STATEMENT * silos
                return there, _HEAD, 20 * _MILLISECOND
            case Point.DELIVER:
                cells = sum(p.cells for p in plan.phases)
                return 4 * _HEAD + 8 * cells + _STATEMENT * silos, _HEAD, 50 * _MILLISECOND
        asked = plan.phase(phase or plan.phases[0].name.value)
        there = self._sealed + _HEAD + _QUERY * asked.marginals
        back = _HEAD + plan.sum_bits // 8 * asked.cells
        return there, back, 200 * _MILLISECOND + asked.cells
