"""What a SuperNode's session remembers, and what it does where nobody answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from silosynth.client.relay.superlink_session import open_session
from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.server.federation import make_certs

NOWHERE = "127.0.0.1:9"


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a SuperNode's key, and give Flower a home."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "flwr"))
    certs = make_certs(tmp_path / "certs", silos=("north",), hosts=("localhost",))
    return certs.silo("north") / "supernode.pem"


def test_a_superlink_that_is_away_is_left_to_the_supernode(
    key: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_session(superlink=NOWHERE, key=key, ca=None) as session:
        assert not session.end_stale()


def test_a_second_relay_with_the_same_key_does_not_cut_the_first_off(key: Path) -> None:
    with (
        open_session(superlink=NOWHERE, key=key, ca=None),
        pytest.raises(ConnectionFailed, match=f"another relay runs with the key {key}"),
        open_session(superlink=NOWHERE, key=key, ca=None),
    ):
        pass
    with open_session(superlink=NOWHERE, key=key, ca=None):
        pass


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_named(key: Path, text: str) -> None:
    key.write_text(text)
    with (
        pytest.raises(InvalidArgument, match=f"{key} is no private key of a SuperNode"),
        open_session(superlink=NOWHERE, key=key, ca=None),
    ):
        pass


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "[]",
        json.dumps({"version": 2, "superlink": NOWHERE, "node": "7"}),
        json.dumps({"version": 1, "superlink": "elsewhere:1", "node": "7"}),
        json.dumps({"version": 1, "superlink": NOWHERE, "node": "seven"}),
    ],
)
def test_a_record_of_another_version_place_or_shape_is_not_believed(key: Path, kept: str) -> None:
    with open_session(superlink=NOWHERE, key=key, ca=None) as session:
        session.record.write_text(json.dumps({"version": 1, "superlink": NOWHERE, "node": "7"}))
        assert session.known_node() == 7
        session.record.write_text(kept)
        assert session.known_node() is None


def test_a_home_that_cannot_be_written_costs_no_more_than_the_memory(
    key: Path, tmp_path: Path
) -> None:
    (tmp_path / "flwr").write_text("a file in the place of the folder")
    with open_session(superlink=NOWHERE, key=key, ca=None) as session:
        assert session.known_node() is None
        assert not session.end_stale()
