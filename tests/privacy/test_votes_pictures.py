"""Votes for pictures leave a silo as those for texts do: one histogram, its noise, nothing else."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from silosynth.client.desk import plan_facts, plan_words
from silosynth.common.accounting import rho_units
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidPlan, RunFailed
from silosynth.common.generator import pictures_of, sum_votes
from silosynth.common.messages import Request, count_cells
from silosynth.common.plan import PhaseName, Plan
from silosynth.common.sampler.sampler import draw
from silosynth.server.coordinator import Imagine, Imagined, State, encode_candidates
from silosynth.server.driver.imagine import to_candidates
from silosynth.server.methods import finish_run
from silosynth.server.planning import new_plan
from tests.privacy.test_central import PIXELS, SILOS, made_schema, made_table
from tests.support.chance import statistical
from tests.support.noised_sums import check_noise, run_silos

CANDIDATES = 300


@cache
def made_plan(trust: str = "own", rounds: int = 2) -> Plan:
    return new_plan(
        made_schema(),
        epsilon=3.0,
        delta=1e-6,
        silos=SILOS,
        method="votes",
        trust=trust,
        rows_per_person=2,
        plan_id="p",
        candidates=CANDIDATES,
        vote_rounds=rounds,
    )


def written(asked: Imagine) -> Imagined:
    """Answer as a renderer would, of dark columns and points, the same every time."""
    rng = np.random.default_rng(5)
    greys = rng.integers(0, 80, (3 * CANDIDATES, len(PIXELS)))
    for number, picture in enumerate(greys):
        picture[12 if number % 2 else slice(2, 25, 5)] = 255
    lines = [row.astype(np.uint8).tobytes().hex() for row in greys]
    texts = tuple(dict.fromkeys((*asked.wanted.kept, *lines)))[:CANDIDATES]
    return Imagined(phase=asked.wanted.phase, data=encode_candidates(texts))


@cache
def whole_run(trust: str) -> State:
    with TemporaryDirectory() as place:
        tables = {name: made_table(i) for i, name in enumerate(SILOS)}
        plan = made_plan(trust)
        return run_silos(Path(place), plan, schema=made_schema(), tables=tables, imagine=written)


@pytest.mark.parametrize("trust", ["own", "shared"])
@statistical(alarm=1e-9, cases=2)
def test_the_noise_is_the_stated_one_over_what_an_oracle_counts(trust: str) -> None:
    state, found = whole_run(trust), []
    pictures = pictures_of(made_schema(), label="kind")
    for phase in (p for p in state.plan.phases if p.name in state.candidates):
        chosen = state.candidates[phase.name]
        exact = sum(
            sum_votes(pictures, Codec(made_schema()).encode(made_table(i)).codes, candidates=chosen)
            for i in range(len(SILOS))
        )
        deviation = float(len(SILOS) * phase.sigma2 / state.plan.shares) ** 0.5
        found.append((state.measured()[phase.name][0].values - exact) / deviation)
    assert sum(map(len, found)) == 6 * CANDIDATES
    check_noise(np.concatenate(found), alarm=5e-10, off=Fraction(25, 100))


def test_silos_charge_what_a_person_s_votes_can_add() -> None:
    state = whole_run("own")
    for receipts in state.receipts().values():
        for receipt, phase in zip(receipts, state.plan.phases, strict=True):
            assert phase.bound == 1
            assert receipt.cost_units == rho_units(Fraction(4) / (2 * phase.sigma2))


def test_what_is_drawn_are_candidates_of_the_class_that_voted_for_them() -> None:
    state = whole_run("own")
    known, last = state.known(), PhaseName.VOTES_2
    dots = np.array([bytes.fromhex(c)[7] < 128 for c in state.candidates[last]])
    votes = np.where(dots[:, None], (0, 40, 0), (40, 0, 0)).ravel().astype(np.float64)
    exact = replace(known.measured[last][0], values=votes)
    outcome = finish_run(replace(known, measured={**known.measured, last: (exact,)}))
    rows = draw(outcome.sampler, rows=600, seed=1, threads=1)
    kinds = np.array(rows["kind"].to_pylist())
    centre, above = (np.array(rows[PIXELS[i]].to_pylist()) for i in (12, 7))
    assert (centre == 4).all()
    assert (above[kinds == "bar"] == 4).mean() > 0.9
    assert (above[kinds == "dot"] == 4).mean() < 0.1


def test_one_label_is_counted_and_no_pixel() -> None:
    plan = made_plan()
    assert (plan.phases[0].marginals, plan.phases[0].cells) == (1, 3)
    for clique in (("p00",), made_schema().domain.attributes, ("kind", "p00")):
        asked = Request(
            plan_digest=plan.digest,
            phase=PhaseName.VOTES_1,
            silo="north",
            queries=((clique, "fine"),),
            candidates=("00" * len(PIXELS), "0f" * len(PIXELS)),
        )
        with pytest.raises(InvalidPlan):
            count_cells(asked, plan=plan, counted=made_schema().domain)


def test_a_person_who_decides_reads_that_pictures_are_voted_for() -> None:
    words = "\n".join(plan_words(plan_facts(made_plan()) | {"coordinator": "hub", "digest": "d"}))
    assert "sends up to 300 pictures of its own" in words
    assert "by where it is light and dark" in words
    assert "no picture of the silo leaves it" in words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("00" * 24, "48 digits; a picture of the plan has 50"),
        ("00" * 26, "52 digits"),
        ("xy" * 25, r"U\+0078, which is not of the alphabet greys"),
        ("  ", "wrote nothing"),
    ],
)
def test_a_renderer_that_writes_otherwise_is_told_in_one_line(line: str, words: str) -> None:
    settings = made_plan().votes
    assert settings is not None
    with pytest.raises(RunFailed, match=words) as told:
        to_candidates((line,), settings=settings)
    assert "\n" not in told.value.message
