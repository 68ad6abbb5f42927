"""A conditioned sampler is the conditional distribution by brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.codec import allowed_codes, parse_conditions
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidArgument
from silosynth.common.sampler import (
    CliqueMarginal,
    Sampler,
    build_sampler,
    condition_on,
    draw_codes,
)
from silosynth.common.sampler.conditional import WHOLE
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema

DIGEST = "sha256:" + "ab" * 32
SCHEMA = parse_schema(
    {
        "name": "made",
        "attributes": [
            {"name": "sex", "kind": "categorical", "categories": ["f", "m"], "missing": True}
            | {"other_as": "other"},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99}
            | {"bins": {"kind": "width", "count": 10}},
            {"name": "grade", "kind": "ordinal", "categories": [1, 2, 3], "other": False},
            {"name": "ill", "kind": "boolean"},
            {"name": "when", "kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-01-05"}
            | {"bins": {"kind": "width", "count": 4}},
        ],
    }
)
GROUPING = Grouping(groups={"age": (0, 0, 0, 1, 1, 2, 2, 2, 2, 3)})
FINE = SCHEMA.domain


def made_sampler(seed: int, *, zeros: float = 0.0) -> Sampler:
    """Return a tree of three cliques with a separator of two, and a root of its own."""
    rng = np.random.default_rng(seed)
    working = GROUPING.domain(FINE)
    joint = rng.gamma(0.5, size=working.sizes(("sex", "age", "grade", "ill")))
    joint[rng.random(joint.shape) < zeros] = 0.0
    joint.flat[0] += 0.1
    return build_sampler(
        schema=SCHEMA,
        grouping=GROUPING,
        within={"age": rng.random(10) + 0.01},
        nodes=[
            CliqueMarginal(clique=("sex", "age"), separator=(), values=joint.sum((2, 3))),
            CliqueMarginal(
                clique=("grade", "age", "sex"),
                separator=("sex", "age"),
                values=joint.sum(3).transpose(2, 1, 0).ravel(),
            ),
            CliqueMarginal(clique=("age", "ill"), separator=("age",), values=joint.sum((0, 2))),
            CliqueMarginal(clique=("when",), separator=(), values=rng.random(4)),
        ],
        total=1e6,
        certificate={"epsilon": 1.0},
        plan_digest=DIGEST,
    )


def joint_of(sampler: Sampler) -> np.ndarray:
    """Return the whole joint over fine codes, by multiplying the sampler's conditionals out."""
    working = sampler.grouping.domain(FINE)
    joint = np.ones(working.shape)
    for conditional in sampler.conditionals:
        scope = (*conditional.given, conditional.attribute)
        shares = np.diff(conditional.ends.astype(float), prepend=0, axis=1) / WHOLE
        order = sorted(scope, key=working.index)
        table = shares.reshape(working.sizes(scope)).transpose([scope.index(a) for a in order])
        joint *= table.reshape([s if a in scope else 1 for a, s in _pairs(working)])
    groups = np.asarray(GROUPING.groups["age"])
    ends = sampler.within["age"].astype(float)
    inside = np.diff(ends, prepend=0)
    inside[np.flatnonzero(np.diff(groups, prepend=-1))] = ends[
        np.flatnonzero(np.diff(groups, prepend=-1))
    ]
    joint = np.take(joint, groups, axis=FINE.index("age"))
    return joint * (inside / WHOLE).reshape([-1 if a == "age" else 1 for a in FINE.attributes])


def _pairs(domain: Domain) -> list[tuple[str, int]]:
    return list(zip(domain.attributes, domain.shape, strict=True))


WHERE = st.fixed_dictionaries(
    {},
    optional={
        "sex": st.sampled_from(["f", "m", "", "other"]),
        "age": st.sampled_from(["0..9", "30..59", "..29", "70..", "90..99"]),
        "grade": st.sampled_from(["1", "2", "3"]),
        "ill": st.sampled_from(["true", "False"]),
        "when": st.sampled_from(["2020-01-02..2020-01-04", "2020-01-04.."]),
    },
)


@settings(deadline=None, max_examples=200)
@given(where=WHERE, seed=st.integers(0, 5), zeros=st.sampled_from([0.0, 0.4]))
def test_it_is_the_conditional_of_the_joint(where: dict[str, str], seed: int, zeros: float) -> None:
    sampler = made_sampler(seed, zeros=zeros)
    joint = joint_of(sampler)
    for name, mask in allowed_codes(SCHEMA, where).items():
        joint = joint * mask.reshape([-1 if a == name else 1 for a in FINE.attributes])
    share = joint.sum()
    if share == 0:
        with pytest.raises(InvalidArgument, match="no row"):
            condition_on(sampler, where)
        return
    got = condition_on(sampler, where)
    assert got.total == pytest.approx(1e6 * share, abs=1)
    assert np.abs(joint_of(got) - joint / share).max() < 1e-7


def test_every_row_drawn_meets_the_conditions_and_the_shares_are_right() -> None:
    sampler = made_sampler(3)
    where = {"age": "30..59", "ill": "true", "sex": "m"}
    rows = condition_on(sampler, where).draw(20_000, seed=1)
    assert rows["age"].between(30, 59).all()
    assert rows["ill"].all()
    assert (rows["sex"] == "m").all()
    codes = draw_codes(sampler, rows=2_000_000, seed=2)
    kept = np.ones(len(codes[0]), dtype=bool)
    for name, mask in allowed_codes(SCHEMA, where).items():
        kept &= mask[codes[FINE.index(name)]] > 0
    grade = np.bincount(codes[FINE.index("grade")][kept], minlength=3) / kept.sum()
    mine = np.bincount(
        draw_codes(condition_on(sampler, where), rows=100_000, seed=1)[FINE.index("grade")],
        minlength=3,
    )
    assert np.abs(mine / 100_000 - grade).max() < 0.01


def test_no_condition_is_the_same_sampler_and_the_same_seed_the_same_rows() -> None:
    sampler = made_sampler(0)
    assert condition_on(sampler, {}) is sampler
    given_ = condition_on(sampler, {"grade": "2"})
    assert draw(given_, rows=500, seed=7).equals(draw(given_, rows=500, seed=7))


def test_a_rare_condition_keeps_its_precision() -> None:
    rare = np.full((3, 2), 1.0)
    rare[2] = [3e-9, 1e-9]
    schema = parse_schema(
        {
            "name": "rare",
            "attributes": [
                {"name": "a", "kind": "ordinal", "categories": ["x", "y", "z"], "other": False},
                {"name": "b", "kind": "boolean"},
            ],
        }
    )
    sampler = build_sampler(
        schema=schema,
        grouping=Grouping(),
        within={},
        nodes=[CliqueMarginal(clique=("a", "b"), separator=(), values=rare)],
        total=10,
        certificate={},
        plan_digest=DIGEST,
    )
    ill = draw_codes(condition_on(sampler, {"a": "z"}), rows=100_000, seed=1)[1]
    assert ill.mean() == pytest.approx(0.25, abs=0.001)


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ({"size": "3"}, "no attribute 'size'"),
        ({"sex": "x"}, "no value 'x'"),
        ({"grade": ""}, "never missing"),
        ({"age": "33"}, "lies inside a bin"),
        ({"age": "30..36"}, "lies inside a bin"),
        ({"age": "90..120"}, "no range inside the bounds"),
        ({"age": "60..30"}, "no range inside the bounds"),
        ({"age": "old..30"}, "is not a value"),
        ({"age": "nan..30"}, "is not a value"),
        ({"when": "2020-01-02"}, "needs a range"),
        ({"when": "2020-01-02T06:00..2020-01-04"}, "begin a range at 2020-01-02T00:00:00"),
    ],
)
def test_a_condition_that_cannot_be_met_exactly_is_refused(
    where: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        condition_on(made_sampler(0), where)
    assert said in str(caught.value)


@pytest.mark.parametrize("texts", [["sex"], ["=f"], ["sex=f", "sex = m"]])
def test_a_text_that_is_no_condition_is_refused(texts: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        parse_conditions(texts)


def test_one_value_of_a_whole_number_is_a_bin_of_one() -> None:
    schema: Schema = parse_schema(
        {"name": "t", "attributes": [_age(minimum=0, maximum=3, count=4)]}
    )
    assert allowed_codes(schema, {"age": "2"})["age"].tolist() == [False, False, True, False]


def _age(*, minimum: int, maximum: int, count: int) -> dict[str, Any]:
    bins = {"kind": "width", "count": count}
    bounds = {"minimum": minimum, "maximum": maximum, "bins": bins}
    return {"name": "age", "kind": "integer"} | bounds
