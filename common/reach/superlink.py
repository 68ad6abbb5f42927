"""Look at a SuperLink as a person would: is it there, is it ours, and what time is it there?

Flower refuses who is more than 5 s ahead or 300 s behind, with the words that it has for a wrong
key or secret. Every answer of a web server carries its time, a refusal too.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

from silosynth.common.errors import ConnectionFailed, InvalidArgument

WARN_SECONDS = 3.0
"""From this difference on a clock is spoken of: Flower accepts 5 s."""
_DATE_SECONDS = 0.5
"""A Date header leaves fractions out: half a second on average."""
_LOOK_SECONDS = 5.0


def clock_words(date: str | None, *, now: float, took_seconds: float = 0.0) -> str | None:
    """Say how far this machine's clock is off; None where it is not, or nobody can tell.

    Args: date: the ``Date`` of an answer that came at ``now`` to a call of ``took_seconds``, whose
        half is how wrong a reading can be.

    >>> clock_words("Sun, 01 Mar 2026 12:00:00 GMT", now=1772366420.0)
    "this machine's clock is 20 s ahead of the SuperLink's"
    """
    try:
        there = parsedate_to_datetime(date or "").timestamp() + _DATE_SECONDS
    except ValueError:
        return None
    ahead = now - took_seconds / 2 - there
    off = abs(ahead) - took_seconds / 2
    if off < WARN_SECONDS:
        return None
    side = "ahead of" if ahead > 0 else "behind"
    return f"this machine's clock is {abs(ahead):.0f} s {side} the SuperLink's"


def clock_hint() -> str:
    """Say what to do about a clock."""
    return "set it by NTP on both machines: Flower accepts 5 s ahead and 300 s behind"


def certificate_words(error: str) -> str | None:
    """Say what is wrong with the SuperLink's certificate; None where that is not the fault."""
    text = error.lower()
    if "certificate" not in text:
        return None
    kinds = {
        "has expired": "has expired",
        "not yet valid": "is not valid yet, by this machine's clock",
        "hostname mismatch": "is for another name than the one it was reached by",
        "ip address mismatch": "is for another address than the one it was reached by",
    }
    found = next((words for part, words in kinds.items() if part in text), None)
    return f"the SuperLink's certificate {found or 'is not signed by the CA that is given'}"


def look_at(superlink: str, *, ca: Path | None, now: Callable[[], float] = time.time) -> str | None:
    """Return what is wrong with this machine's clock, seen from a SuperLink; None for nothing.

    It says who we are to nobody, and whatever is answered is taken.

    Raises ConnectionFailed when the SuperLink is away or its certificate is not one to trust, and
    InvalidArgument for a CA that is none.
    """
    context = _trust(ca)
    begun = time.monotonic()
    try:
        with httpx.Client(verify=context, timeout=_LOOK_SECONDS) as client:
            answer = client.head(f"https://{superlink}/")
    except (httpx.HTTPError, httpx.InvalidURL) as err:
        words = certificate_words(str(err))
        raise ConnectionFailed(
            words or f"no connection to the SuperLink at {superlink}: {type(err).__name__}",
            hint="see that ca, host and port are the SuperLink's" if words else "is it running?",
        ) from None
    took = time.monotonic() - begun
    return clock_words(answer.headers.get("date"), now=now(), took_seconds=took)


def _trust(ca: Path | None) -> ssl.SSLContext:
    """Return what verifies a SuperLink: this CA alone, or the system's."""
    try:
        return ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ssl.SSLError) as err:
        why = err.strerror if isinstance(err, FileNotFoundError | PermissionError) else "no PEM"
        raise InvalidArgument(
            f"{ca} is no CA's certificate: {why}", hint="give the federation's ca.pem"
        ) from None
