"""The sampler of a mixture's tables: its law, conditions, file and refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidSampler
from silosynth.common.sampler import (
    TableSampler,
    condition_on,
    draw_codes,
    dump_sampler,
    load_sampler,
    pack,
    parse_sampler,
    probability_of,
    save_sampler,
    shares,
    shares_within,
    unpack,
)
from silosynth.common.sampler.stored.manifest import sums_of
from tests.common.sampler.test_neural import GROUPS, SCHEMA, WITHIN

WEIGHTS = np.array([0.2, 0.5, 0.3])
SIZES = (2, max(GROUPS) + 1, 2)


def tables() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.dirichlet(np.ones(size), 3) for size in SIZES]


def made_sampler(**changes: Any) -> TableSampler:
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "grouping": Grouping(groups={"age": GROUPS}),
        "within": {"age": shares_within(WITHIN, groups=np.asarray(GROUPS), name="age")},
        "weights": shares(WEIGHTS[None], name="w")[0],
        "tables": tuple(shares(t, name="t") for t in tables()),
        "total": 1000,
        "certificate": {"epsilon": 1.0},
        "plan_digest": "sha256:" + "0" * 64,
    }
    return TableSampler(**(facts | changes))


def joint() -> np.ndarray:
    """Return the joint over fine codes, component by component."""
    groups = np.asarray(GROUPS)
    inside = WITHIN / np.bincount(groups, weights=WITHIN)[groups]
    sex, age, ill = tables()
    return np.einsum("z,za,zb,zc->abc", WEIGHTS, sex, age[:, groups] * inside, ill)


def drawn(sampler: TableSampler, *, rows: int = 200_000) -> np.ndarray:
    table = np.zeros((2, 10, 2))
    np.add.at(table, draw_codes(sampler, rows=rows, seed=1), 1)
    return table / rows


def test_rows_follow_the_tables() -> None:
    assert np.abs(drawn(made_sampler()) - joint()).max() < 0.005


def test_conditions_are_exact() -> None:
    given = condition_on(made_sampler(), {"ill": "true", "age": "30..59"})
    wanted = joint()
    for axis, name in enumerate(("sex", "age", "ill")):
        if name in given.allowed:
            wanted *= given.allowed[name].reshape([-1 if i == axis else 1 for i in range(3)])
    found = drawn(given)
    assert np.abs(found - wanted / wanted.sum()).max() < 0.005
    assert not found[wanted == 0].any()
    assert given.total == pytest.approx(1000 * wanted.sum(), abs=1)


@pytest.mark.parametrize("where", [{}, {"sex": "f"}, {"sex": "f", "age": "30..59"}])
def test_a_probability_is_what_a_condition_leaves_of_all_rows(where: dict[str, str]) -> None:
    sampler = made_sampler(total=10**9)
    left = condition_on(sampler, where).total / sampler.total
    assert probability_of(sampler, where) == pytest.approx(left, abs=1e-8)
    given = condition_on(sampler, {"sex": "f"})
    both = probability_of(sampler, where | {"sex": "f"}) / probability_of(sampler, {"sex": "f"})
    assert probability_of(given, where) == pytest.approx(both, abs=1e-8)


def test_a_file_holds_it_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "m.sampler"
    save_sampler(made_sampler(), path)
    again = load_sampler(path)
    assert isinstance(again, TableSampler)
    assert dump_sampler(again) == path.read_bytes()
    for ours, theirs in zip(
        draw_codes(again, rows=100, seed=3),
        draw_codes(made_sampler(), rows=100, seed=3),
        strict=True,
    ):
        assert (ours == theirs).all()


def test_counts_are_the_expected_ones_rounded() -> None:
    """Rows drawn one by one would be off by about the root of as many: 60 of 20,000."""
    sampler, rows = made_sampler(), 20_000
    codes = draw_codes(sampler, rows=rows, seed=3)
    expected = joint()
    for axis, column in enumerate(codes):
        others = tuple(i for i in range(3) if i != axis)
        wanted = expected.sum(axis=others) * rows
        found = np.bincount(column, minlength=len(wanted))
        assert np.abs(found - wanted).max() <= 2 * len(WEIGHTS)


def test_fewer_rows_than_components_follow_the_tables_too() -> None:
    """The mean over draws is the joint, however few rows lie in a component."""
    found = np.zeros((2, 10, 2))
    for seed in range(20_000):
        np.add.at(found, draw_codes(made_sampler(), rows=2, seed=seed), 1)
    assert np.abs(found / found.sum() - joint()).max() < 0.01


def test_more_components_than_16_bits_hold_are_drawn() -> None:
    count = 2**16 + 10
    one = np.zeros((count, 2))
    one[:, 0], one[-1] = 1.0, (0.0, 1.0)
    last = np.zeros(count)
    last[-1] = 1.0
    sampler = made_sampler(
        weights=shares(last[None], name="w")[0],
        tables=tuple(
            shares(one if size == 2 else np.ones((count, size)), name="t") for size in SIZES
        ),
    )
    sex, _, ill = draw_codes(sampler, rows=50, seed=1)
    assert sex.all()
    assert ill.all()


def test_conditions_have_no_file() -> None:
    with pytest.raises(InvalidSampler, match="no file"):
        dump_sampler(condition_on(made_sampler(), {"ill": "true"}))


def test_a_condition_that_nothing_meets_is_refused() -> None:
    yes = np.tile(np.array([[1.0, 0.0]]), (3, 1))
    certain = (*made_sampler().tables[:2], shares(yes, name="ill"))
    with pytest.raises(InvalidArgument, match="no row"):
        condition_on(made_sampler(tables=certain), {"ill": "true"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights": np.array([1, 2, 3], dtype=np.uint32)}, "components do not rise to one"),
        ({"tables": made_sampler().tables[:2]}, "one table for each"),
        (
            {"tables": (*made_sampler().tables[1:], made_sampler().tables[0])},
            "shape of their domain",
        ),
        ({"weights": made_sampler().weights[:2]}, "rise to one"),
    ],
)
def test_what_cannot_be_drawn_from_cannot_be_built(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSampler, match=words):
        made_sampler(**changes)


def _changed(**changes: Any) -> bytes:
    """Return the file with another manifest, whose sums are right."""
    members = {name: bytes(data) for name, data in unpack(dump_sampler(made_sampler())).items()}
    manifest = json.loads(members["manifest.json"]) | changes
    tables = changes.pop("tables", None)
    if tables is not None:
        members["tables.npy"] = tables
        manifest["members"]["tables.npy"] |= sums_of(tables)
    return pack(members | {"manifest.json": json.dumps(manifest).encode()})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "version"),
        ({"version": 5}, "conditionals in version 5 alone"),
        ({"version": 6}, "the version is none of 1, 2, 3, 4, 5"),
        ({"version": 4}, "a member is missing"),
        ({"mixture": None}, "a mixture is of version 3, 4 or 5"),
        ({"mixture": {"components": 4}}, "do not fit its schema"),
        ({"conditionals": [{"attribute": "sex", "given": []}]}, "conditionals in version 5 alone"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(changes: dict[str, Any], words: str) -> None:
    assert parse_sampler(_changed()).total == 1000
    with pytest.raises(InvalidSampler, match=words):
        parse_sampler(_changed(**changes))
