"""One run of a sweep: its plan, its world and its tables, and what came of them as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidArgument, SilosynthError
from silosynth.common.plan import OnAbsent, Plan
from silosynth.common.sampler import load_sampler
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema
from silosynth.common.scores import (
    all_cliques,
    fixed_cliques,
    marginal_distance,
    read_rows,
    some_rows,
)
from silosynth.server.planning import new_plan
from silosynth.simulations.scenario import Rehearsal
from silosynth.simulations.scenario.rehearse import rehearse
from silosynth.simulations.sweep.axes import Axis, AxisName, Point
from silosynth.simulations.world import Scenario, generator, parse_scenario

PAIRS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What every run of a sweep begins from. ``scenario`` is None for a calm world."""

    plan: Plan
    schema: Schema
    tables: Mapping[str, pa.Table] = field(repr=False)
    scenario: Scenario | None
    axes: tuple[Axis, ...]

    def pooled(self) -> pa.Table:
        """Return all rows: those that every run is held against."""
        tables = [self.tables[s] for s in self.plan.silos]
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()


def run_point(base: Base, point: Point, *, repeat: int) -> dict[str, Any]:
    """Live through one run and return its facts; an error that ends it is one of them.

    Shows how far the synthetic rows are from the real ones, which only a simulation can.
    """
    facts: dict[str, Any] = {"point": dict(point), "repeat": repeat}
    try:
        silos, tables = _deal(base, point, repeat=repeat)
        scenario = _world(base, point, silos=silos, repeat=repeat)
        plan = _plan(base, point, silos=silos)
        with TemporaryDirectory(prefix="silosynth-sweep-") as folder:
            came = rehearse(
                plan,
                schema=base.schema,
                tables=tables,
                scenario=scenario,
                directory=Path(folder) / "run",
            )
            return facts | _outcome(base, came, repeat=repeat)
    except SilosynthError as err:
        return facts | {"ended": err.code, "error": err.message}


def _deal(base: Base, point: Point, *, repeat: int) -> tuple[tuple[str, ...], dict[str, pa.Table]]:
    """Return the silos and their rows; another number of silos shares out all rows at random."""
    if AxisName.SILOS not in point:
        return base.plan.silos, dict(base.tables)
    count, pooled = int(point[AxisName.SILOS]), base.pooled()
    order = generator(repeat, "sweep").permutation(pooled.num_rows)
    silos = tuple(f"s{i + 1}" for i in range(count))
    parts = np.array_split(order, count)
    return silos, {
        s: pooled.take(pa.array(np.sort(part))) for s, part in zip(silos, parts, strict=True)
    }


def _world(base: Base, point: Point, *, silos: Sequence[str], repeat: int) -> Scenario:
    """Return the scenario with what is varied in it."""
    world = base.scenario
    data: dict[str, Any] = (
        {"name": "calm", "regions": {"all": {"silos": list(silos)}}}
        if world is None
        else world.model_dump(mode="json", by_alias=True)
    )
    data["seed"] = data.get("seed", 1) + repeat
    if AxisName.SILOS in point and world is not None:
        data["regions"] = _regions(world, data["regions"], silos=silos)
        data["between"] = [
            line for line in data["between"] if _is_left(line, data["regions"], world=world)
        ]
    if AxisName.DELAY in point:
        for region in data["regions"].values():
            region["link"] = region.get("link", {}) | {"delay": point[AxisName.DELAY]}
    if absent := int(point.get(AxisName.ABSENT, 0)):
        if absent >= len(silos):
            raise InvalidArgument(f"{absent} of {len(silos)} silos cannot be absent")
        gone = {"kind": "partition", "silos": list(silos[-absent:])}
        data["faults"] = [*data.get("faults", []), gone]
    if AxisName.SKEW in point:
        (column,) = (a.column for a in base.axes if a.name is AxisName.SKEW)
        skew = {"kind": "dirichlet", "column": column, "alpha": float(point[AxisName.SKEW])}
        data["skew"] = [*data.get("skew", []), skew]
    return parse_scenario(data, origin="sweep")


def _regions(
    world: Scenario, regions: Mapping[str, Any], *, silos: Sequence[str]
) -> dict[str, Any]:
    """Return the regions with the silos dealt out to them in turn; those without one are left."""
    if (
        world.silos
        or any(f.silos for f in world.faults if f.kind != "coordinator")
        or any(s.silos for s in world.skew)
    ):
        raise InvalidArgument(
            f"scenario {world.name} names silos, and the sweep varies their number",
            hint="name regions alone in it",
        )
    names = list(regions)
    dealt = {n: list(silos[i :: len(names)]) for i, n in enumerate(names)}
    return {n: regions[n] | {"silos": dealt[n]} for n in names if dealt[n]}


def _is_left(line: Mapping[str, Any], regions: Mapping[str, Any], *, world: Scenario) -> bool:
    """Say whether a line still leads to a region that has silos."""
    here = world.coordinator.region if world.coordinator else None
    return all(end == here or end in regions for end in line["regions"])


def _plan(base: Base, point: Point, *, silos: Sequence[str]) -> Plan:
    """Make the plan anew: its method, budget, trust and deadlines, but for what is varied."""
    first = base.plan
    trust = point.get(AxisName.TRUST, first.trust.value)
    missing = int(point.get(AxisName.ABSENT, first.absent))
    more: dict[str, Any] = {}
    if first.workload:
        more = {"workload": first.workload, "weights": first.weights}
    if trust == "shared":
        more |= {"absent": missing, "colluders": first.colluders, "attempts": first.attempts}
    goes_on = missing > 0 or (trust == "own" and first.on_absent is OnAbsent.CONTINUE)
    made = new_plan(
        base.schema,
        epsilon=float(point.get(AxisName.EPSILON, first.privacy.epsilon)),
        delta=first.privacy.delta,
        silos=silos,
        method=first.method,
        rows_per_person=first.privacy.rows_per_person,
        on_absent=OnAbsent.CONTINUE if goes_on else OnAbsent.STOP,
        plan_id="sweep",
        trust=trust,
        max_model_mb=first.max_model_mb,
        **more,
    )
    deadlines = {
        "deadline_seconds": first.deadline_seconds,
        "approval_seconds": first.approval_seconds,
        "dataset": first.dataset,
    }
    return Plan.model_validate(made.model_dump(mode="json") | deadlines)


def _outcome(base: Base, came: Rehearsal, *, repeat: int) -> dict[str, Any]:
    """Return a run's numbers: distances are means of total variation, 0 for the same table."""
    facts = came.timeline.facts()
    found: dict[str, Any] = {
        "ended": "completed" if came.error is None else came.error.code,
        "error": None if came.error is None else came.error.message,
        "silos": len(came.plan.silos),
        "took_part": len(came.state.silos),
        "epsilon": came.plan.privacy.epsilon,
        "virtual_seconds": facts["virtual_seconds"],
        "bytes": sum(n["to_silos"] + n["from_silos"] for n in facts["bytes"].values()),
        "invariants_held": not came.broken,
    }
    if came.sampler is None:
        return found
    return found | _distances(base, came.sampler, repeat=repeat)


def _distances(base: Base, sampler: Path, *, repeat: int) -> dict[str, float]:
    """Return the mean distance of single columns and of pairs from all real rows."""
    codec = Codec(base.schema)
    real = some_rows(base.pooled(), seed=1)
    drawn = draw(load_sampler(sampler), rows=real.num_rows, seed=1 + repeat)
    domain = codec.domain
    sides = [read_rows(t, codec=codec, origin=o).codes for t, o in ((real, "real"), (drawn, "new"))]
    found = {}
    for ways, cliques in (
        (1, all_cliques(domain, 1)),
        (2, fixed_cliques(domain, 2, count=PAIRS, seed=1)),
    ):
        if cliques:
            distance = marginal_distance(sides[0], sides[1], domain=domain, cliques=cliques)
            found[f"distance_{ways}"] = float(distance.mean())
    return found
