"""``silosynth audit plan``: does a plan's noise hide as much as it says?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from silosynth.common.cli import (
    GateFile,
    Json,
    bars,
    emit,
    end_missed,
    hold_bars,
    read_gate,
    say,
    show_table,
)
from silosynth.common.errors import RunFailed
from silosynth.common.plan import Plan, load_plan
from silosynth.common.report import Axis, Better, Measure
from silosynth.simulations.audit.audit import LEAST_RUNS, Audited, audit_plan
from silosynth.simulations.audit.game import Runs


def register_audit(groups: dict[str, typer.Typer], *, run: Runs) -> None:
    """Add the command to the group ``audit``; ``run`` runs a plan on tables."""
    help_text = "Check a promise from outside."
    group = groups.setdefault("audit", typer.Typer(help=help_text, no_args_is_help=True))

    def audit_command(
        path: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan to audit.")],
        runs: Annotated[
            int, typer.Option(min=LEAST_RUNS, max=1_000_000, help="Each of 16 games.")
        ] = 300,
        gate: GateFile = None,
        as_json: Json = False,
    ) -> None:
        """Attack runs of a plan's method, promise and trust, and bound epsilon from below.

        Made-up people stand in for rows: no data is needed and nothing is spent. Fails where more
        was learnt than the ledgers were charged.

        [dim]silosynth audit plan plan.yaml --runs 300[/dim]
        """
        plan, limits = load_plan(path), read_gate(gate)
        with bars("runs") as shown:
            show = partial(_advance, shown, shown.add_task("audit", total=runs))
            audited = audit_plan(plan, run=run, runs=runs, progress=show)
        show_audited(plan, audited)
        missed = hold_bars(limits, _measures(audited))
        emit({**audited_facts(plan, audited), "missed": missed}, as_json=as_json)
        require_kept(plan, audited)
        end_missed(missed)

    group.command("plan")(audit_command)


def _measures(audited: Audited) -> list[Measure]:
    """Return what an audit found, for a gate."""
    found = {
        "epsilon_at_least": audited.law(audited.low),
        "epsilon_at_least_if_normal": audited.law(audited.normal_low),
        "mu": audited.mu,
        "z": audited.z,
    }
    return [
        Measure(axis=Axis.PRIVACY, name=name, value=value, better=Better.LOW)
        for name, value in found.items()
    ]


def _advance(shown: Progress, task: TaskID, done: int) -> None:
    shown.update(task, completed=done)


_MADE_UP = {
    False: "a made-up table",
    True: "made-up families, of whom one is in or out with all its rows",
}


def require_kept(plan: Plan, audited: Audited) -> None:
    """Raise RunFailed where a promise was found broken."""
    if audited.broken:
        learnt = max(audited.mu, audited.reach)
        raise RunFailed(
            f"an attacker learns mu {learnt:.3f} where ledgers were charged {audited.charged:.3f}, "
            f"those whom he knows lie {abs(audited.shift):.1f} standard errors from where they "
            f"are, and noise is {max(0.0, audited.quiet):.1f} below what is said: "
            f"the promise of plan {plan.id} is broken here",
            hint="spend nothing with this installation, and report it",
        )


def show_audited(plan: Plan, audited: Audited) -> None:
    """Show what was promised beside what was found."""
    found = f"{audited.mu:.3f} +- {audited.error:.3f}"
    lines = (
        ("charged", audited.charged, f"{audited.charged:.3f}"),
        ("found, +- a standard error", audited.mu, found),
        ("no less, of normal scores, 95 %", audited.normal_low, f"{audited.normal_low:.3f}"),
        ("no less, by counts alone, 95 %", audited.low, f"{audited.low:.3f}"),
    )
    rows = [("promised", f"{plan.privacy.epsilon:.3g}", "-")]
    rows += [(what, f"{audited.law(mu):.3g}", text) for what, mu, text in lines]
    show_table(f"what {audited.samples:,} games showed", ("", "epsilon", "mu"), rows)
    say(
        "An attacker who knows all others looked for one person in whatever left the silos. "
        f"What was found lies {abs(audited.z):.1f} standard errors "
        f"{'above' if audited.z > 0 else 'below'} what the ledgers were charged."
    )
    say(
        f"The games are played on {_MADE_UP[plan.chosen.several_tables]}: they try this "
        "installation's code with this plan's method, promise and trust, not its marginals."
    )


def audited_facts(plan: Plan, audited: Audited) -> dict[str, object]:
    """Return what a script wants to know."""
    delta = plan.privacy.delta
    return {
        "version": 1,
        "plan_id": plan.id,
        "epsilon": plan.privacy.epsilon,
        "delta": delta,
        "games": audited.samples,
        "mu": {
            "charged": audited.charged,
            "reachable": audited.reach,
            "found": audited.mu,
            "standard_error": audited.error,
            "at_least": audited.low,
            "at_least_if_normal": audited.normal_low,
        },
        "epsilon_at_least": audited.law(audited.low),
        "epsilon_at_least_if_normal": audited.law(audited.normal_low),
        "z": audited.z,
        "broken": audited.broken,
    }
