"""A clock that is off and a certificate that is wrong are named, before Flower speaks of keys."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.reach.superlink import certificate_words, clock_words, look_at
from silosynth.server.federation import make_certs

NOON = "Sun, 01 Mar 2026 12:00:00 GMT"
NOON_SECONDS = 1772366400.0


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (20.0, "20 s ahead of"),
        (-400.0, "400 s behind"),
        (3.6, "3 s ahead of"),
        (-3.0, "behind"),
        (5.5, "5 s ahead of"),
        (86_400.0 * 365, "ahead of"),
    ],
)
def test_a_clock_that_is_off_is_named_with_its_offset(off: float, words: str) -> None:
    said = clock_words(NOON, now=NOON_SECONDS + off)
    assert said is not None
    assert words in said


@pytest.mark.parametrize("off", [0.0, 1.0, -1.0, 2.9, -2.4])
def test_a_clock_that_is_right_enough_is_not_spoken_of(off: float) -> None:
    assert clock_words(NOON, now=NOON_SECONDS + off) is None


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sun, 99 Mar 2026 12:00:00 GMT"])
def test_an_answer_without_a_date_says_nothing(date: str | None) -> None:
    assert clock_words(date, now=NOON_SECONDS) is None


def test_a_slow_answer_is_no_clock_that_is_off() -> None:
    assert clock_words(NOON, now=NOON_SECONDS + 10.0, took_seconds=20.0) is None
    assert clock_words(NOON, now=NOON_SECONDS + 30.0, took_seconds=20.0) is not None


@contextmanager
def _serving(cert: Path, key: Path, *, ahead: float, status: int) -> Iterator[str]:
    """Serve TLS with a clock that is ``ahead``; yield HOST:PORT."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(time.time() + ahead, usegmt=True))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [200, 401, 403, 404, 500])
def test_any_answer_of_a_superlink_tells_its_time(status: int, tmp_path: Path) -> None:
    certs = make_certs(tmp_path / "a", silos=("north",), hosts=("localhost",))
    other = make_certs(tmp_path / "b", silos=("north",), hosts=("localhost",))
    pair = certs.superlink, certs.superlink_key
    with _serving(*pair, ahead=-600.0, status=status) as superlink:
        words = look_at(superlink, ca=certs.ca)
        assert words is not None
        assert "ahead of the SuperLink's" in words
        with pytest.raises(ConnectionFailed, match="not signed by the CA"):
            look_at(superlink, ca=other.ca)
        with pytest.raises(ConnectionFailed, match="for another"):
            look_at(superlink.replace("localhost", "127.0.0.1"), ca=certs.ca)
    with _serving(*pair, ahead=0.0, status=status) as superlink:
        assert look_at(superlink, ca=certs.ca) is None


def test_a_superlink_that_is_away_and_a_ca_that_is_none_are_named(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    for data in (None, b"no certificate"):
        if data is not None:
            ca.write_bytes(data)
        with pytest.raises(InvalidArgument, match=str(ca)):
            look_at("localhost:1", ca=ca)
    with pytest.raises(ConnectionFailed, match="no connection to the SuperLink at localhost:1"):
        look_at("localhost:1", ca=None)


def test_faults_of_certificates_are_told_apart() -> None:
    assert certificate_words("connection refused") is None
    for part in ("certificate has expired", "certificate is not yet valid"):
        assert part.partition(" ")[2].split()[-1] in (certificate_words(part) or "")
