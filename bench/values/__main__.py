"""Whether the table that comes out looks like the one that went in: values, not cells.

Pooled AIM at epsilon 1 over three seeds, own noise of natural silos by its law, a bootstrap of the
real rows, and SDV's GaussianCopula without privacy in an environment of its own. Schemas are those
of the data sets, with the decimals that the public files are written with; bins are the default.
Column Shapes are over all columns but keys, which are made up anew. What stands beside in equal
bins is the same plan over the codes of 32 equal bins, which numbers had before their values were
looked at.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.aim.published import count_with_cache
from bench.peers.run import PEERS, run_table_peer
from bench.support.pooled import coded_schema, run_pooled
from bench.support.pooled_values import run_table
from bench.support.results import Figure, is_quick, publish
from bench.support.tables import Case, encode, load_case, vouch
from silosynth.common.codec import flatten, to_numbers
from silosynth.common.plan import OF_VALUES
from silosynth.common.sampler import draw_codes
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import (
    CategoricalAttribute,
    IntegerAttribute,
    NumericAttribute,
    OrdinalAttribute,
    RealAttribute,
    Schema,
)
from silosynth.common.schema.kinds.bases import BaseCoded
from silosynth.common.scores import all_cliques, column_shapes, marginal_distance, mean_score
from silosynth.server.planning import new_plan
from silosynth.simulations.demo_insurers import demo_schema, demo_table

SEEDS = (0, 1, 2)
EPSILON, DELTA = 1.0, 1e-6
MOST_DECIMALS = 8
QUANTILES = 32
ATOM = 0.05
"""Values with more than this share of a column's rows count as atoms in the gates."""

SHAPES = {
    "Adult": 0.99,
    "ACS": 0.97,
    "RAND": 0.97,
    "nycflights13": 0.98,
    "diabetes130": 0.98,
    "Beijing": 0.98,
    "BRFSS": 0.99,
}
EQUAL = {"diabetes130": 0.031}
"""Where pairs in the product's own bins have a gate of their own."""

PAIRS = {"Adult": 0.03, "ACS": 0.08}
SILOS = {"ACS": 20, "nycflights13": 3, "Beijing": 12, "BRFSS": 54, "RAND": 5, "Adult": 6}
"""Natural silos: places, origins, stations, states, insurers, kinds of work."""
OWN_GATED = ("nycflights13", "Beijing", "BRFSS", "RAND", "Adult", "ACS")
MOST_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """What a run made of a table, and what it took."""

    shapes: float
    zeros: float
    means: float
    pairs: float
    equal: float
    part: float
    worst: str


def load(name: str) -> Case:
    """Return a table with a schema that states the form of its values."""
    if name == "RAND":
        return Case(schema=demo_schema(), table=demo_table(), codes=np.zeros((0, 0)))
    files = {
        "Adult": ("adult", "adult.parquet"),
        "ACS": ("nist_acs", "national2019.csv"),
        "nycflights13": ("nycflights13", "flights.parquet"),
        "diabetes130": ("diabetes130", "diabetes130.parquet"),
        "Beijing": ("beijing_air_quality", "beijing_air_quality.parquet"),
        "BRFSS": ("brfss2022", "brfss2022.parquet"),
    }
    case = vouch(load_case(*files[name]))
    return with_form(case)


def with_form(case: Case) -> Case:
    """Return the case whose schema states what is public form.

    The decimals of reals, and where values can be missing, which dictionaries leave out.
    """
    table = without_tokens(case)
    attributes = []
    for a in case.schema.attributes:
        facts: dict[str, object] = {}
        if isinstance(a, RealAttribute):
            facts["decimals"] = _decimals(table[a.name])
        if isinstance(a, BaseCoded) and table[a.name].null_count:
            facts["missing"] = True
        attributes.append(a.model_copy(update=facts))
    schema = case.schema.model_copy(update={"attributes": tuple(attributes)})
    return Case(schema=schema, table=table, codes=case.codes)


def without_tokens(case: Case) -> pa.Table:
    """Return the table with the texts that stand for a missing value made null."""
    table = case.table
    for a in case.schema.coded:
        if isinstance(a, CategoricalAttribute | OrdinalAttribute) and a.missing_tokens:
            column = table[a.name].cast(pa.string())
            absent = pc.is_in(column, value_set=pa.array(a.missing_tokens, pa.string()))
            place = table.schema.get_field_index(a.name)
            table = table.set_column(place, a.name, pc.if_else(absent, None, column))
    return table


def _decimals(column: pa.ChunkedArray) -> int:
    """Return the digits after the point that the values of a column have at most."""
    numbers, _ = to_numbers(flatten(column))
    numbers = np.unique(numbers[np.isfinite(numbers)])
    for digits in range(MOST_DECIMALS):
        if np.array_equal(np.round(numbers, digits), numbers):
            return digits
    return MOST_DECIMALS


def numbers_of(case: Case, table: pa.Table) -> dict[str, np.ndarray]:
    """Return the numbers of each integer and real column, missing ones left out."""
    found = {}
    for a in case.schema.coded:
        if isinstance(a, IntegerAttribute | RealAttribute):
            numbers, _ = to_numbers(flatten(table[a.name]))
            numbers = numbers[np.isfinite(numbers)]
            found[a.name] = numbers[
                ~np.isin(numbers, [float(t) for t in a.missing_tokens if _is_number(t)])
            ]
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def worst_zeros(real: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    """Return the largest gap of the share of exact zeros over columns where it is an atom."""
    gaps = [
        abs(float((real[n] == 0).mean() - (other[n] == 0).mean()))
        for n in real
        if len(other[n]) and (real[n] == 0).mean() > ATOM
    ]
    return max(gaps, default=0.0)


def worst_mean(real: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> tuple[float, str]:
    """Return the largest gap of means in spreads, and its column."""
    gaps = [
        (abs(float(other[n].mean() - real[n].mean())) / float(real[n].std()), n)
        for n in real
        if real[n].std() > 0 and len(other[n])
    ]
    return max(gaps, default=(0.0, ""))


def quantile_codes(case: Case, tables: list[pa.Table]) -> tuple[list[np.ndarray], list[int]]:
    """Return codes by the first table's quantiles: atoms, and what lies between them, apart."""
    columns: list[list[np.ndarray]] = [[] for _ in tables]
    sizes = []
    for i, a in enumerate(case.schema.coded):
        if not isinstance(a, IntegerAttribute | RealAttribute):
            for codes, table in zip(columns, tables, strict=True):
                codes.append(encode(table, schema=case.schema)[:, i].astype(np.int64))
            sizes.append(a.size)
            continue
        sides = [to_numbers(flatten(t[a.name]))[0] for t in tables]
        tokens = [float(t) for t in a.missing_tokens if _is_number(t)]
        present = [np.isfinite(s) & ~np.isin(s, tokens) for s in sides]
        edges = np.unique(np.quantile(sides[0][present[0]], np.arange(QUANTILES) / QUANTILES))
        for codes, side, there in zip(columns, sides, present, strict=True):
            number = np.where(there, side, edges[0])
            place = 2 * np.searchsorted(edges, number, side="right") - (
                np.isin(number, edges).astype(np.int64)
            )
            codes.append(np.where(there, place + 1, 0))
        sizes.append(2 * len(edges) + 2)
    return [np.stack(c, axis=1) for c in columns], sizes


def pair_distance(real: np.ndarray, other: np.ndarray, sizes: list[int]) -> float:
    """Return the mean total variation distance over all pairs of columns."""
    gaps = []
    for i, j in combinations(range(len(sizes)), 2):
        cells = sizes[i] * sizes[j]
        shares = [
            np.bincount(c[:, i] * sizes[j] + c[:, j], minlength=cells) / len(c)
            for c in (real, other)
        ]
        gaps.append(float(np.abs(shares[0] - shares[1]).sum()) / 2)
    return float(np.mean(gaps))


def equal_pairs(case: Case, real: np.ndarray, other: np.ndarray) -> float:
    """Return the mean 2-way distance in the schema's own bins of one width."""
    cliques = all_cliques(case.domain, 2)
    sides = tuple(real.T), tuple(other.T)
    return float(marginal_distance(*sides, domain=case.domain, cliques=cliques).mean())


def score(case: Case, other: pa.Table) -> Drawn:
    """Hold a table against the real one."""
    real = numbers_of(case, case.table)
    numbers = numbers_of(case, other)
    keys = {a.name for a in case.schema.attributes if a.kind == "identifier"}
    shapes = column_shapes(case.table, other, schema=case.schema)
    shapes = {name: shape for name, shape in shapes.items() if name not in keys}
    mean, worst = worst_mean(real, numbers)
    codes, sizes = quantile_codes(case, [case.table, other])
    return Drawn(
        shapes=mean_score(shapes.values()),
        zeros=worst_zeros(real, numbers),
        means=mean,
        pairs=pair_distance(codes[0], codes[1], sizes),
        equal=equal_pairs(case, *(encode(t, schema=case.schema) for t in (case.table, other))),
        part=0.0,
        worst=f"{worst}; {min(shapes, key=lambda n: shapes[n])}",
    )


def run_ours(case: Case, *, seed: int, silos: int = 1) -> Drawn:
    """Return the scores of a pooled run, or of one with the noise of several silos."""
    names = tuple(f"s{i}" for i in range(silos))
    plan = new_plan(
        case.schema,
        epsilon=EPSILON,
        delta=DELTA,
        silos=names,
        method="aim",
        rows_at_most=public_bound(case),
    )
    done = run_table(
        plan, case.table, schema=case.schema, rng=np.random.default_rng(seed), silos=silos
    )
    table = draw(done.sampler, rows=case.table.num_rows, seed=seed)
    scored = score(case, table)
    part = done.values_seconds / done.seconds
    return Drawn(**{n: getattr(scored, n) for n in scored.__slots__ if n != "part"}, part=part)


def public_bound(case: Case) -> int:
    """Return a bound on the rows such as a federation would publish: two digits, rounded up."""
    rows = case.table.num_rows
    unit = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // unit) * unit


def run_before(case: Case, *, seed: int) -> float:
    """Return the 2-way distance in equal bins of the same plan over codes alone."""
    ordered = frozenset(
        a.name for a in case.schema.coded if isinstance(a, NumericAttribute | OrdinalAttribute)
    )
    schema = coded_schema("codes", domain=case.domain, ordered=ordered)
    codes = encode(case.table, schema=case.schema)
    plan = new_plan(schema, epsilon=EPSILON, delta=DELTA, silos=("all",), method="aim")
    counts = count_with_cache(codes.astype(np.int64), domain=case.domain)
    done = run_pooled(plan, counts, schema=schema, rng=np.random.default_rng(seed))
    drawn = draw_codes(done.sampler, rows=len(codes), seed=seed)
    return equal_pairs(case, codes, np.stack(drawn, axis=1).astype(np.uint16))


def sent_bytes(schema: Schema) -> int:
    """Return the most that a silo sends of counts in a plan by AIM."""
    plan = new_plan(schema, epsilon=EPSILON, delta=DELTA, silos=("all",), method="aim")
    return 8 * sum(p.cells for p in plan.phases)


def value_bytes(schema: Schema) -> int:
    """Return the part of :func:`sent_bytes` that looks at values."""
    plan = new_plan(schema, epsilon=EPSILON, delta=DELTA, silos=("all",), method="aim")
    return 8 * sum(p.cells for p in plan.phases if p.name in OF_VALUES)


def figure(
    name: str,
    values: list[float],
    unit: str,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    peer: float | None = None,
) -> Figure:
    """Return the mean of some seeds, and half their range."""
    return Figure(
        figure=name,
        value=float(np.mean(values)),
        unit=unit,
        spread=(max(values) - min(values)) / 2 if len(values) > 1 else None,
        at_most=at_most,
        at_least=at_least,
        peer=peer,
    )


def figures(name: str, *, seeds: tuple[int, ...], gated: bool, peers: bool) -> Iterator[Figure]:
    """Run everything on one table."""
    case = load(name)
    case = Case(schema=case.schema, table=case.table, codes=case.codes)
    ours = [run_ours(case, seed=s) for s in seeds]
    print(f"{name}: worst columns by mean, by shape: {ours[0].worst}", file=sys.stderr)
    copula = (
        score(case, run_table_peer("sdv", case.table, numbers=tuple(numbers_of(case, case.table))))
        if peers
        else None
    )
    gate: Callable[[float | None], float | None] = lambda g: g if gated else None  # noqa: E731
    yield figure(
        f"{name}: Column Shapes, pooled",
        [d.shapes for d in ours],
        "score",
        at_least=gate(SHAPES[name]),
        peer=copula.shapes if copula else None,
    )
    rng = np.random.default_rng(0)
    again = case.table.take(rng.integers(0, case.table.num_rows, case.table.num_rows))
    floor = score(case, again)
    yield figure(f"{name}: Column Shapes, bootstrap of the real rows", [floor.shapes], "score")
    yield figure(
        f"{name}: worst gap of the share of zeros",
        [d.zeros for d in ours],
        "share",
        at_most=gate(0.02),
        peer=copula.zeros if copula else None,
    )
    yield figure(
        f"{name}: worst gap of a mean",
        [d.means for d in ours],
        "spreads",
        at_most=gate(0.05),
        peer=copula.means if copula else None,
    )
    yield figure(
        f"{name}: 2-way by quantiles and atoms",
        [d.pairs for d in ours],
        "distance",
        at_most=gate(PAIRS.get(name)),
        peer=copula.pairs if copula else None,
    )
    yield figure(f"{name}: 2-way by quantiles, bootstrap", [floor.pairs], "distance")
    before = [run_before(case, seed=s) for s in seeds]
    yield figure(f"{name}: 2-way in 32 equal bins, codes alone", before, "distance")
    yield figure(
        f"{name}: 2-way in 32 equal bins",
        [d.equal for d in ours],
        "distance",
        at_most=gate(EQUAL.get(name, 1.08 * float(np.mean(before)))),
    )
    yield figure(
        f"{name}: the values' part of the run", [d.part for d in ours], "share", at_most=gate(0.1)
    )
    yield figure(
        f"{name}: bytes that a silo sends",
        [float(sent_bytes(case.schema))],
        "bytes",
        at_most=gate(MOST_BYTES),
    )
    if name in SILOS:
        own = [run_ours(case, seed=s, silos=SILOS[name]) for s in seeds]
        yield figure(
            f"{name}: Column Shapes, own noise of {SILOS[name]} silos",
            [d.shapes for d in own],
            "score",
            at_least=gate(0.95) if name in OWN_GATED else None,
        )


def main() -> None:
    """Run the tables that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="tables whose name holds this text")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many seeds, 1 to 3")
    parser.add_argument("--no-peers", action="store_true", help="leave SDV out")
    options = parser.parse_args()
    only = options.only
    quick = is_quick()
    names = ("RAND",) if quick else tuple(n for n in SHAPES if only in n)
    seeds = SEEDS[: 1 if quick else options.seeds]
    peers = not (quick or options.no_peers) and (PEERS / "sdv" / "READY").exists()
    found = [f for n in names for f in figures(n, seeds=seeds, gated=not quick, peers=peers)]
    sys.exit(publish("values", found, room="values", update=bool(only)))


if __name__ == "__main__":
    main()
