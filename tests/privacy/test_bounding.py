"""One person more or less, with any number of rows, moves every marginal by at most c.

The mutants at the end do what looks as good, and must fail the same check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from silosynth.client.source import bounding as bounding_of_rows
from silosynth.client.source import load_secret, make_secret
from silosynth.client.source.bounding import NAMELESS, SECRET_BYTES, authenticate, rank_rows
from silosynth.client.source.people import gather_people, plain_persons
from silosynth.client.source.spec import CodedTable
from silosynth.common.codec import decode_texts, encode_texts
from silosynth.common.errors import InvalidArgument, InvalidTable, OutputExists
from tests.support.patience import cheap
from tests.support.tables.texts import messages

SECRET = b"s" * SECRET_BYTES
SHAPE = (3, 2, 2)
Row = tuple[int | None, tuple[int, ...]]
Ranker = Callable[[list[Row]], np.ndarray]

rows_of = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 4)),
        st.tuples(*(st.integers(0, size - 1) for size in SHAPE)),
    ),
    max_size=24,
)


def _columns(rows: list[Row]) -> list[np.ndarray]:
    codes = np.array([code for _, code in rows], dtype=np.uint8).reshape(-1, len(SHAPE))
    return [codes[:, i].copy() for i in range(len(SHAPE))]


def _rank(rows: list[Row], secret: bytes = SECRET) -> np.ndarray:
    persons = pa.array([p for p, _ in rows], pa.int64())
    return rank_rows(persons, _columns(rows), secret=secret)


def _tables(rows: list[Row], *, most: int, rank: Ranker) -> list[np.ndarray]:
    """Return every marginal of the kept rows, by brute force."""
    kept = [code for (_, code), r in zip(rows, rank(rows), strict=True) if r < most]
    tables = []
    for size in range(1, len(SHAPE) + 1):
        for clique in combinations(range(len(SHAPE)), size):
            table = np.zeros([SHAPE[i] for i in clique], dtype=np.int64)
            for code in kept:
                table[tuple(code[i] for i in clique)] += 1
            tables.append(table)
    return tables


def _furthest(rows: list[Row], *, person: int, most: int, rank: Ranker) -> int:
    """Return the largest L1 distance of a marginal with and without a person."""
    without = [row for row in rows if row[0] != person]
    pairs = zip(
        _tables(rows, most=most, rank=rank), _tables(without, most=most, rank=rank), strict=True
    )
    return max(int(np.abs(a - b).sum()) for a, b in pairs)


@settings(max_examples=300, deadline=None)
@given(rows=rows_of, person=st.integers(0, 4), most=st.integers(1, 4))
def test_one_person_moves_every_marginal_by_at_most_c(
    rows: list[Row], person: int, most: int
) -> None:
    assert _furthest(rows, person=person, most=most, rank=_rank) <= most


@settings(max_examples=200, deadline=None)
@given(rows=rows_of, most=st.integers(1, 4))
def test_at_most_c_rows_of_each_person_are_kept_and_no_fewer(rows: list[Row], most: int) -> None:
    ranks = _rank(rows)
    for person in {p for p, _ in rows if p is not None}:
        own = [r for (p, _), r in zip(rows, ranks, strict=True) if p == person]
        assert sorted(own) == list(range(len(own)))


@settings(max_examples=200, deadline=None)
@given(rows=rows_of, most=st.integers(1, 4), seed=st.randoms())
def test_the_order_of_the_table_does_not_choose(rows: list[Row], most: int, seed: object) -> None:
    shuffled = list(rows)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    pairs = zip(
        _tables(rows, most=most, rank=_rank),
        _tables(shuffled, most=most, rank=_rank),
        strict=True,
    )
    assert all(np.array_equal(a, b) for a, b in pairs)


def _chosen_texts(rows: list[tuple[str, str]], *, most: int) -> list[str]:
    """Return the texts of the rows that a generator learns from, or that vote."""
    codes, _ = encode_texts(pa.array([t for _, t in rows]), name="text", max_bytes=30)
    coded = CodedTable(
        columns=(np.zeros(len(rows), dtype=np.uint8),),
        persons=pa.chunked_array([[p for p, _ in rows]]),
        notes=(),
        texts=(codes,),
    )
    people = gather_people(
        coded, schema=messages(), bounding=bounding_of_rows.bounding(SECRET), rows_per_person=most
    )
    return sorted(decode_texts(people.examples[:, 1:]).to_pylist())


@pytest.mark.parametrize("most", [1, 2])
def test_the_order_of_the_table_does_not_choose_among_texts(most: int) -> None:
    """A database may give all rows in another order when somebody else's is added."""
    rows = [(p, f"{p} {t}") for p in "ab" for t in ("hello", "", "call now", "call now", "x" * 40)]
    chosen = _chosen_texts(rows, most=most)
    assert len(chosen) == 2 * most
    for turn in range(1, len(rows)):
        assert _chosen_texts(rows[turn:] + rows[:turn], most=most) == chosen
    assert _chosen_texts(rows[::-1], most=most) == chosen


def _no_bounding(rows: list[Row]) -> np.ndarray:
    return np.zeros(len(rows), dtype=np.int32)


def _nameless_as_one_person(rows: list[Row]) -> np.ndarray:
    return _rank([(9 if p is None else p, code) for p, code in rows])


def _by_row_number(rows: list[Row]) -> np.ndarray:
    """Rank a person's rows by a hash of their place in the whole table."""
    keys = [hash((SECRET, i)) for i in range(len(rows))]
    ranks = np.zeros(len(rows), dtype=np.int32)
    for i, (person, _) in enumerate(rows):
        own = [keys[j] for j, (p, _) in enumerate(rows) if p == person]
        ranks[i] = NAMELESS if person is None else sum(key < keys[i] for key in own)
    return ranks


def _several(rows: int, *, persons: int) -> list[Row]:
    rng = np.random.default_rng(3)
    return [
        (int(rng.integers(persons)), tuple(int(rng.integers(s)) for s in SHAPE))
        for _ in range(rows)
    ]


@pytest.mark.parametrize("mutant", [_no_bounding, _by_row_number])
def test_a_mutant_of_the_choice_breaks_the_bound(mutant: Ranker) -> None:
    rows = _several(60, persons=5)
    assert _furthest(rows, person=0, most=1, rank=_rank) <= 1
    assert max(_furthest(rows, person=p, most=1, rank=mutant) for p in range(5)) > 1


def test_rows_without_a_person_taken_as_one_would_break_the_bound() -> None:
    """Two people without a name: the one who leaves may have the row that is kept."""
    names = [None, None]
    codes = [(0, 0, 0), (2, 1, 1)]
    moved = []
    for rank in (_rank, _nameless_as_one_person):
        both = _tables(list(zip(names, codes, strict=True)), most=1, rank=rank)
        alone = [_tables([(None, code)], most=1, rank=rank) for code in codes]
        moved.append(
            max(int(np.abs(a - b).sum()) for one in alone for a, b in zip(both, one, strict=True))
        )
    assert moved == [0, 2]


@settings(max_examples=50, deadline=None)
@given(rows=rows_of)
def test_another_secret_chooses_otherwise(rows: list[Row]) -> None:
    assume(len(rows) > 0)
    assert np.array_equal(_rank(rows) == NAMELESS, _rank(rows, b"t" * 32) == NAMELESS)


def test_the_choice_is_uniform_over_a_persons_rows() -> None:
    """300 persons of 4 rows, one of them odd: it is kept by about a quarter."""
    rows: list[Row] = [
        (p, (2, 0, 0) if i == 0 else (0, 0, 0)) for p in range(3000) for i in range(4)
    ]
    odd = sum(r == 0 and code[0] == 2 for (_, code), r in zip(rows, _rank(rows), strict=True))
    deviation = (3000 * 0.25 * 0.75) ** 0.5
    assert abs(odd - 750) < 5 * deviation
    assert abs(1500 - 750) > 5 * deviation, "equal rows taken as one would give a half"


@pytest.mark.parametrize(
    "persons",
    [
        pa.array(["a", None, "a", "b"]),
        pa.array(["a", None, "a", "b"]).dictionary_encode(),
        pa.chunked_array([["a", None], ["a", "b"]]),
        pa.chunked_array([["a", None], ["a", "b"]], pa.dictionary(pa.int8(), pa.string())),
        pa.array([1.5, float("nan"), 1.5, -2.0]),
        pa.array([0.0, float("nan"), -0.0, 1.0]),
        pa.array(np.array([0.0, np.nan, -0.0, 1.0], dtype=np.float16)),
        pa.array([b"a", None, b"a", b"b"]).cast(pa.string()),
        pa.array([b"\xff", None, b"\xff", b"\xfe"], pa.binary()),
        pa.array([b"\xff", None, b"\xff", b"\xfe"], pa.binary()).view(pa.string()),
        pa.array([b"\xff" * 16, None, b"\xff" * 16, bytes(16)], pa.binary(16)),
        pa.array([1, None, 1, 2], pa.int16()),
        pa.array([18_000, None, 18_000, 1], pa.date32()),
        pa.array([True, None, True, False]),
    ],
)
def test_persons_of_any_plain_type_are_told_apart(persons: pa.Array) -> None:
    ranks = rank_rows(persons, [np.array([0, 1, 1, 0], dtype=np.uint8)], secret=SECRET)
    assert sorted([ranks[0], ranks[2]]) == [0, 1]
    assert (ranks[1], ranks[3]) == (NAMELESS, 0)


def test_rows_whose_marks_begin_alike_stand_in_one_order_whatever_order_they_come_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """How many bits of a mark are compared first hangs on how many persons there are."""

    def begins_alike(blocks: Sequence[np.ndarray], *, secret: bytes) -> np.ndarray:
        marks = authenticate(blocks, secret=secret)
        marks[:, 0] &= np.uint64(1)
        return marks

    monkeypatch.setattr(bounding_of_rows, "authenticate", begins_alike)
    rows: list[Row] = [(person, (a, b, 0)) for person in range(3) for a in range(3) for b in (0, 1)]
    ranks = _rank(rows)
    assert ranks.tolist() == _rank(rows[::-1])[::-1].tolist()
    assert [sorted(ranks[6 * i : 6 * i + 6]) for i in range(3)] == [list(range(6))] * 3


def test_a_nested_person_column_or_a_wrong_length_is_refused() -> None:
    code = np.zeros(1, dtype=np.uint8)
    with pytest.raises(InvalidTable, match="plain column"):
        rank_rows(pa.array([[1]]), [code], secret=SECRET)
    with pytest.raises(InvalidTable, match="plain column"):
        rank_rows(pa.array([pa.MonthDayNano([0, 1, 0])]), [code], secret=SECRET)
    with pytest.raises(InvalidTable, match="length"):
        rank_rows(pa.array([1, 2]), [code], secret=SECRET)
    with pytest.raises(InvalidArgument, match="32 bytes"):
        rank_rows(pa.array([1]), [code], secret=b"short")


def test_intervals_name_no_persons_however_they_are_stored() -> None:
    month, days = pa.MonthDayNano([1, 0, 0]), pa.MonthDayNano([0, 30, 0])
    spans = pa.array([month, days], pa.month_day_nano_interval())
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), spans)
    listed = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int8()), spans)
    for persons in (spans, runs, listed):
        with pytest.raises(InvalidTable, match="no plain values"):
            rank_rows(persons, [np.zeros(2, dtype=np.uint8)], secret=SECRET)
        with pytest.raises(InvalidTable, match="no plain values"):
            plain_persons(pa.chunked_array([persons]))


def test_an_empty_table_has_no_ranks() -> None:
    assert len(rank_rows(pa.array([], pa.string()), [np.zeros(0, np.uint8)], secret=SECRET)) == 0


def test_a_million_rows_are_ranked_in_seconds() -> None:
    rng = np.random.default_rng(0)
    codes = [rng.integers(0, 50, 10**6).astype(np.uint8) for _ in range(15)]
    persons = pa.array(rng.integers(0, 330_000, 10**6))
    with cheap(units=500):
        rank_rows(persons, codes, secret=SECRET)


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    make_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(load_secret(path)) == SECRET_BYTES
    with pytest.raises(OutputExists):
        make_secret(path)
    path.chmod(0o640)
    with pytest.raises(InvalidArgument, match="other users"):
        load_secret(path)
