"""What a row has of the rows above its parent: asked, left out by name, and there when drawn."""

from __future__ import annotations

import numpy as np
import pytest

from silosynth.client.families.count import TableRows, count_families, make_views
from silosynth.common.families import Answer, Phase, Weighing, link_names, view_links
from silosynth.common.forest import bins_of
from silosynth.common.forest.tables import Forest
from silosynth.common.tables import parse_tables
from silosynth.server.families import ask_families, fit_families

PERSONS = 3_000
PLAN = "sha256:" + "0" * 64
SCHEMA = parse_tables(
    {
        "person": "people",
        "source": "public",
        "tables": {
            "people": {
                "key": "id",
                "attributes": [{"name": "group", "kind": "integer", "minimum": 0, "maximum": 3}],
            },
            "visits": {
                "parent": "people",
                "by": "id",
                "key": "visit",
                "children": [0, 1, 2, 3],
                "attributes": [{"name": "ward", "kind": "integer", "minimum": 0, "maximum": 2}],
            },
            "drugs": {
                "parent": "visits",
                "by": "visit",
                "children": [0, 1, 2],
                "attributes": [{"name": "drug", "kind": "integer", "minimum": 0, "maximum": 3}],
            },
        },
    }
)


def planted() -> dict[str, TableRows]:
    """Draw drugs that hang on the person's group, and not on the ward where they are given."""
    random = np.random.default_rng(4)
    group, visits = random.integers(0, 4, PERSONS), random.integers(0, 4, PERSONS)
    above = np.repeat(np.arange(PERSONS), visits)
    ward, drugs = random.integers(0, 3, len(above)), random.integers(0, 3, len(above))
    below = np.repeat(np.arange(len(above)), drugs)
    kept = random.random(len(below)) < 0.8
    drug = np.where(kept, group[above[below]], random.integers(0, 4, len(below)))
    numbers = [bins_of(SCHEMA, "visits")[visits], bins_of(SCHEMA, "drugs")[drugs]]
    here = np.arange(PERSONS)
    return {
        "people": TableRows(codes=(group, numbers[0]), above=here, person=here),
        "visits": TableRows(codes=(ward, numbers[1]), above=above, person=above),
        "drugs": TableRows(codes=(drug,), above=below, person=above[below]),
    }


def answers(rows: dict[str, TableRows], *, left_out: tuple[str, ...]) -> list[Answer]:
    """Return exact answers."""
    views, asked = make_views(SCHEMA, rows), ask_families(SCHEMA, left_out=left_out)
    weighing, found = Weighing(fineness=256, length=2**18), []
    for phase in (asked.persons, asked.first):
        plain = Phase(plain=phase.plain)
        counts = count_families([views], schema=SCHEMA, phase=plain).plain
        found += list(zip(phase.plain, counts, strict=True))
    phase = Phase(weighed=asked.later.weighed, weighing=weighing)
    counts = count_families([views], schema=SCHEMA, phase=phase).weighed
    found += [(q, c / (q.scale * 256)) for q, c in zip(phase.weighed, counts, strict=True)]
    return [Answer(question=q, values=c.astype(float), variance=0.1) for q, c in found]


@pytest.mark.parametrize(("left_out", "kept"), [((), True), (("drugs by people",), False)])
def test_a_drug_hangs_on_the_person_where_the_visit_does_not_say_it(
    left_out: tuple[str, ...], kept: bool
) -> None:
    """0.6 of the rows are off where nothing is asked; two draws of the law differ by 0.02."""
    rows = planted()
    found = answers(rows, left_out=left_out)
    sampler = fit_families(SCHEMA, found, certificate={}, plan_digest=PLAN, left_out=left_out)
    forest = Forest(sampler=sampler, persons=PERSONS, seed=1, block_persons=PERSONS)
    (block,) = forest.codes("drugs")
    of = block["visits"].above[block["drugs"].above]
    made = block["people"].codes["group"].astype(int)[of] * 4 + block["drugs"].codes["drug"]
    at = rows["visits"].above[rows["drugs"].above]
    real = rows["people"].codes[0][at] * 4 + rows["drugs"].codes[0]
    shares = [np.bincount(c, minlength=16) / len(c) for c in (real, made)]
    assert (np.abs(shares[0] - shares[1]).sum() / 2 < 0.05) == kept


def test_a_link_to_each_table_above_has_a_name() -> None:
    assert link_names(SCHEMA) == (
        "visits by people",
        "visits by rows before",
        "drugs by visits",
        "drugs by people",
        "drugs by rows before",
    )
    questions = ask_families(SCHEMA).later.weighed
    of_drugs = [q for q in questions if q.view.startswith("drugs")]
    links = {q.view: view_links(SCHEMA, q.view) for q in of_drugs}
    for link, column in (("drugs by people", "people: group"), ("drugs by visits", "visits: ward")):
        about = [q for q in of_drugs if link in {links[q.view].get(a) for a in q.clique}]
        assert {c for q in about for c in q.clique} == {column, "drug"}
        left = ask_families(SCHEMA, left_out=(link,)).later.weighed
        assert [q for q in questions if q not in left] == about
