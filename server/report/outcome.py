"""Report a finished run of the coordinator, from what it holds: releases, model, receipts."""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from silosynth.common.domain import Clique
from silosynth.common.plan import OF_ALL_ATTRIBUTES, PhaseName
from silosynth.common.report import Provenance, ReportFacts
from silosynth.server.coordinator import State
from silosynth.server.measuring import regroup
from silosynth.server.methods import Outcome
from silosynth.server.report.measured import from_measurements
from silosynth.server.report.proposed import propose_zeros

_SCREENING = (PhaseName.ONE_WAY, PhaseName.COARSE)


def report_outcome(
    state: State,
    outcome: Outcome,
    *,
    rows_synthetic: int | None = None,
    provenance: Provenance | None = None,
) -> ReportFacts:
    """Hold a run's model against everything that its silos released.

    Guarantees: those of :func:`silosynth.server.report.measured.from_measurements`.
    """
    measurements = tuple(
        regroup(m, domain=state.table.domain, grouping=outcome.grouping)
        for phase, measured in state.measured().items()
        if phase not in OF_ALL_ATTRIBUTES
        for m in measured
    )
    pairs = outcome.model.pair_marginals({m.clique for m in measurements if len(m.clique) == 2})

    def marginal(clique: Clique) -> np.ndarray:
        return pairs[clique] if clique in pairs else outcome.model.marginal(clique)

    return from_measurements(
        measurements,
        marginal,
        schema=state.coded,
        plan=state.plan,
        certificate=outcome.certificate,
        costs=charged_units(state),
        grouping=outcome.grouping,
        rows_synthetic=rows_synthetic,
        chosen=chosen_pairs(state),
        structural_zeros=propose_zeros(state),
        provenance=provenance or Provenance(digests={"schema": state.schema.digest}),
    )


def run_provenance(state: State, *, seed: int) -> Provenance:
    """Return what is needed to make the same report again."""
    return Provenance(
        digests={"schema": state.schema.digest, "plan": state.plan.digest},
        seeds={"rows": seed},
        versions={"silosynth": version("silosynth")},
    )


def charged_units(state: State) -> dict[str, int]:
    """Return what each silo charged in this run, in ledger units of 2^-40."""
    return {silo: sum(r.cost_units for r in rs) for silo, rs in state.receipts().items()}


def chosen_pairs(state: State) -> frozenset[Clique]:
    """Return the pairs that were asked by themselves, beyond the screening of all pairs."""
    return frozenset(
        query.clique
        for phase, question in state.asked.items()
        if phase not in _SCREENING
        for query in question.queries
        if len(query.clique) == 2
    )
