"""From a run's releases to what is handed out: the model, the sampler, the certificate."""

from __future__ import annotations

from dataclasses import dataclass

from silosynth.common.certificate.certify import Certificate, certify_plan
from silosynth.common.domain import Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.plan.plan import PhaseName
from silosynth.common.sampler.file import AnySampler
from silosynth.common.sampler.mixture import NeuralSampler
from silosynth.common.sampler.sampler import CliqueMarginal, build_sampler
from silosynth.server.coordinator.dp_sgd import DrawnModel, trained_sampler
from silosynth.server.coordinator.one_shot import MixtureModel, mixture_model, train_sampler
from silosynth.server.coordinator.state import State
from silosynth.server.generator.rounds import Learning
from silosynth.server.measuring.evidence import fit_run, model_grouping
from silosynth.server.measuring.sum import regroup
from silosynth.server.measuring.working_domain import within_groups
from silosynth.server.model.graphical_model import GraphicalModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a finished run hands out.

    ``measurements`` are over the working domain that ``grouping`` makes of the schema's.
    """

    sampler: AnySampler
    certificate: Certificate
    model: GraphicalModel | MixtureModel | DrawnModel
    measurements: tuple[Measurement, ...]
    grouping: Grouping


def finish(state: State, *, generator: NeuralSampler | None = None) -> Outcome:
    """Fit the model to everything that was released and make what is handed out.

    Args: generator: the one that was trained on this state before, to be trained again without.

    Post-processing of releases: it costs no privacy. The same state gives the same outcome.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    measured = state.measured()
    if state.learning is not None:
        return _finish_training(state, measured, learning=state.learning)
    one_way = measured[PhaseName.ONE_WAY]
    grouping = model_grouping(state.plan, state.coded, state.merging())
    if PhaseName.EMBEDDING in measured:
        return _finish_one_shot(state, measured, grouping=grouping, generator=generator)
    model, fitted = fit_run(state.plan, state.coded, measured, grouping=grouping)
    certificate = certify_plan(state.plan)
    sampler = build_sampler(
        schema=state.schema,
        grouping=grouping,
        within=within_groups(grouping, one_way),
        nodes=draw_order(model),
        total=model.total,
        certificate=certificate.model_dump(mode="json"),
        plan_digest=state.plan.digest,
        spreads=state.spreads,
    )
    return Outcome(
        sampler=sampler,
        certificate=certificate,
        model=model,
        measurements=fitted,
        grouping=grouping,
    )


def _finish_one_shot(
    state: State,
    measured: dict[PhaseName, tuple[Measurement, ...]],
    *,
    grouping: Grouping,
    generator: NeuralSampler | None,
) -> Outcome:
    """Train a generator, unless it is given, and make what is handed out."""
    certificate = certify_plan(state.plan)
    one_way = measured[PhaseName.ONE_WAY]
    if generator is None or generator.plan_digest != state.plan.digest:
        generator = train_sampler(
            measured[PhaseName.EMBEDDING][0],
            one_way,
            schema=state.schema,
            plan=state.plan,
            grouping=grouping,
            certificate=certificate,
            spreads=state.spreads,
        )
    domain = state.schema.domain
    return Outcome(
        sampler=generator,
        certificate=certificate,
        model=mixture_model(generator),
        measurements=tuple(regroup(m, domain=domain, grouping=grouping) for m in one_way),
        grouping=grouping,
    )


def _finish_training(
    state: State, measured: dict[PhaseName, tuple[Measurement, ...]], *, learning: Learning
) -> Outcome:
    """Make what is handed out of the weights that training has come to."""
    certificate = certify_plan(state.plan)
    sampler = trained_sampler(state, learning, certificate=certificate)
    return Outcome(
        sampler=sampler,
        certificate=certificate,
        model=DrawnModel(sampler),
        measurements=tuple(m for phase in measured.values() for m in phase),
        grouping=Grouping(),
    )


def draw_order(model: GraphicalModel) -> tuple[CliqueMarginal, ...]:
    """Return the model's clique marginals in the order in which a sampler draws them."""
    tree = model.tree
    return tuple(
        CliqueMarginal(clique=clique, separator=separator, values=table.ravel())
        for clique, separator, table in zip(
            tree.cliques, tree.separators, model.tables, strict=True
        )
    )
