"""What the coordinator and one silo are at: a letter on its way, a stage, a connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from silosynth.client.gateway import Gateway
from silosynth.simulations.scenario.timeline import Leg
from silosynth.simulations.world import SECOND, Befalling, Crash, Point

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


def agree(plan: bytes, step: bytes, gateway: Gateway) -> bytes:
    """Take a step towards a sum."""
    return gateway.agree(plan=plan, step=step)
