"""No data value is in anything that a whole federation leaves behind, whatever goes wrong.

Unique tokens stand as data values at three silos: categories that the schema does not list, and
persons' ids. A SuperLink, relays, gateways and a coordinator, all real processes, go through runs
that end well, that fail and that are killed; then every file that any of them wrote is searched,
and every page and answer that they gave.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from canary import CANARY, has_token, holds_token
from federation import COMMAND, HERE, NAME, SILOS, Federation, federation_plan, free_port, wait_for

from silosynth.common.cli import run
from silosynth.server.runs import list_runs

METHODS = {"method": "independent", "epsilon": 2.0}
COMMANDS = ("pending", "releases", "spent", "verify-ledger")


@dataclass(kw_only=True)
class Watched:
    """A federation whose tables hold tokens, and all that its processes told anybody."""

    federation: Federation
    said: list[bytes] = field(default_factory=list)
    gateway_ports: Mapping[str, int]
    coordinator_port: int = field(default_factory=free_port)

    def run_plan(self, name: str, **changes: Any) -> dict[str, Any]:
        """Run a new plan to its end, and look at every metrics page on the way."""
        self.begin(name, **changes)
        return self.end()

    def begin(self, name: str, **changes: Any) -> None:
        """Start the coordinator on a new plan."""
        federation = self.federation
        plan = federation_plan(federation.certs, plan_id=name, **(METHODS | changes))
        federation.write_plan(plan)
        words = [str(federation.directory / "plan.yaml"), f"--federation={NAME}"]
        self._coordinate(*words, f"--schema={federation.directory / 'schema.yaml'}")

    def resume(self) -> dict[str, Any]:
        """Go on with the newest run."""
        self._coordinate(f"--resume={list_runs(self.federation.home)[-1][0].id}")
        return self.end()

    def end(self) -> dict[str, Any]:
        """Wait for the coordinator; keep its answer, which is overwritten by the next."""
        process = self.federation.processes["coordinator"]
        wait_for("a page of the coordinator", lambda: self._scrape() or process.poll() is not None)
        done = self.federation.wait_coordinator(process)
        self._scrape()
        self.said.append((self.federation.directory / "coordinator.out").read_bytes())
        return done

    def ask_operators(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Ask one silo and the coordinator all that a person can ask."""
        policy = str(self.federation.policy("west"))
        for command in COMMANDS:
            assert run(["silo", command, "--policy", policy, "--json"]) == 0
        audit = str(self.federation.directory / "west.audit")
        assert run(["silo", "export-audit", audit, "--policy", policy]) == 0
        assert run(["runs", "--json"]) == 0
        for files, _ in list_runs(self.federation.home):
            assert run(["status", files.id, "--json"]) == 0
            assert run(["logs", files.id]) == 0
        self.said.extend(text.encode() for text in capsys.readouterr())

    def _coordinate(self, *words: str) -> None:
        port = f"--metrics-port={self.coordinator_port}"
        self.federation.spawn("coordinator", [*COMMAND, "run", *words, port, "--json"])

    def _scrape(self) -> bool:
        """Keep every metrics page that is there; say whether the coordinator's was."""
        ports = [*self.federation.relay_metrics.values(), *self.gateway_ports.values()]
        self.said.extend(filter(None, map(_page, ports)))
        page = _page(self.coordinator_port)
        self.said.append(page)
        return bool(page)


def _page(port: int) -> bytes:
    """Return a metrics page, or nothing when nobody serves it."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            return bytes(page.read())
    except (URLError, ConnectionError):
        return b""


def _tokens(silo: str, rows: int = 400) -> pa.Table:
    """Return a table in which every fourth region and every person is a token."""
    random = np.random.default_rng(SILOS.index(silo))
    age = random.integers(0, 100, rows)
    region = np.where(np.arange(rows) % 4 == 0, f"{CANARY}-region", silo[0])
    who = [f"{CANARY}-{silo}-{i // 2}" for i in range(rows)]
    return pa.table({"age": age, "region": region, "ill": age > 60, "who": who})


def _table(federation: Federation, silo: str) -> Path:
    return federation.directory / silo / "table.parquet"


def _fill(federation: Federation, ports: Mapping[str, int]) -> None:
    """Put tokens into the tables, little into the budgets, and metrics into the policies."""
    for silo in SILOS:
        pq.write_table(_tokens(silo), _table(federation, silo))
        federation.relay_metrics[silo] = free_port()
        text = federation.policy(silo).read_text()
        text = text.replace("[[datasets]]", '[[datasets]]\nperson_column = "who"', 1)
        text = text.replace("epsilon = 20.0", "epsilon = 7.0")
        text += f'[metrics]\nport = {ports[silo]}\n[logs]\nlevel = "debug"\n'
        federation.policy(silo).write_text(text)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Start a federation, with every temporary file under its own directory."""
    with tempfile.TemporaryDirectory(prefix="canary-") as name:
        directory = Path(name)
        temporary = directory / "tmp"
        temporary.mkdir()
        temporary.chmod(0o777)
        monkeypatch.setenv("TMPDIR", str(temporary))
        with Federation(directory) as federation:
            monkeypatch.setenv("SILOSYNTH_HOME", str(federation.home))
            ports = {silo: free_port() for silo in SILOS}
            _fill(federation, ports)
            federation.start()
            yield Watched(federation=federation, gateway_ports=ports)


def _end_well(watched: Watched) -> None:
    """Run a plan of three phases to its end, and see the result at every silo."""
    done = watched.run_plan("well", method="mst")
    assert done["exit_code"] == 0, watched.federation.log("coordinator")
    assert done["data"]["unacknowledged"] == {}
    kept = list(watched.federation.directory.glob("*/state/results/*/result.bundle"))
    assert len(kept) == len(SILOS)


def _be_killed(watched: Watched) -> None:
    """Kill a gateway, a relay and the coordinator in the middle of a run; go on, and end well."""
    federation = watched.federation
    watched.begin("killed")
    runs = federation.home / "runs"
    wait_for("an approval", lambda: any(runs.glob("killed-*/answers/*")))
    for name in ("gateway-north", "relay-south", "coordinator"):
        federation.kill(name)
    federation.start_gateway("north")
    federation.start_relay("south")
    federation.wait_online(SILOS)
    assert watched.resume()["exit_code"] == 0, federation.log("coordinator")


def _have_no_budget(watched: Watched) -> None:
    done = watched.run_plan("greedy", epsilon=8.0)
    assert done["exit_code"] != 0
    assert "costs more than" in str(done["error"]), done


def _have_a_broken_table(watched: Watched, name: str, *, main: str = "gateway_main.py") -> None:
    """Run a plan where west's table is not one any more when it is first read."""
    federation, table = watched.federation, _table(watched.federation, "west")
    federation.stop("gateway-west")
    pq.write_table(_tokens("west"), table)
    _start_gateway(federation, "west", main=main)
    table.write_text(f"{CANARY},{CANARY}\n")
    done = watched.run_plan(name)
    assert done["exit_code"] != 0
    assert "the table could not be" in str(done["error"]), done


def _start_gateway(federation: Federation, silo: str, *, main: str) -> None:
    """Start a gateway, sound or with a fault; it has read nothing when this returns."""
    federation.gateway_socket(silo).unlink(missing_ok=True)
    command = [sys.executable, str(HERE / main), str(federation.policy(silo))]
    words = [f"--seed={SILOS.index(silo)}", f"--plan={federation.directory / 'plan.yaml'}"]
    federation.spawn(f"gateway-{silo}", [*command, *words])
    wait_for(f"the gateway of {silo}", federation.gateway_socket(silo).is_socket)


def test_no_token_gets_out_of_a_federation_and_a_mutant_is_caught(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    federation = watched.federation
    _end_well(watched)
    _be_killed(watched)
    _have_no_budget(watched)
    _have_a_broken_table(watched, "broken")
    watched.ask_operators(capsys)
    assert len([page for page in watched.said if b"silosynth_" in page]) > len(SILOS)
    assert holds_token(watched.said, federation.directory) == []
    assert holds_token([], federation.directory, tables=()) == [
        f"{silo}/table.parquet" for silo in SILOS
    ]

    _have_a_broken_table(watched, "mutant", main="gateway_mutant.py")
    places = holds_token([], federation.directory)
    assert "coordinator.out" in places
    assert any(place.startswith("superlink/") for place in places), places
    assert any(place.endswith("/outcome.json") for place in places), places


def test_the_search_finds_a_token_however_it_is_spelled(tmp_path: Path) -> None:
    token = CANARY.encode()
    (tmp_path / "plain").write_bytes(b"x" + token)
    (tmp_path / "hex").write_text(token.hex())
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "z.zip", "plain"], cwd=tmp_path)
    assert holds_token([b"", token], tmp_path) == ["answer 1", "hex", "plain", "z.zip"]
    assert not has_token(token[:-1])
