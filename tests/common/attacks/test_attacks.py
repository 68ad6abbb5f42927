"""Attacks against oracles, on what leaks and on what does not."""

from __future__ import annotations

from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import nbinom, norm

from silosynth.common.attacks import Known, attack, refuse_shared_rows
from silosynth.common.attacks.disclosure import _nearest, disclosures, singled_out
from silosynth.common.attacks.membership import (
    Scores,
    by_releases,
    by_sampler,
    curve,
    excess,
    membership,
)
from silosynth.common.attacks.people import Arena, make_arena
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import Measurement
from silosynth.common.report.privacy_plots import limit
from silosynth.common.sampler import CliqueMarginal, Sampler, build_sampler
from silosynth.common.schema import Schema, parse_schema
from silosynth.common.scores import read_values

ROWS = 1_000
SIZES = (40, 30, 6, 2)
NAMES = tuple("abcd")


def schema() -> Schema:
    """Return four lists, the first two of many codes."""
    return parse_schema(
        {
            "name": "people",
            "attributes": [
                {
                    "name": name,
                    "kind": "categorical",
                    "categories": [f"{name}{i}" for i in range(size)],
                    "source": "declared",
                }
                for name, size in zip(NAMES, SIZES, strict=True)
            ],
        }
    )


def codes(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Return (rows, 4) codes with long tails, the second dependent on the first."""
    columns = [rng.zipf(1.3, rows) % size for size in SIZES]
    columns[1] = (columns[1] + 3 * columns[0]) % SIZES[1]
    return np.stack(columns, axis=1)


def table(rows: np.ndarray) -> pa.Table:
    return pa.table({n: [f"{n}{c}" for c in rows[:, i]] for i, n in enumerate(NAMES)})


def arena(members: np.ndarray, made: np.ndarray, control: np.ndarray) -> Arena:
    tables = [table(members), table(made), table(control)]
    values, _ = read_values(tables, schema=schema())
    return make_arena(values, tables, seed=1)


def releases(rows: np.ndarray, *, sigma2: float, rng: np.random.Generator) -> list[Measurement]:
    """Return pairs as a coordinator sees them; the counts are exact where there is no noise."""
    found = []
    for left, right in ((0, 1), (1, 2), (2, 3)):
        shape = [schema().domain.shape[i] for i in (left, right)]
        cells = np.ravel_multi_index((rows[:, left], rows[:, right]), shape)
        exact = np.bincount(cells, minlength=shape[0] * shape[1]).astype(np.float64)
        noise = rng.normal(0, sigma2**0.5, len(exact)) if sigma2 >= 0.1 else 0.0
        variance = np.full(len(exact), sigma2)
        clique = (NAMES[left], NAMES[right])
        found.append(Measurement(clique=clique, values=exact + noise, variance=variance))
    return found


def auc(scores: Scores) -> float:
    return membership(scores)[0].value


@pytest.fixture(scope="module")
def world() -> tuple[Arena, np.ndarray]:
    """Return members, a table of other people, and a large control."""
    rng = np.random.default_rng(5)
    members, control = codes(rng, ROWS), codes(rng, 20_000)
    return arena(members, codes(rng, ROWS), control), members


def test_without_noise_the_coordinator_finds_outliers_and_with_noise_hardly_anybody(
    world: tuple[Arena, np.ndarray],
) -> None:
    ring, members = world
    rng = np.random.default_rng(6)
    bare = releases(members, sigma2=1e-6, rng=rng)
    everybody, outliers = by_releases(ring, bare, schema())
    assert auc(outliers) >= 0.95
    assert auc(everybody) > 0.7
    # Epsilon 1 at delta 1e-6: sigma 4.2 for one marginal, so the root of 3 times that for three.
    hidden = [releases(members, sigma2=3 * 4.2**2, rng=rng) for _ in range(10)]
    found = [[auc(s) for s in by_releases(ring, one, schema())] for one in hidden]
    assert (np.mean(found, axis=0) <= 0.6).all()


@pytest.mark.parametrize("sigma2", [400.0, 9.0, 1e-6])
def test_the_score_of_releases_is_its_formula(
    world: tuple[Arena, np.ndarray], sigma2: float
) -> None:
    """The oracle: two normal laws, or the sum over all counts that may be behind a noised one."""
    ring, members = world
    (first, *_) = released = releases(members, sigma2=sigma2, rng=np.random.default_rng(3))
    scores, _ = by_releases(ring, released[:1], schema())
    reference = ring.codes(schema())[2]
    total = first.values.sum()
    people = len(reference[0]) + len(first.values) / 2
    counts = np.arange(500)
    for i in range(9):
        row = [int(c[i]) for c in ring.codes(schema())[0]]
        alike = int(((reference[0] == row[0]) & (reference[1] == row[1])).sum()) + 0.5
        share = alike / people
        spread = sigma2 + total * share * (1 - share) * (1 + total / len(reference[0]))
        value = first.values[row[0] * schema().domain.shape[1] + row[1]]
        if spread < 25:
            out = nbinom.pmf(counts, alike, people / (people + total))
            seen = norm.pdf(value, counts, sigma2**0.5)
            within = np.append(0, out)[:-1]
            right = np.log((seen @ within) / (seen @ out))
        else:
            right = (value - total * share - 0.5) / spread
        assert scores.members[i] == pytest.approx(right, rel=1e-3)


def sampler(rows: np.ndarray) -> Sampler:
    """Return the sampler of the tree a-b-c-d, fitted to rows without any noise."""
    nodes = []
    for clique, separator in ((("a", "b"), ()), (("b", "c"), ("b",)), (("c", "d"), ("c",))):
        places = [NAMES.index(n) for n in clique]
        shape = [schema().domain.shape[i] for i in places]
        cells = np.ravel_multi_index([rows[:, i] for i in places], shape)
        counts = np.bincount(cells, minlength=int(np.prod(shape))).astype(np.float64)
        nodes.append(CliqueMarginal(clique=clique, separator=separator, values=counts))
    return build_sampler(
        schema=schema(),
        grouping=Grouping(),
        within={},
        nodes=nodes,
        total=len(rows),
        certificate={},
        plan_digest="sha256:" + "0" * 64,
    )


def test_a_sampler_that_was_fitted_without_noise_gives_its_people_away(
    world: tuple[Arena, np.ndarray],
) -> None:
    ring, members = world
    assert auc(by_sampler(ring, sampler(members))) > 0.7
    others = codes(np.random.default_rng(8), ROWS)
    assert abs(auc(by_sampler(ring, sampler(others))) - 0.5) < 0.06


def test_the_score_of_a_sampler_is_its_cliques_less_its_separators() -> None:
    """On cells that members and reference both fill, smoothing apart, it is the log ratio."""
    rng = np.random.default_rng(2)
    small = rng.integers(0, 2, (4_000, 4))
    ring = arena(small, small, rng.integers(0, 2, (8_000, 4)))
    found = by_sampler(ring, sampler(small))
    reference = np.stack(ring.codes(schema())[2], axis=1)
    members = np.stack(ring.codes(schema())[0], axis=1)

    def share(rows: np.ndarray, places: tuple[int, ...], row: np.ndarray) -> float:
        return float((rows[:, places] == row[list(places)]).all(axis=1).mean())

    for row in map(np.array, product(range(2), repeat=4)):
        ratio = sum(
            sign * np.log(share(small, p, row) / share(reference, p, row))
            for p, sign in (((0, 1), 1), ((1, 2), 1), ((2, 3), 1), ((1,), -1), ((2,), -1))
        )
        place = int(np.flatnonzero((members == row).all(axis=1))[0])
        assert found.members[place] == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize(("copied", "found"), [(1.0, True), (0.04, True), (0.0, False)])
def test_a_copy_is_told_from_another_sample(copied: float, found: bool) -> None:
    rng = np.random.default_rng(4)
    members, control, made = codes(rng, 3_000), codes(rng, 12_000), codes(rng, 3_000)
    # A column of many values: without one, people alike are copies of one another.
    wide = [
        np.column_stack([t, rng.integers(0, 400, (len(t), 2))]) for t in (members, made, control)
    ]
    part = round(copied * len(made))
    wide[1][:part] = wide[0][:part]
    tables = [pa.table({n: t[:, i] for i, n in enumerate((*NAMES, "x", "y"))}) for t in wide]
    values, _ = read_values(tables)
    attacked = attack(values, tables, secrets=("d",), seed=1)
    beyond = [m.name for m in attacked.measures if (m.low or 0) - (m.ceiling or 0) > 0.025]
    assert bool(beyond) is found
    assert len(attacked.worst) == 10
    assert len(set(attacked.worst)) == 10
    assert next(m.name for m in attacked.exhibits) == "membership by the closest record, AUC"


def test_all_that_is_known_is_used(world: tuple[Arena, np.ndarray]) -> None:
    _, members = world
    rng = np.random.default_rng(7)
    tables = [table(r) for r in (members, codes(rng, ROWS), codes(rng, 4_000))]
    values, _ = read_values(tables, schema=schema())
    known = Known(
        schema=schema(),
        sampler=sampler(members),
        releases=tuple(releases(members, sigma2=1e-6, rng=rng)),
    )
    attacked = attack(values, tables, known=known, seed=1)
    names = [c.name for c in attacked.curves]
    assert names[:3] == [
        "membership by releases",
        "membership by releases, of outliers alone",
        "membership by cliques of the sampler",
    ]
    assert {m.target for m in attacked.measures if m.name.startswith("secrets")} == {"a", "b", "c"}


def naive_nearest(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return (people,) how many columns the nearest row differs in."""
    return np.array([(others != row).sum(axis=1).min() for row in own])


def test_distances_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(9)
    ring = arena(codes(rng, 300), codes(rng, 300), codes(rng, 600))
    _, exhibits = disclosures(ring, secrets=("d",), seed=1)
    sides = [np.stack([c.codes for c in v.columns], axis=1) for v in ring.equal()]
    made = np.stack([c.codes for c in ring.synthetic.columns], axis=1)
    medians = [float(np.median(naive_nearest(side, made))) for side in sides]
    assert exhibits[1].value == medians[0]
    assert exhibits[1].ceiling == medians[1]


def test_numbers_are_near_by_rank_and_missing_is_near_missing_alone() -> None:
    rng = np.random.default_rng(1)

    def people(rows: int) -> pa.Table:
        gaps = rng.random(rows) < 0.3
        return pa.table(
            {"x": pa.array(rng.exponential(9, rows), mask=gaps), "y": rng.normal(0, 1, rows)}
        )

    real, control = people(600), people(1_200)
    values, _ = read_values([real, real, control])
    ring = make_arena(values, [real, real, control], seed=1)
    risks, exhibits = disclosures(ring, secrets=(), seed=1)
    assert exhibits[1].value == 0
    assert exhibits[1].ceiling is not None
    assert exhibits[1].ceiling > 0
    linked = next(m for m in risks if m.name.startswith("halves"))
    assert linked.value > 0.5
    singled = singled_out(ring, seed=1)
    assert singled.value == pytest.approx(singled.floor)
    assert singled.value > 0.5


def test_those_who_are_in_the_table_are_linked_and_nobody_else() -> None:
    rng = np.random.default_rng(2)
    people = pa.table({n: rng.normal(0, 1, 200) for n in "wxyz"})
    (everybody, there), _ = read_values([people, people.slice(0, 100)])
    linked = _nearest(everybody, there, secrets=(), seed=1).linked
    assert linked[:100].all()
    assert linked[100:].mean() < 0.5


def test_other_people_are_found_as_often_as_members() -> None:
    rng = np.random.default_rng(11)
    ring = arena(codes(rng, 2_000), codes(rng, 2_000), codes(rng, 4_000))
    risks, _ = disclosures(ring, secrets=("a",), seed=1)
    assert [m.target for m in risks] == ["a", None, None]
    assert all((m.low or 0) < 0 < (m.high or 0) for m in risks)


def test_ties_count_for_the_others() -> None:
    flat = Scores(how="nothing", members=np.zeros(500), others=np.zeros(500))
    area, *found = membership(flat)
    assert area.value == 0.5
    assert all(m.value == m.low == 0 for m in found)
    # The oracle: of no hit in n tries Wilson's upper end is z^2 / (n + z^2).
    assert all(m.high == pytest.approx(1.96**2 / (500 + 1.96**2), rel=1e-4) for m in found)
    assert all(v == 0 for f, v in curve(flat).points if f < 1)
    assert curve(flat).points[-1] == (1.0, 1.0)


def test_a_curve_of_normal_scores_is_the_limit() -> None:
    """The oracle: scores a distance mu apart have the curve Phi(Phi^-1(f) + mu)."""
    law, rows, mu = NormalDist(), 20_000, 1.5
    grid = np.array([law.inv_cdf((i + 0.5) / rows) for i in range(rows)])
    for f, v in curve(Scores(how="normal", members=grid + mu, others=grid)).points:
        if 1e-3 <= f < 1:
            assert v == pytest.approx(limit(f, mu), abs=0.01)
    assert limit(0.01, 0.0) == pytest.approx(0.01)
    assert limit(1.0, mu) == 1.0


def test_an_excess_has_an_interval_that_no_certainty_shrinks() -> None:
    never = excess("nothing", np.zeros(100, bool), np.zeros(100, bool))
    assert never.value == 0
    assert never.low is not None
    assert never.low < 0 < (never.high or 0)
    assert never.floor == 1
    always = excess("copies", np.ones(100, bool), np.zeros(100, bool))
    assert always.value == 1
    assert (always.low or 0) > 0.9


@pytest.mark.parametrize("copied", [0, 40])
def test_a_control_of_another_size_may_hold_people_alike_but_no_copies(copied: int) -> None:
    rng = np.random.default_rng(3)

    def people(rows: int) -> np.ndarray:
        return np.column_stack([codes(rng, rows), rng.zipf(1.5, rows) % 2_000])

    real, control = people(1_000), people(30_000)
    control[:copied] = real[:copied] + np.array([0, 0, 0, 0, 5_000])
    real[:copied] += np.array([0, 0, 0, 0, 5_000])
    named: Any = [pa.table({str(i): t[:, i] for i in range(5)}) for t in (real, control)]
    (first, second), _ = read_values(named)
    if copied:
        with pytest.raises(InvalidTable, match="shares rows"):
            refuse_shared_rows(first, second)
    else:
        refuse_shared_rows(first, second)
