"""A made-up table with canaries: people of whom an attacker knows all but whether they are in.

Source: ``docs/decisions/041-audit-of-the-pipeline.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.common.plan import Plan
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan

PERSON = "person"
CANARIES = 16
ATTRIBUTES = ("a", "b", "c", "d")
_MOST_SILOS = 3
_ALIKE, _MIXED = 2_400, 1_800
_SEED = 20_260_401


def _words(codes: int) -> list[str]:
    return [f"w{i:03}" for i in range(codes)]


def made_up_schema(
    *, attributes: int = len(ATTRIBUTES), codes: int = CANARIES, label: str | None = None
) -> Schema:
    """Return a schema of some attributes with a code for each canary at least."""
    attribute = {"kind": "categorical", "categories": _words(codes), "source": "public"}
    return parse_schema(
        {
            "name": "made-up",
            "attributes": [{"name": name, **attribute} for name in ATTRIBUTES[:attributes]],
        }
        | ({} if label is None else {"label": label})
    )


def made_up_plan(plan: Plan, schema: Schema, **options: Any) -> Plan:
    """Return the plan of the same method, promise and trust on the made-up schema.

    With own noise nobody's rows but those of one silo are at stake; with shared noise three silos
    play where there are more, and but for two of them as many collude as the plan says.

    Args: options: what is chosen of the method.
    """
    silos, colluders = played_silos(plan)
    return new_plan(
        schema,
        epsilon=plan.privacy.epsilon,
        delta=plan.privacy.delta,
        silos=silos,
        method=plan.method,
        rows_per_person=plan.privacy.rows_per_person,
        plan_id="audit",
        trust=plan.trust,
        colluders=colluders,
        **options,
    )


def played_silos(plan: Plan) -> tuple[tuple[str, ...], int]:
    """Return the silos that play, and how many of them collude."""
    silos = plan.silos[: _MOST_SILOS if plan.shares > 1 else 1]
    return silos, max(0, min(plan.colluders, len(silos) - 2))


def canary_name(canary: int, number: int = 0) -> str:
    """Return a name of a canary, of many that are tried."""
    return f"canary-{canary}-{number}"


def as_words(codes: np.ndarray) -> Mapping[str, pa.Array]:
    """Return columns of (rows, attributes) codes, each code a word."""
    words = np.array(_words(max(CANARIES, int(codes.max(initial=0)) + 1)))
    names = ATTRIBUTES[: codes.shape[1]]
    return {name: pa.array(words[codes[:, i]]) for i, name in enumerate(names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Rows as (rows, attributes) codes, whose each is, and as which columns they are shown."""

    codes: np.ndarray
    persons: tuple[str, ...]
    columns: Callable[[np.ndarray], Mapping[str, pa.Array]] = as_words

    def table(self) -> pa.Table:
        """Return the rows as a table with a person column."""
        return pa.table({**self.columns(self.codes), PERSON: pa.array(self.persons)})


def common_rows() -> np.ndarray:
    """Return rows in which every code is common enough that none is merged."""
    draws = np.random.default_rng(_SEED)
    alike = np.repeat(np.arange(_ALIKE) % CANARIES, len(ATTRIBUTES))
    mixed = draws.integers(0, CANARIES, size=(_MIXED, len(ATTRIBUTES)))
    return np.vstack((alike.reshape(_ALIKE, -1), mixed))


@dataclass(frozen=True, kw_only=True)
class MadeUp:
    """The people of a game: those whom the attacker knows, and the canaries, by their silos.

    The ``colluders``, the last of the silos, hold no canary. ``crowd`` are the rows, (rows,
    attributes) codes, of those whom the attacker knows, dealt out among the silos. ``columns`` is
    as what codes are shown, ``marks`` are the codes of each canary; without them a canary has its
    number in all.
    """

    schema: Schema
    silos: tuple[str, ...]
    rows_per_person: int
    colluders: int = 0
    names: Mapping[int, str] = field(default_factory=dict)
    crowd: np.ndarray = field(default_factory=common_rows, repr=False)
    columns: Callable[[np.ndarray], Mapping[str, pa.Array]] = as_words
    marks: np.ndarray | None = None

    def silo(self, canary: int) -> str:
        """Return whose patient, or customer, a canary would be."""
        return self.silos[canary % (len(self.silos) - self.colluders)]

    def canary(self, canary: int, *, rows: int) -> People:
        """Return a canary with so many rows, all alike."""
        own = np.full(self.crowd.shape[1], canary) if self.marks is None else self.marks[canary]
        return People(
            codes=np.tile(own, (rows, 1)),
            persons=(self.names.get(canary, canary_name(canary)),) * rows,
            columns=self.columns,
        )

    def counted(self, canary: int) -> People:
        """Return what may count of a canary."""
        return self.canary(canary, rows=self.rows_per_person)

    @cached_property
    def known(self) -> dict[str, People]:
        """Return the people of each silo who are no secret."""
        parts = {s: self.crowd[i :: len(self.silos)] for i, s in enumerate(self.silos)}
        return {
            silo: People(
                codes=part,
                persons=tuple(f"{silo}-{n}" for n in range(len(part))),
                columns=self.columns,
            )
            for silo, part in parts.items()
        }

    def tables(self, inside: np.ndarray) -> dict[str, pa.Table]:
        """Return each silo's table when the canaries of ``inside`` are in.

        A canary brings one row more than may count.
        """
        tables = {silo: [self._known_tables[silo]] for silo in self.silos}
        for i in np.flatnonzero(inside):
            canary = self.canary(int(i), rows=self.rows_per_person + 1)
            tables[self.silo(int(i))].append(canary.table())
        return {silo: pa.concat_tables(parts) for silo, parts in tables.items()}

    @cached_property
    def _known_tables(self) -> dict[str, pa.Table]:
        return {silo: people.table() for silo, people in self.known.items()}
