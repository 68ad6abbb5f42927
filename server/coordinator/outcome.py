"""From a run's releases to what is handed out: the model, the sampler, the certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from silosynth.common.certificate import Certificate, certify_plan
from silosynth.common.forest import ForestSampler, save_forest
from silosynth.common.sampler import NeuralSampler, save_sampler
from silosynth.common.tables import TablesSchema
from silosynth.server.coordinator.state import State
from silosynth.server.coordinator.tables import table_answers
from silosynth.server.families import fit_families
from silosynth.server.methods import Outcome, finish_run


def finish(state: State, *, generator: NeuralSampler | None = None) -> Outcome:
    """Fit the model to everything that was released and make what is handed out.

    Args:
        generator: the one that was trained on this state before, to be trained again without.

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
        left_out=state.plan.unlinked or (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a run hands out, of one table or of several: ``save`` writes the sampler's file."""

    certificate: Certificate
    save: Callable[[Path], None] = field(repr=False)


def make(state: State) -> Made:
    """Fit what the run's schema asks for; see :func:`finish` and :func:`finish_tables`.

    A file that is there is written over: the same state gives the same bytes.
    """
    if isinstance(state.schema, TablesSchema):
        save = partial(save_forest, finish_tables(state), force=True)
        return Made(certificate=certify_plan(state.plan), save=save)
    outcome = finish(state)
    save = partial(save_sampler, outcome.sampler, force=True)
    return Made(certificate=outcome.certificate, save=save)
