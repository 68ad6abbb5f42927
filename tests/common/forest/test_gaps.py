"""Rows drawn by their gaps stand in order, in their bins and within bounds, whatever is missing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.errors import InvalidSampler, InvalidSchema
from silosynth.common.families import LAST, drawn_domains, later_of
from silosynth.common.forest import (
    NEVER,
    PIECES,
    Chain,
    ForestSampler,
    GapDrawer,
    Step,
    Term,
    bins_of,
    family,
    load_forest,
    own_attributes,
    save_forest,
    to_scores,
)
from silosynth.common.forest.file import dump_forest
from silosynth.common.forest.gaps import even_pieces, gap_scales
from silosynth.common.forest.tables import Forest, draw_forest
from silosynth.common.sampler import shares_within, unpack
from silosynth.common.tables import TablesSchema, parse_tables
from tests.common.forest.test_forest import PLAN
from tests.common.forest.test_forest import SCHEMA as PLAIN

DAY: dict[str, Any] = {
    "name": "day",
    "kind": "datetime",
    "minimum": "2020-01-01",
    "maximum": "2020-12-31",
    "resolution": "day",
}
BORN = {**DAY, "name": "born", "minimum": "2019-01-01", "maximum": "2020-11-30"}


def schema_of(
    *, gaps: Any = (0, 1, 7, 30, 90), day: Any = DAY, rules: Any = (), **changes: Any
) -> TablesSchema:
    """Return people with visits that are drawn by their gaps, and drugs below those."""
    tables: Any = PLAIN["tables"]
    people = {**tables["people"], "attributes": [*tables["people"]["attributes"], BORN]}
    ward = tables["visits"]["attributes"][1]
    dead = {"name": "dead", "kind": "boolean"}
    visits = {**tables["visits"], "gaps": gaps, "attributes": [day, ward, dead]} | changes
    return parse_tables(
        {**PLAIN, "rules": rules, "tables": {**tables, "people": people, "visits": visits}}
    )


def sampler_of(schema: TablesSchema, *, seed: int) -> ForestSampler:
    """Build chains of random scores, each attribute given all that is known before it."""
    random = np.random.default_rng(seed)
    chains, own, domains = {}, own_attributes(schema), drawn_domains(schema)
    scales = gap_scales(schema)
    for view, domain in domains.items():
        follows = {s.column: s.name for n, s in scales.items() if view == later_of(n)}
        known = [a for a in domain.attributes if a not in own[view] and a not in follows]
        steps = []
        for attribute in own[view]:
            codes = domain.size((attribute,))
            terms = tuple(
                Term(given=g, scores=to_scores(random.normal(0, 0.3, (domain.size(g), codes))))
                for g in [(), *((a,) for a in known)]
            )
            if LAST in known and attribute == "dead":
                only = np.array([[0, NEVER], [0, 0]], dtype=np.int32)
                terms = (*terms, Term(given=(LAST,), scores=only))
            steps.append(Step(attribute=attribute, terms=terms))
            known += [attribute, *(c for c, gap in follows.items() if gap == attribute)]
        chains[view] = Chain(domain=domain, own=own[view], steps=tuple(steps))
    inside = {}
    for name in schema.downward[1:]:
        bins = bins_of(schema, name)
        inside[name] = shares_within(random.random(len(bins)), groups=bins, name=name)
    return ForestSampler(
        schema=schema,
        chains=chains,
        inside=inside,
        gaps={n: even_pieces(s) for n, s in scales.items()},
        persons=50,
        certificate={},
        plan_digest=PLAN,
    )


def drawn(schema: TablesSchema, *, persons: int, seed: int, size: int = 7) -> dict[str, pa.Table]:
    forest = Forest(
        sampler=sampler_of(schema, seed=seed), persons=persons, seed=seed, block_persons=size
    )
    return {n: pa.concat_tables(forest.table(n)) for n in schema.downward}


def histories(visits: pa.Table) -> list[list[dict[str, Any]]]:
    return [list(rows) for _, rows in groupby(visits.to_pylist(), key=lambda v: v["id"])]


@settings(max_examples=15, deadline=None)
@given(persons=st.integers(0, 40), seed=st.integers(0, 2**32), missing=st.booleans())
def test_rows_never_fall_and_missing_ones_come_last(persons: int, seed: int, missing: bool) -> None:
    schema = schema_of(day={**DAY, "missing": missing})
    visits = drawn(schema, persons=persons, seed=seed)["visits"]
    for rows in histories(visits):
        days = [r["day"] for r in rows if r["day"] is not None]
        assert days == sorted(days)
        assert [r["day"] for r in rows] == days + [None] * (len(rows) - len(days))
        assert all(missing or r["day"] is not None for r in rows)
        gaps = [(b - a).days for a, b in pairwise(days)]
        assert max(gaps, default=0) <= 90


def test_gaps_of_one_at_least_never_tie_and_never_pass_the_end() -> None:
    """Where a history has no room left, it is drawn anew as a whole, and not cut at the bound."""
    narrow = {**DAY, "maximum": "2020-02-10"}
    schema = schema_of(gaps=[1, 2, 7, 30], day=narrow)
    visits = drawn(schema, persons=300, seed=1, size=300)["visits"]
    longest = 0
    for rows in histories(visits):
        days = [r["day"] for r in rows]
        assert days == sorted(set(days))
        assert str(days[-1]) <= "2020-02-10"
        longest = max(longest, len(rows))
    assert longest == 9


def test_a_draw_is_the_same_in_blocks_of_any_size_and_from_its_file(tmp_path: Path) -> None:
    rules = ("people.born <= visits.day", "visits.dead is last")
    schema = schema_of(rules=rules, day={**DAY, "missing": True})
    small, large = (drawn(schema, persons=40, seed=9, size=s) for s in (3, 1000))
    assert all(small[n].to_pylist() == large[n].to_pylist() for n in small)
    sampler = sampler_of(schema, seed=9)
    save_forest(sampler, tmp_path / "a.sampler")
    again = load_forest(tmp_path / "a.sampler")
    forest = Forest(sampler=again, persons=40, seed=9)
    assert all(pa.concat_tables(forest.table(n)).equals(large[n]) for n in large)
    draw_forest(again, persons=40, seed=9, folder=tmp_path / "out", ending=".csv")
    text = "".join((tmp_path / "out" / f"{n}.csv").read_text() for n in schema.downward)
    assert hashlib.sha256(text.encode()).hexdigest() == GOLDEN


GOLDEN = "f52b3c91496dafa3494681ce753a4c487af37452309ae254b3701687f9b13b28"


def test_rules_across_tables_hold_in_every_row() -> None:
    rules = (
        "people.born <= visits.day",
        "visits.dead is last",
        "never people.sex = f and visits.ward = c and drugs.dose > 5",
    )
    tables = drawn(schema_of(rules=rules), persons=400, seed=2, size=100)
    people = {p["id"]: p for p in tables["people"].to_pylist()}
    for rows in histories(tables["visits"]):
        assert people[rows[0]["id"]]["born"] <= rows[0]["day"]
        assert not any(r["dead"] for r in rows[:-1])
    visits = {v["visit"]: v for v in tables["visits"].to_pylist()}
    seen = 0
    for drug in tables["drugs"].to_pylist():
        visit = visits[drug["visit"]]
        seen += visit["ward"] == "c"
        woman = people[visit["id"]]["sex"] == "f"
        assert not (woman and visit["ward"] == "c" and drug["dose"] > 5)
    assert seen > 50


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("visits.day <= visits.day2", "did not expect"),
        ("never visits.ward = a", "names one table alone"),
        ("visits.dead = true is last of all", "did not expect|expected"),
        ("people.born is last", "no parent"),
        ("people.born <= visits.day <= drugs.given", "orders columns above 'drugs', too"),
        ("people.born <= visits.ward", "cannot order"),
        ("people.id = visits.ward", "cannot|identifier|follows|expected"),
        ("visits.day < people.born - 4000 days", "leave no value"),
        ("never people.sex in (f, m) and visits.ward in (a, b, c)", "leaves nothing"),
    ],
)
def test_a_rule_that_cannot_hold_says_so_by_name(rule: str, said: str) -> None:
    with pytest.raises(InvalidSchema, match=said) as caught:
        late_schema((0, 1, 7), (rule,), missing=False)
    assert rule.split(" is last")[0][:20] in str(caught.value)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), room=st.integers(0, 100))
def test_steps_lie_in_their_bin_and_in_what_room_there_is(seed: int, room: int) -> None:
    (scale,) = gap_scales(schema_of()).values()
    random = np.random.default_rng(seed)
    ends = np.sort(random.integers(0, 2**31, (scale.bins, PIECES)), axis=1)
    ends[:, -1] = 2**31
    drawer = GapDrawer(scale=scale, pieces=ends.astype(np.uint32), seed=seed)
    rooms = np.full(400, room)
    barred = drawer.barred(rooms, absent=np.zeros(400, dtype=bool))
    codes = random.integers(0, scale.bins, 400)
    fits = ~barred[np.arange(400), codes]
    assert fits.tolist() == (scale.lows[codes] <= room).tolist()
    steps = drawer.steps(codes, room=rooms, words=np.arange(400, dtype=np.uint64))
    assert (steps >= scale.lows[codes]).all()
    assert (steps <= np.minimum(scale.highs[codes], np.maximum(rooms, scale.lows[codes]))).all()


def test_steps_have_the_shares_of_their_pieces() -> None:
    (scale,) = gap_scales(schema_of(gaps=[0, 319])).values()
    ends = np.full((1, PIECES), 2**31, dtype=np.uint32)
    ends[0, :8] = np.arange(1, 9) * 2**27
    drawer = GapDrawer(scale=scale, pieces=ends, seed=1)
    words, none = np.arange(40_000, dtype=np.uint64), np.zeros(40_000, dtype=np.int64)
    steps = drawer.steps(none, room=np.full(40_000, 366), words=words)
    width = 320 / PIECES
    assert (steps < 8 * width).mean() == pytest.approx(0.5, abs=0.01)
    assert ((steps >= 8 * width - 1) & (steps < 9 * width)).mean() == pytest.approx(0.5, abs=0.07)
    # With less room it is the same law, of what fits.
    near = drawer.steps(none, room=np.full(40_000, 39), words=words)
    assert np.bincount(near, minlength=40).max() < 2 * np.bincount(near, minlength=40).min()


def test_a_sampler_says_how_gaps_lie_and_draws_them_first() -> None:
    sampler = sampler_of(schema_of(), seed=1)
    assert b'"version": 4' in bytes(unpack(dump_forest(sampler))["manifest.json"])
    with pytest.raises(InvalidSampler, match="shares of gaps"):
        replace(sampler, gaps={})
    with pytest.raises(InvalidSampler, match="do not rise"):
        replace(sampler, gaps={"visits": sampler.gaps["visits"] // 2})
    view = later_of("visits")
    law = sampler.chains[view]
    gap, rest = law.steps[0], law.steps[1:]
    codes = law.domain.size(("ward",))
    told = Term(given=("day",), scores=np.zeros((law.domain.size(("day",)), codes), np.int32))
    early = Step(attribute="ward", terms=(told,))
    late = Chain(
        domain=law.domain,
        own=law.own,
        steps=(early, gap, *(s for s in rest if s.attribute != "ward")),
    )
    with pytest.raises(InvalidSampler, match="drawn before what it is given"):
        replace(sampler, chains={**sampler.chains, view: late})


def test_a_rule_that_no_row_can_keep_ends_no_draw_and_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A draw comes after all is spent: nothing may end it."""
    monkeypatch.setattr(family, "MOST_HERE", 9)
    sampler = sampler_of(schema_of(rules=("visits.dead is last",)), seed=1)
    view = later_of("visits")
    law = sampler.chains[view]
    dead = np.array([[NEVER, 0]], dtype=np.int32)
    always = Step(attribute="dead", terms=(Term(given=(), scores=dead),))
    steps = tuple(always if s.attribute == "dead" else s for s in law.steps)
    chains = {**sampler.chains, view: Chain(domain=law.domain, own=law.own, steps=steps)}
    forest = Forest(sampler=replace(sampler, chains=chains), persons=30, seed=1, block_persons=4)
    rows = histories(pa.concat_tables(forest.table("visits")))
    broken = sum(r["dead"] for visits in rows for r in visits[:-1])
    assert forest.broken["visits"] == broken > 0
    assert not any(visits[0]["dead"] for visits in rows if len(visits) > 1)
    told: list[str] = []
    draw_forest(forest.sampler, persons=30, seed=1, folder=tmp_path, tell=told.append)
    assert told == [f"visits: {broken:,} rows break a rule: {WHY}"]


WHY = "of what stands above them, or of how many there are, no try left a way to keep all"


def never_falling(sampler: ForestSampler, name: str) -> ForestSampler:
    """Return a sampler whose rows of a table without gaps never fall in their order's codes."""
    view, order = later_of(name), str(sampler.schema.tables[name].order)
    law = sampler.chains[view]
    codes = np.arange(law.domain.size((order,)))
    falls = np.where(codes[None] < codes[:, None], NEVER, 0).astype(np.int32)
    never = Term(given=(f"previous: {order}",), scores=falls)
    steps = tuple(
        replace(s, terms=(*s.terms, never)) if s.attribute == order else s for s in law.steps
    )
    return replace(sampler, chains={**sampler.chains, view: replace(law, steps=steps)})


LATE = {**BORN, "maximum": "2020-12-30"}
GIVEN = {**DAY, "name": "given"}
WITHIN = ("people.born < visits.day", "visits.dead is last", "visits.day <= drugs.given")


def late_schema(gaps: Any, rules: tuple[str, ...], *, missing: bool) -> TablesSchema:
    """Return people who may be born on the day before the last one, with visits and drugs."""
    document: Any = schema_of(gaps=gaps, day={**DAY, "missing": missing}).model_dump(mode="json")
    document["tables"]["people"]["attributes"][-1] = LATE
    document["tables"]["drugs"]["attributes"].append(GIVEN)
    return parse_tables({**document, "rules": rules})


@pytest.mark.parametrize("gaps", [None, (0, 1, 7, 30), (1, 2, 7, 30)])
@pytest.mark.parametrize("missing", [False, True])
def test_people_born_at_the_end_of_the_calendar_end_no_draw(gaps: Any, missing: bool) -> None:
    schema = late_schema(gaps, WITHIN, missing=missing)
    sampler = sampler_of(schema, seed=5)
    if gaps is None:
        sampler = never_falling(sampler, "visits")
    forests = [Forest(sampler=sampler, persons=150, seed=5, block_persons=n) for n in (9, 150)]
    tables, again = (
        {n: pa.concat_tables(f.table(n)).to_pylist() for n in schema.downward} for f in forests
    )
    assert tables == again
    assert set(forests[0].broken.values()) == {0}
    people = {p["id"]: p for p in tables["people"]}
    visits = {v["visit"]: v for v in tables["visits"]}
    for _, rows in groupby(tables["visits"], key=lambda v: v["id"]):
        own = list(rows)
        days = [v["day"] for v in own if v["day"] is not None]
        assert days == sorted(days)
        assert all(people[own[0]["id"]]["born"] < d for d in days)
        assert not any(v["dead"] for v in own[:-1])
    for drug in tables["drugs"]:
        day = visits[drug["visit"]]["day"]
        assert day is None or day <= drug["given"]


def test_rows_below_stay_with_the_row_they_were_drawn_for() -> None:
    """A rule that names the order puts whole rows in order: those below them go along."""
    rule = ("never day > '2020-06-15' and ward = c",)
    document: Any = schema_of(gaps=None).model_dump(mode="json")
    document["tables"]["visits"]["rules"] = rule
    schema = parse_tables(document)
    sampler = never_falling(sampler_of(schema, seed=3), "visits")
    chains = dict(sampler.chains)
    for view in ("drugs, first", later_of("drugs")):
        law = chains[view]
        size, codes = law.domain.size(("visits: ward",)), law.domain.size(("dose",))
        alike = np.full((size, codes), NEVER, dtype=np.int32)
        alike[np.arange(size), np.arange(size)] = 0
        dose = Step(attribute="dose", terms=(Term(given=("visits: ward",), scores=alike),))
        steps = tuple(dose if s.attribute == "dose" else s for s in law.steps)
        chains[view] = replace(law, steps=steps)
    forest = Forest(sampler=replace(sampler, chains=chains), persons=200, seed=3)
    tables = {n: pa.concat_tables(forest.table(n)).to_pylist() for n in schema.downward}
    visits = {v["visit"]: v for v in tables["visits"]}
    pairs = {(visits[d["visit"]]["ward"], d["dose"]) for d in tables["drugs"]}
    assert len(tables["drugs"]) > 100
    by_dose = {dose: {w for w, d in pairs if d == dose} for _, dose in pairs}
    assert all(len(wards) == 1 for wards in by_dose.values()), by_dose


def test_which_row_is_last_is_settled_where_only_values_change_places() -> None:
    refused = ("visits.dead is last", "never people.sex = f and visits.day > '2020-06-15'")
    with pytest.raises(InvalidSchema, match="declare gaps"):
        schema_of(gaps=None, rules=refused)
    assert schema_of(rules=refused).told_last == {"visits"}
    assert schema_of(gaps=None, rules=WITHIN[:2]).told_last == {"visits"}


def test_gaps_of_a_column_of_steps_are_whole_steps() -> None:
    day = {"name": "day", "kind": "integer", "minimum": 0, "maximum": 60, "step": 5}
    (scale,) = gap_scales(schema_of(gaps=[0, 1, 20, 40], day=day)).values()
    assert scale.edges.tolist() == [0, 1, 4, 8]
    points = scale.points(np.array([5.0, 5, 10, 25, 60]))
    gaps = scale.gap_codes(points, np.zeros(5, np.int64), first=np.arange(5) == 0)
    assert gaps.tolist() == [scale.none, 0, 1, 1, 2]
    rows = histories(drawn(schema_of(gaps=[5, 10, 30], day=day), persons=60, seed=4)["visits"])
    steps = {b["day"] - a["day"] for own in rows for a, b in pairwise(own)}
    assert steps
    assert all(step % 5 == 0 for step in steps)
    with pytest.raises(InvalidSchema, match="steps of 5"):
        schema_of(gaps=[0, 1, 2], day=day)
