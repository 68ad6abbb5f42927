"""Turn a budget into a plan for several tables: what each phase may ask, and its noise."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

from silosynth.common.accounting import Noise, pld_epsilon, rho_for
from silosynth.common.errors import InvalidPlan
from silosynth.common.families import NORM_BINS, Question, view_domains
from silosynth.common.plan import (
    TABLES_PHASES,
    Phase,
    PhaseName,
    Plan,
    Trust,
    Views,
    check_tables_plan,
    noised_phase,
    parse_plan,
    phase_cost,
)
from silosynth.common.tables import TablesSchema
from silosynth.server.families import FINENESS, ask_families, rho_shares
from silosynth.server.planning.links import Federated, choose_links

UNIT = "person with all rows below it"
_STEP, _MORE, _TRIES = Fraction(1, 1024), Fraction(1001, 1000), 2000


def new_tables_plan(
    schema: TablesSchema,
    *,
    epsilon: float,
    delta: float,
    silos: Sequence[str],
    trust: Trust,
    plan_id: str | None = None,
    persons: int | None = None,
    fineness: int = FINENESS,
    **said: Any,
) -> Plan:
    """Make a plan that costs a person with all its rows at most (epsilon, delta) in a silo.

    Guarantees: the privacy loss distribution of all phases, each as often as ``trust`` allows,
    gives at most ``epsilon`` at ``delta``.

    Args:
        persons: about how many persons all silos have together, a public guess: links that would
            not stand above their noise are left out. All are asked about without it.
        fineness: F, how finely persons' weights are told apart; T is chosen in the run.

    Raises InvalidPlan for a budget that buys nothing, or a schema that is not reviewed.
    """
    design = partial(_phases, schema, least=Fraction(trust.shares(len(silos))), fineness=fineness)
    rho = rho_for(epsilon, delta) / trust.attempts
    unlinked: tuple[str, ...] = ()
    if persons is not None:
        size = Federated(silos=len(silos), shares=trust.shares(len(silos)), persons=persons)
        unlinked = choose_links(schema, lambda left: design(rho=rho, left_out=left), size=size)
    phases = _affordable(
        partial(design, left_out=unlinked),
        rho=rho,
        promise=(epsilon, delta),
        trust=trust,
        silos=len(silos),
    )
    plan = parse_plan(
        {
            "id": plan_id or f"{schema.name[:48]}-{secrets.token_hex(4)}",
            "schema_name": schema.name,
            "schema_digest": schema.digest,
            "silos": list(silos),
            "privacy": {"epsilon": epsilon, "delta": delta, "unit": UNIT},
            "method": "families",
            "unlinked": unlinked or None,
            "phases": phases,
            "trust": trust.mode.value,
            "colluders": trust.colluders,
            "absent": trust.absent,
            "attempts": trust.attempts,
            "peers": trust.peers(len(silos)),
            **said,
        }
    )
    check_tables_plan(plan, schema)
    return plan


def _affordable(
    design: Callable[..., list[Phase]],
    *,
    rho: Fraction,
    promise: tuple[float, float],
    trust: Trust,
    silos: int,
) -> list[Phase]:
    """Return the phases with the least noise that the promised (epsilon, delta) buys."""
    epsilon, delta = promise
    shares = trust.shares(silos)
    cost = partial(phase_cost, rows_per_person=1, shares=shares, attempts=trust.attempts)
    for _ in range(_TRIES):
        phases = design(rho=rho)
        if pld_epsilon([cost(p) for p in phases], delta) <= epsilon:
            return phases
        rho /= _MORE
    raise InvalidPlan(f"epsilon {epsilon:g} buys nothing", hint="raise epsilon")


def _phases(
    schema: TablesSchema,
    *,
    rho: Fraction,
    least: Fraction,
    fineness: int = FINENESS,
    left_out: Collection[str] = (),
) -> list[Phase]:
    asked, shares = ask_families(schema, left_out=left_out), rho_shares(schema)
    parts: Mapping[Views, tuple[str, tuple[Question, ...]]] = {
        Views.PERSONS: ("persons", asked.persons.plain),
        Views.FIRST: ("first", asked.first.plain),
        Views.OTHERS: ("later", asked.later.weighed),
    }
    phases = []
    for name, kind in TABLES_PHASES.items():
        share, questions = parts[kind.views]
        if questions:
            part = rho * shares["norms" if kind.lengths else share]
            make = partial(_phase, PhaseName(name), questions, schema=schema, fineness=fineness)
            phases.append(make(rho=part, least=least))
    return phases


def _phase(
    name: PhaseName,
    questions: Sequence[Question],
    *,
    schema: TablesSchema,
    rho: Fraction,
    least: Fraction,
    fineness: int,
) -> Phase:
    """Return a phase that costs ``rho`` at most; ``least`` is the least noise of a count."""
    domains, kind = view_domains(schema), TABLES_PHASES[name]
    marginals, cells = len(questions), sum(domains[q.view].size(q.clique) for q in questions)
    if kind.weighs:
        noise = Noise.at_least(max(fineness**2 / (2 * rho), least), step=_STEP, bound=fineness)
        return noised_phase(name, noise, marginals=marginals, cells=cells, fineness=fineness)
    if kind.lengths:
        marginals, cells = 1, NORM_BINS
    noise = Noise.at_least(max(marginals / (2 * rho), least), step=_STEP)
    return noised_phase(name, noise, marginals=marginals, cells=cells)
