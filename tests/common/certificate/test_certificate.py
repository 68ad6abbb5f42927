"""A certificate states what follows from its phases, and says what it rests on."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from silosynth.common.accounting import (
    GaussianCost,
    Noise,
    cks_epsilon,
    pld_epsilon,
    rho_units,
    stated_epsilon,
    total_rho,
)
from silosynth.common.certificate import Certificate, check_certificate, plain_words
from silosynth.common.certificate.certify import PhaseCost, certify
from silosynth.common.errors import InvalidPlan

DELTA = 1e-6
COSTS = [(24, Fraction(625, 4)), (23, Fraction(99))]


def certificate(*, rows: int = 1, **changes: Any) -> Certificate:
    phases = [
        PhaseCost(name=f"phase-{n}", count=count, noise=Noise(sigma2=sigma2), sensitivity=rows)
        for n, (count, sigma2) in enumerate(COSTS)
    ]
    arguments: dict[str, Any] = {
        "phases": phases,
        "delta": DELTA,
        "plan_id": "p",
        "plan_digest": "sha256:p",
        "schema_digest": "sha256:s",
        "silos": 10,
    }
    return certify(**(arguments | changes))


def costs(*, count: int = 1, rows: int = 1, shares: int = 1) -> list[GaussianCost]:
    return [GaussianCost(sigma2=s / shares, count=n * count, sensitivity=rows) for n, s in COSTS]


def test_it_states_the_loss_distribution_when_noise_was_fixed_in_advance() -> None:
    made = certificate()
    assert made.epsilon == made.epsilon_pld == stated_epsilon(pld_epsilon(costs(), DELTA))
    assert made.epsilon < made.epsilon_cks == stated_epsilon(cks_epsilon(total_rho(costs()), DELTA))


def test_it_states_the_zcdp_bound_when_noise_was_chosen_on_the_way() -> None:
    made = certificate(fixed_in_advance=False)
    assert made.epsilon == made.epsilon_cks
    assert made.epsilon_pld is None
    assert "zCDP conversion" in " ".join(plain_words(made))


def test_units_are_the_sum_of_phases_that_are_each_rounded_up() -> None:
    made = certificate()
    assert made.rho_units == sum(rho_units(c.rho) for c in costs())
    assert float(made.rho) >= made.rho_units / 2**40 > float(made.rho) * (1 - 1e-5)


@pytest.mark.parametrize("silos", [1, 2, 3])
def test_a_person_in_several_silos_costs_m_in_own_and_m_squared_in_shared_noise(silos: int) -> None:
    own = certificate().overlaps[silos - 1]
    shared = certificate(trust="shared").overlaps[silos - 1]
    assert own.silos == shared.silos == silos
    assert own.epsilon == stated_epsilon(pld_epsilon(costs(count=silos), DELTA))
    assert shared.epsilon == stated_epsilon(pld_epsilon(costs(rows=silos), DELTA))
    rho = total_rho(costs())
    assert math.isclose(own.rho_units, silos * rho * 2**40, abs_tol=4)
    assert math.isclose(shared.rho_units, silos**2 * rho * 2**40, abs_tol=4)


def test_rows_of_one_person_raise_the_cost_by_their_square() -> None:
    assert certificate(rows=3).rho_units == pytest.approx(9 * certificate().rho_units, abs=20)
    assert "at most 3 rows" in certificate(rows=3).neighbours


def test_a_silo_whose_masks_fail_costs_what_its_share_of_the_noise_gives() -> None:
    made = certificate(trust="shared", colluders=2, absent=1)
    assert made.alone is not None
    assert made.alone.epsilon == stated_epsilon(pld_epsilon(costs(shares=7), DELTA))
    assert made.alone.rho_units == pytest.approx(7 * made.rho_units, abs=20)
    assert certificate().alone is None


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_it_survives_a_file_and_can_be_worked_out_again(trust: str) -> None:
    made = certificate(trust=trust)
    read = Certificate.model_validate_json(made.model_dump_json())
    assert read == made
    check_certificate(read)


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 1.0, "epsilon_pld": 1.0},
        {"epsilon_cks": 1.0},
        {"delta": 1e-3},
        {"rho": "0.1"},
        {"assumptions": ()},
        {"neighbours": "nothing"},
        {"rows_per_person": 2},
    ],
)
def test_a_certificate_that_states_something_else_is_refused(changes: dict[str, Any]) -> None:
    altered = Certificate.model_validate(certificate().model_dump() | changes)
    with pytest.raises(InvalidPlan, match="does not follow"):
        check_certificate(altered)


@pytest.mark.parametrize(
    "changes",
    [
        {"epsilon": 1.0},
        {"rho_units": 5},
        {"version": 2},
        {"more": 1},
        {"delta": 0.0},
        {"phases": ()},
        {"trust": "shared"},
    ],
)
def test_a_certificate_that_contradicts_itself_cannot_be_built(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Certificate.model_validate(certificate().model_dump() | changes)


def test_plain_words_hold_the_numbers_and_the_assumptions() -> None:
    made = certificate(trust="shared", colluders=2, absent=1)
    words = " ".join(plain_words(made))
    for part in ("1e-06", "delta", "2 silos", "3 silos", "at most 2 silos", "12.5", *ASSUMED):
        assert part in words


ASSUMED = ("public", "different people", "hostile", "add to this one")


def test_plain_words_never_state_less_than_the_number() -> None:
    made = certificate()
    stated = float(plain_words(made)[0].split("epsilon ")[1].split(" and")[0])
    assert made.epsilon <= stated <= made.epsilon * 1.001


def test_the_stated_recognition_rate_is_that_of_the_guarantee() -> None:
    made = certificate()
    stated = float(plain_words(made)[1].split("at most ")[1].split(" in 100")[0]) / 100
    grown = math.exp(made.epsilon)
    assert min(0.01 * grown + DELTA, 1 - (0.99 - DELTA) / grown) <= stated <= 1


@pytest.mark.parametrize(
    "changes",
    [
        {"delta": 0.0},
        {"delta": math.nan},
        {"phases": []},
        {"trust": "shared", "colluders": 6, "absent": 4},
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPlan):
        certificate(**changes)
