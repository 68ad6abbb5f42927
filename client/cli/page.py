"""The command that shows a silo's page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silosynth.client.cli.options import POLICY, PolicyPath
from silosynth.client.policy import load_policy
from silosynth.common.cli import with_flags
from silosynth.common.errors import InvalidArgument
from silosynth.common.page import PageFlags, open_page

SITE = "silosynth.client.page.site"
PORT = 9481


def silo_page(
    where: tuple[PageFlags],
    policy: PolicyPath = POLICY,
    decide: Annotated[
        bool,
        typer.Option("--decide", help="Let who has the code that is shown decide as this user."),
    ] = False,
    evaluation: Annotated[
        Path | None, typer.Option(help="A directory of 'silo evaluate', to be shown as well.")
    ] = None,
) -> None:
    """Show the silo's page in a browser: what waits, what was spent, and all that ever left.

    It asks the running gateway, as 'silo pending' does, and has to be run by the same user. It
    decides nothing unless its reader has an approver's signature, or the code that --decide shows.

    [dim]silosynth silo page --policy silo.toml[/dim]
    """
    load_policy(policy)
    if evaluation is not None and not evaluation.is_dir():
        raise InvalidArgument(f"{evaluation} is no directory", hint="make it by 'silo evaluate'")
    arguments = {"policy": str(policy.absolute())}
    if evaluation is not None:
        arguments["evaluation"] = str(evaluation.absolute())
    open_page(where[0], port=PORT, site=SITE, arguments=arguments, decides=decide)


def register_page(groups: dict[str, typer.Typer]) -> None:
    """Add the command to the group ``silo``."""
    groups["silo"].command("page")(with_flags(silo_page, {"where": (PageFlags,)}))
