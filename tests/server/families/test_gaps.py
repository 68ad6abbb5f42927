"""Rows of a parent come as long after one another as they did, and keep rules across tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from silosynth.client.families.count import TableRows, count_families, first_rows, make_views
from silosynth.common.families import Answer, Phase, Weighing, first_of, later_of
from silosynth.common.forest import ForestSampler, bins_of
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, parse_tables
from silosynth.server.families import ask_families, fit_families
from silosynth.server.families.numbers import gaps_inside
from tests.server.families.test_fit import PLAN, distance

PERSONS = 6_000
EDGES = [0, 1, 8, 31, 91, 366, 3650]
VISITS: dict[str, Any] = {
    "parent": "people",
    "by": "id",
    "order": "admitted",
    "gaps": EDGES,
    "children": [0, 1, 2, 3, 4, 8, 16],
    "attributes": [
        {
            "name": "admitted",
            "kind": "datetime",
            "minimum": "2010-01-01",
            "maximum": "2019-12-31",
            "resolution": "day",
        },
        {"name": "ward", "kind": "categorical", "categories": list("abc"), "other": False},
        {"name": "dead", "kind": "boolean"},
    ],
}
BORN = {
    "name": "born",
    "kind": "datetime",
    "minimum": "1990-01-01",
    "maximum": "2018-12-31",
    "resolution": "day",
}
RULES = ("people.born <= visits.admitted", "visits.dead is last")


def clinic(*, rules: tuple[str, ...] = RULES, **changes: Any) -> TablesSchema:
    """Return people who are born, are admitted after it again and again, and die at the last."""
    people = {"key": "id", "attributes": [BORN]}
    tables = {"people": people, "visits": VISITS | changes}
    return parse_tables({"person": "people", "source": "public", "rules": rules, "tables": tables})


def families(schema: TablesSchema, *, seed: int) -> dict[str, TableRows]:
    """Draw families whose wards hang on how long after the visit before one comes."""
    random = np.random.default_rng(seed)
    scale = schema.columns["visits"].gaps
    assert scale is not None
    days = np.datetime64("2010-01-01", "D") - np.datetime64("1990-01-01", "D")
    born = random.integers(0, 10_500, PERSONS)
    numbers = np.minimum(random.geometric(0.3, PERSONS) - 1, 16)
    above = np.repeat(np.arange(PERSONS), numbers)
    first = first_rows(above)
    gaps = np.rint(random.lognormal(np.where(above % 3 == 0, 1.5, 4.0), 1.0)).astype(int)
    begin = np.maximum(born[above] - int(days.astype(int)), 0) + random.integers(0, 700, len(above))
    points = np.where(first, begin, gaps)
    sums = np.cumsum(points)
    starts = np.repeat(np.flatnonzero(first), numbers[numbers > 0])
    points = np.minimum(sums - sums[starts] + begin[starts], scale.most)
    step = np.diff(points, prepend=0)
    ward = np.where(~first & (step < 8), 0, random.integers(1, 3, len(above)))
    last = np.append(first[1:], True)
    dead = (last & (random.random(len(above)) < 0.3)).astype(int)
    codes = scale.column_codes(points)
    of_people = schema.columns["people"].rows
    edges = np.asarray(of_people.numbers[0].edges())
    seconds = (born + np.datetime64("1990-01-01", "D").astype(int)) * 86_400.0
    return {
        "people": TableRows(
            codes=(
                np.searchsorted(edges[1:-1], seconds, side="right"),
                bins_of(schema, "visits")[numbers],
            ),
            above=np.zeros(PERSONS, dtype=int),
            person=np.arange(PERSONS),
        ),
        "visits": TableRows(
            codes=(codes, ward, dead),
            above=above,
            person=above,
            gaps=scale.gap_codes(points, codes, first=first),
        ),
    }


def fitted(schema: TablesSchema, rows: dict[str, TableRows], *, variance: float) -> ForestSampler:
    """Fit what these families are exactly counted as."""
    weighing = Weighing(fineness=256, length=2**12)
    views, asked, found = make_views(schema, rows), ask_families(schema), []
    for phase in (
        Phase(plain=asked.persons.plain),
        Phase(plain=asked.first.plain),
        Phase(weighed=asked.later.weighed, weighing=weighing),
    ):
        counted = count_families([views], schema=schema, phase=phase)
        for question, values in zip(
            (*phase.plain, *phase.weighed), (*counted.plain, *counted.weighed), strict=True
        ):
            unit = question.scale * weighing.fineness if phase.weighed else 1
            found.append(Answer(question=question, values=values / unit, variance=variance))
    return fit_families(schema, found, certificate={}, plan_digest=PLAN)


def tables(sampler: ForestSampler, *, persons: int, seed: int = 3) -> dict[str, pa.Table]:
    forest = Forest(sampler=sampler, persons=persons, seed=seed)
    return {n: pa.concat_tables(forest.table(n)) for n in sampler.schema.downward}


def days_of(table: pa.Table, column: str) -> np.ndarray:
    found: np.ndarray = table[column].cast(pa.int32()).to_numpy()
    return found


@pytest.fixture(scope="module")
def case() -> tuple[TablesSchema, dict[str, TableRows], dict[str, pa.Table]]:
    schema = clinic()
    rows = families(schema, seed=1)
    return schema, rows, tables(fitted(schema, rows, variance=0.1), persons=PERSONS)


def drawn_gaps(visits: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whose each later row is, its gap in days, and its ward."""
    owner = visits["id"].combine_chunks().dictionary_encode().indices.to_numpy()
    days = days_of(visits, "admitted")
    later = np.flatnonzero(owner[1:] == owner[:-1]) + 1
    ward = pc.index_in(visits["ward"].cast(pa.string()), pa.array(list("abc"))).to_numpy()
    return owner[later], days[later] - days[later - 1], ward[later]


def test_gaps_come_as_often_and_with_what_they_came(case: Any) -> None:
    schema, rows, made = case
    real, scale = rows["visits"], schema.columns["visits"].gaps
    later = np.flatnonzero(~first_rows(real.above))
    _, gaps, ward = drawn_gaps(made["visits"])
    found = np.searchsorted(scale.edges[1:-1], gaps, side="right")
    assert distance(real.gaps[later], found) < 0.03
    pair = real.gaps[later] * 3 + real.codes[1][later]
    assert distance(pair, found * 3 + ward) < 0.06
    # Alone, and by chance beside each other, they are four times as far.
    mixed = np.random.default_rng(1).permutation(ward)
    assert distance(pair, found * 3 + mixed) > 0.2


def test_rows_stand_in_order_and_within_bounds_without_a_heap_at_the_end(case: Any) -> None:
    _, _, made = case
    visits = made["visits"]
    _, gaps, _ = drawn_gaps(visits)
    assert gaps.min() >= 0
    days = days_of(visits, "admitted")
    last = np.datetime64("2019-12-31", "D").astype(int)
    assert days.max() <= last
    assert (days == last).mean() < 0.01


def test_every_drawn_row_keeps_the_rules_across_tables(case: Any) -> None:
    _, _, made = case
    people, visits = made["people"], made["visits"]
    whose = pc.index_in(visits["id"], people["id"].combine_chunks()).to_numpy()
    assert (days_of(people, "born")[whose] <= days_of(visits, "admitted")).all()
    dead = visits["dead"].to_numpy(zero_copy_only=False)
    last = np.append(whose[1:] != whose[:-1], True)
    assert dead[~last].sum() == 0
    # Of last rows as many are as were: what others may not be is not lost.
    assert dead[last].mean() == pytest.approx(0.3, abs=0.04)


def test_without_the_rules_rows_break_them() -> None:
    schema = clinic(rules=())
    made = tables(fitted(schema, families(schema, seed=1), variance=0.1), persons=2_000)
    people, visits = made["people"], made["visits"]
    whose = pc.index_in(visits["id"], people["id"].combine_chunks()).to_numpy()
    assert (days_of(people, "born")[whose] > days_of(visits, "admitted")).sum() > 0
    dead = visits["dead"].to_numpy(zero_copy_only=False)
    assert dead[:-1][whose[1:] == whose[:-1]].sum() > 0


def test_a_gap_is_asked_in_the_place_of_the_order_column() -> None:
    schema, other = clinic(rules=()), clinic(rules=(), gaps=None)
    asked, before = (ask_families(s).later.weighed for s in (schema, other))
    cliques = {q.clique for q in asked}
    assert ("previous: admitted", "gap: admitted") in cliques
    assert ("previous: admitted", "admitted") not in cliques
    assert ("people: born", "gap: admitted") in cliques
    assert not any(c[0].startswith("people") and c[-1] == "admitted" for c in cliques)
    assert ("gap: admitted", "ward") in cliques
    assert ("admitted", "ward") in cliques
    assert abs(len(asked) - len(before)) <= 3
    assert ask_families(schema).first == ask_families(other).first
    left = {
        q.clique for q in ask_families(schema, left_out=["visits by rows before"]).later.weighed
    }
    assert ("gap: admitted",) in left
    assert not any(c[0].startswith("previous") for c in left)


def test_gaps_fall_inside_a_wide_bin_as_those_around_it_do() -> None:
    scale = clinic().columns["visits"].gaps
    assert scale is not None
    days = np.random.default_rng(2).exponential(300, 200_000).astype(int)
    days = days[days <= EDGES[-1]]
    codes = np.searchsorted(scale.edges[1:-1], days, side="right")
    ends = gaps_inside(scale, np.bincount(codes, minlength=scale.codes) / len(days)) / 2**31
    assert (ends[:, -1] == 1).all()
    widest = days[codes == scale.bins - 1]
    at = scale.lows[-1] + (scale.edges[-1] - scale.lows[-1]) * (np.arange(32) + 1) / 32
    real = np.searchsorted(np.sort(widest), at, side="right") / len(widest)
    even = np.arange(1, 33) / 32
    assert np.abs(ends[-1] - real).max() < 0.12
    assert np.abs(even - real).max() > 0.5
    assert (gaps_inside(scale, None)[0] == np.rint(even * 2**31)).all()


def test_views_of_later_rows_hold_the_gap_and_that_of_the_row_before() -> None:
    schema = clinic()
    views = make_views(schema, families(schema, seed=4))
    view = views[later_of("visits")]
    gap = view.columns[view.domain.index("gap: admitted")]
    before = view.columns[view.domain.index("previous: gap: admitted")]
    scale = schema.columns["visits"].gaps
    assert scale is not None
    assert gap.max() < scale.codes
    second = first_rows(view.person)
    assert (before[second] == scale.none).all()
    assert (before[~second] == gap[np.flatnonzero(~second) - 1]).all()
    assert "gap: admitted" not in views[first_of("visits")].domain.attributes
