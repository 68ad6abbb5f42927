"""Shared noise over real processes: the same sampler as in one process, whoever is killed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from federation import SILOS, Federation, federation_plan, wait_for
from one_process import sample_in_one_process

from silosynth.client.ledger import Charge, Ledger
from silosynth.client.policy_file import load_policy
from silosynth.common.sampler_file import load_sampler

PHASES = ("one-way", "coarse", "tree")
STEPS = 3
"""A gateway is proposed a plan, and asked for keys and for a vote, before it is measured."""
KILLS = (
    "received#2",
    "verified#2",
    "before-send#2",
    "received#3",
    "before-send#3",
    "received#4",
    "before-charge",
    "after-charge",
    "counted",
    "noised",
    "before-store",
    "after-store",
    "before-send#4",
)


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    """Start a federation once, for all tests of this file."""
    with (
        tempfile.TemporaryDirectory(prefix="shared-") as directory,
        Federation(Path(directory), trust="shared", epsilon=0.5) as started,
    ):
        started.start()
        yield started


def _charges(federation: Federation, silo: str) -> list[Charge]:
    """Return the charges of the current plan; the gateway is stopped meanwhile."""
    federation.stop(f"gateway-{silo}")
    policy = load_policy(federation.policy(silo))
    with Ledger.open(federation.ledger(silo), caps=policy.scope_caps()) as ledger:
        digest = federation.plan.digest.removeprefix("sha256:")[:32]
        charges = [c for c in ledger.charges() if c.request_id.startswith(digest)]
    federation.start_gateway(silo)
    return charges


def test_a_shared_run_over_processes_ends_in_the_sampler_of_the_one_process_driver(
    federation: Federation, tmp_path: Path
) -> None:
    twin = Federation.__new__(Federation)
    twin.__dict__.update(federation.__dict__)
    twin.directory = tmp_path
    for silo in SILOS:
        skip = shutil.ignore_patterns("state")
        shutil.copytree(federation.directory / silo, tmp_path / silo, ignore=skip)
        (tmp_path / silo / "state").mkdir(mode=0o700)
        Ledger.create(twin.ledger(silo))
    done = federation.run()
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert done["data"]["unacknowledged"] == {}
    sampler = Path(done["data"]["sampler"]).read_bytes()
    (tmp_path / "run").mkdir()
    seeds = {silo: i for i, silo in enumerate(SILOS)}
    alone = sample_in_one_process(twin, tmp_path / "run", plan=federation.plan, seeds=seeds)
    assert sampler == alone
    for silo in SILOS:
        for charge in _charges(federation, silo):
            assert charge.facts["alone_units"] == pytest.approx(3 * charge.cost_units, rel=1e-6)
            assert charge.facts["session"] == 1


@pytest.mark.parametrize("point", KILLS)
def test_a_gateway_killed_at_any_point_loses_nothing_and_spends_nothing_twice(
    federation: Federation, point: str
) -> None:
    name = f"kill-{point.replace('#', '-')}"
    plan = federation_plan(federation.certs, plan_id=name, trust="shared", epsilon=0.5)
    federation.write_plan(plan)
    federation.plan = plan
    federation.stop("gateway-north")
    federation.start_gateway("north", kill_at=point)
    gateway = federation.processes["gateway-north"]
    coordinator = federation.start_coordinator()
    wait_for(f"the kill at {point}", lambda: gateway.poll() is not None, seconds=90)
    assert gateway.returncode == -9
    federation.start_gateway("north")
    done = federation.wait_coordinator(coordinator)
    assert done["exit_code"] == 0, federation.log("coordinator")
    assert load_sampler(Path(done["data"]["sampler"])).total > 0
    charges = _charges(federation, "north")
    assert [c.facts["phase"] for c in charges] == list(PHASES)
