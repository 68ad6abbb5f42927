"""Which method is advised, and what a plan says that it loses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.policy import Policy
from silosynth.common.cli.app import run
from silosynth.common.plan import Method, load_plan
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.planning import new_plan, reason_for, remarks, what_helps
from silosynth.server.planning.advice import CROWDED_FROM, FEWEST_WIDE_ATTRIBUTES, advise

LISTED = {"kind": "categorical", "categories": ["a", "b"], "other": False, "source": "public"}


def made_schema(kind: str = "table", *, attributes: int = 3) -> Schema:
    found: list[dict[str, Any]] = [{"name": f"x{i}", **LISTED} for i in range(attributes)]
    images: list[dict[str, Any]] = []
    if kind == "image":
        pixel = {"kind": "integer", "minimum": 0, "maximum": 3, "source": "public"}
        names = [f"p{i}" for i in range(4)]
        found += [{"name": name, **pixel} for name in names]
        images = [{"name": "scan", "width": 2, "height": 2, "attributes": names}]
    if kind == "numbers":
        number = {"kind": "integer", "minimum": 0, "maximum": 31, "source": "public"}
        found = [{"name": f"x{i}", **number} for i in range(attributes)]
    if kind == "text":
        found.append({"name": "note", "kind": "text", "max_bytes": 8})
    if kind == "text left out":
        found.append({"name": "note", "kind": "text"})
    return parse_schema({"name": "made", "label": "x0", "attributes": found, "images": images})


@pytest.mark.parametrize(
    ("schema", "method"),
    [
        (made_schema(), Method.AIM),
        (made_schema("text"), Method.DP_SGD),
        (made_schema("text left out"), Method.AIM),
        (made_schema("image"), Method.CENTRAL),
        (made_schema(attributes=FEWEST_WIDE_ATTRIBUTES - 1), Method.AIM),
        (made_schema(attributes=FEWEST_WIDE_ATTRIBUTES), Method.MIXTURE),
        (made_schema("numbers", attributes=500), Method.COPULA),
        (made_schema(attributes=725), Method.ONE_SHOT),
    ],
)
def test_the_schema_decides(schema: Schema, method: Method) -> None:
    assert advise(schema).method is method


@pytest.mark.parametrize("attributes", [3, 60, 725])
def test_a_crowded_table_is_for_columns_alone(attributes: int) -> None:
    schema = made_schema("numbers", attributes=attributes)
    assert advise(schema, crowded=CROWDED_FROM).method is Method.INDEPENDENT
    assert advise(schema, crowded=CROWDED_FROM - 0.1).method is not Method.INDEPENDENT
    assert advise(made_schema("image"), crowded=CROWDED_FROM).method is Method.CENTRAL


def test_a_bound_on_the_rows_says_how_crowded_a_table_is() -> None:
    schema = made_schema("numbers", attributes=15)
    budget: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "silos": ("north",)}
    assert new_plan(schema, **budget).method is Method.AIM
    assert new_plan(schema, **budget, rows_at_most=12_000).method is Method.AIM
    assert new_plan(schema, **budget, rows_at_most=100_000).method is Method.AIM
    many = new_plan(schema, **budget, rows_at_most=1_000_000)
    assert many.method is Method.MIXTURE
    assert "so many rows" in reason_for(schema, many.method)
    few = new_plan(schema, **budget, rows_at_most=500)
    assert few.method is Method.INDEPENDENT
    assert "so few rows" in reason_for(schema, few.method)
    assert "this width" in reason_for(schema, Method.AIM)
    narrow = made_schema("numbers", attributes=11)
    assert new_plan(narrow, **budget, rows_at_most=1_000_000).method is Method.AIM


@pytest.mark.parametrize("kind", ["table", "image", "text"])
def test_the_advised_method_makes_a_plan_that_loses_nothing(kind: str) -> None:
    schema = made_schema(kind)
    plan = new_plan(schema, epsilon=3.0, delta=1e-6, silos=("north", "south"))
    assert plan.method is advise(schema).method
    assert not list(remarks(schema, method=plan.method))


@pytest.mark.parametrize("attributes", [101, 500])
def test_what_is_advised_for_wide_tables_is_answered_by_default(attributes: int) -> None:
    schema = made_schema(attributes=attributes)
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=("north",))
    assert plan.method is Method.MIXTURE
    assert sum(phase.marginals for phase in plan.phases) <= Policy().max_marginals
    assert attributes <= Policy().max_attributes


def test_impossible_combinations_are_for_marginals() -> None:
    zeros = {"attributes": ["x0", "x1"], "cells": [["a", "b"]]}
    data = made_schema("image").model_dump(mode="json") | {"structural_zeros": [zeros]}
    schema = parse_schema(data)
    assert advise(schema).method is Method.AIM


def test_a_workload_is_for_marginals() -> None:
    plan = new_plan(
        made_schema("image"),
        epsilon=1.0,
        delta=1e-6,
        silos=("north",),
        workload=(("x0", "p0"),),
    )
    assert plan.method is Method.AIM


def test_what_is_lost_is_said() -> None:
    (line,) = remarks(made_schema("text left out"), method=Method.AIM)
    assert "note" in line
    assert "--method dp-sgd" in line
    (line,) = remarks(made_schema("image"), method=Method.MST)
    assert "--method central" in line
    (line,) = remarks(made_schema(), method=Method.ONE_SHOT)
    assert "--method aim" in line


def test_one_kind_of_method_is_as_good_as_the_other() -> None:
    assert not list(remarks(made_schema(), method=Method.MST))
    assert not list(remarks(made_schema("image"), method=Method.DP_SGD))
    assert not list(remarks(made_schema("image"), method=Method.ONE_SHOT))


def test_the_command_line_says_what_it_took_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, out = tmp_path / "schema.yaml", tmp_path / "plan.yaml"
    schema.write_text(dump_schema(made_schema("text left out")))
    budget = ["--epsilon", "1", "--delta", "1e-6", "--silos", "north,south"]
    assert run(["plan", "new", str(schema), *budget, "--out", str(out), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["data"]["method"] == "aim"
    assert "method aim: marginals" in " ".join(shown.err.split())
    assert "free text is left out: note" in " ".join(shown.err.split())
    assert load_plan(out).method is Method.AIM
    assert run(["plan", "show", str(out), "--schema", str(schema)]) == 0
    assert "free text is left out: note" in " ".join(capsys.readouterr().err.split())


def counted(*, silos: int, method: str = "aim", **choices: Any) -> tuple[str, ...]:
    """Return what would help a plan of ten numbers for 20,000 rows."""
    number = {"kind": "integer", "minimum": 0, "maximum": 99, "source": "public"}
    found = [{"name": f"x{i}", **number} for i in range(10)]
    schema = parse_schema({"name": "made", "attributes": found})
    names = tuple(f"s{i}" for i in range(silos))
    plan = new_plan(schema, epsilon=1, delta=1e-6, silos=names, method=method, **choices)
    return what_helps(plan, schema, rows=20_000)


def test_a_plan_whose_pairs_drown_in_noise_says_what_would_help() -> None:
    told = "\n".join(counted(silos=100))
    assert "--method independent would be nearer" in told
    assert "--trust shared would bring the noise" in told
    assert "fewer bins" in told
    assert "times the budget" in told


@pytest.mark.parametrize(
    "choices",
    [
        {"silos": 1},
        {"silos": 100, "trust": "shared"},
        {"silos": 100, "method": "independent"},
    ],
)
def test_a_plan_whose_pairs_are_worth_it_says_nothing(choices: dict[str, Any]) -> None:
    assert counted(**choices) == ()


def test_a_plan_says_what_helps_where_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = made_schema(attributes=12)
    (tmp_path / "schema.yaml").write_text(dump_schema(schema))
    names = ",".join(f"s{i}" for i in range(20))
    words = ["--epsilon", "0.3", "--delta", "1e-6", "--silos", names, "--method", "aim"]
    out = str(tmp_path / "plan.yaml")
    assert run(["plan", "new", str(tmp_path / "schema.yaml"), *words, "--out", out]) == 0
    shown = ["plan", "show", out, "--schema", str(tmp_path / "schema.yaml"), "--rows", "300"]
    capsys.readouterr()
    assert run([*shown, "--json"]) == 0
    helps = json.loads(capsys.readouterr().out)["data"]["helps"]
    assert "--trust shared" in "".join(helps)
