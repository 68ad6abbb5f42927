"""A silo that is killed while an epoch is answered answers it once, and charges all five budgets.

Each cell is a process that dies at one step of the epoch's first request: before and after the
budgets of series and epoch are granted, and around the charge and the release.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from silosynth.client.gateway.proposals import plan_scopes
from silosynth.client.gateway.series import epoch_scope, series_scope
from silosynth.common.messages import Release
from silosynth.common.plan import Plan, plan_units
from tests.client.gateway.test_gateway_series import approve, refused
from tests.support.gateways.series import at, epoch
from tests.support.gateways.signed import Federation
from tests.support.killed import killed_at

DAY = "2030-01-31"
STEPS = ("verified", "before-charge", "after-charge", "before-store", "after-store", "before-send")


def ask_epoch(federation: Federation, plan: Plan, reached: Callable[[str], None]) -> None:
    """Ask an epoch on its day, telling of each step that is reached."""
    with federation.open(reached=reached) as silo:
        at(silo, DAY)
        federation.ask(silo, plan)


@pytest.mark.parametrize("step", STEPS)
def test_an_epoch_is_answered_and_charged_once_wherever_its_silo_dies(
    tmp_path: Path, step: str
) -> None:
    federation = Federation(directory=tmp_path)
    first, second, other = (
        epoch(federation, 1),
        epoch(federation, 2),
        epoch(federation, 2, before=1),
    )
    units = plan_units(first)
    with federation.open() as silo:
        at(silo, DAY)
        approve(federation, silo, first)
        assert isinstance(federation.ask(silo, first), Release)
    assert killed_at(step, partial(ask_epoch, federation, second)) == signal.SIGKILL
    with federation.open() as silo:
        at(silo, DAY)
        sealed, request = federation.sealed(second), federation.request(second)
        answer = silo.gateway.answer(plan=sealed, request=request)
        assert isinstance(federation.read(answer), Release)
        assert silo.gateway.answer(plan=sealed, request=request) == answer
        for scope in plan_scopes("default", "hub", "default"):
            assert silo.ledger.spent(scope) == 2 * units
        assert silo.ledger.spent(series_scope(first)) == 2 * units
        assert [silo.ledger.spent(epoch_scope(first, n)) for n in (1, 2)] == [units, units]
        assert refused(federation, silo, other)
        silo.ledger.verify()
