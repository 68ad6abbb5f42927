"""The samplers that people who were held out are asked about: those that were delivered here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from silosynth.client.gateway.datasets import AnyDataset, Dataset
from silosynth.client.gateway.kept import FindSampler
from silosynth.client.ledger import Ledger
from silosynth.common.audit import Parted, Side
from silosynth.common.digest import digest_of
from silosynth.common.errors import PlanRefused
from silosynth.common.held import Inputs, inputs_digest, norm_bound, vector_cells, work_out
from silosynth.common.messages import request_prefix
from silosynth.common.plan import EvaluationSettings, PhaseName, Plan
from silosynth.common.sampler import parse_sampler
from silosynth.common.values import check_edges


def part_of(dataset: AnyDataset, plan: Plan) -> Parted | None:
    """Return which part of which split pays for a plan; None where everybody does."""
    split = dataset.split_name(plan)
    if split is None:
        return None
    return Parted(split=split, side=Side.EVALUATION if plan.chosen.evaluates else Side.TRAINING)


def require_others(plan: Plan, *, part: Parted | None, ledger: Ledger) -> None:
    """Raise PlanRefused where a plan would not ask the people whom its sampler's plan held out.

    The ledger knows who paid for training, whatever plan and certificate state: nothing but the
    other part of the very split, so of this share and this data set, in this silo.
    """
    if plan.evaluation is None or plan.chosen.everybody:
        return
    trained = plan.evaluation.trained
    paid = ledger.paid_by(trained, prefix=request_prefix(trained))
    if part is None or paid != {Parted(split=part.split, side=Side.TRAINING)}:
        raise PlanRefused(
            f"plan {plan.id} asks others here than those whom the sampler's plan held out",
            hint="make it with 'silosynth plan evaluate', of a run that this silo took part in",
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """What rows are held against, and where the bins of numbers begin by the sampler."""

    inputs: Inputs = field(repr=False)
    edges: Mapping[str, tuple[int, ...]]


def judge(plan: Plan, settings: EvaluationSettings, *, find: FindSampler) -> Judged:
    """Work out all that is public of a plan that evaluates, from the sampler as it was delivered.

    Raises PlanRefused when it was not, or when anything that the plan states does not follow.
    """
    data = find(settings.trained)
    if data is None or digest_of(data) != settings.sampler:
        raise PlanRefused(
            f"plan {plan.id} evaluates a sampler that was not delivered here",
            hint="deliver the run's result first, and plan with 'silosynth plan evaluate'",
        )
    sampler = parse_sampler(data)
    if (sampler.plan_digest, sampler.schema.digest) != (settings.trained, plan.schema_digest):
        raise PlanRefused(f"plan {plan.id} evaluates a sampler of another plan or schema")
    stated = sampler.certificate.get("rho_units"), sampler.certificate.get("epsilon")
    if stated != (settings.trained_units, settings.trained_epsilon):
        raise PlanRefused(
            f"plan {plan.id} states another cost of training than the sampler's certificate",
            hint="make it with 'silosynth plan evaluate'",
        )
    inputs = work_out(sampler, settings)
    phase = plan.phase(PhaseName.EVALUATION)
    if inputs_digest(inputs) != settings.inputs or vector_cells(inputs) != phase.cells:
        raise PlanRefused(
            f"plan {plan.id} states other inputs than those that follow from the sampler",
            hint="make it with 'silosynth plan evaluate', by the same version",
        )
    if norm_bound(inputs) > phase.bound:
        raise PlanRefused(
            f"plan {plan.id} states bound {phase.bound}; a row's counters have up to "
            f"{norm_bound(inputs)}",
            hint="make it with 'silosynth plan evaluate'",
        )
    return Judged(inputs=inputs, edges={n: s.edges for n, s in sampler.spreads.items()})


def check_bins(dataset: AnyDataset, judged: Judged) -> None:
    """Raise PlanRefused where a sampler's bins are none that the schema's numbers can have."""
    if isinstance(dataset, Dataset) and (f := check_edges(dataset.schema, edges=judged.edges)):
        raise PlanRefused(f"the sampler cannot be evaluated here: {f}")
