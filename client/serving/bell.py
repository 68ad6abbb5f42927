"""Ring when a plan waits for a person, and again each day, beside the gateway and never in its way.

Everything here happens in a thread of its own. What cannot be sent is tried again; nobody waits
for it, and no answer depends on it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from silosynth.client.desk import Facts
from silosynth.client.serving.notices import SEND_SECONDS, Send, notice_of
from silosynth.common.errors import SilosynthError
from silosynth.common.files import replace_file
from silosynth.common.reach import repeated, within
from silosynth.common.telemetry import Telemetry, log

AGAIN_SECONDS = 86_400.0
LEAST_SECONDS = 300.0
"""Between two tries of one way, whatever coordinators propose."""
LOOK_SECONDS = 30.0
_END_SECONDS = 2.0
TOLD = "told.json"
_MORE_SECONDS = 5.0


class Bell:
    """Own what has been told of, which a restart does not forget.

    Guarantees: each plan that waits is told of once and then once a day while it waits; each
    way is tried at most once in 300 s, and one that failed is tried again.
    """

    def __init__(
        self,
        *,
        silo: str,
        ways: Mapping[str, Send],
        waiting: Callable[[], Sequence[Facts]],
        told: Path,
        telemetry: Telemetry,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the ways to ring, and what says which plans wait."""
        self._silo = silo
        self._ways = ways
        self._waiting = waiting
        self._path = told
        self._telemetry = telemetry
        self._now = now
        self._told = _read(told, ways)
        self._rung: dict[str, float] = {}

    def look(self) -> None:
        """Ring each way on which a plan has not been told of, or not since a day."""
        now = self._now()
        plans = self._waiting()
        digests = {str(p["digest"]) for p in plans}
        for way, send in self._ways.items():
            told = {d: at for d, at in self._told[way].items() if d in digests}
            due = {d for d in digests if d not in told or now - told[d] >= AGAIN_SECONDS}
            quiet = 0 <= now - self._rung.get(way, -LEAST_SECONDS) < LEAST_SECONDS
            if due and not quiet:
                self._rung[way] = now
                if self._rang(way, send, plans, again=due <= told.keys()):
                    told = dict.fromkeys(digests, now)
            self._keep(way, told)

    def _rang(self, way: str, send: Send, plans: Sequence[Facts], *, again: bool) -> bool:
        """Send one notice; say whether it went."""
        notice = notice_of(self._silo, plans, again=again)
        try:
            within(SEND_SECONDS + _MORE_SECONDS, lambda: send(notice), what=f"the {way}")
        except Exception as err:
            code = err.code if isinstance(err, SilosynthError) else "bug"
            self._telemetry.notified(way, outcome="failed")
            kind = type(err).__name__
            log("notify-failed", level=logging.WARNING, way=way, code=code, exception=kind)
            return False
        self._telemetry.notified(way, outcome="sent")
        log("notified", way=way, plans=len(plans))
        return True

    def _keep(self, way: str, told: dict[str, float]) -> None:
        """Remember what was told; a disk that does not take it makes a restart tell it again."""
        if told == self._told[way]:
            return
        self._told[way] = told
        try:
            replace_file(self._path, json.dumps({"version": 1, "told": self._told}).encode())
        except OSError:
            log("notify-failed", level=logging.WARNING, way=way, code="storage-failed")


@contextmanager
def ringing(bell: Bell, *, look_seconds: float = LOOK_SECONDS) -> Iterator[None]:
    """Look for plans that wait while the block runs; its end waits a moment for a notifier."""

    def look() -> None:
        try:
            bell.look()
        except SilosynthError as err:
            log("notify-failed", level=logging.WARNING, way="ledger", code=err.code)

    with repeated(look, name="bell", seconds=look_seconds, end_seconds=_END_SECONDS):
        yield


def _read(path: Path, ways: Mapping[str, Send]) -> dict[str, dict[str, float]]:
    """Return what was told of, by way; nothing where that cannot be read."""
    try:
        kept = json.loads(path.read_bytes())
        told = kept["told"] if kept["version"] == 1 else {}
        return {w: {str(d): float(t) for d, t in told.get(w, {}).items()} for w in ways}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {way: {} for way in ways}
