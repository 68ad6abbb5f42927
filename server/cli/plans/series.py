"""The commands of a series: one template that is approved once, and the plan of each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from silosynth.common.accounting import rounded_up, units_epsilon
from silosynth.common.cli import Force, Json, emit, say, show_table
from silosynth.common.errors import InvalidArgument, SilosynthError
from silosynth.common.files import check_output, write_text
from silosynth.common.plan import Plan, Series, check_promise, dump_plan, load_plan, plan_units
from silosynth.server.cli.report import replay_run
from silosynth.server.federation import RunFiles, home, list_runs, read_plan
from silosynth.server.planning import Calendar, EpochRun, new_series, next_epoch

Template = Annotated[Path, typer.Argument(metavar="SERIES", help="What 'series new' wrote.")]


def register_series(groups: dict[str, typer.Typer]) -> None:
    """Add the group ``series``."""
    series = typer.Typer(help="Run the same plan every month, approved once.", no_args_is_help=True)
    series.command("new")(series_new)
    series.command("show")(series_show)
    series.command("next")(series_next)
    groups["series"] = series


def series_new(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="One epoch, from 'plan new'.")],
    epochs: Annotated[int, typer.Option(help="How many epochs are approved at once.")],
    out: Annotated[Path, typer.Option(help="Where to write the template (YAML).")],
    every: Annotated[int, typer.Option(help="Days from one epoch to the next.")] = 30,
    first: Annotated[
        str | None, typer.Option(metavar="DAY", help="Of epoch 1: 2027-01-31. Today without it.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the series; the plan's id by default.")
    ] = None,
    epoch_epsilon: Annotated[
        float | None, typer.Option(help="Most that one epoch may cost a person.")
    ] = None,
    lifetime_epsilon: Annotated[
        float | None, typer.Option(help="Most that all may cost a person who stays.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make a template: this plan, so many times, with caps on each epoch and on all together.

    Silos' people approve it once, with its first epoch. Nothing is asked or spent yet.

    [dim]silosynth series new plan.yaml --epochs 12 --every 30 --out monthly.yaml[/dim]
    """
    check_output(out, force=force)
    one = load_plan(plan)
    for epsilon in (epoch_epsilon, lifetime_epsilon):
        if epsilon is not None:
            check_promise(epsilon=epsilon, delta=one.privacy.delta)
    calendar = Calendar(epochs=epochs, days=every, first=_day(first))
    template = new_series(
        one,
        name=name or one.id,
        calendar=calendar,
        epoch_epsilon=epoch_epsilon,
        lifetime_epsilon=lifetime_epsilon,
    )
    write_text(out, dump_plan(template), force=force)
    say(f"wrote {out}: series {template.id}, {template.decided}")
    for sentence in _words(template):
        say(sentence)
    say(f"next: silosynth series next {out} --out {template.id}-001.yaml")
    emit({"path": str(out)} | _facts(template, []), as_json=as_json)


def series_show(path: Template, as_json: Json = False) -> None:
    """Show a series: its caps, when each epoch is due, and what was spent by this coordinator.

    [dim]silosynth series show monthly.yaml[/dim]
    """
    template = _template(path)
    runs = list(_runs(template))
    facts = _facts(template, runs)
    for sentence in _words(template):
        say(sentence)
    rows = [
        (
            str(e["epoch"]),
            e["due"],
            e["plan"] or "",
            rounded_up(e["lost_so_far"]) if e["plan"] else "",
        )
        for e in facts["calendar"]
    ]
    show_table(f"series {template.id}", ("epoch", "due", "begun as", "epsilon so far"), rows)
    emit(facts, as_json=as_json)


def series_next(
    path: Template,
    out: Annotated[Path, typer.Option(help="Where to write the epoch's plan (YAML).")],
    epoch: Annotated[
        int | None, typer.Option(min=1, help="Which; the one after the last begun without it.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Make the plan of the next epoch, to 'run' or 'submit' as any plan.

    It states what earlier epochs cost, by this coordinator's runs; each silo holds that against
    its own ledger.

    [dim]silosynth series next monthly.yaml --out monthly-002.yaml[/dim]
    """
    check_output(out, force=force)
    template = _template(path)
    plan = next_epoch(template, _runs(template), epoch=epoch)
    series = _series(plan)
    due = series.due(series.epoch or 1)
    write_text(out, dump_plan(plan), force=force)
    say(f"wrote {out}: plan {plan.id}, epoch {series.epoch} of {series.epochs}")
    if datetime.now(UTC).date() < due:
        say(f"silos begin it on {due}, and refuse it before")
    so_far = (series.before_units or 0) + plan_units(plan)
    say(f"a person who stays has then lost at most epsilon {_shown(plan, so_far)}")
    emit(
        {"path": str(out), "id": plan.id, "digest": plan.digest, "epoch": series.epoch}
        | {"due": due.isoformat(), "lost_so_far": _epsilon(plan, so_far)},
        as_json=as_json,
    )


def _day(text: str | None) -> date:
    """Read a day; today, in UTC, where none is said."""
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(f"--first {text!r} is no day", hint="write 2027-01-31") from None


def _template(path: Path) -> Plan:
    """Read a template; raise InvalidArgument for any other plan."""
    plan = load_plan(path)
    if plan.series is None or plan.series.epoch is not None:
        raise InvalidArgument(
            f"{path}: is no template of a series", hint="make one with 'silosynth series new'"
        )
    return plan


def _series(plan: Plan) -> Series:
    """Return the series of a plan that has one."""
    if plan.series is None:
        raise InvalidArgument(f"plan {plan.id} is of no series")
    return plan.series


def _runs(template: Plan) -> Iterator[EpochRun]:
    """Yield this coordinator's runs of the series' name, with what each cost a person at most."""
    name = _series(template).name
    for files, begun in list_runs(home()):
        if not begun.plan_id.startswith(f"{name}-"):
            continue
        plan, _ = read_plan(files)
        if plan.series is not None and plan.series.name == name:
            yield EpochRun(plan=plan, units=_spent(files, plan))


def _spent(files: RunFiles, plan: Plan) -> int:
    """Return what a run cost in the dearest silo; all that it might where that is not known."""
    try:
        receipts = replay_run(files).receipts().values()
    except SilosynthError:
        return plan_units(plan)
    return max((sum(r.cost_units for r in found) for found in receipts), default=0)


def _facts(template: Plan, runs: list[EpochRun]) -> dict[str, Any]:
    """Return a series as plain data, with the epochs that were begun."""
    series = _series(template)
    begun = {r.plan.series.epoch: r for r in runs if r.plan.series is not None}
    calendar, spent = [], 0
    for epoch in range(1, series.epochs + 1):
        run = begun.get(epoch)
        spent += run.units if run else 0
        calendar.append(
            {
                "epoch": epoch,
                "due": series.due(epoch).isoformat(),
                "plan": run.plan.id if run else None,
                "lost_so_far": _epsilon(template, spent) if spent else 0.0,
            }
        )
    return {
        "name": series.name,
        "digest": template.decided,
        "epochs": series.epochs,
        "epoch_epsilon": _epsilon(template, series.epoch_units),
        "lifetime_epsilon": _epsilon(template, series.lifetime_units),
        "delta": template.privacy.delta,
        "calendar": calendar,
    }


def _words(template: Plan) -> tuple[str, ...]:
    """Say what silos' people approve."""
    series, delta = _series(template), template.privacy.delta
    return (
        f"{series.epochs} epochs from {series.first} on, one every {series.days} days",
        f"one epoch costs a person epsilon {_shown(template, plan_units(template))} (cap "
        f"{_shown(template, series.epoch_units)}); one who stays loses at most "
        f"{_shown(template, series.lifetime_units)} to all, at delta {delta:g} (zCDP "
        "conversion)",
    )


def _epsilon(plan: Plan, units: int) -> float:
    """Return units as an epsilon at the plan's delta."""
    return units_epsilon(units, plan.privacy.delta)


def _shown(plan: Plan, units: int) -> str:
    """Return :func:`_epsilon` with four digits, rounded up."""
    return rounded_up(_epsilon(plan, units))
