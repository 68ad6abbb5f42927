"""A certificate worked out again by accountants of other libraries, that may contradict it.

Each gives a bound of the true epsilon. A statement holds when one of them proves it and none of
them refutes it; and bounds from above that lie below one from below contradict one another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.util import find_spec

from silosynth.common.accounting import GaussianCost, pld_epsilon, total_rho
from silosynth.common.certificate.accountants import (
    least_epsilon,
    opacus_epsilon,
    opendp_epsilon,
    opendp_rho,
)
from silosynth.common.certificate.certificate import Certificate
from silosynth.common.certificate.certify import Claim, check_certificate, claims
from silosynth.common.errors import InvalidArgument, InvalidPlan

_TOLERANCE = 1e-6
"""Floats of different libraries differ by so much of themselves."""

PLD, OPENDP, OPACUS = "dp-accounting, PLD", "OpenDP, zCDP", "Opacus, RDP"
LEAST = "dp-accounting, least"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What one accountant says: the true epsilon is at most, or at least, ``epsilon``.

    ``epsilon`` is None where it has nothing to say, and ``why`` says why.
    """

    accountant: str
    above: bool
    epsilon: float | None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedClaim:
    """An epsilon that a certificate states, and what each accountant says to it."""

    claim: Claim
    bounds: tuple[Bound, ...]

    @property
    def proven_by(self) -> tuple[str, ...]:
        """Return the accountants that prove the statement, the tightest first."""
        enough = self.claim.epsilon * (1 + _TOLERANCE) + _TOLERANCE
        above = [
            (b.epsilon, b.accountant) for b in self.bounds if b.above and b.epsilon is not None
        ]
        return tuple(name for epsilon, name in sorted(above) if epsilon <= enough)

    def faults(self) -> tuple[str, ...]:
        """Return what contradicts what."""
        stated, found = self.claim.epsilon, []
        if not self.proven_by:
            found.append(f"{self.claim.what}: no accountant proves epsilon {stated:.6g}")
        for lower in self.bounds:
            if lower.above or lower.epsilon is None:
                continue
            most = lower.epsilon * (1 - _TOLERANCE) - _TOLERANCE
            if stated < most:
                found.append(
                    f"{self.claim.what}: epsilon is stated as {stated:.6g}, and is at least "
                    f"{lower.epsilon:.6g} by {lower.accountant}"
                )
            found += [
                f"{self.claim.what}: {upper.accountant} proves {upper.epsilon:.6g}, which is below "
                f"the {lower.epsilon:.6g} of {lower.accountant}"
                for upper in self.bounds
                if upper.above and upper.epsilon is not None and upper.epsilon < most
            ]
        return tuple(found)


def check_by_others(certificate: Certificate) -> tuple[CheckedClaim, ...]:
    """Work out every statement of a certificate again, by each accountant that applies.

    Raises InvalidPlan when the certificate does not follow from its phases, or when a statement
    and accountants contradict one another; InvalidArgument without the extra ``check``.
    """
    _require_others()
    check_certificate(certificate)
    fixed = certificate.conversion == "pld"
    checked = tuple(
        CheckedClaim(claim=claim, bounds=_bounds(claim, certificate.delta, fixed=fixed))
        for claim in claims(certificate)
    )
    faults = [fault for c in checked for fault in c.faults()] + _rho_faults(checked[0].claim)
    if faults:
        raise InvalidPlan(
            f"certificate of plan {certificate.plan_id}: {faults[0]}",
            hint="do not rely on it, and report the certificate with this line",
        )
    return checked


def _require_others() -> None:
    """Raise InvalidArgument unless the other libraries are installed."""
    absent = [name for name in ("opendp", "opacus") if find_spec(name) is None]
    if absent:
        raise InvalidArgument(
            f"checking a certificate needs {' and '.join(absent)}, which is not installed",
            hint="install silosynth[check]",
        )


def _bounds(claim: Claim, delta: float, *, fixed: bool) -> tuple[Bound, ...]:
    """Return what each accountant says to a claim."""
    costs, chosen = claim.costs, "noise was chosen during the run"
    summed = any(cost.convolved for cost in costs)

    def above(name: str, applies: bool, why: str, find: Callable[[], float]) -> Bound:
        return Bound(
            accountant=name,
            above=True,
            epsilon=find() if applies else None,
            why="" if applies else why,
        )

    return (
        Bound(accountant=LEAST, above=False, epsilon=least_epsilon(costs, delta)),
        above(PLD, fixed, chosen, lambda: pld_epsilon(costs, delta)),
        above(
            OPACUS,
            fixed and not summed,
            "it knows no sums of small shares" if fixed else chosen,
            lambda: opacus_epsilon(costs, delta),
        ),
        above(OPENDP, True, "", lambda: opendp_epsilon(total_rho(costs), delta)),
    )


def _rho_faults(claim: Claim) -> list[str]:
    """Return where OpenDP's map of a measurement gives more rho than the ledger is charged."""
    found = []
    for cost in claim.costs:
        theirs, ours = opendp_rho(cost), float(cost.rho)
        if theirs > ours * (1 + _TOLERANCE):
            found.append(f"OpenDP charges rho {theirs:.6g} where the ledger is charged {ours:.6g}")
        elif cost.rho == _plain_rho(cost) and theirs < ours * (1 - _TOLERANCE):
            found.append(f"OpenDP charges rho {theirs:.6g}, less than the ledger's {ours:.6g}")
    return found


def _plain_rho(cost: GaussianCost) -> Fraction:
    """Return the rho of one discrete Gaussian, whatever its shares."""
    return replace(cost, shares=1, cells=None).rho
