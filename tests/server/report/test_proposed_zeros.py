"""Cells that a report proposes are those of the mask, and a schema takes them as they are."""

from __future__ import annotations

import numpy as np
import yaml

from silosynth.common.report.layout import render_report
from silosynth.common.schema import ImpossibleCells, Schema, dump_schema, parse_schema
from silosynth.server.coordinator import Answered, Ask, State, finish, step
from silosynth.server.coordinator.machine import start
from silosynth.server.report import report_outcome
from silosynth.server.report.proposed import propose_zeros, spell_zeros
from tests.support.fakes import SILOS, answer_exactly, small_codes, small_plan, small_schema

ATTRIBUTES = [
    {"name": "place", "kind": "categorical", "categories": ["a", "b"], "other": True},
    {"name": "size", "kind": "integer", "minimum": 0, "maximum": 39, "missing": True},
    {"name": "ill", "kind": "boolean"},
]


def _schema(**more: object) -> Schema:
    bins = {"bins": {"kind": "width", "count": 4}}
    attributes = [
        {**a, "source": "public", **(bins if a["kind"] == "integer" else {})} for a in ATTRIBUTES
    ]
    return parse_schema({"name": "t", "attributes": attributes, **more})


def _masks(schema: Schema) -> list[ImpossibleCells]:
    sizes = dict(zip(schema.domain.attributes, schema.domain.shape, strict=True))
    found = []
    for pair, cells in ((("place", "size"), [(0, 1), (1, 4), (2, 0)]), (("size", "ill"), [(3, 1)])):
        mask = np.zeros([sizes[a] for a in pair], dtype=bool)
        mask[tuple(np.transpose(cells))] = True
        found.append(ImpossibleCells(clique=pair, mask=mask, declared=False))
    return found


def test_what_is_proposed_can_be_pasted_and_says_that_nobody_looked_at_it() -> None:
    """``other`` has no word in a schema, so its cell is left out."""
    schema = _schema()
    text = spell_zeros(_masks(schema), coded=schema, schema=schema)
    assert text.startswith("# unreviewed")
    told = _schema(**yaml.safe_load(text)).impossible()
    assert {z.clique: np.argwhere(z.mask).tolist() for z in told} == {
        ("place", "size"): [[0, 1], [1, 4]],
        ("size", "ill"): [[3, 1]],
    }


def test_what_the_schema_forbids_already_is_not_proposed() -> None:
    schema = _schema(
        structural_zeros=[{"attributes": ["size", "ill"], "cells": [[[30, 40], True]]}]
    )
    text = spell_zeros(_masks(schema)[1:], coded=schema, schema=schema)
    assert text == ""


def _run(method: str) -> State:
    """Return a run over people of whom exactly those from 10 on are old."""
    plan = small_plan(method=method)
    state, commands = start(plan, small_schema())
    while asks := [c for c in commands if isinstance(c, Ask)]:
        for ask in asks:
            silo, phase = ask.request.silo, ask.request.phase
            codes = small_codes(SILOS.index(silo), 3000)
            data = answer_exactly(ask.request, plan=plan, codes=codes)
            state, commands = step(state, Answered(phase=phase, silo=silo, data=data))
    return state


def test_a_run_proposes_the_cells_that_nobody_is_in() -> None:
    state = _run("aim")
    text = propose_zeros(state)
    given = yaml.safe_load(dump_schema(small_schema()))
    told = parse_schema(given | yaml.safe_load(text)).impossible()
    (mask,) = [z.mask for z in told if z.clique == ("age", "old")]
    assert mask[:10, 1].all()
    assert mask[10:, 0].all()
    assert not mask[:10, 0].any()
    assert not mask[10:, 1].any()
    facts = report_outcome(state, finish(state))
    assert facts.structural_zeros == text
    assert "Combinations that hold next to nobody" in render_report(facts)


def test_a_method_without_rounds_proposes_nothing() -> None:
    assert propose_zeros(_run("independent")) == ""
