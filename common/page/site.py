"""A page's frame: the way in and out, what is shown around each page, and news as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from silosynth.common.envelope import envelope, fault_envelope
from silosynth.common.errors import (
    ConnectionFailed,
    InvalidInput,
    Refused,
    SilosynthError,
)
from silosynth.common.page.answers import NoSuchPage
from silosynth.common.page.forms import read_form, read_open_form, session_of
from silosynth.common.page.guard import Guard, cookie_name, cookie_of
from silosynth.common.page.sessions import Sessions
from silosynth.common.page.settings import PageSettings, is_secret
from silosynth.common.report import style_text

_FOLDER = Path(__file__).parent
_STATIC = {"page.js": "text/javascript", "style.css": "text/css", "icon.svg": "image/svg+xml"}
_OWN = ("page.css", "page.js", "icon.svg")
_STREAM_SECONDS, _LOOK_SECONDS, _BEAT_LOOKS = 600.0, 1.0, 15
_MOST_STREAMS = 16
_WRONG_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What one part shows: its pages, and ``mark``, which changes when what they show does."""

    name: str
    folder: Path
    menu: Mapping[str, str]
    mark: Callable[[], str]
    api: Mapping[str, Callable[[], Mapping[str, Any]]]
    schema: Mapping[str, Any]
    attach: Callable[[FastAPI, Pages], None]
    filters: Mapping[str, Callable[..., Any]]


class Pages:
    """Write pages within the frame of a site."""

    def __init__(self, site: Site, settings: PageSettings) -> None:
        """Read the templates of the frame and of the site."""
        self.settings = settings
        self._site = site
        self._templates = Environment(
            loader=FileSystemLoader([site.folder, _FOLDER]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"minute": minute, **site.filters}

    def show(
        self, request: Request, template: str, *, title: str, status: int = 200, **facts: Any
    ) -> Response:
        """Return a page."""
        session = session_of(request)
        text = self._templates.get_template(template).render(
            title=title,
            site=self._site.name,
            menu=self._site.menu if session else {},
            here=request.url.path,
            user=session.user if session else "",
            csrf=session.csrf if session else "",
            leaves=session is not None and self.settings.user_header is None,
            mark=self._mark() if session and status == 200 else "",
            **facts,
        )
        return Response(text, status_code=status, media_type="text/html; charset=utf-8")

    def _mark(self) -> str:
        """Return what is shown now, in short; nothing where that cannot be told."""
        try:
            return self._site.mark()
        except SilosynthError:
            return "-"


def minute(at: datetime | str) -> str:
    """Write a time as people read it, in UTC."""
    when = datetime.fromisoformat(at) if isinstance(at, str) else at
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def build_app(site: Site, settings: PageSettings) -> Guard:
    """Return the pages of a site behind their guard."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    sessions, pages = Sessions(), Pages(site, settings)
    _add_ways(app, pages, sessions)
    _add_news(app, site)
    _add_api(app, site)
    _add_errors(app, pages)
    site.attach(app, pages)
    return Guard(app, settings=settings, sessions=sessions)


def _add_ways(app: FastAPI, pages: Pages, sessions: Sessions) -> None:
    """Add the way in and out, and what the frame is made of."""
    settings, name = pages.settings, cookie_name(pages.settings)
    own = {name: (_FOLDER / name).read_text(encoding="utf-8") for name in _OWN}
    texts = {**own, "style.css": style_text() + own["page.css"]}

    def static(file: str) -> Response:
        if file not in _STATIC:
            raise NoSuchPage("there is no such page")
        return Response(texts[file], media_type=_STATIC[file])

    def door(request: Request) -> Response:
        status = 401 if request.scope.get("closed") else 200
        return pages.show(request, "enter.html.j2", title="Enter", status=status, wrong=False)

    async def enter(request: Request) -> Response:
        fields = await read_open_form(request)
        if settings.user_header or not is_secret(fields.get("token", ""), kept=settings.token):
            await asyncio.sleep(_WRONG_SECONDS)
            return pages.show(request, "enter.html.j2", title="Enter", status=403, wrong=True)
        _end(request)
        made, _ = sessions.begin()
        answer = RedirectResponse("/", status_code=303)
        answer.set_cookie(
            name, made, httponly=True, samesite="strict", secure=settings.https, path="/"
        )
        return answer

    async def leave(request: Request) -> Response:
        await read_form(request)
        _end(request)
        answer = RedirectResponse("/enter", status_code=303)
        answer.delete_cookie(name, httponly=True, samesite="strict", secure=settings.https)
        return answer

    def _end(request: Request) -> None:
        if made := cookie_of(request.scope["headers"], name):
            sessions.end(made)

    app.add_api_route("/static/{file}", static, methods=["GET"], response_model=None)
    app.add_api_route("/enter", door, methods=["GET"], response_model=None)
    app.add_api_route("/enter", enter, methods=["POST"], response_model=None)
    app.add_api_route("/leave", leave, methods=["POST"], response_model=None)


def _add_news(app: FastAPI, site: Site) -> None:
    """Add the stream that tells a page when it is out of date."""
    streams = 0

    async def news(request: Request) -> AsyncIterator[bytes]:
        nonlocal streams
        streams += 1
        try:
            told, quiet, until = None, 0, time.monotonic() + _STREAM_SECONDS
            while time.monotonic() < until and not await request.is_disconnected():
                mark = await run_in_threadpool(_marked, site)
                if mark != told:
                    yield f"event: mark\ndata: {mark}\n\n".encode()
                elif quiet % _BEAT_LOOKS == 0:
                    yield b": still here\n\n"
                told, quiet = mark, quiet + 1
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            streams -= 1

    async def events(request: Request) -> Response:
        if streams >= _MOST_STREAMS:
            return Response("too many pages are open\n", status_code=429)
        return StreamingResponse(news(request), media_type="text/event-stream")

    app.add_api_route("/events", events, methods=["GET"], response_model=None)


def _marked(site: Site) -> str:
    """Return a site's mark; one of its own while it cannot be told."""
    try:
        return site.mark()
    except SilosynthError:
        return "-"


def _add_api(app: FastAPI, site: Site) -> None:
    """Add what the command line says with ``--json``, and the JSON Schema of it."""

    def route(ask: Callable[[], Mapping[str, Any]]) -> Callable[[], Response]:
        return lambda: JSONResponse(envelope(ask()))

    for path, ask in site.api.items():
        app.add_api_route(f"/api/{path}", route(ask), methods=["GET"], response_model=None)
    app.add_api_route(
        "/api/schema", lambda: JSONResponse(site.schema), methods=["GET"], response_model=None
    )


def _add_errors(app: FastAPI, pages: Pages) -> None:
    """Say an error in one line, as the command line does."""

    async def ours(request: Request, err: Exception) -> Response:
        if not isinstance(err, SilosynthError):
            raise err
        status = _status(err)
        if request.url.path.startswith("/api/"):
            return JSONResponse(fault_envelope(err), status_code=status)
        return pages.show(
            request, "error.html.j2", title="This did not go", status=status, error=err
        )

    async def absent(request: Request, err: Exception) -> Response:
        return await ours(request, NoSuchPage("there is no such page"))

    app.add_exception_handler(SilosynthError, ours)
    app.add_exception_handler(404, absent)
    app.add_exception_handler(422, absent)


def _status(err: SilosynthError) -> int:
    """Return the status of HTTP for an error of ours."""
    if isinstance(err, NoSuchPage):
        return 404
    if isinstance(err, InvalidInput):
        return 400
    if isinstance(err, Refused):
        return 409
    return 503 if isinstance(err, ConnectionFailed) else 500
