"""What the ledger records beside a charge: public facts of the plan and of the request."""

from __future__ import annotations

from silosynth.client.gateway.verify import VerifiedRequest
from silosynth.common.messages import AgreedSet


def charge_facts(verified: VerifiedRequest, *, agreed: AgreedSet | None) -> dict[str, str | int]:
    """Return the public facts that the ledger records beside a charge.

    In shared trust, the cost of the silo's share of the noise standing alone is one of them.
    """
    sums: dict[str, str | int] = {}
    if agreed is not None:
        sums = {"session": agreed.session, "set": agreed.digest}
        sums |= {"alone_units": verified.share.alone_units}
    return sums | {
        "plan": verified.proposed.digest,
        "plan_id": verified.proposed.plan.id,
        "phase": verified.phase.name.value,
        "marginals": len(verified.cells),
        **verified.proposed.plan.noise(verified.phase).stated,
        **_tables_facts(verified),
        **({"bound": verified.phase.bound} if verified.phase.bound > 1 else {}),
        **_training_facts(verified),
    }


def _tables_facts(verified: VerifiedRequest) -> dict[str, str | int]:
    """Return T where persons were weighed; the noise beside it is that at T = 1."""
    asked = verified.request.tables
    return {} if asked is None or asked.length is None else {"length": asked.length}


def _training_facts(verified: VerifiedRequest) -> dict[str, str | int]:
    """Return what the ledger records of a round of training."""
    step, training = verified.request.training, verified.proposed.plan.training
    if step is None or training is None:
        return {}
    return {
        "round": step.round,
        "steps": training.local_steps,
        "rate": str(verified.phase.rate),
        "weights": step.weights,
    }
