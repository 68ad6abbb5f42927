"""Structural zeros hold from the fit to the drawn row."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.domain import Clique, Domain, Grouping
from silosynth.common.errors import InvalidArgument
from silosynth.common.measurement import Measurement
from silosynth.common.plan import Method, PhaseName
from silosynth.common.sampler import draw_codes
from silosynth.common.schema import ImpossibleCells, Schema, parse_schema
from silosynth.server.measuring import keep_zeros_apart, merged_zeros
from silosynth.server.methods import Known, ask_phase, finish_run
from silosynth.server.model.engine import NUMPY, Engine
from silosynth.server.model.fit import fit
from silosynth.server.model.torch_engine import TorchEngine
from silosynth.server.planning import new_plan

DOMAIN = Domain(attributes=("a", "b", "c"), shape=(3, 4, 2))


def _measured(values: np.ndarray, *clique: str, variance: float = 4.0) -> Measurement:
    flat = values.ravel().astype(float)
    return Measurement(clique=clique, values=flat, variance=np.full(flat.size, variance))


@given(seed=st.integers(0, 2**32 - 1), warm=st.booleans())
@settings(max_examples=25, deadline=None)
def test_impossible_cells_are_exactly_zero_whatever_was_measured(seed: int, warm: bool) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((3, 4)) < 0.4
    mask[random.integers(3)], mask[:, random.integers(4)] = False, False
    zeros = [ImpossibleCells(clique=("a", "b"), mask=mask)]
    measured = [
        _measured(random.uniform(-20, 100, (3, 4)), "a", "b"),
        _measured(random.uniform(-20, 100, (4, 2)), "b", "c"),
        _measured(random.uniform(-20, 100, (2, 3)), "c", "a"),
    ]
    start = fit(measured[:1], domain=DOMAIN) if warm else None
    model = fit(measured, domain=DOMAIN, zeros=zeros, warm_start=start)
    joint = model.marginal(("a", "b")).reshape(3, 4)
    assert (joint[mask] == 0.0).all()
    assert joint.sum() == pytest.approx(model.total)
    for pair in (("b", "c"), ("a", "c")):
        assert model.marginal(pair).sum() == pytest.approx(model.total)


FOUR = Domain(attributes=("a", "b", "c", "d"), shape=(3, 3, 2, 2))
PAIRS: list[Clique] = list(combinations(FOUR.attributes, 2))
TRIPLES = list(combinations(FOUR.attributes, 3))


@pytest.mark.parametrize("engine", [NUMPY, TorchEngine("cpu")], ids=["numpy", "torch"])
@pytest.mark.parametrize("pair", PAIRS, ids="".join)
def test_a_zero_may_lie_anywhere_in_the_tree(
    pair: Clique, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any two or three cliques beside any zeros of a pair, whole rows of it among them."""
    monkeypatch.setattr("silosynth.server.model.fit.choose_engine", lambda *_, **__: engine)
    random = np.random.default_rng(PAIRS.index(pair))
    sizes = FOUR.sizes(pair)
    single, row, column = (np.zeros(sizes, dtype=bool) for _ in range(3))
    single[-1, 0], row[-1], column[:, 0] = True, True, True
    cases = [*combinations(PAIRS, 2), *combinations(TRIPLES, 2), *product(PAIRS, TRIPLES)]
    for mask, cliques in product((single, row, column), cases):
        measured = [_measured(random.uniform(-5, 50, FOUR.size(c)), *c) for c in cliques]
        model = fit(
            measured, domain=FOUR, zeros=[ImpossibleCells(clique=pair, mask=mask)], iterations=20
        )
        joint = model.marginal(pair).reshape(sizes)
        assert (joint[mask] == 0.0).all()
        assert joint.sum() == pytest.approx(model.total)


def test_zeros_of_a_triangle_meet_measurements_beside_it() -> None:
    zeros = [
        ImpossibleCells(clique=p, mask=np.eye(*FOUR.sizes(p), dtype=bool))
        for p in (("a", "b"), ("b", "c"), ("a", "c"))
    ]
    random = np.random.default_rng(5)
    measured = [
        _measured(random.uniform(0, 50, FOUR.size(c)), *c) for c in (("a", "d"), ("b", "d"))
    ]
    model = fit(measured, domain=FOUR, zeros=zeros)
    for cells in zeros:
        joint = model.marginal(cells.clique).reshape(cells.mask.shape)
        assert (joint[cells.mask] == 0.0).all()


def test_the_rest_is_what_least_squares_says() -> None:
    """With one clique, the best is the projection onto the simplex of the possible cells."""
    values = np.array([[50.0, 10.0], [30.0, 20.0]])
    domain = Domain(attributes=("a", "b"), shape=(2, 2))
    zeros = [ImpossibleCells(clique=("a", "b"), mask=np.array([[False, True], [False, False]]))]
    model = fit([_measured(values, "a", "b")], domain=domain, total=100.0, zeros=zeros)
    assert model.marginal(("a", "b")) == pytest.approx([50.0, 0.0, 30.0, 20.0], abs=1e-3)


def test_zeros_that_leave_nothing_are_refused() -> None:
    every = [np.arange(3)[:, None] == 0] * 4
    first = ImpossibleCells(clique=("a", "b"), mask=np.hstack(every))
    second = ImpossibleCells(clique=("a", "c"), mask=~np.hstack(every[:2]))
    with pytest.raises(InvalidArgument, match="leave no combination"):
        fit([_measured(np.ones(2), "c")], domain=DOMAIN, zeros=[first, second])


def _schema() -> Schema:
    """Return three attributes; codes 0 and 1 of ``x`` never go with code 1 of ``y``."""
    listed = {"kind": "categorical", "other": False, "source": "public"}
    return parse_schema(
        {
            "name": "zeros",
            "attributes": [
                {"name": "x", "categories": list("abcdef"), **listed},
                {"name": "y", "categories": list("pqr"), **listed},
                {"name": "z", "categories": list("st"), **listed},
            ],
            "structural_zeros": [
                {"attributes": ["x", "y"], "cells": [["a", "q"], ["b", "q"]]},
            ],
        }
    )


def test_codes_merge_only_with_codes_that_are_impossible_with_the_same() -> None:
    merged = Grouping(groups={"x": (0, 1, 1, 1, 2, 2), "z": (0, 0)})
    apart = keep_zeros_apart(merged, schema=_schema())
    assert apart.groups == {"x": (0, 1, 2, 2, 3, 3), "z": (0, 0)}


def test_zeros_of_an_order_are_merged_and_a_merged_cell_is_one_only_where_all_of_it_is() -> None:
    number = {"kind": "integer", "minimum": 0, "maximum": 39, "source": "public"}
    bins = {"bins": {"kind": "width", "count": 40}}
    attributes = [{"name": n, **number, **bins} for n in "ab"]
    rule = {"rules": ["never a > b and a != b"]}
    schema = parse_schema({"name": "t", "attributes": attributes, **rule})
    groups = {n: tuple(i // 8 for i in range(40)) for n in "ab"}
    merged = Grouping(groups=groups)
    assert keep_zeros_apart(merged, schema=schema).groups == groups
    (zeros,) = merged_zeros(schema, grouping=merged)
    assert zeros.mask.tolist() == np.tril(np.ones((5, 5), dtype=bool), -1).tolist()


@pytest.mark.parametrize("method", [Method.INDEPENDENT, Method.MST, Method.AIM])
def test_an_impossible_row_is_never_drawn(method: Method) -> None:
    """Noise puts thousands of rows into the impossible cells of every marginal."""
    schema, random = _schema(), np.random.default_rng(0)
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=("s",), method=method)
    measured: dict[PhaseName, tuple[Measurement, ...]] = {}
    for phase in plan.phases:
        question = ask_phase(phase.name, Known(plan=plan, schema=schema, measured=measured))
        if not question.queries:
            continue
        levels = {"fine": Grouping()} | dict(question.levels)
        measured[phase.name] = tuple(
            Measurement(
                clique=q.clique,
                values=random.integers(0, 3000, cells).astype(float),
                variance=np.full(cells, 100.0),
                grouping=levels[q.level],
            )
            for q in question.queries
            for cells in [levels[q.level].domain(schema.domain).size(q.clique)]
        )
    sampler = finish_run(Known(plan=plan, schema=schema, measured=measured)).sampler
    x, y, _ = draw_codes(sampler, rows=50_000, seed=1)
    drawn = set(zip(x.tolist(), y.tolist(), strict=True))
    assert not drawn & set(product((0, 1), (1,)))
    assert len(drawn) > 8
