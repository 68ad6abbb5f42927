"""A sampler whose conditionals are over a mixture's component too: law, conditions, file."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidSampler
from silosynth.common.held.likelihood import likelihood_of
from silosynth.common.sampler import (
    COMPONENT,
    Conditional,
    Sampler,
    clique_shares,
    condition_on,
    describe_sampler,
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
from tests.common.sampler.test_neural import GROUPS, SCHEMA, WITHIN

COMPONENTS, AGES = 3, max(GROUPS) + 1
WEIGHTS = np.array([0.2, 0.5, 0.3])


def parts() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sex by component, age by component and sex, ill by component; one age is forbidden."""
    random = np.random.default_rng(0)
    age = random.dirichlet(np.ones(AGES), (COMPONENTS, 2))
    age[:, 1, 0] = 0.0
    age /= age.sum(axis=2, keepdims=True)
    return (
        random.dirichlet(np.ones(2), COMPONENTS),
        age,
        random.dirichlet(np.ones(2), COMPONENTS),
    )


def made_sampler(**changes: Any) -> Sampler:
    sex, age, ill = parts()
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "grouping": Grouping(groups={"age": GROUPS}),
        "within": {"age": shares_within(WITHIN, groups=np.asarray(GROUPS), name="age")},
        "conditionals": (
            Conditional(attribute=COMPONENT, given=(), ends=shares(WEIGHTS[None], name="c")),
            Conditional(attribute="sex", given=(COMPONENT,), ends=shares(sex, name="sex")),
            Conditional(
                attribute="age",
                given=(COMPONENT, "sex"),
                ends=shares(age.reshape(-1, AGES), name="age"),
            ),
            Conditional(attribute="ill", given=(COMPONENT,), ends=shares(ill, name="ill")),
        ),
        "components": COMPONENTS,
        "total": 1000,
        "certificate": {"epsilon": 1.0},
        "plan_digest": "sha256:" + "0" * 64,
    }
    return Sampler(**(facts | changes))


def joint() -> np.ndarray:
    """Return the share of every row over working codes."""
    sex, age, ill = parts()
    return np.einsum("z,za,zab,zc->abc", WEIGHTS, sex, age, ill)


def fine() -> np.ndarray:
    """Return the share of every row over fine codes."""
    groups = np.asarray(GROUPS)
    inside = WITHIN / np.bincount(groups, weights=WITHIN)[groups]
    return joint()[:, groups] * inside[None, :, None]


def drawn(sampler: Sampler, *, rows: int = 200_000) -> np.ndarray:
    table = np.zeros((2, 10, 2))
    columns = draw_codes(sampler, rows=rows, seed=1)
    assert len(columns) == 3
    np.add.at(table, columns, 1)
    return table / rows


def test_rows_follow_the_law_and_never_show_their_component() -> None:
    found = drawn(made_sampler())
    assert np.abs(found - fine()).max() < 0.005
    assert not found[fine() == 0].any()
    assert made_sampler().draw(5, seed=1).shape[1] == 3


def test_conditions_are_exact() -> None:
    where = {"ill": "true", "age": "30..59"}
    given = condition_on(made_sampler(), where)
    found = drawn(given)
    wanted = fine()
    wanted[:, :, 0] = 0.0
    ages = np.flatnonzero(found.sum(axis=(0, 2)))
    wanted[:, np.setdiff1d(np.arange(10), ages)] = 0.0
    assert np.abs(found - wanted / wanted.sum()).max() < 0.005
    assert probability_of(made_sampler(), where) == pytest.approx(wanted.sum(), abs=1e-6)


def test_cliques_are_without_the_component() -> None:
    found = dict(clique_shares(made_sampler()))
    assert set(found) == {("sex",), ("sex", "age"), ("ill",)}
    assert found["sex", "age"] == pytest.approx(joint().sum(axis=2), abs=1e-8)
    assert found[("ill",)] == pytest.approx(joint().sum(axis=(0, 1)), abs=1e-8)


def test_a_row_is_as_likely_as_the_components_make_it_together() -> None:
    sampler = made_sampler()
    columns = draw_codes(sampler, rows=2_000, seed=3)
    law = likelihood_of(sampler, columns)
    cells = tuple(np.array(list(product(range(2), range(10), range(2)))).T)
    codes = law.working(cells)
    alone = sum(a[c] for a, c in zip(law.alone, codes, strict=True))
    with np.errstate(divide="ignore"):
        exact = np.log(joint()[tuple(codes)])
    wanted = np.log(0.9 * np.exp(exact - alone) + 0.1)
    assert law.gains(cells, clip=50) == pytest.approx(np.clip(wanted, -np.log(10), 50), abs=1e-4)
    odds = law.scores(cells, 2, np.array([False, True]))
    there = joint()[codes[0], codes[1]]
    possible = there.sum(axis=1) > 0
    wanted = np.log(there[possible, 1] / there[possible, 0])
    # Scores are of a law with a thousandth of independent columns in it.
    assert odds[possible] == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("together", [1, 2, 63, 65])
def test_what_is_said_of_a_row_is_the_same_whoever_else_is_there(together: int) -> None:
    """A neighbouring table has one row more: every other row must count as it did, to the bit."""
    random, many = np.random.default_rng(5), 64
    sampler = made_sampler(
        components=many,
        conditionals=(
            Conditional(
                attribute=COMPONENT,
                given=(),
                ends=shares(random.dirichlet(np.ones(many))[None], name="c"),
            ),
            *(
                Conditional(
                    attribute=name,
                    given=(COMPONENT,),
                    ends=shares(random.dirichlet(np.ones(size), many), name=name),
                )
                for name, size in (("sex", 2), ("age", AGES), ("ill", 2))
            ),
        ),
    )
    columns = draw_codes(sampler, rows=300, seed=3)
    law, positive = likelihood_of(sampler, columns), np.array([False, True])
    parts = [[c[i : i + together] for c in columns] for i in range(0, 300, together)]
    gains = np.concatenate([law.gains(part, clip=8) for part in parts])
    assert np.array_equal(gains, law.gains(columns, clip=8))
    scores = np.concatenate([law.scores(part, 2, positive) for part in parts])
    assert np.array_equal(scores, law.scores(columns, 2, positive))


def test_a_file_is_of_version_5_and_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.sampler"
    save_sampler(made_sampler(), path)
    members = unpack(path.read_bytes())
    manifest = json.loads(bytes(members["manifest.json"]))
    assert manifest["version"] == 5
    assert manifest["mixture"] == {"components": COMPONENTS}
    read = load_sampler(path)
    assert isinstance(read, Sampler)
    assert dump_sampler(read) == path.read_bytes()
    assert describe_sampler(read)["mixture"] == {"components": COMPONENTS}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "a mixture is of version 3, 4 or 5"),
        ({"version": 3}, "conditionals in version 5 alone"),
        ({"mixture": None}, "a mixture is of version 3, 4 or 5"),
        ({"mixture": {"components": 4}}, "shape of its domain"),
        ({"mixture": {"components": 0}}, "mixture.components"),
        ({"version": 6}, "none of 1, 2, 3, 4, 5"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(changes: dict[str, Any], words: str) -> None:
    members = {n: bytes(d) for n, d in unpack(dump_sampler(made_sampler())).items()}
    assert isinstance(parse_sampler(pack(members)), Sampler)
    manifest = json.loads(members["manifest.json"]) | changes
    with pytest.raises(InvalidSampler, match=words):
        parse_sampler(pack(members | {"manifest.json": json.dumps(manifest).encode()}))


def test_a_component_is_drawn_first_and_there_where_it_is_stated() -> None:
    first, sex, *rest = made_sampler().conditionals
    with pytest.raises(InvalidSampler, match="is unknown, drawn twice, or drawn before"):
        made_sampler(components=0)
    alone = Conditional(attribute="sex", given=(), ends=shares(np.ones((1, 2)), name="sex"))
    with pytest.raises(InvalidSampler, match="does not draw its component first"):
        made_sampler(conditionals=(alone, first, *rest))
    with pytest.raises(InvalidSampler, match="drawn before what it needs"):
        made_sampler(conditionals=(sex, first, *rest))


def test_a_mixture_of_too_many_components_is_refused() -> None:
    """A file of 4 bytes a component would hold a silo up for hours."""
    many = 2**14 + 1
    alone = Conditional(attribute=COMPONENT, given=(), ends=shares(np.ones((1, many)), name="c"))
    others = (
        Conditional(attribute=name, given=(), ends=shares(np.ones((1, size)), name=name))
        for name, size in (("sex", 2), ("age", AGES), ("ill", 2))
    )
    with pytest.raises(InvalidSampler, match="16385 components has more than 16384"):
        made_sampler(components=many, conditionals=(alone, *others))
