"""Chains find again what tables were drawn from, from exact answers; and what they ask of whom."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from silosynth.client.families.count import TableRows, count_families, make_views
from silosynth.common.families import (
    Answer,
    Phase,
    Question,
    Weighing,
    first_of,
    later_of,
    single_views,
)
from silosynth.common.forest import ForestSampler, bins_of
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import TablesSchema, parse_tables
from silosynth.server.families import ask_families, choose_weighing, fit_families, rho_shares
from silosynth.server.families.evidence import to_simplex
from silosynth.server.families.numbers import numbers_inside, steepness

SCHEMA = parse_tables(
    {
        "person": "people",
        "source": "public",
        "tables": {
            "people": {
                "key": "id",
                "attributes": [
                    {
                        "name": "sex",
                        "kind": "categorical",
                        "categories": ["f", "m"],
                        "other": False,
                    }
                ],
            },
            "visits": {
                "parent": "people",
                "by": "id",
                "order": "year",
                "children": [0, 1, 2, 3, 4, 8],
                "attributes": [
                    {"name": "year", "kind": "integer", "minimum": 0, "maximum": 3},
                    {
                        "name": "ward",
                        "kind": "categorical",
                        "categories": list("abcd"),
                        "other": False,
                    },
                    {
                        "name": "drug",
                        "kind": "categorical",
                        "categories": list("xyz"),
                        "other": False,
                    },
                ],
                "structural_zeros": [
                    {"attributes": ["ward", "drug"], "cells": [["a", "z"]]},
                ],
            },
        },
    }
)
LONG = parse_tables(
    {
        "person": "people",
        "source": "public",
        "tables": {
            "people": {"key": "id", "attributes": [{"name": "id", "kind": "identifier"}]},
            "visits": {
                "parent": "people",
                "by": "id",
                "children": [0, 4, 5, 60, 61],
                "attributes": [
                    {"name": "season", "kind": "integer", "minimum": 0, "maximum": 3},
                    {"name": "ward", "kind": "integer", "minimum": 0, "maximum": 3},
                ],
            },
        },
    }
)
PERSONS = 8_000
PLAN = "sha256:" + "0" * 64


def families(seed: int) -> dict[str, TableRows]:
    """Draw people whose wards hang on their sex and stay, and drugs that hang on the ward."""
    random = np.random.default_rng(seed)
    sex = random.integers(0, 2, PERSONS)
    numbers = np.minimum(random.geometric(np.where(sex == 1, 0.3, 0.5)) - 1, 8)
    above = np.repeat(np.arange(PERSONS), numbers)
    place = np.arange(len(above)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    ward = np.where(sex[above] == 1, random.integers(0, 2, len(above)), 2 + (above % 3 == 0))
    for row in np.flatnonzero(place):
        if random.random() < 0.8:
            ward[row] = ward[row - 1]
    drug = np.where(random.random(len(above)) < 0.7, ward % 3, random.integers(0, 3, len(above)))
    drug[(ward == 0) & (drug == 2)] = 0
    year = np.minimum(place, 3)
    bins = bins_of(SCHEMA, "visits")[numbers]
    return {
        "people": TableRows(
            codes=(sex, bins), above=np.zeros(PERSONS, dtype=int), person=np.arange(PERSONS)
        ),
        "visits": TableRows(codes=(year, ward, drug), above=above, person=above),
    }


def answers(
    rows: dict[str, TableRows], *, weighing: Weighing, schema: TablesSchema = SCHEMA
) -> list[Answer]:
    views, asked = make_views(schema, rows), ask_families(schema)
    found = []
    for phase in (asked.persons, asked.first):
        plain = Phase(plain=phase.plain)
        counted = count_families([views], schema=schema, phase=plain).plain
        found += [
            Answer(question=q, values=c.astype(float), variance=0.1)
            for q, c in zip(phase.plain, counted, strict=True)
        ]
    phase = Phase(weighed=asked.later.weighed, weighing=weighing)
    counted = count_families([views], schema=schema, phase=phase).weighed
    found += [
        Answer(question=q, values=c / (q.scale * weighing.fineness), variance=0.1)
        for q, c in zip(phase.weighed, counted, strict=True)
    ]
    return found


def fitted(weighing: Weighing) -> tuple[dict[str, TableRows], ForestSampler]:
    rows = families(1)
    found = answers(rows, weighing=weighing)
    return rows, fit_families(SCHEMA, found, certificate={}, plan_digest=PLAN)


def drawn(sampler: ForestSampler, *, persons: int = PERSONS) -> dict[str, TableRows]:
    forest = Forest(sampler=sampler, persons=persons, seed=1, block_persons=persons)
    (block,) = forest.codes("visits")
    return {
        name: TableRows(
            codes=tuple(
                block[name].codes[a].astype(int)
                for a in sampler.schema.columns[name].rows.domain.attributes
            ),
            above=block[name].above,
            person=block[name].above,
        )
        for name in sampler.schema.downward
    }


def distance(a: np.ndarray, b: np.ndarray) -> float:
    size = int(max(a.max(), b.max())) + 1
    shares = [np.bincount(c, minlength=size) / len(c) for c in (a, b)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def views_of(rows: dict[str, TableRows]) -> dict[str, np.ndarray]:
    """Return the cells of what hangs together: in a row, with the person, and along rows."""
    (sex, bins), (year, ward, drug) = rows["people"].codes, rows["visits"].codes
    above = rows["visits"].above
    later = np.flatnonzero(above[1:] == above[:-1]) + 1
    third = np.flatnonzero(above[2:] == above[:-2]) + 2
    return {
        "number": bins,
        "in a row": ward * 3 + drug,
        "with the person": sex[above] * 4 + ward,
        "with the number": bins[above] * 4 + ward,
        "next": ward[later - 1] * 4 + ward[later],
        "next year": year[later - 1] * 4 + year[later],
        "next, crossed": drug[later - 1] * 4 + ward[later],
        "two apart": ward[third - 2] * 4 + ward[third],
    }


@pytest.mark.parametrize(("length", "far"), [(2**18, 0.08), (12, 0.06)])
def test_exact_answers_give_the_tables_back(length: int, far: float) -> None:
    """Also where the weights of long persons are small: numbers of rows put them right.

    With rows shuffled the pairs are .14 to .78 off; two draws of the law .005 to .03.
    """
    rows, sampler = fitted(Weighing(fineness=256, length=length))
    real, made = views_of(rows), views_of(drawn(sampler))
    off = {name: distance(real[name], made[name]) for name in real}
    assert max(off.values()) < far, off
    assert abs(sampler.persons - PERSONS) <= 1


def test_long_histories_do_not_drift() -> None:
    """Those of many rows stay longer, and what rises over a person's rows ends with them."""
    random = np.random.default_rng(3)
    numbers = random.choice([4, 60], 900)
    above = np.repeat(np.arange(900), numbers)
    place = np.arange(len(above)) - np.repeat(np.cumsum(numbers) - numbers, numbers)
    season = 4 * place // numbers[above]
    stays = random.random(len(above)) < np.where(numbers[above] > 4, 0.98, 0.4)
    ward = random.integers(0, 4, len(above))
    for row in np.flatnonzero((place > 0) & stays):
        ward[row] = ward[row - 1]
    bins = bins_of(LONG, "visits")[numbers]
    rows = {
        "people": TableRows(codes=(bins,), above=np.zeros(900, dtype=int), person=np.arange(900)),
        "visits": TableRows(codes=(season, ward), above=above, person=above),
    }
    found = answers(rows, weighing=Weighing(fineness=256, length=2**18), schema=LONG)
    sampler = fit_families(LONG, found, certificate={}, plan_digest=PLAN)
    made = drawn(sampler, persons=900)["visits"]
    assert distance(season, made.codes[0]) < 0.08
    many = np.bincount(made.above, minlength=900)[made.above] > 4
    same = np.append(False, (made.above[1:] == made.above[:-1]))
    stayed = np.append(False, made.codes[1][1:] == made.codes[1][:-1])
    assert abs(stayed[same & many].mean() - 0.985) < 0.015
    assert abs(stayed[same & ~many].mean() - 0.55) < 0.1


def test_few_persons_have_as_many_rows_as_their_law_says() -> None:
    """Of 500 drawn one by one the shares of numbers would be off by .03 to .07."""
    _, sampler = fitted(Weighing(fineness=256, length=2**18))
    many, few = (drawn(sampler, persons=n)["people"].codes[1] for n in (32_000, 500))
    assert distance(many, few) < 0.015


def test_what_cannot_be_is_never_drawn_and_order_is_kept() -> None:
    _, sampler = fitted(Weighing(fineness=256, length=2**18))
    rows = drawn(sampler)["visits"]
    year, ward, drug = rows.codes
    assert not ((ward == 0) & (drug == 2)).any()
    same = rows.above[1:] == rows.above[:-1]
    assert (year[1:] >= year[:-1])[same].all()


def test_fitting_is_a_function_of_the_answers() -> None:
    one, two = (fitted(Weighing(fineness=256, length=12))[1] for _ in range(2))
    for view, chain in one.chains.items():
        for step, other in zip(chain.steps, two.chains[view].steps, strict=True):
            for term, again in zip(step.terms, other.terms, strict=True):
                assert (term.scores == again.scores).all()


def test_the_shares_of_rho_add_up_to_one() -> None:
    assert sum(rho_shares(SCHEMA).values()) == 1
    alone = parse_tables(_without_visits())
    assert rho_shares(alone) == {
        "persons": 1,
        "norms": 0,
        "first": 0,
        "later": 0,
    }


def _without_visits() -> dict[str, Any]:
    data = SCHEMA.model_dump(mode="json")
    return {**data, "tables": {"people": data["tables"]["people"]}}


def test_only_views_of_one_row_a_person_are_asked_plainly() -> None:
    asked = ask_families(SCHEMA)
    single = single_views(SCHEMA)
    assert {q.view for q in (*asked.persons.plain, *asked.first.plain)} <= single
    assert {q.view for q in asked.later.weighed} == {later_of("visits")}
    for phase in (asked.persons, asked.first):
        phase.check(SCHEMA)


def test_a_link_left_out_is_not_asked() -> None:
    asked = ask_families(SCHEMA, left_out=("visits by people", "visits by rows before"))
    cliques = {c for q in (*asked.first.plain, *asked.later.weighed) for c in q.clique}
    assert not {c for c in cliques if c.startswith(("previous: ", "first: "))}
    assert "people: sex" not in cliques
    # How many rows there are stays: it decides what a person's rows weigh.
    assert "people: number of visits" in cliques


def test_length_follows_the_noise() -> None:
    """Little noise keeps the longest; much noise cuts them."""
    questions = (Question(view=later_of("visits"), clique=("ward", "drug")),)
    norms = np.zeros(48)
    norms[[4, 12, 20]] = 5_000, 500, 100

    def length(noise: float) -> int:
        return choose_weighing(
            norms, variance=1.0, questions=questions, schema=SCHEMA, noise=noise
        ).length

    assert length(1e-3) >= 2 ** (20 / 4)
    assert length(1e6) <= 2 ** (13 / 4)
    assert length(1e-3) > length(30.0) >= length(1e6)


def test_nobody_shown_keeps_one_row() -> None:
    found = choose_weighing(
        np.full(48, 1.0),
        variance=1.0,
        questions=(Question(view=first_of("visits"), clique=("ward",), scale=3),),
        schema=SCHEMA,
        noise=1.0,
    )
    assert found == Weighing(fineness=256, length=3)


def test_numbers_in_a_bin_fall_as_bins_do() -> None:
    shares = 0.5 ** np.arange(1, 10)
    bins = np.append(shares[:4], shares[4:].sum())
    ends = numbers_inside(SCHEMA, "visits", bins) / 2**31
    assert ends[:4].tolist() == [1.0] * 4
    assert np.abs(np.diff(ends[4:], prepend=0) - shares[4:] / shares[4:].sum()).max() < 0.06
    assert ends[-1] == 1.0


def test_numbers_are_even_where_bins_say_nothing() -> None:
    ends = numbers_inside(SCHEMA, "visits", np.array([0.5, 0.5, 0.0, 0.0, 0.0])) / 2**31
    assert np.allclose(ends[4:], np.arange(1, 6) / 5)
    assert steepness(np.array([1.0, 2.0, 1.0]), np.array([0.0, 1.0, 2.0]))[1] == 0


def test_shares_are_the_nearest() -> None:
    assert to_simplex(np.array([0.5, 0.7, -0.2])).tolist() == pytest.approx([0.4, 0.6, 0.0])
    assert Fraction(1) == sum(rho_shares(SCHEMA).values())
