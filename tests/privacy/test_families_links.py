"""A link that a plan leaves out is asked about by no name, and looking for one costs little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from silosynth.common.errors import InvalidPlan, InvalidSchema
from silosynth.common.families import (
    above_link,
    first_of,
    later_link,
    later_of,
    link_names,
    view_domains,
    view_links,
    views,
)
from silosynth.common.messages import TablesQuestions
from silosynth.common.messages.tables import count_table_cells
from silosynth.common.plan import Own, PhaseName
from silosynth.common.tables import TablesSchema, ancestors, parse_tables
from silosynth.server.planning.tables import new_tables_plan
from tests.support.tables.families import families_plan

_MANY = 40


def column(name: str) -> dict[str, Any]:
    return {"name": name, "kind": "categorical", "categories": ["a", "b"], "other": False}


def three_levels(*, person: str = "people", columns: int = 1) -> TablesSchema:
    """Return persons with visits, and drugs of each, with so many columns in every table."""

    def table(prefix: str, **facts: Any) -> Mapping[str, Any]:
        return {"attributes": [column(f"{prefix}{i}") for i in range(columns)], **facts}

    below = {"children": [0, 1, 2, 9], "by": "id"}
    tables = {
        person: table("p", key="id"),
        "visits": table("v", parent=person, key="visit", **below),
        "drugs": table("d", parent="visits", **below | {"by": "visit"}),
    }
    return parse_tables({"person": person, "source": "public", "tables": tables})


def refused(
    schema: TablesSchema, *cliques: tuple[str, ...], unlinked: tuple[str, ...]
) -> str | None:
    """Return why marginals of later drugs are refused by a plan that leaves links out, if so."""
    plan = families_plan(unlinked=unlinked)
    questions = tuple((later_of("drugs"), clique, 1) for clique in cliques)
    phase = plan.phase(PhaseName.LATER).model_copy(update={"marginals": 10**4, "cells": 10**6})
    asked = TablesQuestions(questions=questions, length=3)
    try:
        count_table_cells(asked, plan=plan, phase=phase, schema=schema)
    except InvalidPlan as err:
        return err.message
    return None


@pytest.mark.parametrize("person", ["people", "First", "previous-ones", "same.of"])
def test_each_table_above_is_a_link_of_its_own(person: str) -> None:
    schema = three_levels(person=person)
    names = link_names(schema)
    about = {
        f"{person}: p0": above_link("drugs", person),
        "visits: v0": above_link("drugs", "visits"),
        "previous: d0": later_link("drugs"),
        "place among rows": later_link("drugs"),
    }
    for given, link in about.items():
        told = f"leaves out {link!r}, and it is asked about"
        rest = tuple(name for name in names if name != link)
        assert refused(schema, ("d0", given), unlinked=rest) is None
        assert told in str(refused(schema, ("d0", given), unlinked=(link,)))
    of_numbers = ("visits: number of drugs", "d0")
    assert refused(schema, ("d0",), of_numbers, unlinked=names) is None


@pytest.mark.parametrize("person", ["first", "previous", "same"])
def test_a_table_that_is_called_as_a_row_before_is_refused_before_a_plan_is_made(
    person: str,
) -> None:
    schema = three_levels(person=person)
    told = f"{person!r} is what a row before is called"
    with pytest.raises(InvalidSchema, match=told):
        refused(schema, ("d0",), unlinked=("visits by rows before",))
    with pytest.raises(InvalidSchema, match=told):
        new_tables_plan(schema, epsilon=1.0, delta=1e-6, silos=("a",), trust=Own(), plan_id="named")


def test_all_that_stands_above_or_before_is_about_a_link_but_numbers_of_rows() -> None:
    schema = three_levels(columns=2)
    for name in ("visits", "drugs"):
        own = schema.columns[name].rows.domain.attributes
        for view in (first_of(name), later_of(name)):
            given = {a for a in view_domains(schema)[view].attributes if a not in own}
            numbers = {"people: number of visits", "visits: number of drugs"} & given
            assert set(view_links(schema, view)) == given - numbers


def test_looking_for_links_does_not_grow_with_what_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = three_levels(columns=_MANY)
    times, find = [], ancestors

    def counted(*args: Any) -> Any:
        times.append(args)
        return find(*args)

    monkeypatch.setattr(views, "ancestors", counted)
    questions = [(f"d{i}", f"people: p{k}") for i in range(_MANY) for k in range(_MANY)]
    assert refused(schema, *questions[:1], unlinked=("visits by people",)) is None
    before = len(times)
    assert refused(schema, *questions, unlinked=("visits by people",)) is None
    assert len(times) - before == before
