"""A relay is healthy while letters get through it: socket files alone say nothing."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from silosynth.client.relay.process import HEARD_SECONDS, is_healthy
from silosynth.client.relay.relay import _pass_lines
from silosynth.client.relay.supernode import _limited
from silosynth.client.rpc import RpcServer, Service
from silosynth.common.telemetry.telemetry import start_logging

SERVICE = Service(name="silosynth.gateway.v1.Gateway", methods={})


def _server(path: Path) -> RpcServer:
    return RpcServer(SERVICE, socket=path, message_bytes=1000)


def test_a_gateway_that_is_gone_or_stopping_makes_a_relay_unhealthy(tmp_path: Path) -> None:
    gateway, heard = tmp_path / "g.sock", tmp_path / "heard"
    heard.touch()
    assert not is_healthy(gateway=gateway, heard=heard)
    server = _server(gateway)
    assert is_healthy(gateway=gateway, heard=heard)
    server.stop(grace_seconds=0.1).wait()
    assert not is_healthy(gateway=gateway, heard=heard)


def test_a_socket_that_nobody_answers_is_not_healthy(tmp_path: Path) -> None:
    gateway, heard = tmp_path / "g.sock", tmp_path / "heard"
    heard.touch()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(str(gateway))
        assert gateway.is_socket()
        assert not is_healthy(gateway=gateway, heard=heard)
        mute.listen()
        assert not is_healthy(gateway=gateway, heard=heard)


def test_a_supernode_that_is_refused_or_hears_nothing_makes_a_relay_unhealthy(
    tmp_path: Path,
) -> None:
    gateway, heard = tmp_path / "g.sock", tmp_path / "heard"
    server = _server(gateway)
    try:
        assert not is_healthy(gateway=gateway, heard=heard), "it was never heard"
        heard.touch()
        assert is_healthy(gateway=gateway, heard=heard)
        old = time.time() - HEARD_SECONDS - 1
        os.utime(heard, (old, old))
        assert not is_healthy(gateway=gateway, heard=heard)
    finally:
        server.stop(grace_seconds=0.1).wait()


def test_only_a_good_answer_of_the_superlink_is_noted(tmp_path: Path) -> None:
    heard = tmp_path / "heard"

    def refuse(**_: object) -> None:
        raise ValueError("401")

    def end() -> None:
        raise AssertionError("in time")

    for call in (refuse, lambda **_: "answer"):
        limited = _limited(call, seconds=5.0, end=end, heard=heard)  # type: ignore[arg-type]  # it ends nothing
        assert not heard.exists()
        try:
            assert limited() == "answer"
        except ValueError:
            continue
    assert heard.exists()


def test_lines_of_a_supernode_become_events() -> None:
    stream = io.StringIO()
    start_logging(as_json=True, stream=stream)
    words = "print('\\x1b[92mINFO\\x1b[0m :  hello'); print(); print('x' * 9000)"
    with subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        thread = threading.Thread(target=_pass_lines, args=(process.stdout,))
        thread.start()
        thread.join()
    start_logging(as_json=False)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["supernode"] * 2
    assert lines[0]["text"] == "INFO :  hello"
    assert len(lines[1]["text"]) == 2000
