"""Rows made of a schema alone have the shares that are publicly known, and keep its rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from silosynth.common.errors import InvalidSchema
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.dummy.rows import dummy_sampler, known_shares

AGE = {"name": "age", "kind": "integer", "minimum": 0, "maximum": 99, "source": "public"} | {
    "bins": {"kind": "width", "count": 10}
}
SMOKER = {"name": "smoker", "kind": "categorical", "categories": ["no", "yes"], "missing": True} | {
    "source": "public"
}


def made(*attributes: dict[str, Any], **more: Any) -> Schema:
    """Return a schema of some attributes."""
    return parse_schema({"version": 2, "name": "made", "attributes": list(attributes), **more})


def test_lists_have_their_shares_and_the_rest_is_even() -> None:
    schema = made(SMOKER | {"shares": {"yes": 0.6, "": 0.1}})
    found = known_shares(schema.coded[0])
    assert found == pytest.approx([0.15, 0.6, 0.15, 0.1])
    drawn = draw(dummy_sampler(schema), rows=10_000, seed=1)["smoker"]
    assert drawn.null_count == pytest.approx(1000, abs=20)
    assert drawn.to_pylist().count("yes") >= 6000 - 20


def test_ranges_have_theirs() -> None:
    schema = made(AGE | {"shares": {"0..19": 0.5, "80..": 0.3}})
    assert known_shares(schema.coded[0]) == pytest.approx([0.25] * 2 + [0.2 / 6] * 6 + [0.15] * 2)
    ages = np.asarray(draw(dummy_sampler(schema), rows=10_000, seed=1)["age"])
    assert (ages < 20).mean() == pytest.approx(0.5, abs=0.005)
    assert (ages >= 80).mean() == pytest.approx(0.3, abs=0.005)


def test_without_shares_all_codes_are_as_likely() -> None:
    assert known_shares(made(SMOKER).coded[0]) == pytest.approx([0.25] * 4)


def test_rules_stand_above_shares() -> None:
    schema = made(
        SMOKER | {"shares": {"yes": 0.9}},
        AGE | {"shares": {"0..19": 0.5}},
        rules=["never smoker = 'yes' and age < 20"],
    )
    rows = draw(dummy_sampler(schema), rows=5000, seed=1).to_pylist()
    assert not [r for r in rows if r["smoker"] == "yes" and r["age"] < 20]
    assert len([r for r in rows if r["smoker"] == "yes"]) > 2000


@pytest.mark.parametrize(
    ("attribute", "shares", "says"),
    [
        (SMOKER, {"maybe": 0.1}, "a share of 'maybe'"),
        (AGE, {"5..19": 0.1}, "a share of '5..19'"),
        (AGE, {"young": 0.1}, "a share of 'young'"),
        (AGE, {"": 0.1}, "a share of ''"),
        (AGE, {"0..19": 0.1, "10..29": 0.1}, "two shares of '10..29'"),
        (AGE, {"..": 0.5}, "add up to 0.5 and name all"),
    ],
)
def test_shares_of_what_cannot_be_are_refused_in_a_line(
    attribute: dict[str, Any], shares: dict[str, float], says: str
) -> None:
    with pytest.raises(InvalidSchema, match=says):
        dummy_sampler(made(attribute | {"shares": shares}))


@pytest.mark.parametrize(
    ("shares", "says"),
    [
        ({"yes": 1.5}, "from 0 to 1"),
        ({"yes": -0.1}, "from 0 to 1"),
        ({"yes": float("nan")}, "finite number"),
        ({"yes": 0.7, "no": 0.7}, "more than 1"),
    ],
)
def test_shares_are_shares(shares: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidSchema, match=says):
        made(SMOKER | {"shares": shares})


def test_a_schema_without_shares_keeps_its_digest_and_one_with_them_needs_version_2() -> None:
    assert made(SMOKER).digest == made(SMOKER | {"shares": {}}).digest
    assert made(SMOKER).digest != made(SMOKER | {"shares": {"yes": 0.5}}).digest
    old = {"version": 1, "name": "made", "attributes": [SMOKER | {"shares": {"yes": 0.5}}]}
    with pytest.raises(InvalidSchema):
        parse_schema(old)
