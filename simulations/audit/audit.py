"""Audit a plan: play many runs of it on made-up people, and bound what an attacker learns.

A score is normal with variance 1, around 0 for a canary that is out and around its gap for one that
is in. Source: Dong, Roth, Su 2022 (Gaussian differential privacy) for mu and its epsilon; Clopper
and Pearson 1934 for the bound that trusts no model.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.special import betaincinv, chdtr, log_ndtr, ndtr, ndtri, stdtrit

from silosynth.common.accounting import pld_epsilon
from silosynth.common.plan import Plan, plan_costs
from silosynth.simulations.audit.counted import Added, TableRun
from silosynth.simulations.audit.families import open_families_game
from silosynth.simulations.audit.game import Game, Played, Runs
from silosynth.simulations.audit.held import open_held_game
from silosynth.simulations.audit.made_up import CANARIES, MadeUp, made_up_plan, made_up_schema
from silosynth.simulations.audit.shown import shown_of

_CONFIDENCE = 0.975
"""Of each of two error rates, so 95 % of both."""
_ONE_SIDED = 0.95
_LEAST_SPREAD = 1e-9
"""Where there is no noise at all."""
_ROUNDED = 1.001
"""Noise that is charged by its exact sum may show a little more than it costs as a Gaussian."""
MOST_Z = 4.0
"""More standard errors than this are no chance: a false alarm of 2e-4 in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What games showed. ``mu`` is the distance between in and out, in deviations of the noise.

    ``charged`` is the mu that the ledgers were charged for, ``reach`` the most that these canaries
    can show of it. ``low`` trusts no model of the noise, ``normal_low`` trusts that scores are
    normal; each is above the truth in at most one audit of twenty. ``shift`` is how many standard
    errors those who are out lie from 0, where they lie if everybody else is counted as it is said;
    ``quiet`` is how many they and those who are in spread less than by the noise that is said.
    ``law`` gives the epsilon of a mu.
    """

    samples: int
    charged: float
    reach: float
    mu: float
    error: float
    low: float
    normal_low: float
    shift: float
    quiet: float
    law: Callable[[float], float]

    @property
    def z(self) -> float:
        """Return how many standard errors lie between what was found and what was charged."""
        return (self.mu - self.charged) / self.error

    @property
    def beyond(self) -> float:
        """Return how many standard errors more was found than these canaries show by the plan."""
        return (self.mu - self.reach) / self.error

    @property
    def broken(self) -> bool:
        """Return whether more was learnt than was paid for, or could be by the plan."""
        alarm = max(self.z, self.beyond, abs(self.shift), self.quiet)
        return alarm > MOST_Z or self.reach > self.charged * _ROUNDED


def audit_scores(
    scores: np.ndarray,
    *,
    inside: np.ndarray,
    gaps: np.ndarray,
    charged: float,
    law: Callable[[float], float],
    sampled: bool = False,
) -> Audited:
    """Compare scores of canaries that were in with those that were out; each (samples,).

    Args:
        gaps: how far in lies from out where everything is as it is said to be.
        charged: the mu that the ledgers were charged.
        law: gives the epsilon of a mu.
        sampled: those who are in take part by chance, so only those who are out show the noise.
    """
    yes, no = scores[inside], scores[~inside]
    noise = [no] if sampled else [yes, no]
    freedom = sum(len(part) - 1 for part in noise)
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in noise)
    spread = max(math.sqrt(squares / freedom), _LEAST_SPREAD)
    mu = float(yes.mean() - no.mean()) / spread
    wider = yes.var() / spread**2 if sampled else 1.0
    means = float(wider) / len(yes) + 1 / len(no)
    above = scores > gaps / 2
    false = _upper(int(above[~inside].sum()), len(no))
    missed = _upper(int((~above[inside]).sum()), len(yes))
    low = max(0.0, float(ndtri(1 - false) + ndtri(1 - missed)))
    return Audited(
        samples=len(scores),
        charged=charged,
        reach=float(gaps.mean()),
        mu=mu,
        error=math.sqrt(means + mu**2 / (2 * freedom)),
        low=low,
        normal_low=_normal_low(mu, means=means, freedom=freedom),
        shift=float(no.mean()) * math.sqrt(len(no)),
        quiet=-float(ndtri(chdtr(freedom, squares))),
        law=law,
    )


def _normal_low(mu: float, *, means: float, freedom: int) -> float:
    """Return the mu of which so large a one is found in one audit of twenty, of normal scores.

    Where scores spread for another reason than noise, as by gaps that differ, less is found. The
    mu that is found, less its bias (Hedges 1981), lies around the true x with variance
    ``means`` + x^2 / 2 freedom, which is solved for x. Tests hold how often it is above the truth.
    """
    mu *= 1 - 3 / (4 * freedom - 1)
    square = float(stdtrit(freedom, _ONE_SIDED)) ** 2
    width, rest = square * means, 1 - square / (2 * freedom)
    if rest <= 0 or mu <= math.sqrt(width):
        return 0.0
    return (mu - math.sqrt(mu**2 - rest * (mu**2 - width))) / rest


def gaussian_epsilon(mu: float, *, delta: float) -> float:
    """Return the epsilon of a mechanism whose in and out lie ``mu`` deviations apart.

    >>> round(gaussian_epsilon(0.925, delta=1e-5), 1)
    4.0
    """
    if mu <= 0 or _delta(0.0, mu) <= delta:
        return 0.0
    from scipy.optimize import brentq  # every command knows of audits, and few need it

    return float(brentq(lambda epsilon: _delta(epsilon, mu) - delta, 0.0, 40 * mu + mu**2))


def _delta(epsilon: float, mu: float) -> float:
    """Return the delta of an epsilon. Source: Dong, Roth, Su 2022, Corollary 2.13."""
    first = ndtr(-epsilon / mu + mu / 2)
    return float(first - math.exp(epsilon + log_ndtr(-epsilon / mu - mu / 2)))


def _upper(count: int, tries: int) -> float:
    """Return the largest chance under which so few of ``tries`` are no surprise."""
    return 1.0 if count == tries else float(betaincinv(count + 1, tries - count, _CONFIDENCE))


LEAST_RUNS = 4


def audit_plan(
    plan: Plan,
    *,
    run: Runs,
    runs: int = 300,
    progress: Callable[[int], None] = lambda _: None,
) -> Audited:
    """Return what an attacker learns of a person from a plan's kind of releases, at the least.

    Every run goes through the real gateways, ledgers and coordinator, with made-up people in the
    place of rows; no data is needed. Canaries are in or out by fair coins.

    Args:
        plan: whose method, promise and trust are audited; not its schema.
        run: runs it on tables, as :data:`silosynth.simulations.local.WHOLE` does.
        runs: each is as many games as there are canaries.
        progress: called with the number of runs that are done.
    Raises InvalidPlan for a plan that no made-up schema fits.
    """
    draws, found = np.random.default_rng(), []
    inside = draws.random((max(runs, LEAST_RUNS), CANARIES)) < 0.5
    with _new_directory() as kept:
        game = _open_game(plan, run=run, directory=kept)
        for number, canaries in enumerate(inside, start=1):
            with _new_directory() as directory:
                found.append(game.play(canaries, directory=directory))
            progress(number)
    return audit_scores(
        np.concatenate([run.scores for run in found]),
        inside=inside.ravel(),
        gaps=np.concatenate([run.gaps for run in found]),
        charged=(charged := max(run.charged for run in found)),
        law=_law(game.plan, charged=charged),
        sampled=game.plan.chosen.samples_persons,
    )


def _law(plan: Plan, *, charged: float) -> Callable[[float], float]:
    """Return what epsilon a mu is, of the plan that is played.

    Where persons are sampled it is that of the same rounds with so much less noise as ``charged``
    is below mu, by their privacy loss distribution: a mechanism that is no Gaussian.
    """
    delta = plan.privacy.delta
    if not plan.chosen.samples_persons:
        return partial(gaussian_epsilon, delta=delta)

    def epsilon(mu: float) -> float:
        if mu <= 0:
            return 0.0
        factor = Fraction(charged / mu).limit_denominator(2**20)
        return pld_epsilon([cost.scaled(factor) for cost in plan_costs(plan)], delta)

    return epsilon


class _Plays(Protocol):
    """A game: of the plan that is played."""

    @property
    def plan(self) -> Plan:
        """Return what is played."""

    def play(self, inside: np.ndarray, *, directory: Path) -> Played:
        """Run it in a fresh directory with the canaries of ``inside``, (canaries,) bool."""


def _open_game(plan: Plan, *, run: Runs, directory: Path) -> _Plays:
    """Return the game of a plan's kind; an evaluation asks about a run made in ``directory``."""
    if plan.chosen.evaluates:
        return open_held_game(plan, made_up_schema(), run=run.table, directory=directory)
    if plan.chosen.several_tables:
        return open_families_game(plan, run=run.families)
    if plan.chosen.samples_persons:
        # PyTorch takes seconds to load, and only such a game needs it.
        from silosynth.simulations.audit.learnt import open_learnt_game

        return open_learnt_game(plan, run=run.table)
    shown = shown_of(plan)
    played = made_up_plan(plan, shown.schema, **shown.options(plan))
    people = MadeUp(
        schema=shown.schema,
        columns=shown.columns,
        marks=shown.canaries,
        silos=played.silos,
        rows_per_person=played.privacy.rows_per_person,
        colluders=played.colluders,
    )
    plays = TableRun(plan=played, people=people, run=run.table, imagine=shown.imagine)
    return Game(plan=played, people=people, run=plays, adds=Added(plan=played, people=people))


@contextmanager
def _new_directory() -> Iterator[Path]:
    """Yield a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="silosynth-audit-") as directory:
        yield Path(directory)
