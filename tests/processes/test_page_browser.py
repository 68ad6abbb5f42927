"""From a plan's arrival by its approval to the report, in a browser, by the keyboard alone."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from silosynth.common.messages import Answer, Release
from tests.support.browser import Chromium, chromium
from tests.support.gateways.serving import Serving
from tests.support.homes import whole_run
from tests.support.pages import shown

PICTURES = os.environ.get("SILOSYNTH_PICTURES")
"""A folder where the pictures are kept for a person to look at."""
WIDE, PHONE = 1000, 390
DARK, LIGHT = "rgb(20, 23, 26)", "rgb(252, 251, 248)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as started:
        yield started


def _enter(browser: Chromium, address: str, token: str) -> None:
    """Enter a page by the keyboard: the field has the focus already."""
    browser.open(f"{address}/")
    browser.wait_for("document.activeElement.matches('input')")
    browser.type(token)
    with browser.loading():
        browser.press("Enter")
    assert token not in browser.value("location.href + document.title + document.body.innerHTML")


def _check_looks(browser: Chromium, name: str) -> None:
    """Check a page on a phone, in the dark and on paper, and keep pictures of it."""
    for width in (PHONE, WIDE):
        for dark in (False, True):
            browser.look(width=width, dark=dark)
            wide = "document.documentElement.scrollWidth - innerWidth"
            assert browser.value(wide) == 0, (name, width)
            paper = browser.value("getComputedStyle(document.body).backgroundColor")
            assert paper == (DARK if dark else LIGHT)
            if PICTURES:
                kind = f"{width}-{'dark' if dark else 'light'}"
                browser.picture(Path(PICTURES) / f"{name}-{kind}.png")
    browser.look(media="print")
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    browser.look()


def _check_tree(browser: Chromium, *wanted: tuple[str, str]) -> None:
    """Check that a screen reader finds its way: landmarks, one title, and a name on each field."""
    tree = browser.tree()
    roles = [role for role, _ in tree]
    assert roles.count("main") == 1
    assert "navigation" in roles
    assert browser.value("document.querySelectorAll('h1').length") == 1
    assert browser.value("document.documentElement.lang") == "en"
    for role, name in tree:
        assert name or role not in ("textbox", "button", "link", "image", "spinbutton"), role
    for pair in wanted:
        assert pair in tree, (pair, tree)


def test_a_plan_arrives_is_approved_and_ends_in_a_report(browser: Chromium, tmp_path: Path) -> None:
    with Serving(change=lambda federation: federation.approve_none()) as serving:
        serving.start()
        words = ("silo", "page", "--policy", str(serving.policy), "--port", "0", "--decide")
        with shown(*words, log=tmp_path / "silo.log") as page:
            _approve(browser, serving, address=page.address, token=page.token, code=page.code)
            browser.open("about:blank")  # At any news a page asks again: not of one that ends.
        for secret in (page.token, page.code):
            assert page.log.read_text().count(secret) == 1
    home = tmp_path / "home"
    run = whole_run(home)
    env = {"SILOSYNTH_HOME": str(home)}
    with shown("page", "--port", "0", log=tmp_path / "hub.log", env=env) as page:
        _enter(browser, page.address, page.token)
        _check_looks(browser, "runs")
        browser.tab_to(f"a[href='/runs/{run.id}']")
        with browser.loading():
            browser.press("Enter")
        _check_tree(browser, ("spinbutton", "Rows, up to 100,000"), ("button", "Draw as CSV"))
        _check_looks(browser, "run")
        browser.tab_to("form[action$='/report'] button")
        with browser.loading():
            browser.press("Enter")
        assert browser.value("location.pathname") == f"/runs/{run.id}/report"
        assert "No real row was read" in browser.text()
        if PICTURES:
            browser.picture(Path(PICTURES) / "report.png")
    # Before somebody enters, and when a page that follows what happens is left.
    expected = re.compile(r"network: .*(status of 401 .*:[0-9]+/|/events)$")
    assert [line for line in browser.said if not expected.match(line)] == []


def _approve(browser: Chromium, serving: Serving, *, address: str, token: str, code: str) -> None:
    """Watch a plan arrive at the silo's page, approve it, and see what left."""
    federation, plan = serving.federation, serving.federation.plan(id="arrives")
    _enter(browser, address, token)
    assert "Nothing waits" in browser.text()
    with serving.gateway() as gateway:
        gateway.propose(plan=federation.sealed(plan))
    browser.wait_for("document.body.innerText.includes('arrives')")
    _check_tree(browser, ("link", "Decide about arrives"), ("heading", "What waits"))
    _check_looks(browser, "waits")
    browser.tab_to(".skip")
    browser.press("Enter")
    browser.tab_to("a.button")
    with browser.loading():
        browser.press("Enter")
    _check_tree(browser, ("textbox", "Why"), ("textbox", "Code"), ("button", "Approve"))
    _check_looks(browser, "decide")
    browser.tab_to("#why")
    browser.type("the board agrees")
    if browser.value("document.querySelector('[name=although]') !== null"):
        browser.tab_to("[name=although]")
        browser.press(" ")
    browser.tab_to("#code")
    browser.type(code)
    browser.tab_to("button[value=approve]")
    with browser.loading():
        browser.press("Enter")
    assert "Approved by" in browser.text()
    with serving.gateway() as gateway:
        said = federation.verdict(gateway.propose(plan=federation.sealed(plan)))
        answer = gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    assert said.answer is Answer.APPROVED
    assert isinstance(federation.read(answer), Release)
    for path, words in (
        ("spent", "Over time"),
        ("left", "1 answer has left"),
        ("roster", "Project default"),
    ):
        browser.tab_to(f"nav a[href='/{path}']")
        with browser.loading():
            browser.press("Enter")
        assert words in browser.text()
        _check_looks(browser, path)
