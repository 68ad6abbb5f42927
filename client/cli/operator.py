"""The commands of a silo's operator that ask the running gateway, or the ledger without one."""

from __future__ import annotations

import base64
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.options import POLICY, PolicyPath
from silosynth.client.cli.page import register_page
from silosynth.client.desk import (
    ALTHOUGH,
    Command,
    Facts,
    Question,
    find_plan,
    is_digest,
    open_desk,
    plan_words,
    short_digest,
    short_scope,
    sudo_user,
)
from silosynth.client.policy import MOST_DECISION_BYTES, load_policy
from silosynth.common.accounting import rounded_up
from silosynth.common.cli import Force, Json, emit, say, show_table
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, fresh_file, read_named
from silosynth.common.trust import plain_text

PlanName = Annotated[str, typer.Argument(metavar="ID", help="A plan's id, or its digest's start.")]
Coordinator = Annotated[
    str | None,
    typer.Option(help="The coordinator's name, where several sent the same plan."),
]
AlthoughUnfit = Annotated[
    bool,
    typer.Option(ALTHOUGH, help="Approve although hardly anything of a column fits the schema."),
]
_WORD = "unfit"


def register_operator(groups: dict[str, typer.Typer]) -> None:
    """Add the commands to the group ``silo``."""
    silo = groups["silo"]
    silo.command("serve")(silo_serve)
    silo.command("pending")(silo_pending)
    silo.command("approve")(silo_approve)
    silo.command("refuse")(silo_refuse)
    silo.command("export-plan")(silo_export_plan)
    silo.command("take-in")(silo_take_in)
    silo.command("releases")(silo_releases)
    silo.command("spent")(silo_spent)
    silo.command("notes")(silo_notes)
    silo.command("verify-ledger")(silo_verify_ledger)
    silo.command("export-audit")(silo_export_audit)
    register_page(groups)


def silo_serve(
    policy: PolicyPath = POLICY,
    no_network: Annotated[
        bool,
        typer.Option("--no-network", help="Open Unix sockets alone, where a relay shares the net."),
    ] = False,
) -> None:
    """Run the gateway, until SIGTERM or Ctrl-C ends it after the request at hand.

    [dim]silosynth silo serve --policy silo.toml[/dim]
    """
    module = "silosynth.client.serving.process"
    try:
        import_module("silosynth.client.serving.serve")
    except ModuleNotFoundError as err:
        raise InvalidArgument(
            f"the gateway needs {err.name}, which is not installed", hint="install silosynth[silo]"
        ) from err
    # A fresh interpreter: this one has loaded the commands of every installed part.
    more = ["--no-network"] if no_network else []
    os.execv(sys.executable, [sys.executable, "-m", module, "--policy", str(policy), *more])


def silo_pending(policy: PolicyPath = POLICY, as_json: Json = False) -> None:
    """Show what waits for a person: plans with what they cost, and changes of the roster.

    [dim]silosynth silo pending[/dim]
    """
    plans = _ask(policy, Command.PENDING)["plans"]
    for plan in plans:
        say(f"{plan.get('id', '-')} ({short_digest(plan)}), since {plan['at']}")
        for sentence in plan_words(plan):
            say(f"- {sentence}")
    if not plans:
        say("no plan waits")
    emit({"plans": plans}, as_json=as_json)


def silo_approve(
    plan: PlanName,
    policy: PolicyPath = POLICY,
    coordinator: Coordinator = None,
    why: Annotated[str | None, typer.Option(help="Why; it stays in the ledger.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve without being asked, whatever fits or does not.")
    ] = False,
    although_unfit: AlthoughUnfit = False,
    as_json: Json = False,
) -> None:
    """Approve a plan: its coordinator may then ask for all that the plan states.

    It is shown again, and you are asked. It costs nothing until it is asked; 'refuse' takes back
    what was not asked yet. The name on record is that of the user who runs this, or of who became
    root by sudo. Where the policy names approvers, 'take-in' does this instead.

    [dim]silosynth silo approve people-1a2b3c4d[/dim]
    """
    shown = _shown(plan, policy, coordinator=coordinator)
    # A script that is refused for what rows hold would tell the coordinator by its silence.
    although_unfit = although_unfit or yes
    if not yes:
        typer.confirm("Approve this?", abort=True, err=True)
        although_unfit = although_unfit or _consents(shown)
    _decide(shown, policy, approve=True, why=why, although_unfit=although_unfit, as_json=as_json)


def silo_refuse(
    plan: PlanName,
    why: Annotated[str, typer.Option(help="Why; the coordinator is told.")],
    policy: PolicyPath = POLICY,
    coordinator: Coordinator = None,
    as_json: Json = False,
) -> None:
    """Refuse a plan; what it has been given already stays given.

    [dim]silosynth silo refuse people-1a2b3c4d --why "not before the board meets"[/dim]
    """
    shown = _shown(plan, policy, coordinator=coordinator)
    _decide(shown, policy, approve=False, why=why, as_json=as_json)


def silo_export_plan(
    plan: PlanName,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the plan.")],
    policy: PolicyPath = POLICY,
    coordinator: Coordinator = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a plan that waits, as its coordinator signed it, for approvers to decide about.

    [dim]silosynth silo export-plan people-1a2b3c4d people.plan[/dim]
    """
    check_output(out, force=force)
    question = Question(command=Command.PLAN, plan=plan, coordinator=coordinator)
    with open_desk(load_policy(policy)) as ask:
        answer = ask(question)
    with fresh_file(out, force=force) as part:
        part.write_bytes(base64.b64decode(answer["sealed"]))
    shown = answer["plan"]
    say(f"wrote {out}: plan {shown['digest']}, signed by {shown['signer']}")
    emit({"path": str(out), "digest": shown["digest"], "signer": shown["signer"]}, as_json=as_json)


def silo_take_in(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What an approver signed.")],
    policy: PolicyPath = POLICY,
    although_unfit: AlthoughUnfit = False,
    as_json: Json = False,
) -> None:
    """Take in an approver's signed decision; with as many as the policy needs, a plan is approved.

    One that refuses, refuses at once, and those who approved before have to sign anew.

    [dim]silosynth silo take-in people.anna[/dim]
    """
    signed = plain_text(read_named(path, most=MOST_DECISION_BYTES))
    with open_desk(load_policy(policy)) as ask:
        answer = ask(
            Question(command=Command.TAKE_IN, signed=signed, although_unfit=although_unfit)
        )
    say(f"{answer['by']} {answer['word']} plan {answer['plan']}")
    if answer["verdict"] is None:
        have = ", ".join(answer["approved_by"])
        say(f"it needs {answer['needed']} approvers, and has {have}")
    else:
        say(f"the plan is {answer['verdict']}; the ledger's head is {answer['head']}")
    emit(answer, as_json=as_json)


def silo_releases(policy: PolicyPath = POLICY, as_json: Json = False) -> None:
    """List everything that ever left the silo, and what it cost.

    [dim]silosynth silo releases[/dim]
    """
    releases = _ask(policy, Command.RELEASES)["releases"]
    rows = [(r["at"], r["request"], f"{r['bytes']:,}", f"{r['rho']:.4g}") for r in releases]
    show_table("releases", ("at", "request", "bytes", "zCDP rho"), rows)
    emit({"releases": releases}, as_json=as_json)


def silo_spent(policy: PolicyPath = POLICY, as_json: Json = False) -> None:
    """Show what each budget has spent and has left.

    Costs add up as zCDP rho; epsilon is what the sum means at the budget's delta, and does not. A
    series, and each of its epochs, has a budget too, by the digest of the template that was
    approved; its epsilon is at the smallest delta of the policy's data sets.

    [dim]silosynth silo spent[/dim]
    """
    scopes = _ask(policy, Command.SPENT)["scopes"]
    rows = [
        (
            f"{s['scope']} {short_scope(s['name'])}",
            f"{rounded_up(s['spent_epsilon'])} of {s['epsilon']:g}",
            f"{s['delta']:g}",
            f"{s['spent_rho']:.4g}",
            f"{s['remaining_rho']:.4g}",
        )
        for s in scopes
    ]
    columns = ("scope", "epsilon spent", "delta", "zCDP rho spent", "zCDP rho left")
    show_table("budgets", columns, rows)
    emit({"scopes": scopes}, as_json=as_json)


def silo_notes(policy: PolicyPath = POLICY, as_json: Json = False) -> None:
    """Show what the running gateway noticed; [bold]it may speak of the data[/bold].

    The newest 100 sentences are kept in the gateway's memory, in no log and no file.

    [dim]silosynth silo notes[/dim]
    """
    notes = _ask(policy, Command.NOTES)["notes"]
    for note in notes:
        say(f"- {note}")
    if not notes:
        say("nothing was noticed since the gateway started, or no gateway runs")
    emit({"notes": notes}, as_json=as_json)


def silo_verify_ledger(policy: PolicyPath = POLICY, as_json: Json = False) -> None:
    """Check every page, entry and release of the ledger.

    [dim]silosynth silo verify-ledger[/dim]
    """
    facts = _ask(policy, Command.VERIFY)
    say(
        f"the ledger holds; entries: {facts['entries']}, charges: {facts['charges']}, "
        f"releases: {facts['releases']}, decisions: {facts['decisions']}; its head is "
        f"{facts['head']}"
    )
    emit(facts, as_json=as_json)


def silo_export_audit(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the audit.")],
    policy: PolicyPath = POLICY,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write all that the ledger recorded, signed, for somebody who may not see the data.

    [dim]silosynth silo export-audit north.audit[/dim]
    """
    check_output(out, force=force)
    answer = _ask(policy, Command.EXPORT)
    sealed = base64.b64decode(answer["audit"])
    with fresh_file(out, force=force) as part:
        part.write_bytes(sealed)
    say(f"wrote {out}, signed by {answer['key']}")
    emit({"path": str(out), "key": answer["key"]}, as_json=as_json)


def _ask(policy: Path, command: Command) -> Facts:
    """Ask the gateway, or the ledger when none runs."""
    with open_desk(load_policy(policy)) as ask:
        return ask(Question(command=command))


def _shown(name: str, policy: Path, *, coordinator: str | None) -> Facts:
    """Show a plan in plain words; return its digest and its coordinator's name."""
    plans = _ask(policy, Command.PENDING)["plans"]
    if is_digest(name) and not any(p["digest"] == name for p in plans):
        say(f"plan {name} does not wait; an earlier decision about it is changed")
        return {"digest": name, "coordinator": coordinator}
    plan = find_plan(plans, name, coordinator=coordinator)
    for sentence in plan_words(plan):
        say(f"- {sentence}")
    return plan


def _consents(plan: Facts) -> bool:
    """Ask for a typed word where hardly anything of a column fits; abort on any other one."""
    unfit = plan.get("fit", {}).get("unfit", ())
    if not unfit:
        return False
    typed = typer.prompt(
        f"Type {_WORD!r} to have {', '.join(unfit)} counted all the same", err=True
    )
    if typed.strip() != _WORD:
        raise typer.Abort
    return True


def _decide(
    plan: Facts,
    policy: Path,
    *,
    approve: bool,
    why: str | None,
    as_json: bool,
    although_unfit: bool = False,
) -> None:
    """Record a decision about the very plan that was shown."""
    question = Question(
        command=Command.DECIDE,
        plan=plan["digest"],
        coordinator=plan.get("coordinator"),
        approve=approve,
        why=why,
        although_unfit=although_unfit,
        sudo_user=sudo_user(),
    )
    with open_desk(load_policy(policy)) as ask:
        answer = ask(question)
    say(
        f"{answer['verdict']} by {answer['by']} at {answer['at']}; the ledger's head is "
        f"{answer['head']}"
    )
    emit(answer, as_json=as_json)
