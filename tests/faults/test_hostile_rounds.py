"""What a coordinator may ask in AIM's rounds and where all pairs are asked at once.

Which pairs a round asks, and in how many steps they were chosen, is the coordinator's own thing: a
silo knows the plan alone. So every number that it may choose is bounded there: how many marginals,
of how many columns, with how many cells, at how many levels, and once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.silo import Silo
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.messages import Answer, Refusal, Release
from silosynth.common.plan import Plan
from silosynth.common.schema import parse_schema
from tests.support.gateways import signed
from tests.support.gateways.signed import Federation

SIZES = {"a": 3, "b": 4, "c": 2, "d": 5}
LISTED = {"kind": "categorical", "other": False, "source": "declared"}
SCHEMA = parse_schema(
    {
        "name": "four",
        "attributes": [
            {"name": name, "categories": [str(i) for i in range(size)], **LISTED}
            for name, size in SIZES.items()
        ],
    }
)
HALVES = {"halves": {"a": (0, 0, 1)}}
EVERY = tuple(((a, b), "fine") for a in SIZES for b in SIZES if a < b)


def _table() -> pa.Table:
    random = np.random.default_rng(0)
    columns = {name: random.integers(0, size, 300).astype(str) for name, size in SIZES.items()}
    return pa.table(columns | {"who": [str(i) for i in range(300)]})


class Attack:
    """A silo with four columns that approved a plan, and what it answers under it."""

    def __init__(self, federation: Federation, plan: Plan, silo: Silo) -> None:
        self.federation, self.plan, self.silo = federation, plan, silo
        verdict = federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        assert verdict.answer is Answer.APPROVED, verdict

    @property
    def charged(self) -> int:
        return self.silo.ledger.spent(Scope(kind=ScopeKind.DATASET, name="default"))

    def ask(self, phase: str, queries: object, **changes: Any) -> bytes:
        """Send a request for ``queries``; return the answer."""
        request = self.federation.request(self.plan, phase=phase, queries=queries, **changes)
        return self.silo.gateway.answer(plan=self.federation.sealed(self.plan), request=request)

    def refused(self, phase: str, queries: object, **changes: Any) -> str:
        """Send a request that is refused without a charge; return the refusal's code."""
        before = self.charged
        answer = self.federation.read(self.ask(phase, queries, **changes))
        assert isinstance(answer, Refusal), (phase, answer)
        assert self.charged == before
        return answer.code


@pytest.fixture(params=["aim", "mixture"])
def attack(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Attack]:
    monkeypatch.setattr(signed, "people", lambda: SCHEMA)
    monkeypatch.setattr(signed, "people_table", _table)
    federation = Federation(directory=tmp_path)
    methods = {"automatic": True, "max_epsilon": 2.0, "max_delta": 1e-5, "methods": [request.param]}
    federation.change(approval=methods)
    plan = federation.plan(method=request.param)
    with federation.open() as silo:
        yield Attack(federation, plan, silo)


REFUSED: Mapping[str, tuple[object, Mapping[str, Any], str]] = {
    "one more than planned": ((*EVERY, (("a", "b"), "halves")), {"levels": HALVES}, "cap-exceeded"),
    "a pair and its reverse": (
        ((("a", "b"), "fine"), (("b", "a"), "fine")),
        {},
        "invalid-plan",
    ),
    "a column": (((("a",), "fine"),), {}, "invalid-plan"),
    "three columns": (((("a", "b", "c"), "fine"),), {}, "invalid-plan"),
    "all columns": (((("a", "b", "c", "d"), "fine"),), {}, "cap-exceeded"),
    "a column twice": (((("a", "a"), "fine"),), {}, "invalid-plan"),
    "a group that nobody is in": (
        ((("a", "b"), "deep"),),
        {"levels": {"deep": {"a": (0, 2**62, 1)}}},
        "invalid-plan",
    ),
    "too few codes": (
        ((("a", "b"), "deep"),),
        {"levels": {"deep": {"a": (0, 1)}}},
        "invalid-plan",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_no_phase_about_pairs_asks_more_than_was_approved(attack: Attack, what: str) -> None:
    queries, changes, code = REFUSED[what]
    for phase in attack.plan.phases[1:]:
        assert attack.refused(phase.name.value, queries, **changes) == code


def test_a_phase_is_answered_once_in_any_order_and_costs_what_it_asks(attack: Attack) -> None:
    """Of the marginals that a phase was given some may be asked, and the others not later."""
    for phase in reversed(attack.plan.phases[1:]):
        some, name = EVERY[: phase.marginals - 1], phase.name.value
        before, first = attack.charged, attack.ask(name, some)
        assert isinstance(attack.federation.read(first), Release)
        each = Fraction(2**40 * attack.plan.privacy.rows_per_person**2, 2) / Fraction(phase.sigma2)
        assert 0 <= attack.charged - before - len(some) * each <= 1
        assert attack.ask(name, some) == first
        assert attack.charged - before - len(some) * each <= 1
        assert attack.refused(name, EVERY[-1:]) == "request-conflict"
