"""Samplers of weights on the way, beside the journal: to look at while training goes on.

A run does not need them: it resumes from its journal. Each is a whole sampler file, whose
certificate states what the plan costs when it has ended, which is never less than what was spent.
"""

from __future__ import annotations

from pathlib import Path

from silosynth.common.certificate import certify_plan
from silosynth.common.sampler import save_sampler
from silosynth.server.coordinator import State
from silosynth.server.generator import settings
from silosynth.server.methods import trained_sampler


def keep_weights(state: State, directory: Path) -> Path | None:
    """Write the sampler of a round that the plan keeps; return its path, None for other rounds."""
    learning = state.learning
    if learning is None or not learning.round:
        return None
    if learning.round % settings(state.plan).checkpoint_every:
        return None
    path = directory / "checkpoints" / f"round-{learning.round:06}.sampler"
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        sampler = trained_sampler(state.known(), learning, certificate=certify_plan(state.plan))
        save_sampler(sampler, path, force=True)
    return path
