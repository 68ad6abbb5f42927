"""The command that holds a delivered sampler against a silo's own rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.options import POLICY, PolicyPath
from silosynth.client.policy import load_policy
from silosynth.client.silo import find_result, own_rows, own_table
from silosynth.common.cli import Force, Json, JudgeFlags, hand_out, open_bars, say, with_flags


def register_judging(groups: dict[str, typer.Typer]) -> None:
    """Add the command to the group ``silo``."""
    groups["silo"].command("evaluate")(with_flags(silo_evaluate, {"by": [JudgeFlags]}))


def silo_evaluate(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT", help="A delivered sampler, its folder, or its plan's digest."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write report.html and report.json.")],
    by: tuple[JudgeFlags],
    policy: PolicyPath = POLICY,
    dataset: Annotated[
        str | None, typer.Option(help="Which of the policy's tables; not needed for one.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """How well does a delivered sampler represent this silo? Its own rows against it, exactly.

    It charges nothing and sends nothing, and may run beside a gateway. The report is
    [bold]not[/bold] differentially private: it must stay where the rows are.

    [dim]silosynth silo evaluate result.sampler --policy silo.toml --target income --out own/[/dim]
    """
    from silosynth.common.evaluate import Wish, evaluate_rows  # scikit-learn is in an extra
    from silosynth.common.scores import MOST_ROWS, sample_batches

    flags, file = by[0], load_policy(policy)
    bars, audit = open_bars(flags, out=out, force=force)
    sampler, own = find_result(file, result), own_table(file, dataset)
    own.check_drawn_by(sampler)
    say(f"reading data set {own.section.name}")
    rows = sample_batches(own_rows(file, own), seed=flags.seed, most=MOST_ROWS)
    facts = evaluate_rows(
        sampler,
        rows=rows,
        origin=f"data set {own.section.name!r}",
        control=flags.control,
        wish=Wish(targets=flags.target or (), groups=flags.group or (), attack=flags.attack),
        audit=audit,
        lacks=own.lacks,
        seed=flags.seed,
        tell=say,
    )
    hand_out(facts, bars=bars, out=out, force=force, as_json=as_json)
