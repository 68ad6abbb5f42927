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
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm

from silosynth.common.plan import Plan
from silosynth.simulations.audit.game import Game, RunsPlan
from silosynth.simulations.audit.held import HeldGame, open_held_game
from silosynth.simulations.audit.made_up import CANARIES, MadeUp, made_up_plan, made_up_schema
from silosynth.simulations.audit.shown import shown_of

_CONFIDENCE = 0.975
"""Of each of two error rates, so 95 % of both."""
_LEAST_SPREAD = 1e-9
"""Where there is no noise at all."""
_ROUNDED = 1.001
"""Noise that is charged by its exact sum may show a little more than it costs as a Gaussian."""
MOST_Z = 4.0
"""More standard errors above the claim than this are no chance: a false alarm of 1e-4 in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """What games showed. ``mu`` is the distance between in and out, in deviations of the noise.

    ``charged`` is the mu that the ledgers were charged for, ``reach`` the most that these canaries
    can show of it. ``low`` trusts no model of the noise. ``shift`` is how many standard errors
    those who are out lie from 0, where they lie if everybody else is counted as it is said.
    """

    samples: int
    charged: float
    reach: float
    mu: float
    error: float
    low: float
    shift: float

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
        alarm = max(self.z, self.beyond, abs(self.shift))
        return alarm > MOST_Z or self.reach > self.charged * _ROUNDED


def audit_scores(
    scores: np.ndarray, *, inside: np.ndarray, gaps: np.ndarray, charged: float
) -> Audited:
    """Compare scores of canaries that were in with those that were out; each (samples,).

    Args:
        gaps: how far in lies from out where everything is as it is said to be.
        charged: the mu that the ledgers were charged.
    """
    yes, no = scores[inside], scores[~inside]
    spread = math.sqrt((yes.var(ddof=1) * len(yes) + no.var(ddof=1) * len(no)) / len(scores))
    mu = float(yes.mean() - no.mean()) / max(spread, _LEAST_SPREAD)
    error = math.sqrt(1 / len(yes) + 1 / len(no) + mu**2 / (2 * len(scores)))
    above = scores > gaps / 2
    false = _upper(int(above[~inside].sum()), len(no))
    missed = _upper(int((~above[inside]).sum()), len(yes))
    low = max(0.0, float(norm.ppf(1 - false) + norm.ppf(1 - missed)))
    return Audited(
        samples=len(scores),
        charged=charged,
        reach=float(gaps.mean()),
        mu=mu,
        error=error,
        low=low,
        shift=float(no.mean()) * math.sqrt(len(no)),
    )


def gaussian_epsilon(mu: float, *, delta: float) -> float:
    """Return the epsilon of a mechanism whose in and out lie ``mu`` deviations apart.

    >>> round(gaussian_epsilon(0.925, delta=1e-5), 1)
    4.0
    """
    if mu <= 0 or _delta(0.0, mu) <= delta:
        return 0.0
    return float(brentq(lambda epsilon: _delta(epsilon, mu) - delta, 0.0, 40 * mu + mu**2))


def _delta(epsilon: float, mu: float) -> float:
    """Return the delta of an epsilon. Source: Dong, Roth, Su 2022, Corollary 2.13."""
    first = norm.cdf(-epsilon / mu + mu / 2)
    return float(first - math.exp(epsilon + norm.logcdf(-epsilon / mu - mu / 2)))


def _upper(count: int, tries: int) -> float:
    """Return the largest chance under which so few of ``tries`` are no surprise."""
    return 1.0 if count == tries else float(beta.ppf(_CONFIDENCE, count + 1, tries - count))


LEAST_RUNS = 4


def audit_plan(
    plan: Plan,
    *,
    run: RunsPlan,
    runs: int = 300,
    progress: Callable[[int], None] = lambda _: None,
) -> Audited:
    """Return what an attacker learns of a person from a plan's kind of releases, at the least.

    Every run goes through the real gateways, ledgers and coordinator, with made-up people in the
    place of rows; no data is needed. Canaries are in or out by fair coins.

    Args:
        plan: whose method, promise and trust are audited; not its schema.
        run: runs it on tables, as :func:`silosynth.simulations.local.run_whole` does.
        runs: each is as many games as there are canaries.
        progress: called with the number of runs that are done.
    Raises InvalidPlan where persons are sampled, or for a plan that no made-up schema fits.
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
        charged=max(run.charged for run in found),
    )


def _open_game(plan: Plan, *, run: RunsPlan, directory: Path) -> Game | HeldGame:
    """Return the game of a plan's kind; an evaluation asks about a run made in ``directory``."""
    schema = made_up_schema()
    if plan.chosen.evaluates:
        return open_held_game(plan, schema, run=run, directory=directory)
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
    return Game(plan=played, people=people, run=run, imagine=shown.imagine)


@contextmanager
def _new_directory() -> Iterator[Path]:
    """Yield a directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="silosynth-audit-") as directory:
        yield Path(directory)
