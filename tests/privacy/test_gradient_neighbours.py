"""Two tables that differ in one person's rows, through the real gateway, 1,000 times in all.

The released sum is projected on the direction in which the person moves it, where the mechanism's
law is known: N(0, 1) without the person, and N(shift, 1) in a share ``rate`` of the runs with it.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from silosynth.client.learning.gradient import Gradients
from silosynth.client.noise import SystemBits
from silosynth.common.codec import layout_of
from silosynth.common.plan import Plan
from silosynth.common.schema import Schema
from tests.privacy.learners import first_weights, learnt, open_learner, training_plan, wide_schema
from tests.support.chance import Binomial, SubGaussian, SumOfSquares, agrees, at_most, statistical

RUNS, RATE, NOISE, MOST = 500, Fraction(1, 2), Fraction(1, 2), 2
OTHERS = list(range(2, 12))


def _projected(directory: Path, plan: Plan, schema: Schema, *, with_person: bool) -> np.ndarray:
    """Return (RUNS,) released sums along the person's own direction, in deviations of the noise.

    The person has five rows of code 1, of which two are learnt from; the others have other codes.
    """
    weights = first_weights(plan, schema)
    assert plan.training is not None
    gradients = Gradients(plan.training.architecture, layout_of(schema), clip=0.01)
    gradients.load(weights)
    bits = SystemBits()
    own = gradients.sum(np.array([[1]]), words=bits.words)[0].astype(np.float64)
    rest = np.stack([gradients.sum(np.array([[c]]), words=bits.words)[0] for c in OTHERS])
    basis = np.linalg.qr(rest.T.astype(np.float64))[0]
    own -= basis @ (basis.T @ own)
    values = [*OTHERS, *([1] * 5 if with_person else [])]
    persons = [*OTHERS, *([0] * 5 if with_person else [])]
    with open_learner(directory, plan, schema, values=values, persons=persons) as gateway:
        sums = [learnt(gateway, plan, weights, number=i) for i in range(RUNS)]
    deviation = float(plan.phases[0].sigma2) ** 0.5 * np.linalg.norm(own)
    return np.asarray([float(s @ own) for s in sums]) / deviation


@statistical(alarm=1e-9)
def test_one_person_shows_as_much_as_was_paid_for(tmp_path: Path) -> None:
    schema = wide_schema(16)
    plan = training_plan(
        schema, noise=NOISE, rate=RATE, rounds=RUNS, rows_per_person=MOST, clip=0.01, width=4
    )
    found = {}
    for with_person in (False, True):
        place = tmp_path / str(with_person)
        place.mkdir()
        found[with_person] = _projected(place, plan, schema, with_person=with_person)
    without, within = found[False], found[True]
    alone = SubGaussian(mean=0, variance=RUNS)
    agrees(without.sum(), law=alone, mutants={"a person": replace(alone, mean=RUNS)}, alarm=1e-10)
    # Sums of 1,000 cells of so large a variance do not show their lattice: the scale is free.
    noise = SumOfSquares(count=RUNS, sigma2=1e6)
    less = {"0.4 of the variance": replace(noise, sigma2=0.4e6)}
    agrees(1e6 * float((without**2).sum()), law=noise, mutants=less, alarm=1e-10)
    # Two rows move a run by at most 2 deviations, in a share RATE of the runs; five by 5 at most.
    paid = SubGaussian(mean=2 * float(RATE) * RUNS, variance=RUNS * (1 + 2**2 / 4))
    five = SubGaussian(mean=0.95 * 5 * float(RATE) * RUNS, variance=RUNS * (1 + 5**2 / 4))
    at_most(within.sum(), law=paid, mutants={"all five rows": five}, alarm=1e-10)
    # Of the laws' trade-off: a threshold tells no more apart than the claim allows.
    for threshold in (0.5, 1.0, 1.5, 2.0):
        claimed = float(1 - RATE) * norm.sf(threshold) + float(RATE) * norm.sf(threshold - 2)
        law = Binomial(count=RUNS, chance=float(claimed))
        at_most(int((within > threshold).sum()), law=law, mutants={}, alarm=1e-10)


@pytest.mark.parametrize("persons", [None, [0] * 5])
@pytest.mark.usefixtures("fixed_bits")
def test_rows_without_a_person_column_are_persons_of_their_own(
    tmp_path: Path, persons: list[int] | None
) -> None:
    schema = wide_schema(16)
    most = 1 if persons is None else 5
    plan = training_plan(schema, noise=Fraction(1, 100), rate=Fraction(1), rows_per_person=most)
    with open_learner(tmp_path, plan, schema, values=[3] * 5, persons=persons) as gateway:
        released = learnt(gateway, plan, first_weights(plan, schema)).astype(np.float64)
    assert np.linalg.norm(released) > 4 * 4095
