"""What a plan charges a silo, in the ledger's integer units."""

from __future__ import annotations

from silosynth.common.cost import rho_units
from silosynth.common.plan import Plan, phase_rho


def plan_units(plan: Plan) -> int:
    """Return the most that a plan charges a silo, in ledger units, rounded up phase by phase."""
    return sum(rho_units(phase_rho(p, plan.privacy.rows_per_person)) for p in plan.phases)
