"""The commands that look for drift before anything is measured again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from silosynth.common.cli import Force, Json, emit, say
from silosynth.common.files import check_output, write_text
from silosynth.common.plan import Plan, check_promise, dump_plan, load_plan
from silosynth.common.sampler import Sampler, load_sampler, parse_sampler
from silosynth.common.schema import load_schema
from silosynth.server.cli.judge import find_directory, sampler_in
from silosynth.server.cli.plans.series import register_series
from silosynth.server.coordinator import finish
from silosynth.server.drift import (
    ALARM,
    Candidate,
    describe_drift,
    drift_words,
    find_drift,
    forecast_drift,
    leaves_coarse,
    plan_drift,
    plan_renewal,
    read_moved,
    unexplained,
)
from silosynth.server.driver import read_state
from silosynth.server.judging import read_judgement


def register_repeated(app: typer.Typer, groups: dict[str, typer.Typer]) -> None:
    """Add the commands, and those of a series, whose later epochs they are asked before."""
    register_series(groups)
    groups["plan"].command("drift")(plan_drift_command)
    groups["plan"].command("renew")(plan_renew)
    app.command("drift")(drift)


def plan_drift_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that made the sampler.")],
    epsilon: Annotated[float, typer.Option(help="What the look may cost a person.")],
    out: Annotated[Path, typer.Option(help="Where to write the plan (YAML).")],
    delta: Annotated[float | None, typer.Option(help="The run's by default.")] = None,
    like: Annotated[
        str | None, typer.Option(metavar="RUN", help="The first look, to be compared with.")
    ] = None,
    plan_id: Annotated[str | None, typer.Option("--id", help="A name of your own.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Plan a look for drift: one noised vector of everybody, held against a run's sampler.

    The first look, right after the run, says where people lay; each later one is made --like it.
    'silosynth drift' then tells whether anything moved.

    [dim]silosynth plan drift RUN --epsilon 0.05 --out look.yaml[/dim]
    [dim]silosynth plan drift RUN --epsilon 0.05 --like LOOK --out look2.yaml[/dim]
    """
    check_output(out, force=force)
    directory = find_directory(run)
    trained = load_plan(directory / "plan.yaml")
    check_promise(epsilon=epsilon, delta=delta or trained.privacy.delta)
    sampler = sampler_in(directory)
    before = None if like is None else load_plan(find_directory(like) / "plan.yaml")
    plan, inputs = plan_drift(
        trained, sampler, epsilon=epsilon, delta=delta, like=before, plan_id=plan_id
    )
    write_text(out, dump_plan(plan), force=force)
    people = max(float(parse_sampler(sampler).total), 2.0)
    share = forecast_drift(plan, inputs, people=people)
    say(f"wrote {out}: plan {plan.id}, epsilon {epsilon:g}, {len(inputs.pairs)} pairs")
    found = f"a move of {share:.1%} between two cells" if share < 1 else "no move between two cells"
    say(f"of about {people:,.0f} people, {found} would be found")
    emit(
        {"path": str(out), "id": plan.id, "digest": plan.digest, "found_from": share},
        as_json=as_json,
    )


def plan_renew(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that made the sampler.")],
    epsilon: Annotated[float, typer.Option(help="What it may cost a person.")],
    out: Annotated[Path, typer.Option(help="Where to write the plan (YAML).")],
    drifted: Annotated[
        Path | None,
        typer.Option("--drift", help="What 'silosynth drift --out' wrote; without, nobody looked."),
    ] = None,
    delta: Annotated[float | None, typer.Option(help="The run's by default.")] = None,
    plan_id: Annotated[str | None, typer.Option("--id", help="A name of your own.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Plan to measure again what moved, and to take the rest over from the last sampler.

    Every column is counted anew, and pairs as far as that is worth their noise: those that moved,
    and those that RUN's own releases say its sampler leaves out. What the last sampler says counts
    by its noise and by how far people moved away from it. Run it where RUN was made.

    [dim]silosynth plan renew RUN --drift drift.json --epsilon 0.1 --out renew.yaml[/dim]
    """
    check_output(out, force=force)
    directory = find_directory(run)
    trained, sampler = load_plan(directory / "plan.yaml"), sampler_in(directory)
    check_promise(epsilon=epsilon, delta=delta or trained.privacy.delta)
    plan = plan_renewal(
        trained,
        load_schema(directory / "schema.yaml"),
        sampler,
        moved=None if drifted is None else read_moved(drifted, sampler=sampler),
        weak=_weak(directory, trained, sampler),
        epsilon=epsilon,
        delta=delta,
        plan_id=plan_id,
    )
    write_text(out, dump_plan(plan), force=force)
    say(
        f"wrote {out}: plan {plan.id}, epsilon {epsilon:g}: every column, and "
        f"{len(plan.workload)} pairs"
    )
    emit(
        {"path": str(out), "id": plan.id, "digest": plan.digest, "pairs": len(plan.workload)},
        as_json=as_json,
    )


def _weak(directory: Path, trained: Plan, sampler: bytes) -> tuple[Candidate, ...]:
    """Return what a run's coarse marginals say that its sampler leaves out; mostly of mst."""
    last = parse_sampler(sampler)
    if not isinstance(last, Sampler) or not leaves_coarse(trained):
        return ()
    schema = load_schema(directory / "schema.yaml")
    state = read_state(directory, plan=trained, schema=schema)
    return unexplained(state.measured(), finish(state).model.marginal, last=last)


def drift(
    run: Annotated[str, typer.Argument(metavar="LOOK", help="The run of the newest look.")],
    since: Annotated[str, typer.Option(metavar="LOOK", help="The run of the first look.")],
    alarm: Annotated[float, typer.Option(help="How often chance alone may say so.")] = ALARM,
    out: Annotated[Path | None, typer.Option(help="Where to write what was found (JSON).")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Say which pairs of columns have moved since the first look: nothing is spent.

    Where none has, the sampler stays, and is good as of today.

    [dim]silosynth drift LOOK2 --since LOOK --out drift.json[/dim]
    """
    if out is not None:
        check_output(out, force=force)
    directory = find_directory(run)
    now, before = read_judgement(directory), read_judgement(find_directory(since))
    found = find_drift(before, now, sampler=load_sampler(directory / "judged.sampler"), alarm=alarm)
    facts = describe_drift(found, on=datetime.now(UTC).date())
    for sentence in drift_words(found):
        say(sentence)
    if out is not None:
        write_text(out, json.dumps(facts, indent=1) + "\n", force=force)
        say(f"wrote {out}")
    emit(facts, as_json=as_json)
