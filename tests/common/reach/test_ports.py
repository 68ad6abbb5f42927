"""A port for a server that starts later is none that a connection can be given in between."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from silosynth.common.reach import free_port, ports


def test_a_port_lies_where_no_connection_is_given_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "range"
    path.write_text("20100\t60999\n")
    monkeypatch.setattr(ports, "_RANGE", path)
    found = {free_port() for _ in range(60)}
    assert len(found) > 20
    assert all(20_000 <= port < 20_100 for port in found)


def test_what_somebody_listens_on_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "range"
    monkeypatch.setattr(ports, "_RANGE", path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
        server.listen()
        taken = server.getsockname()[1]
        monkeypatch.setattr(ports, "_LOWEST", taken)
        path.write_text(f"{taken + 1}\t60999\n")
        assert free_port() != taken


@pytest.mark.parametrize("said", ["1024\t65535\n", "", None])
def test_any_free_port_does_where_connections_may_have_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    path = tmp_path / "range"
    if said is not None:
        path.write_text(said)
    monkeypatch.setattr(ports, "_RANGE", path)
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))
