"""What a run asks of numbers' values before its method begins, and what it makes of the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from silosynth.common.measurement import MarginalQuery
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.schema import Schema
from silosynth.server.coordinator.state import State
from silosynth.server.methods import Question
from silosynth.server.values import Counted, choose_leaves, estimate_values, gather


def ask_values(state: State, phase: PhaseName) -> Question:
    """Return what a phase asks of values: all trees, or the leaves that hold much once more."""
    if phase is PhaseName.VALUES:
        return trees_question(state.plan)
    return leaves_question(state.plan, state.table, _counted(state, PhaseName.VALUES))


def _partly(plan: Plan) -> frozenset[str]:
    """Return the columns that not every silo holds."""
    return frozenset(column for columns in (plan.lacks or {}).values() for column in columns)


def trees_question(plan: Plan) -> Question:
    """Ask every level of every tree, and the round numbers."""
    asked = ((name, level) for name, tree in (plan.values or {}).items() for level in tree.asked())
    return Question(queries=tuple(MarginalQuery(clique=(n,), level=x) for n, x in asked))


def leaves_question(plan: Plan, schema: Schema, counted: Mapping[str, Counted]) -> Question:
    """Ask the digits of the leaves that may hide a value; nothing where there are none."""
    leaves = choose_leaves(counted, schema)
    trees = plan.values or {}
    asked = ((name, level) for name in leaves for level in trees[name].digits())
    queries = tuple(MarginalQuery(clique=(n,), level=x) for n, x in asked)
    return Question(queries=queries, leaves=leaves) if leaves else Question()


def settle_values(state: State) -> State:
    """Return the state that knows values, once a phase after them opens."""
    if state.values is not None or not state.plan.values:
        # A plan that renews looks at no values: the last sampler's are its own.
        return replace(state, values=state.values or state.renewed.values)
    asked = state.asked.get(PhaseName.CLOSER, Question())
    values = estimate_values(
        _counted(state, PhaseName.VALUES),
        schema=state.table,
        leaves=asked.leaves or {},
        closer=_counted(state, PhaseName.CLOSER),
        partly=_partly(state.plan),
    )
    return replace(state, values=values)


def _counted(state: State, phase: PhaseName) -> dict[str, Counted]:
    """Return the histograms of a phase."""
    return gather(state.plan.values or {}, state.looked(phase))
