"""Hold a synthetic table against real rows, with floor and ceiling, for a report."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa

from silosynth.common.certificate import Certificate
from silosynth.common.codec import Codec, TableLike, as_table
from silosynth.common.domain import Clique, Domain
from silosynth.common.evaluate.evaluate import FEWEST_ROWS, evaluate
from silosynth.common.evaluate.made import UNKNOWN, Made, Tell, Wish, guarantee_of, silent
from silosynth.common.plan import Plan
from silosynth.common.report import (
    AttributeFacts,
    Bound,
    Headline,
    Mode,
    PairFacts,
    PairsFacts,
    Provenance,
    Reference,
    ReportFacts,
    Score,
    ScoreName,
    attribute_facts,
    certificate_facts,
    plan_facts,
    silo_facts,
    uncoded_names,
)
from silosynth.common.schema import Schema
from silosynth.common.scores import (
    Rows,
    SubsampleCurve,
    all_cliques,
    draw_again,
    equivalent_subsample,
    fixed_cliques,
    marginal_distances,
    mean_score,
    merge_bins,
    nested_subsamples,
    read_rows,
    shapes_of,
    shuffle_columns,
    some_rows,
    subsample_curve,
    trends_of,
)

TRIPLES = 200
FRACTIONS = (0.002, 0.01, 0.05, 0.2, 0.6)
_COLUMN_SCORES = (
    (ScoreName.COLUMN_SHAPES, 1, shapes_of),
    (ScoreName.COLUMN_PAIR_TRENDS, 2, trends_of),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Comparison:
    """Everything that a score is worked out from; ``ceiling`` and ``floor`` are made of real."""

    schema: Schema
    real: Rows
    synthetic: Rows
    ceiling: Rows
    floor: Rows
    ceiling_is: Reference
    seed: int

    def sides(self) -> tuple[Rows, Rows, Rows]:
        """Return what is held against the real rows, in the order value, ceiling, floor."""
        return self.synthetic, self.ceiling, self.floor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Distances:
    """(cliques, 3) float64 total variation distances: of value, ceiling and floor.

    ``curve`` holds the mean distances of subsamples of the real rows.
    """

    cliques: tuple[Clique, ...]
    found: np.ndarray
    curve: SubsampleCurve | None


def compare(
    real: TableLike,
    synthetic: TableLike,
    *,
    schema: Schema,
    plan: Plan | None = None,
    certificate: Certificate | None = None,
    costs: Mapping[str, int] | None = None,
    silo_rows: Mapping[str, int] | None = None,
    held_out: TableLike | None = None,
    chosen: Collection[Clique] = (),
    seed: int = 0,
    provenance: Provenance | None = None,
    wish: Wish | None = None,
    made: Made = UNKNOWN,
    tell: Tell = silent,
) -> ReportFacts:
    """Compare a synthetic table with the pooled real rows: by the model's bins, and by values.

    Tables beyond 30,000 rows are compared in the model's bins by as many of theirs. Values are
    compared where a wish says so and each table has 200 rows.

    The result is **not** differentially private. The same arguments give the same facts.

    Args:
        costs: what each silo charged, in ledger units of 2^-40; a table alone has no plan.
        silo_rows: private row counts by silo, for the page's table.
        held_out: a second real sample; without one the ceiling is a bootstrap of ``real``.
        chosen: the pairs that the plan measured by themselves.
        wish: what is asked of the comparison of values; none is made without one.
        made: what else is known of how the table was made; the guarantee is the certificate's.
        seed: for the bootstrap, the shuffled columns, the subsamples and the choice of triples.

    Raises InvalidTable when a table has no rows or does not have the schema's columns.
    """
    given, made_up = (
        as_table(t, origin=o) for t, o in ((real, "real table"), (synthetic, "synthetic table"))
    )
    comparison = _prepare(given, made_up, schema=schema, held_out=held_out, seed=seed)
    distances = _measure(comparison)
    scores = (*_distance_scores(comparison, distances), *_column_scores(comparison))
    attributes = _attributes(comparison, distances[1])
    del comparison  # many rows, and values are read beside what is kept
    evaluation = None
    if wish is not None and min(given.num_rows, made_up.num_rows) >= FEWEST_ROWS:
        evaluation = evaluate(
            given,
            made_up,
            control=held_out,
            schema=schema,
            wish=wish,
            made=_with_guarantee(made, certificate=certificate, plan=plan),
            seed=seed,
            tell=tell,
        )
    origin = provenance or Provenance(digests={"schema": schema.digest})
    return ReportFacts(
        mode=Mode.SIMULATION,
        headline=Headline(
            schema_name=schema.name,
            description=schema.description,
            attributes=len(schema.coded),
            silos=len(costs or {}),
            rows_synthetic=made_up.num_rows,
            rows_real=given.num_rows,
        ),
        certificate=certificate_facts(certificate) if certificate else None,
        evaluation=evaluation,
        scores=scores,
        attributes=attributes,
        pairs=_pairs(schema.domain, distances.get(2), chosen=chosen),
        not_compared=uncoded_names(schema),
        silos=silo_facts(costs or {}, plan=plan, rows=silo_rows) if plan else (),
        plan=plan_facts(plan) if plan else None,
        provenance=origin.model_copy(update={"seeds": {**origin.seeds, "comparison": seed}}),
    )


def _with_guarantee(made: Made, *, certificate: Certificate | None, plan: Plan | None) -> Made:
    """Return what is known, with what a certificate states."""
    if certificate is None:
        return made
    unit = plan.privacy.unit if plan else "person"
    return replace(made, guarantee=guarantee_of(certificate, unit=unit))


def _prepare(
    real: pa.Table,
    synthetic: pa.Table,
    *,
    schema: Schema,
    held_out: TableLike | None,
    seed: int,
) -> _Comparison:
    """Read the tables and make floor and ceiling from the real one."""
    codec = Codec(schema=schema)
    rows = read_rows(some_rows(real, seed=seed), codec=codec, origin="real table")
    second = None
    if held_out is not None:
        other = some_rows(as_table(held_out, origin="held-out table"), seed=seed)
        second = read_rows(other, codec=codec, origin="held-out table", beside=rows)
    return _Comparison(
        schema=schema,
        real=rows,
        synthetic=read_rows(
            some_rows(synthetic, seed=seed), codec=codec, origin="synthetic table", beside=rows
        ),
        ceiling=second or draw_again(rows, seed=seed),
        floor=shuffle_columns(rows, seed=seed),
        ceiling_is=Reference.HELD_OUT if second else Reference.BOOTSTRAP,
        seed=seed,
    )


def _measure(comparison: _Comparison) -> dict[int, _Distances]:
    """Return the distances of all 1-way and 2-way and of up to 200 3-way marginals, by k."""
    seed = comparison.seed
    schema, every = comparison.schema, comparison.sides()
    bent = {name for rows in (comparison.real, *every) for name in rows.bent}
    domain, real = merge_bins(schema, comparison.real, bent=bent)
    sides = [merge_bins(schema, rows, bent=bent)[1] for rows in every]
    distances = {}
    for ways in range(1, min(len(domain.attributes), 3) + 1):
        cliques = _cliques(domain, ways, seed=seed)
        found = marginal_distances(real, sides, domain=domain, cliques=cliques)
        curve = subsample_curve(real, domain=domain, cliques=cliques, seed=seed)
        distances[ways] = _Distances(
            cliques=cliques,
            found=found,
            curve=_curve(dict(zip(curve.fractions, curve.distances, strict=True))),
        )
    return distances


def _cliques(domain: Domain, ways: int, *, seed: int) -> tuple[Clique, ...]:
    """Return the cliques of ``ways`` attributes that are compared."""
    if ways < 3:
        return all_cliques(domain, ways)
    return fixed_cliques(domain, ways, count=TRIPLES, seed=seed)


def _distance_scores(comparison: _Comparison, distances: Mapping[int, _Distances]) -> list[Score]:
    """Return the mean distance for each k."""
    return [
        _score(
            comparison,
            name=ScoreName.MARGINAL_DISTANCE,
            ways=ways,
            marginals=len(distance.cliques),
            marks=[float(m) for m in distance.found.mean(axis=0)],
            curve=distance.curve,
        )
        for ways, distance in distances.items()
    ]


def _column_scores(comparison: _Comparison) -> list[Score]:
    """Return column shapes and column pair trends; a score that is not defined is left out."""
    subsamples = _subsamples(comparison)
    scores = []
    for name, ways, measure in _COLUMN_SCORES:
        score = partial(measure, comparison.real.read)
        found = [score(rows.read) for rows in comparison.sides()]
        marks = [mean_score(f.values()) for f in found]
        if not np.isfinite(marks).all():
            continue
        misses = {f: 1 - mean_score(score(s.read).values()) for f, s in subsamples.items()}
        scores.append(
            _score(
                comparison,
                name=name,
                ways=ways,
                marginals=sum(m == m for m in found[0].values()),
                marks=marks,
                curve=_curve(misses),
            )
        )
    return scores


def _score(
    comparison: _Comparison,
    *,
    name: ScoreName,
    ways: int,
    marginals: int,
    marks: list[float],
    curve: SubsampleCurve | None,
) -> Score:
    """Return a score of the synthetic table between its ceiling and its floor."""
    miss = abs(marks[0] - (0.0 if name is ScoreName.MARGINAL_DISTANCE else 1.0))
    return Score(
        name=name,
        ways=ways,
        marginals=marginals,
        value=marks[0],
        ceiling=marks[1],
        ceiling_is=comparison.ceiling_is,
        floor=marks[2],
        floor_is=Reference.INDEPENDENT,
        subsample=None if curve is None else equivalent_subsample(miss, curve=curve),
        subsample_bound=None if curve is None else _bound(miss, curve),
    )


def _curve(misses: Mapping[float, float]) -> SubsampleCurve | None:
    """Return how far subsamples miss, by fraction, where that is defined and above 0."""
    defined = {f: m for f, m in misses.items() if m > 0}
    if not defined:
        return None
    return SubsampleCurve(fractions=tuple(defined), distances=tuple(defined.values()))


def _bound(miss: float, curve: SubsampleCurve) -> Bound | None:
    """Tell on which side of the tried subsamples a miss lies, if it lies beyond them."""
    if miss > max(curve.distances):
        return Bound.AT_MOST
    return Bound.AT_LEAST if miss < min(curve.distances) else None


def _subsamples(comparison: _Comparison) -> dict[float, Rows]:
    """Return a few nested subsamples of the real rows by their fraction."""
    rows = comparison.real.count
    fractions = [f for f in FRACTIONS if round(f * rows) >= 2] or [1 - 1 / (rows + 1)]
    samples = nested_subsamples(comparison.real, fractions=fractions, seed=comparison.seed)
    return dict(zip(fractions, samples, strict=True))


def _attributes(comparison: _Comparison, distances: _Distances) -> tuple[AttributeFacts, ...]:
    """Return every attribute's real marginal beside the synthetic one, worst first."""
    bent = comparison.real.bent
    facts = [
        _with_bent(
            attribute_facts(
                attribute,
                reference=_shares(real, attribute.size, bent=bent.get(attribute.name)),
                synthetic=_shares(synthetic, attribute.size),
                value=float(value),
                ceiling=float(ceiling),
            ),
            bent=bent.get(attribute.name),
        )
        for attribute, real, synthetic, (value, ceiling, _) in zip(
            comparison.schema.coded,
            comparison.real.codes,
            comparison.synthetic.codes,
            distances.found,
            strict=True,
        )
    ]
    return tuple(sorted(facts, key=lambda a: (-a.value, a.name)))


def _with_bent(facts: AttributeFacts, *, bent: np.ndarray | None) -> AttributeFacts:
    """Return an attribute's facts with a bar more, of the real values that no code is for."""
    if bent is None:
        return facts
    more = {
        "codes": facts.codes + 1,
        "labels": (*facts.labels, "[does not fit]"),
        "reference": (*facts.reference, float(bent.mean())),
        "synthetic": (*facts.synthetic, 0.0),
    }
    return facts.model_copy(update=more)


def _pairs(
    domain: Domain, distances: _Distances | None, *, chosen: Collection[Clique]
) -> PairsFacts:
    """Return every pair's distance; none when there is one attribute."""
    if distances is None:
        return PairsFacts(attributes=domain.attributes)
    edges = {domain.ordered(c) for c in chosen if len(c) == 2}
    pairs = tuple(
        PairFacts(
            left=domain.index(pair[0]),
            right=domain.index(pair[1]),
            value=float(value),
            ceiling=float(ceiling),
            floor=float(floor),
            chosen=pair in edges,
        )
        for pair, (value, ceiling, floor) in zip(distances.cliques, distances.found, strict=True)
    )
    return PairsFacts(attributes=domain.attributes, pairs=pairs)


def _shares(codes: np.ndarray, size: int, *, bent: np.ndarray | None = None) -> np.ndarray:
    """Return (size,) float64, the share of each code in all rows; rows that are bent have none."""
    own = codes if bent is None else codes[~bent]
    return np.bincount(own, minlength=size) / len(codes)
