"""Whoever the policy names hears of a plan that waits, of nothing private, and holds up nobody."""

from __future__ import annotations

import email
import http.server
import json
import socketserver
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from silosynth.client.policy import NotifySection
from silosynth.client.serving import notices
from silosynth.client.serving.bell import AGAIN_SECONDS, LEAST_SECONDS, Bell, ringing
from silosynth.client.serving.notices import notice_of, senders
from silosynth.common.errors import ConnectionFailed
from silosynth.common.telemetry.telemetry import Role, Telemetry
from tests.support.gateways.serving import Serving
from tests.support.patience import patience
from tests.support.tables.canary import holds_token

PLAN: dict[str, Any] = {
    "id": "p",
    "digest": "sha256:" + "a" * 64,
    "coordinator": "hub",
    "epsilon": 1.0,
    "at": "2026-03-01T00:00:00+00:00",
    "budgets": [{"left": 0.5}],
    "signed": {"by": ["anna"]},
}
NOTICE = notice_of("north", [PLAN], again=False)


class Post(http.server.BaseHTTPRequestHandler):
    """Take notices, or answer with the status of the path."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, dict(self.headers), body))  # type: ignore[attr-defined]  # of the test's server
        status = int(self.path.rpartition("/")[2] or 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.server.heard.set()  # type: ignore[attr-defined]  # of the test's server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Mail(socketserver.StreamRequestHandler):
    """Speak as much SMTP as a client needs (RFC 5321)."""

    def handle(self) -> None:
        letter: list[bytes] = []
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline():
            word = line[:4].upper()
            self.server.said.append(line)  # type: ignore[attr-defined]  # of the test's server
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                while (line := self.rfile.readline()) != b".\r\n":
                    letter.append(line)
                self.server.taken.append(b"".join(letter))  # type: ignore[attr-defined]  # as above
                self.wfile.write(b"250 taken\r\n")
            elif word == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            elif word == b"RCPT" and b"nobody@" in line:
                self.wfile.write(b"550 unknown\r\n")
            else:
                self.wfile.write(b"250 ok\r\n")


@contextmanager
def _server(handler: type[socketserver.BaseRequestHandler], kind: type[Any]) -> Iterator[Any]:
    with kind(("127.0.0.1", 0), handler) as server:
        server.taken, server.said, server.heard = [], [], threading.Event()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        try:
            yield server
        finally:
            server.shutdown()


@pytest.fixture
def web() -> Iterator[Any]:
    with _server(Post, http.server.ThreadingHTTPServer) as server:
        yield server


@pytest.fixture
def post_office() -> Iterator[Any]:
    with _server(Mail, socketserver.ThreadingTCPServer) as server:
        yield server


def _way(**section: Any) -> Callable[[notices.Notice], None]:
    (send,) = senders(NotifySection.model_validate(section)).values()
    return send


def test_a_notice_holds_public_facts_alone() -> None:
    told = json.loads(NOTICE.data())
    assert told == {
        "version": 1,
        "event": "plans-waiting",
        "silo": "north",
        "again": False,
        "plans": [
            {
                "plan": "p",
                "digest": PLAN["digest"],
                "coordinator": "hub",
                "epsilon": 1.0,
                "since": PLAN["at"],
            }
        ],
    }
    unusable = {"digest": "sha256:b", "at": "t", "signer": "k", "unusable": "x"}
    assert notice_of("north", [unusable], again=True).plans[0]["plan"] == "-"


def test_a_webhook_gets_the_notice(web: Any) -> None:
    _way(webhook=f"http://127.0.0.1:{web.server_address[1]}/hook/200")(NOTICE)
    ((path, headers, body),) = web.taken
    assert (path, headers["Content-Type"]) == ("/hook/200", "application/json")
    assert body == NOTICE.data()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_does_not_take_it_failed(web: Any, status: int) -> None:
    with pytest.raises(ConnectionFailed, match=f"answered {status}"):
        _way(webhook=f"http://127.0.0.1:{web.server_address[1]}/hook/{status}")(NOTICE)
    assert len(web.taken) == 1


def test_mail_gets_there(post_office: Any) -> None:
    mail = {"to": ["dpo@clinic.example"], "sender": "silo@clinic.example", "host": "127.0.0.1"}
    _way(mail=mail | {"port": post_office.server_address[1]})(NOTICE)
    (letter,) = post_office.taken
    read = email.message_from_bytes(letter)
    assert (read["To"], read["Subject"]) == (
        "dpo@clinic.example",
        "silosynth: 1 plan wait at silo north",
    )
    assert "p of coordinator hub, epsilon 1.0" in read.get_payload()


def test_mail_that_is_not_taken_or_not_heard_failed(post_office: Any) -> None:
    mail = {"to": ["nobody@clinic.example"], "sender": "silo@clinic.example", "host": "127.0.0.1"}
    with pytest.raises(ConnectionFailed):
        _way(mail=mail | {"port": post_office.server_address[1]})(NOTICE)
    with pytest.raises(ConnectionFailed):
        _way(mail=mail | {"port": post_office.server_address[1], "security": "starttls"})(NOTICE)
    assert post_office.taken == []
    assert not any(line.startswith(b"AUTH") for line in post_office.said)


def test_a_command_gets_the_notice_and_nothing_of_the_gateways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_GATEWAY", "x")
    out = tmp_path / "out"
    code = (
        "import os, sys, json; "
        f"open({str(out)!r}, 'w').write(json.dumps([sys.stdin.read(), sorted(os.environ)]))"
    )
    _way(command=[sys.executable, "-c", code])(NOTICE)
    text, environment = json.loads(out.read_text())
    assert text.encode() == NOTICE.data()
    assert set(environment) <= {"PATH", "LANG", "LC_CTYPE"}


def test_a_command_that_fails_or_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "SEND_SECONDS", 0.5)
    for command in (["/nothing/there"], [sys.executable, "-c", "raise SystemExit(3)"]):
        with pytest.raises(ConnectionFailed):
            _way(command=command)(NOTICE)
    child = tmp_path / "child"
    hangs = f"sleep 600 & echo $! > {child}; wait"
    with pytest.raises(ConnectionFailed, match="in time"):
        _way(command=["/bin/sh", "-c", hangs])(NOTICE)
    state = Path(f"/proc/{int(child.read_text())}/stat")
    end = time.monotonic() + patience(10)
    while _runs(state):  # a kill is taken by its process when that is next on a processor
        assert time.monotonic() < end
        time.sleep(0.01)


def _runs(state: Path) -> bool:
    """Say whether the process of this stat file is there and no zombie."""
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_folder_gets_whole_files_that_a_group_may_read(tmp_path: Path) -> None:
    _way(directory=str(tmp_path))(NOTICE)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == NOTICE.data()
    assert stat.S_IMODE(left.stat().st_mode) & 0o007 == 0
    with pytest.raises(ConnectionFailed):
        _way(directory=str(tmp_path / "none"))(NOTICE)


@pytest.mark.parametrize(
    "section",
    [
        {"webhook": "http://hooks.example/x"},
        {"webhook": "https://user:word@hooks.example/x"},
        {"webhook": "https://hooks.example/x\r\nX: y"},
        {"webhook": "ftp://hooks.example/x"},
        {"webhook": "https:///x"},
        {"command": ["mail", "-s", "x"]},
        {"command": "/bin/true"},
        {"mail": {"to": [], "sender": "a@b"}},
        {"mail": {"to": ["a@b\nBcc: c@d"], "sender": "a@b"}},
        {"mail": {"to": ["a@b"], "sender": "a@b", "user": "x", "password_file": "p"}},
        {"mail": {"to": ["a@b"], "sender": "a@b", "user": "x", "security": "tls"}},
        {"pager": "x"},
    ],
)
def test_a_way_that_cannot_be_meant_is_refused(section: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NotifySection.model_validate(section)


class World:
    """Own a bell, its clock, what waits, and what was heard."""

    def __init__(self, told: Path) -> None:
        self.time = 1_000_000.0
        self.waiting: list[dict[str, Any]] = []
        self.heard: list[notices.Notice] = []
        self.fails = False
        self.told = told
        self.telemetry = Telemetry(role=Role.GATEWAY)
        self.bell = self.restarted()

    def restarted(self) -> Bell:
        self.bell = Bell(
            silo="north",
            ways={"mail": self._send},
            waiting=lambda: self.waiting,
            told=self.told,
            telemetry=self.telemetry,
            now=lambda: self.time,
        )
        return self.bell

    def after(self, seconds: float) -> int:
        """Let time pass and look; return how many notices were heard in all."""
        self.time += seconds
        self.bell.look()
        return len(self.heard)

    def _send(self, notice: notices.Notice) -> None:
        if self.fails:
            raise OSError("the text of this error is nobody's")
        self.heard.append(notice)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "told.json")


def _plan(letter: str) -> dict[str, Any]:
    return PLAN | {"id": letter, "digest": f"sha256:{letter * 64}"}


def test_a_plan_is_told_of_once_and_daily(world: World) -> None:
    assert world.after(0) == 0
    world.waiting = [_plan("a")]
    assert world.after(0) == 1
    assert world.after(AGAIN_SECONDS - 1) == 1
    world.restarted()
    assert world.after(0) == 1
    assert world.after(2) == 2
    assert [n.again for n in world.heard] == [False, True]
    world.waiting = []
    assert world.after(2 * AGAIN_SECONDS) == 2
    world.waiting = [_plan("a")]
    assert world.after(1) == 3
    assert not world.heard[-1].again


def test_many_plans_are_one_notice_and_nobody_rings_without_end(world: World) -> None:
    for number in range(26):
        world.waiting.append(_plan(chr(ord("a") + number)))
        world.after(20)
    assert len(world.heard) == 2
    assert world.after(LEAST_SECONDS) == 3
    assert len(world.heard[-1].plans) == 26


def test_a_way_that_failed_is_tried_again_and_says_no_text(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.waiting, world.fails = [_plan("a")], True
    assert world.after(0) == 0
    assert b'silosynth_notices_total{outcome="failed",way="mail"} 1.0' in world.telemetry.text()
    assert "nobody's" not in caplog.text
    world.fails = False
    assert world.after(LEAST_SECONDS - 1) == 0
    assert world.after(2) == 1


def test_what_was_told_and_cannot_be_read_is_told_again(world: World) -> None:
    world.waiting = [_plan("a")]
    world.after(0)
    for damaged in ("", "[]", '{"version": 2, "told": {}}', '{"version": 1, "told": 3}'):
        world.told.write_text(damaged)
        world.restarted()
        heard = len(world.heard)
        assert world.after(1) == heard + 1


def test_a_notifier_that_hangs_holds_nobody_when_the_gateway_ends(world: World) -> None:
    hangs, inside = threading.Event(), threading.Event()

    def hang() -> list[dict[str, Any]]:
        inside.set()
        hangs.wait()
        return []

    bell = Bell(
        silo="north",
        ways={"mail": lambda _: None},
        waiting=hang,
        told=world.told,
        telemetry=world.telemetry,
    )
    with ringing(bell):
        assert inside.wait(patience(5))
    hangs.set()


def test_a_gateway_with_a_broken_notifier_answers_and_leaks_nothing(web: Any) -> None:
    """The plan waits, the webhook is told, the mail server is none, the table holds tokens."""
    hook = f"http://127.0.0.1:{web.server_address[1]}/hook/200"
    mail = {"to": ["a@b.example"], "sender": "a@b.example", "host": "127.0.0.1", "port": 1}
    with Serving(
        extra={"notify": {"mail": mail, "webhook": hook}},
        change=lambda federation: federation.approve_none(),
        main="tests.support.gateways.serve_watchful",
    ) as serving:
        serving.start()
        federation, plan = serving.federation, serving.federation.plan()
        with serving.gateway() as gateway:
            verdict = federation.verdict(gateway.propose(plan=federation.sealed(plan)))
            assert verdict.code == "approval-pending"
            assert web.heard.wait(patience(20)), serving.log
            assert gateway.identify(bytes(32))
        assert json.loads(web.taken[0][2])["plans"][0]["digest"] == plan.digest
        assert holds_token([body for _, _, body in web.taken], serving.home) == []
        assert serving.stop() == 0
