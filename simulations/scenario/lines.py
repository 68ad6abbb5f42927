"""The lines between regions: all silos beyond one share it, and messages queue for it."""

from __future__ import annotations

from collections import Counter

from silosynth.simulations.world import Place, transmission


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
