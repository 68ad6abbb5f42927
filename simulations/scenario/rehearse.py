"""Run a plan through a scenario in virtual time, with the real coordinator and real gateways."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pyarrow as pa

from silosynth.common.errors import InvalidArgument
from silosynth.common.plan import Plan, check_budget, check_plan
from silosynth.common.schema import Schema
from silosynth.common.trust import SigningKey
from silosynth.server.driver import Progress
from silosynth.server.methods import require_generators
from silosynth.simulations.scenario.coordinator import Run
from silosynth.simulations.scenario.engine import VirtualTime
from silosynth.simulations.scenario.federation import COORDINATOR, Federation, with_roster
from silosynth.simulations.scenario.invariants import faults, liars_of, summed_of
from silosynth.simulations.scenario.member import Member, RequestBits, RowsOf
from silosynth.simulations.scenario.outcome import (
    Rehearsal,
    claim,
    live_otherwise,
    write,
)
from silosynth.simulations.scenario.timeline import Timeline
from silosynth.simulations.world import (
    CoordinatorCrash,
    Place,
    Scenario,
    check_rules,
    make_places,
    match_plan,
    skew_tables,
)

Keys = Mapping[str, SigningKey]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seams:
    """For tests: the keys of all silos and of the coordinator, and each silo's bits."""

    keys: Keys | None = None
    bits: Mapping[str, RequestBits] | None = None


class Lives(Protocol):
    """What lives through a scenario with a plan, on the silos' tables as they are."""

    def __call__(
        self,
        plan: Plan,
        *,
        schema: Schema,
        tables: Mapping[str, pa.Table],
        scenario: Scenario,
        directory: Path,
        rows: RowsOf,
        progress: Callable[[Progress], None] = ...,
        tell: Callable[[str], None] = ...,
    ) -> Rehearsal:
        """Return what came of it; an error that ended the run is part of it."""


def rehearse(
    plan: Plan,
    *,
    schema: Schema,
    tables: Mapping[str, pa.Table],
    scenario: Scenario,
    directory: Path,
    rows: RowsOf | None = None,
    otherwise: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
    lives: Lives | None = None,
    seams: Seams | None = None,
) -> Rehearsal:
    """Live through a scenario and write sampler, certificate, timeline and picture.

    An error that ends the run is part of what is returned. By the virtual clock nothing sleeps:
    the real time is that of the silos' and the coordinator's work.

    Args:
        tables: one a silo, before the scenario's skew.
        rows: how they are read; as the schema says it by default.
        otherwise: live through it again with each of the plan's ways with absent silos otherwise.
        lives: by which clock; by the virtual one by default.
    Raises InvalidPlan, InvalidArgument or PlanRefused before anything is spent.
    """
    _check(plan, schema=schema, tables=tables, scenario=scenario)
    skewed = skew_tables({s: tables[s] for s in plan.silos}, scenario.skew, seed=scenario.seed)
    live = partial(
        lives or partial(_live, seams=seams or Seams()),
        schema=schema,
        tables=skewed,
        scenario=scenario,
        rows=rows or RowsOf(),
    )
    result = live(plan, directory=directory, progress=progress, tell=tell)
    if otherwise:
        result = replace(result, otherwise=live_otherwise(plan, live=partial(_aside, live)))
    write(directory, result, scenario=scenario)
    return result


def _check(
    plan: Plan, *, schema: Schema, tables: Mapping[str, pa.Table], scenario: Scenario
) -> None:
    """Raise what speaks against a rehearsal before anything is spent."""
    match_plan(scenario, plan)
    check_rules(scenario, plan)
    check_plan(plan, schema)
    check_budget(plan)
    require_generators(plan)
    if missing := [s for s in plan.silos if s not in tables]:
        raise InvalidArgument(f"silo {missing[0]!r} has no table", hint="give one table a silo")


def _aside(live: Callable[..., Rehearsal], plan: Plan) -> dict[str, Any]:
    """Return the facts of a run of which nothing is kept."""
    with TemporaryDirectory(prefix="silosynth-otherwise-") as folder:
        return live(plan, directory=Path(folder) / "run").facts()


def _live(
    plan: Plan,
    *,
    schema: Schema,
    tables: Mapping[str, pa.Table],
    scenario: Scenario,
    directory: Path,
    rows: RowsOf,
    seams: Seams,
    progress: Callable[[Progress], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> Rehearsal:
    """Live through a scenario on the silos' tables as they are."""
    keys = seams.keys or {s: SigningKey.generate() for s in (*plan.silos, COORDINATOR)}
    signed = with_roster(plan, keys)
    claim(directory, plan=plan, schema=schema)
    places = make_places(scenario, plan.silos)
    clock = _Clock()
    members = {
        silo: Member(
            name=silo,
            key=keys[silo],
            table=tables[silo],
            directory=directory / "silos" / silo,
            person=places[silo].approval.by == "person",
            lie=places[silo].lie,
            bits=None if seams.bits is None else seams.bits[silo],
            now=clock.of(places[silo]),
            silo_map=rows.map_of(silo, plan),
        )
        for silo in plan.silos
    }
    timeline = Timeline(homes=scenario.homes())
    key = keys[COORDINATOR]
    with Federation(signed, schema, members=members, key=key, rows=rows) as federation:
        engine = clock.engine = VirtualTime(
            signed,
            federation=federation,
            places=places,
            timeline=timeline,
            crashes=[f for f in scenario.faults if isinstance(f, CoordinatorCrash)],
        )
        run = Run(plan=signed, schema=schema, directory=directory, way=engine)
        error = run.to_end(key=key, progress=progress, tell=tell)
        engine.over()
        state = run.state()
        broken = faults(
            signed,
            ledger=federation.ledger,
            left=engine.left,
            conflicts=engine.conflicts,
            state=state if error is None else None,
            liars=liars_of(places),
            summed=summed_of(scenario, places),
        )
    return Rehearsal.of(
        plan,
        timeline=timeline,
        places=places,
        broken=broken,
        state=state,
        error=error,
        directory=directory,
        told={s: m.told for s, m in members.items()},
    )


class _Clock:
    """Own the way from a silo's clock to the engine, which is made after the silos."""

    engine: VirtualTime | None = None

    def of(self, place: Place) -> Callable[[], datetime]:
        """Return a silo's clock."""
        return lambda: place.time(self.engine.now if self.engine else 0)
