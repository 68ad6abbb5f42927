"""The command that shows the coordinator's page."""

from __future__ import annotations

import typer

from silosynth.common.cli import with_flags
from silosynth.common.page import PageFlags, open_page
from silosynth.server.federation import home

SITE = "silosynth.server.page.site"
PORT = 9480


def page(where: tuple[PageFlags]) -> None:
    """Show the runs of this coordinator in a browser: as they go, and what came of them.

    It reads $SILOSYNTH_HOME and begins, stops and decides nothing.

    [dim]silosynth page[/dim]
    """
    open_page(where[0], port=PORT, site=SITE, arguments={"home": str(home().absolute())})


def register_page(app: typer.Typer) -> None:
    """Add the command."""
    app.command("page")(with_flags(page, {"where": (PageFlags,)}))
