"""Kills over a SuperLink, SuperNodes and relays; and no data value in anything that is left.

Unique tokens stand as data values at the silos: categories that the schema does not list, and
persons' ids. After runs that were killed, that failed and that ended well, every file that any
process wrote is searched, and every page and answer that they gave.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from silosynth.common.cli.app import run
from silosynth.common.reach import free_port
from silosynth.server.federation import list_runs
from tests.processes.cells import Cell, NoteKills, Survived, survive
from tests.processes.federation import SILOS, wait_for
from tests.processes.lab import POOR, Lab
from tests.processes.reference import Reference
from tests.support.patience import patience
from tests.support.tables.canary import CANARY, TABLES, has_token, holds_token

COMMANDS = ("pending", "releases", "spent", "verify-ledger")


def _own(victim: str, label: str, *, witness: str = "", nth: int = 1) -> Cell:
    return Cell(victim=victim, label=label, witness=witness, nth=nth, method="independent")


def _sum(victim: str, label: str, *, witness: str = "", nth: int = 1) -> Cell:
    return Cell(
        victim=victim, label=label, witness=witness, nth=nth, method="independent", trust="shared"
    )


WAVES = (
    (
        _own("superlink", "propose:after-send", witness="coordinator"),
        _own("coordinator", "one-way:after-send"),
    ),
    (
        _own("gateway-west", "one-way:after-charge"),
        _own("relay-north", "one-way:after-charge", witness="gateway-north"),
    ),
    (
        _sum("superlink", "set:after-send", witness="coordinator"),
        _own("coordinator", "fit:sampler-written"),
    ),
    (
        _own("gateway-south", "one-way:after-store"),
        _own("coordinator", "deliver:after-send"),
    ),
    (
        _sum("superlink", "one-way:noised", witness="gateway-north"),
        _own("coordinator", "one-way:before-record", nth=2),
    ),
    (
        _sum("gateway-west", "set:before-send"),
        _own("supernode-south", "one-way:before-send", witness="gateway-south"),
    ),
    (
        _own("superlink", "deliver:after-send", witness="coordinator"),
        _own("gateway-north", "deliver:before-send"),
    ),
    (
        _sum("coordinator", "set:before-record", nth=2),
        _sum("relay-west", "keys:received", witness="gateway-west"),
    ),
)
"""Cells of one wave run at one time over one federation, each with a plan of its own."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start a SuperLink, gateways and relays, once."""
    with Lab(tmp_path_factory.mktemp("flower"), over_flower=True) as started:
        started.start()
        yield started


@pytest.mark.parametrize("number", range(len(WAVES)))
def test_whoever_is_killed_every_run_ends_in_its_sampler(
    number: int, lab: Lab, tmp_path: Path, note_kills: NoteKills
) -> None:
    twins = Reference(lab, tmp_path / "twins")
    try:
        note_kills(_survive_together(lab, WAVES[number], name=f"w{number}", reference=twins))
    finally:
        twins.close()


def _survive_together(
    lab: Lab, wave: Sequence[Cell], *, name: str, reference: Reference
) -> list[Survived]:
    """Run cells at one time; at the first broken promise stop the others."""
    with ThreadPoolExecutor(len(wave)) as pool:
        runs = [
            pool.submit(survive, lab, cell, name=f"{name}x{place}", reference=reference)
            for place, cell in enumerate(wave)
        ]
        done, others = wait(runs, return_when=FIRST_EXCEPTION)
        if others:
            for process in [p for n, p in lab.processes.items() if n.startswith("coordinator-")]:
                process.kill()
        return [run.result() for run in (*done, *others)]


def test_no_token_gets_out_of_a_federation_and_a_mutant_is_caught(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILOSYNTH_HOME", str(lab.home))
    assert "costs more than" in _fail(lab, "greedy", project=POOR)
    said = _pages(lab)
    _break_table(lab, "west")
    assert "the table could not be" in _fail(lab, "broken")
    said += [*_pages(lab), *_ask_operators(lab, capsys)]
    assert len([page for page in said if b"silosynth_" in page]) == 4 * len(SILOS) + 1
    assert holds_token(said, lab.directory) == []
    tables = sorted(f"{silo}/{name}" for silo in SILOS for name in TABLES)
    assert holds_token([], lab.directory, tables=()) == tables

    _break_table(lab, "west", mutant="quote-the-table")
    assert CANARY in _fail(lab, "mutant")
    places = holds_token([], lab.directory)
    assert "coordinator-mutant.out" in places
    assert any(place.startswith("superlink/") for place in places), places
    assert any(place.endswith("/outcome.json") for place in places), places


def _fail(lab: Lab, name: str, **fields: Any) -> str:
    """Run a plan that cannot end well; return why it did not."""
    lab.new_plan(name, method="independent", **fields)
    assert lab.start_run(name).wait(timeout=patience(60)) != 0
    return str(lab.outcome(name)["error"])


def _break_table(lab: Lab, silo: str, *, mutant: str | None = None) -> None:
    """Let a silo's table be none any more when it is first read."""
    lab.kill(f"gateway-{silo}")
    lab.write_table(silo)
    lab.start_gateway(silo, mutant=mutant)
    lab.table(silo).write_text(f"{CANARY},{CANARY}\n")


def _pages(lab: Lab) -> list[bytes]:
    """Return the metrics pages of gateways and relays."""
    ports = [*lab.relay_metrics.values(), *lab.gateway_metrics.values()]
    return [_page(port) for port in ports]


def _page(port: int) -> bytes:
    """Return a metrics page, or nothing when nobody serves it."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=patience(5)) as page:
            return bytes(page.read())
    except (URLError, ConnectionError):
        return b""


def _page_of_a_coordinator(lab: Lab) -> bytes:
    """Return the metrics page of a coordinator that is at work."""
    port, pages = free_port(), [b""]
    lab.new_plan("watched", method="independent")
    coordinator = lab.start_run("watched", options=[f"--metrics-port={port}"])

    def served() -> bool:
        pages.append(_page(port))
        return bool(pages[-1])

    wait_for("a page of the coordinator", served)
    coordinator.kill()
    coordinator.wait(timeout=patience(5))
    return pages[-1]


def _ask_operators(lab: Lab, capsys: pytest.CaptureFixture[str]) -> list[bytes]:
    """Ask one silo and the coordinator all that a person can ask."""
    policy = str(lab.policy("west"))
    for command in COMMANDS:
        assert run(["silo", command, "--policy", policy, "--json"]) == 0
    assert run(["silo", "export-audit", str(lab.directory / "audit"), "--policy", policy]) == 0
    assert run(["runs", "--json"]) == 0
    for files, _ in list_runs(lab.home):
        assert run(["status", files.id, "--json"]) == 0
        assert run(["logs", files.id]) == 0
    return [text.encode() for text in capsys.readouterr()] + [_page_of_a_coordinator(lab)]


def test_the_search_finds_a_token_however_it_is_spelled(tmp_path: Path) -> None:
    token = CANARY.encode()
    (tmp_path / "plain").write_bytes(b"x" + token)
    (tmp_path / "hex").write_text(token.hex())
    subprocess.run([sys.executable, "-m", "zipfile", "-c", "z.zip", "plain"], cwd=tmp_path)
    assert holds_token([b"", token], tmp_path) == ["answer 1", "hex", "plain", "z.zip"]
    assert not has_token(token[:-1])
