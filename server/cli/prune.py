"""The command that makes room on a coordinator's disk."""

from __future__ import annotations

from datetime import UTC, datetime

from silosynth.common.cli import Json, Older, OlderDryRun, emit, read_age, say, show_table
from silosynth.server.federation import drop, droppable, home


def prune(older: Older, dry_run: OlderDryRun = False, as_json: Json = False) -> None:
    """Drop journals, answers and logs of runs that ended for good, and say what stays.

    Plan, schema, certificate, sampler and outcome of every run stay, and every receipt: a silo that
    lost its ledger is charged by them. Runs that failed or stopped are left alone, since they can
    be resumed; cancel those that nobody will resume, and they are dropped the next time.

    [dim]silosynth prune --older 90d --dry-run[/dim]
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
    emit(facts, as_json=as_json)
