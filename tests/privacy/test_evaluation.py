"""A sampler is judged by people who were held out: who pays, for how much, and for nothing else."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.gateway import Dataset
from silosynth.client.gateway.asked import Asked, ask_rows
from silosynth.client.gateway.judged import Judged, check_bins
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Policy
from silosynth.client.source import Part, load_secret, open_table, splitting
from silosynth.client.source.bounding import bounding
from silosynth.common.audit import Account, Side
from silosynth.common.certificate import certify_plan, check_certificate
from silosynth.common.cli.app import run as command
from silosynth.common.digest import digest_of
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidPlan, PlanRefused, SilosynthError
from silosynth.common.held import Inputs, inputs_digest, norm_bound, vector_cells, work_out
from silosynth.common.held.counters import Counters
from silosynth.common.measurement import MarginalQuery
from silosynth.common.messages import Refusal, Release, Request, decode_release, encode_request
from silosynth.common.plan import PhaseName, Plan, encode_plan, parse_plan, plan_units
from silosynth.common.report.facts import decode_facts
from silosynth.common.sampler import Sampler, load_sampler
from silosynth.common.schema import parse_schema
from silosynth.server.cli import Shown
from silosynth.server.federation import require_trained
from silosynth.server.judging import (
    Judgement,
    Sought,
    judge_candidate,
    plan_evaluation,
    read_candidates,
    read_judgement,
)
from silosynth.server.judging.result import judge_again
from silosynth.server.planning import new_plan
from silosynth.simulations import Engine, simulate
from silosynth.simulations.ended import simulate_evaluation
from silosynth.simulations.run import replay_ended
from silosynth.simulations.silos import SiloDirectory, open_gateway
from tests.faults.hostile_mutations import mutate_json
from tests.support.chance import SubGaussian, agrees, statistical
from tests.support.patience import cheap
from tests.support.tables.canary import CANARY, holds_token

SHARE = Fraction(1, 4)
CODES = 3
NAMES = ("a", "b", "c", "d")
SCHEMA = parse_schema(
    {
        "name": "small",
        "source": "public",
        "attributes": [
            {"name": n, "kind": "categorical", "categories": ["x", "y", "z"], "source": "public"}
            for n in NAMES
        ],
    }
)


def rows_of(persons: int, *, seed: int) -> pa.Table:
    """Return two rows of each person; columns hang together, and one value is strange."""
    draw = np.random.default_rng(seed)
    base = draw.integers(0, CODES, 2 * persons)
    columns: dict[str, Any] = {}
    for name in NAMES:
        kept = draw.random(2 * persons) < 0.7
        codes = np.where(kept, base, draw.integers(0, CODES, 2 * persons))
        columns[name] = ["xyz"[c] for c in codes]
    columns["a"][0] = CANARY
    columns["who"] = [f"{CANARY}-{seed}-{i // 2}" for i in range(2 * persons)]
    return pa.table(columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A run that held people out, and its evaluation, through the silos' gateways."""

    run: Path
    out: Path
    trained: Plan
    plan: Plan
    judged: Judgement

    def sampler(self) -> Sampler:
        found = load_sampler(self.run / "result.sampler")
        assert isinstance(found, Sampler)
        return found

    def silo(self) -> SiloDirectory:
        return SiloDirectory(path=self.run / "silos" / self.plan.silos[0])

    def account(self) -> Account:
        with Ledger.open(self.silo().ledger, caps={}) as ledger:
            return ledger.verify()

    def request(self, plan: Plan | None = None) -> Request:
        """Return what a plan asks of the first silo."""
        asked = plan or self.plan
        return Request(
            plan_digest=asked.digest,
            phase=PhaseName.EVALUATION,
            silo=asked.silos[0],
            queries=((SCHEMA.domain.attributes, "fine"),),
        )

    def answer(self, plan: Plan, **changes: Any) -> object:
        """Ask one silo's gateway, with its own sampler."""
        sampler = (self.run / "result.sampler").read_bytes()
        request = self.request(plan).model_copy(update=changes)
        with open_gateway(self.silo(), samplers=lambda _: sampler, least_units=10**15) as gateway:
            data = gateway.answer(plan=encode_plan(plan), request=encode_request(request))
        return decode_release(data, trusted=None)


def run(directory: Path, trust: str) -> Ran:
    tables = {f"s{i}": rows_of(600, seed=i) for i in range(3)}
    trained = new_plan(
        SCHEMA,
        epsilon=1,
        delta=1e-6,
        silos=list(tables),
        method="mst",
        trust=trust,
        held_out=SHARE,
        plan_id=f"train-{trust}",
    )
    path, out = directory / "run", directory / "eval"
    result = simulate(
        trained,
        schema=SCHEMA,
        silos=tables,
        directory=path,
        engine=Engine.LOCAL,
        person_column="who",
    )
    sought = Sought(targets=["b"], measured=result.outcome.measurements, seed=7)
    sampler = (path / "result.sampler").read_bytes()
    plan, _ = plan_evaluation(trained, sampler, sought=sought)
    judged = simulate_evaluation(plan, run=path, out=out)
    return Ran(run=path, out=out, trained=trained, plan=plan, judged=judged)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("own"), "own")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("shared"), "shared")


def dataset(table: pa.Table) -> Dataset:
    """Return the data set that a silo opens over a table."""
    secret = bytes(range(32))
    return Dataset(
        schema=SCHEMA,
        rows=open_table(table, schema=SCHEMA, person_column="who", bounding=bounding(secret)),
        policy=Policy(rows_per_person=2),
        bounded=True,
        splitting=splitting(secret, dataset="small", person_column="who"),
    )


def counted(table: pa.Table, ran: Ran) -> tuple[np.ndarray, np.ndarray]:
    """Return what training and evaluation count of a table, before any noise."""
    data, answers = dataset(table), []
    for plan, phase, inputs in (
        (ran.trained, PhaseName.ONE_WAY, None),
        (ran.plan, PhaseName.EVALUATION, ran.judged.inputs),
    ):
        rows, schema = data.coded(None, plan=plan)
        cliques = [(n,) for n in NAMES] if inputs is None else [NAMES]
        request = Request(
            plan_digest=plan.digest,
            phase=phase,
            silo="s0",
            queries=tuple((c, "fine") for c in cliques),
        )
        asked = Asked(
            rows=rows,
            schema=schema,
            plan=plan,
            request=request,
            rows_per_person=1,
            plan_digest=plan.digest,
            inputs=inputs,
        )
        answers.append(np.concatenate(ask_rows(asked)))
    return answers[0], answers[1]


def test_a_person_moves_the_counts_of_one_part_alone(own: Ran) -> None:
    table = rows_of(24, seed=9)
    training, held = counted(table, own)
    bound = norm_bound(own.judged.inputs)
    moved = []
    for person in range(24):
        less = table.filter(pa.array(np.arange(48) // 2 != person))
        without = counted(less, own)
        distances = (
            float(np.linalg.norm(training - without[0])),
            float(np.linalg.norm(held - without[1])),
        )
        assert min(distances) == 0
        assert 0 < distances[0] <= 2 or 0 < distances[1] <= bound
        moved.append(distances[1] > 0)
    assert 0 < sum(moved) < 24
    count = own.judged.inputs.settings.weights[4]
    assert held[-1] == sum(moved) * count, "one row of each person who is held out"
    assert training.sum() == len(NAMES) * (24 - sum(moved))


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_one_person_pays_the_larger_of_two_sums(trust: str, request: pytest.FixtureRequest) -> None:
    ran: Ran = request.getfixturevalue(trust)
    account = ran.account()
    ((scope, _),) = account.parts
    (sums,) = account.parts.values()
    assert sums == (plan_units(ran.trained), plan_units(ran.plan))
    assert account.spent[scope] == max(sums)


@statistical(alarm=1e-10, cases=2)
@pytest.mark.parametrize("trust", ["own", "shared"])
def test_the_sum_of_all_silos_is_about_the_people_held_out(
    trust: str, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(trust)
    people = ran.judged.found.people
    places = [SiloDirectory(path=ran.run / "silos" / silo) for silo in ran.plan.silos]
    assert people.low is not None
    variance = ((people.value - people.low) / 1.645) ** 2
    of = {
        name: SubGaussian(
            mean=sum(_people(p, of=ran.plan.dataset, held_out=held) for p in places),
            variance=variance,
        )
        for name, held in (("held out", True), ("those who are trained on", False))
    }
    agrees(people.value, law=of.pop("held out"), mutants=of, alarm=5e-11)


def _people(place: SiloDirectory, *, of: str, held_out: bool) -> int:
    """Return how many persons of a silo are held out, or not, by its own secret."""
    part = Part(
        splitting=splitting(load_secret(place.secret), dataset=of, person_column="who"),
        share=SHARE,
        held_out=held_out,
    )
    table = rows_of(600, seed=int(place.name[1:]))
    (fragment,) = part.of([lambda: table])
    return len(set(fragment()["who"].to_pylist()))


def test_the_same_request_costs_nothing_more_and_gets_the_same_bytes(own: Ran) -> None:
    before = own.account()
    first, second = own.answer(own.plan), own.answer(own.plan)
    assert isinstance(first, Release)
    assert isinstance(second, Release)
    assert np.array_equal(first.marginals[0], second.marginals[0])
    after = own.account()
    assert len(after.charges) == len(before.charges)
    again = simulate_evaluation(own.plan, run=own.run, out=own.out)
    assert np.array_equal(again.values, own.judged.values)


def _variants(inputs: Inputs) -> list[dict[str, Any]]:
    return [
        {},
        {"weights": (1, 2**20, 7, 9, 11)},
        {"weights": (2**20, 1, 2**20, 2**20, 1), "clip": 64},
        {"groups": 2, "bins": 64, "repeats": 16, "witness": None},
        {"seed": 2**31 - 1, "clip": 1, "bins": 2},
    ]


@pytest.mark.parametrize("number", range(5))
def test_no_row_moves_the_counters_beyond_the_bound(own: Ran, number: int) -> None:
    """By brute force over all rows that there can be."""
    change = _variants(own.judged.inputs)[number]
    settings = own.judged.inputs.settings.model_copy(update=change)
    inputs = work_out(own.sampler(), settings)
    norms = []
    shape = SCHEMA.domain.shape
    for row in itertools.product(*map(range, shape)):
        counters = Counters(inputs)
        counters.add([np.array([code], dtype=np.uint8) for code in row])
        vector = counters.vector()
        halves = vector[: inputs.blocks["halves"]]
        assert set(np.abs(halves)) == {settings.weights[0]}, "exactly sqrt(pairs repeats)"
        norms.append(float(np.sqrt((vector.astype(object) ** 2).sum())))
    assert len(vector) == vector_cells(inputs)
    assert max(norms) <= norm_bound(inputs)
    assert max(norms) > 0.5 * norm_bound(inputs), "a bound that is far too large costs noise"


def _stated(plan: Plan, change: Mapping[str, Any]) -> Plan:
    """Return the plan with some of what it states changed."""
    data = plan.model_dump(mode="json")
    for path, value in change.items():
        *outer, last = path.split(".")
        place: Any = data
        for key in outer:
            place = place[int(key)] if key.isdigit() else place[key]
        place[last] = value
    return parse_plan(data | {"id": "changed"})


@pytest.mark.parametrize(
    "change",
    [
        {"phases.0.bound": 100},
        {"phases.0.cells": 20},
        {"evaluation.inputs": "sha256:" + "0" * 64},
        {"evaluation.sampler": "sha256:" + "0" * 64},
        {"evaluation.trained": "sha256:" + "0" * 64},
        {"evaluation.trained_units": 5},
        {"evaluation.trained_epsilon": 0.5},
        {"evaluation.seed": 8},
        {"evaluation.groups": 2},
        {"evaluation.targets": ["c"]},
        {"evaluation.targets": ["nobody"]},
        {"evaluation.clip": 64},
        {"evaluation.weights": [2**20, 1, 1, 1, 1]},
        {"evaluation.witness": "00"},
    ],
    ids=str,
)
def test_what_does_not_follow_from_the_sampler_is_refused(
    own: Ran, change: Mapping[str, Any]
) -> None:
    plan = _stated(own.plan, change)
    before = len(own.account().charges)
    answer = own.answer(plan)
    assert isinstance(answer, Refusal)
    assert answer.code != "internal", answer
    assert len(own.account().charges) == before


@pytest.fixture(scope="module")
def of_all(own: Ran, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return a run that held nobody out, and a plan made by hand to evaluate it on a half."""
    directory = tmp_path_factory.mktemp("all")
    tables = {silo: rows_of(100, seed=int(silo[1:])) for silo in own.plan.silos}
    trained = new_plan(
        SCHEMA, epsilon=1, delta=1e-6, silos=list(tables), method="independent", plan_id="all"
    )
    simulate(
        trained,
        schema=SCHEMA,
        silos=tables,
        directory=directory,
        engine=Engine.LOCAL,
        person_column="who",
    )
    ran = replace(own, run=directory, trained=trained)
    sampler = ran.sampler()
    stated = {
        "trained": trained.digest,
        "trained_units": sampler.certificate["rho_units"],
        "trained_epsilon": sampler.certificate["epsilon"],
        "sampler": digest_of((directory / "result.sampler").read_bytes()),
        "witness": None,  # noise may merge other codes than it did in the other run
    }
    settings = own.judged.inputs.settings.model_copy(update=stated)
    inputs = work_out(sampler, settings)
    changes = {f"evaluation.{name}": value for name, value in stated.items()} | {
        "held_out.share": "1/2",
        "evaluation.inputs": inputs_digest(inputs),
        "phases.0.cells": vector_cells(inputs),
    }
    return replace(ran, plan=_stated(own.plan, changes))


@pytest.mark.parametrize("which", ["a run that held nobody out", "another share"])
def test_nobody_is_asked_as_one_held_out_who_was_not(own: Ran, of_all: Ran, which: str) -> None:
    """The certificate would say that quality was measured on other people."""
    ran = own if which == "another share" else of_all
    plan = _stated(ran.plan, {"held_out.share": "1/2"})
    before = len(ran.account().charges)
    answer = ran.answer(plan)
    assert isinstance(answer, Refusal)
    assert answer.code == "plan-refused"
    assert "asks others here than those" in answer.message
    assert len(ran.account().charges) == before


@pytest.mark.parametrize(
    "change",
    [
        {"queries": ((("a", "b"), "fine"),)},
        {"queries": ((NAMES, "other"),)},
        {"levels": {"other": {"a": (0, 0, 1)}}},
        {"edges": {}},
    ],
    ids=str,
)
def test_another_question_is_refused(own: Ran, change: Mapping[str, Any]) -> None:
    before = len(own.account().charges)
    assert isinstance(own.answer(own.plan, **change), Refusal)
    assert len(own.account().charges) == before


def test_a_hostile_coordinator_learns_no_more_of_those_held_out(own: Ran) -> None:
    """Altered plans and requests are refused in public words, or cost what they state."""
    chance = random.Random(20_261_130)
    plan, sampler = encode_plan(own.plan), (own.run / "result.sampler").read_bytes()
    request = encode_request(own.request())
    before, told = own.account(), Counter[str]()
    with open_gateway(own.silo(), samplers=lambda _: sampler, least_units=10**15) as gateway:
        for i in range(120):
            sent = [plan, request]
            sent[i % 3 % 2] = mutate_json(sent[i % 3 % 2], chance=chance)
            with cheap(units=300):
                data = gateway.answer(plan=sent[0], request=sent[1])
            assert CANARY.encode() not in data
            answer = decode_release(data, trusted=None)
            told[answer.code if isinstance(answer, Refusal) else "released"] += 1
    assert "internal" not in told, told
    assert told.total() - told["released"] > 60, told
    after = own.account()
    fresh = [charge for name, charge in after.charges.items() if name not in before.charges]
    assert all(c.part is not None and c.part.side is Side.EVALUATION for c in fresh)
    assert len(fresh) <= told["released"], "what is refused costs nothing"


def test_a_run_that_held_nobody_out_is_not_evaluated(own: Ran) -> None:
    data = own.trained.model_dump(mode="json")
    nobody = parse_plan({k: v for k, v in data.items() if k != "held_out"})
    sampler = (own.run / "result.sampler").read_bytes()
    with pytest.raises(InvalidPlan, match="held nobody out"):
        plan_evaluation(nobody, sampler, sought=Sought())
    with pytest.raises(InvalidPlan, match="another plan"):
        plan_evaluation(parse_plan(data | {"id": "other"}), sampler, sought=Sought())
    for targets in (["nobody"], ["b", "b"]):
        with pytest.raises((SilosynthError, ValueError)):
            plan_evaluation(own.trained, sampler, sought=Sought(targets=targets))


def test_without_a_person_column_nobody_is_held_out_and_nothing_is_charged(
    own: Ran, tmp_path: Path
) -> None:
    """Rows that hold the same cannot be told apart: one that goes would move another over."""
    table = rows_of(20, seed=1).drop_columns(["who"])
    with pytest.raises(SilosynthError, match="names no person column") as told:
        simulate(
            own.trained,
            schema=SCHEMA,
            silos=dict.fromkeys(own.trained.silos, table),
            directory=tmp_path / "run",
            engine=Engine.LOCAL,
        )
    assert "person_column" in str(told.value.hint)
    for ledger in (tmp_path / "run").rglob("ledger.sqlite"):
        with Ledger.open(ledger, caps={}) as opened:
            assert not opened.charges()


def test_the_certificates_say_who_pays_for_what(own: Ran) -> None:
    trained, evaluated = certify_plan(own.trained), certify_plan(own.plan)
    for certificate in (trained, evaluated):
        check_certificate(certificate)
    assert "one person pays the larger of the two sums" in trained.assumptions[-1]
    words = evaluated.assumptions[-1]
    assert f"epsilon {trained.epsilon:.4g}" in words
    assert trained.rho in words
    assert evaluated.epsilon <= own.plan.privacy.epsilon


def test_another_sampler_is_judged_by_what_was_released(own: Ran, shared: Ran) -> None:
    kept = read_judgement(own.out)
    assert kept.found.distance == own.judged.found.distance
    other = judge_again(kept, shared.run / "result.sampler")
    assert other.square != kept.found.distance.square
    assert judge_again(kept, own.run / "result.sampler").square == kept.found.distance.square


@statistical(alarm=1e-10)
def test_with_its_own_noise_each_silo_is_told_how_it_is_represented(own: Ran, shared: Ran) -> None:
    assert shared.judged.silos == {}
    kept = read_judgement(own.out)
    assert set(kept.silos) == set(own.plan.silos)
    assert kept.silos == own.judged.silos
    assert np.array_equal(sum(kept.alone.values()), own.judged.values)
    for silo, found in kept.silos.items():
        place = SiloDirectory(path=own.run / "silos" / silo)
        people = _people(place, of=own.trained.dataset, held_out=True)
        assert found.people.low is not None
        variance = ((found.people.value - found.people.low) / 1.645) ** 2
        law = SubGaussian(mean=people, variance=variance)
        agrees(found.people.value, law=law, mutants={}, alarm=1e-11)


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_the_page_says_what_people_held_out_said(
    trust: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    ran: Ran = request.getfixturevalue(trust)
    gate = tmp_path / "gate.yaml"
    gate.write_text("version: 1\nbars:\n- {name: people, at_least: 1000000}\n")
    words = ["report", str(ran.run), "--evaluation", str(ran.out), "--released-only"]
    assert command([*words, "--out", str(tmp_path / "page"), "--gate", str(gate)]) == 1
    facts = decode_facts((tmp_path / "page" / "report.json").read_bytes())
    page = (tmp_path / "page" / "report.html").read_text()
    held = facts.held_out
    assert held is not None
    assert {found.silo for found in held.silos} == (
        set(ran.plan.silos) if trust == "own" else set()
    )
    assert page.count('<tr><th scope="row">s0</th>') == 1 + (trust == "own")
    assert held.whole.people.value == pytest.approx(ran.judged.found.people.value, rel=1e-5)
    assert (held.whole.distance is None) is not ran.judged.found.distance.said
    assert "What so few people cannot tell." in page, "below 1,000 people the page says so"
    assert [lamp.axis.value for lamp in held.lamps] == ["fidelity", "utility", "privacy", "reuse"]
    assert holds_token([page.encode()], tmp_path) == []


def test_an_evaluation_is_looked_at_before_anything_is_done(
    own: Ran, shared: Ran, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument, match="no run of this coordinator"):
        require_trained(tmp_path, own.plan)
    for run, evaluation, match in (
        (own.run, own.run, "holds no evaluation"),
        (own.run, shared.out, "another sampler"),
        (own.out, own.out, "evaluated another run"),
    ):
        with pytest.raises(InvalidArgument, match=match):
            Shown(evaluation=str(evaluation)).bars(run)
    with pytest.raises(InvalidArgument, match="evaluated another run"):
        replay_ended(own.out)
    with pytest.raises(InvalidArgument, match="is about its --evaluation"):
        Shown(gate=tmp_path / "gate.yaml").bars(own.run)


def test_all_that_were_judged_by_one_release_are_on_its_page(own: Ran, shared: Ran) -> None:
    judge_candidate(own.out, own.run / "result.sampler", name="itself")
    for name in ("first", "again"):
        judge_candidate(own.out, shared.run / "result.sampler", name=name)
    (other,) = read_candidates(own.out)
    assert (other["name"], other["n_eq"] is None) == ("again", False)
    (own.out / "candidates.json").write_text('{"version": 9}')
    with pytest.raises(InvalidArgument, match="version 9"):
        read_candidates(own.out)
    (own.out / "candidates.json").unlink()


def test_no_token_gets_out_of_an_evaluation(own: Ran, shared: Ran) -> None:
    for ran in (own, shared):
        answer = ran.answer(_stated(ran.plan, {"phases.0.bound": 100}))
        assert holds_token([repr(answer).encode()], ran.out) == []


def test_held_out_rows_are_not_those_of_the_whole_table(own: Ran) -> None:
    """A plan that holds nobody out still asks everybody, and everybody pays."""
    data = own.trained.model_dump(mode="json")
    nobody = parse_plan({k: v for k, v in data.items() if k != "held_out"})
    held = dataset(rows_of(100, seed=4))
    assert held.split_name(nobody) is None
    rows, _ = held.coded(None, plan=nobody)
    count = partial(rows.count, [MarginalQuery(clique=("a",))], levels={"fine": Grouping()})
    assert count()[0].sum() == 100
    assert replace(held, splitting=None).split_name(nobody) is None
    with pytest.raises(SilosynthError, match="hold nobody out"):
        replace(held, splitting=None).split_name(own.trained)


def test_bins_of_a_sampler_that_no_number_can_have_are_refused_before_a_charge(own: Ran) -> None:
    data = dataset(rows_of(60, seed=1))
    for edges in ({"nobody": (1,)}, {"a": (1,)}):
        with pytest.raises(PlanRefused, match="are fixed"):
            check_bins(data, Judged(inputs=own.judged.inputs, edges=edges))
    check_bins(data, Judged(inputs=own.judged.inputs, edges={}))
