"""What happens to silos and to the coordinator, by time or at a point of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from silosynth.common.plan import Name, PhaseName
from silosynth.common.schema import PlainModel
from silosynth.simulations.world.units import Share, Span


class Point(StrEnum):
    """Where in the protocol something happens to a silo."""

    CONNECT = "connect"
    PROPOSE = "propose"
    SET = "set"
    COUNT = "count"
    SEND = "send"
    DELIVER = "deliver"


STEPS: Mapping[Point, tuple[str, ...]] = {
    Point.CONNECT: ("before-send",),
    Point.PROPOSE: ("verified", "received", "before-send"),
    Point.SET: ("verified", "received", "before-send"),
    Point.COUNT: (
        "counted",
        "received",
        "verified",
        "before-charge",
        "after-charge",
        "noised",
        "before-store",
    ),
    Point.SEND: ("before-send", "after-store"),
    Point.DELIVER: ("verified", "received", "before-send"),
}
"""At which steps of the gateway's work a crash at a point may be; the first one by default."""


def _check_phase(at: Point | None, phase: PhaseName | None, *, of: tuple[Point, ...]) -> None:
    """Raise ValueError for a phase at a point that is of none: it would never come."""
    if phase is not None and at not in (None, *of):
        points = " and ".join(point.value for point in of)
        raise ValueError(f"phase: only {points} is of a phase; leave it out")


class _Fault(PlainModel):
    """In which stretch of time something happens."""

    begin: Span = Field(default=0, alias="from")
    until: Span | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.until is not None and self.until <= self.begin:
            raise ValueError("times run backwards: 'until' is not after 'from'")
        return self


class _OfSilos(_Fault):
    """To whom it happens; to all without names."""

    silos: tuple[Name, ...] = ()
    regions: tuple[Name, ...] = ()

    @property
    def whom(self) -> str:
        """Say to whom it happens."""
        return ", ".join((*self.silos, *self.regions)) or "all"


class _Away(_OfSilos):
    """A silo is not there: from ``from`` to ``until``, or for a while from a point on."""

    at: Point | None = Field(
        default=None, description="begins when the silo comes to it, within 'from' and 'until'"
    )
    phase: PhaseName | None = None
    lasts: Span | None = None
    times: int = Field(default=1, ge=1, le=1000, description="to each silo")

    @model_validator(mode="after")
    def _lasts_from_a_point(self) -> Self:
        if (self.at is None) != (self.lasts is None):
            raise ValueError("'at' and 'lasts' go together: from that point on, for so long")
        if self.at is None and (self.phase is not None or self.times != 1):
            raise ValueError("'phase' and 'times' need 'at'")
        _check_phase(self.at, self.phase, of=(Point.COUNT, Point.SEND))
        return self

    @property
    def away(self) -> int:
        """Return for how long the silo is away from a point on."""
        return max(self.lasts or 0, 1)


class Outage(_Away):
    """The silo's machine is off. At ``send`` it goes off with the answer stored and not sent."""

    kind: Literal["outage"]


class Partition(_Away):
    """The silo runs, and nothing reaches it or comes back."""

    kind: Literal["partition"]


class Loss(_OfSilos):
    """Messages get lost on their way."""

    kind: Literal["loss"]
    probability: Share
    at: Point | None = Field(default=None, description="of these messages alone; 'send': answers")


class Stall(_OfSilos):
    """The silo's work stands still for a while."""

    kind: Literal["stall"]
    at: Point
    lasts: Span
    phase: PhaseName | None = None
    times: int = Field(default=1, ge=1, le=1000, description="to each silo")

    @model_validator(mode="after")
    def _of_a_phase(self) -> Self:
        _check_phase(self.at, self.phase, of=(Point.COUNT, Point.SEND))
        return self


class Crash(_OfSilos):
    """The gateway is killed at a step of its work, and started again after a while."""

    kind: Literal["crash"]
    at: Point
    step: str | None = None
    lasts: Span = Field(default="1m", validate_default=True)
    phase: PhaseName | None = None
    times: int = Field(default=1, ge=1, le=1000, description="to each silo")

    @property
    def away(self) -> int:
        """Return for how long the silo is away."""
        return max(self.lasts, 1)

    @property
    def dies_at(self) -> str:
        """Return the step at which the gateway dies."""
        return self.step or STEPS[self.at][0]

    @model_validator(mode="after")
    def _known_step(self) -> Self:
        if self.step is not None and self.step not in STEPS[self.at]:
            steps = ", ".join(STEPS[self.at])
            raise ValueError(f"step: at {self.at.value} it is one of {steps}")
        _check_phase(self.at, self.phase, of=(Point.COUNT, Point.SEND))
        return self


class CoordinatorCrash(_Fault):
    """The coordinator is killed, and resumed from its journal after a while.

    At ``from``; with ``at`` when it has heard ``answers`` silos there, the last of them unwritten.
    """

    kind: Literal["coordinator"]
    whom: ClassVar[str] = "the coordinator"
    at: Point | None = Field(default=None, description="propose, set, count or deliver")
    phase: PhaseName | None = None
    answers: int = Field(default=1, ge=1, le=10_000)
    lasts: Span = Field(default="1m", validate_default=True)

    @model_validator(mode="after")
    def _by_time_or_at_a_point(self) -> Self:
        if self.until is not None:
            raise ValueError("a coordinator's crash is over after 'lasts': leave 'until' out")
        if self.at is None and (self.phase is not None or self.answers != 1):
            raise ValueError("'phase' and 'answers' need 'at'")
        if self.at in (Point.CONNECT, Point.SEND):
            raise ValueError("at: a coordinator dies at propose, set, count or deliver")
        _check_phase(self.at, self.phase, of=(Point.COUNT,))
        return self


OfSilos = Outage | Partition | Loss | Stall | Crash
Befalling = Outage | Partition | Stall | Crash
"""What a silo meets at a point of the protocol."""

Fault = Annotated[OfSilos | CoordinatorCrash, Field(discriminator="kind")]
