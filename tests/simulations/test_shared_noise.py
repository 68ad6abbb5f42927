"""Whole runs with shared noise: the same statistics as one silo, whoever leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from silosynth.client.gateway import Gateway
from silosynth.client.ledger import Ledger
from silosynth.common.accounting import RHO_UNIT
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.certificate import certify_plan
from silosynth.common.digest import canonical_json
from silosynth.common.errors import BudgetExceeded, RunFailed, SiloAbsent
from silosynth.common.messages import (
    Request,
    decode_release,
    encode_release,
    encode_request,
    encode_sum_statement,
)
from silosynth.common.plan import Method, PhaseName, Plan, dump_plan, encode_plan, plan_units
from silosynth.common.schema import dump_schema
from silosynth.server.coordinator import (
    Absent,
    Agree,
    Answered,
    Event,
    Mute,
    Stage,
    State,
    Stated,
    SumStage,
)
from silosynth.server.driver import Journal
from silosynth.server.driver.drive import drive
from silosynth.server.measuring import add_masked
from silosynth.server.planning import new_plan
from silosynth.simulations.local import run_local
from silosynth.simulations.run import Engine, reopen, simulate
from silosynth.simulations.run_files import RunDirectory
from silosynth.simulations.silos import make_silos, open_gateway
from tests.support.chance import SubGaussian, agrees, masked, statistical
from tests.support.fakes import small_schema
from tests.support.patience import patience

SILOS = ("east", "north", "south", "west")


def _tables(rows: int = 400) -> dict[str, pd.DataFrame]:
    tables = {}
    for index, silo in enumerate(SILOS):
        random = np.random.default_rng(index)
        age = random.integers(0, 20, rows)
        tables[silo] = pd.DataFrame(
            {
                "age": age,
                "region": random.choice(["n", "s", "w"], rows),
                "ill": random.random(rows) < age / 20,
                "old": pd.array(age >= 10, dtype="boolean"),
            }
        )
    return tables


def _plan(**changes: object) -> Plan:
    arguments = {"epsilon": 4.0, "delta": 1e-6, "silos": SILOS, "trust": "shared", "plan_id": "p"}
    arguments["method"] = Method.MST
    return new_plan(small_schema(), **(arguments | changes))  # type: ignore[arg-type]  # test arguments


class Federation:
    """Silos in a directory, some of which leave when a test says so."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        schema_path = directory / "schema.yaml"
        schema_path.write_text(dump_schema(small_schema()))
        tables = {
            name: pa.Table.from_pandas(t, preserve_index=False) for name, t in _tables().items()
        }
        silos = make_silos(directory / "silos", plan=plan, schema_path=schema_path, tables=tables)
        self.plan, self.directory = plan, directory
        self.silos = {s.name: s for s in silos}
        self.told: list[str] = []

    def run(self, gone: Callable[[str, str], bool] = lambda step, silo: False) -> State:
        """Drive the plan; ``gone`` says whether a silo is silent at a step."""
        sealed = encode_plan(self.plan)

        def agree(steps: list[Agree]) -> Iterator[Event]:
            for ask in steps:
                told: dict[str, Any] = {
                    "asked": ask.asked,
                    "session": ask.step.session,
                    "silo": ask.silo,
                }
                if gone(f"{ask.asked.value}.{ask.step.session}", ask.silo):
                    yield Mute(**told)
                    continue
                with open_gateway(self.silos[ask.silo]) as gateway:
                    data = gateway.agree(plan=sealed, step=encode_sum_statement(ask.step))
                yield Stated(**told, data=data)

        def send(requests: list) -> Iterator[Event]:
            for request in requests:
                session = request.sum.session
                if gone(f"{request.phase.value}.{session}", request.silo):
                    yield Absent(phase=request.phase, silo=request.silo)
                    continue
                with open_gateway(self.silos[request.silo]) as gateway:
                    data = gateway.answer(plan=sealed, request=encode_request(request))
                yield Answered(phase=request.phase, silo=request.silo, data=data)

        with Journal(self.directory, plan_digest=self.plan.digest) as journal:
            return drive(
                self.plan,
                small_schema(),
                journal=journal,
                send=send,  # type: ignore[arg-type]  # as loose as a test may be
                agree=agree,  # type: ignore[arg-type]  # as loose as a test may be
                tell=self.told.append,
            )

    def spent(self, silo: str) -> int:
        scope = Scope(kind=ScopeKind.PROJECT, name=self.plan.id)
        with Ledger.open(self.silos[silo].ledger, caps={scope: plan_units(self.plan)}) as ledger:
            return ledger.spent(scope)


def _check_one_way(state: State, rows: int) -> None:
    """Check that each marginal adds up to the rows, but for its noise."""
    for m in state.measured()[PhaseName.ONE_WAY]:
        law = SubGaussian(mean=rows, variance=float(m.variance.sum()))
        left = {"a bit of a mask that is left": replace(law, mean=2.0**30)}
        agrees(float(m.values.sum()), law=law, mutants=left, alarm=1e-10)


@pytest.mark.parametrize("rows_at_most", [None, 1_000_000])
@pytest.mark.usefixtures("fixed_bits")
@statistical(alarm=1e-9, cases=2)
def test_a_run_with_shared_noise_sums_all_silos_with_the_noise_of_one(
    tmp_path: Path, rows_at_most: int | None
) -> None:
    plan = _plan(rows_at_most=rows_at_most)
    assert plan.sum_bits == (64 if rows_at_most is None else 32)
    run = simulate(plan, schema=small_schema(), silos=_tables(), directory=tmp_path, engine="local")
    _check_one_way(run.state, 1600)
    variance = run.state.measured()[PhaseName.ONE_WAY][0].variance[0]
    assert variance == float(plan.phase(PhaseName.ONE_WAY).sigma2)
    assert abs(run.sampler.total - 1600) < 300
    assert run.certificate.trust == "shared"
    again = simulate(
        plan, schema=small_schema(), silos=_tables(), directory=tmp_path, engine="local"
    )
    assert again.receipts == run.receipts


@statistical(alarm=1e-9)
def test_single_releases_are_noise_to_whoever_holds_them(tmp_path: Path) -> None:
    run = simulate(
        _plan(), schema=small_schema(), silos=_tables(), directory=tmp_path, engine="local"
    )
    for release in run.state.releases[PhaseName.ONE_WAY].values():
        masked(np.concatenate(release.marginals), alarm=2e-10)


def test_receipts_state_both_costs(tmp_path: Path) -> None:
    plan = _plan(colluders=1)
    federation = Federation(tmp_path, plan)
    state = federation.run()
    for receipts in state.receipts().values():
        for receipt in receipts:
            assert receipt.sum is not None
            assert receipt.sum.alone_units == pytest.approx(3 * receipt.cost_units, rel=1e-6)
    assert federation.spent("east") <= plan_units(plan)


@pytest.mark.usefixtures("fixed_bits")
@statistical(alarm=1e-9)
def test_a_silo_that_leaves_before_the_set_is_signed_is_left_out_for_free(tmp_path: Path) -> None:
    for number, step in enumerate((SumStage.KEYS, SumStage.SET)):
        plan = _plan(absent=1)
        directory = tmp_path / str(number)
        directory.mkdir()
        federation = Federation(directory, plan)
        state = federation.run(
            lambda at, silo, step=step: at == f"{step.value}.1" and silo == "north"
        )
        assert state.stage is Stage.FIT
        assert state.silos == ("east", "south", "west")
        _check_one_way(state, 1200)
        assert federation.spent("north") == 0
        assert federation.told == []


def test_a_silo_that_leaves_after_the_set_is_signed_burns_the_request_and_that_is_said_first(
    tmp_path: Path,
) -> None:
    plan = _plan(absent=1, attempts=2)
    federation = Federation(tmp_path, plan)
    try:
        state = federation.run(lambda at, silo: silo == "west" and at in ("tree.1", "keys.2"))
    except BudgetExceeded as err:
        raise AssertionError("what the plan states does not pay for its attempts") from err
    assert state.stage is Stage.FIT
    assert state.silos == ("east", "north", "south")
    assert len(federation.told) == 1
    assert "burned" in federation.told[0]
    assert "attempt 2 of 2" in federation.told[0]
    assert len(state.releases[PhaseName.ONE_WAY]) == 4
    assert {len(r) for r in state.receipts().values()} == {2, 4}
    assert federation.spent("east") > federation.spent("west")
    assert federation.spent("east") <= plan_units(plan)
    assert Fraction(federation.spent("east"), RHO_UNIT) <= Fraction(certify_plan(plan).rho)


def test_a_burned_request_needs_another_attempt_in_the_plan(tmp_path: Path) -> None:
    federation = Federation(tmp_path, _plan(absent=1))
    with pytest.raises(SiloAbsent, match="1 attempts"):
        federation.run(lambda at, silo: silo == "west" and at == "tree.1")
    assert federation.run().stage is Stage.FIT
    assert federation.told == []


def test_more_silos_missing_than_the_noise_allows_end_the_run(tmp_path: Path) -> None:
    federation = Federation(tmp_path, _plan(absent=1))
    with pytest.raises(SiloAbsent, match="allows 1 silos to be absent"):
        federation.run(lambda at, silo: silo in ("west", "north") and at == "keys.1")


@statistical(alarm=1e-9)
def test_a_run_that_stopped_goes_on_with_the_same_keys(tmp_path: Path) -> None:
    federation = Federation(tmp_path, _plan())
    for step in ("keys.1", "set.1", "one-way.1", "coarse.1"):
        with pytest.raises(SiloAbsent):
            federation.run(lambda at, silo, step=step: at == step and silo == "south")
    state = federation.run()
    _check_one_way(state, 1600)
    units = sum(r.cost_units for r in state.receipts()["south"])
    assert federation.spent("south") == units


@statistical(alarm=1e-9)
def test_a_gateway_that_dies_between_charge_and_store_masks_again(tmp_path: Path) -> None:
    federation = Federation(tmp_path, _plan())
    store = Ledger.store
    died = []

    def dying(self: Ledger, request_id: str, release: bytes) -> bytes:
        if not died and request_id.endswith("/south"):
            died.append(release)
            raise RuntimeError("killed")
        return store(self, request_id, release)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "store", dying)
        with pytest.raises(Exception, match="south"):
            federation.run()
    state = federation.run()
    assert died
    _check_one_way(state, 1600)
    assert federation.spent("south") == sum(r.cost_units for r in state.receipts()["south"])


@pytest.mark.parametrize("whose", ["east", "north"])
def test_a_silo_whose_keys_stand_twice_is_left_out_and_named(whose: str, tmp_path: Path) -> None:
    """They would be refused by every silo that is to sign a set with them: north alone goes."""
    plan = _plan(absent=1, on_absent="continue")
    agree, sent = Gateway.agree, {}

    def hostile(self: Gateway, *, plan: bytes, step: bytes) -> bytes:
        data = agree(self, plan=plan, step=step)
        advert = json.loads(data)
        if "keys" not in advert:
            return data
        sent[advert["silo"]] = list(advert["keys"].values())
        if advert["silo"] == "north":
            advert["keys"] = dict.fromkeys(advert["keys"], sent["north"][0])
            if whose == "east":
                advert["keys"] = dict(zip(advert["keys"], sent["east"], strict=True))
        return canonical_json(advert)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gateway, "agree", hostile)
        state = Federation(tmp_path, plan).run()
    assert state.silos == ("east", "south", "west")
    assert set(state.left) == {"north"}


def test_a_run_in_one_process_that_is_stopped_in_a_phase_goes_on(tmp_path: Path) -> None:
    """Ledgers are held in memory there: no secret is dropped before its vector is in a file."""
    federation, asked = Federation(tmp_path, _plan()), []

    def stop(request: Request, _: bytes) -> None:
        asked.append(request.silo)
        if len(asked) == 3:
            raise KeyboardInterrupt

    def run() -> State:
        with Journal(tmp_path, plan_digest=federation.plan.digest) as journal:
            silos = tuple(federation.silos.values())
            schema = small_schema()
            return run_local(federation.plan, schema, silos=silos, journal=journal, answered=stop)

    with pytest.raises(KeyboardInterrupt):
        run()
    state = run()
    for silo in SILOS:
        assert federation.spent(silo) == sum(r.cost_units for r in state.receipts()[silo])
        assert '"secrets": {}' in next((federation.silos[silo].path / "sums").iterdir()).read_text()


def test_secrets_are_dropped_once_their_vector_is_stored(tmp_path: Path) -> None:
    federation = Federation(tmp_path, _plan())
    federation.run()
    for silo in federation.silos.values():
        for path in (silo.path / "sums").glob("*.json"):
            assert '"secrets": {}' in path.read_text()


@statistical(alarm=1e-9)
def test_shared_noise_over_flower_ends_as_plain_calls_do_and_says_nothing_to_others(
    tmp_path: Path,
) -> None:
    (tmp_path / "plan.yaml").write_text(dump_plan(_plan()))
    (tmp_path / "schema.yaml").write_text(dump_schema(small_schema()))
    (tmp_path / "silos").mkdir()
    for name, table in _tables().items():
        table.to_parquet(tmp_path / "silos" / f"{name}.parquet")
    inputs = ["--schema", "schema.yaml", "--silos", "silos", "--out", "run"]
    command = [sys.executable, "-c", "from silosynth.common.cli.app import main; main()"]
    done = subprocess.run(
        [*command, "simulate", "plan.yaml", *inputs, "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=patience(240),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "ok"
    assert not [word for word in ("Traceback", "DEPRECATED") if word in done.stderr]
    _check_one_way(reopen(tmp_path / "run").state, 1600)
    sampler = RunDirectory(path=tmp_path / "run").sampler.read_bytes()
    (tmp_path / "run" / "journal.jsonl").unlink()
    simulate(
        _plan(),
        schema=small_schema(),
        silos=_tables(),
        directory=tmp_path / "run",
        engine=Engine.LOCAL,
    )
    assert RunDirectory(path=tmp_path / "run").sampler.read_bytes() == sampler


def test_an_altered_cell_shows_in_the_receipt_and_a_wrong_sum_in_the_vectors(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, _plan())
    state = federation.run()
    releases = list(state.releases[PhaseName.ONE_WAY].values())
    data = bytearray(encode_release(releases[0]))
    data[-1] ^= 1
    with pytest.raises(RunFailed, match="not those of its receipt"):
        decode_release(bytes(data))
    stated = add_masked(releases)
    stated[0][0] += 1
    again = add_masked(releases)
    assert not np.array_equal(stated[0], again[0])
    coarse = list(state.releases[PhaseName.COARSE].values())
    with pytest.raises(RunFailed, match="different sets"):
        add_masked([releases[0], *coarse])


@pytest.mark.parametrize("method", ["independent", "fixed", "aim"])
@pytest.mark.usefixtures("fixed_bits")
def test_every_method_works_on_sums(tmp_path: Path, method: str) -> None:
    workload = {"workload": (("age", "ill"), ("old", "region"))} if method == "fixed" else {}
    plan = _plan(method=method, colluders=1, **workload)
    run = simulate(plan, schema=small_schema(), silos=_tables(), directory=tmp_path, engine="local")
    for phase, measured in run.state.measured().items():
        stated = float(plan.phase(phase).sigma2)
        assert {v for m in measured for v in m.variance} == {stated * 4 / 3}
    assert abs(run.sampler.total - 1600) < 300
