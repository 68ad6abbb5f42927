"""A person with all rows below it moves what is counted of families by what is paid for, exactly.

Brute force: small databases are drawn, each person is dropped with its whole family, and the
difference is measured in whole numbers. No verdict is by chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from silosynth.client.families import count
from silosynth.client.families.count import BEYOND, Counted, View, add_squares, count_families
from silosynth.client.families.join import join_tables
from silosynth.client.families.owners import PERSON
from silosynth.client.families.rows import Told, code_families
from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidPlan
from silosynth.common.families import (
    NORM_BINS,
    Phase,
    Question,
    first_of,
    later_of,
    norm_bins,
    view_domains,
)
from silosynth.common.families.questions import Weighing
from silosynth.common.tables import parse_tables
from tests.support.tables.families import PEOPLE, VISITS

SECRET = bytes(range(32))
SCHEMA = parse_tables(
    {
        "person": "people",
        "source": "public",
        "tables": {
            "people": PEOPLE,
            "visits": VISITS,
            "drugs": {
                "parent": "visits",
                "by": "visit",
                "children": [0, 1, 3],
                "attributes": [{"name": "dose", "kind": "integer", "minimum": 1, "maximum": 3}],
            },
        },
    }
)
WEIGHED = tuple(
    Question(view=view, clique=clique, scale=scale)
    for view, clique, scale in (
        (later_of("visits"), ("day",), 3),
        (later_of("visits"), ("ward", "previous: ward"), 1),
        (later_of("visits"), ("ward", "second before: ward"), 1),
        (later_of("visits"), ("place among rows", "same: ward"), 1),
        (later_of("visits"), ("place among rows", "number of drugs"), 1),
        (later_of("visits"), ("people: sex", "people: number of visits", "ward"), 1),
        (first_of("drugs"), ("dose",), 2),
        (first_of("drugs"), ("dose", "visits: ward"), 1),
        (later_of("drugs"), ("dose", "previous: dose"), 2),
    )
)
PLAIN = (
    Question(view="people", clique=("sex", "number of visits")),
    Question(view=first_of("visits"), clique=("ward", "day")),
    Question(view=first_of("visits"), clique=("people: sex", "number of drugs")),
)
Rows = dict[str, list[dict[str, Any]]]


def as_tables(rows: Rows) -> dict[str, pa.Table]:
    kinds = {
        "people": {"id": pa.int64(), "sex": pa.string()},
        "visits": {
            "visit": pa.string(),
            "id": pa.float64(),
            "day": pa.int64(),
            "ward": pa.string(),
        },
        "drugs": {"visit": pa.string(), "dose": pa.int64()},
    }
    return {
        name: pa.Table.from_pylist(rows[name], schema=pa.schema(list(kinds[name].items())))
        for name in kinds
    }


def counted(rows: Rows, phase: Phase, *, persons: int = 3, told: Told | None = None) -> Counted:
    with join_tables(SCHEMA, as_tables(rows)) as joined:
        blocks = joined.blocks(persons=persons)
        views = code_families(blocks, schema=SCHEMA, secret=SECRET, told=told)
        return count_families(views, schema=SCHEMA, phase=phase)


def without(rows: Rows, person: int) -> Rows:
    """Drop a person: every row with its key, and all that hangs on those."""
    visits = {v["visit"] for v in rows["visits"] if v["id"] == person}
    return {
        "people": [p for p in rows["people"] if p["id"] != person],
        "visits": [v for v in rows["visits"] if v["id"] != person],
        "drugs": [d for d in rows["drugs"] if d["visit"] not in visits],
    }


def squares(parts: tuple[np.ndarray, ...], others: tuple[np.ndarray, ...]) -> int:
    """Return the square of the distance of answers, stacked, in whole numbers."""
    return sum(
        int(x) ** 2 for a, b in zip(parts, others, strict=True) for x in (a - b).astype(object)
    )


@st.composite
def databases(draw: st.DrawFn) -> Rows:
    """Draw people, some twice under one key, with visits of equal days, drugs, and strangers."""
    keys = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    people = [{"id": k, "sex": draw(st.sampled_from("fm"))} for k in keys]
    owners = draw(st.lists(st.integers(1, 8), max_size=14))
    visits = [
        {
            "visit": f"{owner}-{draw(st.integers(0, 5))}",
            "id": float(owner),
            "day": draw(st.integers(0, 5)),
            "ward": draw(st.sampled_from(["a", "b", None])),
        }
        for owner in owners
    ]
    named = [v["visit"] for v in visits] + ["9-9", None]
    drugs = [
        {"visit": draw(st.sampled_from(named)), "dose": draw(st.integers(1, 3))}
        for _ in range(draw(st.integers(0, 12)))
    ]
    return {"people": people, "visits": visits, "drugs": drugs}


def heavy(visits: int, drugs: int) -> Rows:
    """One person whose rows all fall in one cell of each marginal, beside a quiet one."""
    own = [{"visit": f"v{i}", "id": 1.0, "day": 1, "ward": "a"} for i in range(visits)]
    below = [{"visit": f"v{i}", "dose": 2} for i in range(visits) for _ in range(drugs)]
    quiet = [{"visit": "q", "id": 2.0, "day": 0, "ward": "b"}]
    people = [{"id": 1, "sex": "f"}, {"id": 2, "sex": "m"}]
    return {"people": people, "visits": own + quiet, "drugs": below}


@settings(deadline=None, max_examples=12, derandomize=True)
@given(rows=databases(), fineness=st.sampled_from([1, 4, 256]), length=st.sampled_from([1, 2, 7]))
@example(rows=heavy(6, 2), fineness=256, length=3)
@example(rows=heavy(2, 0), fineness=256, length=1)
def test_a_family_moves_all_weighed_answers_by_at_most_f_times_t(
    rows: Rows, fineness: int, length: int
) -> None:
    weighing = Weighing(fineness=fineness, length=length)
    phase = Phase(weighed=WEIGHED, weighing=weighing)
    whole = counted(rows, phase)
    for person in {p["id"] for p in rows["people"]}:
        rest = counted(without(rows, person), phase)
        moved = squares(whole.weighed, rest.weighed)
        assert moved <= weighing.sensitivity**2
        assert int(np.abs(whole.norms - rest.norms).sum()) <= 1


@settings(deadline=None, max_examples=12, derandomize=True)
@given(rows=databases())
@example(rows=heavy(3, 1))
@example(rows=heavy(1, 1) | {"people": [{"id": 1, "sex": "f"}, {"id": 1, "sex": "m"}]})
def test_a_family_moves_each_plain_answer_by_one_in_one_cell(rows: Rows) -> None:
    whole = counted(rows, Phase(plain=PLAIN))
    for person in {p["id"] for p in rows["people"]}:
        rest = counted(without(rows, person), Phase(plain=PLAIN))
        for all_rows, fewer in zip(whole.plain, rest.plain, strict=True):
            moved = all_rows - fewer
            assert moved.min() >= 0
            assert moved.sum() <= 1


@settings(deadline=None, max_examples=8, derandomize=True)
@given(rows=databases(), seed=st.integers(0, 2**16))
def test_where_a_row_stands_in_its_file_changes_nothing(rows: Rows, seed: int) -> None:
    random = np.random.default_rng(seed)
    mixed = {n: [part[i] for i in random.permutation(len(part))] for n, part in rows.items()}
    phase = Phase(plain=PLAIN, weighed=WEIGHED, weighing=Weighing(fineness=256, length=3))
    one, other = counted(rows, phase), counted(mixed, phase, persons=1)
    assert squares((*one.plain, *one.weighed), (*other.plain, *other.weighed)) == 0


def test_rows_of_one_day_are_ordered_by_a_secret() -> None:
    both = [(i, ward) for i in range(40) for ward in "ab"]
    wards = [{"visit": f"{i}{w}", "id": float(i), "day": 1, "ward": w} for i, w in both]
    people = [{"id": i, "sex": "f"} for i in range(40)]
    phase = Phase(plain=(Question(view=first_of("visits"), clique=("ward",)),))
    rows: Rows = {"people": people, "visits": wards, "drugs": []}
    with join_tables(SCHEMA, as_tables(rows)) as joined:
        (block,) = joined.blocks(persons=100)
    found = []
    for how in ("ascending", "descending"):
        visits = block["visits"].sort_by([(PERSON, "ascending"), ("ward", how)])
        views = code_families([{**block, "visits": visits}], schema=SCHEMA, secret=SECRET)
        found.append(count_families(views, schema=SCHEMA, phase=phase).plain[0].tolist())
    assert found[0] == found[1]
    assert min(found[0][:2]) > 5, "one ward is first at everybody"


def test_rows_that_differ_in_what_is_below_them_alone_are_ordered_by_a_secret() -> None:
    visits = [
        {"visit": f"{i}-{n}", "id": float(i), "day": 1, "ward": "a"}
        for i in range(40)
        for n in range(2)
    ]
    drugs = [{"visit": f"{i}-0", "dose": 1} for i in range(40)]
    people = [{"id": i, "sex": "f"} for i in range(40)]
    phase = Phase(plain=(Question(view=first_of("visits"), clique=("number of drugs",)),))
    one = counted({"people": people, "visits": visits, "drugs": drugs}, phase).plain[0]
    other = counted({"people": people, "visits": visits[::-1], "drugs": drugs}, phase).plain[0]
    assert one.tolist() == other.tolist()
    assert min(one[0], one[1]) > 5, "the visit with a drug is first, or second, at everybody"


def moved_by_the_last(visits: list[dict[str, Any]], drugs: list[dict[str, Any]]) -> None:
    """Check that the last of 40 moves what it may, where its going mixes all others' rows.

    Rows come by person alone: which of a person's is first may change with everybody else's.
    """
    people = [{"id": i, "sex": "f"} for i in range(40)]
    whole: Rows = {"people": people, "visits": visits, "drugs": drugs}
    rest = {name: part[::-1] for name, part in without(whole, 39).items()}
    weighing = Weighing(fineness=256, length=2)
    phase = Phase(plain=PLAIN, weighed=WEIGHED, weighing=weighing)
    one, other = counted(whole, phase), counted(rest, phase)
    for all_rows, fewer in zip(one.plain, other.plain, strict=True):
        assert np.abs(all_rows - fewer).sum() <= 1
    assert squares(one.weighed, other.weighed) <= weighing.sensitivity**2


def test_rows_of_one_bin_stand_as_their_own_numbers_say_whoever_else_is_there() -> None:
    """Days 2 and 5 are one code, and two places in the order."""
    days = [(2, "a"), (5, "a"), (2, "b"), (5, "b")]
    moved_by_the_last(
        [
            {"visit": None, "id": float(i), "day": day, "ward": ward}
            for i in range(40)
            for day, ward in days
        ],
        [],
    )


def test_a_key_on_two_rows_has_what_is_below_it_at_one_of_them_whoever_else_is_there() -> None:
    """All three keys have as many below them: the row of day 1 has those of both of its key."""
    own = [("k", 2, "a"), ("k", 1, "b"), ("c", 2, "a")]
    moved_by_the_last(
        [
            {"visit": f"{i}-{key}", "id": float(i), "day": day, "ward": ward}
            for i in range(40)
            for key, day, ward in own
        ],
        [
            {"visit": f"{i}-{key}", "dose": dose}
            for i in range(40)
            for key, dose in (("k", 1), ("k", 1), ("k", 2), ("c", 3), ("c", 3), ("c", 3))
        ],
    )


def test_rows_that_belong_to_nobody_are_not_counted_and_told_to_the_operator_alone() -> None:
    rows = heavy(2, 1)
    strange: Rows = {
        "people": [*rows["people"], {"id": None, "sex": "f"}],
        "visits": [
            *rows["visits"],
            *({"visit": f"s{i}", "id": 7.0, "day": 1, "ward": "a"} for i in range(5)),
            {"visit": "t", "id": None, "day": 1, "ward": "a"},
        ],
        "drugs": [*rows["drugs"], {"visit": "s1", "dose": 3}, {"visit": "none", "dose": 3}],
    }
    phase = Phase(plain=PLAIN, weighed=WEIGHED, weighing=Weighing(fineness=256, length=3))
    one, other = counted(rows, phase), counted(strange, phase)
    assert squares((*one.plain, *one.weighed), (*other.plain, *other.weighed)) == 0
    with join_tables(SCHEMA, as_tables(strange)) as joined:
        assert joined.nobodys().rows == {"people": 1, "visits": 6, "drugs": 2}
        assert "6" not in repr(joined.nobodys())


def test_a_row_below_a_key_of_two_persons_counts_for_one_of_them() -> None:
    rows = heavy(1, 1)
    rows["visits"].append({"visit": "v0", "id": 2.0, "day": 2, "ward": "b"})
    question = (Question(view=first_of("drugs"), clique=("people: sex",)),)
    phase = Phase(weighed=question, weighing=Weighing(fineness=4, length=9))
    assert counted(rows, phase).weighed[0].sum() == 4


def test_a_plain_question_of_several_rows_a_person_is_refused() -> None:
    for view in (later_of("visits"), first_of("drugs"), later_of("drugs")):
        attribute = view_domains(SCHEMA)[view].attributes[0]
        with pytest.raises(InvalidPlan, match="several rows"):
            Phase(plain=(Question(view=view, clique=(attribute,)),)).check(SCHEMA)


@given(squares=st.lists(st.integers(0, 2**80), min_size=1, max_size=20))
def test_weights_are_the_largest_that_keep_the_bound(squares: list[int]) -> None:
    weighing = Weighing(fineness=256, length=5)
    small = [s % 2**62 for s in squares]
    for found, given_ in (
        (weighing.weights(squares), squares),
        (weighing.weights(np.array(small, dtype=np.int64)), small),
    ):
        for weight, square in zip(found.tolist(), given_, strict=True):
            assert weight**2 * square <= weighing.sensitivity**2
            larger = (weight + 1) ** 2 * square > weighing.sensitivity**2
            assert larger or weight == weighing.fineness or square == 0


def test_squares_do_not_wrap_however_many_rows_a_person_has() -> None:
    rows, times = 2**20, 16
    domain = Domain(attributes=("a",), shape=(1,))
    columns = (np.zeros(rows, dtype=np.uint8),)
    view = View(domain=domain, columns=columns, person=np.zeros(rows, dtype=np.int64))
    questions = (Question(view="x", clique=("a",), scale=2**10),) * times
    found = add_squares({"x": view}, questions, persons=1)
    assert times * (rows * 2**10) ** 2 == 2**64
    assert found.tolist() == [BEYOND]
    assert norm_bins(found).tolist() == [NORM_BINS - 1]
    assert Weighing(fineness=4096, length=2**18).weights(found).tolist() == [0]


@given(
    scales=st.lists(st.integers(1, 2**10), min_size=1, max_size=4),
    counts=st.lists(st.integers(1, 2**31), min_size=1, max_size=3),
)
@example(scales=[2**10], counts=[2**20])
@example(scales=[1, 1], counts=[2**30])
@example(scales=[2**10], counts=[2**31])
def test_long_squares_weigh_and_are_long_as_they_are(scales: list[int], counts: list[int]) -> None:
    """By cells whose counts are stated, since nobody has so many rows in a test."""
    questions = [Question(view="x", clique=(f"a{i}",), scale=s) for i, s in enumerate(scales)]
    names = tuple(q.clique[0] for q in questions)
    domain = Domain(attributes=names, shape=(len(counts),) * len(names))
    columns = (np.arange(len(counts), dtype=np.uint8),) * len(names)
    view = View(domain=domain, columns=columns, person=np.zeros(len(counts), dtype=np.int64))
    stated = (np.zeros(len(counts), dtype=np.int64), np.array(counts, dtype=np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(count, "_counts_by_person", lambda *_, **__: stated)
        found = add_squares({"x": view}, questions, persons=1)
    exact = sum((s * c) ** 2 for s in scales for c in counts)
    assert found[0] == exact or (found[0] == BEYOND and exact > 2**60)
    assert norm_bins(found).tolist() == norm_bins([exact]).tolist()
    longest = Weighing(fineness=2**12, length=2**18)
    assert longest.weights(found).tolist() == longest.weights([exact]).tolist()


def test_cells_of_large_marginals_are_told_apart_at_every_person() -> None:
    persons, size = 2**13, 2**52
    domain = Domain(attributes=("a", "b"), shape=(2**26, 2**26))
    codes = np.full(persons, 2**26 - 1, dtype=np.uint32)
    view = View(domain=domain, columns=(codes, codes), person=np.arange(persons))
    assert persons * size > 2**63
    found = add_squares({"x": view}, [Question(view="x", clique=("a", "b"))], persons=persons)
    assert np.array_equal(found, np.ones(persons))


def test_a_question_of_more_cells_than_fit_is_refused() -> None:
    words = [f"w{i}" for i in range(63)]
    wide = [{"name": f"a{i}", "kind": "categorical", "categories": words} for i in range(8)]
    rows = {"key": "id", "attributes": wide}
    schema = parse_tables({"person": "people", "source": "public", "tables": {"people": rows}})
    clique = view_domains(schema)["people"].attributes
    Phase(plain=(Question(view="people", clique=clique[:6]),)).check(schema)
    with pytest.raises(InvalidPlan, match="cells"):
        Phase(plain=(Question(view="people", clique=clique),)).check(schema)


@given(square=st.integers(1, 2**70))
def test_a_norm_lies_in_its_bin(square: int) -> None:
    (found,) = norm_bins([square]).tolist()
    assert 2**found <= square**2
    assert found == NORM_BINS - 1 or square**2 < 2 ** (found + 1)


@pytest.mark.parametrize("facts", [{"fineness": 0}, {"length": 0}, {"fineness": 2**13}])
def test_numbers_of_a_phase_have_public_bounds(facts: Mapping[str, int]) -> None:
    with pytest.raises(InvalidPlan):
        Weighing(**{"fineness": 256, "length": 4, **facts})


def test_first_and_later_rows_are_those_of_a_reference() -> None:
    rows: Rows = {
        "people": [{"id": 1, "sex": "f"}, {"id": 2, "sex": "m"}, {"id": 3, "sex": "m"}],
        "visits": [
            {"visit": "x", "id": 1.0, "day": 2, "ward": "b"},
            {"visit": "y", "id": 1.0, "day": 0, "ward": "a"},
            {"visit": "z", "id": 1.0, "day": 1, "ward": "b"},
            {"visit": "u", "id": 3.0, "day": 1, "ward": "a"},
        ],
        "drugs": [{"visit": "x", "dose": 3}, {"visit": "z", "dose": 1}, {"visit": "z", "dose": 1}],
    }
    told = Told()
    later = Question(view=later_of("visits"), clique=("previous: ward", "ward"))
    weighing = Weighing(fineness=64, length=100)
    phase = Phase(
        plain=(
            Question(view="people", clique=("number of visits",)),
            Question(view=first_of("visits"), clique=("ward", "people: sex")),
        ),
        weighed=(later, Question(view=first_of("drugs"), clique=("dose", "visits: day"))),
        weighing=weighing,
    )
    found = counted(rows, phase, told=told)
    assert found.plain[0].tolist() == [1, 1, 1]
    assert found.plain[1].reshape(3, 2).tolist() == [[1, 1], [0, 0], [0, 0]]
    pairs = {(0, 1): 64, (1, 1): 64}
    assert {
        (i, j): int(n) for (i, j), n in np.ndenumerate(found.weighed[0].reshape(3, 3)) if n
    } == pairs
    doses = found.weighed[1].reshape(3, 3)
    assert {(i, j): int(n) for (i, j), n in np.ndenumerate(doses) if n} == {(2, 2): 64, (0, 1): 64}
    assert Fraction(int(found.weighed[0].sum()), weighing.fineness) == 2
    assert told.rows == {"people": 3, "visits": 4, "drugs": 3}


def test_a_later_row_has_its_place_and_the_rows_before_it() -> None:
    wards = "aabba"
    rows: Rows = {
        "people": [{"id": 1, "sex": "f"}],
        "visits": [
            {"visit": str(i), "id": 1.0, "day": min(i, 2), "ward": ward}
            for i, ward in enumerate(wards)
        ],
        "drugs": [],
    }

    def cells(*clique: str) -> dict[tuple[int, ...], int]:
        question = Question(view=later_of("visits"), clique=clique)
        phase = Phase(weighed=(question,), weighing=Weighing(fineness=1, length=100))
        (values,) = counted(rows, phase).weighed
        shape = view_domains(SCHEMA)[later_of("visits")].sizes(clique)
        return {where: int(n) for where, n in np.ndenumerate(values.reshape(shape)) if n}

    assert cells("place among rows") == {(1,): 1, (3,): 1, (4,): 1, (6,): 1}
    assert cells("same: ward") == {(0,): 2, (1,): 2}
    # The second row has none before the first; then a a, a b, b b.
    assert cells("second before: ward", "ward") == {(0, 0): 1, (0, 1): 2, (1, 0): 1}
    assert cells("place among rows", "ward") == {(1, 0): 1, (3, 1): 1, (4, 1): 1, (6, 0): 1}
