"""A dry run predicts what a run asks, sends and adds as noise."""

from __future__ import annotations

import numpy as np
import pytest

from silosynth.common.plan import PhaseName
from silosynth.server.coordinator.machine import start
from silosynth.server.planning.forecast import forecast
from tests.support.fakes import SILOS, answer_exactly, small_codes, small_plan, small_schema


def test_the_noise_of_a_cell_is_that_of_all_silos_together() -> None:
    plan = small_plan()
    for phase, seen in zip(plan.phases, forecast(plan, small_schema()).phases, strict=True):
        assert seen.noise**2 == pytest.approx(len(SILOS) * float(phase.sigma2))


def test_the_shares_of_the_budget_add_up() -> None:
    shares = {p.name: p.rho_share for p in forecast(small_plan(), small_schema()).phases}
    assert shares[PhaseName.ONE_WAY] == pytest.approx(0.5, abs=0.01)
    assert sum(shares.values()) == pytest.approx(1.0)


def test_the_expected_distance_is_what_noise_really_adds() -> None:
    plan = small_plan(epsilon=1.0)
    rows = 100_000
    seen = forecast(plan, small_schema(), rows=rows).phases[0]
    random = np.random.default_rng(1)
    sizes = small_schema().domain.shape
    added = np.mean(
        [
            0.5 * np.abs(random.normal(0, seen.noise, size)).sum() / rows
            for _ in range(4000)
            for size in sizes
        ]
    )
    assert seen.distance == pytest.approx(float(added), rel=0.05)


def test_a_message_is_never_longer_than_foreseen() -> None:
    plan = small_plan()
    seen = forecast(plan, small_schema()).phases[0]
    _, commands = start(plan, small_schema())
    for silo, command in zip(SILOS, commands, strict=True):
        data = answer_exactly(command.request, plan=plan, codes=small_codes(1))  # type: ignore[union-attr]  # an Ask
        assert silo
        assert len(data) <= seen.message_bytes


def test_time_and_accuracy_need_a_guess_of_the_rows() -> None:
    seen = forecast(small_plan(), small_schema())
    assert seen.seconds is None
    assert all(p.distance is None for p in seen.phases)
    more = forecast(small_plan(), small_schema(), rows=10**8)
    fewer = forecast(small_plan(), small_schema(), rows=10**4)
    assert more.seconds is not None
    assert fewer.seconds is not None
    assert more.seconds > fewer.seconds


def test_shared_noise_is_forecast_with_its_steps_width_and_noise() -> None:
    own = forecast(small_plan(), small_schema())
    shared = forecast(small_plan(trust="shared", rows_at_most=1000), small_schema())
    assert shared.messages == own.messages + 4 * len(SILOS)
    for before, after in zip(own.phases, shared.phases, strict=True):
        assert after.noise == pytest.approx(before.noise / len(SILOS) ** 0.5)
        assert after.message_bytes - 600 == (before.message_bytes - 600) // 2
