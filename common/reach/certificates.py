"""How long certificates still hold, so that nobody learns it from the day that they do not."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from silosynth.common.reach.proxies import proxy_to
from silosynth.common.telemetry import Telemetry, log

WARN_DAYS = 30
_SECONDS = 5.0


def days_left(path: Path, *, now: datetime | None = None) -> float | None:
    """Return the days until the first certificate in a PEM file ends; None where there is none."""
    # Only here: most commands read no certificate.
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):
        return None
    return _days(min(c.not_valid_after_utc for c in found), now=now)


def served_days_left(address: str, *, ca: Path | None, now: datetime | None = None) -> float | None:
    """Return the days until the certificate that a server shows ends; None without one that holds.

    It is asked by the proxy of the environment, if there is one.

    Args: address: HOST:PORT. ca: what the certificate is checked against; the system's by default.
    """
    import ssl
    from http.client import HTTPException, HTTPSConnection

    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        proxy = proxy_to(host)
        first = (host, int(port)) if proxy is None else (proxy.host, proxy.port)
        asking = HTTPSConnection(*first, context=context, timeout=_SECONDS)
        if proxy is not None:
            asking.set_tunnel(host, int(port), headers=dict(proxy.headers))
        with closing(asking):
            asking.connect()
            shown = asking.sock.getpeercert() or {}
        ends = ssl.cert_time_to_seconds(str(shown["notAfter"]))
    except (OSError, ValueError, KeyError, HTTPException):
        return None
    return _days(datetime.fromtimestamp(ends, UTC), now=now)


def expiry_words(left: dict[str, float | None]) -> tuple[str, ...]:
    """Say which certificates end within 30 days, by their names.

    >>> expiry_words({"ca": 400.0, "superlink": 12.4, "other": None})
    ('the certificate superlink ends in 12 days',)
    """
    return tuple(
        f"the certificate {name} has ended"
        if days < 0
        else f"the certificate {name} ends in {int(days)} days"
        for name, days in left.items()
        if days is not None and days < WARN_DAYS
    )


def _days(end: datetime, *, now: datetime | None) -> float:
    """Return the days until a time."""
    return (end - (now or datetime.now(UTC))).total_seconds() / 86_400


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
