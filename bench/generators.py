"""Hold the one-shot generator against a tree of marginals: Adult, pooled and in ten silos.

Both methods get the same schema and the same (epsilon, delta) and draw as many rows as the real
table has. Distances are mean total variation over all 1-way, all 2-way and 200 fixed 3-way
marginals; the bootstrap of the real rows and their shuffled columns stand beside them. Seconds are
of processor time, so that a busy machine does not change them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from distances import mean_distances
from results import Figure, is_quick, publish
from tables import Case, load_case

from silosynth.common.attributes import Source
from silosynth.common.metrics import bootstrap, independent_columns
from silosynth.common.sampler import draw_codes
from silosynth.common.schema import Schema
from silosynth.server.planner import new_plan
from silosynth.simulations import simulate

DELTA = 1e-6
EPSILONS = (1.0, 3.0, 10.0)
METHODS = ("mst", "one-shot")
SILOS = (1, 10)
WAYS = ("1-way", "2-way", "3-way")


def measure(case: Case, *, epsilons: tuple[float, ...], silos: tuple[int, ...]) -> list[Figure]:
    """Run both methods at each budget and number of silos."""
    figures = list(_references(case))
    for count in silos:
        for epsilon in epsilons:
            tree, generator = (
                list(_run(case, method=m, epsilon=epsilon, silos=count)) for m in METHODS
            )
            figures += tree
            figures += [
                Figure(figure=g.figure, value=g.value, unit=g.unit, peer=t.value)
                for g, t in zip(generator, tree, strict=True)
            ]
    return figures


def _references(case: Case) -> Iterator[Figure]:
    """Yield the distances of the best and the worst table that could be expected."""
    columns = tuple(case.codes.T)
    for name, made in (
        ("bootstrap of the real rows", bootstrap(columns, seed=0)),
        ("independent columns", independent_columns(columns, seed=0)),
    ):
        found = mean_distances(case.codes, np.stack(made, axis=1), domain=case.domain)
        for ways, value in zip(WAYS, found, strict=True):
            yield Figure(figure=f"adult, {name}, {ways} distance", value=float(value), unit="TV")


def _run(case: Case, *, method: str, epsilon: float, silos: int) -> Iterator[Figure]:
    """Yield the distances of one run, and the processor seconds that it took."""
    tables = {f"s{i}": case.table.take(pa.array(rows)) for i, rows in enumerate(_deal(case, silos))}
    plan = new_plan(case.schema, epsilon=epsilon, delta=DELTA, silos=tuple(tables), method=method)
    print(f"adult: {method}, epsilon {epsilon:g}, {silos} silos", file=sys.stderr, flush=True)
    start = time.process_time()
    result = simulate(plan, schema=case.schema, silos=tables, engine="local")
    seconds = time.process_time() - start
    codes = draw_codes(result.sampler, rows=len(case.codes), seed=1)
    drawn = np.stack([c.astype(np.uint16) for c in codes], axis=1)
    label = f"adult, {silos} silos, epsilon {epsilon:g}, {method}"
    for ways, value in zip(
        WAYS, mean_distances(case.codes, drawn, domain=case.domain), strict=True
    ):
        yield Figure(figure=f"{label}, {ways} distance", value=float(value), unit="TV")
    yield Figure(figure=f"{label}, run", value=seconds, unit="CPU s")


def _deal(case: Case, silos: int) -> list[np.ndarray]:
    """Return the rows of each silo: dealt out at random, the same in every run."""
    order = np.random.default_rng(0).permutation(len(case.codes))
    return np.array_split(order, silos)


def _vouch(schema: Schema) -> Schema:
    """Return the schema with every domain declared, as a person would after reading it."""
    vouched = [a.model_copy(update={"source": Source.PUBLIC}) for a in schema.attributes]
    return schema.model_copy(update={"attributes": tuple(vouched)})


def main() -> int:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epsilon", type=float, nargs="*", default=None)
    parser.add_argument("--silos", type=int, nargs="*", default=None)
    asked = parser.parse_args()
    epsilons = tuple(asked.epsilon or ((1.0,) if is_quick() else EPSILONS))
    silos = tuple(asked.silos or ((1,) if is_quick() else SILOS))
    case = load_case("adult", "adult.parquet")
    case = Case(schema=_vouch(case.schema), table=case.table, codes=case.codes)
    return publish("generators", measure(case, epsilons=epsilons, silos=silos))


if __name__ == "__main__":
    raise SystemExit(main())
