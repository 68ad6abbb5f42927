"""Work out the privacy statement of a plan, and check one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

from silosynth.common.accounting import (
    RHO_UNIT,
    GaussianCost,
    Noise,
    cks_epsilon,
    pld_epsilon,
    rdp_epsilon,
    rho_units,
    rounded_up,
    stated_epsilon,
    total_rho,
    units_epsilon,
)
from silosynth.common.certificate.certificate import (
    Certificate,
    CertifiedPhase,
    Overlap,
    Trust,
)
from silosynth.common.errors import InvalidPlan
from silosynth.common.plan import TABLES_PHASES, Plan, lack_words, plan_units, trust_of

ASSUMPTIONS = (
    "The schema and the plan are public: names, categories, bounds, silos and noise scales are "
    "not protected.",
    "Silos hold different people; otherwise the lines for persons in several silos apply.",
    "Every silo's gateway runs unaltered; the coordinator and the network may be hostile.",
    "Other releases about the same people, before or after, add to this one.",
)
OF_TABLES = (
    "A person is a row of the persons' table with all rows that are below it in the same silo. "
    "Rows below a person of another silo are counted nowhere; a person whose rows lie in several "
    "silos is several persons, and the lines for persons in several silos apply.",
    "What a link names is not counted, so who is related to whom is told by nobody's rows.",
)
_TOLERANCE = 1.1e-5
"""Six digits rounded up: certificates of before were not rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCost:
    """``count`` marginals of a phase, each of ``cells`` and with ``noise``; one person has
    ``sensitivity`` rows at most. ``rate`` is said where persons are sampled.
    """

    name: str
    count: int
    noise: Noise
    sensitivity: int = 1
    cells: int | None = None
    rate: Fraction | None = None

    @property
    def cost(self) -> GaussianCost:
        """Return the cost without its name; raise InvalidPlan when it cannot be."""
        return self.noise.cost(
            count=self.count, rows_per_person=self.sensitivity, cells=self.cells or 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An epsilon that a certificate states, of whom, and the noise that it must follow from."""

    what: str
    epsilon: float
    costs: tuple[GaussianCost, ...]


def certify(
    *,
    phases: Sequence[PhaseCost],
    delta: float,
    plan_id: str,
    plan_digest: str,
    schema_digest: str,
    silos: int,
    unit: str = "row",
    trust: Trust = "own",
    colluders: int = 0,
    absent: int = 0,
    attempts: int = 1,
    fixed_in_advance: bool = True,
) -> Certificate:
    """State what ``phases`` cost one person at most.

    Guarantees: epsilon is an upper bound. It is the privacy loss distribution's when every noise
    scale was fixed in advance, and the zCDP conversion's, which also holds for adaptive choices,
    otherwise.

    Args:
        phases: in shared trust, ``noise`` is that of the sum over the silos.
        colluders: silos that may work with the coordinator; shared trust only.
        absent: silos that may be missing; shared trust only.
        attempts: how often each sum may be begun; ``count`` of each phase holds all of them.

    Raises InvalidPlan for values out of range.
    """
    rows = {p.sensitivity for p in phases}
    if len(rows) != 1:
        raise InvalidPlan("the phases do not agree on the rows of one person")
    shares = _shares(trust, silos=silos, colluders=colluders, absent=absent)
    if shares < 1:
        raise InvalidPlan("fewer silos than colluders and absent ones together")
    costs = [replace(p.cost, shares=shares) for p in phases]
    sampled = any(c.rate < 1 for c in costs)
    epsilon_cks = stated_epsilon(cks_epsilon(total_rho(costs), delta))
    epsilon_rdp = stated_epsilon(rdp_epsilon(costs, delta)) if sampled else None
    epsilon_pld = stated_epsilon(pld_epsilon(costs, delta)) if fixed_in_advance else None
    certified = tuple(_certified(p, c) for p, c in zip(phases, costs, strict=True))
    units = sum(p.rho_units for p in certified)
    overlaps = tuple(
        _overlap(m, _for_overlap(costs, m, trust), delta, fixed_in_advance) for m in (1, 2, 3)
    )
    return Certificate(
        plan_id=plan_id,
        plan_digest=plan_digest,
        schema_digest=schema_digest,
        epsilon=epsilon_cks if epsilon_pld is None else epsilon_pld,
        delta=delta,
        conversion="cks" if epsilon_pld is None else "pld",
        epsilon_rdp=epsilon_rdp,
        epsilon_pld=epsilon_pld,
        epsilon_cks=epsilon_cks,
        rho_units=units,
        rho=_rho_text(units),
        unit=unit,
        rows_per_person=min(rows),
        neighbours=_neighbours(phases, min(rows)),
        trust=trust,
        colluders=colluders,
        absent=absent,
        attempts=attempts,
        silos=silos,
        phases=certified,
        overlaps=overlaps,
        alone=_alone(costs, delta, trust, fixed_in_advance),
        assumptions=ASSUMPTIONS,
    )


def certify_plan(plan: Plan) -> Certificate:
    """State what a plan costs one person at most, if everything that it allows is asked.

    Where silos lack columns, the certificate says who gave what, and which pairs nobody knows.
    """
    certificate = certify(
        phases=[
            PhaseCost(
                name=p.name.value,
                count=p.paid * plan.attempts,
                noise=p.noise,
                sensitivity=plan.privacy.rows_per_person,
                cells=p.cells if p.bound > 1 else None,
                rate=p.rate,
            )
            for p in plan.phases
        ],
        delta=plan.privacy.delta,
        plan_id=plan.id,
        plan_digest=plan.digest,
        schema_digest=plan.schema_digest,
        silos=len(plan.silos),
        unit=plan.privacy.unit,
        trust=plan.trust.value,
        colluders=plan.colluders,
        absent=plan.absent,
        attempts=plan.attempts,
    )
    held = (
        *lack_words(plan),
        *(OF_TABLES if plan.chosen.several_tables else ()),
        *_held_out_words(plan),
        *_series_words(plan),
        *_renewal_words(plan),
    )
    return certificate.model_copy(update={"assumptions": (*certificate.assumptions, *held)})


def _series_words(plan: Plan) -> tuple[str, ...]:
    """Say what a person who stays in the data has lost to a series so far, and may yet lose."""
    series = plan.series
    if series is None or series.epoch is None:
        return ()
    units, delta = (series.before_units or 0) + plan_units(plan), plan.privacy.delta
    so_far, ever = (rounded_up(units_epsilon(u, delta)) for u in (units, series.lifetime_units))
    return (
        f"Epoch {series.epoch} of {series.epochs} of series {series.name}, template "
        f"{plan.decided}. A person who has stayed in one silo's data since the first epoch has "
        f"lost at most epsilon {so_far} at delta {delta:g} to it so far ({_rho_text(units)} of "
        f"zCDP rho; each silo holds what earlier epochs cost against its own ledger), and "
        f"loses at most {ever} to all of it.",
    )


def _renewal_words(plan: Plan) -> tuple[str, ...]:
    """Say what else a sampler was made from, and that its cost is not in this one."""
    if plan.renews is None:
        return ()
    return (
        "The coordinator states, and no silo checked, that what was not measured was taken from "
        f"the sampler {plan.renews.sampler} of plan {plan.renews.trained}. What that cost is in "
        "its own certificate, and not in this cost: one person pays both.",
    )


def _held_out_words(plan: Plan) -> tuple[str, ...]:
    """Say who was held out, and what one person pays of both sums."""
    if plan.held_out is None:
        return ()
    who = (
        f"Held out: {plan.held_out.share} of the persons of the data set, by their names and a key "
        "of each silo's own."
    )
    if plan.evaluation is None:
        return (
            who,
            "This cost is of the others, whom alone the plan asks; those who are held out pay for "
            "evaluations and for nothing of it, so one person pays the larger of the two sums.",
        )
    units, epsilon = plan.evaluation.trained_units, plan.evaluation.trained_epsilon
    return (
        who,
        "Quality was measured on other people than those it was made from. Those paid epsilon "
        f"{rounded_up(epsilon)} at their plan's delta, {_rho_text(units)} of zCDP rho, and "
        "nothing of this cost; those who are held out pay this cost, and nothing of theirs: one "
        "person pays the larger of the two.",
    )


def check_certificate(certificate: Certificate) -> None:
    """Work the certificate out again from its phases; raise InvalidPlan when it states less.

    Floats may differ by 1e-6 between versions of the libraries. Behind what always holds may stand
    what the plan alone says: who lacks which columns.
    """
    again = certify(
        phases=_phases_of(certificate),
        delta=certificate.delta,
        plan_id=certificate.plan_id,
        plan_digest=certificate.plan_digest,
        schema_digest=certificate.schema_digest,
        silos=certificate.silos,
        unit=certificate.unit,
        trust=certificate.trust,
        colluders=certificate.colluders,
        absent=certificate.absent,
        attempts=certificate.attempts,
        fixed_in_advance=certificate.conversion == "pld",
    )
    stated, true = (c.model_dump(mode="json") for c in (certificate, again))
    stated["assumptions"] = stated["assumptions"][: len(true["assumptions"])]
    for field, value in true.items():
        if not _same(stated[field], value):
            raise InvalidPlan(f"certificate of plan {again.plan_id}: {field} does not follow")


def claims(certificate: Certificate) -> tuple[Claim, ...]:
    """Return every epsilon that a certificate states, with the noise that it must follow from."""
    c = certificate
    shares = _shares(c.trust, silos=c.silos, colluders=c.colluders, absent=c.absent)
    costs = [replace(p.cost, shares=shares) for p in _phases_of(c)]
    stated = [Claim(what="one person in one silo", epsilon=c.epsilon, costs=tuple(costs))]
    stated += [
        Claim(
            what=f"one person in {o.silos} silos",
            epsilon=o.epsilon,
            costs=tuple(_for_overlap(costs, o.silos, c.trust)),
        )
        for o in c.overlaps
        if 1 < o.silos <= c.silos
    ]
    if c.alone is not None:
        share = tuple(cost.alone for cost in costs)
        stated.append(Claim(what="if a silo's masks failed", epsilon=c.alone.epsilon, costs=share))
    return tuple(stated)


def _shares(trust: Trust, *, silos: int, colluders: int, absent: int) -> int:
    """Return how many silos' noise makes up a phase's, as a plan of this trust says."""
    try:
        return trust_of(trust, colluders=colluders, absent=absent).shares(silos)
    except ValueError as err:
        raise InvalidPlan(str(err)) from None


def same_certificate(one: Certificate, other: Certificate) -> bool:
    """Say whether two certificates state the same, floats as far as they are stated."""
    return _same(one.model_dump(mode="json"), other.model_dump(mode="json"))


def _phases_of(certificate: Certificate) -> list[PhaseCost]:
    """Return what a certificate's phases cost one person."""
    return [
        PhaseCost(
            name=p.name,
            count=p.marginals,
            noise=p.noise,
            sensitivity=certificate.rows_per_person,
            cells=p.cells,
            rate=None if p.rate is None else Fraction(p.rate),
        )
        for p in certificate.phases
    ]


def _certified(phase: PhaseCost, cost: GaussianCost) -> CertifiedPhase:
    """Return a phase as the certificate holds it."""
    return CertifiedPhase(
        name=phase.name,
        marginals=phase.count,
        **phase.noise.stated,
        bound=phase.noise.bound,
        cells=phase.cells,
        rate=None if phase.rate is None else str(phase.rate),
        rho_units=rho_units(cost.rho),
    )


def _for_overlap(costs: Sequence[GaussianCost], silos: int, trust: Trust) -> list[GaussianCost]:
    """Return the cost of a person in m silos: m releases, or one that moves m times as far.

    Where persons are sampled each silo does so by itself. A shared sum then follows from m sums of
    one silo each, with an m-th of the noise.
    """
    if trust == "own":
        return [replace(c, count=c.count * silos) for c in costs]
    return [
        replace(c, sensitivity=c.sensitivity * silos) if c.rate == 1 else c.in_each_of(silos)
        for c in costs
    ]


def _overlap(
    silos: int, costs: Sequence[GaussianCost], delta: float, fixed_in_advance: bool
) -> Overlap:
    """Return the cost of ``costs`` under the number of silos that they stand for."""
    rho = total_rho(costs)
    epsilon = pld_epsilon(costs, delta) if fixed_in_advance else cks_epsilon(rho, delta)
    units = sum(rho_units(c.rho) for c in costs)
    return Overlap(silos=silos, rho_units=units, epsilon=stated_epsilon(epsilon))


def _alone(
    costs: Sequence[GaussianCost], delta: float, trust: Trust, fixed_in_advance: bool
) -> Overlap | None:
    """Return the cost of one silo's share of the noise standing alone; None in own trust."""
    if trust == "own":
        return None
    share = [c.alone for c in costs]
    return _overlap(1, share, delta, fixed_in_advance)


def _neighbours(phases: Sequence[PhaseCost], rows: int) -> str:
    """Say which tables the guarantee cannot tell apart."""
    if any(p.name in TABLES_PHASES for p in phases):
        return "add or remove one person with all rows below it, in all tables of one silo"
    what = "one row" if rows == 1 else f"at most {rows} rows"
    return f"add or remove one person's {what} in one silo"


def _rho_text(units: int) -> str:
    """Return units as a decimal rho of six digits, rounded up."""
    context = Context(prec=6, rounding=ROUND_CEILING)
    return f"{context.divide(Decimal(units), Decimal(RHO_UNIT)):f}"


def _same(stated: object, true: object) -> bool:
    """Compare plain data, floats as far as they are stated."""
    if isinstance(stated, float) and isinstance(true, float):
        return math.isclose(stated, true, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
    if isinstance(stated, dict) and isinstance(true, dict):
        return stated.keys() == true.keys() and all(_same(stated[k], true[k]) for k in true)
    if isinstance(stated, list) and isinstance(true, list):
        return len(stated) == len(true) and all(map(_same, stated, true))
    return stated == true
