"""Ask a page without a network: each byte of path and headers as a test wants it."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from silosynth.common.page.guard import Guard
from silosynth.common.page.settings import PageSettings, hidden
from silosynth.common.page.site import Site, build_app

TOKEN, CODE, HOST = "a-token-of-a-test", "a-code-of-a-test", "127.0.0.1:9481"
_LINK = re.compile(r'href="(/[^"#]*)"')
_FORM = re.compile(r'action="(/[^"]*)"')
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a page answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


def settings(site: str, **changes: Any) -> PageSettings:
    """Return the settings of a page that a test enters by :data:`TOKEN`."""
    plain: dict[str, Any] = {"site": site, "hosts": (HOST,), "token": hidden(TOKEN)}
    return PageSettings.model_validate(plain | changes)


@dataclass(kw_only=True)
class Browser:
    """One browser's cookies, and the form mark of the page that it read last."""

    app: Guard
    cookies: dict[str, str] = field(default_factory=dict)
    csrf: str = ""

    def ask(
        self,
        path: str | bytes,
        *,
        method: str = "GET",
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        host: str = HOST,
        news: int = 0,
    ) -> Answer:
        """Ask for one page; ``news`` is after how many pieces of a stream to go away."""
        raw = path if isinstance(path, bytes) else path.encode()
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = [("host", host), *headers, *([("cookie", cookie)] if cookie else [])]
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": raw.decode("latin-1"),
            "raw_path": raw,
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in given],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 9481),
        }
        answer = asyncio.run(_ask(self.app, scope, body, news))
        self._keep(answer)
        return answer

    def send(self, path: str, fields: Mapping[str, str], **changes: Any) -> Answer:
        """Send a form with the mark of the page that was read last."""
        body = urlencode({"csrf": self.csrf, **fields}).encode()
        headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("content-length", str(len(body))),
            ("origin", f"http://{HOST}"),
            ("sec-fetch-site", "same-origin"),
        ]
        more = changes.pop("headers", {})
        headers = [h for h in headers if h[0] not in more] + [h for h in more.items() if h[1]]
        return self.ask(path, method="POST", body=body, headers=headers, **changes)

    def enter(self, token: str = TOKEN) -> Answer:
        """Enter by the token."""
        return self.send("/enter", {"token": token})

    def _keep(self, answer: Answer) -> None:
        """Keep what a browser keeps."""
        if found := _CSRF.search(answer.body.decode("utf-8", "replace")):
            self.csrf = found.group(1)
        if cookie := answer.headers.get("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')


def entered(site: Site, known: PageSettings) -> Browser:
    """Return a browser that was let in."""
    browser = Browser(app=build_app(site, known))
    assert browser.enter().status == 303
    return browser


def walk(browser: Browser) -> dict[str, bytes]:
    """Follow every link from the first page; return all that each place said, headers included.

    What a form of a run's page draws is among it.
    """
    said: dict[str, bytes] = {}
    ahead = ["/", "/api/runs"]
    while ahead:
        place = ahead.pop()
        path, _, query = place.partition("?")
        answer = browser.ask(path, query=query)
        said[place] = answer.body + repr(answer.headers).encode()
        forms = {a for a in _FORM.findall(answer.text) if a.endswith("/rows")} - set(said)
        for form in forms:
            said[form] = browser.send(form, {"rows": "50", "seed": "1", "format": "csv"}).body
        links = {html.unescape(link) for link in _LINK.findall(answer.text)}
        ahead.extend(links - set(said) - set(ahead))
    said["/events"] = browser.ask("/events", news=1).body
    return said


async def _ask(app: Guard, scope: dict[str, Any], body: bytes, news: int) -> Answer:
    """Run one request to its end, or until as many pieces have come as wanted."""
    pieces: list[bytes] = []
    told: dict[str, Any] = {}
    gone = asyncio.Event()
    sent = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        if news:
            await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            told.update(message)
        else:
            pieces.append(message.get("body", b""))
        if news and len(pieces) >= news:
            gone.set()

    try:
        await app(scope, receive, send)
    except BaseExceptionGroup:  # a stream that nobody listens to any more
        assert news
    headers = {k.decode(): v.decode("latin-1") for k, v in told["headers"]}
    return Answer(status=told["status"], headers=headers, body=b"".join(pieces))
