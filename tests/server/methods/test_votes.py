"""From votes to what is drawn: what stands out of the noise, by class, as often as votes say."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidSampler
from silosynth.common.generator import MOST_CANDIDATES
from silosynth.common.measurement import Measurement
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.sampler import TableSampler, condition_on
from silosynth.common.sampler.sampler import draw
from silosynth.common.sampler.stored.file import dump_sampler, parse_sampler
from silosynth.server.methods import Known, finish_run, wanted_candidates
from silosynth.server.planning import new_plan
from tests.support.tables.texts import messages

TEXTS = ("hello my friend", "win a prize now", "zebra crossing", "quiet 7")
VOTES = ((400, 2), (1, 90), (0, 0), (3, 1))


@cache
def made_plan(**changes: Any) -> Plan:
    asked: dict[str, Any] = {"epsilon": 5.0, "delta": 1e-6, "silos": ("a", "b"), "plan_id": "p"}
    return new_plan(messages(), method="votes", **(asked | {"candidates": 8} | changes))


def known(plan: Plan, votes: Any = VOTES, *, deviation: float = 2.0) -> Known:
    """Return a run that knows the votes of its first round."""

    def measured(values: Any) -> tuple[Measurement, ...]:
        cells = np.asarray(values, dtype=np.float64).ravel()
        variance = np.full(cells.shape, deviation**2)
        none = Grouping()
        return (Measurement(clique=("kind",), values=cells, variance=variance, grouping=none),)

    return Known(
        plan=plan,
        schema=messages(),
        measured={
            PhaseName.ONE_WAY: measured((404, 93)),
            **({PhaseName.VOTES_1: measured(votes)} if len(votes) else {}),
        },
        candidates={PhaseName.VOTES_1: TEXTS} if len(votes) else {},
    )


def test_what_is_drawn_has_the_texts_and_classes_that_were_voted_for() -> None:
    sampler = finish_run(known(made_plan())).sampler
    rows = draw(sampler, rows=4000, seed=1, threads=1)
    texts, kinds = (np.array(rows[n].to_pylist()) for n in ("text", "kind"))
    assert set(texts) <= set(TEXTS)
    assert np.mean(kinds == "spam") == pytest.approx(93 / 497, abs=0.03)
    assert np.mean(texts[kinds == "spam"] == TEXTS[1]) > 0.95
    assert np.mean(texts[kinds == "ham"] == TEXTS[0]) > 0.95
    assert "zebra crossing" not in texts


def test_a_file_keeps_the_texts_and_conditions_are_exact() -> None:
    sampler = finish_run(known(made_plan())).sampler
    data = dump_sampler(sampler)
    again = parse_sampler(data)
    assert b'"version": 4' in data
    assert dump_sampler(again) == data
    same = draw(again, rows=50, seed=3, threads=1)
    assert same.equals(draw(sampler, rows=50, seed=3, threads=1))
    spam = draw(condition_on(again, {"kind": "spam"}), rows=200, seed=1, threads=1)
    assert set(spam["kind"].to_pylist()) == {"spam"}
    assert spam["text"].to_pylist().count(TEXTS[1]) > 190


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"hello my friend"', b'"hello my frien\\n"'), (b'"win a prize now"', b'["in a prize no"]')],
)
def test_an_edited_file_is_refused(old: bytes, new: bytes) -> None:
    data = dump_sampler(finish_run(known(made_plan())).sampler)
    assert old in data
    with pytest.raises(InvalidSampler):
        parse_sampler(data.replace(old, new))


@pytest.mark.parametrize("line", ["\ud800", "\x1b[31mred", "two\nlines", 7, ["a text"], "x" * 31])
def test_a_sampler_with_what_nobody_can_have_voted_for_is_refused(line: Any) -> None:
    sampler = finish_run(known(made_plan())).sampler
    assert isinstance(sampler, TableSampler)
    assert sampler.lines is not None
    with pytest.raises(InvalidSampler, match="a line is"):
        replace(sampler, lines=(line, *sampler.lines[1:]))


def test_a_sampler_of_more_texts_than_can_be_voted_for_is_refused() -> None:
    """A small file of millions of short texts would take gigabytes to draw a row from."""
    sampler, many = finish_run(known(made_plan())).sampler, MOST_CANDIDATES + 1
    assert isinstance(sampler, TableSampler)
    weights = np.full(many, 2**31, dtype=np.uint32)
    tables = (np.full((many, 2), 2**31, dtype=np.uint32),)
    with pytest.raises(
        InvalidSampler, match=f"more than the {MOST_CANDIDATES} that can be voted for"
    ):
        replace(sampler, weights=weights, tables=tables, lines=("a",) * many)


def test_a_class_that_no_candidate_stands_out_for_is_drawn_from_those_of_all() -> None:
    outcome = finish_run(known(made_plan(), ((300, 0), (0, 0), (0, 0), (0, 0))))
    rows = draw(outcome.sampler, rows=1000, seed=1, threads=1)
    assert set(rows["kind"].to_pylist()) == {"ham", "spam"}
    assert outcome.model.marginal(("kind",)) == pytest.approx([404, 93], rel=1e-3)
    nothing = finish_run(known(made_plan(), np.full((4, 2), -5)))
    assert set(draw(nothing.sampler, rows=500, seed=1, threads=1)["text"].to_pylist()) == set(TEXTS)


def test_the_first_candidates_are_wanted_before_anything_is_asked() -> None:
    plan = made_plan(vote_rounds=2)
    first = wanted_candidates(PhaseName.ONE_WAY, known(plan, ()))
    assert first is not None
    assert (first.phase, first.lines, first.kept) == (PhaseName.VOTES_1, ("",) * 8, ())
    assert wanted_candidates(PhaseName.VOTES_1, known(plan)) is None


def test_a_further_round_keeps_the_winners_and_varies_them_by_their_votes() -> None:
    plan = made_plan(vote_rounds=2)
    second = wanted_candidates(PhaseName.VOTES_2, known(plan))
    assert second is not None
    assert second.phase is PhaseName.VOTES_2
    assert set(second.kept[:2]) == {TEXTS[0], TEXTS[1]}
    assert TEXTS[2] not in second.kept
    assert len(second.kept) + len(second.lines) == 8
    assert second.lines.count(TEXTS[0]) >= second.lines.count(TEXTS[1]) >= 1
    lost = wanted_candidates(PhaseName.VOTES_2, known(plan, np.full((4, 2), -9)))
    assert lost is not None
    assert lost.kept == (TEXTS[0],)
    assert lost.lines == (TEXTS[0],) * 7
