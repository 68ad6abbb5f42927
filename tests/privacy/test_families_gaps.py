"""How long after one another a person's rows come is counted of that person alone, and paid for.

Brute force, as in ``test_families``: each person is dropped with its family, and nothing but what
its weight allows may move. Days are missing, equal, beyond their bounds and in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silosynth.client.families.count import Counted, count_families
from silosynth.client.families.join import join_tables
from silosynth.client.families.rows import Told, code_families
from silosynth.client.families.survey import families_words
from silosynth.common.errors import InvalidSchema
from silosynth.common.families import Phase, Question, Weighing, later_of, view_domains
from silosynth.common.tables import parse_tables
from tests.privacy.test_families import Rows, squares, without
from tests.support.tables.families import PEOPLE, SCHEMA, VISITS

SECRET = bytes(range(32))


def clinic(**changes: Any) -> dict[str, Any]:
    """Return the document of people whose visits are told by their gaps, with drugs below them."""
    day = {"name": "day", "kind": "integer", "minimum": 0, "maximum": 20, "missing": True}
    visits = {**VISITS, "gaps": [0, 1, 2, 5], "children": [0, 1, 2, 4]} | changes
    visits["attributes"] = [day, *VISITS["attributes"][1:]]  # type: ignore[index]
    drugs = {
        "parent": "visits",
        "by": "visit",
        "children": [0, 1, 3],
        "attributes": [{"name": "dose", "kind": "integer", "minimum": 1, "maximum": 3}],
    }
    tables = {"people": PEOPLE, "visits": visits, "drugs": drugs}
    return {"person": "people", "source": "public", "tables": tables}


GAPS = parse_tables(clinic())
WEIGHED = tuple(
    Question(view=later_of("visits"), clique=clique, scale=scale)
    for clique, scale in (
        (("gap: day",), 3),
        (("gap: day", "ward"), 1),
        (("people: sex", "gap: day"), 1),
        (("previous: gap: day", "gap: day"), 1),
        (("previous: day", "gap: day"), 1),
        (("place among rows", "gap: day"), 1),
        (("ward",), 2),
    )
)


def as_tables(rows: Rows) -> dict[str, pa.Table]:
    kinds = {
        "people": {"id": pa.int64(), "sex": pa.string()},
        "visits": {"visit": pa.string(), "id": pa.int64(), "day": pa.int64(), "ward": pa.string()},
        "drugs": {"visit": pa.string(), "dose": pa.int64()},
    }
    return {
        name: pa.Table.from_pylist(rows[name], schema=pa.schema(list(kinds[name].items())))
        for name in kinds
    }


def counted(rows: Rows, phase: Phase, *, persons: int = 3, told: Told | None = None) -> Counted:
    with join_tables(GAPS, as_tables(rows)) as joined:
        views = code_families(joined.blocks(persons=persons), schema=GAPS, secret=SECRET, told=told)
        return count_families(views, schema=GAPS, phase=phase)


def visits_of(person: int, days: list[int | None], *, ward: str = "a") -> list[dict[str, Any]]:
    return [
        {"visit": f"{person}-{i}", "id": person, "day": day, "ward": ward}
        for i, day in enumerate(days)
    ]


def database(*visits: list[dict[str, Any]]) -> Rows:
    rows = [row for part in visits for row in part]
    people = [{"id": k, "sex": "f"} for k in sorted({row["id"] for row in rows if row["id"] < 9})]
    return {"people": people, "visits": rows, "drugs": []}


@st.composite
def databases(draw: st.DrawFn) -> Rows:
    """Draw people with visits on days that are missing, equal, beyond bounds, and of strangers."""
    owners = draw(st.lists(st.integers(1, 8), max_size=14))
    visits = [
        {
            "visit": f"{owner}-{i}",
            "id": owner,
            "day": draw(st.sampled_from([None, -9, 0, 1, 1, 2, 3, 9, 10, 20, 400])),
            "ward": draw(st.sampled_from(["a", "b", None])),
        }
        for i, owner in enumerate(owners)
    ]
    people = [{"id": k, "sex": draw(st.sampled_from("fm"))} for k in range(1, 7)]
    return {"people": people, "visits": visits, "drugs": []}


@settings(deadline=None, max_examples=15, derandomize=True)
@given(rows=databases(), fineness=st.sampled_from([1, 256]), length=st.sampled_from([1, 2, 7]))
@example(rows=database(visits_of(1, [0] * 9), visits_of(2, [1, 3])), fineness=256, length=3)
@example(rows=database(visits_of(1, [3, 9]), visits_of(2, [1, 1, 9])), fineness=256, length=40)
def test_a_family_moves_all_answers_with_gaps_by_at_most_f_times_t(
    rows: Rows, fineness: int, length: int
) -> None:
    phase = Phase(weighed=WEIGHED, weighing=(w := Weighing(fineness=fineness, length=length)))
    whole = counted(rows, phase)
    for person in {p["id"] for p in rows["people"]}:
        rest = counted(without(rows, person), phase)
        assert squares(whole.weighed, rest.weighed) <= w.sensitivity**2
        assert int(np.abs(whole.norms - rest.norms).sum()) <= 1


HOSTILE: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "whole numbers": (
        {"kind": "integer", "minimum": -(2**52), "maximum": 2**52},
        [float("inf"), -float("inf"), float("nan"), 1e308, -1e308, 2.0**53, -(2.0**60), 5.5, None],
    ),
    "days": (
        {"kind": "datetime", "minimum": "0001-01-01", "maximum": "9999-12-31", "resolution": "day"},
        ["0001-01-01", "9999-12-31", "10000-01-01", "2262-04-12", "NaT", "inf", "", None],
    ),
    "instants": (
        {"kind": "datetime", "minimum": "1677-01-01", "maximum": "9999-12-31"},
        [
            "9999-12-31T23:59:59.999999",
            "0001-01-01",
            "1677-09-21",
            "2020-01-01T23:59:59",
            "x",
            None,
        ],
    ),
    "spans": (
        {"kind": "duration", "minimum": "0 days", "maximum": "40000 days"},
        ["inf", "nan", "-1 days", "40000 days", "1e308", "x", "2 days", None],
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", HOSTILE)
def test_no_value_moves_more_than_is_paid_warns_or_tells_where_it_stood(
    kind: str, missing: bool
) -> None:
    """Infinities, what no number is, and dates at both ends of the calendar."""
    facts, values = HOSTILE[kind]
    document = clinic(gaps=[0, 1, 2, 10_000])
    own = document["tables"]["visits"]["attributes"]
    own[0] = {"name": "day", **facts, "missing": missing}
    schema, random, n = parse_tables(document), np.random.default_rng(1), 40
    visits = pa.table(
        {
            "visit": [f"v{i}" for i in range(n)],
            "id": random.integers(1, 6, n),
            "day": pa.array(values).take(pa.array(random.integers(0, len(values), n))),
            "ward": random.choice(["a", "b"], n),
        }
    )
    people = pa.table({"id": [1, 2, 3, 4], "sex": ["f", "m", "f", "m"]})
    drugs = pa.table({"visit": [f"v{i}" for i in range(n)], "dose": random.integers(1, 4, n)})
    weighing = Weighing(fineness=64, length=10)
    phase = Phase(weighed=WEIGHED, weighing=weighing)

    def count(people: pa.Table, visits: pa.Table) -> Counted:
        tables = {"people": people, "visits": visits, "drugs": drugs}
        with join_tables(schema, tables) as joined:
            views = code_families(joined.blocks(persons=2), schema=schema, secret=SECRET)
            return count_families(views, schema=schema, phase=phase)

    whole = count(people, visits)
    for person in range(people.num_rows):
        kept = [i for i in range(people.num_rows) if i != person]
        rest = count(people.take(pa.array(kept)), visits)
        assert squares(whole.weighed, rest.weighed) <= weighing.sensitivity**2
    mixed = count(people, visits.take(pa.array(random.permutation(n))))
    assert all((a == b).all() for a, b in zip(whole.weighed, mixed.weighed, strict=True))


def cells(rows: Rows, *clique: str, told: Told | None = None) -> dict[tuple[int, ...], int]:
    """Return what is counted of one marginal of later visits, every row by 1."""
    question = Question(view=later_of("visits"), clique=clique)
    phase = Phase(weighed=(question,), weighing=Weighing(fineness=1, length=1000))
    (values,) = counted(rows, phase, told=told).weighed
    shape = view_domains(GAPS)[later_of("visits")].sizes(clique)
    return {where: int(n) for where, n in np.ndenumerate(values.reshape(shape)) if n}


def test_nobodys_gap_hangs_on_somebody_else() -> None:
    """Whoever stands before a person in the block: a second row has none before its own first."""
    two, quiet = visits_of(3, [4, 5, 9]), visits_of(2, [20, 20])
    clique = ("previous: gap: day", "gap: day")
    alone, both = cells(database(two), *clique), cells(database(quiet, two), *clique)
    none = GAPS.columns["visits"].gaps
    assert none is not None
    assert alone == {(none.none, 1): 1, (1, 2): 1}
    assert both == {(none.none, 1): 1, (1, 2): 1, (none.none, 0): 1}


def test_gaps_are_those_between_days_in_order_whatever_the_file_says() -> None:
    days = [9, 1, None, 2, 2, 400, None]
    rows = database(visits_of(1, days))
    # 1, 2, 2, 9, and 20 for what is beyond; then two without a day.
    expected = {(0,): 1, (1,): 1, (2,): 2, (3,): 2}
    for order in ([0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 1, 5, 2, 4]):
        mixed = {**rows, "visits": [rows["visits"][i] for i in order]}
        assert cells(mixed, "gap: day") == expected


def test_rows_of_nobody_have_no_gap_and_change_none() -> None:
    rows = database(visits_of(1, [1, 3]))
    lost = {**rows, "visits": [*rows["visits"], *visits_of(9, [1, 2, 3])]}
    assert cells(lost, "gap: day") == cells(rows, "gap: day") == {(2,): 1}


def test_the_operator_alone_is_told_of_gaps_beyond_the_longest() -> None:
    told = Told()
    found = cells(database(visits_of(1, [1, 8]), visits_of(2, [1, 2])), "gap: day", told=told)
    assert found == {(1,): 1, (2,): 1}
    with join_tables(GAPS, as_tables(database(visits_of(1, [1, 8])))) as joined:
        words = families_words(GAPS, told, joined.nobodys())
    assert any("1 rows come less than 0 or more than 5 after" in line for line in words)
    assert "odd_gaps" not in repr(told)


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ([0, 1, 1], "must rise"),
        ([5, 1], "must rise"),
        ([-1, 1], "between 0 and"),
        ([0, 2**60], "between 0 and"),
        ([0], "at least 2 items"),
        (list(range(500)), "at most 256 items"),
        ([30, 40], "does not reach as far"),
        ({"edges": [0, 1], "unit": "days"}, "have no unit"),
        ({"edges": [0, 1], "unit": "years"}, "unit"),
        ([0, 1.5], "whole number|integer"),
    ],
)
def test_edges_that_are_no_gaps_are_refused_with_the_schema(gaps: Any, said: str) -> None:
    """Edges come with the schema alone, which the plan names by its digest: no request has any."""
    with pytest.raises(InvalidSchema, match=said):
        parse_tables(clinic(gaps=gaps))


def test_other_edges_are_another_schema_and_none_leave_its_digest_as_it_was() -> None:
    digests = {parse_tables(clinic(gaps=g)).digest for g in (None, [0, 1, 2, 5], [0, 1, 2, 6])}
    assert len(digests) == 3
    assert SCHEMA.digest == BEFORE


BEFORE = "sha256:046e6f4b0cdb22fa9cfcc0d994d32a959c1d2234e123afbda445393b12ae6415"
