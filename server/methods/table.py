"""The table of all methods, and what a person may choose of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from fractions import Fraction
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypedDict

from silosynth.common.domain import Clique
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.measurement import MarginalQuery
from silosynth.common.plan import MEMBERS, Method, PhaseName, Plan
from silosynth.server.methods.method import Known, Options, Outcome, Question, Recipe, Wanted
from silosynth.server.methods.training import TrainingChoice

_places = {
    Method.AIM: "aim.aim",
    Method.DP_SGD: "dp_sgd",
    Method.ONE_SHOT: "vectors.one_shot",
    Method.PROJECTION: "vectors.projection",
    Method.CENTRAL: "vectors.central",
    Method.VOTES: "vectors.votes",
}
"""Where the module of a method is, which is else that of its name."""


def _recipe(method: Method) -> Recipe:
    """Return what stands in the module of a method's name."""
    module = import_module(f"silosynth.server.methods.{_places.get(method, method.value)}")
    recipe: Recipe = module.RECIPE
    return recipe


METHODS: Mapping[Method, Recipe] = {
    method: _recipe(method)
    for method, member in MEMBERS.items()
    if not member.several_tables and not member.evaluates
}
"""By name: a plan's methods are listed in common/plan, and each has a module here.

That of several tables is asked and fitted otherwise, see :mod:`silosynth.server.families`."""


class Choices(TypedDict, total=False):
    """What may be chosen of methods, by name; each takes what is its own."""

    workload: Sequence[Clique]
    weights: Sequence[int]
    alone: Fraction | None
    rounds: int
    frequencies: int | None
    order: int
    dimensions: int | None
    candidates: int | None
    vote_rounds: int
    alphabet: str
    embedding: str | None
    training: TrainingChoice | None


def read_method(name: Method | str) -> Method:
    """Read a method by name; raise InvalidPlan when there is none."""
    try:
        return Method(name)
    except ValueError:
        names = ", ".join(m.value for m in METHODS)
        raise InvalidPlan(f"method {str(name)!r} is not known", hint=f"use {names}") from None


def options_of(method: Method, choices: Mapping[str, Any]) -> Options:
    """Return a method's options from what was chosen; the rest is other methods'."""
    kind = METHODS[method].options
    own = {f.name for f in fields(kind)}  # type: ignore[arg-type]  # options are dataclasses
    return kind(**{n: v for n, v in choices.items() if n in own and v is not None})


def ask_phase(phase: PhaseName, known: Known) -> Question:
    """Return what ``phase`` asks, given the measurements of the phases before it."""
    if phase is PhaseName.ONE_WAY:
        apart = known.plan.central is not None or known.plan.votes is not None
        pixels = known.schema.images if apart else ()
        summed = {name for image in pixels for name in image.attributes}
        coded = [a for a in known.schema.coded if a.name not in summed]
        return Question(queries=tuple(MarginalQuery(clique=(a.name,)) for a in coded))
    if phase is PhaseName.EVALUATION:
        return Question(queries=(MarginalQuery(clique=known.schema.domain.attributes),))
    return METHODS[known.plan.method].ask(phase, known)


def wanted_candidates(phase: PhaseName, known: Known) -> Wanted | None:
    """Return the candidates that have to be made before ``phase`` is asked; None where none are."""
    recipe = METHODS.get(known.plan.method)
    return None if recipe is None else recipe.wants(phase, known)


def finish_run(known: Known) -> Outcome:
    """Return what a run hands out, post-processing of its releases alone."""
    return METHODS[known.plan.method].finish(known)


def describe_plan(plan: Plan) -> Iterator[str]:
    """Say in lines what a plan's table of phases does not: of its method, and of its series."""
    recipe, asked, series = METHODS.get(plan.method), plan.evaluation, plan.series
    if recipe is not None:
        yield from recipe.describe(plan)
    elif asked is not None:
        whom = "everybody is" if plan.chosen.everybody else "those who were held out are"
        yield (
            f"{whom} held against sampler {asked.sampler} of plan {asked.trained}, in one vector; "
            "each silo works out again what that follows from"
        )
    if plan.renews is not None:
        yield f"what is not measured is taken from sampler {plan.renews.sampler}, at no cost"
    if series is not None:
        which = "the template" if series.epoch is None else f"epoch {series.epoch}"
        yield (
            f"{which} of series {series.name}, {series.epochs} epochs from {series.first} on, one "
            f"every {series.days} days, approved once under {plan.decided}"
        )


def require_generators(plan: Plan) -> None:
    """Raise RunFailed when a plan needs PyTorch and it is not there; ask before spending."""
    recipe = METHODS.get(plan.method)
    if recipe is not None and recipe.draws and find_spec("torch") is None:
        raise RunFailed(
            f"the method {plan.method.value} trains a generator, which needs PyTorch",
            hint="install silosynth[generators] where the coordinator runs",
        )
