"""A sampler for each silo beside the one for all, from the same releases.

A silo's own release says more of it than the sum, and with more noise beside fewer rows. So each
marginal of a silo is the sum's, brought to the silo's rows, and as much of the difference between
the two as stands out of the noise of both (James and Stein 1961). What the method makes of sums it
makes of those: the same cliques and codes. Post-processing of releases, so it costs no privacy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from silosynth.common.errors import InvalidArgument
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName
from silosynth.common.sampler import AnySampler
from silosynth.server.coordinator.state import State
from silosynth.server.measuring import estimate_rows
from silosynth.server.methods import finish_run

_FEWEST_CELLS = 3
"""Below, drawing a difference to nought does not pay (Stein 1956)."""

_ROWS = PhaseName.ONE_WAY
"""The phase whose counts add up to rows."""


def localise(state: State, *, silo: str) -> AnySampler:
    """Return the sampler of one silo of a run that has ended; its plan's cost covers it.

    Raises InvalidArgument where no single silo's release was seen, or the method trained on steps
    that cannot be gone again.
    """
    _check(state, silo=silo)
    known, own = state.known(), state.measured(of=silo)
    rows = estimate_rows(own[_ROWS]) / estimate_rows(known.measured[_ROWS])
    measured = {
        phase: tuple(
            lean(m, whole, share=rows) for m, whole in zip(own[phase], summed, strict=True)
        )
        for phase, summed in known.measured.items()
    }
    local = finish_run(replace(known, measured=measured, merging=known.merged_by)).sampler
    return replace(local, schema=state.table, spreads=state.spreads)


def lean(own: Measurement, whole: Measurement, *, share: float) -> Measurement:
    """Return what a silo's sum most likely is, by its own release and by the sum of all.

    Guarantees: where the two differ by no more than noise it is the sum's share; where they differ
    by much more it is the silo's own, nearly.

    Args: share: of all rows that are the silo's.
    """
    # The silo's noise is in the sum as well, so the two are not independent.
    apart = own.values - share * whole.values
    noise = own.variance * (1 - 2 * share) + share**2 * whole.variance
    cells = max(len(apart) - 2, 1) if len(apart) >= _FEWEST_CELLS else 1
    energy = float((apart**2).sum())
    expected = float(noise.mean()) * cells
    part = max(0.0, 1.0 - expected / energy) if energy > 0 else 0.0
    both = part**2 * own.variance + (1 - part) ** 2 * share**2 * whole.variance
    variance: np.ndarray = both + 2 * part * (1 - part) * share * own.variance
    return replace(own, values=share * whole.values + part * apart, variance=variance)


def _check(state: State, *, silo: str) -> None:
    """Raise InvalidArgument unless the run has releases of this silo that a model is made of."""
    plan = state.plan
    if silo not in state.silos:
        raise InvalidArgument(
            f"silo {silo!r} took no part in the run", hint=f"it had {', '.join(state.silos)}"
        )
    if plan.masked:
        raise InvalidArgument(
            f"plan {plan.id} summed in secret: no release of one silo was seen",
            hint="only plans with own noise have samplers of single silos",
        )
    if plan.chosen.samples_persons:
        raise InvalidArgument(
            f"a run of {plan.method.value} trained a generator, whose steps were of all silos",
            hint="plan with a method that measures marginals, or one-shot, projection or central",
        )
    if plan.lacks or _ROWS not in state.asked:
        raise InvalidArgument(
            "silos that lack columns, or were not asked for 1-ways, have no sampler of their own",
            hint="use the run's sampler",
        )
