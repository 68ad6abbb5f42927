"""What holds in every scenario, looked through after a run: in ledgers, and in what left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.messages import Release, decode_release
from silosynth.common.plan import Plan, plan_units
from silosynth.server.coordinator import State
from silosynth.simulations.world import Place, Scenario

HELD = (
    "no release without a charge",
    "no request charged twice",
    "no request answered by two releases",
    "no silo spent more than the plan says",
    "no sum of fewer silos than the plan says",
    "no release that stands alone where a region's rule asks for sums",
)


def faults(
    plan: Plan,
    *,
    ledger: Callable[[str], Ledger],
    left: Mapping[str, Mapping[str, bytes]],
    conflicts: list[str],
    state: State | None,
    liars: frozenset[str] = frozenset(),
    summed: Mapping[str, str] | None = None,
) -> list[str]:
    """Return what does not hold, one line each; nothing is asked of silos that lie.

    Args:
        ledger: gives a silo's ledger.
        left: what left each silo, by request id, whether it arrived or not.
        state: where the run ended, unless an error ended it.
        summed: silos from which sums alone may leave, with the region that says so.
    """
    found = [
        f"silo {s} answered one request with two releases" for s in conflicts if s not in liars
    ]
    for silo in plan.silos:
        if silo not in liars:
            found += _faults_of(silo, plan, ledger=ledger(silo), left=left[silo])
    for silo, region in (summed or {}).items():
        if silo not in liars and any(_stands_alone(d, plan, silo) for d in left[silo].values()):
            found.append(f"region {region}: a release of silo {silo} stands alone")
    if state is not None and plan.shares > 1:
        for phase, releases in state.releases.items():
            if state.asked[phase].queries and len(releases) < len(plan.silos) - plan.absent:
                found.append(f"phase {phase.value} is a sum of {len(releases)} silos")
    return found


def liars_of(places: Mapping[str, Place]) -> frozenset[str]:
    """Return the silos that lie."""
    return frozenset(s for s, place in places.items() if place.lie is not None)


def summed_of(scenario: Scenario, places: Mapping[str, Place]) -> dict[str, str]:
    """Return the silos from which sums alone may leave, with the region that says so."""
    return {
        s: place.region
        for s, place in places.items()
        if scenario.regions[place.region].rules.smallest_sum > 1
    }


def _stands_alone(data: bytes, plan: Plan, silo: str) -> bool:
    """Say whether a release is no masked part of a sum; a silo that lies is not looked at."""
    answer = decode_release(data, trusted=(plan.roster[silo],))
    return isinstance(answer, Release) and answer.receipt.sum is None


def _faults_of(
    silo: str, plan: Plan, *, ledger: Ledger, left: Mapping[str, bytes]
) -> Iterator[str]:
    """Yield what does not hold at one silo, by its ledger."""
    charges = ledger.charges()
    times = Counter(c.request_id for c in charges)
    for request, count in times.items():
        if count > 1:
            yield f"silo {silo} was charged {count} times for request {request}"
    for request in left:
        if request not in times:
            yield f"silo {silo} released an answer to request {request} without a charge"
    spent = ledger.spent(Scope(kind=ScopeKind.PROJECT, name=plan.project))
    if spent != sum(c.cost_units for c in charges):
        yield f"silo {silo} spent {spent} units, and its charges are others"
    if spent > plan_units(plan):
        yield f"silo {silo} spent {spent} units, and the plan says {plan_units(plan)}"
