"""No test's verdict hangs on a fixed time of the clock: limits follow what the machine is.

A number that stands as a limit is met or missed by what else runs on the machine. Limits are
multiples of what :mod:`tests.support.patience` measured, or counts of work.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {"monotonic", "time", "perf_counter", "process_time"}
LIMITS = {"timeout", "timeout_seconds", "deadline", "deadline_seconds"}
WAITS = {"wait", "join", "result", "communicate"}
"""Methods whose one number is a limit."""

OF_A_PLAN = "a plan's field that is compared with others; nobody waits for it"
RUNS_OUT = "the time is there to run out, and only what never comes is waited for"
HAPPENS = "a moment at which something happens, by which nothing is judged"
SAME = "the same in every plan of a test, so that digests are; ten minutes are beyond any load"
MEANT: Mapping[str, str] = {
    "client/gateway/test_gateway_signed.py::test_another_plan_under_the_same_id_is_refused": (
        OF_A_PLAN
    ),
    "client/rpc/test_rpc.py::test_a_gateway_that_takes_too_long_is_given_up": RUNS_OUT,
    "client/serving/test_serve.py::test_a_gateway_that_is_gone_is_named": RUNS_OUT,
    "common/plan/test_plan.py::test_any_change_of_a_plan_changes_its_digest": OF_A_PLAN,
    "faults/test_hostile_coordinator.py::test_another_plan_under_an_approved_id_is_refused": (
        OF_A_PLAN
    ),
    "server/federation/test_channel_faults.py::get_node_ids": HAPPENS,
    "server/federation/test_votes_run.py::planned": SAME,
    (
        "simulations/sweep/test_sweep.py::"
        "test_a_plan_is_made_anew_for_what_is_varied_and_keeps_the_rest"
    ): OF_A_PLAN,
    "simulations/test_flower.py::test_silos_of_a_chunk_that_never_connects_are_named": RUNS_OUT,
    "support/signed_fakes.py::signed_plan": SAME,
}
"""Fixed numbers that are no limit of a verdict, and why."""


def _number(node: ast.expr, named: Mapping[str, ast.expr]) -> bool:
    """Say whether an expression is made of numbers, or of names of a module that are."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, int | float) and not isinstance(node.value, bool)
    if isinstance(node, ast.Name):
        return node.id in named and _number(named[node.id], {})
    if isinstance(node, ast.BinOp):
        return _number(node.left, named) and _number(node.right, named)
    return isinstance(node, ast.UnaryOp) and _number(node.operand, named)


def _reads_clock(node: ast.AST) -> bool:
    called = (n.func for n in ast.walk(node) if isinstance(n, ast.Call) and not n.args)
    return any(ast.unparse(function).rpartition(".")[2] in CLOCKS for function in called)


def _took(node: ast.expr, lasted: set[str]) -> bool:
    """Say whether an expression is a difference of two readings of a clock."""
    if isinstance(node, ast.Name):
        return node.id in lasted
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _reads_clock(node)


def _limits(function: ast.AST, named: Mapping[str, ast.expr]) -> Iterator[ast.expr]:
    """Find the numbers of a function that are limits of time."""
    assigned = [n for n in ast.walk(function) if isinstance(n, ast.Assign)]
    targets = [(t.id, a.value) for a in assigned for t in a.targets if isinstance(t, ast.Name)]
    lasted = {name for name, value in targets if _took(value, set())}
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield from (k.value for k in node.keywords if k.arg in LIMITS)
            if isinstance(node.func, ast.Attribute) and node.func.attr in WAITS:
                yield from node.args[:1]
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in LIMITS:
                    yield value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield from (b for a, b in _ways(node.left, node.right) if _reads_clock(a))
        elif isinstance(node, ast.Compare):
            yield from _most(node, lasted)


def _ways(left: ast.expr, right: ast.expr) -> tuple[tuple[ast.expr, ast.expr], ...]:
    return (left, right), (right, left)


def _most(node: ast.Compare, lasted: set[str]) -> Iterator[ast.expr]:
    """Find what a time that passed is at most: at least something, it is on any machine."""
    for left, order, right in zip(
        [node.left, *node.comparators], node.ops, node.comparators, strict=False
    ):
        if isinstance(order, ast.Lt | ast.LtE) and _took(left, lasted):
            yield right
        if isinstance(order, ast.Gt | ast.GtE) and _took(right, lasted):
            yield left


def _fixed(text: str) -> Iterator[tuple[str, str]]:
    """Yield the function and the number of each limit in a module that is fixed."""
    tree = ast.parse(text)
    named = {
        t.id: line.value
        for line in tree.body
        if isinstance(line, ast.Assign)
        for t in line.targets
        if isinstance(t, ast.Name)
    }
    places = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for place in places:
        for limit in _limits(place, named):
            if _number(limit, named):
                yield place.name, ast.unparse(limit)


def test_every_limit_of_time_follows_the_machine() -> None:
    found = {
        f"{path.relative_to(TESTS)}::{place}": limit
        for path in sorted(TESTS.rglob("*.py"))
        for place, limit in _fixed(path.read_text())
    }
    assert {place: limit for place, limit in found.items() if place not in MEANT} == {}
    assert MEANT.keys() <= found.keys(), "what is no more is listed no more"


@pytest.mark.parametrize(
    "line",
    [
        "run(['x'], timeout=60)",
        "process.wait(LONG)",
        "thread.join(timeout=2 * LONG)",
        "until = time.monotonic() + 120",
        "assert time.monotonic() - begun < 30",
        "assert 30 >= perf_counter() - begun",
        "took = time.time() - begun\n    assert 0 < took <= LONG",
        "plan(**{'deadline_seconds': 60})",
    ],
)
def test_a_fixed_limit_is_found(line: str) -> None:
    text = f"LONG = 90.0\ndef test_a():\n    {line}"
    assert len(list(_fixed(text))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "run(['x'], timeout=patience(60))",
        "until = time.monotonic() + paced(3)",
        "assert time.monotonic() - begun < patience(30)",
        "assert time.monotonic() - begun >= 0.5",
        "', '.join(words)",
        "wait_for('it', lambda: True, seconds=90)",
    ],
)
def test_a_limit_that_follows_the_machine_and_a_least_time_are_none(line: str) -> None:
    assert list(_fixed(f"def test_a():\n    {line}")) == []
