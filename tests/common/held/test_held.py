"""What counters of people who were held out say: without bias, and with bounds that hold."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidPlan
from silosynth.common.held import Inputs, evaluate_release, norm_bound, work_out
from silosynth.common.held.counters import Counters
from silosynth.common.held.estimates import squares
from silosynth.common.held.inputs import merge_codes
from silosynth.common.plan import EvaluationSettings
from silosynth.common.sampler import CliqueMarginal, Sampler, build_sampler
from silosynth.common.schema import parse_schema

SIZE, COLUMNS, PEOPLE = 5, 4, 400  # four categories, and what is none of them
NAMES = tuple(f"x{i}" for i in range(COLUMNS))
SCHEMA = parse_schema(
    {
        "name": "held",
        "source": "public",
        "attributes": [
            {
                "name": n,
                "kind": "categorical",
                "categories": list("abcd"),
                "source": "public",
            }
            for n in NAMES
        ],
    }
)
DRAWS = 225


def chain(strength: float) -> Sampler:
    """Return the sampler of a chain: each column repeats the one before with this chance."""
    first = np.array([3.0, 3.0, 2.0, 1.0, 1.0]) / 10
    step = strength * np.eye(SIZE) + (1 - strength) * first
    nodes = [CliqueMarginal(clique=NAMES[:1], separator=(), values=first * 1000)]
    shares = first
    for before, name in itertools.pairwise(NAMES):
        values = (shares[:, None] * step).ravel() * 1000
        nodes.append(CliqueMarginal(clique=(before, name), separator=(before,), values=values))
        shares = shares @ step
    return build_sampler(
        schema=SCHEMA,
        grouping=Grouping(),
        within={},
        nodes=nodes,
        total=1000,
        certificate={},
        plan_digest="sha256:" + "0" * 64,
    )


def settings(**changes: object) -> EvaluationSettings:
    digest = "sha256:" + "0" * 64
    return EvaluationSettings.model_validate(
        {
            "trained": digest,
            "trained_units": 1,
            "trained_epsilon": 1.0,
            "sampler": digest,
            "inputs": digest,
            "seed": 3,
            "rows": 2**14,
            "repeats": 4,
            "likelihood": True,
            "targets": ("x1",),
            "weights": (8, 1, 30, 20, 20),
        }
        | changes
    )


@pytest.fixture(scope="module")
def inputs() -> Inputs:
    return work_out(chain(0.5), settings())


def people(draw: np.random.Generator, strength: float, *, count: int) -> list[np.ndarray]:
    """Return rows of a chain, drawn one by one."""
    first = np.array([3, 3, 2, 1, 1]) / 10
    columns = [draw.choice(SIZE, count, p=first)]
    for _ in range(COLUMNS - 1):
        anew = draw.choice(SIZE, count, p=first)
        columns.append(np.where(draw.random(count) < strength, columns[-1], anew))
    return [c.astype(np.uint8) for c in columns]


def released(
    inputs: Inputs, draw: np.random.Generator, strength: float, *, sigma: float, count: int = PEOPLE
) -> np.ndarray:
    """Return noised counters of people who follow a chain."""
    counters = Counters(inputs)
    counters.add(people(draw, strength, count=count))
    vector = counters.vector()
    return vector + np.rint(draw.normal(0, sigma, len(vector)))


def truth(inputs: Inputs, strength: float) -> tuple[float, float]:
    """Return the mean squared distance, and the mean total variation distance, of the law."""
    first = np.array([3, 3, 2, 1, 1]) / 10
    step = strength * np.eye(SIZE) + (1 - strength) * first
    squared, total = [], []
    for (one, other), q in zip(inputs.pairs, inputs.shares, strict=True):
        law = (first[:, None] * np.linalg.matrix_power(step, other - one)).ravel()
        gap = law - q / q.sum()
        squared.append(float((gap**2).sum()))
        total.append(float(np.abs(gap).sum()) / 2)
    return float(np.mean(squared)), float(np.mean(total))


@pytest.mark.parametrize("strength", [0.5, 0.6])
def test_the_squared_distance_is_estimated_without_bias(inputs: Inputs, strength: float) -> None:
    """Over noise, people and signs, from a fixed start: the mean of many releases is the truth.

    What noise or the sample adds to a square is far outside of what is allowed.
    """
    draw = np.random.default_rng(11)
    sigma, found = 300.0, []
    for _ in range(DRAWS):
        halves = [
            np.where(draw.random(s.shape) < 0.5, 1, -1).astype(np.int64) for s in inputs.signs
        ]
        fresh = replace(inputs, signs=tuple(halves))
        values = released(fresh, draw, strength, sigma=sigma)
        count = fresh.blocks["halves"]
        noise = (sigma / fresh.settings.weights[0]) ** 2
        sums = values[:count] / fresh.settings.weights[0]
        estimate = squares(fresh, sums, fresh.shares, variance=noise, people=float(PEOPLE))
        found.append(float(estimate.mean()))
    error = math.sqrt(float(np.var(found, ddof=1)) / DRAWS)
    real, _ = truth(inputs, strength)
    noise = (sigma / inputs.settings.weights[0]) ** 2
    assert abs(float(np.mean(found)) - real) < 4 * error
    assert 8 * error < min(noise / PEOPLE**2, 1 / PEOPLE), "it tells apart what it is about"


def test_the_upper_bound_holds_and_the_nearer_sampler_is_told() -> None:
    """Of 60 releases with a fixed start: the bound is above the truth, the order is right."""
    near, far = (work_out(chain(s), settings()) for s in (0.5, 0.1))
    draw = np.random.default_rng(5)
    _, real = truth(far, 0.55)
    held = order = inside = 0
    for _ in range(60):
        sigma = 100.0
        mine = evaluate_release(
            near, released(near, draw, 0.55, sigma=sigma, count=4000), variance=sigma**2
        )
        other = evaluate_release(
            far, released(far, draw, 0.55, sigma=sigma, count=4000), variance=sigma**2
        )
        bound = other.distance.mean.high
        assert bound is not None
        held += bound >= real
        order += mine.distance.square.value < other.distance.square.value
        low, high = other.people.low, other.people.high
        assert low is not None
        assert high is not None
        inside += low <= 4000 <= high
    assert held == 60
    assert order == 60
    assert inside >= 48, "nine of ten"


def test_scores_and_gain_are_those_of_the_rows_themselves(inputs: Inputs) -> None:
    draw = np.random.default_rng(2)
    rows = people(draw, 0.5, count=20_000)
    counters = Counters(inputs)
    counters.add([c[:5000] for c in rows])
    counters.add([c[5000:] for c in rows])
    found = evaluate_release(inputs, counters.vector().astype(float), variance=1e-9)
    law, (target,) = inputs.law, inputs.targets
    assert law is not None
    gains = law.gains(rows, clip=inputs.settings.clip)
    assert found.gain is not None
    assert found.gain.value == pytest.approx(gains.mean(), abs=1 / 256)
    scores = law.scores(rows, target.place, target.positive)
    yes = target.positive[rows[target.place]]
    (area,) = found.areas
    assert area.auc.value == pytest.approx(told_apart(scores, yes), abs=0.01)


def told_apart(scores: np.ndarray, yes: np.ndarray) -> float:
    """Return the area under the curve, by ranks; ties count half."""
    ranks = rankdata(scores)[yes]
    mean = (len(ranks) + 1) / 2
    return float((ranks.mean() - mean) / np.count_nonzero(~yes))


@pytest.mark.parametrize("cuts", [None, "classes"])
def test_an_area_loses_nothing_to_bins_that_are_coarse(cuts: str | None) -> None:
    """Few scores, most rows with one of them, and as few bins: as ties they would cost 0.03."""
    asked = work_out(chain(0.5), settings(bins=2, cuts=cuts))
    rows = people(np.random.default_rng(4), 0.5, count=20_000)
    counters = Counters(asked)
    counters.add(rows)
    found = evaluate_release(asked, counters.vector().astype(float), variance=1e-9)
    law, (target,) = asked.law, asked.targets
    assert law is not None
    scores = law.scores(rows, target.place, target.positive)
    exact = told_apart(scores, target.positive[rows[target.place]])
    assert found.areas[0].auc.value == pytest.approx(exact, abs=0.01)
    ties = replace(asked, targets=(replace(target, within=np.full(2, 0.5)),))
    coarse = evaluate_release(ties, counters.vector().astype(float), variance=1e-9)
    assert coarse.areas[0].auc.value < exact - 0.03


def test_too_few_people_say_no_distance(inputs: Inputs) -> None:
    draw = np.random.default_rng(3)
    sigma = 3000.0
    few = evaluate_release(
        inputs, released(inputs, draw, 0.5, sigma=sigma, count=30), variance=sigma**2
    )
    assert not few.distance.said
    many = evaluate_release(
        inputs, released(inputs, draw, 0.5, sigma=10.0, count=4000), variance=100.0
    )
    assert many.distance.said


def test_groups_are_contiguous_and_of_near_equal_weight() -> None:
    counts = np.array([500, 1, 1, 250, 250, 3, 495])
    groups = merge_codes(counts, most=3)
    assert (np.diff(groups) >= 0).all()
    assert set(groups) == {0, 1, 2}
    assert merge_codes(np.zeros(40, dtype=np.int64), most=8).max() == 7
    assert merge_codes(np.array([7]), most=8).tolist() == [0]


def test_inputs_that_do_not_fit_are_refused() -> None:
    for change in ({"targets": ("x9",)}, {"witness": "00"}):
        with pytest.raises(InvalidPlan):
            work_out(chain(0.5), settings(**change))
    domain = Domain(attributes=NAMES, shape=(SIZE,) * COLUMNS)
    assert domain == chain(0.5).domain
    assert norm_bound(work_out(chain(0.5), settings())) > 0


def test_of_people_whose_columns_are_independent_it_is_said_that_the_sampler_is_far(
    inputs: Inputs,
) -> None:
    """As of one silo unlike the others: independent columns are right there, and no yardstick."""
    draw = np.random.default_rng(23)
    far = evaluate_release(inputs, released(inputs, draw, 0.0, sigma=2.0), variance=4.0)
    assert far.distance.mean.high is not None
    assert far.distance.mean.high > 2 * far.distance.independent
    assert far.distance.said
