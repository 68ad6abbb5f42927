"""A page behind a real nginx with the shipped file, and as a process that sleeps."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from silosynth.common.reach import free_port
from silosynth.server.federation import make_certs
from tests.support.homes import whole_run
from tests.support.nginx import NGINX, nginx
from tests.support.pages import Shown, shown
from tests.support.patience import patience

HASH = "{PLAIN}a-password"
KNOWN = "Basic " + base64.b64encode(b"anna:a-password").decode()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("home")
    whole_run(found)
    return found


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed: make nginx")
def test_behind_nginx_who_looks_is_whom_nginx_knows(home: Path, tmp_path: Path) -> None:
    certs = make_certs(tmp_path / "certs", silos=["north"], hosts=["localhost"])
    (tmp_path / "passwords").write_text(f"anna:{HASH}\n")
    at, port = tmp_path / "p.sock", free_port()
    values = {
        "page.example.org": "localhost",
        "/etc/silosynth/page.pem": f"{certs.path}/coordinator/superlink.pem",
        "/etc/silosynth/page-key.pem": f"{certs.path}/coordinator/superlink-key.pem",
        "/etc/silosynth/page.passwords": str(tmp_path / "passwords"),
        "/run/silosynth-page/page.sock": str(at),
    }
    words = ("page", "--socket", str(at), "--host-name", "localhost")
    env = {"SILOSYNTH_HOME": str(home)}
    named = ("--user-header", "X-Silosynth-User")
    with (
        shown(*words, *named, log=tmp_path / "page.log", env=env),
        nginx(tmp_path / "nginx", port=port, values=values, shipped="page.conf"),
    ):
        assert at.stat().st_mode & 0o777 == 0o660
        trust = ssl.create_default_context(cafile=str(certs.ca))

        def ask(path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
            link = http.client.HTTPSConnection(
                "localhost", port, context=trust, timeout=patience(60)
            )
            try:
                link.request("GET", path, headers=headers)
                answer = link.getresponse()
                told = {k.lower(): v for k, v in answer.getheaders()}
                return answer.status, answer.read().decode(), told
            finally:
                link.close()

        assert ask("/")[0] == 401
        assert ask("/", **{"X-Silosynth-User": "anna"})[0] == 401
        status, text, told = ask("/", Authorization=KNOWN, **{"X-Silosynth-User": "boss"})
        assert (status, "1 run" in text) == (200, True)
        assert "<span>anna</span>" in text
        assert "boss" not in text
        assert "default-src 'none'" in told["content-security-policy"]
        assert told["cache-control"] == "no-store"
        assert ask("/static/..%2fsite.py", Authorization=KNOWN)[0] == 404
        assert ask("/", Authorization=KNOWN, Host="evil.example")[0] in (200, 421)


def test_a_page_sleeps_and_wakes_and_ends_when_it_is_told(home: Path, tmp_path: Path) -> None:
    env = {"SILOSYNTH_HOME": str(home)}
    words = ("page", "--port", "0", "--rest-minutes", "0.05")
    with shown(*words, log=tmp_path / "log", env=env) as page:
        assert _children(page.pid) == []
        assert _status(page) == 401
        (first,) = _children(page.pid)
        until = time.monotonic() + patience(20)
        while _children(page.pid):
            assert time.monotonic() < until, "the page does not sleep"
            time.sleep(0.1)
        assert _status(page) == 401
        (second,) = _children(page.pid)
        assert first != second
    assert page.token in page.log.read_text()
    assert not Path(f"/proc/{second}").exists()


def test_what_does_not_go_together_is_refused_in_one_line(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for words, told in (
            (("--user-header", "X-User"), "--user-header is believed"),
            (("--socket", "/tmp/x.sock"), "needs --host-name"),
            (("--port", str(taken.getsockname()[1])), "cannot be served"),
        ):
            done = _run(home, *words)
            assert done.returncode == 4
            assert told in done.stderr.replace("\n", " ")


def _run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "silosynth.common.cli", "page", *words],
        capture_output=True,
        text=True,
        timeout=patience(30),
        env={"SILOSYNTH_HOME": str(home), "PATH": "/usr/bin:/bin"},
        check=False,
    )


def _status(page: Shown) -> int:
    host, _, port = page.address.removeprefix("http://").partition(":")
    link = http.client.HTTPConnection(host, int(port), timeout=patience(20))
    try:
        link.request("GET", "/")
        return link.getresponse().status
    finally:
        link.close()


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
