"""One run of a generator's benchmark: rows in silos, a plan, and what the sampler draws."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, Source
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations import simulate

DELTA = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a sampler is made: a name in the results, a method, who adds noise, and settings.

    ``frequencies`` are for one-shot, the method's own number without them. ``pooled`` rows lie in
    one silo; with shared noise in two, as one cannot share.
    """

    name: str
    method: str
    pooled: bool = True
    trust: str = "own"
    training: TrainingChoice | None = None
    frequencies: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Made:
    """What a way made: as many rows as there were, and the processor seconds that it took."""

    table: pa.Table
    seconds: float


def make(
    way: Way,
    silos: Mapping[str, pa.Table],
    *,
    schema: Schema,
    epsilon: float,
    rows: int,
    delta: float = DELTA,
    seed: int = 1,
) -> Made:
    """Run a plan of (epsilon, delta) on the silos in this process, and draw ``rows`` rows.

    Args: seed: of a network's first weights and of the draw; the noise has none.
    """
    tables = dict(silos)
    if way.pooled:
        whole = pa.concat_tables(silos.values())
        parts = 2 if way.trust == "shared" else 1
        tables = dealt(whole, parts)
    plan = new_plan(
        schema,
        epsilon=epsilon,
        delta=delta,
        silos=tuple(tables),
        method=way.method,
        trust=way.trust,
        training=way.training and replace(way.training, seed=seed),
        frequencies=way.frequencies,
    )
    say(f"{schema.name}: {way.name}, epsilon {epsilon:g}")
    start = time.process_time()
    result = simulate(plan, schema=schema, silos=tables, engine="local")
    seconds = time.process_time() - start
    made = Made(table=draw(result.sampler, rows=rows, seed=seed, threads=1), seconds=seconds)
    say(f"  {seconds:.0f} s of processor time")
    return made


def deal(rows: int, parts: int) -> list[np.ndarray]:
    """Return the rows of each part: dealt out at random, the same in every run."""
    return np.array_split(np.random.default_rng(0).permutation(rows), parts)


def dealt(table: pa.Table, parts: int) -> dict[str, pa.Table]:
    """Return a table in silos: dealt out at random, the same in every run."""
    return {f"s{i}": table.take(pa.array(p)) for i, p in enumerate(deal(len(table), parts))}


def split(table: pa.Table, *, test_share: float = 0.2) -> tuple[pa.Table, pa.Table]:
    """Return rows to train on and rows that nobody trains on."""
    order = np.random.default_rng(7).permutation(len(table))
    cut = round(len(table) * (1 - test_share))
    return table.take(pa.array(order[:cut])), table.take(pa.array(order[cut:]))


def vouch(schema: Schema, *, label: str | None = None) -> Schema:
    """Return the schema with every domain declared, as a person would after reading it."""
    vouched = [a.model_copy(update={"source": Source.PUBLIC}) for a in schema.attributes]
    changed = {"attributes": tuple(vouched), "label": label or schema.label}
    return schema.model_copy(update=changed)


def say(line: str) -> None:
    """Tell how far a long benchmark is."""
    print(line, file=sys.stderr, flush=True)
