"""An attacker learns what the ledgers are charged for, and an audit finds whoever lets out more."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silosynth.client.gateway import gateway
from silosynth.client.learning import clip
from silosynth.client.ledger import Ledger
from silosynth.client.noise import add_noise
from silosynth.client.source import Part
from silosynth.client.source import People as SampledPeople
from silosynth.common.accounting import Noise
from silosynth.common.cli.app import run
from silosynth.common.generator import Transformer
from silosynth.common.plan import Plan, dump_plan, parse_plan, scaled_norm
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations.audit import held
from silosynth.simulations.audit.audit import (
    LEAST_RUNS,
    audit_plan,
    audit_scores,
    gaussian_epsilon,
)
from silosynth.simulations.audit.made_up import CANARIES, made_up_schema
from silosynth.simulations.local import WHOLE
from tests.support.chance import Binomial, SubGaussian, agrees, at_most, statistical

RUNS = 60
LAW = partial(gaussian_epsilon, delta=1e-5)


def plan_of(method: str, *, shared: bool = False, rows: int = 1, epsilon: float = 4) -> Plan:
    trust: dict[str, Any] = {"trust": "shared", "colluders": 1} if shared else {}
    return new_plan(
        made_up_schema(),
        epsilon=epsilon,
        delta=1e-5,
        silos=("north", "south", "west"),
        method=method,
        rows_per_person=rows,
        **trust,
    )


def evaluation_of(*, shared: bool = False) -> Plan:
    """Return a plan that evaluates; what it says of a sampler is not what is played."""
    trained = plan_of("mst", shared=shared).model_dump(mode="json")
    kept = ("schema_name", "schema_digest", "silos", "trust", "colluders", "privacy")
    digest = "sha256:" + "0" * 64
    settings = {
        "trained": digest,
        "trained_units": 1000,
        "trained_epsilon": 1.0,
        "sampler": digest,
        "inputs": digest,
        "seed": 5,
        "repeats": 1,
        "likelihood": True,
        "weights": [1, 1, 1, 1, 1],
    }
    phase = {"name": "evaluation", "marginals": 1, "cells": 9, "sigma2": "1000000", "bound": 40}
    return parse_plan(
        {name: trained[name] for name in kept if name in trained}
        | {"id": "eval", "method": "evaluate", "held_out": {"share": "1/4"}}
        | {"evaluation": settings, "phases": [phase]}
    )


@pytest.mark.parametrize("shared", [False, True])
def test_people_held_out_are_canaries_of_an_evaluation(shared: bool) -> None:
    """What it adds reaches most of what is charged: no one row has the largest of every block."""
    audited = audit_plan(evaluation_of(shared=shared), run=WHOLE, runs=8)
    assert 0.8 * audited.charged < audited.reach <= audited.charged
    assert gaussian_epsilon(audited.charged, delta=1e-5) == pytest.approx(4, abs=0.05)


@pytest.mark.parametrize(
    ("method", "shared", "rows"),
    [
        ("independent", False, 3),
        ("mst", False, 1),
        ("mst", True, 1),
        ("aim", False, 2),
        ("aim", True, 2),
        ("mixture", True, 2),
        ("one-shot", False, 1),
        ("dp-sgd", False, 2),
        ("dp-sgd", True, 1),
    ],
)
def test_canaries_reach_the_whole_of_what_is_charged(method: str, shared: bool, rows: int) -> None:
    audited = audit_plan(plan_of(method, shared=shared, rows=rows), run=WHOLE, runs=4)
    assert audited.reach == pytest.approx(audited.charged, rel=0.02)
    assert audited.reach <= audited.charged * (1 + 1e-9)


@statistical(alarm=1e-9)
def test_an_attacker_learns_what_the_ledger_was_charged_and_no_more() -> None:
    audited = audit_plan(plan_of("mst"), run=WHOLE, runs=RUNS)

    def law(mu: float) -> SubGaussian:
        return SubGaussian(mean=mu, variance=(4 + mu**2 / 2) / audited.samples)

    mutants = {"half the noise, or a row twice": law(2 * audited.charged)}
    agrees(audited.mu, law=law(audited.charged), alarm=1e-9, mutants=mutants)
    assert gaussian_epsilon(audited.charged, delta=1e-5) == pytest.approx(4, abs=0.02)


@statistical(alarm=1e-9)
def test_of_rounds_that_sample_persons_no_more_is_learnt_than_was_charged() -> None:
    """Two rows a person, in shared trust: the ledger pays for rounds as if nobody was left out."""
    audited = audit_plan(plan_of("dp-sgd", shared=True, rows=2), run=WHOLE, runs=12)
    law = SubGaussian(mean=0, variance=1)
    agrees(audited.z, law=law, alarm=5e-10, mutants={})
    agrees(audited.shift, law=law, alarm=5e-10, mutants={})
    assert audited.law(audited.charged) == pytest.approx(4, abs=0.02)
    assert 0 < audited.law(audited.charged / 2) < 4


def scale_the_noise(monkeypatch: pytest.MonkeyPatch, scale: Fraction) -> None:
    right = add_noise

    def add(counts: Sequence[np.ndarray], *, noise: Noise, bits: Any) -> Any:
        return right(counts, noise=replace(noise, sigma2=noise.sigma2 * scale**2), bits=bits)

    monkeypatch.setattr(gateway, "add_noise", add)


def halve_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    scale_the_noise(monkeypatch, Fraction(1, 2))


def count_rows_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gateway.ask_rows  # type: ignore[attr-defined]  # replaced where it is used
    monkeypatch.setattr(gateway, "ask_rows", lambda asked: [2 * c for c in right(asked)])


def ignore_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gateway.ask_rows  # type: ignore[attr-defined]  # replaced where it is used

    def ask(asked: Any) -> Any:
        return right(replace(asked, rows_per_person=asked.rows_per_person + 1))

    monkeypatch.setattr(gateway, "ask_rows", ask)


def leave_a_charge_out(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Ledger.charge

    def charge(self: Ledger, name: str, digest: str, *, cost_units: int, **more: Any) -> Any:
        return right(self, name, digest, cost_units=1 if "/tree" in name else cost_units, **more)

    monkeypatch.setattr(Ledger, "charge", charge)


def ask_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let those who were trained on be asked as well."""
    right = Part._takes

    def takes(self: Part, tags: np.ndarray) -> np.ndarray:
        return right(self, tags) | self.held_out

    class Known(Part):
        """What the attacker knows stays right."""

        _takes = right

    monkeypatch.setattr(held, "Part", Known)
    monkeypatch.setattr(Part, "_takes", takes)


def learn_from_a_row_more(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gateway.learn_from  # type: ignore[attr-defined]  # replaced where it is used

    def learn(asked: Any, **rest: Any) -> Any:
        return right(replace(asked, rows_per_person=asked.rows_per_person + 1), **rest)

    monkeypatch.setattr(gateway, "learn_from", learn)


def sample_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SampledPeople, "sample", lambda self, threshold, bits: self.examples)


def leave_the_clip_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def scales(parts: Sequence[np.ndarray], *, clip: float, parameters: int) -> object:
        return np.full(len(parts[0]), scaled_norm(parameters) / clip, np.float32), 0

    monkeypatch.setattr(clip, "_scales", scales)
    monkeypatch.setattr(clip, "_BOUND2", np.float32(np.inf))
    monkeypatch.setattr(clip, "exact_sum", lambda sums, rows: sums.astype(np.int64))


def let_a_round_pass_unpaid(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Ledger.charge

    def charge(self: Ledger, name: str, digest: str, *, cost_units: int, **more: Any) -> Any:
        units = 1 if "/training-1" in name else cost_units
        return right(self, name, digest, cost_units=units, **more)

    monkeypatch.setattr(Ledger, "charge", charge)


@pytest.mark.parametrize(
    ("breach", "runs"), [(halve_the_noise, 10), (ignore_the_bound, 30), (ask_everybody, 30)]
)
def test_whoever_lets_out_more_of_those_held_out_is_found(
    breach: Callable[[pytest.MonkeyPatch], None], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    breach(monkeypatch)
    assert audit_plan(evaluation_of(), run=WHOLE, runs=runs).broken


@pytest.mark.parametrize(
    ("breach", "runs"),
    [
        (halve_the_noise, 10),
        (learn_from_a_row_more, 30),
        (sample_everybody, 30),
        (leave_the_clip_out, LEAST_RUNS),
        (let_a_round_pass_unpaid, LEAST_RUNS),
    ],
)
def test_whoever_lets_out_more_of_those_who_are_learnt_from_is_found(
    breach: Callable[[pytest.MonkeyPatch], None], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    breach(monkeypatch)
    assert audit_plan(plan_of("dp-sgd", epsilon=10), run=WHOLE, runs=runs).broken


@pytest.mark.parametrize(
    ("breach", "runs"),
    [
        (halve_the_noise, 10),
        (count_rows_twice, 40),
        (ignore_the_bound, 40),
        (leave_a_charge_out, LEAST_RUNS),
    ],
)
def test_whoever_lets_out_more_is_found(
    breach: Callable[[pytest.MonkeyPatch], None], runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    breach(monkeypatch)
    assert audit_plan(plan_of("mst"), run=WHOLE, runs=runs).broken


@pytest.mark.parametrize(
    ("shared", "scale", "runs"),
    [(False, Fraction(9, 10), 240), (True, Fraction(8, 10), 50)],
    ids=["noise", "shares"],
)
def test_a_little_less_noise_than_is_said_is_found(
    shared: bool, scale: Fraction, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shared: each silo's share of the secret sum."""
    scale_the_noise(monkeypatch, scale)
    assert audit_plan(plan_of("mst", epsilon=20, shared=shared), run=WHOLE, runs=runs).broken


def test_the_command_says_what_was_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(dump_plan(plan_of("independent")))
    assert run(["audit", "plan", str(path), "--runs", "4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["data"]
    assert found["games"] == 4 * CANARIES
    assert found["mu"]["reachable"] == pytest.approx(found["mu"]["charged"])
    monkeypatch.setattr(gateway, "add_noise", lambda counts, **_: tuple(counts))
    assert run(["audit", "plan", str(path), "--runs", "4"]) == 1
    assert "the promise of plan" in capsys.readouterr().err


def test_a_plan_whose_network_nobody_made_up_has_is_told_where_its_audit_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = Transformer(width=4, layers=1, heads=1)
    plan = new_plan(
        made_up_schema(),
        epsilon=4,
        delta=1e-5,
        silos=("north", "south"),
        method="dp-sgd",
        training=TrainingChoice(rounds=2, rate=Fraction(1, 10), architecture=network),
    )
    path = tmp_path / "plan.yaml"
    path.write_text(dump_plan(plan))
    assert run(["audit", "plan", str(path)]) == 4
    assert "not of codes alone" in capsys.readouterr().err


@statistical(alarm=1e-9)
def test_a_lower_bound_is_above_the_truth_no_oftener_than_it_says() -> None:
    """Scores by their law, at other mu and sizes than any plan's: one in twenty at the most."""
    draws, audits = np.random.default_rng(), 1_000
    for mu, samples in ((0.0, 64), (0.3, 256), (1.0, 64), (2.5, 400)):
        inside = draws.random((audits, samples)) < 0.5
        scores = draws.standard_normal((audits, samples)) + mu * inside
        lows = [
            audit_scores(s, inside=i, gaps=np.full(samples, mu), charged=mu, law=LAW)
            for s, i in zip(scores, inside, strict=True)
        ]
        for name in ("low", "normal_low"):
            above = sum(getattr(a, name) > mu for a in lows)
            at_most(above, law=Binomial(count=audits, chance=0.055), mutants={}, alarm=1e-10)


def test_a_bound_is_below_the_truth_and_no_bound_is_drawn_from_nothing() -> None:
    half = np.tile([True, False], 5_000)
    quantiles = (np.arange(5_000) + 0.5) / 5_000
    from scipy.stats import norm

    scores = np.empty(10_000)
    scores[half], scores[~half] = norm.ppf(quantiles) + 1.5, norm.ppf(quantiles)
    audited = audit_scores(scores, inside=half, gaps=np.full(10_000, 1.5), charged=1.5, law=LAW)
    assert audited.mu == pytest.approx(1.5, abs=0.01)
    assert 1.4 < audited.low < audited.normal_low < 1.5
    assert not audited.broken
    few = audit_scores(scores[:4] * 0 + 9, inside=half[:4], gaps=np.ones(4), charged=1, law=LAW)
    assert few.low == few.normal_low == 0
    assert gaussian_epsilon(0.0, delta=1e-5) == 0
