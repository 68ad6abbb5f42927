"""Build a report from released measurements alone, where nobody holds the real rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from silosynth.common.certificate import Certificate
from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidMeasurement
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Plan
from silosynth.common.report import (
    AttributeFacts,
    Headline,
    Mode,
    PairFacts,
    PairsFacts,
    Provenance,
    Reference,
    ReportFacts,
    Score,
    ScoreName,
    attribute_facts,
    certificate_facts,
    plan_facts,
    silo_facts,
    uncoded_names,
)
from silosynth.common.schema import Schema

NOISE_ALONE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Residual:
    """How far model and null model lie from one measurement, in standard deviations."""

    clique: Clique
    model: float
    null: float


def from_measurements(
    measurements: Sequence[Measurement],
    model_marginal: Callable[[Clique], np.ndarray],
    *,
    schema: Schema,
    plan: Plan,
    certificate: Certificate,
    costs: Mapping[str, int],
    grouping: Grouping | None = None,
    rows_synthetic: int | None = None,
    chosen: Collection[Clique] = (),
    structural_zeros: str = "",
    provenance: Provenance | None = None,
) -> ReportFacts:
    """Hold a fitted model against the noised marginals that it was fitted to.

    Guarantees: post-processing of releases; no row, no row count of a silo and nothing that is
    not already in ``measurements``, ``costs`` or the plan enters the facts.

    Args:
        measurements: every attribute's 1-way marginal among them, else InvalidMeasurement; where
            the plan trains a generator, attributes without one are not compared.
        model_marginal: returns the expected counts over a clique, row-major, float64.
        costs: what each silo charged, in ledger units of 2^-40.
        grouping: how the schema's codes were merged into the codes of model and measurements.
        chosen: the pairs that the plan measured because the model has an edge there.
        structural_zeros: cells to propose for the schema, as text.
    """
    merged = grouping or Grouping()
    domain = merged.domain(schema.domain)
    for measurement in measurements:
        measurement.check(domain)
    ones = {
        a: np.asarray(model_marginal((a,)), dtype=np.float64).ravel() for a in domain.attributes
    }
    residuals = [
        _residual(m, model_marginal, ones=ones, domain=domain)
        for m in measurements
        if len(m.clique) <= 2
    ]
    unmeasured = _unmeasured(measurements, schema=schema) if plan.training else ()
    attributes = [
        _attribute(a.name, schema, measurements, residuals, ones=ones, grouping=merged)
        for a in schema.coded
        if a.name not in unmeasured
    ]
    return ReportFacts(
        mode=Mode.FEDERATION,
        headline=Headline(
            schema_name=schema.name,
            description=schema.description,
            attributes=len(schema.coded),
            silos=len(costs),
            rows_synthetic=rows_synthetic,
            rows_estimated=max(float(next(iter(ones.values())).sum()), 0.0) if ones else None,
        ),
        certificate=certificate_facts(certificate),
        scores=_scores(residuals),
        attributes=tuple(sorted(attributes, key=lambda a: (-a.value, a.name))),
        pairs=_pairs(residuals, domain=domain, chosen=chosen),
        not_compared=(*uncoded_names(schema), *unmeasured),
        silos=silo_facts(costs, plan=plan),
        plan=plan_facts(plan),
        structural_zeros=structural_zeros,
        provenance=provenance or Provenance(digests={"schema": schema.digest}),
    )


def _unmeasured(measurements: Sequence[Measurement], *, schema: Schema) -> tuple[str, ...]:
    """Return the attributes whose 1-way marginal no silo released."""
    measured = {m.clique for m in measurements}
    return tuple(a.name for a in schema.coded if (a.name,) not in measured)


def _residual(
    measurement: Measurement,
    model_marginal: Callable[[Clique], np.ndarray],
    *,
    ones: Mapping[str, np.ndarray],
    domain: Domain,
) -> _Residual:
    """Compare one measurement with the model, and with equal values or independent columns."""
    clique = measurement.clique
    model = np.asarray(model_marginal(clique), dtype=np.float64).ravel()
    total = model.sum()
    if len(clique) == 1:
        null = np.full(model.shape, total / model.size)
    else:
        left, right = (ones[a] for a in clique)
        null = np.outer(left, right).ravel() / (total or 1.0)
    return _Residual(
        clique=clique,
        model=_noise_ratio(measurement, model, domain=domain),
        null=_noise_ratio(measurement, null, domain=domain),
    )


def _noise_ratio(measurement: Measurement, expected: np.ndarray, *, domain: Domain) -> float:
    """Return the root mean square of (expected - measured) / standard deviation over the cells."""
    cells = _measured_cells(measurement, domain=domain)
    folded = np.bincount(cells, weights=expected, minlength=len(measurement.values))
    z = (folded - measurement.values) / np.sqrt(measurement.variance)
    return float(np.sqrt(np.mean(z**2)))


def _measured_cells(measurement: Measurement, *, domain: Domain) -> np.ndarray:
    """Return, for each cell of the clique's marginal, the cell of the measurement it falls into."""
    coarse = measurement.grouping.domain(domain).sizes(measurement.clique)
    sizes = domain.sizes(measurement.clique)
    axes = [
        measurement.grouping.lookup(a, s) for a, s in zip(measurement.clique, sizes, strict=True)
    ]
    return np.ravel_multi_index(np.ix_(*axes), coarse).ravel()


def _attribute(
    name: str,
    schema: Schema,
    measurements: Sequence[Measurement],
    residuals: Sequence[_Residual],
    *,
    ones: Mapping[str, np.ndarray],
    grouping: Grouping,
) -> AttributeFacts:
    """Return one attribute's noised 1-way marginal beside the model's."""
    found = [m for m in measurements if m.clique == (name,) and len(m.values) == len(ones[name])]
    if not found:
        raise InvalidMeasurement(
            f"there is no 1-way measurement of {name!r}", hint="a report shows every attribute"
        )
    total = max(float(ones[name].sum()), 1.0)
    return attribute_facts(
        next(a for a in schema.coded if a.name == name),
        reference=found[0].values / total,
        synthetic=ones[name] / total,
        variance=found[0].variance / total**2,
        grouping=grouping,
        value=_mean([r.model for r in residuals if r.clique == (name,)]),
        ceiling=NOISE_ALONE,
    )


def _scores(residuals: Sequence[_Residual]) -> tuple[Score, ...]:
    """Return the mean ratio to the noise over all 1-way and over all 2-way measurements."""
    scores = []
    for ways, floor in ((1, Reference.UNIFORM), (2, Reference.INDEPENDENT)):
        found = [r for r in residuals if len(r.clique) == ways]
        if found:
            scores.append(
                Score(
                    name=ScoreName.NOISE_RATIO,
                    ways=ways,
                    marginals=len(found),
                    value=_mean([r.model for r in found]),
                    ceiling=NOISE_ALONE,
                    ceiling_is=Reference.NOISE,
                    floor=_mean([r.null for r in found]),
                    floor_is=floor,
                )
            )
    return tuple(scores)


def _pairs(
    residuals: Sequence[_Residual], *, domain: Domain, chosen: Collection[Clique]
) -> PairsFacts:
    """Return every measured pair; a pair that was measured twice shows its mean."""
    by_pair: dict[Clique, list[_Residual]] = {}
    for residual in residuals:
        if len(residual.clique) == 2:
            by_pair.setdefault(domain.ordered(residual.clique), []).append(residual)
    edges = {domain.ordered(c) for c in chosen if len(c) == 2}
    pairs = [
        PairFacts(
            left=domain.index(pair[0]),
            right=domain.index(pair[1]),
            value=_mean([r.model for r in by_pair[pair]]),
            ceiling=NOISE_ALONE,
            floor=_mean([r.null for r in by_pair[pair]]),
            chosen=pair in edges,
        )
        for pair in combinations(domain.attributes, 2)
        if pair in by_pair
    ]
    return PairsFacts(attributes=domain.attributes, pairs=tuple(pairs))


def _mean(values: Sequence[float]) -> float:
    """Return the mean of at least one number."""
    return float(np.mean(values))
