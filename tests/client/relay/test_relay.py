"""The relay passes sealed bytes on and says nothing of its own."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from silosynth.client.relay.messages import make_sealed_relay, socket_of
from silosynth.client.relay.relay import RelaySettings, supernode_words
from silosynth.client.rpc import RemoteGateway
from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.messages import RECORD
from silosynth.common.telemetry.telemetry import Role, Telemetry


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say which run messages belong to, as Flower's process does."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)


class FakeGateway:
    """Answers with what it was given."""

    def identify(self, challenge: bytes) -> bytes:
        return b"identity of " + challenge

    def propose(self, *, plan: bytes, receipts: Sequence[bytes]) -> bytes:
        return b"verdict on " + plan + b",".join(receipts)

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        return b"release for " + plan + request

    def deliver(self, bundle: bytes) -> bytes:
        return b"acknowledged " + bundle


class AbsentGateway(FakeGateway):
    """Cannot be reached; its error says what nobody else should read."""

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        raise ConnectionFailed("zebra-7731 is at /secret/path")


def _context() -> Context:
    return Context(
        run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={}, series_id=1
    )


def _ask(gateway: Any, kind: str, fields: dict[str, Any], telemetry: Telemetry) -> dict[str, Any]:
    app = make_sealed_relay(lambda _: gateway, telemetry=telemetry)
    content = RecordDict({RECORD: ConfigRecord(fields)})
    message = Message(content=content, dst_node_id=2, message_type=f"query.{kind}")
    message.metadata.__dict__["_message_id"] = "1"
    return dict(app(message=message, context=_context()).content.config_records[RECORD])


@pytest.mark.parametrize(
    ("kind", "fields", "answer"),
    [
        ("identify", {"challenge": b"c"}, {"identity": b"identity of c"}),
        ("propose", {"plan": b"p", "receipts": [b"1", b"2"]}, {"verdict": b"verdict on p1,2"}),
        ("propose", {"plan": b"p", "receipts": []}, {"verdict": b"verdict on p"}),
        ("measure", {"plan": b"p", "request": b"r"}, {"release": b"release for pr"}),
        ("deliver", {"bundle": b"b"}, {"acknowledgement": b"acknowledged b"}),
        ("measure", {}, {"release": b"release for "}),
        ("identify", {"challenge": "text"}, {"identity": b"identity of "}),
    ],
)
def test_bytes_are_passed_on_as_they_are(
    kind: str, fields: dict[str, Any], answer: dict[str, Any]
) -> None:
    telemetry = Telemetry(role=Role.RELAY)
    assert _ask(FakeGateway(), kind, fields, telemetry) == answer
    assert f'kind="{kind}",role="relay"}} 1.0'.encode() in telemetry.text()


def test_a_gateway_that_is_away_is_told_in_fixed_words() -> None:
    telemetry = Telemetry(role=Role.RELAY)
    fields = {"plan": b"p", "request": b"r"}
    assert _ask(AbsentGateway(), "measure", fields, telemetry) == {
        "unreachable": "connection-failed"
    }
    assert b"zebra" not in telemetry.text()


def test_a_message_of_another_kind_is_not_passed_on() -> None:
    with pytest.raises(ValueError, match="rows"):
        _ask(FakeGateway(), "rows", {}, Telemetry(role=Role.RELAY))


def test_a_node_config_without_a_gateway_is_named() -> None:
    with pytest.raises(ConnectionFailed, match="names no gateway"):
        socket_of(_context())


def test_a_socket_that_stays_away_is_named_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "gateway.sock"
    with (
        RemoteGateway(path, restart_seconds=0.5) as gateway,
        pytest.raises(ConnectionFailed, match=str(path)),
    ):
        gateway.identify(b"c")


def test_the_supernode_hands_its_tasks_out_and_runs_none(tmp_path: Path) -> None:
    key = tmp_path / "supernode.pem"
    key.write_text("key")
    settings = RelaySettings(
        superlink="host:9092", silo="north", gateway=tmp_path / "g.sock", key=key
    )
    words = supernode_words(settings, port=1234, secret_file=tmp_path / "secret")
    pairs = list(pairwise(words))
    assert ("--isolation", "process") in pairs
    assert ("--host", "127.0.0.1") in pairs
    assert "--insecure" not in words
    with pytest.raises(InvalidArgument, match="is no file"):
        RelaySettings(superlink="h:1", silo="a", gateway=tmp_path, key=tmp_path / "none")
