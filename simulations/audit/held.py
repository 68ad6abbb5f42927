"""A made-up run that held people out, trained once, and the games that ask those people.

Canaries are people whom their silo holds out: their names are tried until they are. What one adds
is worked out by the counters' own code, whose norm tests hold to its bound by brute force.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from silosynth.client.noise import SystemBits
from silosynth.client.source import Part, splitting
from silosynth.common.held import Counters, Inputs
from silosynth.common.messages import Request
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from silosynth.server.judging import Sought, plan_evaluation
from silosynth.server.planning import new_plan
from silosynth.simulations.audit.counted import TableRun
from silosynth.simulations.audit.game import Adds, Game, Played, Ran, RunsTable
from silosynth.simulations.audit.made_up import (
    ATTRIBUTES,
    CANARIES,
    PERSON,
    MadeUp,
    People,
    canary_name,
    played_silos,
)

SILOS = "silos"
_GROUPS, _REPEATS = 16, 16
"""As many groups as canaries, and enough halves that hardly two canaries add the same."""
_TRIES, _DRAWN = 4_000, 2**12


@dataclass(frozen=True, kw_only=True)
class HeldGame:
    """Own a trained run and the plan that evaluates it; each game is one evaluation."""

    plan: Plan
    inputs: Inputs = field(repr=False)
    sampler: bytes = field(repr=False)
    trained: Path
    game: Game[People]

    def play(self, inside: np.ndarray, *, directory: Path) -> Played:
        """Ask in a fresh directory, with the ledgers that training left."""
        shutil.copytree(self.trained / SILOS, directory / SILOS)
        return self.game.play(inside, directory=directory)


def open_held_game(plan: Plan, schema: Schema, *, run: RunsTable, directory: Path) -> HeldGame:
    """Train once on people who are no canaries, in ``directory``, and plan what is asked.

    The evaluation has the share, promise and trust of ``plan``; what it asks is that of the
    made-up sampler, by as many groups and halves as tell canaries apart.
    """
    if plan.held_out is None:
        raise ValueError("a plan that evaluates holds people out")
    silos, colluders = played_silos(plan)
    people = MadeUp(schema=schema, silos=silos, rows_per_person=1, colluders=colluders)
    trained = new_plan(
        schema,
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        silos=silos,
        method="mst",
        plan_id="audit",
        trust=plan.trust,
        colluders=colluders,
        held_out=plan.held_out.share,
    )
    ran = run(
        trained,
        schema,
        tables=people.tables(np.zeros(CANARIES, dtype=bool)),
        person_column=PERSON,
        directory=directory,
        bits={silo: SystemBits() for silo in silos},
    )
    sampler = ran.sampler()
    sought = Sought(
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        targets=ATTRIBUTES[:1],
        plan_id="audited",
        groups=_GROUPS,
        repeats=_REPEATS,
        rows=_DRAWN,
    )
    asked, inputs = plan_evaluation(trained, sampler, sought=sought)
    parts = parts_of(asked, ran)
    names = {i: _held_name(i, parts[people.silo(i)]) for i in range(CANARIES)}
    named = replace(people, names=names)
    asks = TableRun(plan=asked, people=named, run=run, sampler=sampler)
    game = Game(plan=asked, people=named, run=asks, adds=_adds(inputs, parts))
    return HeldGame(plan=asked, inputs=inputs, sampler=sampler, trained=directory, game=game)


def parts_of(plan: Plan, ran: Ran) -> Mapping[str, Part]:
    """Return who is held out in each silo, by the secrets that a run left."""
    if plan.held_out is None:
        raise ValueError("a plan that evaluates holds people out")
    return {
        silo: Part(
            splitting=splitting(secret, dataset=plan.dataset, person_column=PERSON),
            share=plan.held_out.share,
            held_out=True,
        )
        for silo, secret in ran.secrets.items()
    }


def _adds(inputs: Inputs, parts: Mapping[str, Part]) -> Adds[People]:
    """Return what people of a silo add to the counters: those of them who are held out."""

    def add(people: People, silo: str, _: Request) -> np.ndarray:
        held = _held(people.persons, parts[silo])
        first = np.unique(np.array(people.persons), return_index=True)[1]
        rows = np.intersect1d(first, np.flatnonzero(held))
        counters = Counters(inputs)
        counters.add([people.codes[rows, i].astype(np.uint8) for i in range(len(ATTRIBUTES))])
        return counters.vector()

    return add


def _held_name(canary: int, part: Part) -> str:
    """Return a name of a canary under which its silo holds it out."""
    names = [canary_name(canary, n) for n in range(_TRIES)]
    return names[int(np.flatnonzero(_held(names, part))[0])]


def _held(names: tuple[str, ...] | list[str], part: Part) -> np.ndarray:
    """Return (names,) bool: whom a silo holds out."""
    table = pa.table({PERSON: pa.array(names), "place": np.arange(len(names))})
    (fragment,) = part.of([lambda: table])
    held = np.zeros(len(names), dtype=bool)
    held[fragment()["place"].to_numpy()] = True
    return held
