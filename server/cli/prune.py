"""The command that makes room on a coordinator's disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Json, Older, OlderDryRun, emit, read_age, say, show_table
from silosynth.server.federation import drop, droppable, find_federation, home


def prune(
    older: Older,
    federation: Annotated[
        str | None, typer.Option(help="Have its SuperLink drop what finished runs left, too.")
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option("--superlink-database", help="Give back a stopped SuperLink's free space."),
    ] = None,
    dry_run: OlderDryRun = False,
    as_json: Json = False,
) -> None:
    """Drop journals, answers and logs of runs that ended for good, and say what stays.

    Plan, schema, certificate, sampler and outcome of every run stay, and every receipt: a silo that
    lost its ledger is charged by them. Runs that failed or stopped are left alone, since they can
    be resumed; cancel those that nobody will resume, and they are dropped the next time.

    A SuperLink drops messages by itself and keeps its file's size: --superlink-database, as its
    user and with it stopped, changes nothing in the file and makes it as large as it needs to be.

    [dim]silosynth prune --older 90d --dry-run[/dim]
    [dim]silosynth prune --older 90d --superlink-database state.db[/dim]
    """
    now = datetime.now(UTC)
    found = list(droppable(home(), before=read_age(older, now=now)))
    rows = [(f.run.id, f"{f.bytes:,}") for f in found]
    if found:
        show_table("would be dropped" if dry_run else "dropped", ("run", "bytes"), rows)
    for each in found if not dry_run else ():
        drop(each, at=now)
    total = sum(f.bytes for f in found)
    word = "would be freed" if dry_run else "freed"
    say(f"{total:,} bytes of {len(found)} runs {word}; every receipt and sampler stays")
    facts = {"runs": [f.run.id for f in found], "bytes": total, "dropped": not dry_run}
    if not dry_run:
        facts |= _at_superlink(federation, database)
    emit(facts, as_json=as_json)


def _at_superlink(federation: str | None, database: Path | None) -> dict[str, object]:
    """Make room at a SuperLink, where it is asked for; return what was done."""
    facts: dict[str, object] = {}
    if federation is not None:
        # Flower takes seconds to import, which only commands that use it should.
        from silosynth.server.federation import tidy_runs

        facts["superlink_runs"] = tidy_runs(find_federation(home(), federation))
        say(
            f"the SuperLink looked at {facts['superlink_runs']} runs, and keeps no message of any "
            "that has ended"
        )
    if database is not None:
        from silosynth.server.federation import compact

        before, after = compact(database)
        facts["database_bytes"] = [before, after]
        say(f"{database}: {before:,} bytes before, {after:,} now")
    return facts
