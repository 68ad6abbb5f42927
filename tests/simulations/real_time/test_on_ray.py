"""Ray places silos on the nodes of a cluster, and a scenario lives through over both of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from silosynth.common.errors import InvalidArgument
from silosynth.simulations.real_time.live import Live
from silosynth.simulations.real_time.on_ray import wired_on_ray
from silosynth.simulations.scenario import What
from silosynth.simulations.scenario.rehearse import rehearse
from silosynth.simulations.world import parse_scenario
from tests.support.tables.worlds import plan_of, schema, tables
from tests.support.two_nodes import two_nodes

# Ray warns of its own future, and drops the handles of its processes when it is shut down.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SILOS = ("north", "west")
CRASH = {"kind": "crash", "at": "count", "step": "after-charge", "silos": ["west"], "lasts": "1s"}
WORLD = {
    "name": "two-machines",
    "regions": {"eu": {"silos": ["north"]}, "us": {"silos": ["west"], "link": {"delay": "60ms"}}},
    "faults": [CRASH],
}


@pytest.mark.skipif(os.environ.get("WORLDS") != "all", reason="it takes minutes: make worlds")
def test_silos_on_two_nodes_of_a_cluster_are_one_federation(tmp_path: Path) -> None:
    told: list[str] = []
    with (
        two_nodes() as address,
        wired_on_ray(plan_of(SILOS), cluster=address, tell=told.append) as wire,
    ):
        came = rehearse(
            plan_of(SILOS),
            schema=schema(),
            tables=tables(),
            scenario=parse_scenario(WORLD, origin="test"),
            directory=tmp_path / "run",
            lives=Live(wire=wire),
        )
    assert (came.error, came.broken) == (None, ())
    assert came.timeline.counts["west"][What.CRASH] == 1
    assert [line.split(" is on ")[0] for line in told] == ["silo north", "silo west"]
    assert len({line.rpartition(" ")[2] for line in told}) == 2


def test_an_address_where_no_cluster_is_is_refused_in_one_line() -> None:
    with (
        pytest.raises(InvalidArgument, match="no Ray cluster answers at nowhere"),
        wired_on_ray(plan_of(SILOS), cluster="nowhere"),
    ):
        raise AssertionError("there is no cluster")
