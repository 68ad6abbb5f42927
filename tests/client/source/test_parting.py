"""Who is held out: a share of the persons, each by itself, the same under every plan."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.ledger import Ledger
from silosynth.client.source import Part, Splitting, StreamRows, open_table, splitting
from silosynth.client.source.bounding import bounding
from silosynth.common.audit import Parted, Scope, ScopeKind, Side
from silosynth.common.domain import Grouping
from silosynth.common.measurement import MarginalQuery
from silosynth.common.schema import parse_schema

SECRET = bytes(range(32))
SHARE = Fraction(1, 4)
SCHEMA = parse_schema(
    {
        "name": "people",
        "source": "public",
        "attributes": [
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "source": "public"},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"},
        ],
    }
)
BY_PERSON = splitting(SECRET, dataset="people", person_column="person")


def read(table: pa.Table, how: Splitting, *, held_out: bool, pieces: int = 1) -> pa.Table:
    """Return one part of a table that is read in so many pieces."""
    size = -(-table.num_rows // pieces) or 1
    fragments = [
        lambda start=start: table.slice(start, size) for start in range(0, table.num_rows, size)
    ]
    part = Part(splitting=how, share=SHARE, held_out=held_out)
    return pa.concat_tables([table.slice(0, 0), *(f() for f in part.of(fragments))])


def bag(table: pa.Table) -> Counter[tuple[object, ...]]:
    """Return how often each row is there."""
    return Counter(zip(*(c.to_pylist() for c in table.columns), strict=True))


def people(rows: int, *, seed: int = 3) -> pa.Table:
    """Return rows of few persons and few values, so that many are equal."""
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "person": [f"p{i}" for i in draw.integers(0, max(rows // 3, 1), rows)],
            "sex": [["f", "m", None][i] for i in draw.integers(0, 3, rows)],
            "age": draw.integers(0, 4, rows),
        }
    )


def test_one_row_more_changes_one_part_by_that_row_alone() -> None:
    table = people(60)
    for place in range(table.num_rows):
        less = pa.concat_tables([table.slice(0, place), table.slice(place + 1)])
        gone = [
            bag(read(table, BY_PERSON, held_out=side)) - bag(read(less, BY_PERSON, held_out=side))
            for side in (False, True)
        ]
        come = [
            bag(read(less, BY_PERSON, held_out=side)) - bag(read(table, BY_PERSON, held_out=side))
            for side in (False, True)
        ]
        assert sum(map(Counter.total, gone)) == 1
        assert sum(map(Counter.total, come)) == 0


def test_the_parts_are_the_same_however_the_table_is_read() -> None:
    table = people(90)
    whole = [bag(read(table, BY_PERSON, held_out=side)) for side in (False, True)]
    assert whole[0] + whole[1] == bag(table)
    order = np.random.default_rng(1).permutation(table.num_rows)
    for other, pieces in ((table, 7), (table.take(order), 1), (table.take(order), 4)):
        assert [
            bag(read(other, BY_PERSON, held_out=s, pieces=pieces)) for s in (False, True)
        ] == whole


def test_a_person_is_in_one_part_with_all_rows() -> None:
    table = people(300)
    parts = [set(read(table, BY_PERSON, held_out=s)["person"].to_pylist()) for s in (False, True)]
    assert not parts[0] & parts[1]
    assert parts[1]


def test_the_share_is_held_out() -> None:
    rows = 20_000
    table = pa.table({"person": [str(i) for i in range(rows)], "sex": ["f"] * rows})
    held = read(table, BY_PERSON, held_out=True).num_rows
    assert abs(held - rows * SHARE) < 300  # under this secret, whatever the day


@pytest.mark.parametrize("nulls", [1, 3])
def test_a_null_among_the_words_of_a_dictionary_moves_nobody(nulls: int) -> None:
    """Which words a dictionary holds is others' doing, and may not say where anybody is."""
    names = [f"p{i}" for i in range(40)]
    plain = pa.table({"person": names})
    whole = [bag(read(plain, BY_PERSON, held_out=side)) for side in (False, True)]
    for before in (0, 7, 40):
        words = [*names[:before], *[None] * nulls, *names[before:], "nobody's"]
        places = [i + nulls * (i >= before) for i in range(40)]
        encoded = pa.DictionaryArray.from_arrays(pa.array(places), pa.array(words))
        table = pa.table({"person": encoded})
        assert [bag(read(table, BY_PERSON, held_out=s)) for s in (False, True)] == whole
        none = pa.DictionaryArray.from_arrays(pa.array([before]), pa.array(words))
        rows = [read(pa.table({"person": none}), BY_PERSON, held_out=s) for s in (False, True)]
        assert [r.num_rows for r in rows] == [1, 0], "a row without a name is never held out"


def test_a_row_without_a_person_is_never_held_out() -> None:
    table = pa.table({"person": pa.array([None, "a", None], pa.string()), "sex": ["f", "m", "f"]})
    assert None not in read(table, BY_PERSON, held_out=True)["person"].to_pylist()
    assert read(table, BY_PERSON, held_out=False)["person"].to_pylist().count(None) == 2


def test_another_secret_share_data_set_or_column_is_another_split() -> None:
    names = {
        BY_PERSON.name(SHARE),
        BY_PERSON.name(Fraction(1, 10)),
        splitting(bytes(32), dataset="people", person_column="person").name(SHARE),
        splitting(SECRET, dataset="people", person_column="name").name(SHARE),
        splitting(SECRET, dataset="others", person_column="person").name(SHARE),
    }
    assert len(names) == 5
    again = splitting(SECRET, dataset="people", person_column="person")
    assert again.name(SHARE) == BY_PERSON.name(SHARE)
    assert SECRET.hex() not in BY_PERSON.name(SHARE)


def test_what_two_data_sets_cost_one_project_adds_up(tmp_path: Path) -> None:
    """A person may be trained on in one, and held out in the other."""
    project = Scope(kind=ScopeKind.PROJECT, name="p")
    other = splitting(SECRET, dataset="others", person_column="person").name(SHARE)
    parts = [
        Parted(split=BY_PERSON.name(SHARE), side=Side.TRAINING),
        Parted(split=other, side=Side.EVALUATION),
    ]
    with Ledger.hold(Ledger.blank(), path=tmp_path, caps={project: 250}) as ledger:
        for part in parts:
            ledger.charge(part.side.value, "h", cost_units=100, part=part)
        assert ledger.spent(project) == 200


def test_a_source_counts_the_rows_of_a_part() -> None:
    table = people(200)
    rows = open_table(table, schema=SCHEMA, person_column="person", bounding=bounding(SECRET))
    assert isinstance(rows, StreamRows)
    query = [MarginalQuery(clique=("sex", "age"))]
    counts = [
        rows.part(Part(splitting=BY_PERSON, share=SHARE, held_out=held)).count(
            query, levels={"fine": Grouping()}, rows_per_person=9
        )[0]
        for held in (False, True)
    ]
    whole = rows.count(query, levels={"fine": Grouping()}, rows_per_person=9)[0]
    assert (counts[0] + counts[1] == whole).all()
    assert counts[1].sum() == read(table, BY_PERSON, held_out=True).num_rows
