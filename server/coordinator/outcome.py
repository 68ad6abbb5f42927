"""From a run's releases to what is handed out: the model, the sampler, the certificate."""

from __future__ import annotations

from silosynth.common.sampler.mixture import NeuralSampler
from silosynth.server.coordinator.state import State
from silosynth.server.methods.method import Outcome
from silosynth.server.methods.table import finish_run


def finish(state: State, *, generator: NeuralSampler | None = None) -> Outcome:
    """Fit the model to everything that was released and make what is handed out.

    Args: generator: the one that was trained on this state before, to be trained again without.

    Post-processing of releases: it costs no privacy. The same state gives the same outcome.

    Raises ModelTooLarge when the model needs more memory than the plan grants.
    """
    return finish_run(state.known(generator=generator))
