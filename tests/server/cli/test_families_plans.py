"""Plans of several tables by the command line: made, shown, links left out by name."""

from __future__ import annotations

import json
from collections.abc import Collection
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from silosynth.client.desk.facts import plan_facts
from silosynth.client.desk.plan_in_words import plan_words
from silosynth.common.cli.app import run
from silosynth.common.errors import InvalidPlan
from silosynth.common.families import link_names, view_links
from silosynth.common.messages import Request, TablesQuestions, count_cells
from silosynth.common.plan import Phase, PhaseName, check_tables_plan, load_plan
from silosynth.common.tables import dump_tables
from silosynth.server.families import ask_families
from silosynth.server.planning import tables
from silosynth.server.planning.links import Federated, choose_links
from tests.support.tables.families import SCHEMA

BEFORE, PARENT = "visits by rows before", "visits by people"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "tables.yaml"
    path.write_text(dump_tables(SCHEMA))
    return path


def new(schema: Path, *words: str) -> int:
    out = str(schema.parent / "plan.yaml")
    named = ["plan", "new", str(schema), "--epsilon", "1", "--delta", "1e-6", "--silos", "a,b"]
    return run([*named, "--out", out, "--force", *words])


def shown(schema: Path, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    plan = str(schema.parent / "plan.yaml")
    assert run(["plan", "show", plan, "--schema", str(schema), *words, "--json"]) == 0
    out = capsys.readouterr()
    data: dict[str, Any] = json.loads(out.out)["data"]
    return data | {"said": out.err}


def test_where_persons_are_few_links_are_left_out_by_name(
    schema: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(schema, "--persons", "40") == 0
    plan = load_plan(schema.parent / "plan.yaml")
    assert set(plan.unlinked or ()) == set(link_names(SCHEMA)) == {PARENT, BEFORE}
    told = shown(schema, capsys, "--persons", "40")
    assert told["unlinked"] == list(plan.unlinked or ())
    assert "persons are so few that unlinked tables are better" in told["said"]
    assert all(link["left_out"] and not link["stands"] for link in told["links"])
    assert new(schema, "--persons", "1000000") == 0
    assert load_plan(schema.parent / "plan.yaml").unlinked is None
    told = shown(schema, capsys, "--persons", "1000000")
    assert all(link["stands"] for link in told["links"])
    assert "a row of 'people' with all rows below it" in told["said"]


def test_the_less_is_asked_the_less_noise_the_rest_has() -> None:
    size = {"silos": 2, "shares": 1}

    def design(left_out: Collection[str]) -> list[Phase]:
        return tables._phases(SCHEMA, rho=Fraction(1, 50), least=Fraction(1), left_out=left_out)

    unlinked = [
        set(choose_links(SCHEMA, design, size=Federated(**size, persons=persons)))
        for persons in (5, 1_000, 1_400, 1_600, 3_000, 100_000)
    ]
    assert all(more >= fewer for more, fewer in pairwise(unlinked))
    assert len(unlinked[0]) == 2
    assert not unlinked[-1]
    assert any(len(some) == 1 for some in unlinked), "they do not all go at once"
    with_all, fewer = (
        next(p for p in design(left) if p.name == "first") for left in ((), (PARENT,))
    )
    assert fewer.marginals < with_all.marginals
    assert fewer.sigma2 < with_all.sigma2


def test_fineness_is_a_choice_and_what_it_costs_is_not(
    schema: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(schema, "--fineness", "64") == 0
    plan = load_plan(schema.parent / "plan.yaml")
    assert plan.weighing.fineness == plan.weighing.bound == 64
    assert 0.95 < shown(schema, capsys)["epsilon"] <= 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--method", "aim"), "--method is for a schema of one table"),
        (("--rows-per-person", "3"), "--rows-per-person is for a schema of one table"),
        (("--lacks", "a=x"), "--lacks is for a schema of one table"),
        (("--held-out", "1/10"), "--held-out is for a schema of one table"),
        (("--unit", "flight"), "--unit is for a schema of one table"),
        (("--rounds", "2"), "an option of another method"),
        (("--fineness", "1"), "--fineness must lie between 2"),
        (("--persons", "0"), "--persons must be at least 1"),
    ],
)
def test_what_only_one_table_has_is_refused_in_a_line(
    words: tuple[str, ...], why: str, schema: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(schema, *words) == 4
    assert why in capsys.readouterr().err


def test_a_link_that_is_left_out_is_known_and_never_asked_about(schema: Path) -> None:
    assert new(schema) == 0
    whole = load_plan(schema.parent / "plan.yaml")
    plan = whole.model_copy(update={"unlinked": (BEFORE,)})
    check_tables_plan(plan, SCHEMA)
    with pytest.raises(InvalidPlan, match="no link of its schema"):
        check_tables_plan(whole.model_copy(update={"unlinked": ("visits by x",)}), SCHEMA)
    questions = ask_families(SCHEMA).later.weighed
    links = {q.view: view_links(SCHEMA, q.view) for q in questions}
    about = [{links[q.view][a] for a in q.clique if a in links[q.view]} for q in questions]
    assert {BEFORE} in about
    assert {PARENT} in about
    assert set() in about
    asked = ask_families(SCHEMA, left_out=(BEFORE,)).later.weighed
    assert [q for q in questions if q not in asked] == [
        q for q, asked_about in zip(questions, about, strict=True) if BEFORE in asked_about
    ]
    for wanted, fine in ((asked, True), (questions, False)):
        tables = TablesQuestions(
            questions=tuple((q.view, q.clique, q.scale) for q in wanted), length=3
        )
        request = Request(
            plan_digest=plan.digest, phase=PhaseName.LATER, silo="a", tables=tables, queries=()
        )
        if fine:
            count_cells(request, plan=plan, counted=SCHEMA)
            continue
        with pytest.raises(InvalidPlan, match="leaves out 'visits by rows before'"):
            count_cells(request, plan=plan, counted=SCHEMA)


def test_a_person_reads_what_each_phase_asks_of_families_and_costs(schema: Path) -> None:
    assert new(schema, "--persons", "40") == 0
    facts = plan_facts(load_plan(schema.parent / "plan.yaml"))
    facts |= {"digest": "sha256:00", "coordinator": "hub", "tables": ["people", "visits"]}
    words = " ".join(plan_words(facts))
    assert "about several tables (people, visits): a person is a row of the persons' table" in words
    assert "rows below nobody here are counted nowhere" in words
    assert f"nothing is asked about the links '{PARENT}', '{BEFORE}'" in words
    assert "(with all rows below it, in all tables of this silo)" in words
    assert "one weight of at most F = 256" in words
    assert "at most 256 T long" in words
    assert "T is a whole number up to 262,144" in words
    assert "one histogram of 48 bins" in words
    assert "one row a person and table" in words
    shares = [p["cost_share"] for p in facts["phases"]]
    assert abs(sum(shares) - 1) < 1e-9
    assert all(f"({share:.0%}" in words for share in shares)
