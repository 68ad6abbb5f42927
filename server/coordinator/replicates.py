"""What a run might have come to with other people and other noise: one sampler a replicate.

A parametric bootstrap (Efron and Tibshirani 1993; for differentially private counts Ferrando,
Wang and Sheldon 2022): as many people as the run estimates are drawn from its sampler, with
replacement; what the run measured is counted of them; noise of the stated variance is added, and
the fit is made again. How far replicates lie from the sampler is how far the sampler may lie from
the people that its silos' rows are of. Post-processing of releases: it costs no privacy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidArgument
from silosynth.common.estimate import FEWEST, MOST, Modelled
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import draw_codes
from silosynth.common.seeded import SeededWords, check_whole
from silosynth.server.coordinator.state import State
from silosynth.server.measuring import Carried
from silosynth.server.methods import METHODS, Outcome, finish_run

_LEAST_ROWS = 1


def draw_replicates(state: State, outcome: Outcome, *, count: int, seed: int) -> Iterator[Modelled]:
    """Yield ``count`` samplers, each of a run as it might have gone; the seed gives the same.

    Which marginals a run measured, how it merged codes and where it cut numbers are taken as they
    are: that other noise would have chosen otherwise is not in the replicates.

    Raises InvalidArgument where the method trains a generator, whose rounds cannot be gone again
    without the silos, asks for more than counts of rows, or for one cut of a pair alone: a copula
    would be its own measure, and its intervals covered .65 of pairs of many codes.
    """
    check_whole(seed, name="the seed")
    if not FEWEST <= count <= MOST:
        raise InvalidArgument(f"{count} replicates are not between {FEWEST} and {MOST}")
    recipe, sampler = METHODS[state.plan.method], outcome.sampler
    if recipe.draws or not recipe.replicates or not isinstance(sampler, Modelled):
        made = "trained a generator" if recipe.draws else "asked for less than counts of pairs"
        have = [m.value for m, r in METHODS.items() if r.replicates and not r.draws]
        raise InvalidArgument(
            f"a run of {state.plan.method.value} has no replicates: it {made}",
            hint=f"{', '.join(have)} have them",
        )
    known = state.known()
    for index in range(count):
        words = SeededWords(seed=seed, purpose="replicates", index=index << 32)
        codes = _people(sampler, words, seed=seed, index=index)
        again = {
            phase: tuple(_measure(m, codes, known.schema.domain, words) for m in measured)
            for phase, measured in known.measured.items()
        }
        carried = _carried(known.carried, codes, known.schema.domain, words)
        found = finish_run(
            replace(known, measured=again, merging=known.merged_by, carried=carried)
        ).sampler
        assert isinstance(found, Modelled)  # of other people another kind of mixture may be nearest
        yield replace(found, schema=state.table, spreads=state.spreads)


def _people(
    sampler: Modelled, words: SeededWords, *, seed: int, index: int
) -> tuple[np.ndarray, ...]:
    """Return the codes of other people: rows of the sampler, drawn with replacement.

    A sampler's own rows are spread evenly over its shares; people are not.
    """
    rows = max(sampler.total, _LEAST_ROWS)
    drawn = draw_codes(sampler, rows=rows, seed=seed + index)
    chosen = words.below(rows, rows)
    return tuple(column[chosen] for column in drawn)


def _carried(
    carried: Carried, codes: Sequence[np.ndarray], domain: Domain, words: SeededWords
) -> Carried:
    """Return what a last sampler of these people, in the rows that it had, might have said."""
    if not carried:
        return carried
    scale = carried.rows / max(len(codes[0]), _LEAST_ROWS)

    def again(m: Measurement) -> Measurement:
        counted = _measure(replace(m, variance=m.variance / scale**2), codes, domain, words)
        return replace(m, values=counted.values * scale)

    return Carried(
        one_way=tuple(map(again, carried.one_way)), cliques=tuple(map(again, carried.cliques))
    )


def _measure(
    measured: Measurement, codes: Sequence[np.ndarray], domain: Domain, words: SeededWords
) -> Measurement:
    """Return a measurement as these people and other noise give it."""
    coarse = measured.grouping.domain(domain)
    cells = np.zeros(len(codes[0]), dtype=np.int64)
    for attribute in measured.clique:
        place = domain.index(attribute)
        groups = measured.grouping.lookup(attribute, domain.shape[place])
        cells *= coarse.size((attribute,))
        cells += np.asarray(groups)[codes[place]]
    counts = np.bincount(cells, minlength=len(measured.values))
    noise = words.normal(len(counts)) * np.sqrt(measured.variance)
    return replace(measured, values=counts + noise)
