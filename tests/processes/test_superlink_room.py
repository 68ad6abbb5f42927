"""What runs leave at a real SuperLink goes when it is asked for, and its file can be made small."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidArgument
from silosynth.common.messages import RECORD
from silosynth.server.federation import admit_nodes, compact, list_nodes
from silosynth.server.federation.superlink import open_grid
from tests.processes.federation import NAME, SILOS, Federation

LETTER_BYTES = 3_000_000
TABLES = ("message_ins", "message_res", "objects", "run_objects")


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Start a SuperLink of which the silos are away."""
    with tempfile.TemporaryDirectory(prefix="room-") as name, Federation(Path(name)) as made:
        made.start_superlink()
        made.admit()
        yield made


def _database(federation: Federation) -> Path:
    return federation.directory / "superlink" / "state.db"


def _count(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        return {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in TABLES}


def _leave_letters(federation: Federation) -> None:
    """Begin a run, send large letters to silos that are away, and end it before they are read."""
    keys = {s: federation.certs.silo(s) / "supernode.pub" for s in SILOS}
    nodes = admit_nodes(federation.connection, keys)
    with closing(sqlite3.connect(_database(federation))) as connection, connection:
        connection.execute("UPDATE node SET status = 'offline'")  # as after a first connection
    with open_grid(federation.connection, lock=federation.directory / "begin.lock") as grid:
        fields: dict[str, Any] = {"plan": bytes(LETTER_BYTES)}
        grid.push_messages(
            Message(
                content=RecordDict({RECORD: ConfigRecord(fields)}),
                dst_node_id=node,
                message_type="query.answer",
            )
            for node in nodes.values()
        )


def test_a_superlink_keeps_no_message_of_a_run_that_ended_and_its_file_shrinks(
    federation: Federation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _database(federation)
    monkeypatch.setenv("SILOSYNTH_HOME", str(federation.home))
    _leave_letters(federation)
    assert _count(path)["objects"] > 0, "Flower drops them with a run's end now: say so on the page"
    prune = ["prune", "--older", "90d", "--json"]
    assert run([*prune, "--federation", NAME]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["superlink_runs"] == 1
    assert _count(path) == dict.fromkeys(TABLES, 0)
    with pytest.raises(InvalidArgument, match=r"has .* open"):
        compact(path)
    known = list_nodes(federation.connection)
    federation.stop("superlink")
    assert run([*prune, "--superlink-database", str(path)]) == 0
    before, after = json.loads(capsys.readouterr().out)["data"]["database_bytes"]
    assert before > 2 * LETTER_BYTES > 1_000_000 > after
    federation.start_superlink()
    assert list_nodes(federation.connection) == known
    assert set(known) == set(SILOS)


def test_what_is_no_superlinks_database_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE entries (x)")
    text = tmp_path / "text.db"
    text.write_text("no database at all, and long enough to be taken for one" * 10)
    for path in (other, text, tmp_path / "none.db"):
        held = path.read_bytes() if path.exists() else b""
        with pytest.raises(InvalidArgument, match=r"no SuperLink's database|is no file"):
            compact(path)
        assert (path.read_bytes() if path.exists() else b"") == held
    shutil.rmtree(tmp_path)
