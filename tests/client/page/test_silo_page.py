"""A silo's page shows what its gateway says, and decides by an approver's credential alone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from silosynth.client.page.site import make_site
from silosynth.client.policy import SignedDecision, sign_decision, time_text
from silosynth.common.audit import Verdict
from silosynth.common.cli.app import run
from silosynth.common.messages import Answer, Release
from silosynth.common.page.settings import hidden
from silosynth.common.page.site import build_app
from silosynth.common.plan import Plan
from silosynth.common.roster import key_words, seal_change
from silosynth.common.trust import SigningKey
from tests.support.asgi import CODE, Browser, entered, settings
from tests.support.gateways.joining import asks, gains, roster_of
from tests.support.gateways.serving import Serving
from tests.support.gateways.signed import Federation
from tests.support.tables.canary import holds_token

SITE = "silosynth.client.page.site"
PAGES = ("/", "/spent", "/left", "/roster", "/static/style.css", "/static/page.js", "/nothing")
API = ("pending", "spent", "releases", "roster")


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving(change=lambda federation: federation.approve_none()) as started:
        started.start()
        yield started


def _page(serving: Serving, **changes: Any) -> Browser:
    arguments = {"policy": str(serving.policy), **changes.pop("arguments", {})}
    known = settings(SITE, arguments=arguments, **changes)
    return entered(make_site(known), known)


@pytest.fixture(scope="module")
def page(serving: Serving) -> Browser:
    return _page(serving, code=hidden(CODE))


def _arrive(serving: Serving, name: str) -> tuple[Plan, str]:
    """Let a plan arrive; return it with its digest as paths have it."""
    plan = serving.federation.plan(id=name)
    with serving.gateway() as gateway:
        gateway.propose(plan=serving.federation.sealed(plan))
    return plan, plan.digest.removeprefix("sha256:")


def _said(serving: Serving, plan: Plan) -> Answer:
    with serving.gateway() as gateway:
        verdict = gateway.propose(plan=serving.federation.sealed(plan))
    return serving.federation.verdict(verdict).answer


def _approve(page: Browser, digest: str, **changes: str) -> Any:
    page.ask(f"/plans/{digest}")
    fields = {"verdict": "approve", "why": "for the board", "code": CODE, "although": "on"}
    return page.send(f"/plans/{digest}", fields | changes)


def test_a_plan_arrives_is_approved_and_what_it_took_is_shown(
    serving: Serving, page: Browser
) -> None:
    plan, digest = _arrive(serving, "first")
    shown = page.ask("/").text
    assert "first" in shown
    assert "at most epsilon 1 at delta" in shown
    assert f'href="/plans/{digest}"' in shown
    done = _approve(page, digest)
    assert done.status == 200, done.text
    assert "Approved by" in done.text
    assert _said(serving, plan) is Answer.APPROVED
    federation = serving.federation
    with serving.gateway() as gateway:
        answer = gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    assert isinstance(federation.read(answer), Release)
    assert "Nothing waits" in page.ask("/").text
    assert "1 answer has left this silo" in page.ask("/left").text
    spent = page.ask("/spent").text
    assert "Spent over time: zCDP rho" in spent


def test_nothing_is_decided_by_a_wrong_code_or_without_a_reason(
    serving: Serving, page: Browser
) -> None:
    plan, digest = _arrive(serving, "second")
    for changes in (
        {"code": "another"},
        {"code": ""},
        {"verdict": "refuse", "why": " "},
        {"verdict": "?"},
    ):
        assert _approve(page, digest, **changes).status == 400, changes
    assert _said(serving, plan) is Answer.PENDING
    reads_only = _page(serving)
    assert "This page reads only" in reads_only.ask(f"/plans/{digest}").text
    assert _approve(reads_only, digest).status == 400
    assert _said(serving, plan) is Answer.PENDING
    assert _approve(page, digest, verdict="refuse", why="not yet").status == 200
    assert _said(serving, plan) is Answer.REFUSED


def test_of_two_browsers_that_decide_at_once_one_is_told_that_it_waits_no_longer(
    serving: Serving,
) -> None:
    _, digest = _arrive(serving, "third")
    known = settings(SITE, arguments={"policy": str(serving.policy)}, code=hidden(CODE))
    app = build_app(make_site(known), known)
    browsers = [Browser(app=app), Browser(app=app)]
    for browser in browsers:
        browser.enter()
        browser.ask(f"/plans/{digest}")
    fields = {"verdict": "approve", "code": CODE, "although": "on"}
    answers: list[int] = []

    def decide(browser: Browser) -> None:
        answers.append(browser.send(f"/plans/{digest}", fields).status)

    threads = [threading.Thread(target=decide, args=(b,)) for b in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 400]


def test_the_api_says_what_the_command_line_says_by_its_schema(
    serving: Serving, page: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    _arrive(serving, "fourth")
    schema = json.loads(page.ask("/api/schema").body)
    for name in API:
        assert run(["silo", name, "--policy", str(serving.policy), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        told = json.loads(page.ask(f"/api/{name}").body)
        assert told == said
        jsonschema.validate(told, schema | {"anyOf": [{"$ref": f"#/$defs/{name}"}]})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema_version": 1, "status": "ok", "data": {}}, schema)


def test_the_leak_canary_walks_every_page(serving: Serving, page: Browser) -> None:
    _, digest = _arrive(serving, "fifth")
    paths = (*PAGES, f"/plans/{digest}", f"/plans/{digest}/signed", *(f"/api/{a}" for a in API))
    answers = [page.ask(path) for path in (*paths, "/enter")]
    said = [a.body + repr(a.headers).encode() for a in answers]
    said.append(page.ask("/events", news=1).body)
    assert [a.status for a in answers] == [404 if p == "/nothing" else 200 for p in (*paths, "/")]
    assert all(a.headers["cache-control"] == "no-store" for a in answers)
    assert holds_token(said, serving.home) == []


def test_a_silo_that_asks_to_join_waits_with_the_words_to_compare(tmp_path: Path) -> None:
    """On a gateway of its own: a roster that is gone by changes what plans may name."""
    with Serving(change=lambda federation: federation.approve_none()) as serving:
        serving.start()
        federation, east = serving.federation, SigningKey.generate()
        change = gains(roster_of(federation), asks("east", east))
        with serving.gateway() as gateway:
            gateway.propose(plan=seal_change(change, key=federation.hub))
        page = _page(serving, code=hidden(CODE))
        shown = page.ask("/").text
        assert "A change of the roster" in shown
        assert key_words("east", east.public) in shown
        (digest,) = set(re.findall(r"/plans/([0-9a-f]{64})", shown))
        assert _approve(page, digest).status == 200
        assert key_words("east", east.public) in page.ask("/roster").text


def test_an_approver_s_signed_decision_is_taken_in_and_no_code_is(tmp_path: Path) -> None:
    anna = SigningKey.generate()

    def change(federation: Federation) -> None:
        federation.approve_none()
        federation.name_approvers(anna, needed=1)

    with Serving(change=change) as serving:
        serving.start()
        plan, digest = _arrive(serving, "signed")
        page = _page(serving, code=hidden(CODE))
        assert "asks for 1 signed decision" in page.ask(f"/plans/{digest}").text
        assert _approve(page, digest).status == 400
        sealed = page.ask(f"/plans/{digest}/signed").body
        assert sealed == serving.federation.sealed(plan)
        decision = SignedDecision(
            silo="north",
            plan_digest=plan.digest,
            signer=serving.federation.hub.public,
            verdict=Verdict.APPROVED,
            why="the board agrees",
            signed_at=time_text(datetime.now(UTC)),
        )
        signed = sign_decision(decision, key=anna)
        body = (
            b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n'
            + page.csrf.encode()
            + b'\r\n--x\r\nContent-Disposition: form-data; name="although"\r\n\r\non'
            + b'\r\n--x\r\nContent-Disposition: form-data; name="signed"; filename="a"\r\n'
            + b"Content-Type: application/octet-stream\r\n\r\n"
            + signed
            + b"\r\n--x--\r\n"
        )
        headers = (
            ("content-type", "multipart/form-data; boundary=x"),
            ("content-length", str(len(body))),
            ("origin", "http://127.0.0.1:9481"),
        )
        done = page.ask("/signed", method="POST", body=body, headers=headers)
        assert done.status == 200, done.text
        assert "anna approved" in done.text
        assert _said(serving, plan) is Answer.APPROVED
        serving.kill()
        away = page.ask("/")
        assert away.status == 503
        assert "does not run" in away.text
