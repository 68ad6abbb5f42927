"""Four hospitals that write the same disease down in four ways, joined by their maps."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from silosynth.client.maps import SiloMap, check_map
from silosynth.client.maps.silo_map import parse_map
from silosynth.client.source import open_table, take_survey
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from tests.support.tables.hospitals import FILE, MAPS, SCHEMA, by_hand, own_way

pytestmark = pytest.mark.skipif(not FILE.exists(), reason="set SILOSYNTH_DATA to the data sets")


@pytest.mark.parametrize("hospital", sorted(MAPS))
def test_each_hospitals_map_gives_the_counts_of_the_table_that_was_harmonised_by_hand(
    hospital: str,
) -> None:
    """All pairs, cell by cell: what is fitted and drawn from them cannot be any further away."""
    silo_map: SiloMap = parse_map({"version": 1, "columns": MAPS[hospital]})
    check_map(silo_map, schema=SCHEMA)
    right = by_hand()[hospital]
    written = own_way(right, MAPS[hospital])
    assert hospital == "cleveland" or not written.equals(right)
    absent = parse_map({"version": 1, "columns": dict.fromkeys(silo_map.absent, "absent")})
    held = [n for n in SCHEMA.domain.attributes if n not in silo_map.absent]
    queries = [MarginalQuery(clique=pair, level="fine") for pair in combinations(held, 2)]
    levels = {"fine": Grouping()}
    mapped = open_table(written, schema=SCHEMA, silo_map=silo_map).count(queries, levels=levels)
    plain = open_table(right, schema=SCHEMA, silo_map=absent).count(queries, levels=levels)
    assert sum(int(c.sum()) for c in plain) == len(queries) * right.num_rows > 0
    for query, one, other in zip(queries, mapped, plain, strict=True):
        assert np.array_equal(one, other), query


@pytest.mark.parametrize("hospital", sorted(set(MAPS) - {"cleveland"}))
def test_without_its_map_a_hospitals_rows_do_not_fit_and_its_operator_is_told(
    hospital: str,
) -> None:
    right = by_hand()[hospital]
    written = own_way(right, MAPS[hospital])
    silo_map = parse_map({"version": 1, "columns": MAPS[hospital]})
    with_map = take_survey([written], schema=SCHEMA, silo_map=silo_map)
    assert min(with_map.fits.values(), default=1.0) == 1.0
    renamed = {n: c.get("from", n) for n, c in MAPS[hospital].items() if c != "absent"}
    absent = {n: c for n, c in MAPS[hospital].items() if c == "absent"}
    names_alone = parse_map(
        {"version": 1, "columns": {**{n: {"from": o} for n, o in renamed.items()}, **absent}}
    )
    without = take_survey([written], schema=SCHEMA, silo_map=names_alone)
    assert without.hardly
