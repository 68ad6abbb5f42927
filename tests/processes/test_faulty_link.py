"""Whatever becomes of a request to Flower, every run ends in its sampler within 60 s of the fault.

A proxy stands before the SuperLink, and before the ports over which relays speak to their
SuperNodes. In a round each kind of request of each API is spoilt once, each in another way, while
two runs go on together; ``make faults`` goes on until each kind has met every fault.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from silosynth.common.plan import Plan
from silosynth.common.reach import free_port
from tests.processes.cells import MOST_SECONDS
from tests.processes.faulty_link import Fault, FaultyLink
from tests.processes.federation import SILOS
from tests.processes.hurried import CALL_SECONDS, NODE_PROXY
from tests.processes.lab import Lab
from tests.processes.promises import Silos, check_run
from tests.processes.reference import Reference

MOST_LIMIT_SECONDS = 20.0
"""What the product waits; a machine that is quick waits less here."""
QUIET_SECONDS = 2.0
"""How long a quiet machine takes to import a SuperNode; a slower one has as much more time."""
STALL_LIMITS = 3
"""Nobody waits past one limit, so a stall of three is as long as one of ten minutes."""
MESSAGES = ("pull-messages", "pull-object", "confirm-message-received", "push-messages")
TASK = ("acquire-task", "pull-task-input", "push-task-output", "send-task-heartbeat")
KINDS = (
    *(f"control/{name}" for name in ("start-run", "stop-run", "list-nodes")),
    *(f"runtime/{name}" for name in (*TASK, "get-nodes", *MESSAGES, "push-object")),
    *(f"fleet/{name}" for name in ("get-run", "get-fab", *MESSAGES, "push-object")),
    *(f"fleet/{name}" for name in ("activate-node", "deactivate-node", "send-node-heartbeat")),
    *(f"node/{name}" for name in (*TASK, *MESSAGES, "push-object")),
)
FAULTS = tuple(Fault)
NOT_IN_EVERY_ROUND = ("control/stop-run", "control/list-nodes", "fleet/deactivate-node")
"""A stale run or node is needed for the one, an operator for the other."""
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
"""Set by ``make faults``; none is among all tests, as all of them take half an hour."""
RUNS = (("independent", "own"), ("independent", "shared"))


def _import_seconds() -> float:
    """Measure this machine: how long a SuperNode takes until it can begin, about 2 s when quiet."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import flwr.supernode.cli"], check=True)
    return time.monotonic() - begun


def _most_seconds(unit: float) -> float:
    """Return what a run may take after the last fault, on a machine that takes so long to begin."""
    return MOST_SECONDS * max(1.0, unit / QUIET_SECONDS)


class FaultyLab(Lab):
    """A laboratory whose SuperLink and SuperNodes are reached over a proxy."""

    def __init__(self, directory: Path) -> None:
        self.back, self.nodes = free_port(), free_port()
        unit = _import_seconds()
        self.limit_seconds = min(MOST_LIMIT_SECONDS, 2.5 * unit)
        self.most_seconds = _most_seconds(unit)
        super().__init__(directory, over_flower=True)
        self.link = FaultyLink(
            front=self.port,
            back=self.back,
            nodes=self.nodes,
            certs=self.certs,
            stall_seconds=STALL_LIMITS * self.limit_seconds,
        )

    def environment(self) -> dict[str, str]:
        """Let every process know the limit and the proxy."""
        more = {CALL_SECONDS: str(self.limit_seconds), NODE_PROXY: str(self.nodes)}
        return super().environment() | more

    def allows(self, late: float) -> bool:
        """Say whether a run may take so long; a machine that got slower is measured again."""
        if late > self.most_seconds:
            self.most_seconds = max(self.most_seconds, _most_seconds(_import_seconds()))
        return late <= self.most_seconds

    def start_superlink(self) -> None:
        """Start the SuperLink behind the proxy."""
        front, self.port = self.port, self.back
        super().start_superlink()
        self.port = front


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyLab]:
    """Start a federation behind a proxy, once."""
    with FaultyLab(tmp_path_factory.mktemp("faulty")) as started, started.link:
        started.start()
        yield started


@pytest.mark.parametrize("place", range(ROUNDS))
def test_whatever_request_is_spoilt_every_run_ends_in_its_sampler(
    place: int, lab: FaultyLab, tmp_path: Path, record_property: Any
) -> None:
    number = place * len(FAULTS) // ROUNDS
    twins = Reference(lab, tmp_path / "twins")
    try:
        seconds, spoilt = _survive(lab, twins, number=number)
    finally:
        twins.close()
    record_property("kill", [seconds, f"{seconds:6.1f} s after {spoilt} faults, round {number}"])


def _survive(lab: FaultyLab, twins: Reference, *, number: int) -> tuple[float, int]:
    """Go through one round; return the longest time from the last fault to an end."""
    plans = {
        f"f{number}x{i}": lab.new_plan(f"f{number}x{i}", method=method, trust=trust)
        for i, (method, trust) in enumerate(RUNS)
    }
    before, known = Silos.of(lab), len(lab.link.spoilt)
    for i, kind in enumerate(KINDS):
        lab.link.arm(kind, FAULTS[(i + number) % len(FAULTS)])
    for silo in SILOS[:1]:
        os.kill(lab.supernode_pid(silo), 9)
    for name in plans:
        lab.start_run(name)
    seconds = _end(lab, list(plans))
    left, spoilt = lab.link.disarm(), lab.link.spoilt[known:]
    assert set(left) <= set(NOT_IN_EVERY_ROUND), f"no request came of {left}"
    for name, plan in plans.items():
        _check(lab, name, plan, before=before, expected=twins.sampler(plan))
    return seconds, len(spoilt)


def _end(lab: FaultyLab, names: Sequence[str]) -> float:
    """Wait for the runs' ends; return how long after the last fault the last one came.

    One that a fault ended by its name, as a refusal at its begin does, is resumed as it says.
    """
    going = list(names)
    while going:
        late = max(0.0, time.time() - lab.link.over)
        assert lab.allows(late), f"{going}: no end {late:.0f} s after the last fault"
        for name in list(going):
            code = lab.processes[f"coordinator-{name}"].poll()
            if code == 0:
                going.remove(name)
            elif code is not None:
                assert lab.outcome(name)["error"]["code"] == "connection-failed", lab.outcome(name)
                # A run that the SuperLink never took is not kept: it is begun anew.
                begun = list((lab.home / "runs").glob(f"{name}-*-*-*/run.json"))
                lab.start_run(name, resume=begun[0].parent.name if begun else None)
        time.sleep(0.05)
    return late


def _check(lab: FaultyLab, name: str, plan: Plan, *, before: Silos, expected: bytes) -> None:
    """Check a run's sampler and every promise to the silos."""
    outcome = lab.outcome(name)
    check_run(lab, plan, outcome["data"], before=before, expected=expected)
