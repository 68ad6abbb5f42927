"""A SuperNode that would stand still ends, and its relay notices every way in which it can."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from silosynth.client.relay import post, relay, supernode
from silosynth.simulations.real_time.forked import Launcher
from tests.support.patience import patience

START = """
import threading, time
from silosynth.client.relay import supernode
from flwr.supernode.fleet_http_client import FleetHttpClient
FleetHttpClient._unary_unary = lambda self, **_: {call}
def node():
    threading.Thread(target=time.sleep, args=(300,)).start()  # as Flower's own server thread
    {body}
supernode.flower_supernode = node
supernode.main(0.3, stuck=70)
"""
WAYS = {
    "a call that trickles": ("time.sleep(300)", "FleetHttpClient._unary_unary(None)", 70),
    "a thread that fails": (
        "0",
        "threading.Thread(target=int, args=('x',)).start(); time.sleep(300)",
        70,
    ),
    "a loop that ends": ("0", "pass", 70),
    "a loop that fails": ("0", "raise ValueError('x')", 70),
    "an end that was asked for": ("0", "raise SystemExit(0)", 0),
    "a refusal": ("0", "raise SystemExit(3)", 3),
}


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start what forks SuperNodes, once."""
    log = tmp_path_factory.mktemp("supernodes") / "launcher.log"
    words = ("silosynth.client.relay.supernode", "flwr.supernode.fleet_http_client")
    started = Launcher(
        "tests.support.programs",
        environment=os.environ,
        log=log,
        words=words,
        directory=Path(__file__).parents[3],
    )
    yield started
    started.close()


def _code_of(launcher: Launcher, program: str) -> int:
    """Run a program in a process of its own; return its exit code."""
    nowhere = os.devnull
    started = launcher.start("program", [program], out=nowhere, log=nowhere, directory=os.getcwd())
    return started.wait(patience(60))


@pytest.mark.parametrize("way", WAYS)
def test_a_supernode_that_would_stand_still_ends(way: str, launcher: Launcher) -> None:
    call, body, code = WAYS[way]
    assert _code_of(launcher, START.format(call=call, body=body)) == code


def test_a_call_in_time_ends_nothing(launcher: Launcher) -> None:
    body = (
        "[FleetHttpClient._unary_unary(None) for _ in range(9)]; time.sleep(1); raise SystemExit(5)"
    )
    program = START.format(call="0", body=body)
    assert _code_of(launcher, program) == 5


class Looks:
    """A clock that sleeping moves, and a look for messages that finds some at given times."""

    def __init__(self, *found: float) -> None:
        self.time, self.found = 0.0, list(found)
        self.looks: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    def pull(self) -> Any:
        self.looks.append(self.time)
        there = bool(self.found) and self.found[0] <= self.time
        return SimpleNamespace(messages_list=[self.found.pop(0)] if there else [])


def test_a_supernode_looks_again_soon_while_it_is_asked_and_leaves_waiting_to_flower() -> None:
    looks = Looks(1.0, 1.1, 4.0)
    pull = supernode._attentive(looks.pull, now=looks.now, sleep=looks.sleep)
    heard = []
    for _ in range(3):
        assert pull().messages_list
        heard.append(looks.time)
    for asked, answered in zip((1.0, 1.1, 4.0), heard, strict=True):
        assert answered - asked <= 1.0
    begun = looks.time
    assert not pull().messages_list  # and Flower waits for 3 s, as ever
    assert 12 <= looks.time - begun <= 15
    assert len(looks.looks) < 30
    looks.found.append(looks.time)
    looks.sleep(3)
    assert pull().messages_list
    assert not pull().messages_list
    assert looks.time - begun > 18


class FakeNode:
    """Stands in for a SuperNode's process."""

    def __init__(self, code: int | None = None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("node", timeout)
        return self.code


@pytest.fixture
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_PASS_SECONDS", 0.2)
    monkeypatch.setattr(relay, "_RESTART_SECONDS", 0.05)


@pytest.fixture
def port() -> Iterator[Callable[[bytes | None], int]]:
    """Listen on a loopback port; answer every request with the same bytes, or not at all."""
    opened: list[socket.socket] = []

    def listen(answer: bytes | None) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        opened.append(server)

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                opened.append(peer)
                if answer is not None:
                    peer.recv(65536)
                    peer.sendall(answer)
                    peer.close()

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield listen
    for each in opened:
        each.close()


ANSWERS = {
    "silence": None,
    "the end of the connection": b"",
    "500": b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n",
    "401": b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n",
    "half an answer": b"HTTP/1.1 200 X\r\ncontent-length: 50\r\n\r\nabc",
    "no protocol buffer": b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n\xff\xff",
    "no HTTP": b"zzz\r\n\r\n",
}


@pytest.mark.usefixtures("_hurried")
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_task_that_may_be_lost_restarts_the_supernode(
    answer: str, port: Callable[[bytes | None], int]
) -> None:
    begun = time.monotonic()
    with pytest.raises(relay._Lost):
        _tasks(port(ANSWERS[answer]), FakeNode())
    assert time.monotonic() - begun < patience(6)


def _tasks(number: int, node: Any) -> None:
    app: Any = None
    nowhere = post.Post(Path(os.devnull).with_name("nowhere"))
    secret = b"s" * 32
    relay._answer_tasks(app, node, port=number, secret=secret, post=nowhere, stopping=lambda: False)


def test_a_supernode_is_asked_for_a_task_when_a_message_came_and_else_seldom(
    tmp_path: Path,
) -> None:
    looks, path = Looks(), tmp_path / "post"
    asks = post.Post(path, now=looks.now)
    for _ in range(3):  # it starts
        assert asks.is_due()
        asks.asked(heard=False, answered=False)
    asks.asked(heard=True, answered=False)
    looks.sleep(post.IDLE_SECONDS - 0.1)
    assert not asks.is_due()
    looks.sleep(0.2)
    assert asks.is_due()  # where nobody touches the file, later
    asks.asked(heard=True, answered=False)
    assert not asks.is_due()
    post.touching(str(path))()
    for _ in range(3):  # the message is on its way from the SuperLink, the task not there yet
        assert asks.is_due()
        asks.asked(heard=True, answered=False)
        looks.sleep(0.1)
    asks.asked(heard=True, answered=True)
    assert not asks.is_due()
    os.utime(path, ns=(1, 1))
    assert asks.is_due()
    looks.sleep(post.COMING_SECONDS)
    asks.asked(heard=True, answered=False)
    assert not asks.is_due()
    post.touching(str(tmp_path / "gone" / "post"))()  # nobody is told, and nothing ends


def test_a_supernode_says_when_a_message_came() -> None:
    looks, told = Looks(1.0), list[float]()
    pull = supernode._attentive(
        looks.pull, came=lambda: told.append(looks.time), now=looks.now, sleep=looks.sleep
    )
    assert pull().messages_list
    assert told == [looks.time]
    assert not pull().messages_list
    assert len(told) == 1


@pytest.mark.usefixtures("_hurried")
def test_a_supernode_that_never_listens_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_START_SECONDS", 0.3)
    with pytest.raises(relay._Lost, match="does not listen"):
        _tasks(9, FakeNode())


@pytest.mark.usefixtures("_hurried")
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-9, relay._Lost),
        (70, relay._Lost),
        (1, relay.ConnectionFailed),  # type: ignore[attr-defined]  # replaced where it is used
        (0, relay.ConnectionFailed),  # type: ignore[attr-defined]  # replaced where it is used
    ],
)
def test_how_a_supernode_ended_says_whether_it_is_refused(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        _tasks(9, FakeNode(code))


@pytest.mark.usefixtures("_hurried")
@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), RuntimeError("x"), Exception()])
def test_whatever_flower_raises_restarts_the_supernode_and_not_the_relay(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(relay._Lost, match=type(error).__name__):
        relay._passed(fail, what="a call")
    with pytest.raises(relay._Lost, match="Overdue"):
        relay._passed(threading.Event().wait, what="a call")
