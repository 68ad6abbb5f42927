"""Made-up visits in time order: how long after one another they come, and what hangs on that.

Beside the way of before, by which a later date is told by the code of the date before, and beside
right rows that are given to anybody.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.families.kept import run_kept
from bench.families.measured import measure
from bench.support.results import Figure, is_quick, publish
from silosynth.client.families.count import TableRows, first_rows, make_views
from silosynth.common.forest import bins_of
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, parse_tables
from silosynth.server.families import fit_families

PERSONS, QUICK_PERSONS, SEEDS = 20_000, 2_000, (211, 212, 213)
CASE = "gaps"
PLAN = "sha256:" + "0" * 64
EDGES = (0, 1, 8, 31, 91, 366, 3650)
WARDS = ("emergency", "surgery", "medicine", "control")
BEGIN, END, BIRTH = (
    int(np.datetime64(d, "D").astype(int)) for d in ("2010-01-01", "2019-12-31", "1930-01-01")
)
RULES = ("people.born <= visits.admitted", "visits.dead is last")
KS, WITH, NEXT, DATES = "gaps in days", "gap x ward", "gap before x gap", "dates"
BROKEN, FALLS = "rows that break a rule", "rows out of order"


def _date(name: str, first: str, last: str, bins: int) -> dict[str, Any]:
    bounds = {"minimum": first, "maximum": last, "resolution": "day"}
    return {"name": name, "kind": "datetime", "bins": {"kind": "width", "count": bins}, **bounds}


def schema_of(*, gaps: bool) -> TablesSchema:
    """Return people and visits, told by gaps and held to rules, or as they were before."""
    ward = {"name": "ward", "kind": "categorical", "categories": list(WARDS), "other": False}
    visits = {
        "parent": "people",
        "by": "id",
        "order": "admitted",
        "children": [0, 1, 2, 3, 4, 6, 10, 20],
        "attributes": [
            _date("admitted", "2010-01-01", "2019-12-31", 40),
            ward,
            {"name": "dead", "kind": "boolean"},
        ],
    }
    people = [
        _date("born", "1930-01-01", "2019-12-31", 24),
        {"name": "ill", "kind": "boolean"},
    ]
    return parse_tables(
        {
            "person": "people",
            "source": "public",
            "rules": RULES if gaps else (),
            "tables": {
                "people": {"key": "id", "attributes": people},
                "visits": visits | ({"gaps": list(EDGES)} if gaps else {}),
            },
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Visits:
    """People and visits as values: days since 1970, places in ``WARDS``, those of one in order."""

    born: np.ndarray
    ill: np.ndarray
    above: np.ndarray
    day: np.ndarray
    ward: np.ndarray
    dead: np.ndarray


def planted(seed: int, persons: int) -> Visits:
    """Draw people of whom the ill come back soon, by what ward they were in and after what gap."""
    random = np.random.default_rng(seed)
    born = random.integers(BIRTH, END - 30, persons)
    ill = (random.random(persons) < 0.3).astype(int)
    numbers = np.minimum(random.geometric(np.where(ill == 1, 0.2, 0.45)) - 1, 20)
    above = np.repeat(np.arange(persons), numbers)
    first = first_rows(above)
    day, ward = np.zeros(len(above), dtype=int), np.zeros(len(above), dtype=int)
    begin = np.maximum(born, BEGIN)
    start = begin + np.floor(random.random(persons) ** 2 * (END - begin)).astype(int)
    usual = np.array([3.0, 40.0, 90.0, 365.0])
    for row in range(len(above)):
        if first[row]:
            day[row], ward[row] = start[above[row]], random.integers(0, 4)
            continue
        mean = usual[ward[row - 1]] * (0.4 if ill[above[row]] else 1.5)
        gap = 0 if random.random() < 0.05 else int(random.exponential(mean))
        day[row] = min(day[row - 1] + gap, END)
        soon = gap < 14
        ward[row] = random.choice(4, p=[0.6, 0.2, 0.15, 0.05] if soon else [0.15, 0.2, 0.25, 0.4])
    last = np.append(first[1:], True)
    dead = (last & (random.random(len(above)) < 0.05 + 0.2 * ill[above])).astype(int)
    return Visits(born=born, ill=ill, above=above, day=day, ward=ward, dead=dead)


def _codes(schema: TablesSchema, table: str, column: str, days: np.ndarray) -> np.ndarray:
    (attribute,) = (a for a in schema.columns[table].rows.numbers if a.name == column)
    found: np.ndarray = np.searchsorted(attribute.edges()[1:-1], days * 86_400.0, side="right")
    return found


def as_rows(schema: TablesSchema, real: Visits) -> dict[str, TableRows]:
    """Return what a gateway counts of them."""
    persons, scale = len(real.born), schema.columns["visits"].gaps
    numbers = np.bincount(real.above, minlength=persons)
    day = _codes(schema, "visits", "admitted", real.day)
    gaps = None
    if scale is not None:
        points = scale.points(real.day * 86_400e6)
        gaps = scale.gap_codes(points, day, first=first_rows(real.above))
    here = np.arange(persons)
    born = _codes(schema, "people", "born", real.born)
    bins = bins_of(schema, "visits")[numbers]
    return {
        "people": TableRows(codes=(born, real.ill, bins), above=np.zeros_like(here), person=here),
        "visits": TableRows(
            codes=(day, real.ward, real.dead), above=real.above, person=real.above, gaps=gaps
        ),
    }


def drawn(people: pa.Table, visits: pa.Table) -> Visits:
    """Return drawn tables as values."""

    def days(table: pa.Table, column: str) -> np.ndarray:
        found: np.ndarray = table[column].cast(pa.int32()).to_numpy().astype(int)
        return found

    def flags(table: pa.Table, column: str) -> np.ndarray:
        return table[column].to_numpy(zero_copy_only=False).astype(int)

    ward = pc.index_in(visits["ward"].cast(pa.string()), pa.array(WARDS)).to_numpy()
    return Visits(
        born=days(people, "born"),
        ill=flags(people, "ill"),
        above=pc.index_in(visits["id"], people["id"].combine_chunks()).to_numpy(),
        day=days(visits, "admitted"),
        ward=ward,
        dead=flags(visits, "dead"),
    )


def shuffled(real: Visits, *, seed: int) -> Visits:
    """Return the right rows given to anybody, those of one in order again."""
    order = np.random.default_rng(seed).permutation(len(real.above))
    order = order[np.lexsort((real.day[order], real.above))]
    return Visits(
        born=real.born,
        ill=real.ill,
        above=real.above,
        day=real.day[order],
        ward=real.ward[order],
        dead=real.dead[order],
    )


def _tvd(one: np.ndarray, other: np.ndarray) -> float:
    size = int(max(one.max(), other.max())) + 1
    shares = [np.bincount(c, minlength=size) / len(c) for c in (one, other)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _ks(one: np.ndarray, other: np.ndarray) -> float:
    at = np.unique(np.concatenate([one, other]))
    ends = [np.searchsorted(np.sort(v), at, side="right") / len(v) for v in (one, other)]
    return float(np.abs(ends[0] - ends[1]).max())


def score(real: Visits, made: Visits) -> dict[str, float]:
    """Return how far gaps are, alone and with what hangs on them, and what rows break."""
    parts = []
    for side in (real, made):
        later = np.flatnonzero(~first_rows(side.above))
        third = later[np.isin(later - 1, later)]
        gap = np.diff(side.day, prepend=0)
        code = np.searchsorted(EDGES[1:-1], gap, side="right")
        pair = code[later] * len(WARDS) + side.ward[later]
        parts.append(
            (gap[later], pair, code[third - 1] * len(EDGES) + code[third], side.day[later])
        )
    last = np.append(made.above[1:] != made.above[:-1], True)
    broken = (made.born[made.above] > made.day) | (~last & (made.dead == 1))
    falls = (made.above[1:] == made.above[:-1]) & (made.day[1:] < made.day[:-1])
    one, other = parts
    return {
        KS: _ks(one[0], other[0]),
        WITH: _tvd(one[1], other[1]),
        NEXT: _tvd(one[2], other[2]),
        DATES: _ks(one[3], other[3]),
        BROKEN: float(broken.mean()),
        FALLS: float(falls.mean()),
    }


def run(*, epsilon: float, seed: int, persons: int, gaps: bool) -> dict[str, float]:
    """Measure, fit, draw and score once."""
    real, schema = planted(seed, persons), schema_of(gaps=gaps)
    views = make_views(schema, as_rows(schema, real))
    found = measure(schema, views, epsilon=epsilon, seed=seed, left_out=())
    sampler = fit_families(schema, found.answers, certificate={}, plan_digest=PLAN)
    forest = Forest(sampler=sampler, persons=persons, seed=seed)
    people, visits = (pa.concat_tables(forest.table(n)) for n in schema.downward)
    return score(real, drawn(people, visits))


def gaps() -> int:
    """Publish all scores of the way by gaps beside that of before and right rows of anybody."""
    quick = is_quick()
    persons, seeds = (QUICK_PERSONS, SEEDS[:1]) if quick else (PERSONS, SEEDS)
    real = planted(seeds[0], persons)
    mixed = score(real, shuffled(real, seed=1))
    figures = [_figure(f"keys shuffled: {k}", [v]) for k, v in mixed.items()]
    again = score(real, planted(seeds[-1] + 1, persons))
    for name, value in again.items():
        figures.append(_figure(f"other people: {name}", [value]))
    for epsilon, by_gaps in ((1.0, True), (8.0, True), (1.0, False), (8.0, False)):
        told = [
            run_kept("bench.families.gaps", [epsilon, seed, persons, by_gaps]) for seed in seeds
        ]
        label = f"epsilon {epsilon:g}" + ("" if by_gaps else ", by codes of the date")
        for name in mixed:
            gate = 0.0 if by_gaps and name in (BROKEN, FALLS) else None
            values = [t[name] for t in told]
            figures.append(_figure(f"{label}: {name}", values, peer=mixed[name], gate=gate))
    return publish(CASE, figures, room="families")


def _figure(
    name: str, values: list[float], *, peer: float | None = None, gate: float | None = None
) -> Figure:
    what = name.rpartition(": ")[2]
    unit = "KS" if what in (KS, DATES) else "share" if what in (BROKEN, FALLS) else "TVD"
    return Figure(
        figure=name,
        value=round(float(np.mean(values)), 4),
        spread=round((max(values) - min(values)) / 2, 4) if len(values) > 1 else None,
        unit=unit,
        peer=None if peer is None else round(peer, 4),
        at_most=gate,
    )


if __name__ == "__main__":
    epsilon, seed, persons, by_gaps = json.loads(sys.argv[1])
    print(json.dumps(run(epsilon=epsilon, seed=seed, persons=persons, gaps=by_gaps)))
