"""A plan never costs more than its budget, and little less."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.accounting import rho_for
from silosynth.common.errors import InvalidPlan, SilosynthError
from silosynth.common.plan import (
    OF_VALUES,
    ROUNDS,
    Method,
    OnAbsent,
    Own,
    PhaseName,
    Plan,
    check_budget,
)
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.methods import Terms, fixed, independent, mst
from silosynth.server.methods.aim.aim import Aim
from silosynth.server.methods.budget import shares_of_rounds
from silosynth.server.methods.vectors import one_shot
from silosynth.server.planning import new_plan, rows_that_crowd
from tests.support.fakes import small_plan, small_schema


def _new(**changes: Any) -> Any:
    arguments: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "silos": ("a", "b")} | changes
    return new_plan(small_schema(), **arguments)


@pytest.mark.parametrize("epsilon", [0.01, 0.3, 1.0, 8.0, 50.0])
@pytest.mark.parametrize("method", [Method.INDEPENDENT, Method.MST, Method.AIM])
def test_a_plan_spends_its_budget_and_not_more(epsilon: float, method: Method) -> None:
    spent = check_budget(_new(epsilon=epsilon, method=method))
    assert spent <= epsilon
    assert epsilon > 10 or spent >= 0.93 * epsilon


@pytest.mark.parametrize("rows_per_person", [2, 10])
def test_more_rows_a_person_mean_more_noise_and_no_more_cost(rows_per_person: int) -> None:
    one, many = _new(), _new(rows_per_person=rows_per_person)
    for before, after in zip(one.phases, many.phases, strict=True):
        assert math.isclose(after.sigma2, rows_per_person**2 * before.sigma2, rel_tol=0.05)
    assert check_budget(many) <= 1.0


TERMS = Terms(epsilon=1.0, delta=1e-6, rows_per_person=1, silos=1, trust=Own())


def test_the_shares_of_every_method_add_up_to_one() -> None:
    sizes = Aim(rounds=3).sizes(small_schema(), TERMS)
    tables = [module.SHARES for module in (independent, mst, fixed, one_shot)]
    parts = [shares_of_rounds(sizes, alone=part) for part in (Fraction(2, 5), Fraction(3, 5))]
    for shares in (*tables, *parts):
        assert sum(shares.values(), Fraction(0)) == 1
    assert shares_of_rounds(sizes, alone=Fraction(2, 5)).keys() == sizes.keys()


def test_columns_get_more_of_the_budget_where_a_public_bound_says_rows_are_few() -> None:
    """29 codes and a noise of 14 rows a count are much for 100 rows and little for 10,000."""
    usual, many, few = (
        _new(method="aim", silos=("a",), rows_at_most=rows) for rows in (None, 10_000, 100)
    )

    def method_phases(plan: Plan) -> dict[PhaseName, int]:
        return {p.name: p.marginals for p in plan.phases if p.name not in OF_VALUES}

    def alone(plan: Plan) -> Fraction:
        costs = {name: plan.phase_cost(plan.phase(name)).rho for name in method_phases(plan)}
        return costs[PhaseName.ONE_WAY] / sum(costs.values(), Fraction(0))

    assert method_phases(usual) == method_phases(many)
    assert float(alone(usual)) == pytest.approx(0.4, abs=0.001)
    assert float(alone(many)) == pytest.approx(0.4, abs=0.001)
    assert float(alone(few)) == pytest.approx(0.7, abs=0.001)
    assert sum(method_phases(few).values()) < sum(method_phases(usual).values())
    assert check_budget(few) <= 1.0


@given(
    epsilon=st.floats(0.05, 20.0),
    delta=st.sampled_from([1e-5, 1e-6, 1e-9]),
    shape=st.lists(st.integers(2, 200), min_size=2, max_size=12),
    rounds=st.integers(1, 3),
    rows_per_person=st.integers(1, 4),
)
@settings(max_examples=25, deadline=None)
def test_the_rounds_of_aim_never_spend_more_than_rho(
    epsilon: float, delta: float, shape: list[int], rounds: int, rows_per_person: int
) -> None:
    schema = _categorical(shape)
    plan = new_plan(
        schema,
        epsilon=epsilon,
        delta=delta,
        silos=("a",),
        method="aim",
        rounds=rounds,
        rows_per_person=rows_per_person,
    )
    spent = sum(
        (Fraction(p.marginals * rows_per_person**2) / (2 * p.sigma2) for p in plan.phases),
        Fraction(0),
    )
    assert spent <= rho_for(epsilon, delta)
    assert spent == plan.rho
    assert len({p.sigma2 for p in plan.phases if p.name in ROUNDS}) == 1


def _categorical(shape: list[int]) -> Any:
    """Return a schema of unordered attributes of some sizes."""
    return parse_schema(
        {
            "name": "many",
            "attributes": [
                {
                    "name": f"a{i}",
                    "kind": "categorical",
                    "categories": [str(c) for c in range(size)],
                    "other": False,
                    "source": "public",
                }
                for i, size in enumerate(shape)
            ],
        }
    )


def test_a_plan_is_for_aim_in_at_most_three_rounds_unless_another_method_is_named() -> None:
    plan = _new()
    assert plan.method is Method.AIM
    assert 1 <= len([p for p in plan.phases if p.name in ROUNDS]) <= 3


def test_the_rounds_of_aim_hold_what_they_may_choose() -> None:
    plan = _new(method="aim", rounds=2)
    assert [(p.name, p.marginals) for p in plan.phases] == [
        (PhaseName.ONE_WAY, 4),
        (PhaseName.COARSE, 6),
        (PhaseName.ROUND_1, 3),
        (PhaseName.ROUND_2, 3),
    ]
    assert plan.max_model_mb == 5
    assert plan.edition == 2
    assert _new(method="aim", max_model_mb=2).max_model_mb == 2


@pytest.mark.parametrize(
    ("silos", "fields", "pairs"),
    [(1, {}, 42), (3, {}, 24), (3, {"trust": "shared"}, 42)],
)
def test_noise_of_several_silos_leaves_fewer_pairs_to_aim(
    silos: int, fields: dict[str, Any], pairs: int
) -> None:
    plan = new_plan(
        _categorical([3] * 12),
        epsilon=1.0,
        delta=1e-6,
        silos=[f"s{i}" for i in range(silos)],
        method="aim",
        **fields,
    )
    assert sum(p.marginals for p in plan.phases if p.name in ROUNDS) == pairs


def test_the_phases_of_mst_hold_what_a_tree_needs() -> None:
    plan = _new(method="mst")
    sizes = small_schema().domain.shape
    assert [(p.name, p.marginals) for p in plan.phases] == [
        (PhaseName.ONE_WAY, 4),
        (PhaseName.COARSE, 6),
        (PhaseName.TREE, 3),
    ]
    assert plan.phases[0].cells == sum(sizes)


def test_two_plans_have_two_ids() -> None:
    assert _new().id != _new().id


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epsilon": 0}, "epsilon"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"epsilon": math.inf}, "epsilon"),
        ({"delta": 0.0}, "delta"),
        ({"delta": 1.0}, "delta"),
        ({"delta": 1.5}, "delta"),
        ({"silos": ()}, "silos"),
        ({"silos": ("a", "a")}, "'a' stands twice"),
        ({"silos": ("a b",)}, "silos"),
        ({"method": "magic"}, "'magic'"),
        ({"method": "fixed"}, "workload"),
        ({"method": "mst", "workload": (("age", "ill"),)}, "workload"),
        ({"method": "fixed", "workload": (("age", "height"),)}, "height"),
        ({"method": "aim", "workload": (("age", "height"),)}, "height"),
        ({"method": "aim", "workload": (("age", "ill"),), "weights": (1, 2)}, "weights"),
        ({"method": "aim", "workload": (("age", "ill"),), "weights": (0,)}, "weights"),
        ({"method": "mst", "weights": (1,)}, "weights"),
        ({"method": "aim", "rounds": 0}, "0 rounds"),
        ({"method": "aim", "rounds": 4}, "4 rounds"),
        ({"method": "aim", "max_model_mb": 0}, "max_model_mb"),
        ({"method": "fixed", "workload": (("age", "age"),)}, "twice"),
        ({"rows_per_person": 0}, "rows_per_person"),
    ],
)
def test_an_impossible_wish_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SilosynthError, match=words):
        _new(**change)


def _wide(bins: int) -> Any:
    return parse_schema(
        {
            "name": "wide",
            "attributes": [
                {"name": n, "kind": "real", "minimum": 0.0, "maximum": 1.0, "source": "public"}
                | {"bins": {"kind": "width", "count": bins}}
                for n in "abc"
            ],
        }
    )


def test_a_marginal_that_is_too_large_is_refused_before_anything_is_allocated() -> None:
    arguments: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "silos": ("s",), "method": "fixed"}
    with pytest.raises(InvalidPlan, match="a, b, c has 68719476736 cells"):
        new_plan(_wide(4096), workload=(("a", "b", "c"),), **arguments)


@pytest.mark.parametrize("method", [Method.MST, Method.AIM])
def test_one_attribute_has_no_pairs(method: Method) -> None:
    schema = parse_schema({"name": "one", "attributes": [{"name": "ill", "kind": "boolean"}]})
    with pytest.raises(InvalidPlan, match="independent"):
        new_plan(schema, epsilon=1.0, delta=1e-6, silos=("a",), method=method)


def test_a_schema_of_keys_alone_is_refused() -> None:
    schema = parse_schema({"name": "keys", "attributes": [{"name": "id", "kind": "identifier"}]})
    with pytest.raises(SilosynthError, match="no attribute"):
        new_plan(schema, epsilon=1.0, delta=1e-6, silos=("a",), method="independent")


def test_shared_noise_is_planned_for_the_sum_and_every_attempt() -> None:
    own = small_plan()
    shared = small_plan(trust="shared", colluders=1)
    assert [p.sigma2 for p in shared.phases] == [p.sigma2 for p in own.phases]
    twice = small_plan(trust="shared", absent=1, attempts=2)
    assert all(
        t.sigma2 == pytest.approx(2 * o.sigma2, rel=0.01)
        for t, o in zip(twice.phases, own.phases, strict=True)
    )
    assert twice.on_absent is OnAbsent.CONTINUE
    assert check_budget(twice) <= twice.privacy.epsilon


def test_noise_that_would_be_below_one_a_silo_is_raised_and_the_rest_goes_to_other_phases() -> None:
    many = tuple(f"s{i:02d}" for i in range(60))
    shared = small_plan(trust="shared", silos=many, epsilon=8.0)
    own = small_plan(silos=many, epsilon=8.0)
    raised = [p for p in shared.phases if p.sigma2 == 60]
    others = [(s, o) for s, o in zip(shared.phases, own.phases, strict=True) if s.sigma2 > 60]
    assert raised
    assert len(raised) + len(others) == 3
    assert check_budget(shared) <= 8.0
    assert all(s.sigma2 <= o.sigma2 for s, o in others)


def test_the_width_of_sums_follows_from_a_declared_bound_alone() -> None:
    assert small_plan(trust="shared").sum_bits == 64
    assert small_plan(trust="shared", rows_at_most=10**6).sum_bits == 32
    assert small_plan(trust="shared", rows_at_most=2**31).sum_bits == 64
    assert small_plan(rows_at_most=10**6).sum_bits == 64


def test_texts_are_for_generators_and_no_plan_for_marginals_drops_them() -> None:
    def schema(**text: Any) -> Any:
        note = {"name": "note", "kind": "text"} | text
        label = {"name": "ill", "kind": "boolean"}
        return parse_schema({"name": "s", "label": "ill", "attributes": [label, note]})

    budget: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "silos": ("a",)}
    for method in ("mst", "independent", "aim", "one-shot"):
        with pytest.raises(InvalidPlan, match="'note' is free text, which marginals cannot carry"):
            new_plan(schema(max_bytes=8), method=method, **budget)
    with pytest.raises(InvalidPlan, match="'note' is free text"):
        new_plan(schema(), method="fixed", workload=[("ill", "note")], **budget)
    assert new_plan(schema(), method="independent", **budget).method is Method.INDEPENDENT


def test_a_choice_that_there_is_not_is_refused_as_any_argument() -> None:
    with pytest.raises(TypeError, match="'frequency'"):
        _new(method="one-shot", frequency=64)
    assert _new(method="mst", frequencies=64).features is None


def _numbers(count: int, *, lists: int) -> Schema:
    number = {"kind": "integer", "minimum": 0, "maximum": 99_999, "source": "public"}
    listed = {"kind": "categorical", "categories": ["a", "b"], "source": "public"}
    attributes = [{"name": f"n{i}", **number} for i in range(count)]
    attributes += [{"name": f"l{i}", **listed} for i in range(lists)]
    return parse_schema({"name": "t", "attributes": attributes})


def _values_part(plan: Plan) -> float:
    """Return the part of a plan's rho that looks at values."""
    rho = {p.name: p.marginals / (2 * float(p.sigma2)) for p in plan.phases}
    return sum(r for name, r in rho.items() if name in OF_VALUES) / sum(rho.values())


@pytest.mark.parametrize("method", ["independent", "mst", "aim"])
@pytest.mark.parametrize(
    ("numbers", "lists", "rows", "silos", "part"),
    [
        (5, 5, None, 1, 0.15),
        (5, 0, None, 1, 0.2),
        (1, 29, None, 1, 0.04),
        (5, 5, 1_000, 1, 0.15),
        (5, 5, 1_000_000, 1, 0.04),
        (5, 5, 1_000_000, 900, 0.15),
    ],
)
def test_values_cost_what_columns_and_a_public_bound_say(
    method: str, numbers: int, lists: int, rows: int | None, silos: int, part: float
) -> None:
    plan = new_plan(
        _numbers(numbers, lists=lists),
        epsilon=1.0,
        delta=1e-6,
        silos=tuple(f"s{i}" for i in range(silos)),
        method=method,
        rows_at_most=rows,
    )
    assert _values_part(plan) == pytest.approx(part, abs=0.002)


def test_a_bound_on_the_rows_counts_the_noise_of_all_silos_by_trust() -> None:
    rows, silos = 90_000, ("a", "b", "c", "d")
    asked: dict[str, Any] = {"epsilon": 1.0, "delta": 1e-6, "silos": silos, "rows_at_most": rows}
    own = new_plan(_numbers(5, lists=0), method="independent", **asked)
    shared = new_plan(_numbers(5, lists=0), method="independent", trust="shared", **asked)
    assert _values_part(own) > 2 * _values_part(shared) > 0.1


def test_one_ways_get_more_where_their_noise_is_much_for_the_rows() -> None:
    def share(**changes: Any) -> float:
        plan = _new(method=Method.AIM, **changes)
        costs = {p.name: p.marginals / p.sigma2 for p in plan.phases if p.name not in OF_VALUES}
        return float(costs[PhaseName.ONE_WAY] / sum(costs.values()))

    many = share(rows_at_most=10**7)
    assert many == pytest.approx(0.4, abs=0.005)
    assert share() == pytest.approx(many, abs=0.005)
    fewer = [share(rows_at_most=rows) for rows in (400, 200, 100, 10)]
    assert fewer == sorted(fewer)
    assert many < fewer[0] < fewer[1] < fewer[-1]
    assert fewer[-1] == pytest.approx(0.7, abs=0.005)
    apart = share(rows_at_most=400, silos=tuple("abcdefgh"))
    assert apart > fewer[0], "own noise of more silos is more noise in their sum"
    assert share(rows_at_most=400, rows_per_person=2) > fewer[0]


@pytest.mark.parametrize(
    ("changes", "mb"),
    [({}, 5), ({"rows_at_most": 99_999}, 5), ({"rows_at_most": 100_000}, 16)],
)
def test_many_rows_have_a_larger_model(changes: dict[str, Any], mb: int) -> None:
    assert _new(method=Method.AIM, **changes).max_model_mb == mb
    assert _new(method=Method.AIM, max_model_mb=8, **changes).max_model_mb == 8


@pytest.mark.parametrize("rows", [0, -1, 1, 1.5, True, 10**12 + 1])
def test_a_bound_on_the_rows_is_a_whole_number_that_they_can_have(rows: Any) -> None:
    with pytest.raises(InvalidPlan, match="rows_at_most is"):
        small_plan(rows_at_most=rows)


def test_rows_that_crowd_follow_from_public_numbers_alone() -> None:
    schema = small_schema()
    fewer = [rows_that_crowd(small_plan(method="aim", epsilon=e), schema) for e in (9, 1, 0.1)]
    assert fewer == sorted(fewer)
    assert fewer[0] > 0
    assert rows_that_crowd(small_plan(method="independent"), schema) == 0
