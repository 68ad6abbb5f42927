"""The command line: composed from what each installed part registers, and its common commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points, version
from typing import Annotated

import click
import typer
from rich.markup import escape

from silosynth.common.cli.certificate import certificate_check, certificate_statistical
from silosynth.common.cli.checkpoint import checkpoint
from silosynth.common.cli.console import (
    emit_error,
    say,
)
from silosynth.common.cli.evaluate import evaluate_command
from silosynth.common.cli.plan import plan_check
from silosynth.common.cli.released.compare import compare_command
from silosynth.common.cli.released.estimate import estimate_command
from silosynth.common.cli.review import schema_accept, schema_review
from silosynth.common.cli.sampler import inspect, sample
from silosynth.common.cli.schemas import schema_check, schema_import, schema_json_schema
from silosynth.common.errors import EXIT_BUG, InvalidArgument, SilosynthError
from silosynth.common.files import storage_error
from silosynth.common.reach import past_proxies

EXIT_STOPPED = 1
_TYPER_INTERRUPTED = 130
_HELP = """Synthetic data from several silos, with a privacy guarantee that holds.

A schema says publicly what the columns are. A plan says what is asked of each silo, at which noise. Silos answer with noised counts. A sampler draws the synthetic table.

\b
  silosynth schema import data.json --out schema.yaml
  silosynth plan new schema.yaml --epsilon 1 --delta 1e-6 \\
      --silos north,south --out plan.yaml
  silosynth plan show plan.yaml --schema schema.yaml
  silosynth simulate plan.yaml --schema schema.yaml \\
      --silos tables/ --out run/
  silosynth sample run/result.sampler --rows 10000 --seed 1 \\
      --out synthetic.parquet
"""  # noqa: E501

Groups = dict[str, typer.Typer]
_EXTRAS = {"client": "silo", "server": "coordinator", "simulations": "simulation"}
"""The extra that brings the packages of each part."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with the code that the outcome calls for."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.update(past_proxies(os.environ))
    words = list(sys.argv[1:] if arguments is None else arguments)
    code = run(words)
    if code:
        # What matters is on disk by now, and an engine's threads could wait for minutes.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(words: Sequence[str]) -> int:
    """Run one command and return its exit code; no traceback reaches a person."""
    as_json = "--json" in words
    try:
        result = build_app()(args=list(words), prog_name="silosynth", standalone_mode=False)
    except SilosynthError as err:
        emit_error(err, as_json=as_json)
        return err.exit_code
    except click.ClickException as err:
        emit_error(_usage_error(err), as_json=as_json)
        return InvalidArgument.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _stopped()
    except Exception as err:
        if os.environ.get("SILOSYNTH_DEBUG"):
            raise
        if isinstance(err, ModuleNotFoundError) and not _is_ours(err):
            emit_error(_not_installed(err), as_json=as_json)
            return InvalidArgument.exit_code
        failure = storage_error(err) if isinstance(err, OSError) else None
        emit_error(failure or _bug(err), as_json=as_json)
        return failure.exit_code if failure else EXIT_BUG
    if result == _TYPER_INTERRUPTED:
        return _stopped()
    return result if isinstance(result, int) else 0


def build_app() -> typer.Typer:
    """Compose the commands of every part whose packages are installed."""
    found, absent = _parts()
    app = typer.Typer(
        help=_HELP,
        epilog=escape(_spell_absent(absent)) or None,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        add_completion=True,
    )
    groups: Groups = {
        "schema": typer.Typer(help="Describe a table publicly.", no_args_is_help=True),
        "plan": typer.Typer(help="Say what is asked of each silo.", no_args_is_help=True),
        "certificate": typer.Typer(help="Check a privacy statement.", no_args_is_help=True),
    }
    app.callback()(_global_options)
    for register_part in found:
        register_part(app, groups)
    for name, group in groups.items():
        app.add_typer(group, name=name)
    return app


def _parts() -> tuple[list[Callable[[typer.Typer, Groups], None]], list[str]]:
    """Return what registers each part, and the extras of parts that are not installed whole.

    The wheel holds every part; a silo installs the packages of its own part alone.
    """
    found, absent = [], []
    for entry in sorted(entry_points(group="silosynth.commands"), key=lambda e: e.name):
        try:
            found.append(entry.load())
        except ModuleNotFoundError as err:
            if entry.name not in _EXTRAS or _is_ours(err):
                raise
            absent.append(_EXTRAS[entry.name])
    return found, absent


def _spell_absent(absent: Sequence[str]) -> str:
    """Say which commands are missing, and how to get them."""
    return "; ".join(
        f"the commands of the {extra} are not installed: pip install 'silosynth[{extra}]'"
        for extra in absent
    )


def register(app: typer.Typer, groups: Groups) -> None:
    """Add the commands that every installation has."""
    groups["schema"].command("check")(schema_check)
    groups["schema"].command("review")(schema_review)
    groups["schema"].command("accept")(schema_accept)
    groups["schema"].command("import")(schema_import)
    groups["schema"].command("json-schema")(schema_json_schema)
    groups["plan"].command("check")(plan_check)
    groups["certificate"].command("check")(certificate_check)
    groups["certificate"].command("statistical")(certificate_statistical)
    app.command("sample")(sample)
    app.command("inspect")(inspect)
    app.command("evaluate")(evaluate_command())
    app.command("estimate")(estimate_command)
    app.command("compare")(compare_command)
    app.command("checkpoint")(checkpoint)


def _show_version(asked: bool) -> None:
    """Print the version and stop, if asked."""
    if asked:
        sys.stdout.write(f"silosynth {version('silosynth')}\n")
        raise typer.Exit


def _global_options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and stop.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def _stopped() -> int:
    """Say that a command was stopped by its user."""
    say("stopped; what was written and charged is kept, and the same command goes on from it")
    return EXIT_STOPPED


def _usage_error(err: click.ClickException) -> InvalidArgument:
    """Return a usage error of the command line as ours."""
    path = err.ctx.command_path if isinstance(err, click.UsageError) and err.ctx else "silosynth"
    hint = f"see '{path} --help'"
    if "No such command" in err.format_message():
        hint = "; ".join(filter(None, (hint, _spell_absent(_parts()[1]))))
    return InvalidArgument(err.format_message().rstrip("."), hint=hint)


def _is_ours(err: ModuleNotFoundError) -> bool:
    """Say whether a module is missing that the wheel should hold."""
    return (err.name or "").partition(".")[0] == "silosynth"


def _not_installed(err: ModuleNotFoundError) -> InvalidArgument:
    """Return the error of a command whose packages are in an extra that was left out."""
    extras = ", ".join(f"silosynth[{extra}]" for extra in (*_EXTRAS.values(), "evaluate"))
    return InvalidArgument(
        f"this command needs {err.name}, which is not installed", hint=f"it comes with {extras}"
    )


def _bug(err: Exception) -> SilosynthError:
    """Return an unexpected error as one line that holds no data value."""
    return SilosynthError(
        f"unexpected {type(err).__name__}; this is our bug",
        hint="set SILOSYNTH_DEBUG=1 to see where, and please report it",
    )
