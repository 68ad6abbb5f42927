"""What the coordinator knows of a run, what happens to it, and what it wants done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from silosynth.common.domain import Grouping
from silosynth.common.errors import SilosynthError
from silosynth.common.measurement import Measurement
from silosynth.common.plan import FINE, PhaseName, Plan, Request
from silosynth.common.schema import Schema
from silosynth.common.wire import Receipt, Release
from silosynth.server.aggregate import sum_releases
from silosynth.server.questions import Question


class Stage(StrEnum):
    """Where a run stands."""

    PROPOSE = "propose"
    MEASURE = "measure"
    FIT = "fit"
    DELIVER = "deliver"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A silo sent ``data``, its verdict on the plan."""

    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """A silo had not decided when the plan's time for approval was over."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A silo sent ``data``, a release or a refusal."""

    phase: PhaseName
    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A silo did not answer before the deadline."""

    phase: PhaseName
    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The model is fitted, and the sampler with this digest is on disk."""

    sampler_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A silo sent ``data``, its word on the result."""

    silo: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A silo said nothing to the result before the deadline."""

    silo: str


Event = Decided | Undecided | Answered | Absent | Fitted | Acknowledged | Silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Propose:
    """Show the plan to a silo until it has decided."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Send ``request`` to its silo."""

    request: Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """Every phase is answered: fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Send the result to a silo."""

    silo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Nothing is left to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The run cannot go on."""

    error: SilosynthError


Command = Propose | Ask | Finish | Deliver | End | Fail


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a run stands; ``phase`` is None when no phase is open.

    ``silos`` are those that still take part, ``left`` says why others do not, and ``acknowledged``
    what each silo had against the result: nothing, if it is well.
    """

    plan: Plan
    schema: Schema
    silos: tuple[str, ...]
    phase: PhaseName | None
    stage: Stage
    approved: tuple[str, ...] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[PhaseName, Question] = field(default_factory=dict)
    releases: Mapping[PhaseName, Mapping[str, Release]] = field(default_factory=dict)
    sampler_digest: str | None = None
    acknowledged: Mapping[str, str] = field(default_factory=dict)

    def measured(self) -> dict[PhaseName, tuple[Measurement, ...]]:
        """Return the sums over the silos that still take part, of every complete phase."""
        return {
            phase: sum_releases(
                [self.releases[phase][s] for s in self.silos],
                queries=question.queries,
                levels={FINE: Grouping()} | dict(question.levels),
                phase=self.plan.phase(phase),
            )
            for phase, question in self.asked.items()
            if not self.waiting(phase)
        }

    def waiting(self, phase: PhaseName) -> tuple[str, ...]:
        """Return the silos that take part and have not answered ``phase``."""
        answered = self.releases.get(phase, {})
        return tuple(s for s in self.silos if s not in answered)

    def waited_for(self) -> tuple[str, ...]:
        """Return the silos whose word the run waits for where it stands."""
        match self.stage:
            case Stage.PROPOSE:
                return tuple(s for s in self.silos if s not in self.approved)
            case Stage.MEASURE:
                return self.waiting(self.phase) if self.phase else ()
            case Stage.DELIVER:
                return tuple(s for s in self.silos if s not in self.acknowledged)
        return ()

    def unacknowledged(self) -> dict[str, str]:
        """Return what the silos that did not accept the result have against it."""
        return {silo: fault for silo, fault in self.acknowledged.items() if fault}

    def answers(self) -> dict[str, tuple[Release, ...]]:
        """Return what each silo released, absent silos included."""
        return {
            silo: tuple(r[silo] for r in self.releases.values() if silo in r)
            for silo in self.plan.silos
        }

    def receipts(self) -> dict[str, tuple[Receipt, ...]]:
        """Return what each silo said it released, absent silos included."""
        return {s: tuple(r.receipt for r in released) for s, released in self.answers().items()}
