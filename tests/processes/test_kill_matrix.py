"""Kill -9 of every process at named points of every phase: nothing is lost, nothing spent twice.

The cells of gateways and coordinators run over the gateways' sockets, with the relay's app inside
the coordinator's process; those of ``FLOWER`` run over a SuperLink, SuperNodes and relays as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from cells import Cell, Survived, matrix_of_coordinators, matrix_of_gateways, survive
from lab import Lab
from promises import Silos, check_run
from reference import Reference
from trap import Trap

from silosynth.common.errors import SiloAbsent

PHASES = ("one-way", "coarse", "tree")
GATEWAYS = matrix_of_gateways(PHASES)
COORDINATORS = matrix_of_coordinators(PHASES)


def _flower(victim: str, label: str, *, witness: str = "", nth: int = 1) -> Cell:
    return Cell(victim=victim, label=label, witness=witness, nth=nth, method="independent")


FLOWER = (
    (
        _flower("superlink", "propose:after-send", witness="coordinator"),
        _flower("coordinator", "one-way:after-send"),
        _flower("gateway-west", "one-way:after-charge"),
        _flower("coordinator", "deliver:after-send"),
    ),
    (
        _flower("superlink", "one-way:noised", witness="gateway-north"),
        _flower("coordinator", "fit:sampler-written"),
        _flower("gateway-south", "one-way:after-store"),
        _flower("coordinator", "one-way:before-record", nth=2),
    ),
    (
        _flower("superlink", "deliver:after-send", witness="coordinator"),
        _flower("gateway-north", "deliver:before-send"),
        _flower("coordinator", "propose:after-record", nth=3),
    ),
    (
        _flower("relay-north", "one-way:after-charge", witness="gateway-north"),
        _flower("supernode-south", "one-way:before-send", witness="gateway-south"),
        _flower("relay-west", "one-way:received", witness="gateway-west"),
    ),
)
"""Waves of cells that run at one time over one federation, each with a plan of its own."""


@pytest.fixture(scope="module")
def table(pytestconfig: pytest.Config) -> Iterator[list[Survived]]:
    """Collect what survived, and print how long each took."""
    rows: list[Survived] = []
    yield rows
    worst = max((s.seconds for s in rows), default=0.0)
    capture = pytestconfig.pluginmanager.get_plugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        print("", *rows, sep="\n")
        print(f"{len(rows)} cells; from kill to the run's end at most {worst:.1f} s")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start three gateways, once."""
    with Lab(tmp_path_factory.mktemp("kills")) as started:
        started.start()
        yield started


@pytest.fixture(scope="module")
def reference(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Open the twins of the laboratory's silos, once."""
    twins = Reference(lab, tmp_path_factory.mktemp("twins"))
    yield twins
    twins.close()


@pytest.mark.parametrize("place", range(len(GATEWAYS)), ids=[str(c) for c in GATEWAYS])
def test_a_gateway_that_is_killed_changes_nothing(
    place: int, lab: Lab, reference: Reference, table: list[Survived]
) -> None:
    table.append(survive(lab, GATEWAYS[place], name=f"g{place}", reference=reference))


@pytest.mark.parametrize("place", range(len(COORDINATORS)), ids=[str(c) for c in COORDINATORS])
def test_a_coordinator_that_is_killed_is_resumed_to_the_same_end(
    place: int, lab: Lab, reference: Reference, table: list[Survived]
) -> None:
    table.append(survive(lab, COORDINATORS[place], name=f"c{place}", reference=reference))


def test_a_silo_that_stays_dead_is_named_and_the_run_resumes_once_it_is_back(
    lab: Lab, reference: Reference
) -> None:
    before = Silos.of(lab)
    plan = lab.new_plan("absent", method="independent", deadline_seconds=2)
    trap = Trap(witness="gateway-west", label="one-way:noised", plan_digest=plan.digest)
    trap.set(lab.directory / "traps", name="absent")
    assert lab.start_run("absent").wait(timeout=60) == SiloAbsent.exit_code
    error = lab.outcome("absent")["error"]
    assert error["code"] == SiloAbsent.code
    assert "west" in error["message"]
    lab.start_gateway("west")
    resumed = lab.start_run("absent", resume=lab.run_directory("absent").name)
    assert resumed.wait(timeout=60) == 0
    done = lab.outcome("absent")["data"]
    check_run(lab, plan, done, before=before, expected=reference)


def test_whoever_is_killed_in_a_flower_federation_every_run_ends_in_its_sampler(
    tmp_path: Path, table: list[Survived]
) -> None:
    with Lab(tmp_path / "lab", over_flower=True) as lab:
        lab.start()
        twins = Reference(lab, tmp_path / "twins")
        try:
            for number, wave in enumerate(FLOWER):
                table += _survive_together(lab, wave, name=f"w{number}", reference=twins)
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
