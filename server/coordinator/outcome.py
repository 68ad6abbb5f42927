"""From a run's releases to what is handed out: the model, the sampler, the certificate."""

from __future__ import annotations

from dataclasses import replace

from silosynth.common.certificate import certify_plan
from silosynth.common.forest import ForestSampler
from silosynth.common.sampler import NeuralSampler
from silosynth.server.coordinator.state import State
from silosynth.server.coordinator.tables import table_answers
from silosynth.server.families import fit_families
from silosynth.server.methods import Outcome, finish_run


def finish(state: State, *, generator: NeuralSampler | None = None) -> Outcome:
    """Fit the model to everything that was released and make what is handed out.

    Args: generator: the one that was trained on this state before, to be trained again without.

    Post-processing of releases: it costs no privacy. The same state gives the same outcome.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    outcome = finish_run(state.known(generator=generator))
    # Methods work with codes; the schema as it was declared, and what a code's values are, belong
    # to the run.
    sampler = replace(outcome.sampler, schema=state.table, spreads=state.spreads)
    return replace(outcome, sampler=sampler)


def finish_tables(state: State) -> ForestSampler:
    """Fit the sampler of several tables to everything that was released.

    Post-processing of releases: it costs no privacy. The same state gives the same sampler.
    """
    return fit_families(
        state.tables,
        table_answers(state),
        certificate=certify_plan(state.plan).model_dump(mode="json"),
        plan_digest=state.plan.digest,
    )
