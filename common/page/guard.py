"""What stands before every page: which requests come in, and what every answer says to browsers.

It is written against ASGI itself, so that nothing is answered that did not pass here.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from silosynth.common.page.sessions import Session, Sessions
from silosynth.common.page.settings import PageSettings, hidden, is_secret
from silosynth.common.telemetry import log

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SESSION = "silosynth.session"
MOST_BODY_BYTES = 65_536
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-frame-options", b"DENY"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_PATH = re.compile(rb"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+|/")
_QUERY = re.compile(rb"[A-Za-z0-9=&_-]{0,200}")
_USER = re.compile(rb"[\x21-\x7e]{1,64}")
_OPEN = re.compile(r"/enter|/static/[a-z.]+")


class _Refused(Exception):
    """A request that does not come in; ``status`` and a sentence that names nothing of it."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class Guard:
    """Let through what may come in, and put the same headers on every answer.

    Guarantees: no answer without the headers; no request of another host name, with a path that
    could be read in two ways, or one that changes something from another origin, reaches the page;
    nothing but the way in is answered to who was not let in. What fails is logged by its type.
    """

    def __init__(self, app: App, *, settings: PageSettings, sessions: Sessions) -> None:
        """Stand before ``app``."""
        self._app, self._settings, self._sessions = app, settings, sessions
        self._hosts = frozenset(h.encode() for h in settings.hosts)
        self._origins = frozenset(o.encode() for o in settings.origins())
        self._active = 0
        self._last = time.monotonic()

    def rested_seconds(self) -> float:
        """Return for how long nobody has asked anything; 0 while somebody is answered."""
        return 0.0 if self._active else time.monotonic() - self._last

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._active += 1
        told = _Told(send)
        try:
            self._check(scope)
            await self._app(scope, receive, told)
        except _Refused as err:
            await told.end(err.status, str(err))
        except Exception as err:
            # Its words and its traceback may hold what it was about.
            log("page-failed", level=logging.ERROR, exception=type(err).__name__)
            await told.end(500, f"unexpected {type(err).__name__}; this is our bug")
        finally:
            self._active -= 1
            self._last = time.monotonic()

    def _check(self, scope: Scope) -> None:
        """Raise _Refused unless a request may come in; note whose it is."""
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        if _only(headers, b"host") not in self._hosts:
            raise _Refused(421, "this page has another name")
        path, query = scope.get("raw_path") or scope["path"].encode(), scope["query_string"]
        if not _PATH.fullmatch(path) or not _QUERY.fullmatch(query):
            raise _Refused(404, "there is no such page")
        if scope["method"] not in ("GET", "POST"):
            raise _Refused(405, "pages are read, and forms are sent")
        if scope["method"] == "POST":
            self._check_sender(headers)
        session = self._session(headers, path=scope["path"], method=scope["method"])
        scope[SESSION] = session
        if session is None and not _OPEN.fullmatch(scope["path"]):
            if scope["method"] == "POST" or path.startswith((b"/api/", b"/events")):
                raise _Refused(401, "enter the page first")
            scope.update(path="/enter", raw_path=b"/enter", query_string=b"", closed=True)

    def _check_sender(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Raise _Refused for a form that no page of ours sent, or one that is too large."""
        if _only(headers, b"origin") not in self._origins:
            raise _Refused(403, "this form was sent from somewhere else")
        if _only(headers, b"sec-fetch-site") not in (b"same-origin", None):
            raise _Refused(403, "this form was sent from somewhere else")
        length = _only(headers, b"content-length") or b"-"
        chunked = _only(headers, b"transfer-encoding") is not None
        if chunked or not length.isdigit() or int(length) > MOST_BODY_BYTES:
            raise _Refused(413, "this is more than a form holds")

    def _session(
        self, headers: list[tuple[bytes, bytes]], *, path: str, method: str
    ) -> Session | None:
        """Return who asks: by the proxy's word, by a cookie, or a script by its token."""
        header = self._settings.user_header
        if header is not None:
            user = _only(headers, header.encode())
            if user is None or not _USER.fullmatch(user):
                raise _Refused(403, "the reverse proxy did not say who this is")
            return self._sessions.of_user(user.decode())
        shown = _only(headers, b"authorization")
        if shown is not None and path.startswith("/api/") and method == "GET":
            token = shown.decode("latin-1").removeprefix("Bearer ")
            known = is_secret(token, kept=self._settings.token)
            return Session(user="", csrf="", until=0.0) if known else None
        made = cookie_of(headers, cookie_name(self._settings))
        return None if made is None else self._sessions.find(made)


class _Told:
    """Send an answer with our headers; those that the page itself gave stay."""

    def __init__(self, send: Send) -> None:
        self._send, self._begun = send, False

    async def __call__(self, message: Message) -> None:
        """Send a piece of an answer."""
        if message["type"] == "http.response.start":
            self._begun = True
            given = [(k.lower(), v) for k, v in message.get("headers", ())]
            names = {k for k, _ in given}
            message["headers"] = [*given, *(h for h in _HEADERS if h[0] not in names)]
        await self._send(message)

    async def end(self, status: int, words: str) -> None:
        """Answer with a sentence, unless an answer has begun."""
        if self._begun:
            return
        plain = [(b"content-type", b"text/plain; charset=utf-8")]
        await self({"type": "http.response.start", "status": status, "headers": plain})
        await self({"type": "http.response.body", "body": f"{words}\n".encode()})


def cookie_name(settings: PageSettings) -> str:
    """Return the name of a page's cookie: browsers hold those of all ports of a host together."""
    mark = hidden(settings.token)[:12]
    return f"__Host-silosynth-{mark}" if settings.https else f"silosynth-{mark}"


def cookie_of(headers: list[tuple[bytes, bytes]], name: str) -> str | None:
    """Return a cookie; None where there is none, or more than one of its name."""
    found = [
        value.strip()
        for key, line in headers
        if key == b"cookie"
        for part in line.decode("latin-1").split(";")
        for given, equals, value in [part.partition("=")]
        if equals and given.strip() == name
    ]
    return found[0] if len(found) == 1 else None


def _only(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the one header of a name; raise _Refused where there are several."""
    found = [value for key, value in headers if key == name]
    if len(found) > 1:
        raise _Refused(400, "a header is there twice")
    return found[0] if found else None
