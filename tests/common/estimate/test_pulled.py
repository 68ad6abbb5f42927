"""What a fit pulls towards nothing, it pulls in all replicates: intervals count with it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.domain import Grouping
from silosynth.common.estimate import estimate_regression, estimate_share, parse_formula
from silosynth.common.estimate.replicates import Interval, Replicated, interval_of
from silosynth.common.plan import Plan
from silosynth.common.sampler import COMPONENT, Conditional, Sampler, shares
from silosynth.common.schema import parse_schema
from tests.support.fakes import small_plan

TOTAL = 200
PEOPLE = parse_schema(
    {
        "name": "people",
        "attributes": [
            {"name": name, "kind": "categorical", "categories": ["no", "yes"], "other": False}
            for name in ("smoker", "one", "two")
        ],
    }
)
SMOKERS = 0.3


def mixture(plan: Plan, *, alike: float = 0.5) -> Sampler:
    """Return a mixture of two: smokers know of nothing, ``one`` and ``two`` are alike so often."""
    given = {
        "smoker": [[1 - SMOKERS, SMOKERS]] * 2,
        "one": [[1.0, 0.0], [0.0, 1.0]],
        "two": [[alike, 1 - alike], [1 - alike, alike]],
    }
    first = Conditional(attribute=COMPONENT, given=(), ends=shares(np.ones((1, 2)), name="c"))
    others = (
        Conditional(attribute=n, given=(COMPONENT,), ends=shares(np.array(table), name=n))
        for n, table in given.items()
    )
    return Sampler(
        schema=PEOPLE,
        grouping=Grouping(),
        within={},
        conditionals=(first, *others),
        components=2,
        total=TOTAL,
        certificate=certify_plan(plan).model_dump(mode="json"),
        plan_digest=plan.digest,
    )


def estimates(sampler: Sampler, text: str) -> tuple[Interval, ...]:
    """Return coefficients of a sampler whose replicates are all like it."""
    alone = Replicated(sampler=sampler, others=(sampler,) * 4)
    return estimate_regression(alone, parse_formula(text), rows=100_000)


def test_without_a_pull_an_error_is_rubins_on_average() -> None:
    draws = np.random.default_rng(1).normal(size=(4000, 20))
    errors = [interval_of(0.0, list(row), name="x").error ** 2 for row in draws]
    assert np.mean(errors) == pytest.approx(1 + 1 / 20, rel=0.02)


def test_what_a_fit_pulls_all_replicates_by_is_in_the_error() -> None:
    """Else a fit that shrinks what it sees, and that of its own model again, is sure of itself."""
    others = np.random.default_rng(1).normal(size=20)
    pulled = interval_of(0.0, list(others + 3.0), name="x")
    assert pulled.error > 3.0
    assert pulled.low < -3.0


def test_a_share_of_a_mixture_is_off_by_the_noise_of_its_pairs_at_least() -> None:
    """Replicates that are all alike say that nothing can be off."""
    plan = small_plan(method="mixture")
    alone = Replicated(sampler=mixture(plan), others=(mixture(plan),) * 4)
    noise = certify_plan(plan).cell_noise["coarse"] / TOTAL**2
    pair = estimate_share(alone, {"smoker": "yes", "one": "no"})[0]
    assert pair.error**2 == pytest.approx(2 / 3 * noise / 4)
    assert estimate_share(alone, {"smoker": "yes"})[0].error == pytest.approx(0, abs=1e-9)
    group = estimate_share(alone, {"smoker": "yes"}, by="one")[1]
    assert group.error == pytest.approx(pair.error / 0.5)


def test_pairs_that_rounds_asked_again_have_the_noise_of_both() -> None:
    plan = small_plan(method="aim")
    alone = Replicated(sampler=mixture(plan), others=(mixture(plan),) * 4)
    told = certify_plan(plan).cell_noise
    noise = 1 / (1 / told["coarse"] + 1 / told["round-1"]) / TOTAL**2
    pair = estimate_share(alone, {"smoker": "yes", "one": "no"})[0]
    assert pair.error**2 == pytest.approx(2 / 3 * noise / 4)


def test_what_replicates_say_counts_where_it_is_more() -> None:
    near = interval_of(0.0, [1.0, -1.0], name="x", least=1.0)
    assert near.error == pytest.approx(math.sqrt(2))
    assert interval_of(0.0, [1.0, -1.0], name="x", least=4.0).error == pytest.approx(2)
    assert interval_of(0.0, [1.0, -1.0], name="x", least=4.0, missed=5.0).error == 3.0


def test_a_coefficient_of_a_mixture_is_off_by_what_noise_makes_of_it() -> None:
    """Held against log odds of tables to which noise was added, their sides as they were."""
    plan = small_plan(method="mixture")
    noise = certify_plan(plan).cell_noise["coarse"] / TOTAL**2
    table = np.outer([1 - SMOKERS, SMOKERS], [0.5, 0.5])
    draws = np.random.default_rng(1).normal(size=(4000, 2, 2)) * math.sqrt(noise)
    draws -= draws.mean(axis=1, keepdims=True)
    draws -= draws.mean(axis=2, keepdims=True)
    logs = np.log(table + draws)
    odds = logs[:, 1, 1] + logs[:, 0, 0] - logs[:, 0, 1] - logs[:, 1, 0]
    found = estimates(mixture(plan), "smoker=yes ~ one")[0]
    lone = interval_of(0.0, [0.0] * 4, name="x", least=float(odds.var()))
    assert found.error == pytest.approx(lone.error, rel=0.15)


def test_columns_that_are_alike_hide_more_of_each_other() -> None:
    plan = small_plan(method="mixture")
    apart, alike = (
        estimates(mixture(plan, alike=a), "smoker=yes ~ one + two")[0].error for a in (0.5, 0.9)
    )
    # By normal equations: 1 / (1 - .8 squared) of the inverse, and of it .8 beside it.
    assert alike / apart == pytest.approx(math.sqrt(1 + 0.8**2) / (1 - 0.8**2), rel=0.1)
