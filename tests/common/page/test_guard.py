"""Nobody comes in who was not let in, nothing is sent from elsewhere, and no path is read twice."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from silosynth.common.errors import InvalidArgument
from silosynth.common.page import Pages, Site, read_form, session_of
from silosynth.common.page.guard import MOST_BODY_BYTES
from silosynth.common.page.sessions import Sessions
from silosynth.common.page.settings import hidden
from silosynth.common.page.site import build_app
from tests.support.asgi import HOST, TOKEN, Browser, settings

SECRET = "what-was-asked-about"
HEADERS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def _site(done: list[str]) -> Site:
    def attach(app: FastAPI, pages: Pages) -> None:
        async def change(request: Request) -> Response:
            done.append((await read_form(request)).get("what", ""))
            return Response("done")

        def broken() -> Response:
            raise ValueError(SECRET)

        def front(request: Request) -> Response:
            shown = pages.show(request, "error.html.j2", title="Front", error=InvalidArgument("x"))
            session = session_of(request)
            assert session is not None
            mark = f'<input name="csrf" value="{session.csrf}">'.encode()
            return Response(bytes(shown.body) + mark, media_type="text/html")

        app.add_api_route("/", front, methods=["GET"], response_model=None)
        app.add_api_route("/change", change, methods=["POST"], response_model=None)
        app.add_api_route("/broken", broken, methods=["GET"], response_model=None)

    return Site(
        name="Test",
        folder=Path(__file__).parent,
        menu={"/": "Front"},
        mark=lambda: "mark",
        api={"facts": lambda: {"a": 1}},
        schema={},
        attach=attach,
        filters={},
    )


@pytest.fixture
def done() -> list[str]:
    return []


@pytest.fixture
def make(done: list[str]) -> Callable[..., Browser]:
    def made(**changes: Any) -> Browser:
        return Browser(app=build_app(_site(done), settings("tests", **changes)))

    return made


@pytest.fixture
def browser(make: Callable[..., Browser]) -> Browser:
    """Return a browser that was let in and has read a page."""
    made = make()
    assert made.enter().status == 303
    assert made.ask("/").status == 200
    return made


def _check_headers(headers: Any) -> None:
    assert {name: headers.get(name) for name in HEADERS} == HEADERS
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


def test_who_was_not_let_in_sees_the_way_in_alone(make: Callable[..., Browser]) -> None:
    stranger = make()
    for path in ("/", "/broken", "/nothing"):
        answer = stranger.ask(path)
        assert (answer.status, "Front" in answer.text) == (401, False)
        assert "Token" in answer.text
        _check_headers(answer.headers)
    assert stranger.ask("/api/facts").status == 401
    assert stranger.ask("/events").status == 401
    assert stranger.send("/change", {"what": "x"}).status == 401
    assert stranger.enter("another").status == 403
    assert stranger.cookies == {}


def test_every_answer_has_the_headers_whatever_went_wrong(browser: Browser) -> None:
    for path in ("/", "/static/page.js", "/nothing", "/broken", "/api/facts", "/..", "/%2e"):
        _check_headers(browser.ask(path).headers)
    _check_headers(browser.ask("/", host="evil.example").headers)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:80", f"{HOST}.evil", ""])
def test_a_page_is_found_by_its_own_name_alone(browser: Browser, host: str) -> None:
    assert browser.ask("/", host=host).status == 421
    assert browser.ask("/", headers=[("host", HOST)]).status == 400


@pytest.mark.parametrize(
    "path",
    [
        *("//", "/./", "/..", "/a/../", "/%2e%2e/", "/static/%2e%2e/site.py", "/static/../site.py"),
        *(
            "/a%00b",
            "/a%2fb",
            "/\\",
            "/a;b",
            "/a//b",
            "/é",
            "/.",
            "/static/.hidden",
            "/a b",
            "/ /x",
        ),
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_no_page(browser: Browser, path: str) -> None:
    assert browser.ask(path.encode("latin-1")).status == 404


def test_files_beside_the_style_are_not_served(browser: Browser) -> None:
    for name in ("site.py", "frame.html.j2", "guard.py", "page.css"):
        assert browser.ask(f"/static/{name}").status == 404
    assert browser.ask("/static/page.js").status == 200
    assert browser.ask("/", query="page=../x").status == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://127.0.0.1:9482"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_form_of_another_origin_changes_nothing(
    browser: Browser, done: list[str], headers: dict[str, str]
) -> None:
    assert browser.send("/change", {"what": "x"}, headers=headers).status == 403
    assert done == []


def test_a_form_needs_the_mark_of_its_own_session(
    make: Callable[..., Browser], browser: Browser, done: list[str]
) -> None:
    other = Browser(app=browser.app)
    other.enter()
    other.ask("/")
    assert other.csrf != browser.csrf
    for csrf in ("", "x", other.csrf):
        assert browser.send("/change", {"csrf": csrf, "what": "x"}).status == 400
    assert done == []
    assert browser.send("/change", {"what": "x"}).status == 200
    assert done == ["x"]


def test_a_form_is_small_and_says_each_thing_once(browser: Browser, done: list[str]) -> None:
    assert browser.send("/change", {"what": "x" * MOST_BODY_BYTES}).status == 413
    for length in ("", "-1", "a"):
        assert browser.send("/change", {}, headers={"content-length": length}).status == 413
    chunked = {"transfer-encoding": "chunked"}
    assert browser.send("/change", {}, headers=chunked).status == 413
    assert browser.send("/change&what=y", {"what": "x"}).status == 404
    twice = f"csrf={browser.csrf}&what=x&what=y".encode()
    kind = [("content-type", "application/x-www-form-urlencoded")]
    kind += [("origin", f"http://{HOST}"), ("content-length", str(len(twice)))]
    assert browser.ask("/change", method="POST", body=twice, headers=kind).status == 400
    assert browser.send("/change", {}, headers={"content-type": "text/plain"}).status == 400
    for method in ("PUT", "DELETE", "OPTIONS", "HEAD", "TRACE"):
        assert browser.ask("/change", method=method).status == 405
    assert done == []


def test_an_id_that_a_browser_brings_is_never_the_one_it_is_let_in_by(
    make: Callable[..., Browser],
) -> None:
    browser = make()
    assert browser.enter().status == 303
    (name, first), *_ = browser.cookies.items()
    assert browser.enter().status == 303
    second = browser.cookies[name]
    assert first != second
    for value in (first, "fixed-by-somebody", ""):
        assert Browser(app=browser.app, cookies={name: value}).ask("/").status == 401
    fixed = Browser(app=browser.app, cookies={name: "fixed-by-somebody"})
    assert fixed.enter().status == 303
    assert fixed.cookies[name] != "fixed-by-somebody"
    twice = [("cookie", f"{name}={second}; {name}=fixed-by-somebody")]
    assert Browser(app=browser.app).ask("/", headers=twice).status == 401


def test_a_cookie_is_read_by_no_script_and_sent_from_no_other_site(
    make: Callable[..., Browser],
) -> None:
    plain = make().enter().headers["set-cookie"].lower()
    assert "httponly" in plain
    assert "samesite=strict" in plain
    assert "domain" not in plain
    behind = make(https=True, hosts=(HOST,))
    sent = behind.send("/enter", {"token": TOKEN}, headers={"origin": f"https://{HOST}"})
    assert sent.headers["set-cookie"].startswith("__Host-")
    assert "; secure" in sent.headers["set-cookie"].lower()


def test_who_leaves_has_to_enter_again(browser: Browser) -> None:
    kept = dict(browser.cookies)
    assert browser.send("/leave", {}).status == 303
    assert Browser(app=browser.app, cookies=kept).ask("/").status == 401


def test_a_session_ends_by_the_clock() -> None:
    now = 0.0
    sessions = Sessions(clock=lambda: now)
    made, session = sessions.begin()
    assert sessions.find(made) is session
    now = session.until
    assert sessions.find(made) is None


def test_a_script_reads_by_its_token_and_changes_nothing(
    make: Callable[..., Browser], done: list[str]
) -> None:
    script = make()
    bearer = [("authorization", f"Bearer {TOKEN}")]
    assert script.ask("/api/facts", headers=bearer).status == 200
    assert script.ask("/api/facts", headers=[("authorization", "Bearer x")]).status == 401
    assert script.ask("/", headers=bearer).status == 401
    answer = script.send("/change", {"what": "x"}, headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status, done) == (401, [])


def test_behind_a_proxy_its_header_says_who_looks_and_nothing_else_does(
    make: Callable[..., Browser], done: list[str]
) -> None:
    behind = make(user_header="x-user", https=True)
    assert "anna" in behind.ask("/", headers=[("x-user", "anna")]).text
    for headers in ([], [("x-user", "")], [("x-user", "a b")], [("x-user", "a"), ("x-user", "b")]):
        assert behind.ask("/", headers=headers).status in (400, 403)
    known = {"x-user": "anna", "origin": f"https://{HOST}"}
    assert behind.send("/enter", {"token": TOKEN}, headers=known).status == 403
    behind.ask("/", headers=[("x-user", "ben")])
    assert behind.send("/change", {"what": "x"}, headers=known).status == 400
    behind.ask("/", headers=[("x-user", "anna")])
    assert behind.send("/change", {"what": "x"}, headers=known).status == 200
    assert done == ["x"]


def test_what_fails_is_logged_by_its_type(
    browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = browser.ask("/broken")
    assert answer.status == 500
    assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert any("ValueError" in str(vars(r)) for r in caplog.records)


def test_news_come_when_there_are_any(browser: Browser) -> None:
    answer = browser.ask("/events", news=1)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("event: mark\ndata: mark\n\n")


def test_secrets_are_kept_as_digests_alone() -> None:
    known = settings("tests", code=hidden("a-code"))
    assert TOKEN not in known.model_dump_json()
    assert "a-code" not in known.model_dump_json()
