"""What ``simulate`` does in a world: a scenario by either clock, or a sweep; and its flags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pyarrow as pa
import typer

from silosynth.client.maps import SiloMap
from silosynth.common.cli import say
from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from silosynth.server.driver import Progress
from silosynth.simulations.scenario import RowsOf, simulate_scenario
from silosynth.simulations.sweep import simulate_sweep

if TYPE_CHECKING:
    from silosynth.simulations.real_time.live import Once


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFlags:
    """What a simulation says of its silos' rows."""

    person_column: Annotated[
        str | None,
        typer.Option(
            help="The column that names persons, as in a policy; each row is one without."
        ),
    ] = None
    rows_per_person: Annotated[
        int | None,
        typer.Option(min=1, help="The most rows of a person that count; the plan's by default."),
    ] = None
    accept_misfits: Annotated[
        bool,
        typer.Option(
            "--anyway", "--accept-misfits", help="Go on where hardly anything of a column fits."
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFlags:
    """What a simulation says of the world that it runs in, and what of it varies."""

    scenario: Annotated[
        Path | None,
        typer.Option(help="A world to run in, by a virtual clock: delays, outages, people, rules."),
    ] = None
    real_time: Annotated[
        bool,
        typer.Option(
            "--real-time",
            help="With --scenario: over Flower, with a SuperLink and each silo's line, relay and "
            "gateway as processes, by the clock on the wall.",
        ),
    ] = False
    otherwise: Annotated[
        bool,
        typer.Option(
            "--otherwise",
            help="With --scenario: live through it again with each deadline, on_absent, absent and "
            "attempts otherwise, and show what they bought.",
        ),
    ] = False
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="Vary silos, skew.COLUMN, epsilon, trust, absent or delay: epsilon=0.5,1,2. "
            "Once or twice."
        ),
    ] = None
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each point of a sweep.")] = 1
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Run a sweep, or place the silos of --real-time, on a Ray cluster: HOST:PORT, or "
            "'local'; on this machine without it."
        ),
    ] = None

    @property
    def asked(self) -> bool:
        """Say whether any of them is given, whether or not it goes with the others."""
        return bool(
            self.scenario
            or self.sweep
            or self.real_time
            or self.otherwise
            or self.cluster is not None
            or self.repeat > 1
        )


def live_in_world(
    plan: Plan,
    schema: Schema,
    *,
    tables: dict[str, pa.Table],
    maps: Mapping[str, SiloMap],
    of_rows: RowFlags,
    around: WorldFlags,
    programs: tuple[Path | None, ...],
    out: Path,
    force: bool,
    bars: Callable[[], AbstractContextManager[Callable[[Progress], None]]],
    as_json: bool,
) -> None:
    """Live through a scenario, or run a sweep, and show what came of it.

    Args: bars: show how far a run is. programs: what a plan names beside its silos.
    Raises InvalidArgument for flags that do not go together, and the error that ended a run.
    """
    _check(around)
    persons, bound = of_rows.person_column, of_rows.rows_per_person
    if around.sweep:
        _refuse_options(*programs, persons, bound, maps or None)
        simulate_sweep(
            plan,
            schema,
            tables=tables,
            asked=around.sweep,
            scenario=around.scenario,
            out=out,
            repeats=around.repeat,
            cluster=around.cluster,
            force=force,
            as_json=as_json,
        )
    elif around.scenario is not None:
        _refuse_options(*programs)
        with bars() as progress:
            simulate_scenario(
                plan,
                schema,
                tables=tables,
                scenario=around.scenario,
                rows=RowsOf(maps=maps, person_column=persons, rows_per_person=bound),
                otherwise=around.otherwise,
                lives=_lives(around),
                out=out,
                force=force,
                progress=progress,
                as_json=as_json,
            )


def _lives(around: WorldFlags) -> Once | None:
    """Return what lives through scenarios in real time; nothing by the virtual clock."""
    if not around.real_time:
        return None
    from silosynth.simulations.real_time.live import Once  # Flower takes half a second to import

    return Once(cluster=around.cluster, tell=say)


def _check(around: WorldFlags) -> None:
    """Raise InvalidArgument for flags of a world that do not go together."""
    if around.real_time and (around.scenario is None or around.sweep or around.otherwise):
        raise InvalidArgument(
            "--real-time goes with --scenario alone",
            hint="a sweep and --otherwise live through many runs, by the virtual clock",
        )
    if around.otherwise and (around.scenario is None or around.sweep):
        raise InvalidArgument(
            "--otherwise goes with --scenario, and not with --sweep",
            hint="a sweep varies what it is told to: leave --otherwise out",
        )
    if around.cluster is not None and not (around.sweep or around.real_time):
        raise InvalidArgument(
            "--cluster goes with --sweep or --real-time", hint="all else runs on this machine"
        )
    if around.repeat > 1 and not around.sweep:
        raise InvalidArgument("--repeat goes with --sweep", hint="a scenario is lived through once")


def _refuse_options(*options: object) -> None:
    """Raise InvalidArgument for what a scenario cannot do."""
    if any(option is not None for option in options):
        raise InvalidArgument(
            "a scenario takes no checkpoint and no generator, a sweep neither, nor persons or maps",
            hint="leave these options out",
        )
