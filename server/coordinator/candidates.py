"""Candidates of a round of votes as a run keeps them, and what it takes for such."""

from __future__ import annotations

import json
from collections.abc import Sequence

from silosynth.common.digest import canonical_json
from silosynth.common.errors import RunFailed
from silosynth.common.generator import check_candidates
from silosynth.common.plan import Plan
from silosynth.server.coordinator.state import Imagined

CANDIDATES_VERSION = 1


def encode_candidates(candidates: Sequence[str]) -> bytes:
    """Return candidates as they are kept."""
    return canonical_json({"version": CANDIDATES_VERSION, "candidates": list(candidates)})


def read_candidates(event: Imagined, *, plan: Plan) -> tuple[str, ...]:
    """Return the candidates of a round; raise RunFailed for what is none, or is too new.

    Raises InvalidPlan or CapExceeded for candidates that the plan may not send.
    """
    try:
        found = json.loads(event.data)
        version, candidates = found["version"], found["candidates"]
        if version != CANDIDATES_VERSION or not all(isinstance(c, str) for c in candidates):
            raise ValueError(version)
    except (ValueError, KeyError, TypeError, RecursionError) as err:
        raise RunFailed(
            "the candidates that were kept cannot be read", hint="start in a new directory"
        ) from err
    if plan.votes is None:
        raise RunFailed(f"plan {plan.id} has no candidates")
    check_candidates(candidates, settings=plan.votes)
    return tuple(candidates)
