"""What a plan holds is all that a real, signed gateway gives, and all that is given is paid for.

The same limits are asked of the functions alone elsewhere; here a trusted coordinator signs what
goes beyond an approved plan, and the ledger is looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.noise import noise_share
from silosynth.common.accounting import RHO_UNIT, pld_epsilon, rho_units
from silosynth.common.certificate import certify_plan
from silosynth.common.messages import Refusal, Release
from silosynth.common.plan import PhaseName, Plan, plan_units
from tests.privacy.sums import CELLS, Circle, circle, names, shared_plan
from tests.support.gateways.signed import Federation

LEVELS = {"halves": {"age": [0] * 5 + [1] * 5}}


def _roomy(federation: Federation, method: str) -> Plan:
    """Return an approved plan whose phases have room for many cells: marginals alone are short."""
    plan = federation.plan(method=method)
    phases = [p.model_dump(mode="json") | {"cells": 500} for p in plan.phases]
    return federation.plan(method=method, phases=phases)


@pytest.mark.parametrize(
    ("method", "asked", "code"),
    [
        (
            "independent",
            {
                "queries": ((("age",), "fine"), (("sex",), "fine"), (("age",), "halves")),
                "levels": LEVELS,
            },
            "cap-exceeded",
        ),
        ("independent", {"queries": ((("age",), "fine"), (("age",), "fine"))}, "invalid-plan"),
        ("independent", {"queries": ((("age", "sex"), "fine"),)}, "invalid-plan"),
        (
            "mst",
            {"phase": PhaseName.COARSE, "queries": ((("age",), "fine"),)},
            "invalid-plan",
        ),
    ],
    ids=["one marginal too many", "a marginal twice", "another clique", "a one-way for a pair"],
)
def test_a_signed_request_beyond_its_plan_is_refused_and_not_charged(
    tmp_path: Path, method: str, asked: Mapping[str, Any], code: str
) -> None:
    federation = Federation(directory=tmp_path)
    plan = _roomy(federation, method)
    with federation.open() as silo:
        silo.gateway.propose(plan=federation.sealed(plan))
        request = federation.request(plan, **asked)
        answer = federation.read(silo.gateway.answer(plan=federation.sealed(plan), request=request))
        assert isinstance(answer, Refusal), answer
        assert answer.code == code
        assert silo.ledger.charges() == ()
        allowed = federation.request(plan)
        answer = federation.read(silo.gateway.answer(plan=federation.sealed(plan), request=allowed))
        assert isinstance(answer, Release), answer


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_all_sessions_of_a_sum_are_within_what_the_certificate_states(
    tmp_path: Path, attempts: int
) -> None:
    """Each session is answered, and charged, anew: what a silo adds up is what was stated."""
    one = circle(tmp_path, 4, attempts=attempts, method="independent")
    charged = [_charge(one, session) for session in range(1, attempts + 1)]
    stated = Fraction(certify_plan(one.plan).rho)
    assert sum(charged) == plan_units(one.plan)
    assert stated * Fraction(9999, 10_000) < Fraction(sum(charged), RHO_UNIT) <= stated


def _charge(one: Circle, session: int) -> int:
    """Ask a silo's whole first phase in a session; return what its gateway charges for it."""
    proof = one.proof(session=session)
    phase = one.plan.phase(PhaseName.ONE_WAY)
    request = one.request("silo-000", proof)
    assert len(one.masked(request, np.zeros(CELLS, dtype=np.int64))) == CELLS
    return noise_share(one.plan, phase, marginals=phase.marginals).cost_units


@pytest.mark.parametrize("attempts", [2, 3])
def test_what_is_stated_is_the_epsilon_of_all_attempts_together(attempts: int) -> None:
    plan = shared_plan(names(4), attempts=attempts)
    once = [replace(plan.phase_cost(p), count=p.marginals) for p in plan.phases]
    truth = pld_epsilon(once * attempts, plan.privacy.delta)
    assert certify_plan(plan).epsilon >= truth * (1 - 1e-9)
    assert plan.privacy.epsilon >= truth
    assert plan_units(plan) >= attempts * sum(rho_units(c.rho) for c in once)
