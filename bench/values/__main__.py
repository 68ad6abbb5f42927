"""Whether the table that comes out looks like the one that went in: values, not cells.

Pooled AIM at epsilon 1 over three seeds, own and shared noise of natural silos by their laws, a
bootstrap of the real rows, and SDV's GaussianCopula without privacy in an environment of its own.
What stands beside in equal bins is the same plan over the codes of 32 equal bins, which numbers had
before their values were looked at. QUICK=1 runs all tables on few rows, without gates.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.aim.published import count_with_cache
from bench.peers.run import PEERS, run_table_peer
from bench.support.pooled import coded_schema, run_pooled
from bench.support.pooled_values import run_table
from bench.support.results import Figure, is_quick, publish, read_facts
from bench.support.tables import Case, encode
from bench.values.cases import LABELS, load, public_bound
from bench.values.score import InBins, Scored, numbers_of, score, score_codes
from silosynth.common.plan import TrustMode
from silosynth.common.sampler import draw_codes
from silosynth.common.sampler.sampler import draw
from silosynth.common.schema import NumericAttribute, OrdinalAttribute, Schema
from silosynth.server.planning import new_plan

SEEDS = (0, 1, 2)
EPSILON, DELTA = 1.0, 1e-6
QUICK_ROWS = 1_500

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
WORSE = 1.08
"""How much worse than codes alone pairs in equal bins may be."""

PAIRS = {"Adult": 0.03, "ACS": 0.08}
SILOS = {"ACS": 20, "nycflights13": 3, "Beijing": 12, "BRFSS": 54, "RAND": 5, "Adult": 6}
"""Natural silos: places, origins, stations, states, insurers, kinds of work."""
OWN, SHARED_LOSS = 0.95, 0.005
MOST_BYTES = 16 * 2**20

Gate = Callable[[float | None], float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a run made of a table, and the part of it that looked at values."""

    scored: Scored
    part: float


def run_ours(
    case: Case,
    *,
    seed: int,
    silos: int = 1,
    trust: TrustMode = TrustMode.OWN,
    label: str | None = None,
) -> Ran:
    """Return the scores of a pooled run, or of one with the noise of several silos."""
    plan = new_plan(
        case.schema,
        epsilon=EPSILON,
        delta=DELTA,
        silos=tuple(f"s{i}" for i in range(silos)),
        method="aim",
        rows_at_most=public_bound(case),
        trust=trust,
    )
    # In a secret sum a phase's noise is that of the sum.
    each = silos if trust is TrustMode.OWN else 1
    rng = np.random.default_rng(seed)
    done = run_table(plan, case.table, schema=case.schema, rng=rng, silos=each)
    table = draw(done.sampler, rows=case.table.num_rows, seed=seed)
    part = done.values_seconds / done.seconds
    return Ran(scored=score(case, table, label=label), part=part)


def run_before(case: Case, *, seed: int, label: str | None) -> InBins:
    """Return what the same plan makes of codes alone."""
    ordered = frozenset(
        a.name for a in case.schema.coded if isinstance(a, NumericAttribute | OrdinalAttribute)
    )
    schema = coded_schema("codes", domain=case.domain, ordered=ordered)
    codes = encode(case.table, schema=case.schema)
    plan = new_plan(
        schema,
        epsilon=EPSILON,
        delta=DELTA,
        silos=("all",),
        method="aim",
        rows_at_most=public_bound(case),
    )
    counts = count_with_cache(codes.astype(np.int64), domain=case.domain)
    done = run_pooled(plan, counts, schema=schema, rng=np.random.default_rng(seed))
    drawn = np.stack(draw_codes(done.sampler, rows=len(codes), seed=seed), axis=1)
    return score_codes(case, codes, drawn.astype(np.uint16), label=label)


def sent_bytes(schema: Schema) -> int:
    """Return the most that a silo sends of counts in a plan by AIM."""
    plan = new_plan(schema, epsilon=EPSILON, delta=DELTA, silos=("all",), method="aim")
    return 8 * sum(p.cells for p in plan.phases)


def figure(
    name: str,
    values: Sequence[float],
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
    case = load(name, rows=None if gated else QUICK_ROWS)
    label = LABELS.get(name)
    ran = [run_ours(case, seed=s, label=label) for s in seeds]
    ours = [r.scored for r in ran]
    print(f"{name}: worst columns by mean, by shape: {ours[0].worst}", file=sys.stderr)
    gate: Gate = lambda g: g if gated else None  # noqa: E731
    yield from seen(name, case, ours, gate=gate, peers=peers)
    before = [run_before(case, seed=s, label=label) for s in seeds]
    yield from in_bins(name, [s.bins for s in ours], before, gate=gate)
    part = [r.part for r in ran]
    yield figure(f"{name}: the values' part of the run", part, "share", at_most=gate(0.1))
    size = float(sent_bytes(case.schema))
    yield figure(f"{name}: bytes that a silo sends", [size], "bytes", at_most=gate(MOST_BYTES))
    if name in SILOS and (gated or name == "RAND"):
        yield from by_silos(name, case, ours, seeds=seeds, gate=gate)


def seen(
    name: str, case: Case, ours: Sequence[Scored], *, gate: Gate, peers: bool
) -> Iterator[Figure]:
    """Yield what a reader sees, beside SDV and a bootstrap of the real rows."""
    numbers = tuple(numbers_of(case, case.table))
    copula = score(case, run_table_peer("sdv", case.table, numbers=numbers)) if peers else None
    rng = np.random.default_rng(0)
    again = case.table.take(rng.integers(0, case.table.num_rows, case.table.num_rows))
    floor = score(case, again)
    told = f"{name}: Column Shapes"
    peer = copula.shapes if copula else None
    least = gate(SHAPES[name])
    yield figure(f"{told}, pooled", [s.shapes for s in ours], "score", at_least=least, peer=peer)
    yield figure(f"{told}, bootstrap of the real rows", [floor.shapes], "score")
    facts = (
        ("worst gap of the share of zeros", "zeros", "share", 0.02),
        ("worst gap of a mean", "means", "spreads", 0.05),
        ("2-way by quantiles and atoms", "pairs", "distance", PAIRS.get(name)),
    )
    for words, fact, unit, most in facts:
        values = [float(getattr(s, fact)) for s in ours]
        peer = float(getattr(copula, fact)) if copula else None
        yield figure(f"{name}: {words}", values, unit, at_most=gate(most), peer=peer)
    yield figure(f"{name}: 2-way by quantiles, bootstrap", [floor.pairs], "distance")


def in_bins(
    name: str, ours: Sequence[InBins], before: Sequence[InBins], *, gate: Gate
) -> Iterator[Figure]:
    """Yield distances in equal bins, and what a model learns, beside those of codes alone."""
    for words, fact in (("2-way", "pairs"), ("3-way", "triples")):
        alone = [float(getattr(b, fact)) for b in before]
        yield figure(f"{name}: {words} in 32 equal bins, codes alone", alone, "distance")
        most = max(alone)
        if fact == "pairs":
            most = EQUAL.get(name, WORSE * float(np.mean(alone)))
        values = [float(getattr(o, fact)) for o in ours]
        yield figure(f"{name}: {words} in 32 equal bins", values, "distance", at_most=gate(most))
    told = [b.auc for b in before if b.auc is not None]
    if told:
        values = [o.auc for o in ours if o.auc is not None]
        yield figure(f"{name}: AUC, codes alone", told, "AUC")
        yield figure(f"{name}: AUC", values, "AUC", at_least=gate(min(told)))


def by_silos(
    name: str, case: Case, ours: Sequence[Scored], *, seeds: tuple[int, ...], gate: Gate
) -> Iterator[Figure]:
    """Yield Column Shapes by natural silos: with noise of their own, and with shared noise."""
    pooled = float(np.mean([s.shapes for s in ours]))
    for trust, least in ((TrustMode.OWN, OWN), (TrustMode.SHARED, pooled - SHARED_LOSS)):
        ran = [run_ours(case, seed=s, silos=SILOS[name], trust=trust) for s in seeds]
        yield figure(
            f"{name}: Column Shapes, {trust.value} noise of {SILOS[name]} silos",
            [r.scored.shapes for r in ran],
            "score",
            at_least=gate(least),
        )


def main() -> None:
    """Run the tables that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="tables whose name holds this text")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many seeds, 1 to 3")
    parser.add_argument("--no-peers", action="store_true", help="leave SDV out")
    options = parser.parse_args()
    quick = is_quick()
    names = tuple(n for n in SHAPES if options.only in n)
    seeds = SEEDS[: 1 if quick else options.seeds]
    peers = not (quick or options.no_peers) and (PEERS / "sdv" / "READY").exists()
    found = [f for n in names for f in figures(n, seeds=seeds, gated=not quick, peers=peers)]
    if not peers:
        known = {f["figure"]: f["peer"] for f in read_facts("values", room="values")}
        found = [replace(f, peer=known.get(f.figure)) for f in found]
    sys.exit(publish("values", found, room="values", update=bool(options.only)))


if __name__ == "__main__":
    main()
