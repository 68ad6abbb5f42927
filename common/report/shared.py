"""Turn plan, certificate and receipts into the facts that both kinds of report share."""

from __future__ import annotations

from collections.abc import Mapping

from silosynth.common.accounting import RHO_UNIT
from silosynth.common.certificate import Certificate, plain_words
from silosynth.common.plan import Plan, charged_epsilon
from silosynth.common.report.facts import CertificateFacts, PhaseFacts, PlanFacts, SiloFacts
from silosynth.common.schema import Schema


def plan_facts(plan: Plan) -> PlanFacts:
    """Return what a reader needs of a plan."""
    rows = plan.privacy.rows_per_person
    phases = tuple(
        PhaseFacts(
            name=p.name.value,
            marginals=p.marginals,
            cells=p.cells,
            **{k: text for k, text in p.noise.stated.items() if k in PhaseFacts.model_fields},
            sigma=p.noise.deviation,
            rho=float(plan.phase_cost(p).rho),
        )
        for p in plan.phases
    )
    return PlanFacts(
        id=plan.id,
        digest=plan.digest,
        method=plan.method.value,
        trust=plan.trust.value,
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        rows_per_person=rows,
        unit=plan.privacy.unit,
        phases=phases,
    )


def certificate_facts(certificate: Certificate) -> CertificateFacts:
    """Return the certificate's numbers and its sentences."""
    return CertificateFacts(
        epsilon=certificate.epsilon,
        delta=certificate.delta,
        sentences=tuple(plain_words(certificate)),
    )


def silo_facts(
    costs: Mapping[str, int], *, plan: Plan, rows: Mapping[str, int] | None = None
) -> tuple[SiloFacts, ...]:
    """Return what each silo spent, by name.

    Args:
        costs: ledger units of 2^-40 of zCDP rho, per silo.
        rows: private row counts; only a simulation has them. A silo that left has none.
    """
    return tuple(
        SiloFacts(
            name=silo,
            rho=units / RHO_UNIT,
            epsilon=charged_epsilon(plan, units),
            rows=None if rows is None else rows.get(silo),
        )
        for silo, units in sorted(costs.items())
    )


def uncoded_names(schema: Schema) -> tuple[str, ...]:
    """Return the attributes that have no codes, so that no marginal holds them."""
    coded = {a.name for a in schema.coded}
    return tuple(a.name for a in schema.attributes if a.name not in coded)
