"""A scenario reads rows as a deployment does: by maps, without what a silo lacks, by person."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from silosynth.client.maps.silo_map import parse_map
from silosynth.simulations.scenario import RowsOf
from silosynth.simulations.scenario.outcome import Places
from tests.support.tables.worlds import SILOS, live, plan, scenario, tables

LACKS = {"west": ("ill",)}
GONE = {"kind": "missing-column", "column": "ill", "silos": ["west"]}


def test_a_silo_that_lacks_a_column_takes_part_where_the_plan_says_so(tmp_path: Path) -> None:
    came = live(plan("mst", lacks=LACKS), scenario(skew=[GONE]), tmp_path / "run")
    assert (came.error, came.broken) == (None, ())
    for releases in came.state.releases.values():
        asked = {silo: len(r.marginals) for silo, r in releases.items()}
        assert asked["west"] < asked["north"]


def test_a_map_brings_another_spelling_back_and_the_sampler_is_the_calm_one(tmp_path: Path) -> None:
    spelt = {"kind": "spelling", "column": "town", "style": "upper", "silos": ["west"]}
    words = {"from": "town", "map": {"N": "n", "S": "s", "W": "w"}}
    rows = RowsOf(maps={"west": parse_map({"version": 1, "columns": {"town": words}})})
    runs = {
        "calm": live(plan(), scenario(), tmp_path / "calm"),
        "spelt": live(plan(), scenario(skew=[spelt]), tmp_path / "spelt"),
        "mapped": live(plan(), scenario(skew=[spelt]), tmp_path / "mapped", rows=rows),
    }
    samplers = {n: Places(path=tmp_path / n).sampler.read_bytes() for n in runs}
    assert samplers["mapped"] == samplers["calm"] != samplers["spelt"]
    assert "west" in runs["spelt"].told
    assert runs["mapped"].told == {}


@pytest.mark.parametrize("at", ["count", "send"])
def test_rows_of_a_person_stay_bounded_through_a_crash(at: str, tmp_path: Path) -> None:
    held = {
        silo: pa.concat_tables([table, table]).append_column(
            "person", pa.array([str(i % 40) for i in range(80)])
        )
        for silo, table in tables().items()
    }
    rows = RowsOf(person_column="person", rows_per_person=1)
    crash = {"kind": "crash", "at": at, "silos": ["north"]}
    came = live(plan(), scenario(faults=[crash]), tmp_path / "run", held=held, rows=rows)
    assert (came.error, came.broken) == (None, ())
    counted = [
        came.state.releases[phase][silo].marginals[0].sum()
        for phase in came.state.releases
        for silo in SILOS
    ]
    assert all(abs(count - 40) < 30 for count in counted)
