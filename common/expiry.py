"""Show and warn of certificates that end, without asking for them at every look."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from silosynth.common.certificates import days_left, expiry_words, served_days_left
from silosynth.common.telemetry import Telemetry, log

LOOK_SECONDS = 3600.0


class Expiry:
    """Own when the certificates of one SuperLink were looked at last."""

    def __init__(
        self,
        telemetry: Telemetry,
        *,
        superlink: str,
        ca: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the SuperLink's address and its CA; nothing is looked at yet."""
        self._telemetry = telemetry
        self._superlink = superlink
        self._ca = ca
        self._clock = clock
        self._next = float("-inf")

    def show(self) -> tuple[str, ...]:
        """State the days left, at most once an hour anew; log and return what ends soon."""
        if self._clock() < self._next:
            return ()
        self._next = self._clock() + LOOK_SECONDS
        left = {
            "superlink": served_days_left(self._superlink, ca=self._ca),
            "ca": None if self._ca is None else days_left(self._ca),
        }
        self._telemetry.certificates(left)
        words = expiry_words(left)
        for line in words:
            log("certificate-ends", level=logging.WARNING, what=line)
        return words
