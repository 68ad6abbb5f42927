"""Canaries of votes, projections and pictures reach the charge, and show who lets out more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from silosynth.client.gateway import asked as asked_module
from silosynth.client.gateway import gateway
from silosynth.common.generator import central, projection
from silosynth.common.generator.projection import longest
from silosynth.common.plan import Plan
from silosynth.server.planning import new_plan
from silosynth.simulations.audit.audit import Audited, audit_plan
from silosynth.simulations.audit.made_up import made_up_schema
from silosynth.simulations.audit.shown import shown_of
from silosynth.simulations.local import WHOLE
from tests.privacy.test_central import made_schema
from tests.support.tables.texts import messages

KINDS = ("texts", "pictures", "projection", "central")
CLOSE = {"texts": 1e-3, "pictures": 1e-3, "projection": 0.08, "central": 0.03}
"""How much of what is charged no canary can show: of a projection, rows have other norms."""


def plan_of(kind: str, *, shared: bool = False, epsilon: float = 20.0) -> Plan:
    trust: dict[str, Any] = {"trust": "shared", "colluders": 1} if shared else {}
    schemas = {"texts": messages(), "projection": made_up_schema(label="a")}
    return new_plan(
        schemas.get(kind, made_schema()),
        epsilon=epsilon,
        delta=1e-5,
        silos=("north", "south", "west"),
        method="votes" if kind in ("texts", "pictures") else kind,
        rows_per_person=1,
        **trust,
    )


def audited_of(kind: str, *, shared: bool = False, runs: int = 4) -> Audited:
    return audit_plan(plan_of(kind, shared=shared), run=WHOLE, runs=runs)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_canaries_reach_what_is_charged_and_no_more(kind: str, shared: bool) -> None:
    audited = audited_of(kind, shared=shared)
    assert audited.reach >= audited.charged * (1 - CLOSE[kind])
    assert audited.reach <= audited.charged * (1 + 1e-9)


def test_people_are_shown_as_a_plan_asks_for_them() -> None:
    for kind in KINDS:
        shown = shown_of(plan_of(kind))
        votes = kind in ("texts", "pictures")
        assert bool(shown.candidates) == votes
        assert len(shown.canaries) == len({tuple(row) for row in shown.canaries.tolist()})


def vote_above_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gateway.ask_rows  # type: ignore[attr-defined]  # replaced where it is used

    def ask(asked: Any) -> Any:
        return right(replace(asked, rows_per_person=2 * asked.rows_per_person))

    monkeypatch.setattr(gateway, "ask_rows", ask)


def vote_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("count_votes", "sum_votes"):
        right = getattr(asked_module, name)
        twice = _doubled(right)
        monkeypatch.setattr(asked_module, name, twice)


def _doubled(right: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def double(*args: Any, **more: Any) -> np.ndarray:
        return 2 * right(*args, **more)

    return double


def leave_the_norm_unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    def unbounded(rows: np.ndarray, *, radius2: int) -> np.ndarray:
        return np.rint(rows * (longest(rows.shape[1]) / radius2**0.5)).astype(np.int64)

    monkeypatch.setattr(projection, "bounded_rows", unbounded)
    monkeypatch.setattr(central, "bounded_rows", unbounded)


@pytest.mark.parametrize(
    ("kind", "breach"),
    [
        ("texts", vote_above_the_cap),
        ("pictures", vote_above_the_cap),
        ("texts", vote_twice),
        ("pictures", vote_twice),
        ("projection", leave_the_norm_unbounded),
        ("central", leave_the_norm_unbounded),
    ],
)
def test_whoever_lets_out_more_of_whole_rows_is_found(
    kind: str, breach: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    breach(monkeypatch)
    assert audited_of(kind, runs=16 if breach is vote_above_the_cap else 4).broken
