"""The command that makes a sampler for each silo of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say
from silosynth.common.files import check_output
from silosynth.common.sampler import save_sampler
from silosynth.server.cli.report import replay_run
from silosynth.server.coordinator import State, localise
from silosynth.server.federation import find_run, home

Silos = Annotated[
    list[str] | None, typer.Option("--silo", help="Only this silo; say it again for more.")
]
Out = Annotated[
    Path | None, typer.Option(help="A directory for SILO.sampler; RUN/local without it.")
]


def register_local(app: typer.Typer) -> None:
    """Add the command."""
    app.command("localise")(localise_command)


def localise_command(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="A run's id, from 'runs'.")],
    silo: Silos = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a sampler for each silo beside the one for all, from what was released.

    Only of plans with own noise, where each silo's release was seen. Nothing is asked and nothing
    is spent: whoever sees one of these learns no more than the coordinator does.

    [dim]silosynth localise people-20260301-120000-1a2b --out local/[/dim]
    """
    emit(localise_run(run_id, silos=silo, out=out, force=force), as_json=as_json)


def localise_run(
    run_id: str, *, silos: list[str] | None, out: Path | None, force: bool
) -> dict[str, str]:
    """Write samplers of single silos of a run of this coordinator, and return where they lie."""
    files, _ = find_run(home(), run_id)
    folder = out or files.sampler.parent / "local"
    return write_local(replay_run(files), silos=silos, folder=folder, force=force)


def write_local(
    state: State, *, silos: list[str] | None, folder: Path, force: bool
) -> dict[str, str]:
    """Write SILO.sampler of each silo into a directory, and say so.

    Raises OutputExists for a file that is there, before anything is fitted or written.
    """
    written = {name: folder / f"{name}.sampler" for name in silos or state.silos}
    for path in written.values() if folder.is_dir() else ():
        check_output(path, force=force)
    made = {name: localise(state, silo=name) for name in written}
    folder.mkdir(parents=True, exist_ok=True)
    for name, sampler in made.items():
        save_sampler(sampler, written[name], force=force)
        say(f"wrote {written[name]}: about {sampler.total:,} rows")
    say("hand each to its silo: 'silosynth silo evaluate FILE' says there how near it is")
    return {name: str(path) for name, path in written.items()}
