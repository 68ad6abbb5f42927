"""What holds of every sum over rows that leaves with noise: its deviation, its norm, its cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from silosynth.client.noise import draw as draw_module
from silosynth.common.accounting import Noise, pld_epsilon
from silosynth.common.certificate import certify_plan, check_certificate
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, dump_schema
from silosynth.server.coordinator import State
from silosynth.server.driver import Generator, Journal, no_generator
from silosynth.simulations.local import run_local
from silosynth.simulations.silos import make_silos
from tests.support.chance import Distance, SumOfSquares, agrees, at_most


def run_silos(
    place: Path,
    plan: Plan,
    *,
    schema: Schema,
    tables: Mapping[str, pa.Table],
    imagine: Generator = no_generator,
) -> State:
    """Run a plan over silos that are made for it in ``place``; return how it ended."""
    place.mkdir(exist_ok=True)
    path = place / "schema.yaml"
    path.write_text(dump_schema(schema))
    silos = make_silos(place / "silos", plan=plan, schema_path=path, tables=tables)
    with Journal(place, plan_digest=plan.digest) as journal:
        return run_local(plan, schema, silos=silos, journal=journal, imagine=imagine)


def scale_noise(monkeypatch: pytest.MonkeyPatch, scale: Fraction) -> None:
    """Let gateways draw noise of ``scale`` times the deviation that a plan states."""
    draw: Callable[..., np.ndarray] = draw_module.draw_noise

    def other(noise: Noise, **rest: Any) -> np.ndarray:
        return draw(replace(noise, sigma2=noise.sigma2 * scale**2), **rest)

    monkeypatch.setattr(draw_module, "draw_noise", other)


def check_noise(noise: np.ndarray, *, alarm: float, off: Fraction) -> None:
    """Fail unless the variance is one and the shape normal; find ``off`` of the deviation.

    Features are noised at a scale of thousands: the lattice of whole numbers does not show.
    """
    law = SumOfSquares(count=len(noise), sigma2=1e6)
    scales = (float(1 - off), float(1 + off))
    others = {f"{f:.2f} of the noise": replace(law, sigma2=f**2 * 1e6) for f in scales}
    agrees(1e6 * float((noise**2).sum()), law=law, mutants=others, alarm=alarm / 2)
    distance = float(stats.kstest(noise, "norm").statistic)
    at_most(distance, law=Distance(count=len(noise)), mutants={}, alarm=alarm / 2)


def check_bound(plan: Plan, *, bound: int) -> None:
    """Fail unless the certificate spends what was asked, and follows from the norm alone."""
    certificate = certify_plan(plan)
    check_certificate(certificate)
    assert 0.98 * plan.privacy.epsilon < certificate.epsilon <= plan.privacy.epsilon
    counts, noised = certificate.phases
    assert noised.bound == bound
    forged = noised.model_copy(update={"bound": bound // 2})
    with pytest.raises(InvalidPlan):
        check_certificate(certificate.model_copy(update={"phases": (counts, forged)}))


def check_cost(plan: Plan) -> None:
    """Fail unless the sum costs what a Gaussian of its norm costs.

    That is the exact epsilon of one Gaussian, mean shifted by norm / sigma (Balle and Wang 2018).
    """
    cost = plan.phase_cost(plan.phases[1])
    mu = cost.sensitivity / float(cost.sigma2) ** 0.5
    epsilon = pld_epsilon([cost], 1e-6)
    exact = stats.norm.cdf(mu / 2 - epsilon / mu) - np.exp(epsilon) * stats.norm.cdf(
        -mu / 2 - epsilon / mu
    )
    assert exact <= 1e-6
    assert exact == pytest.approx(1e-6, rel=1e-3)
