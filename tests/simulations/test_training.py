"""Whole runs of DP-SGD: own and shared noise, crashes, absences, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.certificate import check_certificate
from silosynth.common.cli.app import run
from silosynth.common.errors import (
    CapExceeded,
    InvalidArgument,
    InvalidPlan,
    Refused,
    RunFailed,
    SiloAbsent,
)
from silosynth.common.generator import MaskedMlp
from silosynth.common.messages import (
    Release,
    Request,
    decode_release,
    decode_request,
    encode_request,
    encode_sum_statement,
)
from silosynth.common.plan import (
    Optimiser,
    Plan,
    TrainingStep,
    charged_epsilon,
    check_plan,
    encode_plan,
    parse_plan,
    read_weights,
    spent_epsilon,
)
from silosynth.common.sampler import AutoregressiveSampler, load_sampler
from silosynth.common.schema import Schema, dump_schema, parse_schema
from silosynth.server.coordinator import Absent, Agree, Answered, Event, State, Stated, finish
from silosynth.server.driver import Journal, Progress
from silosynth.server.driver.drive import drive
from silosynth.server.generator import Learning, begin, take_round
from silosynth.server.methods.dp_sgd import read_rate, read_sizes
from silosynth.server.methods.training import TrainingChoice
from silosynth.server.planning import new_plan
from silosynth.simulations.local import run_local
from silosynth.simulations.run import simulate
from silosynth.simulations.silos import SiloDirectory, make_silos, open_gateway

SIZES = {"north": 400, "south": 600, "west": 300}
SMALL = MaskedMlp(width=8, layers=1, views=2)


def _schema(**changes: Any) -> Schema:
    regions = {"kind": "categorical", "categories": ["a", "b", "c"], "source": "public"}
    return parse_schema(
        {
            "name": "people",
            "label": "ill",
            "attributes": [
                {"name": "ill", "kind": "categorical", "categories": ["no", "yes"]}
                | {"source": "public"},
                {"name": "region", **regions},
            ],
        }
        | changes
    )


def _tables(sizes: dict[str, int] | None = None) -> dict[str, pa.Table]:
    tables = {}
    for index, (silo, rows) in enumerate((sizes or SIZES).items()):
        random = np.random.default_rng(index)
        ill = random.integers(0, 2, rows)
        region = np.where(random.random(rows) < 0.9, ill, 2)
        names = np.array(["no", "yes"])[ill], np.array(list("abc"))[region]
        tables[silo] = pa.table(dict(zip(("ill", "region"), names, strict=True)))
    return tables


def _plan(*, trust: str = "own", choice: TrainingChoice | None = None, **changes: Any) -> Plan:
    small = choice or TrainingChoice(architecture=SMALL, rounds=4, rate=Fraction(1, 4))
    if trust == "own":
        small = replace(small, local_steps=small.local_steps or 2)
    arguments: dict[str, Any] = {
        "epsilon": 5.0,
        "delta": 1e-5,
        "silos": tuple(SIZES),
        "plan_id": "p",
    } | changes
    return new_plan(_schema(), method="dp-sgd", trust=trust, training=small, **arguments)


def _places(directory: Path, plan: Plan) -> tuple[SiloDirectory, ...]:
    path = directory / "schema.yaml"
    path.write_text(dump_schema(_schema()))
    return make_silos(directory / "silos", plan=plan, schema_path=path, tables=_tables())


def _charged(directory: Path, silo: str) -> list[str]:
    with Ledger.open(directory / "silos" / silo / "ledger.sqlite", caps={}) as ledger:
        return [c.request_id.split("/")[1] for c in ledger.charges()]


# Runs


@pytest.mark.parametrize("trust", ["own", "shared"])
@pytest.mark.usefixtures("fixed_bits")
def test_a_run_learns_what_depends_on_what(trust: str, tmp_path: Path) -> None:
    choice = TrainingChoice(
        architecture=SMALL,
        rounds=25,
        rate=Fraction(1, 2),
        local_steps=2 if trust == "own" else None,
        optimiser=Optimiser.FEDAVG if trust == "own" else Optimiser.ADAM,
        learning_rate=1.0 if trust == "own" else 0.1,
        local_learning_rate=0.5 if trust == "own" else None,
    )
    plan = _plan(trust=trust, choice=choice, epsilon=20.0)
    seen: list[Progress] = []
    result = simulate(
        plan,
        schema=_schema(),
        silos=_tables({silo: 5 * rows for silo, rows in SIZES.items()}),
        directory=tmp_path,
        engine="local",
        progress=seen.append,
    )
    assert isinstance(result.sampler, AutoregressiveSampler)
    rows = result.sampler.draw(3000, seed=1)
    healthy, ill = rows[rows["ill"] == "no"], rows[rows["ill"] == "yes"]
    assert min(len(healthy), len(ill)) > 900
    assert (healthy["region"] == "a").mean() > 0.7
    assert (ill["region"] == "b").mean() > 0.7
    assert abs(result.sampler.total - 5 * sum(SIZES.values())) < 100
    check_certificate(result.certificate)
    assert result.certificate.epsilon <= 20.0
    told = [p.training for p in seen if p.training is not None]
    assert [t.round for t in told] == sorted(t.round for t in told)
    assert 0 < told[-1].epsilon <= 20.0
    units = sum(r.cost_units for r in result.receipts["west"])
    assert charged_epsilon(plan, units) == spent_epsilon(plan, rounds=25)
    assert 0 < charged_epsilon(plan, units // 2) < charged_epsilon(plan, units)
    trained = [f"training-{i}" for i in range(25)]
    session = "" if trust == "own" else ".1"
    assert _charged(tmp_path, "west") == [n + session for n in ("one-way", *trained)]


@pytest.mark.parametrize("optimiser", [Optimiser.FEDAVG, Optimiser.FEDYOGI, Optimiser.SGD])
def test_every_optimiser_runs_and_public_sizes_need_no_counts(
    optimiser: Optimiser, tmp_path: Path
) -> None:
    trust = "shared" if optimiser is Optimiser.SGD else "own"
    choice = TrainingChoice(
        architecture=SMALL, rounds=2, rate=Fraction(1, 4), optimiser=optimiser, sizes=SIZES
    )
    plan = _plan(trust=trust, choice=choice)
    assert [p.name for p in plan.phases] == ["one-way", "training"]
    result = simulate(plan, schema=_schema(), silos=_tables(), directory=tmp_path, engine="local")
    assert result.sampler.total == sum(SIZES.values())


def test_a_silo_without_rows_takes_part_like_any_other(tmp_path: Path) -> None:
    tables = _tables() | {"west": _tables()["west"].slice(0, 0)}
    result = simulate(_plan(), schema=_schema(), silos=tables, directory=tmp_path, engine="local")
    assert len(result.receipts["west"]) == 5


def test_checkpoints_are_samplers_of_the_way(tmp_path: Path) -> None:
    plan = _plan(choice=TrainingChoice(architecture=SMALL, rounds=4, rate=Fraction(1, 4)))
    kept = plan.model_dump(mode="json")
    kept["training"]["checkpoint_every"] = 2
    plan = parse_plan(kept)
    simulate(plan, schema=_schema(), silos=_tables(), directory=tmp_path, engine="local")
    found = sorted((tmp_path / "checkpoints").iterdir())
    assert [f.name for f in found] == ["round-000002.sampler", "round-000004.sampler"]
    last, end = load_sampler(found[-1]), load_sampler(tmp_path / "result.sampler")
    assert isinstance(last, AutoregressiveSampler)
    assert isinstance(end, AutoregressiveSampler)
    assert np.array_equal(last.weights, end.weights)
    assert len(last.draw(10, seed=1)) == 10


# Crashes and absences


class _Killed(Exception):
    pass


@pytest.mark.parametrize("trust", ["own", "shared"])
def test_a_run_resumes_without_charging_twice_and_ends_in_the_same_weights(
    trust: str, tmp_path: Path
) -> None:
    plan = _plan(trust=trust)
    places = _places(tmp_path, plan)

    def die(progress: Progress) -> None:
        training = progress.training
        if training is not None and (training.round, progress.answered) == (2, 1):
            raise _Killed

    with (
        Journal(tmp_path, plan_digest=plan.digest) as journal,
        pytest.raises(_Killed),
    ):
        run_local(plan, _schema(), silos=places, journal=journal, progress=die)
    before = {silo: _charged(tmp_path, silo) for silo in SIZES}
    with Journal(tmp_path, plan_digest=plan.digest) as journal:
        state = run_local(plan, _schema(), silos=places, journal=journal)
    after = {silo: _charged(tmp_path, silo) for silo in SIZES}
    assert all(len(set(names)) == len(names) == 5 for names in after.values())
    assert all(after[silo][: len(before[silo])] == before[silo] for silo in SIZES)
    with Journal(tmp_path, plan_digest=plan.digest) as journal:
        again = run_local(plan, _schema(), silos=places, journal=journal)
    assert state.learning is not None
    assert again.learning is not None
    assert state.learning.encoded == again.learning.encoded
    assert all(len(receipts) == 5 for receipts in again.receipts().values())


def _drive(directory: Path, plan: Plan, *, absent_from: int, silo: str = "west") -> State:
    """Drive a run in which one silo is silent from a round on."""
    by_name = {p.name: p for p in _places(directory, plan)}
    sealed = encode_plan(plan)

    def send(requests: Sequence[Request]) -> Iterable[Event]:
        for request in requests:
            step = request.training
            if step is not None and step.round >= absent_from and request.silo == silo:
                yield Absent(phase=request.phase, silo=silo)
                continue
            with open_gateway(by_name[request.silo]) as gateway:
                data = gateway.answer(plan=sealed, request=encode_request(request))
            yield Answered(phase=request.phase, silo=request.silo, data=data)

    with Journal(directory, plan_digest=plan.digest) as journal:
        return drive(plan, _schema(), journal=journal, send=send)


def test_a_silo_that_leaves_a_shared_round_burns_that_round_alone(tmp_path: Path) -> None:
    plan = _plan(trust="shared", absent=1, attempts=2)
    by_name = {p.name: p for p in _places(tmp_path, plan)}
    sealed, told = encode_plan(plan), list[str]()

    def send(requests: Sequence[Request]) -> Iterable[Event]:
        for request in requests:
            step = request.training
            if step is not None and step.round == 2 and request.silo == "west":
                yield Absent(phase=request.phase, silo="west")
                continue
            with open_gateway(by_name[request.silo]) as gateway:
                data = gateway.answer(plan=sealed, request=encode_request(request))
            yield Answered(phase=request.phase, silo=request.silo, data=data)

    def agree(steps: Sequence[Agree]) -> Iterable[Event]:
        for ask in steps:
            with open_gateway(by_name[ask.silo]) as gateway:
                data = gateway.agree(plan=sealed, step=encode_sum_statement(ask.step))
            session = ask.step.session
            yield Stated(asked=ask.asked, session=session, silo=ask.silo, data=data)

    with Journal(tmp_path, plan_digest=plan.digest) as journal:
        state = drive(plan, _schema(), journal=journal, send=send, agree=agree, tell=told.append)
    first = ["one-way.1", "training-0.1", "training-1.1"]
    assert _charged(tmp_path, "west") == first
    again = ["training-2.1", "training-2.2", "training-3.2"]
    assert _charged(tmp_path, "north") == [*first, *again]
    assert "is burned" in told[0]
    assert state.learning is not None
    assert state.learning.round == 4
    assert [len(r) for r in state.receipts().values()] == [6, 6, 3]


def test_a_silo_that_leaves_between_rounds_is_left_out_where_the_plan_says_so(
    tmp_path: Path,
) -> None:
    state = _drive(tmp_path, _plan(on_absent="continue"), absent_from=2)
    assert state.silos == ("north", "south")
    assert "training" in state.left["west"]
    assert [len(r) for r in state.receipts().values()] == [5, 5, 3]
    assert finish(state).sampler.total < 1200


def test_a_silo_that_leaves_between_rounds_stops_the_run_until_it_is_back(
    tmp_path: Path,
) -> None:
    plan = _plan()
    with pytest.raises(SiloAbsent, match="west did not answer in phase training"):
        _drive(tmp_path, plan, absent_from=2)
    state = _drive(tmp_path, plan, absent_from=99)
    assert all(len(_charged(tmp_path, silo)) == 5 for silo in SIZES)
    assert state.learning is not None


def test_a_silo_answers_a_round_with_the_same_bytes_and_refuses_other_weights(
    tmp_path: Path,
) -> None:
    plan = _plan()
    places = _places(tmp_path, plan)
    data = _weights(plan)
    request = _request(plan, data)
    sealed = encode_plan(plan)
    with open_gateway(places[0]) as gateway:
        first = gateway.answer(plan=sealed, request=encode_request(request))
        assert gateway.answer(plan=sealed, request=encode_request(request)) == first
        other = _request(plan, _weights(plan, scale=0.5))
        refused = decode_release(gateway.answer(plan=sealed, request=encode_request(other)))
    assert isinstance(decode_release(first), Release)
    assert not isinstance(refused, Release)
    assert refused.code == "request-conflict"
    assert _charged(tmp_path, "north") == ["training-0"]


# What is refused


def _weights(plan: Plan, *, scale: float = 1.0) -> np.ndarray:
    learning = begin(plan, _schema()) if plan.training and plan.training.sizes else None
    if learning is not None:
        return (learning.weights * scale).astype(np.float32)
    return np.full(plan.phases[-1].cells, scale, dtype=np.float32)


def _request(plan: Plan, weights: np.ndarray, *, number: int = 0, **step: Any) -> Request:
    from silosynth.common.plan import encode_weights

    data = encode_weights(weights)
    asked = {"round": number, "weights": data.digest, "batch": 10} | step
    return Request(
        plan_digest=plan.digest,
        phase="training",  # type: ignore[arg-type]  # read as data
        silo="north",
        training=TrainingStep.model_validate(asked),
    ).with_weights(data)


def test_requests_with_wrong_weights_are_refused_before_anything_is_charged(
    tmp_path: Path,
) -> None:
    plan = _plan()
    cells = plan.phases[-1].cells
    good = np.ones(cells, dtype=np.float32)
    bad = {
        "do not": None,
        "float32 weights": good[:-1],
        "is not a number of at most": np.where(np.arange(cells) == 3, np.nan, good),
        "at most 1e+06": good * 2e6,
        "round 4 was asked for": good,
        "has a batch": good,
    }
    with open_gateway(_places(tmp_path, plan)[0]) as gateway:
        for words, weights in bad.items():
            steps: dict[str, dict[str, Any]] = {
                "round 4 was asked for": {"number": 4},
                "has a batch": {"batch": None},
            }
            given = good if weights is None else weights.astype(np.float32)
            request = encode_request(_request(plan, given, **steps.get(words, {})))
            if weights is None:
                request = request[:-1] + bytes([request[-1] ^ 1])
                words = "not those that the request names"
            refusal = decode_release(gateway.answer(plan=encode_plan(plan), request=request))
            assert not isinstance(refusal, Release)
            assert words in refusal.message
    assert _charged(tmp_path, "north") == []


def test_a_request_that_is_cut_off_is_refused() -> None:
    plan = _plan()
    data = encode_request(_request(plan, np.ones(plan.phases[-1].cells, dtype=np.float32)))
    for cut in (21, 30, len(data) // 2, len(data) - 1):
        with pytest.raises(InvalidPlan):
            decode_request(data[:cut])


def test_persons_of_several_rows_need_a_person_column(tmp_path: Path) -> None:
    plan = _plan(rows_per_person=3)
    with open_gateway(_places(tmp_path, plan)[0]) as gateway:
        request = _request(plan, np.ones(plan.phases[-1].cells, dtype=np.float32))
        refusal = decode_release(
            gateway.answer(plan=encode_plan(plan), request=encode_request(request))
        )
    assert not isinstance(refusal, Release)
    assert "names no person column" in refusal.message


def _edited(plan: Plan, **changes: Any) -> dict[str, Any]:
    data = plan.model_dump(mode="json")
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = data
        for parent in parents:
            place = place[int(parent)] if parent.lstrip("-").isdigit() else place[parent]
        place[last] = value
    return data


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phases__1__rate": "3/2"}, "rate: is a chance"),
        ({"phases__1__rate": None}, "the phase training has a rate"),
        ({"phases__0__rate": "1/2"}, "the phase training has a rate"),
        ({"phases__1__bound": 4096}, "must have bound 4095"),
        ({"phases__1__marginals": 3}, "rounds x local_steps"),
        ({"phases__1__sigma2": "100"}, "noise of training is too small"),
        ({"training": None}, "the method dp-sgd needs it"),
        ({"training__optimiser": "adam"}, "local_learning_rate"),
        ({"training__sizes": {"north": 3}}, "exactly the silos"),
        ({"training__clip": 0}, "clip"),
        ({"training__architecture__width": 10**6}, "width"),
        ({"training__architecture__kind": "code"}, "kind"),
        ({"training__surprise": 1}, "surprise"),
        ({"method": "mst"}, "phases"),
    ],
)
def test_a_plan_that_says_something_else_than_it_costs_is_refused(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidPlan, match=words):
        parse_plan(_edited(_plan(), **changes))


def test_a_plan_that_counts_its_weights_wrong_is_refused() -> None:
    plan = parse_plan(_edited(_plan(), phases__1__cells=100))
    with pytest.raises(InvalidPlan, match="weights, the phase training states 100"):
        check_plan(plan, _schema())


def test_a_network_that_is_too_large_is_refused_before_it_is_made() -> None:
    choice = TrainingChoice(architecture=MaskedMlp(width=2048, layers=12))
    with pytest.raises(CapExceeded, match="the network would have"):
        _plan(choice=choice)


def test_schemas_that_cannot_be_learnt_are_refused() -> None:
    one = {"name": "ill", "kind": "categorical", "categories": ["yes"], "source": "public"}
    with pytest.raises(InvalidPlan, match="the label 'ill' has one class"):
        new_plan(
            _schema(attributes=[one]),
            epsilon=1.0,
            delta=1e-6,
            silos=("a",),
            method="dp-sgd",
        )


def test_a_budget_that_no_noise_is_enough_for_is_refused() -> None:
    with pytest.raises(InvalidPlan, match="no noise keeps so much training"):
        _plan(
            epsilon=1e-5,
            choice=TrainingChoice(architecture=SMALL, rounds=50_000, rate=Fraction(1), sizes=SIZES),
        )


def test_more_steps_than_any_plan_has_are_refused() -> None:
    with pytest.raises(InvalidPlan, match="at most 100000 steps"):
        _plan(choice=TrainingChoice(architecture=SMALL, rounds=1000, local_steps=1000))


def test_training_that_diverges_is_named() -> None:
    plan = _plan(
        choice=TrainingChoice(
            architecture=SMALL,
            rounds=1,
            rate=Fraction(1, 4),
            optimiser=Optimiser.FEDAVG,
            learning_rate=1000.0,
            local_learning_rate=1000.0,
            sizes=SIZES,
        )
    )
    learning = begin(plan, _schema())
    cells = plan.phases[-1].cells
    large = np.full(cells, 2**50, dtype=np.int64)
    release = Release.model_construct(marginals=(large,), receipt=None, signature=None)
    with pytest.raises(RunFailed, match="training diverged in round 0"):
        take_round(learning, {"north": release}, plan=plan)
    assert isinstance(learning, Learning)


def test_arguments_that_cannot_be_read_are_named() -> None:
    for text in ("2", "0", "1/0", "x"):
        with pytest.raises(InvalidArgument, match="is no chance"):
            read_rate(text)
    with pytest.raises(InvalidArgument, match="are not numbers of rows"):
        read_sizes("a=1,b=x")
    with pytest.raises(InvalidPlan, match="float32 weights"):
        read_weights(b"", parameters=3)


def test_a_silo_without_the_extra_says_so_before_it_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from silosynth.client.gateway import datasets as ask

    monkeypatch.setattr(ask, "find_spec", lambda name: None)
    with pytest.raises(Refused, match="cannot train a generator"):
        ask.require_training(_plan())


# The command line


def test_from_tables_to_rows_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "schema.yaml").write_text(dump_schema(_schema()))
    (tmp_path / "tables").mkdir()
    for silo, table in _tables().items():
        pq.write_table(table, tmp_path / "tables" / f"{silo}.parquet")
    schema, plan, out = (str(tmp_path / n) for n in ("schema.yaml", "plan.yaml", "run"))
    words = ["plan", "new", schema, "--epsilon", "3", "--delta", "1e-5", "--out", plan]
    words += ["--silos", ",".join(SIZES), "--method", "dp-sgd", "--width", "8", "--layers", "1"]
    words += ["--rounds", "3", "--local-steps", "2", "--rate", "1/5"]
    assert run([*words, "--sizes", "north=400,south=600,west=300"]) == 0
    assert run(["plan", "check", plan, "--schema", schema]) == 0
    capsys.readouterr()
    assert run(["plan", "show", plan, "--schema", schema, "--rows", "1300", "--json"]) == 0
    shown = capsys.readouterr()
    assert "in 3 rounds of 2 steps" in " ".join(shown.err.split())
    assert json.loads(shown.out)["data"]["epsilon"] <= 3
    tables = str(tmp_path / "tables")
    words = ["simulate", plan, "--schema", schema, "--silos", tables, "--out", out]
    assert run([*words, "--engine", "local"]) == 0
    sampler = str(tmp_path / "run" / "result.sampler")
    rows = str(tmp_path / "rows.csv")
    words = ["sample", sampler, "--rows", "50", "--seed", "1", "--out", rows]
    assert run([*words, "--where", "ill=yes"]) == 0
    assert Path(rows).read_text().count("yes") == 50
    assert run(["inspect", sampler]) == 0
    with Ledger.open(
        tmp_path / "run" / "silos" / "north" / "ledger.sqlite",
        caps={Scope(kind=ScopeKind.PROJECT, name="x"): 1},
    ) as ledger:
        assert [c.facts.get("rate") for c in ledger.charges()] == [None, "1/5", "1/5", "1/5"]
