"""What messages weigh and how long work takes, reckoned from the plan.

From the plan alone, and not from what is sent: the choice of pairs and the noise would move the
clock otherwise, and one seed would not give one timeline.
"""

from __future__ import annotations

from silosynth.common.plan.plan import Plan
from silosynth.simulations.scenario.scenario import Point
from silosynth.simulations.scenario.units import SECOND

_HEAD = 1024
_QUERY = 64
_STATEMENT = 512
_MILLISECOND = SECOND // 1000


class Sizes:
    """Own the bytes of each kind of message of a plan, and the work behind its answer."""

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
