"""What commands print: text for people on stderr, one JSON envelope for scripts on stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from silosynth.common.envelope import envelope, fault, fault_envelope
from silosynth.common.errors import SilosynthError
from silosynth.common.telemetry import log, logs_json

Json = Annotated[bool, typer.Option("--json", help="Print one JSON envelope on stdout.")]
Force = Annotated[bool, typer.Option("--force", help="Write over files that are there.")]

people = Console(stderr=True, highlight=False, soft_wrap=True)


def bars(unit: str) -> Progress:
    """Return bars for a person: of what, how far, of how many ``unit``, and since when."""
    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=people,
    )


def emit(data: Mapping[str, Any], *, as_json: bool) -> None:
    """Print the envelope of a command that went well, if ``as_json``."""
    if as_json:
        _print_envelope(envelope(data))


def emit_error(error: SilosynthError, *, as_json: bool) -> None:
    """Print an error: one line with its remedy, and the envelope if ``as_json``."""
    if logs_json():
        log("error", level=logging.ERROR, **fault(error))
    else:
        _print_error(error)
    if as_json:
        _print_envelope(fault_envelope(error))


def _print_error(error: SilosynthError) -> None:
    """Print an error for a person."""
    line = Text("error: ", style="bold red")
    line.append(error.message, style="default not bold")
    if error.hint:
        line.append(f"; {error.hint}", style="not bold")
    people.print(line)


def say(text: str) -> None:
    """Tell a person one line, or who reads the log, where that is all that is printed."""
    if logs_json():
        log("said", text=text)
    else:
        people.print(Text(text))


def show_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: bool = True
) -> None:
    """Show a table; the columns after the first are aligned right when they hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i and numbers else "left", header_style="dim")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    people.print(table)


def _print_envelope(whole: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(whole, ensure_ascii=False) + "\n")
