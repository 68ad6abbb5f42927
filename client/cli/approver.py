"""The commands of an approver, on a machine without silo or network: a key, signed decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.desk import Facts, change_facts, lack_facts, plan_facts, plan_words
from silosynth.client.policy import MAX_PLAN_BYTES, SignedDecision, sign_decision, time_text
from silosynth.common.audit import Verdict
from silosynth.common.cli import Force, Json, emit, say
from silosynth.common.errors import InvalidArgument
from silosynth.common.files import check_output, fresh_file, read_named
from silosynth.common.plan import decode_plan
from silosynth.common.roster import open_change
from silosynth.common.trust import Purpose, SigningKey, purpose_of, unseal

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="What 'silo export-plan' wrote.")]
KeyFile = Annotated[Path, typer.Option(help="Your private key (PEM, mode 0600).")]
SiloName = Annotated[str, typer.Option("--silo", help="The silo that you decide for.")]
CoordinatorKey = Annotated[
    str, typer.Option("--coordinator", help="The coordinator's public key, got by another channel.")
]
Out = Annotated[Path, typer.Option(help="Where to write the signed decision.")]


def register_approver(groups: dict[str, typer.Typer]) -> None:
    """Add the group ``approver``."""
    approver = typer.Typer(help="Decide about plans with a key of your own.", no_args_is_help=True)
    approver.command("key")(approver_key)
    approver.command("approve")(approver_approve)
    approver.command("refuse")(approver_refuse)
    groups["approver"] = approver


def approver_key(
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the private key.")],
    as_json: Json = False,
) -> None:
    """Make a key of your own, and show the public key for the silo's policy.

    [dim]silosynth approver key anna.pem[/dim]
    """
    check_output(out, force=False)
    key = SigningKey.generate()
    key.save(out)
    say(f"wrote {out}; keep it to yourself")
    say(f'for [[approvers]] in the silo\'s policy: key = "{key.public}"')
    emit({"path": str(out), "key": key.public}, as_json=as_json)


def approver_approve(
    plan: PlanFile,
    key: KeyFile,
    silo: SiloName,
    coordinator: CoordinatorKey,
    out: Out,
    why: Annotated[str, typer.Option(help="Why; it stays in the ledger.")] = "approved",
    yes: Annotated[bool, typer.Option("--yes", help="Sign without being asked.")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show a plan, ask, and sign that you approve it for one silo and this coordinator.

    [dim]silosynth approver approve people.plan --key anna.pem --silo north \\
    --coordinator ed25519:... --out people.anna[/dim]
    """
    check_output(out, force=force)
    facts = _shown(plan, silo=silo, coordinator=coordinator)
    if not yes:
        typer.confirm("Approve this?", abort=True, err=True)
    signed = _sign(facts, Verdict.APPROVED, silo=silo, why=why, key=key)
    _write(signed, facts, out=out, force=force, as_json=as_json)


def approver_refuse(
    plan: PlanFile,
    key: KeyFile,
    silo: SiloName,
    coordinator: CoordinatorKey,
    out: Out,
    why: Annotated[str, typer.Option(help="Why; the coordinator is told.")],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Sign that you refuse a plan for one silo; it takes back what you approved before.

    [dim]silosynth approver refuse people.plan --key anna.pem --silo north \\
    --coordinator ed25519:... --why "not before the board meets" --out people.anna[/dim]
    """
    check_output(out, force=force)
    facts = _shown(plan, silo=silo, coordinator=coordinator)
    signed = _sign(facts, Verdict.REFUSED, silo=silo, why=why, key=key)
    _write(signed, facts, out=out, force=force, as_json=as_json)


def _shown(path: Path, *, silo: str, coordinator: str) -> Facts:
    """Show a plan that the coordinator signed for this silo; return its facts."""
    data = read_named(path, most=MAX_PLAN_BYTES)
    if len(data) > MAX_PLAN_BYTES:
        raise InvalidArgument(f"{path} is larger than any plan that a silo reads")
    if purpose_of(data) is Purpose.ROSTER:
        return _shown_change(data, silo=silo, coordinator=coordinator)
    opened = unseal(data, purpose=Purpose.PLAN, trusted={coordinator})
    plan = decode_plan(opened.body, origin=str(path))
    if silo not in plan.silos:
        raise InvalidArgument(
            f"silo {silo!r} is not in plan {plan.id}", hint=f"it is for {', '.join(plan.silos)}"
        )
    facts = (
        plan_facts(plan)
        | lack_facts(plan, silo=silo)
        | {
            "digest": plan.decided,
            "coordinator": opened.key,
            "signer": opened.key,
        }
    )
    say(f"plan {plan.id}, {facts['digest']}")
    for sentence in plan_words(facts):
        say(f"- {sentence}")
    return facts


def _shown_change(data: bytes, *, silo: str, coordinator: str) -> Facts:
    """Show a change of a roster that the coordinator signed, with this silo in it."""
    change, signer = open_change(data, trusted={coordinator})
    if silo not in change.silos:
        raise InvalidArgument(f"silo {silo!r} is not in that roster")
    facts = change_facts(change) | {
        "digest": change.digest,
        "coordinator": signer,
        "signer": signer,
    }
    say(f"{facts['id']}, {change.digest}")
    for sentence in plan_words(facts):
        say(f"- {sentence}")
    return facts


def _sign(facts: Facts, verdict: Verdict, *, silo: str, why: str, key: Path) -> bytes:
    """Return a signed decision about the very plan that was shown."""
    if not why.isprintable() or not 0 < len(why) <= 2000:
        raise InvalidArgument("the reason is not usable", hint="1 to 2000 printable characters")
    decision = SignedDecision(
        silo=silo,
        plan_digest=facts["digest"],
        signer=facts["signer"],
        verdict=verdict,
        why=why,
        signed_at=time_text(datetime.now(UTC)),
    )
    return sign_decision(decision, key=SigningKey.load(key))


def _write(signed: bytes, facts: Facts, *, out: Path, force: bool, as_json: bool) -> None:
    """Write a signed decision."""
    with fresh_file(out, force=force) as part:
        part.write_bytes(signed)
    say(f"wrote {out}: give it to the silo's operator, for 'silosynth silo take-in'")
    emit({"path": str(out), "digest": facts["digest"]}, as_json=as_json)
