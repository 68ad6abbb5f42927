"""What happened, and when: kept while a scenario runs, handed out as plain facts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from silosynth.simulations.world import SECOND, Place, spell_span

TIMELINE_VERSION = 1
Stretched = tuple[int, int | None]
"""When something began and ended; without an end it goes on."""


class What(StrEnum):
    """What a silo did, or what was done to it."""

    WORK = "work"
    WAIT = "wait"
    STALL = "stall"
    AGAIN = "again"
    LOST = "lost"
    CRASH = "crash"
    LATE = "late"
    CLOCK = "clock"
    HEARD = "heard"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Something at one silo; ``until`` is its beginning where it took no time."""

    silo: str
    what: What
    begin: int
    until: int


@dataclass(slots=True, kw_only=True)
class Leg:
    """One stage or phase of a run: who was asked, who answered when, and who was given up on.

    ``cut`` says that the coordinator was killed in the middle of it.
    """

    name: str
    begin: int
    asked: int
    until: int = 0
    answered: dict[str, int] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)
    cut: bool = False

    @property
    def missing(self) -> int:
        """Return how many silos did not answer; none of a stage that the coordinator's end cut."""
        return 0 if self.cut else self.asked - len(self.answered)

    def late(self) -> list[tuple[str, int]]:
        """Return who answered last, and how long after the middle one, slowest first."""
        times = sorted(self.answered.values())
        if len(times) < 2:
            return []
        # The lower middle: of two, the slower one may be late.
        middle = times[(len(times) - 1) // 2] - self.begin
        found = [(s, t - self.begin) for s, t in self.answered.items()]
        slow = [(s, t - middle) for s, t in found if t > 2 * middle]
        return sorted(slow, key=lambda item: (-item[1], item[0]))


@dataclass(slots=True, kw_only=True)
class Timeline:
    """Everything that is told of a run; ``clock`` says by which clock, virtual or real."""

    homes: dict[str, str]
    clock: str = "virtual"
    legs: list[Leg] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    queued: Counter[str] = field(default_factory=Counter)
    counts: defaultdict[str, Counter[What]] = field(default_factory=lambda: defaultdict(Counter))

    def mark(self, silo: str, what: What, begin: int, until: int | None = None) -> None:
        """Keep what happened at a silo."""
        end = begin if until is None else until
        self.marks.append(Mark(silo=silo, what=what, begin=begin, until=end))
        self.counts[silo][what] += 1

    def _waited(self) -> dict[str, int]:
        """Return for how long each silo's person was waited for, up to the run's end."""
        waits: defaultdict[str, list[Stretched]] = defaultdict(list)
        for mark in self.marks:
            if mark.what is What.WAIT:
                waits[mark.silo].append((mark.begin, mark.until))
        return {silo: _covered(mine, until=self.until) for silo, mine in waits.items()}

    @property
    def until(self) -> int:
        """Return when the run ended."""
        return max((leg.until for leg in self.legs), default=0)

    def facts(self, places: Mapping[str, Place] | None = None) -> dict[str, Any]:
        """Return the timeline as plain data: the same seed gives the same.

        Args: places: of the silos; with them it says for how long each was away, and how it lied.
        """
        waited = self._waited()
        regions = sorted(set(self.homes.values()))
        return {
            "version": TIMELINE_VERSION,
            "clock": self.clock,
            "virtual_seconds": self.until / SECOND,
            "virtual_time": spell_span(self.until),
            "legs": [_leg_facts(leg) for leg in self.legs],
            "bytes": {
                r: {
                    "to_silos": self.sent[r],
                    "from_silos": self.received[r],
                    "queued_seconds": self.queued[r] / SECOND,
                }
                for r in regions
            },
            "silos": {
                silo: {
                    "region": region,
                    **{w.value: n for w, n in sorted(self.counts[silo].items()) if n},
                    **({"wait_seconds": waited[silo] / SECOND} if silo in waited else {}),
                    **(_world_facts(places[silo], until=self.until) if places else {}),
                }
                for silo, region in self.homes.items()
            },
        }


def _world_facts(place: Place, *, until: int) -> dict[str, Any]:
    """Return for how long a silo was off and cut off, and how it lied; nothing where it did not."""
    found: dict[str, Any] = {}
    gone = list(place.stretches(until))
    for name, cut in (("off_seconds", False), ("cut_off_seconds", True)):
        mine = [(s.begin, s.until) for s in gone if (s.kind == "partition") is cut]
        if length := _covered(mine, until=until):
            found[name] = length / SECOND
    return found | ({} if place.lie is None else {"lie": place.lie.value})


def _covered(stretches: Sequence[Stretched], *, until: int) -> int:
    """Return how much of the time up to a moment stretches cover, however they overlap."""
    covered, reached = 0, 0
    for begin, end in sorted(stretches, key=lambda stretch: stretch[0]):
        last = until if end is None else min(end, until)
        covered += max(0, last - max(begin, reached))
        reached = max(reached, last)
    return covered


def _leg_facts(leg: Leg) -> dict[str, Any]:
    """Return one stage: when it began and ended, who answered, who was late."""
    return {
        "name": leg.name,
        "begin_seconds": leg.begin / SECOND,
        "end_seconds": leg.until / SECOND,
        "took": spell_span(leg.until - leg.begin),
        "asked": leg.asked,
        "answered": len(leg.answered),
        "missing": leg.missing,
        "missed": leg.missed[:20],
        "cut": leg.cut,
        "late": [{"silo": s, "after_the_middle_seconds": t / SECOND} for s, t in leg.late()[:20]],
    }
