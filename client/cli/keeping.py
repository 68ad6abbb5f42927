"""The commands that keep a silo's ledger: a backup while it runs, and what follows a loss."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.options import POLICY, PolicyPath
from silosynth.client.desk import (
    open_desk,
    operator_socket,
    person_of,
    pieces,
    somebody_listens,
    sudo_user,
)
from silosynth.client.policy import PolicyFile, load_policy
from silosynth.client.silo import (
    Basis,
    Recovery,
    check_copy,
    find,
    load_identity,
    next_step,
    old_results,
    take_step,
    write_recovery,
)
from silosynth.client.silo.recover import recover
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.cli import Force, Json, Older, OlderDryRun, emit, read_age, say
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, fresh_file
from silosynth.common.messages import WIRE, version_words

_BASIS = {
    Basis.MIRROR: "the mirror holds all that ever left: nothing is charged on top",
    Basis.PLANS: "every plan that this silo approved is charged in full",
    Basis.ALL: "every budget is charged all that it has left: nothing more is answered before you "
    "grant more in the policy",
}


def register_keeping(groups: dict[str, typer.Typer]) -> None:
    """Add the commands to the group ``silo``."""
    groups["silo"].command("backup")(silo_backup)
    groups["silo"].command("recover")(silo_recover)
    groups["silo"].command("upgrade")(silo_upgrade)
    groups["silo"].command("prune")(silo_prune)


def silo_backup(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the backup.")],
    policy: PolicyPath = POLICY,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a copy of the ledger, while the gateway runs or without one; it is checked whole.

    It holds what left this silo and what was decided, and no row. Keep it on another machine, as
    safe as the ledger: an old copy is not put back as it is, but by 'silo recover'.

    [dim]silosynth silo backup /backups/north-2026-03-01.ledger[/dim]
    """
    check_output(out, force=force)
    loaded = load_policy(policy)
    key = load_identity(loaded).public
    with fresh_file(out, force=force) as part:
        with open_desk(loaded) as ask, part.open("wb") as file:
            for piece in pieces(ask):
                file.write(piece)
        account = check_copy(part, key=key).account
    say(f"wrote {out}: {account.entries} entries, the last with head {account.head}")
    facts = {"path": str(out), "entries": account.entries, "head": account.head}
    emit(facts | {"releases": len(account.releases)}, as_json=as_json)


def silo_recover(
    policy: PolicyPath = POLICY,
    copy: Annotated[
        list[Path] | None, typer.Option("--from", help="A backup or a mirror; repeat.")
    ] = None,
    audit: Annotated[
        list[Path] | None, typer.Option(help="What 'silo export-audit' wrote; repeat.")
    ] = None,
    receipts: Annotated[
        list[Path] | None,
        typer.Option(help="A coordinator's folder of this silo's receipts, or one; repeat."),
    ] = None,
    basis: Annotated[
        Basis | None,
        typer.Option(
            help="What stands for that which no copy holds: the mirror; the folder of plans, if "
            "you know it to be whole; or all. The mirror if there is one, or all, by default."
        ),
    ] = None,
    newest: Annotated[
        bool,
        typer.Option(
            "--newest",
            help="The ledger given is the one that lay there last, moved away and no copy of it.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without being asked.")] = False,
    as_json: Json = False,
) -> None:
    """Put a lost ledger back from what is left, and charge all that may have been spent.

    Nothing is refunded, and what was answered is never answered with other noise. Give every copy,
    audit and receipt that you can find: what is not known counts as spent.

    [dim]silosynth silo recover --from /mirror/north.ledger[/dim]
    [dim]silosynth silo recover --from north.ledger --receipts from-hub/receipts[/dim]
    """
    loaded = load_policy(policy)
    key = load_identity(loaded).public
    if somebody_listens(operator_socket(loaded)):
        raise InvalidArgument("the gateway is running", hint="stop it first")
    mirror = loaded.mirror()
    copies = [*(copy or ()), *([mirror] if mirror is not None and mirror.exists() else ())]
    found = find(key=key, copies=copies, audits=audit or (), receipts=receipts or ())
    recovery = recover(
        loaded,
        found,
        basis=basis,
        newest=newest,
        by=person_of(os.geteuid(), sudo_user=sudo_user()),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _show(recovery, loaded)
    if not yes:
        typer.confirm("Write this ledger?", abort=True, err=True)
    write_recovery(recovery, tell=say)
    account = recovery.account
    say(f"wrote {recovery.path}; start the gateway, then make a backup")
    facts = {"path": str(recovery.path), "basis": recovery.basis.value, "head": account.head}
    spent = {f"{s.kind.value} {s.name}": n / RHO_UNIT for s, n in account.spent.items()}
    emit(facts | {"spent_rho": spent, "lost": sorted(account.lost)}, as_json=as_json)


def silo_upgrade(
    policy: PolicyPath = POLICY,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would be done, beside a gateway or without.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring the ledger's file to this program's version, or say what that would do.

    A start of the gateway does the same. The file as it was is kept beside it first; it is a
    record, and no ledger to put back: use 'silo recover'.

    [dim]silosynth silo upgrade --check[/dim]
    """
    loaded = load_policy(policy)
    step = next_step(loaded)
    say(f"policy, keys, schemas and tables can be used; the ledger's file has version {step.found}")
    say(version_words())
    if step.is_due:
        say(f"it is brought to version {step.written}; the file as it is is kept as {step.kept}")
    else:
        say("nothing has to be done")
    if step.is_due and not check:
        if somebody_listens(operator_socket(loaded)):
            raise InvalidArgument("the gateway is running", hint="stop it first")
        take_step(step)
        say("done")
    facts = {"found": step.found, "written": step.written, "due": step.is_due, "wire": WIRE}
    emit(facts | {"kept": str(step.kept) if step.kept else None}, as_json=as_json)


def silo_prune(
    older: Older,
    policy: PolicyPath = POLICY,
    dry_run: OlderDryRun = False,
    as_json: Json = False,
) -> None:
    """Drop samplers that coordinators delivered, and nothing that an answer or a recovery needs.

    The ledger with every charge and release stays, so that each request gets its answer again;
    so do the plans that were approved, by which a lost ledger is charged, and the records of sums.
    Of a result its hash stays: another one in its place is refused. It may run beside a gateway.

    [dim]silosynth silo prune --older 90d --dry-run[/dim]
    """
    loaded = load_policy(policy)
    found = old_results(loaded, before=read_age(older, now=datetime.now(UTC)))
    freed = sum(f.bytes for f in found)
    for result in found if not dry_run else ():
        result.drop()
    word = "would be dropped" if dry_run else "dropped"
    say(f"{len(found)} results {word}, {freed:,} bytes; ledger, releases and plans stay")
    facts = {"results": [f.plan for f in found], "bytes": freed, "dropped": not dry_run}
    emit(facts, as_json=as_json)


def _show(recovery: Recovery, policy: PolicyFile) -> None:
    """Say what is known, and what is charged for the rest."""
    known, account = recovery.known, recovery.account
    say(
        f"known: {known.entries} entries, {len(known.charges)} charges, "
        f"{len(known.releases)} releases; answered no more: {len(account.lost)} requests"
    )
    say(f"- {_BASIS[recovery.basis]}")
    caps = policy.scope_caps()
    for scope, spent in sorted(account.spent.items()):
        cap = caps[scope].units if scope in caps else 0
        lost = recovery.charged.get(scope, 0)
        say(
            f"- {scope}: spent {spent / RHO_UNIT:.4g} of zCDP rho, {lost / RHO_UNIT:.4g} of it for "
            f"what was lost; left {max(0, cap - spent) / RHO_UNIT:.4g}"
        )
