"""A sweep on a Ray cluster of two nodes has the runs that this process would make."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from silosynth.common.errors import InvalidArgument
from silosynth.simulations.sweep.axes import parse_axes
from silosynth.simulations.sweep.on_ray import run_on_ray
from silosynth.simulations.sweep.point import Base, run_point
from silosynth.simulations.sweep.sweep import SweepFiles, sweep
from tests.support.patience import patience
from tests.support.tables.worlds import plan, schema, tables
from tests.support.two_nodes import two_nodes

# Ray warns of its own future, and drops the handles of its processes when it is shut down.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Give the address of a cluster of two nodes."""
    with two_nodes() as address:
        yield address


def base(*asked: str) -> Base:
    axes = parse_axes(asked, columns=("age",))
    return Base(plan=plan(), schema=schema(), tables=tables(), scenario=None, axes=axes)


def test_a_cluster_of_two_nodes_runs_a_sweep_and_goes_on_with_it(
    cluster: str, tmp_path: Path
) -> None:
    asked, seen = base("absent=0,1,4"), []
    facts = sweep(
        asked,
        repeats=1,
        directory=tmp_path / "s",
        cluster=cluster,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [run["ended"] for run in facts["runs"]] == ["completed", "completed", "invalid-argument"]
    assert [run["took_part"] for run in facts["runs"][:2]] == [4, 3]
    assert all(run["invariants_held"] for run in facts["runs"][:2])
    before = SweepFiles(path=tmp_path / "s").facts.read_bytes()
    sweep(asked, repeats=1, directory=tmp_path / "s", cluster=cluster)
    assert SweepFiles(path=tmp_path / "s").facts.read_bytes() == before


@pytest.mark.parametrize("address", ["nowhere", "nowhere.invalid:1", "127.0.0.1:1", "x:99999999"])
def test_an_address_where_no_cluster_is_is_refused_in_one_line(address: str) -> None:
    begun = time.monotonic()
    with pytest.raises(InvalidArgument, match=f"no Ray cluster answers at {address}") as refused:
        next(run_on_ray(run_point, base("absent=0"), [({}, 0)], cluster=address))
    assert time.monotonic() - begun < patience(15)
    assert "\n" not in refused.value.message
