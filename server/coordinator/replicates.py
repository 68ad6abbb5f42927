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
from silosynth.common.estimate import FEWEST, MOST
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import (
    COMPONENT,
    AnySampler,
    Conditional,
    Sampler,
    TableSampler,
    draw_codes,
)
from silosynth.common.seeded import SeededWords, check_whole
from silosynth.server.coordinator.state import State
from silosynth.server.measuring import Carried
from silosynth.server.methods import METHODS, Outcome, finish_run

_LEAST_ROWS = 1


def draw_replicates(state: State, outcome: Outcome, *, count: int, seed: int) -> Iterator[Sampler]:
    """Yield ``count`` samplers, each of a run as it might have gone; the seed gives the same.

    Which marginals a run measured, how it merged codes and where it cut numbers are taken as they
    are: that other noise would have chosen otherwise is not in the replicates.

    Raises InvalidArgument where the method trains a generator: its rounds cannot be gone again
    without the silos.
    """
    check_whole(seed, name="the seed")
    if not FEWEST <= count <= MOST:
        raise InvalidArgument(f"{count} replicates are not between {FEWEST} and {MOST}")
    draws = METHODS[state.plan.method].draws
    if draws or not isinstance(outcome.sampler, Sampler):
        made = "trained a generator" if draws else "fitted a mixture"
        raise InvalidArgument(
            f"a run of {state.plan.method.value} has no replicates: it {made}",
            hint="independent, mst and aim have them",
        )
    known = state.known()
    for index in range(count):
        words = SeededWords(seed=seed, purpose="replicates", index=index << 32)
        codes = _people(outcome.sampler, words, seed=seed, index=index)
        again = {
            phase: tuple(_measure(m, codes, known.schema.domain, words) for m in measured)
            for phase, measured in known.measured.items()
        }
        carried = _carried(known.carried, codes, known.schema.domain, words)
        found = finish_run(
            replace(known, measured=again, merging=known.merged_by, carried=carried)
        ).sampler
        yield replace(_in_conditionals(found), schema=state.table, spreads=state.spreads)


def _in_conditionals(found: AnySampler) -> Sampler:
    """Return a mixture of products as conditionals over its component: the same rows are as likely.

    Of other people, other models may be nearest: no dependence, or a copula.
    """
    if not isinstance(found, TableSampler):
        assert isinstance(found, Sampler)  # what is no generator is a model of marginals
        return found
    columns = zip(found.working.attributes, found.tables, strict=True)
    return Sampler(
        schema=found.schema,
        grouping=found.grouping,
        within=found.within,
        conditionals=(
            Conditional(attribute=COMPONENT, given=(), ends=found.weights[None]),
            *(Conditional(attribute=a, given=(COMPONENT,), ends=table) for a, table in columns),
        ),
        components=len(found.weights),
        total=found.total,
        certificate=found.certificate,
        plan_digest=found.plan_digest,
    )


def _people(
    sampler: AnySampler, words: SeededWords, *, seed: int, index: int
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
