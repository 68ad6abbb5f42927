"""The command of an auditor: what a silo says that it did, checked without the data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from silosynth.client.policy import says
from silosynth.client.roster import says_roster
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.audit import ApproverWord, RosterStep, verify_audit
from silosynth.common.cli import Json, emit, say, show_table
from silosynth.common.errors import InvalidAudit
from silosynth.common.files import read_named
from silosynth.common.trust import Purpose, unseal


def register_auditor(groups: dict[str, typer.Typer]) -> None:
    """Add the group ``audit``."""
    audit = typer.Typer(help="Check what a silo says that it did.", no_args_is_help=True)
    audit.command("verify")(audit_verify)
    audit.callback()(lambda: None)
    groups["audit"] = audit


def audit_verify(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="An audit that a silo exported.")],
    key: Annotated[str, typer.Option(help="The silo's public key, got by another channel.")],
    as_json: Json = False,
) -> None:
    """Check a silo's audit, without the data and without the silo.

    [dim]silosynth audit verify north.audit --key ed25519:...[/dim]
    """
    summary = verify_audit(unseal(read_named(path), purpose=Purpose.AUDIT, trusted={key}).body)
    say(f"{path} holds; ledger: {summary.ledger_id}, entries: {summary.entries}")
    say(
        f"charges: {summary.charges}, releases: {summary.releases}, charged and not answered: "
        f"{summary.unanswered}"
    )
    signed = [_checked_word(recorded.word) for recorded in summary.account.words]
    for word in signed:
        say(f"{word['by']} {word['verdict']} plan {word['plan']}, signed by {word['key']}")
    rosters = [_checked_roster(step) for step in summary.account.rosters]
    for step in rosters:
        say(
            f"version {step['version']} of the roster of {step['project']}, approved by "
            f"{step['by']}, signed by {step['coordinator']}"
        )
    totals = [
        {
            "scope": t.kind,
            "name": t.name,
            "cap_rho": t.cap_units / RHO_UNIT,
            "spent_rho": t.spent_units / RHO_UNIT,
        }
        for t in summary.totals
    ]
    rows = [
        (f"{t['scope']} {t['name']}", f"{t['spent_rho']:.4g}", f"{t['cap_rho']:.4g}")
        for t in totals
    ]
    show_table("budgets, as zCDP rho", ("scope", "spent", "cap"), rows)
    facts: dict[str, Any] = {"ledger": summary.ledger_id, "head": summary.head, "totals": totals}
    counts = {"entries": summary.entries, "charges": summary.charges, "releases": summary.releases}
    facts |= {"unanswered": summary.unanswered, "signed": signed, "rosters": rosters}
    emit(facts | counts, as_json=as_json)


def _checked_roster(step: RosterStep) -> dict[str, str]:
    """Return a change of a roster once its signature says so; raise InvalidAudit otherwise."""
    if not says_roster(step):
        raise InvalidAudit(
            f"the audit does not hold: {step.signer} did not sign version {step.version}"
        )
    return {
        "project": step.project,
        "version": str(step.version),
        "roster": step.roster,
        "coordinator": step.signer,
        "by": step.by,
    }


def _checked_word(word: ApproverWord) -> dict[str, str]:
    """Return an approver's word once its signature says the same; raise InvalidAudit otherwise."""
    stated = {
        "plan": word.plan_digest,
        "coordinator": word.signer,
        "verdict": word.verdict.value,
        "by": word.by,
        "key": word.key,
    }
    if not says(word):
        raise InvalidAudit(f"the audit does not hold: {word.by} did not sign what it says")
    return stated
