"""Drift is found where it was planted, and said elsewhere as rarely as is stated."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.cli.app import run as command
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidPlan
from silosynth.common.held import Inputs, evaluate_release
from silosynth.common.held.counters import Counters
from silosynth.common.plan import Plan, dump_plan, parse_plan, plan_units
from silosynth.common.sampler import CliqueMarginal, Sampler, build_sampler
from silosynth.common.sampler.stored.file import dump_sampler, parse_sampler
from silosynth.common.schema import dump_schema, parse_schema
from silosynth.server.drift import describe_drift, drift_words, find_drift, plan_drift, read_moved
from silosynth.server.judging import Judgement
from silosynth.server.planning import new_plan
from tests.support.chance import Binomial, at_most, statistical

NAMES = ("a", "b", "c", "d", "e")
SCHEMA = parse_schema(
    {
        "name": "visits",
        "attributes": [
            {"name": n, "kind": "categorical", "categories": list("wxyz"), "other": False}
            | {"source": "public"}
            for n in NAMES
        ],
    }
)
TRAINED = new_plan(
    SCHEMA, epsilon=0.2, delta=1e-6, silos=("north", "south"), plan_id="t", method="mst"
)
PEOPLE = 60_000
JOINT = np.full((4, 4), 1 / 16)


def sampler_of(plan: Plan = TRAINED) -> bytes:
    """Return a sampler of a plan that is wrong about everything: columns that do not depend."""
    nodes = tuple(
        CliqueMarginal(clique=(n,), separator=(), values=np.array([0.4, 0.3, 0.2, 0.1]))
        for n in NAMES
    )
    return dump_sampler(
        build_sampler(
            schema=SCHEMA,
            grouping=Grouping(),
            within={},
            nodes=nodes,
            total=PEOPLE,
            certificate=certify_plan(plan).model_dump(mode="json"),
            plan_digest=plan.digest,
        )
    )


SAMPLER = sampler_of()


@pytest.fixture(scope="module")
def planned() -> tuple[Plan, Inputs]:
    return plan_drift(TRAINED, SAMPLER, epsilon=0.2, plan_id="look")


def people(random: np.random.Generator, *, moved: float = 0.0) -> list[np.ndarray]:
    """Return rows; ``moved`` of all go from one cell of columns b and d to another.

    Neither column's own shares move: what leaves (0, 0) and (1, 1) comes to (0, 1) and (1, 0).
    """
    joint = JOINT.copy()
    joint[0, 0] = joint[1, 1] = 1 / 16 - moved / 2
    joint[0, 1] = joint[1, 0] = 1 / 16 + moved / 2
    cells = random.choice(16, size=PEOPLE, p=joint.ravel())
    columns = [random.integers(0, 4, PEOPLE).astype(np.uint8) for _ in NAMES]
    columns[1], columns[3] = (cells // 4).astype(np.uint8), (cells % 4).astype(np.uint8)
    return columns


def look(
    planned: tuple[Plan, Inputs], random: np.random.Generator, *, moved: float = 0.0
) -> Judgement:
    """Return a look at rows, with noise of the plan's variance, of two silos."""
    plan, inputs = planned
    counters = Counters(inputs)
    counters.add(people(random, moved=moved))
    variance = float(plan.noise(plan.phases[0]).variance(silos=2))
    vector = counters.vector()
    values = vector + np.rint(random.normal(0, variance**0.5, len(vector)))
    found = evaluate_release(inputs, values, variance=variance)
    return Judgement(plan=plan, inputs=inputs, values=values, variance=variance, found=found)


@statistical(alarm=1e-9)
def test_no_drift_is_said_as_often_as_stated_and_no_more(planned: tuple[Plan, Inputs]) -> None:
    random = np.random.default_rng()
    rate, times = 0.05, 40
    read = parse_sampler(SAMPLER)
    first = [look(planned, random) for _ in range(times)]
    alarms = sum(
        bool(find_drift(a, look(planned, random), sampler=read, alarm=rate).moved) for a in first
    )
    at_most(
        alarms,
        law=Binomial(count=times, chance=rate),
        alarm=1e-9,
        mutants={"half of the noise": Binomial(count=times, chance=0.9)},
    )


def test_five_points_in_one_pair_are_found_and_no_other_pair(planned: tuple[Plan, Inputs]) -> None:
    random = np.random.default_rng(5)
    read, found, wrong = parse_sampler(SAMPLER), 0, 0
    for _ in range(20):
        before, now = look(planned, random), look(planned, random, moved=0.05)
        moved = find_drift(before, now, sampler=read).moved
        found += ("b", "d") in moved
        wrong += bool(set(moved) - {("b", "d")})
    assert found >= 19
    assert wrong <= 1


def test_the_sampler_stays_with_a_new_date_where_nothing_moved(
    planned: tuple[Plan, Inputs],
) -> None:
    random = np.random.default_rng(3)
    read = parse_sampler(SAMPLER)
    same = find_drift(look(planned, random), look(planned, random), sampler=read)
    facts = describe_drift(same, on=date(2027, 1, 31))
    assert (facts["drift"], facts["stands_as_of"]) == (False, "2027-01-31")
    assert "the sampler stays" in list(drift_words(same))[-1]
    gone = find_drift(look(planned, random), look(planned, random, moved=0.06), sampler=read)
    facts = describe_drift(gone, on=date(2027, 1, 31))
    assert (facts["drift"], facts["stands_as_of"]) == (True, None)
    assert facts["moved"] == [["b", "d"]]


def test_a_look_costs_what_it_says_and_is_like_the_first(planned: tuple[Plan, Inputs]) -> None:
    plan, _ = planned
    again, _ = plan_drift(TRAINED, SAMPLER, epsilon=0.2, like=plan, plan_id="look-2")
    assert again.evaluation == plan.evaluation
    assert plan_units(again) == plan_units(plan)
    assert certify_plan(plan).epsilon <= 0.2
    assert plan.held_out is None


def test_looks_that_cannot_be_compared_are_refused(planned: tuple[Plan, Inputs]) -> None:
    random = np.random.default_rng(1)
    read = parse_sampler(SAMPLER)
    one = look(planned, random)
    other = look(plan_drift(TRAINED, SAMPLER, epsilon=0.2), random)
    with pytest.raises(InvalidArgument, match="look at other samplers, or by other halves"):
        find_drift(one, other, sampler=read)
    with pytest.raises(InvalidArgument, match="does not look for drift"):
        find_drift(replace(one, plan=TRAINED), one, sampler=read)
    assert isinstance(read, Sampler)
    changed = dump_sampler(replace(read, total=5))
    with pytest.raises(InvalidArgument, match="looks for drift from another sampler"):
        plan_drift(TRAINED, changed, epsilon=0.2, like=planned[0])


def test_a_sampler_of_another_schema_is_refused() -> None:
    read = parse_sampler(SAMPLER)
    assert isinstance(read, Sampler)
    other = replace(read, schema=SCHEMA.model_copy(update={"name": "others"}))
    with pytest.raises(InvalidPlan, match="is of another schema than plan t"):
        plan_drift(TRAINED, dump_sampler(other), epsilon=0.05)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"held_out": {"share": "1/10"}}, "asks everybody"),
        ({"lacks": {"north": ["a"]}}, "a plan that evaluates asks whole rows"),
        ({"evaluation": {"targets": ["a"], "likelihood": True}}, "halves of pairs and a count"),
        ({"evaluation": None}, "methods evaluate and drift need it"),
    ],
)
def test_a_look_asks_nothing_else(
    planned: tuple[Plan, Inputs], change: dict[str, Any], said: str
) -> None:
    facts = planned[0].model_dump(mode="json")
    if change.get("evaluation"):
        change = {"evaluation": facts["evaluation"] | change["evaluation"]}
    with pytest.raises(InvalidPlan, match=said):
        parse_plan(facts | change)


def test_epochs_of_looks_have_one_template_whatever_the_sampler(
    planned: tuple[Plan, Inputs],
) -> None:
    series = {"name": "looks", "epochs": 3, "first": "2030-01-01", "days": 30, "epoch": 1}
    units = plan_units(planned[0])
    series |= {"epoch_units": units, "lifetime_units": 3 * units, "before_units": 0}
    looks = [
        parse_plan(p.model_dump(mode="json") | {"id": "looks-001", "series": series})
        for p in (planned[0], plan_drift(TRAINED, SAMPLER, epsilon=0.2)[0])
    ]
    assert looks[0].digest != looks[1].digest
    assert looks[0].decided == looks[1].decided
    louder = looks[0].model_copy(
        update={"privacy": TRAINED.privacy.model_copy(update={"epsilon": 3.0})}
    )
    assert louder.decided != looks[0].decided


def test_what_moved_is_read_back_from_its_file(
    planned: tuple[Plan, Inputs], tmp_path: Path
) -> None:
    random = np.random.default_rng(8)
    gone = find_drift(
        look(planned, random), look(planned, random, moved=0.06), sampler=parse_sampler(SAMPLER)
    )
    path = tmp_path / "drift.json"
    facts = describe_drift(gone, on=date(2027, 1, 31))
    path.write_text(json.dumps(facts))
    assert list(read_moved(path, sampler=SAMPLER)) == [("b", "d")]
    assert 0.02 < read_moved(path, sampler=SAMPLER)[("b", "d")] < 0.08
    with pytest.raises(InvalidArgument, match="about another sampler"):
        read_moved(path, sampler=SAMPLER + b" ")
    path.write_text(json.dumps(facts | {"version": 1}))
    with pytest.raises(InvalidArgument, match="version 1 is not known"):
        read_moved(path, sampler=SAMPLER)
    for damaged in ("{}", "[", '{"moved": [["a"]], "version": 2}'):
        path.write_text(damaged)
        with pytest.raises(InvalidArgument, match="does not say what moved"):
            read_moved(path, sampler=SAMPLER)


def test_a_look_is_shown_as_any_plan_is(
    planned: tuple[Plan, Inputs], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, plan = tmp_path / "schema.yaml", tmp_path / "look.yaml"
    schema.write_text(dump_schema(SCHEMA))
    plan.write_text(dump_plan(planned[0]))
    assert command(["plan", "show", str(plan), "--schema", str(schema)]) == 0
    assert "everybody is held against sampler" in capsys.readouterr().err
