"""Shares and coefficients with intervals, against brute force over the model and its rows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidSampler, OutputExists
from silosynth.common.estimate import (
    estimate_regression,
    estimate_share,
    lists_merged,
    load_replicates,
    pairs_apart,
    parse_formula,
    save_replicates,
)
from silosynth.common.estimate.replicates import Replicated, interval_of
from silosynth.common.sampler import (
    CliqueMarginal,
    Sampler,
    build_sampler,
    condition_on,
    probability_of,
    save_sampler,
    shares_within,
)
from silosynth.common.schema import parse_schema
from tests.common.sampler.test_given import made_sampler
from tests.support.fakes import small_plan

PEOPLE = parse_schema(
    {
        "name": "people",
        "attributes": [
            {"name": "region", "kind": "categorical", "categories": ["n", "s"], "other": False},
            {"name": "age", "kind": "integer", "minimum": 0, "maximum": 3}
            | {"bins": {"kind": "width", "count": 4}},
            {"name": "smoker", "kind": "categorical", "categories": ["no", "yes"], "other": False},
            {"name": "born", "kind": "datetime", "minimum": "2020-01-01", "maximum": "2020-01-05"}
            | {"bins": {"kind": "width", "count": 4}},
            {"name": "one", "kind": "categorical", "categories": ["x", "y"], "other": False},
        ],
    }
)
SLOPE, SOUTH = 0.7, -0.4


def people(*, slope: float = SLOPE, south: float = SOUTH, total: float = 1e5) -> Sampler:
    """Return a sampler whose smokers follow a logistic regression on age and region exactly."""
    region, age = np.meshgrid([0, 1], range(4), indexing="ij")
    chance = 1 / (1 + np.exp(-(-1 + slope * age + south * region)))
    joint = np.stack([1 - chance, chance], axis=2)
    return build_sampler(
        schema=PEOPLE,
        grouping=Grouping(),
        within={},
        nodes=[
            CliqueMarginal(clique=("region", "age", "smoker"), separator=(), values=joint.ravel()),
            CliqueMarginal(clique=("born",), separator=(), values=np.ones(4)),
            CliqueMarginal(clique=("one",), separator=(), values=np.array([1.0, 0.0])),
        ],
        total=total,
        certificate={"epsilon": 1.0},
        plan_digest="sha256:" + "ab" * 32,
    )


def around(spread: float = 0.1) -> Replicated:
    """Return a sampler with four replicates on both sides of it."""
    steps = (-1.5, -0.5, 0.5, 1.5)
    others = tuple(people(slope=SLOPE + spread * s, south=SOUTH - spread * s) for s in steps)
    return Replicated(sampler=people(), others=others)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "where", [{"sex": "f"}, {"age": "30..59", "ill": "true"}, {"sex": "", "grade": "2"}]
)
def test_a_probability_is_what_a_condition_leaves_of_all_rows(
    seed: int, where: dict[str, str]
) -> None:
    sampler = made_sampler(seed)
    left = condition_on(sampler, where).total / sampler.total
    assert probability_of(sampler, where) == pytest.approx(left, abs=1e-6)


def test_a_share_is_the_models_and_its_interval_what_replicates_say() -> None:
    found = estimate_share(around(), {"smoker": "yes"}, by="region")
    ages = np.arange(4)
    for interval, south in zip(found[1:], (0.0, SOUTH), strict=True):
        expected = np.mean(1 / (1 + np.exp(-(-1 + SLOPE * ages + south))))
        assert interval.estimate == pytest.approx(expected, abs=1e-6)
        assert interval.low < expected < interval.high
    assert [i.group for i in found] == ["", "region=n", "region=s"]
    assert found[0].estimate == pytest.approx((found[1].estimate + found[2].estimate) / 2)


def test_an_interval_is_students_with_how_far_replicates_lie_from_the_estimate() -> None:
    others = [0.1, 0.2, 0.4]
    found = interval_of(0.2, others, name="x", level=0.9)
    error = math.sqrt((0.1**2 + 0.2**2) / 2)
    assert found.error == pytest.approx(error)
    assert found.high - 0.2 == pytest.approx(student.ppf(0.95, 2) * error)
    assert 0.2 - found.low == pytest.approx(found.high - 0.2)
    near = interval_of(0.01, [0.0, 0.02], name="x", within=(0.0, 1.0))
    assert near.low == 0.0


def test_a_group_that_a_replicate_lacks_is_not_known() -> None:
    found = estimate_share(around(), {"smoker": "yes"}, by="one")[2]
    assert math.isnan(found.estimate)
    assert (found.low, found.high) == (0.0, 1.0)


def test_a_logistic_regression_finds_its_coefficients_in_their_units() -> None:
    found = estimate_regression(around(), parse_formula("smoker=yes ~ age + region"), rows=200_000)
    assert [i.name for i in found] == ["age", "region=s"] or found[1].name == "region=n"
    assert [i.against for i in found] == ["", "n" if found[1].name == "region=s" else "s"]
    sign = 1 if found[1].name == "region=s" else -1
    for interval, truth in zip(found, (SLOPE, sign * SOUTH), strict=True):
        assert interval.estimate == pytest.approx(truth, abs=0.04)
        assert interval.low < truth < interval.high
        assert interval.error > 0.1


def rare(share: float, *, smokers: float = 0.0) -> Sampler:
    """Return a sampler in which few people are of the south, and of them so many smoke."""
    north, south = 1 - share, share
    joint = np.array([[0.7 * north, 0.3 * north], [(1 - smokers) * south, smokers * south]])
    shares = np.stack([joint] * 4, axis=1) / 4
    return build_sampler(
        schema=PEOPLE,
        grouping=Grouping(),
        within={},
        nodes=[
            CliqueMarginal(clique=("region", "age", "smoker"), separator=(), values=shares.ravel()),
            CliqueMarginal(clique=("born",), separator=(), values=np.ones(4)),
            CliqueMarginal(clique=("one",), separator=(), values=np.array([1.0, 1.0])),
        ],
        total=1e5,
        certificate={"epsilon": 1.0},
        plan_digest="sha256:" + "ab" * 32,
    )


def test_a_coefficient_of_a_label_without_both_answers_is_not_known() -> None:
    """A fit ends somewhere there, at about the same place in every replicate."""
    formula = parse_formula("smoker=yes ~ age + region")
    none = Replicated(sampler=rare(0.001), others=(rare(0.001), rare(0.002)))
    age, south = estimate_regression(none, formula, rows=20_000)
    assert south.name == "region=s"
    assert math.isnan(south.estimate)
    assert (south.low, south.high) == (-math.inf, math.inf)
    assert math.isfinite(age.low)
    assert math.isfinite(age.high)
    one = Replicated(sampler=rare(0.01, smokers=0.5), others=(rare(0.01), rare(0.02, smokers=0.5)))
    south = estimate_regression(one, formula, rows=20_000)[1]
    assert math.isfinite(south.estimate)
    assert (south.low, south.high) == (-math.inf, math.inf)


def test_columns_that_the_model_holds_apart_are_named() -> None:
    sampler = people()
    assert pairs_apart(sampler, ("region", "age", "smoker")) == ()
    assert pairs_apart(sampler, ("one", "region", "one")) == (("one", "region"),)


def test_lists_whose_rare_values_are_merged_are_named() -> None:
    sampler = made_sampler(0)
    assert set(sampler.grouping.groups) == {"age"}  # a number: its bins are merged, and said so
    assert lists_merged(sampler, ("grade", "sex", "age")) == ()
    listed = build_sampler(
        schema=PEOPLE,
        grouping=Grouping(groups={"region": (0, 0)}),
        within={"region": shares_within(np.array([3.0, 1.0]), groups=np.zeros(2, int), name="r")},
        nodes=[
            CliqueMarginal(clique=(a.name,), separator=(), values=np.ones(1 if i == 0 else a.size))
            for i, a in enumerate(PEOPLE.coded)
        ],
        total=100.0,
        certificate={"epsilon": 1.0},
        plan_digest="sha256:" + "ab" * 32,
    )
    assert lists_merged(listed, ("smoker", "region", "age", "region")) == ("region",)


def test_a_share_over_columns_that_are_apart_has_the_noise_that_they_were_looked_at_with() -> None:
    certificate, replicated = certify_plan(small_plan()), around()
    sampler = replace(replicated.sampler, certificate=certificate.model_dump(mode="json"))
    told = Replicated(sampler=sampler, others=replicated.others)
    for where in ({"smoker": "yes"}, {"smoker": "yes", "region": "n"}):
        assert estimate_share(told, where) == estimate_share(replicated, where)
    # Of a table of 2 x 2 cells a quarter of the noise is in what its 1-ways do not say.
    # Two thirds of that may have been hidden.
    hidden = math.sqrt(certificate.cell_noise["coarse"] * 2 / 3) / 1e5
    error = hidden / 2
    found = estimate_share(told, {"one": "x", "region": "n"})[0]
    before = estimate_share(replicated, {"one": "x", "region": "n"})[0]
    assert found.estimate == before.estimate
    assert found.error**2 == pytest.approx(before.error**2 + error**2, rel=1e-6)
    group = estimate_share(told, {"one": "x"}, by="region")[1]
    assert group.error == pytest.approx(error / probability_of(sampler, {"region": "n"}), rel=1e-6)


def test_a_coefficient_of_columns_that_are_apart_has_that_noise_as_well() -> None:
    """By hand: the covariance's over the column's spread, and the answer's where it has odds."""
    certificate = certify_plan(small_plan())
    hidden = certificate.cell_noise["coarse"] * 2 / 3 / 1e5**2
    told, plain = (
        Replicated(
            sampler=replace(two_of_one(), certificate=facts), others=(two_of_one(), two_of_one())
        )
        for facts in (certificate.model_dump(mode="json"), {"epsilon": 1.0})
    )
    share = 0.3  # of those who smoke, of each age
    expected = {
        # Of numbers in four groups: 4 times the variance, 1.25, and half of the answer's cells.
        "smoker=yes ~ age": 4 * 1.25 / 2 / (1.25 * share * (1 - share)) ** 2,
        # Of one label of two against the other: half of each.
        "smoker=yes ~ one": 2 * (1 / 2) * (1 / 2) / 0.5**2 / (share * (1 - share)) ** 2,
        "age ~ one": 2 * 4 * 1.25 * (1 / 2) / 0.5**2,
    }
    for text, squares in expected.items():
        found, before = (
            estimate_regression(r, parse_formula(text), rows=50_000)[0] for r in (told, plain)
        )
        assert found.error**2 - before.error**2 == pytest.approx(hidden * squares, rel=0.05)
    found, before = (
        estimate_regression(r, parse_formula("smoker=yes ~ region"), rows=20_000)[0]
        for r in (told, plain)
    )
    assert found == before


def two_of_one() -> Sampler:
    """Return a sampler of three parts that know nothing of one another."""
    north, south = 0.3 * np.array([0.5, 0.5]), 0.7 * np.array([0.5, 0.5])
    return build_sampler(
        schema=PEOPLE,
        grouping=Grouping(),
        within={},
        nodes=[
            CliqueMarginal(
                clique=("region", "smoker"),
                separator=(),
                values=np.stack([south, north], axis=1).ravel(),
            ),
            CliqueMarginal(clique=("age",), separator=(), values=np.ones(4)),
            CliqueMarginal(clique=("born",), separator=(), values=np.ones(4)),
            CliqueMarginal(clique=("one",), separator=(), values=np.ones(2)),
        ],
        total=1e5,
        certificate={"epsilon": 1.0},
        plan_digest="sha256:" + "ab" * 32,
    )


def test_a_linear_regression_counts_in_the_columns_own_unit() -> None:
    found = estimate_regression(around(), parse_formula("age ~ smoker"), rows=100_000)
    assert len(found) == 1
    assert 0 < abs(found[0].estimate) < 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("smoker=yes", "is no regression"),
        ("~ age", "is no regression"),
        ("smoker=yes ~ age +", "is no regression"),
        ("age ~ age", "names a column twice"),
        ("smoker=yes ~ age + age", "names a column twice"),
        ("height ~ age", "there is no attribute 'height'"),
        ("smoker ~ age", "'smoker' is no number"),
        ("smoker=maybe ~ age", "'smoker' is never 'maybe'"),
        ("age=3 ~ smoker", "'age' is never '3'"),
        ("smoker=yes ~ born", "'born' is an instant"),
        ("smoker=yes ~ one", "'one' has one value alone"),
    ],
)
def test_a_regression_that_cannot_be_is_refused_in_a_line(text: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        estimate_regression(around(), parse_formula(text), rows=2000)


@pytest.mark.parametrize(
    ("where", "by", "says"),
    [
        ({}, None, "no share is asked for"),
        ({"smoker": "yes"}, "smoker", "is a condition and the groups"),
        ({"smoker": "yes"}, "age", "'age' has no list of values"),
        ({"smoker": "yes"}, "height", "'height' has no list of values"),
        ({"height": "3"}, None, "there is no attribute 'height'"),
        ({"smoker": "maybe"}, None, "maybe"),
    ],
)
def test_a_share_that_cannot_be_is_refused_in_a_line(
    where: dict[str, str], by: str | None, says: str
) -> None:
    with pytest.raises(InvalidArgument, match=says):
        estimate_share(around(), where, by=by)


@pytest.mark.parametrize("level", [0.0, 0.2, 1.0, math.nan])
def test_a_level_is_a_level(level: float) -> None:
    with pytest.raises(InvalidArgument, match="a level of"):
        estimate_share(around(), {"smoker": "yes"}, level=level)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a sampler's file with four replicates beside it."""
    path = tmp_path / "result.sampler"
    replicated = around()
    save_sampler(replicated.sampler, path)
    save_replicates(path, replicated.others)
    return path


def test_replicates_are_kept_beside_their_sampler(kept: Path) -> None:
    read = load_replicates(kept)
    where = {"smoker": "yes"}
    assert estimate_share(read, where) == estimate_share(around(), where)
    with pytest.raises(OutputExists, match="exists already"):
        save_replicates(kept, read.others)
    save_replicates(kept, read.others[:2], force=True)
    assert len(load_replicates(kept).others) == 2
    assert {p.name for p in kept.parent.iterdir()} == {"result.sampler", "result.replicates"}


def test_what_fails_on_the_way_leaves_what_was_there(kept: Path) -> None:
    def failing() -> object:
        yield people()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        save_replicates(kept, failing(), force=True)  # type: ignore[arg-type]
    assert len(load_replicates(kept).others) == 4
    assert {p.name for p in kept.parent.iterdir()} == {"result.sampler", "result.replicates"}


def _rename(kept: Path) -> None:
    kept.with_suffix(".replicates").rename(kept.parent / "away")


def _other_sampler(kept: Path) -> None:
    save_sampler(people(slope=0.1), kept, force=True)


def _newer(kept: Path) -> None:
    _edit(kept, version=2)


def _one_alone(kept: Path) -> None:
    _edit(kept, replicates=["sha256:0"])


def _no_json(kept: Path) -> None:
    (kept.with_suffix(".replicates") / "replicates.json").write_text("{")


def _swap(kept: Path) -> None:
    folder = kept.with_suffix(".replicates")
    (folder / "001.sampler").write_bytes((folder / "002.sampler").read_bytes())


def _edit(kept: Path, **fields: object) -> None:
    path = kept.with_suffix(".replicates") / "replicates.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_rename, "has no replicates"),
        (_other_sampler, "of another sampler"),
        (_newer, "another version"),
        (_one_alone, "are not 2 to 200"),
        (_no_json, "is damaged"),
        (_swap, "was changed"),
    ],
)
def test_replicates_that_are_not_this_samplers_are_refused(
    kept: Path, harm: object, says: str
) -> None:
    harm(kept)  # type: ignore[operator]
    with pytest.raises((InvalidArgument, InvalidSampler), match=says):
        load_replicates(kept)
