"""The front door asks the system who is there, bounds how many come in, and loses no byte."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from silosynth.client.rpc import DoorRules, FrontDoor, TurnedAway, bind_socket, given_socket
from silosynth.client.rpc.front_door import peer_user
from silosynth.common.errors import InvalidArgument
from tests.support.patience import paced, patience

US = os.getuid()
RULES = DoorRules(users=frozenset({US}))
SETUP_SECONDS = 10


class House:
    """A front door, and behind it a server that sends every connection's bytes back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.public, self.inner = directory / "public", directory / "inner"
        self.visits = 0
        self.turned_away: list[tuple[TurnedAway, int]] = []
        self._listener = bind_socket(self.inner)
        self._threads: list[threading.Thread] = []
        self._doors: list[FrontDoor] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def open(self, rules: DoorRules) -> FrontDoor:
        door = FrontDoor(
            bind_socket(self.public),
            inner=lambda _: self.inner,
            rules=rules,
            turned_away=lambda why, user: self.turned_away.append((why, user)),
        )
        self._doors.append(door)
        return door

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(patience(SETUP_SECONDS))
        try:
            connection.connect(str(self.public))
        except OSError:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        for door in self._doors:
            door.close()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.visits += 1
                threading.Thread(target=_send_back, args=(connection,), daemon=True).start()


def _send_back(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(65_536):
            connection.sendall(data)


def _wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + patience(SETUP_SECONDS)
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def house() -> Iterator[House]:
    with tempfile.TemporaryDirectory(prefix="door-") as directory:
        house = House(Path(directory))
        yield house
        house.close()


def test_every_byte_comes_through_both_ways(house: House) -> None:
    house.open(RULES)
    data = os.urandom(20_000_000)
    with house.connect() as visitor:
        sender = threading.Thread(target=visitor.sendall, args=(data,))
        sender.start()
        back = bytearray()
        while len(back) < len(data):
            back += visitor.recv(1 << 20)
        sender.join()
        assert bytes(back) == data
        visitor.shutdown(socket.SHUT_WR)
        assert visitor.recv(1) == b""


def test_a_user_who_is_not_named_is_turned_away_before_a_byte_is_read(house: House) -> None:
    house.open(replace(RULES, users=frozenset({US + 1})))
    with house.connect() as visitor:
        with suppress(BrokenPipeError):
            visitor.sendall(b"let me in")
        with suppress(ConnectionResetError):
            assert visitor.recv(1) == b""
    _wait_until(lambda: bool(house.turned_away))
    assert house.turned_away == [(TurnedAway.STRANGER, US)]
    assert house.visits == 0


def test_connections_are_bounded_and_a_place_that_is_left_is_free(house: House) -> None:
    house.open(replace(RULES, most_connections=2))
    with house.connect() as first, house.connect() as second:
        for visitor in (first, second):
            visitor.sendall(b"x")
            assert visitor.recv(1) == b"x"
        with house.connect() as third, suppress(ConnectionResetError):
            assert third.recv(1) == b""
        assert house.turned_away == [(TurnedAway.FULL, US)]
    _wait_until(lambda: _answers(house))


def _answers(house: House) -> bool:
    with house.connect() as visitor, suppress(OSError):
        visitor.sendall(b"y")
        return visitor.recv(1) == b"y"
    return False


def test_a_visitor_who_says_nothing_is_sent_away(house: House) -> None:
    house.open(replace(RULES, first_byte_seconds=0.2))
    with house.connect() as visitor:
        assert visitor.recv(1) == b""
    assert house.turned_away == [(TurnedAway.SILENT, US)]


def test_a_visitor_who_falls_silent_is_sent_away_later(house: House) -> None:
    idle = paced(0.6)
    house.open(replace(RULES, first_byte_seconds=idle / 3, idle_seconds=idle))
    with house.connect() as visitor:
        visitor.sendall(b"x")
        assert visitor.recv(1) == b"x"
        start = time.monotonic()
        assert visitor.recv(1) == b""
        assert time.monotonic() - start > 0.6 * idle
    assert house.turned_away == [(TurnedAway.SILENT, US)]


def test_a_hundred_visits_leave_no_thread_and_no_descriptor(house: House) -> None:
    house.open(RULES)
    assert _answers(house)
    threads, descriptors = threading.active_count(), _descriptors()
    for _ in range(100):
        assert _answers(house)
    _wait_until(lambda: threading.active_count() < threads + 5 and _descriptors() < descriptors + 5)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_closed_door_lets_nobody_in_but_those_inside_stay(house: House) -> None:
    door = house.open(RULES)
    with house.connect() as inside:
        inside.sendall(b"a")
        assert inside.recv(1) == b"a"
        door.close_to_new()
        _wait_until(lambda: not _connects(house))
        inside.sendall(b"b")
        assert inside.recv(1) == b"b"
        door.close()
        assert inside.recv(1) == b""


def _connects(house: House) -> bool:
    try:
        house.connect().close()
    except ConnectionRefusedError:
        return False
    return True


def test_the_kernel_says_who_is_there(house: House) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_user(ours) == US


def test_a_bound_socket_is_its_owners_alone(house: House) -> None:
    with bind_socket(house.public):
        assert house.public.stat().st_mode & 0o777 == 0o600


def test_what_a_dead_gateway_left_behind_is_replaced(house: House) -> None:
    bind_socket(house.public).close()
    with bind_socket(house.public):
        house.connect().close()


def test_a_socket_that_somebody_listens_on_is_left_alone(house: House) -> None:
    with bind_socket(house.public), pytest.raises(InvalidArgument, match="another process"):
        bind_socket(house.public)


def test_a_file_in_the_way_is_left_alone(house: House) -> None:
    house.public.write_text("precious")
    with pytest.raises(InvalidArgument, match="no socket"):
        bind_socket(house.public)
    assert house.public.read_text() == "precious"


def test_nothing_is_taken_over_that_was_handed_to_another_process() -> None:
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "HOME": "/"}
    assert given_socket(environment) is None
    assert environment == {"HOME": "/"}


def test_two_sockets_at_once_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="2 sockets"):
        given_socket({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2"})
