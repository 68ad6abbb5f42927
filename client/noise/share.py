"""The share of the noise that one silo adds to a sum, and what it costs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from silosynth.client.noise.discrete_gaussian import check_noise
from silosynth.common.accounting import Noise, Vector, check_share, rdp_vector, rho_units
from silosynth.common.plan import Phase, Plan, phase_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseShare:
    """The noise that a silo draws, and the cost of one request in units of 2^-40 of zCDP rho.

    ``alone_units`` is what the request costs if nobody else adds noise. In own trust it is what
    the request costs. ``vector`` is there where persons are sampled.
    """

    noise: Noise
    cost_units: int
    alone_units: int
    vector: Vector | None = None


def noise_share(plan: Plan, phase: Phase, *, marginals: int, length: int = 1) -> NoiseShare:
    """Return a silo's share of the noise of one request: that of the sum / (K - t - d).

    Guarantees: whichever t silos take their noise out of the sum, and whichever d stay away, the
    noise of the others has at least the variance of the phase that is charged for.

    Args: length: T, where persons are weighed; the noise grows with it and the cost does not.

    Raises InvalidPlan when the share is below 1 or cannot be drawn.
    """
    cost = replace(
        phase_cost(phase, rows_per_person=plan.privacy.rows_per_person, shares=plan.shares),
        count=marginals,
    )
    if plan.masked:
        check_share(cost.share)
    noise = plan.noise(phase, length=length).share
    check_noise(noise)
    return NoiseShare(
        noise=noise,
        cost_units=rho_units(cost.rho),
        alone_units=rho_units(cost.alone.rho),
        vector=rdp_vector(cost) if cost.rate < 1 else None,
    )
