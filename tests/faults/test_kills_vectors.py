"""A silo that is killed over votes, projections or pictures answers once, and charges once.

Each cell is a process that dies at one step of a request about whole rows: around the charge, the
release and what is sent. Whatever the step, another question by the same name is refused.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.accounting import rho_units
from silosynth.common.digest import canonical_json
from silosynth.common.generator import MOST_SCORE
from silosynth.common.messages import Refusal, Release
from silosynth.common.plan import Plan, parse_plan
from silosynth.common.schema import Schema
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.planning import new_plan
from tests.privacy.test_central import PIXELS, made_schema
from tests.support.gateways.signed import Federation
from tests.support.killed import killed_at
from tests.support.tables.texts import messages

KINDS = ("votes", "votes-pictures", "projection", "central", "around")
STEPS = ("verified", "before-charge", "after-charge", "before-store", "after-store", "before-send")
ROWS = 40
DARK, LIGHT = "00" * len(PIXELS), "0f" * len(PIXELS)


@dataclass(kw_only=True)
class WholeRows(Federation):
    """One real silo of messages, or of pictures, and the plan of a method on them."""

    kind: str

    def __post_init__(self) -> None:
        self.make_silo(self.schema, self._table())
        methods = [self.method]
        automatic = {"automatic": True, "max_epsilon": 50.0, "max_delta": 1e-5}
        self.change(approval=automatic | {"methods": methods})
        data = self.policy.model_dump(mode="json", by_alias=True)
        for section in ("datasets", "coordinators", "projects"):
            data[section] = [s | {"budget": {"epsilon": 90, "delta": 1e-6}} for s in data[section]]
        self.policy = type(self.policy).model_validate(data)

    @property
    def method(self) -> str:
        """Return the method that the kind is a request of."""
        return {"votes-pictures": "votes", "around": "central"}.get(self.kind, self.kind)

    @property
    def schema(self) -> Schema:
        """Return the schema of the rows."""
        return messages() if self.kind == "votes" else made_schema()

    def _table(self) -> pa.Table:
        who = [f"person {i}" for i in range(ROWS)]
        if self.kind == "votes":
            return pa.table({"kind": ["ham"] * ROWS, "text": ["hello friend"] * ROWS, "who": who})
        levels = np.random.default_rng(1).integers(0, 5, (len(PIXELS), ROWS))
        columns = dict(zip(PIXELS, levels, strict=True))
        return pa.table({**columns, "kind": ["bar"] * ROWS, "who": who})

    def whole_plan(self) -> Plan:
        """Return a plan of both silos, within the policy."""
        roster = {"north": self.north.public, "south": self.south.public}
        plan = new_plan(
            self.schema,
            epsilon=20.0,
            delta=1e-6,
            silos=tuple(roster),
            method=self.method,
            rows_per_person=2,
            plan_id="p",
        )
        return parse_plan(plan.model_dump(mode="json") | {"roster": roster})

    def asked(self, plan: Plan, *, other: bool = False) -> bytes:
        """Return a request of the kind, or another one by the same name."""
        domain, turn = self.schema.domain, -1 if other else 1
        values: dict[str, Any] = {"phase": self.kind, "queries": [[domain.attributes, "fine"]]}
        if self.method == "votes":
            first = ["hello friend", "call now"] if self.kind == "votes" else [DARK, LIGHT]
            values = {"phase": "votes-1", "queries": [[["kind"], "fine"]]}
            values["candidates"] = first[::turn]
        elif self.kind == "projection":
            values["scores"] = {
                name: [turn * MOST_SCORE // size * code for code in range(size)]
                for name, size in zip(domain.attributes, domain.shape, strict=True)
                if name != "kind"
            }
        elif self.kind == "around":
            centres = [[7 * turn] * len(PIXELS)] * domain.size(("kind",))
            values["central"] = {"centres": centres, "radius": 1000}
        elif other:
            values["levels"] = {"other": {}}
        header = {"version": 1, "plan_digest": plan.digest, "silo": "north"}
        body = canonical_json(header | values)
        return seal(body, purpose=Purpose.REQUEST, key=self.hub)


def ask(federation: WholeRows, plan: Plan, reached: Callable[[str], None]) -> None:
    """Ask, telling of each step that is reached."""
    with federation.open(reached=reached) as silo:
        silo.gateway.answer(plan=federation.sealed(plan), request=federation.asked(plan))


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", KINDS)
def test_whole_rows_are_answered_and_charged_once_wherever_their_silo_dies(
    tmp_path: Path, kind: str, step: str
) -> None:
    federation = WholeRows(directory=tmp_path, kind=kind)
    plan = federation.whole_plan()
    with federation.open() as silo:
        federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
    assert killed_at(step, partial(ask, federation, plan)) == signal.SIGKILL
    with federation.open() as silo:
        sealed, request = federation.sealed(plan), federation.asked(plan)
        answer = silo.gateway.answer(plan=sealed, request=request)
        release = federation.read(answer)
        assert isinstance(release, Release), release
        assert silo.gateway.answer(plan=sealed, request=request) == answer
        (charge,) = silo.ledger.charges()
        phase = plan.phase("votes-1" if federation.method == "votes" else kind)
        assert charge.cost_units == rho_units(plan.phase_cost(phase).rho)
        other = silo.gateway.answer(plan=sealed, request=federation.asked(plan, other=True))
        assert isinstance(federation.read(other), Refusal)
        assert len(silo.ledger.charges()) == 1
        silo.ledger.verify()
