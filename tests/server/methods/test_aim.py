"""AIM chooses what the model lacks, by noised counts alone, and keeps the model small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.measurement import Measurement
from silosynth.common.messages import count_cells
from silosynth.common.plan import ROUNDS, PhaseName
from silosynth.common.schema import OrdinalAttribute, Schema, Source
from silosynth.server.coordinator import Answered, Ask, Finish, State, finish, replay, step
from silosynth.server.coordinator.machine import start
from silosynth.server.methods import Known, Outcome, ask_phase, finish_run
from silosynth.server.methods.aim.choosing import (
    choose_cliques,
    cover_evenly,
    estimate_errors,
    growing_limits,
    pair_weights,
)
from silosynth.server.methods.aim.codes import (
    MOST_AIM_GROUPS,
    asking_codes,
    choose_level,
    level_ladder,
    working_codes,
)
from silosynth.server.methods.aim.fitting import choose_in_steps, fit_run, joining_pairs
from silosynth.server.methods.mixed import TreesModel
from silosynth.server.model import build_junction_tree, device
from silosynth.server.model.fit import fit
from silosynth.server.planning import new_plan
from tests.support.fakes import SILOS, answer_exactly, small_codes, small_plan, small_schema

DOMAIN = Domain(attributes=("a", "b", "c", "d"), shape=(4, 3, 5, 2))
PAIRS: tuple[Clique, ...] = tuple(combinations(DOMAIN.attributes, 2))


def _measure(
    clique: Clique, values: np.ndarray, sigma: float, random: np.random.Generator
) -> Measurement:
    return Measurement(
        clique=clique,
        values=values + random.normal(0.0, sigma, values.size),
        variance=np.full(values.size, sigma**2),
    )


def test_without_a_workload_every_pair_counts_the_same() -> None:
    assert pair_weights(DOMAIN, workload=(), weights=()) == dict.fromkeys(PAIRS, 1.0)


def test_a_pair_weighs_what_it_shares_with_the_workload() -> None:
    weights = pair_weights(DOMAIN, workload=(("c", "a", "b"), ("b", "c")), weights=(1, 3))
    assert weights == {
        ("a", "b"): pytest.approx((2 + 3) / 8),
        ("a", "c"): pytest.approx((2 + 3) / 8),
        ("b", "c"): 1.0,
    }


def test_noise_alone_is_no_error_and_dependence_is_one() -> None:
    """Without the correction for noise, all six pairs would show an error here."""
    random = np.random.default_rng(0)
    codes = [random.integers(0, s, 20_000) for s in DOMAIN.shape]
    codes[3] = np.where(random.random(20_000) < 0.8, codes[0] % 2, codes[3])
    ones = [
        _measure((a,), np.bincount(c, minlength=s).astype(float), 5.0, random)
        for a, c, s in zip(DOMAIN.attributes, codes, DOMAIN.shape, strict=True)
    ]
    model = fit(ones, domain=DOMAIN)
    coarse = []
    for pair in PAIRS:
        i, j = (DOMAIN.index(x) for x in pair)
        flat = codes[i] * DOMAIN.shape[j] + codes[j]
        counts = np.bincount(flat, minlength=DOMAIN.size(pair)).astype(float)
        coarse.append(_measure(pair, counts, 200.0, random))
    errors = estimate_errors(model, coarse)
    shown = sum(error > 0 for pair, error in errors.items() if pair != ("a", "d"))
    assert shown <= 1
    # 80 % of the rows agree where half would: 0.4 of the rows are moved, each counted twice.
    assert errors["a", "d"] == pytest.approx(16_000, rel=0.15)


def test_cliques_are_chosen_by_score_without_those_that_are_known() -> None:
    scores = {p: float(i) for i, p in enumerate(PAIRS)}
    chosen = choose_cliques(
        scores,
        present=[("d", "c")],
        domain=DOMAIN,
        count=2,
        limit_bytes=[10_000, 10_000],
    )
    assert chosen == (("b", "d"), ("b", "c"))
    nothing = dict.fromkeys(PAIRS, 0.0)
    assert choose_cliques(nothing, present=[], domain=DOMAIN, count=2, limit_bytes=[1, 1]) == ()


@given(
    shape=st.lists(st.integers(2, 9), min_size=3, max_size=7),
    seed=st.integers(0, 2**32 - 1),
    limit=st.integers(200, 20_000),
)
@settings(max_examples=50, deadline=None)
def test_the_model_never_grows_beyond_the_limit(shape: list[int], seed: int, limit: int) -> None:
    domain = Domain(attributes=tuple(f"x{i}" for i in range(len(shape))), shape=tuple(shape))
    pairs: list[Clique] = list(combinations(domain.attributes, 2))
    scores = dict(zip(pairs, np.random.default_rng(seed).random(len(pairs)) + 0.1, strict=True))
    chosen = choose_cliques(
        scores,
        present=[],
        domain=domain,
        count=len(pairs),
        limit_bytes=[limit] * len(pairs),
    )
    assert not chosen or build_junction_tree(chosen, domain=domain).bytes <= limit


def test_the_limit_grows_with_what_was_measured_and_ends_at_the_whole() -> None:
    limits = growing_limits(max_model_mb=1, before=2, count=3, of=5)
    assert limits == sorted(limits)
    assert limits[-1] == 2**20
    assert growing_limits(max_model_mb=1, before=0, count=1, of=10)[0] < 2**20 // 2


@pytest.mark.parametrize(("limit", "joined"), [(1, 1), (4, 2)])
def test_coarse_pairs_join_the_last_fit_while_the_model_stays_within_the_limit(
    limit: int, joined: int
) -> None:
    """Three equal columns of 260 codes: a pair takes half a MiB, and a triple 134."""
    size, rows = 260, 260_000.0
    domain = Domain(attributes=("a", "b", "c"), shape=(size,) * 3)
    ones = [_exact((a,), np.full(size, rows / size)) for a in domain.attributes]
    same = np.diag(np.full(size, rows / size)).ravel()
    outside = [_exact(pair, same) for pair in combinations(domain.attributes, 2)]
    plan = small_plan(method="aim", max_model_mb=limit)
    found = joining_pairs(plan, ones, outside=outside, domain=domain, zeros=())
    assert len(found) == joined


def test_pairs_that_show_nothing_do_not_join_the_last_fit() -> None:
    domain = Domain(attributes=("a", "b"), shape=(4, 4))
    ones = [_exact((a,), np.full(4, 100.0)) for a in "ab"]
    apart = [_exact(("a", "b"), np.full(16, 25.0))]
    plan = small_plan(method="aim")
    assert not joining_pairs(plan, ones, outside=apart, domain=domain, zeros=())


def _exact(clique: Clique, values: np.ndarray) -> Measurement:
    return Measurement(clique=clique, values=values, variance=np.ones(values.size))


def _ones(rows: int) -> list[Measurement]:
    random = np.random.default_rng(0)
    return [
        _measure((a.name,), np.full(a.size, rows / a.size), 1.0, random)
        for a in small_schema().coded
    ]


def test_more_noise_means_a_coarser_level() -> None:
    schema, ones = small_schema(), _ones(10_000)
    ladder = level_ladder(schema, ones, working=Grouping(), listed=False)
    assert len(ladder) <= 8
    found = [
        choose_level(
            ("age", "region"),
            ladder=ladder,
            domain=schema.domain,
            one_way=ones,
            deviation=d,
            cell_deviations=3.0,
        )
        for d in (1.0, 300.0, 1e9)
    ]
    assert found == ["working", "groups-4", "groups-4"]


def test_rows_that_gather_in_few_cells_are_measured_finer() -> None:
    """Where one attribute says the other wholly, rows are in as many cells as it has codes."""
    schema, ones = small_schema(), _ones(10_000)
    ladder = level_ladder(schema, ones, working=Grouping(), listed=False)
    found = [
        choose_level(
            ("age", "region"),
            ladder=ladder,
            domain=schema.domain,
            one_way=ones,
            deviation=100.0,
            cell_deviations=3.0,
            said=said,
        )
        for said in (0.0, 1.0)
    ]
    assert found == ["groups-8", "working"]


def _counted(table: np.ndarray, *clique: str, variance: float = 1.0) -> Measurement:
    values = np.asarray(table, dtype=float).ravel()
    return Measurement(clique=clique, values=values, variance=np.full(values.size, variance))


@pytest.mark.parametrize(("edition", "third"), [(None, ("b", "c")), (2, ("d", "e"))])
def test_a_pair_that_follows_from_those_chosen_before_it_is_not_asked(
    edition: int | None, third: Clique
) -> None:
    """b is a copy of a, and c depends on both alike; d and e depend less than that."""
    names = ("a", "b", "c", "d", "e")
    domain = Domain(attributes=names, shape=(4, 4, 4, 4, 4))
    plan = new_plan(
        Schema(
            name="copied",
            attributes=tuple(
                OrdinalAttribute(
                    name=n, categories=("0", "1", "2", "3"), other=False, source=Source.PUBLIC
                )
                for n in names
            ),
        ),
        epsilon=1.0,
        delta=1e-6,
        silos=("s",),
        method="aim",
    ).model_copy(update={"edition": edition})
    even = np.full((4, 4), 625.0)
    tables = {
        ("a", "b"): np.eye(4) * 2500,
        ("a", "c"): (np.eye(4) * 2500 + even) / 2,
        ("b", "c"): (np.eye(4) * 2500 + even) / 2,
        ("d", "e"): (np.eye(4) * 2500 + 3 * even) / 4,
    }
    chosen = choose_in_steps(
        plan,
        [_counted(np.full(4, 2500), name) for name in names],
        coarse=[
            _counted(tables.get(pair, even), *pair, variance=4.0) for pair in combinations(names, 2)
        ],
        domain=domain,
        zeros=(),
        limit_bytes=[2**20] * 3,
        room=lambda clique, chosen: True,
        mixed=False,
    )
    assert chosen == (("a", "b"), ("a", "c"), third)


def _listed(name: str, *, names: Sequence[str], codes: int) -> Schema:
    """Return columns in order of so many codes each."""
    categories = tuple(f"{i:02}" for i in range(codes))
    return Schema(
        name=name,
        attributes=tuple(
            OrdinalAttribute(name=n, categories=categories, other=False, source=Source.PUBLIC)
            for n in names
        ),
    )


@pytest.mark.parametrize(("max_model_mb", "finer"), [(5, True), (1, False)])
def test_a_round_asks_finer_where_rounds_found_one_attribute_to_say_another_if_there_is_room(
    max_model_mb: int, finer: bool
) -> None:
    """Four columns, each a copy of the others: measured in 8 groups, four of 32 take 8 MiB."""
    names, rows = ("a", "b", "c", "d"), 5_000
    schema = _listed("copies", names=names, codes=64)
    plan = new_plan(
        schema, epsilon=1.0, delta=1e-6, silos=("s",), method="aim", max_model_mb=max_model_mb
    )
    one_way = [
        _counted(np.full(64, rows / 64), name, variance=float(plan.phase(PhaseName.ONE_WAY).sigma2))
        for name in names
    ]
    eighths = Grouping(groups={name: tuple(i // 8 for i in range(64)) for name in names})
    pairs = [
        replace(_counted(np.eye(8) * rows / 8, *pair, variance=4.0), grouping=eighths)
        for pair in combinations(names[: 4 if not finer else 2], 2)
    ]
    measured = {PhaseName.ONE_WAY: one_way, PhaseName.COARSE: pairs, PhaseName.ROUND_1: pairs}
    found = asking_codes(plan, schema, one_way, measured=measured)
    as_before = working_codes(plan, schema, one_way, asked=pairs)
    assert (found != as_before) == finer
    codes = [len(set(grouping.lookup("a", 64).tolist())) for grouping in (as_before, found)]
    assert codes[0] <= codes[1] <= MOST_AIM_GROUPS
    assert (codes[0] < codes[1]) == finer


def _alike_columns(
    *, edition: int | None, workload: tuple[Clique, ...] = ()
) -> tuple[Known, Outcome]:
    """Run AIM over three columns of 45 codes: a pair takes 16 KiB, and a triple 712.

    A row has one code in two of its columns, any two, so no pair follows from the two others.
    """
    names, rows = ("a", "b", "c"), 900_000
    schema = _listed("alike", names=names, codes=45)
    plan = new_plan(
        schema,
        epsilon=8.0,
        delta=1e-6,
        silos=("s",),
        method="aim",
        max_model_mb=1,
        workload=workload,
    ).model_copy(update={"edition": edition})
    pair = np.eye(45) / (3 * 45) + 2 / (3 * 45**2)
    known = Known(plan=plan, schema=schema, measured={})
    for phase in plan.phases:
        question = ask_phase(phase.name, known)
        found = []
        for query in question.queries:
            grouping = question.groupings[query.level]
            table = pair if len(query.clique) == 2 else pair.sum(axis=1)
            merged = np.ix_(*(grouping.lookup(name, 45) for name in query.clique))
            counts = np.zeros(grouping.domain(schema.domain).sizes(query.clique))
            np.add.at(counts, merged, table * rows)
            found.append(
                Measurement(
                    clique=query.clique,
                    values=counts.ravel(),
                    variance=np.full(counts.size, float(phase.sigma2)),
                    grouping=grouping,
                )
            )
        known = replace(known, measured={**known.measured, phase.name: tuple(found)})
    return known, finish_run(known)


def test_rounds_ask_what_a_tree_has_no_room_for_where_the_last_fit_is_none() -> None:
    known, outcome = _alike_columns(edition=2)
    rounds = {m.clique for name in ROUNDS for m in known.measured.get(name, ())}
    assert rounds == {("a", "b"), ("a", "c"), ("b", "c")}
    assert isinstance(outcome.model, TreesModel)


@pytest.mark.parametrize(("edition", "asked"), [(None, 3), (2, 2)])
def test_rounds_leave_room_in_the_model_for_pairs_that_they_did_not_ask(
    edition: int | None, asked: int
) -> None:
    """The third pair joins the last fit by its coarse counts where rounds left it out."""
    known, outcome = _alike_columns(edition=edition, workload=(("a", "b"), ("a", "c"), ("b", "c")))
    rounds = {m.clique for name in ROUNDS for m in known.measured.get(name, ())}
    assert len(rounds) == asked
    model, _ = fit_run(known.plan, known.schema, known.measured, grouping=outcome.grouping)
    assert model.tree.largest == ("a", "b", "c")
    assert model.tree.bytes <= 2**20


def _run(rows: int = 500, noise: int = 0, **changes: object) -> tuple[State, list[Answered]]:
    plan = small_plan(**{"method": "aim"} | changes)
    tables = {silo: small_codes(seed, rows) for seed, silo in enumerate(SILOS)}
    state, commands = start(plan, small_schema())
    events = []
    while asks := [c for c in commands if isinstance(c, Ask)]:
        for ask in asks:
            silo, phase = ask.request.silo, ask.request.phase
            count_cells(ask.request, plan=plan, counted=small_schema().domain)
            data = answer_exactly(ask.request, plan=plan, codes=tables[silo], noise=noise)
            events.append(Answered(phase=phase, silo=silo, data=data))
            state, commands = step(state, events[-1])
    assert commands == (Finish(),)
    return state, events


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_a_run_measures_the_pairs_that_depend(rounds: int) -> None:
    state, _ = _run(rounds=rounds)
    asked = [
        [q.clique for q in state.asked[name].queries] for name in ROUNDS if name in state.asked
    ]
    assert {("age", "old"), ("ill", "old")} <= set(asked[0])
    assert all(len(set(cliques)) == len(cliques) for cliques in asked)
    # Region depends on nothing: it is asked for what it is itself, after all that depend.
    first = next((i for i, clique in enumerate(asked[0]) if "region" in clique), len(asked[0]))
    assert {("age", "old"), ("ill", "old")} <= set(asked[0][:first])
    joint = finish(state).model.marginal(("age", "old"))
    assert joint.sum() == pytest.approx(1500, rel=0.02)


def test_a_replay_asks_the_same_cliques_at_the_same_levels() -> None:
    state, events = _run()
    again, _ = replay(state.plan, state.schema, events)
    assert again.asked == state.asked


def test_a_round_chooses_on_the_processor_where_sums_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def gpu() -> None:
        raise AssertionError("a GPU was asked for")

    monkeypatch.setattr(device, "CUDA_CELLS", 0)
    monkeypatch.setattr(device, "_torch_on_cuda", gpu)
    state, _ = _run(workload=(("age", "old"),), weights=(1,))
    with pytest.raises(AssertionError, match="GPU"):
        finish(state)


@pytest.mark.parametrize("rounds", [2, 3])
def test_a_workload_keeps_the_rounds_to_its_pairs_which_are_measured_again(rounds: int) -> None:
    state, _ = _run(workload=(("age", "old"),), weights=(5,), rounds=rounds)
    asked = [[q.clique for q in state.asked[name].queries] for name in ROUNDS[:rounds]]
    assert asked == [[("age", "old")]] * rounds


def test_pairs_are_measured_again_in_the_order_in_which_they_were_chosen() -> None:
    state, _ = _run(rounds=3)
    before: list[Clique] = []
    for name in ROUNDS:
        cliques = [q.clique for q in state.asked[name].queries]
        fresh = [c for c in cliques if c not in before]
        again = cliques[len(fresh) :]
        assert cliques == [*fresh, *before[: len(again)]]
        room = state.plan.phase(name).marginals
        assert len(cliques) == min(room, len(fresh) + len(before))
        before += fresh


@pytest.mark.parametrize("noise", [0, -7])
@pytest.mark.parametrize("method", ["independent", "mst", "aim"])
def test_counts_that_are_all_zero_or_negative_end_in_a_sampler(method: str, noise: int) -> None:
    state, _ = _run(rows=0, noise=noise, method=method)
    outcome = finish(state)
    assert outcome.model.total == 1.0  # type: ignore[attr-defined]  # as loose as a test may be
    for pair, table in outcome.model.pair_marginals([("age", "old"), ("region", "ill")]).items():
        assert (table >= 0).all()
        assert table.sum() == pytest.approx(1.0)
        assert table == pytest.approx(outcome.model.marginal(pair))
    assert len(outcome.sampler.draw(5, seed=1)) == 5


def test_a_round_that_finds_nothing_asks_pairs_for_what_they_say_of_their_columns() -> None:
    state, _ = _run(rows=0, rounds=1)
    asked = [q.clique for q in state.asked[ROUNDS[0]].queries]
    assert len(asked) == state.plan.phase(ROUNDS[0]).marginals
    times = Counter(name for clique in asked for name in clique)
    assert max(times.values()) - min(times[a] for a in small_schema().domain.attributes) <= 1


def test_pairs_cover_the_attributes_that_were_asked_least_within_room() -> None:
    domain = Domain(attributes=("a", "b", "c", "d"), shape=(2, 3, 4, 5))
    pairs = tuple(combinations(domain.attributes, 2))

    def cover(count: int, spared: str = "") -> tuple[Clique, ...]:
        return cover_evenly(
            [("a", "b")],
            pairs=pairs,
            domain=domain,
            count=count,
            room=lambda clique, chosen: spared not in clique,
        )

    assert cover(0) == cover(-1) == ()
    assert cover(3) == (("c", "d"), ("a", "c"), ("b", "d"))
    assert cover(3, spared="d") == (("a", "c"), ("b", "c"))
