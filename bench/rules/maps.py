"""Adult split by columns over silos of different people: how near the pairs are that a silo holds.

``make bench-maps``. Three silos of a third of the people each, two columns that all share, own and
shared noise, by AIM at epsilon 8; three runs each, and the range of the three. Pairs that a silo
holds stand beside those of a run on that silo's rows alone, pairs that nobody holds beside what the
shared columns let them be.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import combinations
from statistics import mean

import numpy as np
import pyarrow as pa

from bench.support.results import Figure, is_quick, publish
from bench.support.tables import load_adult
from silosynth.client.maps.silo_map import parse_map
from silosynth.common.domain import Clique
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan
from silosynth.simulations.run import simulate

SHARED = ("age", "sex")
EPSILON, DELTA = 8.0, 1e-6
METHOD = "aim"
SILOS = ("north", "south", "west")
RUNS = 3


def main() -> int:
    """Run the splits and publish their figures."""
    domain, codes = load_adult()
    names = domain.attributes
    schema = coded_schema(names, domain.shape)
    own = [n for n in names if n not in SHARED]
    parts = {silo: (*SHARED, *own[i::3]) for i, silo in enumerate(SILOS)}
    order = np.random.default_rng(1).permutation(len(codes))
    rows = {silo: codes[order[i::3]] for i, silo in enumerate(SILOS)}
    held = {p for part in parts.values() for p in combinations(part, 2)}
    held = {domain.ordered(p) for p in held}
    runs = range(1 if is_quick() else RUNS)
    alone = [
        mean(
            [
                mean_distance(
                    run(schema_of(schema, part), {s: rows[s]}, names, {}), codes, names, part
                )
                for s, part in parts.items()
            ]
        )
        for _ in runs
    ]
    figures = [figure("a silo alone: its pairs", alone)]
    for trust in ("own", "shared"):
        lacks = {s: tuple(n for n in names if n not in part) for s, part in parts.items()}
        made = [run(schema, rows, names, lacks, trust=trust) for _ in runs]
        near = [mean([distance(m, codes, names, p) for p in sorted(held)]) for m in made]
        apart = [p for p in combinations(names, 2) if p not in held]
        joined = [mean([to_join(m, codes, names, p) for p in apart]) for m in made]
        ratio = float(np.mean(near) / np.mean(alone))
        figures += [
            figure(f"{trust}: pairs that a silo holds", near, peer=float(np.mean(alone))),
            Figure(figure=f"{trust}: of those of a silo alone", value=ratio, unit="", at_most=1.0),
            figure(f"{trust}: pairs that nobody holds, to the join", joined),
        ]
    return publish("maps", figures, room="rules")


def figure(name: str, found: Sequence[float], *, peer: float | None = None) -> Figure:
    """Return the mean distance of some runs, and half their range."""
    value, spread = float(np.mean(found)), float(np.ptp(found)) / 2
    return Figure(figure=name, value=value, spread=spread, peer=peer, unit="distance")


def coded_schema(names: Sequence[str], shape: Sequence[int]) -> Schema:
    """Return codes as listed categories."""
    attributes = [
        {"name": n, "kind": "categorical", "categories": list(range(size)), "other": False}
        for n, size in zip(names, shape, strict=True)
    ]
    return parse_schema({"name": "adult", "source": "public", "attributes": attributes})


def schema_of(schema: Schema, part: Sequence[str]) -> Schema:
    """Return the schema of some columns, in its order."""
    kept = tuple(a for a in schema.attributes if a.name in part)
    return schema.model_copy(update={"attributes": kept})


def run(
    schema: Schema,
    rows: dict[str, np.ndarray],
    names: Sequence[str],
    lacks: dict[str, tuple[str, ...]],
    *,
    trust: str = "own",
) -> np.ndarray:
    """Return (rows, columns) codes drawn of a run; columns that the schema lacks are 0."""
    plan = new_plan(
        schema,
        epsilon=EPSILON,
        delta=DELTA,
        silos=tuple(rows),
        method=METHOD,
        lacks=lacks or None,
        trust=trust,
        plan_id="p",
    )
    wanted = [a.name for a in schema.attributes]
    tables = {
        s: pa.table({n: part[:, names.index(n)] for n in wanted if n not in lacks.get(s, ())})
        for s, part in rows.items()
    }
    maps = {
        s: parse_map({"version": 1, "columns": dict.fromkeys(columns, "absent")})
        for s, columns in lacks.items()
    }
    result = simulate(plan, schema=schema, silos=tables, maps=maps, engine="local")
    drawn = draw(result.sampler, rows=100_000, seed=1)
    columns = [
        np.asarray(drawn[n].cast(pa.int64())) if n in wanted else np.zeros(100_000, dtype=np.int64)
        for n in names
    ]
    return np.stack(columns, axis=1)


def joint(codes: np.ndarray, names: Sequence[str], pair: Clique) -> np.ndarray:
    """Return (128, 128) float64, the shares of a pair."""
    left, right = (codes[:, names.index(n)] for n in pair)
    cells = np.bincount(128 * left + right, minlength=128 * 128)
    shares: np.ndarray = cells.reshape(128, 128) / len(codes)
    return shares


def given_shared(codes: np.ndarray, names: Sequence[str], pair: Clique) -> np.ndarray:
    """Return the shares of a pair as they are when only the shared columns join it."""
    by = codes[:, [names.index(n) for n in SHARED]] @ np.array([2, 1])
    total = np.zeros((128, 128))
    for value in np.unique(by):
        part = codes[by == value]
        left, right = (np.bincount(part[:, names.index(n)], minlength=128) for n in pair)
        total += np.outer(left, right) / len(part)
    shares: np.ndarray = total / len(codes)
    return shares


def distance(made: np.ndarray, codes: np.ndarray, names: Sequence[str], pair: Clique) -> float:
    """Return the total variation distance of a pair."""
    return float(np.abs(joint(made, names, pair) - joint(codes, names, pair)).sum() / 2)


def to_join(made: np.ndarray, codes: np.ndarray, names: Sequence[str], pair: Clique) -> float:
    """Return how far a pair is from what the shared columns let it be."""
    return float(np.abs(joint(made, names, pair) - given_shared(codes, names, pair)).sum() / 2)


def mean_distance(
    made: np.ndarray, codes: np.ndarray, names: Sequence[str], part: Sequence[str]
) -> float:
    """Return the mean distance over the pairs of some columns."""
    return float(np.mean([distance(made, codes, names, p) for p in combinations(part, 2)]))


if __name__ == "__main__":
    sys.exit(main())
