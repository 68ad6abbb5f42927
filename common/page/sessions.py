"""Who is let in, and until when; it is kept in memory alone, and ends with the process."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from silosynth.common.page.settings import hidden

_MOST = 64
_SECONDS = 12 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser that was let in; ``csrf`` stands in each of its forms."""

    user: str
    csrf: str
    until: float

    @property
    def reads_only(self) -> bool:
        """Tell whether it can send no form: a script that shows its token with each request."""
        return not self.csrf


class Sessions:
    """Own the sessions of a page.

    Guarantees: an id is one that was made here, and made anew whenever somebody is let in.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._clock = clock
        self._open: dict[str, Session] = {}
        self._named: dict[str, Session] = {}

    def begin(self, user: str = "") -> tuple[str, Session]:
        """Let a browser in; return its id, for a cookie, and its session."""
        now = self._clock()
        self._open = {k: s for k, s in self._open.items() if s.until > now}
        while len(self._open) >= _MOST:
            del self._open[min(self._open, key=lambda k: self._open[k].until)]
        made = secrets.token_urlsafe(32)
        session = self._new(user)
        self._open[hidden(made)] = session
        return made, session

    def find(self, made: str) -> Session | None:
        """Return the session of an id, while it lasts."""
        session = self._open.get(hidden(made))
        return session if session is not None and session.until > self._clock() else None

    def end(self, made: str) -> None:
        """Forget a session."""
        self._open.pop(hidden(made), None)

    def of_user(self, user: str) -> Session:
        """Return the session of whom a reverse proxy names."""
        known = self._named.get(user)
        if known is None or known.until <= self._clock():
            if len(self._named) >= _MOST:
                self._named.clear()
            known = self._named[user] = self._new(user)
        return known

    def _new(self, user: str) -> Session:
        """Return a fresh session."""
        until = self._clock() + _SECONDS
        return Session(user=user, csrf=secrets.token_urlsafe(32), until=until)
