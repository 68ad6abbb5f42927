"""Audit a plan: play many runs of it on made-up people, and bound what an attacker learns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from silosynth.common.plan import Plan
from silosynth.simulations.audit.bound import Audited, audit_scores
from silosynth.simulations.audit.game import Game, RunsPlan
from silosynth.simulations.audit.held import HeldGame, open_held_game
from silosynth.simulations.audit.made_up import CANARIES, MadeUp, made_up_plan, made_up_schema

LEAST_RUNS = 4


def audit_plan(
    plan: Plan,
    *,
    run: RunsPlan,
    runs: int = 300,
    progress: Callable[[int], None] = lambda _: None,
) -> Audited:
    """Return what an attacker learns of a person from a plan's kind of releases, at the least.

    Every run goes through the real gateways, ledgers and coordinator, with made-up people in the
    place of rows; no data is needed. Canaries are in or out by fair coins.

    Args:
        plan: whose method, promise and trust are audited; not its schema.
        run: runs it on tables, as :func:`silosynth.simulations.local.run_whole` does.
        runs: each is as many games as there are canaries.
        progress: called with the number of runs that are done.
    Raises InvalidPlan where persons are sampled, or for a plan that no made-up schema fits.
    """
    draws, found = np.random.default_rng(), []
    inside = draws.random((max(runs, LEAST_RUNS), CANARIES)) < 0.5
    with _new_directory() as kept:
        game = _open_game(plan, run=run, directory=kept)
        for number, canaries in enumerate(inside, start=1):
            with _new_directory() as directory:
                found.append(game.play(canaries, directory=directory))
            progress(number)
    return audit_scores(
        np.concatenate([run.scores for run in found]),
        inside=inside.ravel(),
        gaps=np.concatenate([run.gaps for run in found]),
        charged=max(run.charged for run in found),
    )


def _open_game(plan: Plan, *, run: RunsPlan, directory: Path) -> Game | HeldGame:
    """Return the game of a plan's kind; an evaluation asks about a run made in ``directory``."""
    schema = made_up_schema()
    if plan.chosen.evaluates:
        return open_held_game(plan, schema, run=run, directory=directory)
    played = made_up_plan(plan, schema)
    people = MadeUp(
        schema=schema,
        silos=played.silos,
        rows_per_person=played.privacy.rows_per_person,
        colluders=played.colluders,
    )
    return Game(plan=played, people=people, run=run)


@contextmanager
def _new_directory() -> Iterator[Path]:
    """Yield a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="silosynth-audit-") as directory:
        yield Path(directory)
