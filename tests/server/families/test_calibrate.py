"""A law that is off is tilted back by whole histories, where those are long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from silosynth.client.families.count import TableRows
from silosynth.common.families import Weighing, later_of
from silosynth.common.forest import Chain, ForestSampler, Term, bins_of
from silosynth.server.families import fit_families
from silosynth.server.families.calibrate import calibrate
from silosynth.server.families.fit import read_views
from tests.server.families.test_fit import LONG, PLAN, answers, distance, drawn, fitted

VIEW = later_of("visits")


def long_families() -> dict[str, TableRows]:
    """Draw people of 4 or 60 visits, whose wards stay for long; some are rarer than others."""
    random = np.random.default_rng(8)
    numbers = random.choice([4, 60], 600)
    above = np.repeat(np.arange(600), numbers)
    season = random.integers(0, 4, len(above))
    ward = random.choice(4, len(above), p=[0.4, 0.3, 0.2, 0.1])
    stays = random.random(len(above)) < np.where(numbers[above] > 4, 0.85, 0.3)
    for row in np.flatnonzero((above[1:] == above[:-1]) & stays[1:]):
        ward[row + 1] = ward[row]
    bins = bins_of(LONG, "visits")[numbers]
    here = np.arange(600)
    return {
        "people": TableRows(codes=(bins,), above=here, person=here),
        "visits": TableRows(codes=(season, ward), above=above, person=above),
    }


def spoilt(chains: Mapping[str, Chain]) -> dict[str, Chain]:
    """Make ward 0 of later rows likelier, and staying too."""
    law = chains[VIEW]
    steps = []
    for step in law.steps:
        terms = []
        for term in step.terms:
            scores = term.scores.copy()
            if step.attribute == "ward" and term.given == ():
                scores[:, 0] += 3_000
            if step.attribute == "ward" and len(term.given) == 2:
                scores += 4_000 * (scores != 0)
            terms.append(Term(given=term.given, scores=scores))
        steps.append(replace(step, terms=tuple(terms)))
    return {**chains, VIEW: Chain(domain=law.domain, own=law.own, steps=tuple(steps))}


@pytest.fixture(scope="module")
def case() -> tuple[dict[str, TableRows], ForestSampler, dict[str, Chain]]:
    """Return long families, their sampler with a law that is off, and that tilted back."""
    rows = long_families()
    found = answers(rows, weighing=Weighing(fineness=256, length=2**18), schema=LONG)
    sampler = fit_families(LONG, found, certificate={}, plan_digest=PLAN)
    off = spoilt(sampler.chains)
    evidence = read_views(LONG, found)[VIEW]
    law = calibrate(LONG, off, inside=sampler.inside, gaps={}, table="visits", evidence=evidence)
    return rows, replace(sampler, chains=off), {**off, VIEW: law}


def far(rows: dict[str, TableRows], sampler: ForestSampler) -> tuple[float, float]:
    """Return how far wards are off, and how often they stay."""
    made = drawn(sampler, persons=1_500)["visits"]

    def stays(table: TableRows) -> float:
        same = table.above[1:] == table.above[:-1]
        return float((table.codes[1][1:] == table.codes[1][:-1])[same].mean())

    real = rows["visits"]
    return distance(real.codes[1], made.codes[1]), abs(stays(real) - stays(made))


def test_whole_histories_tilt_a_law_back(
    case: tuple[dict[str, TableRows], ForestSampler, dict[str, Chain]],
) -> None:
    rows, sampler, chains = case
    before, after = far(rows, sampler), far(rows, replace(sampler, chains=chains))
    assert before[0] > 0.08
    assert before[1] > 0.02
    assert after[0] < before[0] / 2
    assert after[1] < before[1] / 2


def test_short_histories_keep_their_law() -> None:
    rows, sampler = fitted(Weighing(fineness=256, length=12))
    evidence = read_views(sampler.schema, answers(rows, weighing=Weighing(fineness=256, length=12)))
    law = calibrate(
        sampler.schema,
        sampler.chains,
        inside=sampler.inside,
        gaps={},
        table="visits",
        evidence=evidence[VIEW],
    )
    assert law is sampler.chains[VIEW]
