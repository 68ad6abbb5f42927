"""Where the code tells methods, phases and trust apart, outside the homes that they have."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from inspect import signature
from pathlib import Path

import pytest

from silosynth.common.plan import MEMBERS, Method
from silosynth.server.cli.plan import plan_new
from silosynth.server.methods import METHODS
from silosynth.server.planning import new_plan

ROOT = Path(__file__).parent.parent
PARTS = ("common", "client", "server", "simulations")
HOMES = {
    "Method": (
        *("server/methods/", "server/judging/", "server/drift/"),
        "common/plan/methods.py",
    ),
    "PhaseName": (
        *("server/methods/", "server/judging/", "server/drift/"),
        *("common/plan/methods.py", "common/plan/phases.py"),
    ),
    "TrustMode": ("common/plan/trust.py",),
    "training is None": ("server/methods/", "common/plan/methods.py"),
}
# What is left; less is better, and more is a second home.
MOST = {"Method": 13, "PhaseName": 34, "TrustMode": 4, "training is None": 19}
# advise() names the methods that it advises; nothing else outside may name one but the planner,
# which takes AIM for a workload.
NAMED = {"server/planning/advice.py": 12, "server/planning/planner.py": 1}


def _kind(node: ast.AST) -> str | None:
    """Say what a node tells apart, if it does."""
    match node:
        case ast.Attribute(value=ast.Name(id=("Method" | "PhaseName" | "TrustMode") as name)):
            return name
        case ast.Compare(
            left=ast.Attribute(attr="training"),
            ops=[ast.Is() | ast.IsNot()],
            comparators=[ast.Constant(value=None)],
        ):
            return "training is None"
    return None


@cache
def _told_apart() -> dict[str, Counter[str]]:
    """Return how often each file tells each kind apart."""
    return {
        path.relative_to(ROOT).as_posix(): Counter(
            kind for node in ast.walk(ast.parse(path.read_text())) if (kind := _kind(node))
        )
        for part in PARTS
        for path in (ROOT / part).rglob("*.py")
    }


def _found(kind: str) -> Counter[str]:
    """Return how often each file outside the homes tells ``kind`` apart."""
    told = _told_apart().items()
    return +Counter({w: counts[kind] for w, counts in told if not w.startswith(HOMES[kind])})


@pytest.mark.parametrize("kind", sorted(MOST))
def test_no_more_places_tell_them_apart(kind: str) -> None:
    found = _found(kind)
    assert 0 < found.total() <= MOST[kind], found


def test_methods_are_named_by_those_alone_that_choose_one() -> None:
    assert _found("Method") == NAMED


def test_every_method_has_one_row_in_each_table() -> None:
    assert set(MEMBERS) == set(Method)
    apart = {m for m in Method if MEMBERS[m].several_tables or MEMBERS[m].evaluates}
    assert set(METHODS) == set(Method) - apart


@pytest.mark.parametrize("method", sorted(METHODS))
def test_no_method_knows_another(method: Method) -> None:
    """What two methods share stands in a module that is no method's."""
    own = method.value.replace("-", "_")
    others = {m.value.replace("-", "_") for m in METHODS} - {own}
    (path,) = (ROOT / "server/methods").rglob(f"{own}.py")
    source = ast.parse(path.read_text())
    used = {n.module for n in ast.walk(source) if isinstance(n, ast.ImportFrom)}
    assert not used & {f"silosynth.server.methods.{other}" for other in others}


def test_options_of_methods_are_no_parameters_of_a_plan() -> None:
    assert len(signature(plan_new).parameters) <= 12
    assert len(signature(new_plan).parameters) <= 12
