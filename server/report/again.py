"""A run's directory read again: what left the silos, what it cost, and what comes of it.

Everything here is post-processing of releases: nothing is asked and nothing is spent.
"""

from __future__ import annotations

from pathlib import Path

from silosynth.common.attacks import Known
from silosynth.common.evaluate import Opened, again_measure, run_measures
from silosynth.common.plan import Plan, load_plan
from silosynth.common.report import Measure
from silosynth.common.sampler import (
    AnySampler,
    Sampler,
    coded_schema,
    dump_sampler,
    load_sampler,
)
from silosynth.common.schema import load_schema
from silosynth.server.coordinator import finish
from silosynth.server.driver import RunCost, read_cost, read_state

_PLAN, _SCHEMA, _SAMPLER, _ANSWERS = "plan.yaml", "schema.yaml", "result.sampler", "answers"
# What a person writes for every plan; everything else follows from these or has a default.
_ALWAYS = ("silos", "epsilon", "delta")
_CHOICES = (
    "trust",
    "colluders",
    "absent",
    "attempts",
    "workload",
    "weights",
    "lacks",
    "on_absent",
    "deadline_seconds",
    "approval_seconds",
    "max_model_mb",
    "dataset",
    "project",
)


def open_run(directory: Path) -> Opened | None:
    """Return what a run's directory tells, a simulation's or a coordinator's; None of another.

    The sampler is made again from the journal alone, unless a network would have to be trained.
    """
    if not all((directory / name).is_file() for name in (_PLAN, _SCHEMA, _SAMPLER)):
        return None
    plan, schema = load_plan(directory / _PLAN), load_schema(directory / _SCHEMA)
    state = read_state(directory, plan=plan, schema=schema)
    kept = load_sampler(directory / _SAMPLER)
    coded = kept if isinstance(kept, Sampler) else None
    known = Known(
        schema=state.coded if coded is None else coded_schema(schema, coded.spreads),
        sampler=coded,
        releases=tuple(m for measured in state.measured().values() for m in measured),
    )
    again = [] if coded is None else [same_bytes(finish(state).sampler, directory)]
    return Opened(known=known, reuse=(*again, *run_costs(directory, plan)))


def fields_set(plan: Plan) -> int:
    """Return how many fields of a plan a person had to set: what is not a default of its kind."""
    fields = type(plan).model_fields
    chosen = sum(
        bool(getattr(plan, name) != fields[name].get_default(call_default_factory=True))
        for name in _CHOICES
    )
    return len(_ALWAYS) + chosen + (plan.privacy.rows_per_person != 1)


def same_bytes(sampler: AnySampler, directory: Path) -> Measure:
    """Compare a sampler that was made again from releases with the one that the run wrote."""
    return again_measure(dump_sampler(sampler) == (directory / _SAMPLER).read_bytes())


def run_costs(directory: Path, plan: Plan) -> list[Measure]:
    """Return what a run cost: time, memory, bytes, and what a person had to write."""
    answers = sum(p.stat().st_size for p in (directory / _ANSWERS).glob("*"))
    found = {
        "fields of the plan that a person set": float(fields_set(plan)),
        "bytes that a silo sent, in the mean": answers / len(plan.silos),
    }
    cost = read_cost(directory)
    return run_measures(found if cost is None else {**_cost(cost), **found})


def _cost(cost: RunCost) -> dict[str, float]:
    return {
        "seconds that the run took": cost.wall_seconds,
        "seconds of processor time that it took its coordinator": cost.cpu_seconds,
        "megabytes that its coordinator held at most": cost.peak_mb,
    }
