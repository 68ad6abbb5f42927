"""Rounds at the coordinator: first weights from marginals, steps from noised integers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.codec import layout_of
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import Architecture, MaskedMlp, Transformer, initial_vector
from silosynth.common.measurement import Measurement
from silosynth.common.messages import Release
from silosynth.common.plan import Optimiser, Plan, check_budget, gradient_unit
from silosynth.common.sampler import AutoregressiveSampler, draw_codes
from silosynth.common.schema import parse_schema
from silosynth.server.federation import check_runnable
from silosynth.server.generator import Learning, ask_round, begin, shares_of, take_round
from silosynth.server.generator.rounds import start_at
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from tests.support.fakes import small_schema

SIZES = {"north": 1000, "south": 3000}
SMALL = MaskedMlp(width=4, layers=1, views=1)


def _plan(*, trust: str = "own", epsilon: float = 1.0, **choice: object) -> Plan:
    chosen = {"architecture": SMALL, "rounds": 3, "rate": Fraction(1, 10), "sizes": SIZES}
    return new_plan(
        small_schema(),
        epsilon=epsilon,
        delta=1e-6,
        silos=tuple(SIZES),
        method="dp-sgd",
        trust=trust,
        training=TrainingChoice(**(chosen | choice)),  # type: ignore[arg-type]  # test arguments
    )


def _released(**sums: np.ndarray) -> dict[str, Release]:
    return {
        silo: Release.model_construct(marginals=(values,), receipt=None, signature=None)
        for silo, values in sums.items()
    }


def _take(plan: Plan, **sums: np.ndarray) -> tuple[Learning, Learning]:
    learning = begin(plan, small_schema())
    return learning, take_round(learning, _released(**sums), plan=plan)


def test_federated_averaging_is_the_mean_update_by_size() -> None:
    plan = _plan(
        local_steps=4,
        optimiser=Optimiser.FEDAVG,
        learning_rate=0.5,
        local_learning_rate=0.2,
    )
    cells = plan.phases[-1].cells
    random = np.random.default_rng(1)
    north, south = random.integers(-(10**5), 10**5, (2, cells))
    before, after = _take(plan, north=north, south=south)
    unit = gradient_unit(clip=1.0, parameters=cells)
    updates = -0.2 * unit * (north / 100 * 0.25 + south / 300 * 0.75)
    assert after.weights - before.weights == pytest.approx(0.5 * updates)
    assert after.round == 1
    assert ask_round(before, plan=plan, silo="south").batch == 300


@pytest.mark.parametrize("optimiser", [Optimiser.FEDADAM, Optimiser.FEDYOGI])
def test_adaptive_methods_follow_the_papers_formulas(optimiser: Optimiser) -> None:
    plan = _plan(optimiser=optimiser, learning_rate=0.1, local_learning_rate=1.0)
    assert plan.training is not None
    cells = plan.phases[-1].cells
    sums = np.random.default_rng(2).integers(-(10**6), 10**6, cells)
    before, after = _take(plan, north=sums, south=3 * sums)
    unit = gradient_unit(clip=1.0, parameters=cells)
    update = -unit * sums / 100
    first = 0.1 * update
    second = 0.01 * update**2
    step = first / (np.sqrt(second) + plan.training.stabiliser)
    assert after.weights - before.weights == pytest.approx(0.1 * step)
    assert after.second == pytest.approx(second)


def test_a_silo_that_left_has_no_weight_in_the_mean() -> None:
    plan = _plan(optimiser=Optimiser.FEDAVG, learning_rate=1.0, local_learning_rate=1.0)
    cells = plan.phases[-1].cells
    before, after = _take(plan, south=np.full(cells, 300))
    assert before.weights - after.weights == pytest.approx(
        gradient_unit(clip=1.0, parameters=cells)
    )


def test_noise_alone_has_a_signal_of_one_and_a_gradient_more() -> None:
    plan = _plan(architecture=MaskedMlp(width=64))
    cells, sigma = plan.phases[-1].cells, float(plan.phases[-1].sigma2) ** 0.5
    steps = plan.training.local_steps if plan.training else 1
    random = np.random.default_rng(3)
    noise = [(random.normal(0, sigma * steps**0.5, cells)).astype(np.int64) for _ in SIZES]
    _, after = _take(plan, north=noise[0], south=noise[1])
    assert after.signal == pytest.approx(1.0, abs=0.03)
    _, more = _take(plan, north=2 * noise[0], south=2 * noise[1])
    assert more.signal == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize("architecture", [MaskedMlp(), Transformer()])
def test_training_starts_at_the_released_marginals(architecture: Architecture) -> None:
    schema = small_schema()
    layout = layout_of(schema)
    weights = initial_vector(architecture, layout, seed=1)
    random = np.random.default_rng(4)
    one_way = [
        Measurement(
            clique=(name,),
            values=random.dirichlet(np.full(size, 0.7)) * 10_000,
            variance=np.full(size, 100.0),
        )
        for name, size in zip(schema.domain.attributes, schema.domain.shape, strict=True)
    ]
    start_at(weights, architecture, layout, one_way=one_way)
    plan = _plan()
    sampler = AutoregressiveSampler(
        schema=schema,
        grouping=Grouping(),
        within={},
        architecture=architecture,
        weights=weights,
        total=10_000,
        certificate=certify_plan(plan).model_dump(mode="json"),
        plan_digest=plan.digest,
    )
    codes = draw_codes(sampler, rows=4000, seed=1)
    for column, measured in zip(codes, one_way, strict=True):
        shares = np.bincount(column, minlength=len(measured.values)) / 4000
        wanted = np.clip(measured.values, 5, None)
        assert np.abs(shares - wanted / wanted.sum()).sum() / 2 < 0.12


def test_noised_counts_become_the_nearest_shares() -> None:
    counts = np.array([60.0, 48.0, 7.0, -9.0, -2.0])
    other = Measurement(clique=("b",), values=np.array([100.0]), variance=np.ones(1))
    one_way = Measurement(clique=("a",), values=counts, variance=np.full(5, 1e-8))
    found = shares_of([one_way, replace(other, values=np.array([99.2]))])["a"] * 100
    # All say together 100 rows: a fifth of a's 104, and the rest of b's 99.2.
    rows = (104 / 5 + 99.2) / 1.2
    off = (115 - rows) / 3
    assert rows == pytest.approx(100, abs=0.01)
    assert found == pytest.approx([60 - off, 48 - off, 7 - off, 0, 0], abs=0.01)
    assert (found > 0).all()


def test_noise_does_not_lift_codes_that_nobody_has() -> None:
    rng = np.random.default_rng(2)
    truth = np.array([30_000.0, 8_000.0, *[0.0] * 40])
    noised = truth + rng.normal(0, 120, 42)
    one_way = Measurement(clique=("a",), values=noised, variance=np.full(42, 120.0**2))
    assert shares_of([one_way])["a"][2:].sum() < 0.02
    cut_off = np.clip(noised, 0, None)
    assert cut_off[2:].sum() / cut_off.sum() > 0.04


def test_the_same_rounds_give_the_same_bytes() -> None:
    plan = _plan(optimiser=Optimiser.FEDADAM)
    sums = np.random.default_rng(5).integers(-(10**6), 10**6, plan.phases[-1].cells)
    one, other = (_take(plan, north=sums, south=-sums)[1] for _ in range(2))
    assert one.encoded == other.encoded
    turned = take_round(begin(plan, small_schema()), _released(south=-sums, north=sums), plan=plan)
    assert turned.encoded == one.encoded, "the order of answers must not matter"
    assert replace(one, round=7).encoded == one.encoded


@pytest.mark.parametrize("trust", ["own", "shared"])
@pytest.mark.parametrize("epsilon", [0.3, 1.0, 8.0])
def test_noise_is_calibrated_to_the_budget_and_little_is_left(trust: str, epsilon: float) -> None:
    plan = _plan(trust=trust, epsilon=epsilon, rounds=50, local_steps=None)
    assert 0.97 * epsilon <= check_budget(plan) <= epsilon


def test_a_sum_of_declared_rows_takes_half_the_bytes() -> None:
    changes = {"rounds": 2, "rate": Fraction(1, 10), "architecture": SMALL}
    plan = new_plan(
        small_schema(),
        epsilon=1.0,
        delta=1e-6,
        silos=("a", "b"),
        method="dp-sgd",
        trust="shared",
        rows_at_most=100_000,
        training=TrainingChoice(**changes),  # type: ignore[arg-type]  # test arguments
    )
    assert plan.sum_bits == 32


def test_a_federation_trains_in_no_more_rounds_than_a_result_has_receipts_for() -> None:
    few, many = (
        _plan(rounds=rounds, local_steps=1, rate=Fraction(1, 1000)) for rounds in (4_999, 5_001)
    )
    with pytest.raises(InvalidPlan, match="makes up to 10004 receipts; a result holds 10000"):
        check_runnable(many, small_schema())
    with pytest.raises(InvalidPlan, match="names no keys"):
        check_runnable(few, small_schema())


@pytest.mark.parametrize("kind", ["image", "text", "table"])
def test_images_and_texts_are_learnt_by_a_small_transformer_that_sees_where_codes_stand(
    kind: str,
) -> None:
    label = {"name": "kind", "kind": "boolean", "source": "public"}
    pixel = {"name": "p", "kind": "integer", "minimum": 0, "maximum": 3, "source": "public"}
    attributes = [
        label,
        {"name": "note", "kind": "text", "max_bytes": 8} if kind == "text" else pixel,
    ]
    scan = {"name": "scan", "width": 1, "height": 1, "attributes": ["p"]}
    schema = parse_schema(
        {
            "name": kind,
            "label": "kind",
            "attributes": attributes,
            "images": [scan] * (kind == "image"),
        }
    )
    silos = ("a", "b", "c")
    plan = new_plan(schema, epsilon=4.0, delta=1e-6, silos=silos, method="dp-sgd", trust="shared")
    assert plan.training is not None
    shows = kind != "table"
    assert isinstance(plan.training.architecture, Transformer if shows else MaskedMlp)
    assert plan.training.rounds == (100 if shows else 50)
    assert plan.training.learning_rate == (0.02 if shows else 0.025)
    assert plan.phases[-1].rate == Fraction(1, 10)
    alone = new_plan(schema, epsilon=4.0, delta=1e-6, silos=silos, method="dp-sgd")
    assert alone.phases[-1].rate == (Fraction(1, 20) if shows else Fraction(1, 10))
