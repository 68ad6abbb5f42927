"""The command that makes replicates of a run, for intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say
from silosynth.common.errors import RunFailed
from silosynth.common.estimate import FEWEST, MOST, save_replicates
from silosynth.server.cli.local import register_local
from silosynth.server.cli.report import replay_run
from silosynth.server.coordinator import State, draw_replicates, finish
from silosynth.server.federation import find_run, home
from silosynth.server.methods import Outcome

Count = Annotated[int, typer.Option(min=FEWEST, max=MOST, help="How many; 20 are enough for 95 %.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed makes the same replicates.")]
COUNT, SEED = 20, 1


def register_replicate(app: typer.Typer) -> None:
    """Add what makes other samplers of a run; the simulations put theirs in its place."""
    register_local(app)
    app.command("replicate")(replicate)


def replicate(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A run's id, from 'runs'.")],
    count: Count = COUNT,
    seed: Seed = SEED,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make replicates of a run beside its sampler, so that estimates have intervals.

    Each is a sampler that the run might have come to with other noise and other people. They are
    made from what was released: nothing is asked and nothing is spent.

    [dim]silosynth replicate people-20260301-120000-1a2b[/dim]
    """
    emit(replicate_run(run_id, count=count, seed=seed, force=force), as_json=as_json)


def replicate_run(run_id: str, *, count: int, seed: int, force: bool) -> dict[str, str | int]:
    """Write the replicates of a run of this coordinator and return where they lie.

    Raises InvalidArgument when there is no such run, RunFailed when it has not ended well.
    """
    files, _ = find_run(home(), run_id)
    state = replay_run(files)
    return write_replicates(
        state, finish(state), sampler=files.sampler, count=count, seed=seed, force=force
    )


def write_replicates(
    state: State, outcome: Outcome, *, sampler: Path, count: int, seed: int, force: bool
) -> dict[str, str | int]:
    """Write the replicates of a finished run beside its sampler, and say so."""
    if not sampler.is_file():
        raise RunFailed(f"{sampler} is not there: the run has not ended", hint="go on with it")
    made = draw_replicates(state, outcome, count=count, seed=seed)
    folder = save_replicates(sampler, made, force=force)
    say(f"wrote {folder}: {count} replicates; 'silosynth estimate {sampler}' reads them")
    return {"replicates": str(folder), "count": count}
