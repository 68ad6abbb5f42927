"""The gateway charges before it reads, answers once, and lets nothing out but noise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from silosynth.client.gateway import Dataset, Gateway
from silosynth.client.ledger import Ledger
from silosynth.client.policy import Policy
from silosynth.client.source import StreamRows
from silosynth.client.source.spec import Reader
from silosynth.client.source.table import Wanted
from silosynth.common.accounting import Noise
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.errors import InvalidTable
from silosynth.common.messages import (
    Refusal,
    Release,
    Request,
    decode_release,
    decode_request,
    encode_request,
)
from silosynth.common.plan import PhaseName, Plan, encode_plan, parse_plan, plan_units
from silosynth.common.schema import Schema, parse_schema
from silosynth.server.planning import new_plan
from tests.support.chance import SubGaussian, SumOfSquares, agrees, statistical

PROJECT = Scope(kind=ScopeKind.PROJECT, name="p")
SECRET = "zebra-7731"


def _schema() -> Schema:
    return parse_schema(
        {
            "name": "people",
            "attributes": [
                {"name": "age", "kind": "integer", "minimum": 0, "maximum": 9, "source": "public"},
                {
                    "name": "sex",
                    "kind": "categorical",
                    "categories": ["f", "m"],
                    "source": "public",
                },
            ],
        }
    )


def _table(rows: int = 200) -> pa.Table:
    return pa.table(
        {"age": [i % 10 for i in range(rows)], "sex": ["f", "m", "m", "f"] * (rows // 4)}
    )


def _plan(**changes: Any) -> Plan:
    plan = new_plan(_schema(), epsilon=1.0, delta=1e-6, silos=("north",), plan_id="p", method="mst")
    return parse_plan(plan.model_dump(mode="json") | changes)


def _request(plan: Plan, **changes: Any) -> bytes:
    values = {
        "plan_digest": plan.digest,
        "phase": PhaseName.ONE_WAY,
        "silo": "north",
        "queries": ((("age",), "fine"), (("sex",), "fine")),
    }
    return encode_request(Request.model_validate(values | changes))


class Silo:
    """A gateway with a ledger, that remembers when its table was read and what was said."""

    def __init__(self, directory: Path, *, cap: int | None = None, table: pa.Table | None = None):
        path = directory / "ledger.sqlite"
        if not path.exists():
            Ledger.create(path)
        caps = {PROJECT: plan_units(_plan()) if cap is None else cap}
        self.ledger = Ledger.open(path, caps=caps)
        self.table = _table() if table is None else table
        self.reads: list[int] = []
        self.told: list[str] = []

    def read(self) -> pa.Table:
        self.reads.append(self.ledger.spent(PROJECT))
        return self.table

    def gateway(self, **changes: Any) -> Gateway:
        schema = changes.pop("schema", _schema())
        read = changes.pop("read", self.read)
        rows = StreamRows(
            wanted=Wanted(schema=schema),
            open_reader=lambda: Reader(fragments=lambda: [read]),
            tell_operator=self.told.append,
        )
        dataset = Dataset(schema=schema, rows=rows, policy=changes.pop("policy", Policy()))
        arguments: dict[str, Any] = {
            "silo": "north",
            "datasets": {"default": dataset},
            "ledger": self.ledger,
            "tell_operator": self.told.append,
        }
        return Gateway(**(arguments | changes))

    def answer(self, plan: Plan | None = None, request: bytes | None = None, **changes: Any) -> Any:
        plan = _plan() if plan is None else plan
        data = self.gateway(**changes).answer(
            plan=encode_plan(plan), request=_request(plan) if request is None else request
        )
        return decode_release(data)


@pytest.fixture
def silo(tmp_path: Path) -> Iterator[Silo]:
    silo = Silo(tmp_path)
    yield silo
    silo.ledger.close()


@statistical(alarm=1e-10)
def test_a_release_holds_noised_counts_and_its_receipt(silo: Silo) -> None:
    plan = _plan()
    release = silo.answer(plan)
    assert isinstance(release, Release)
    assert release.receipt.cells == (10, 3)
    assert release.receipt.cost_units == silo.ledger.spent(PROJECT)
    variance = 10 * float(plan.phases[0].sigma2)
    total, none = int(release.marginals[0].sum()), SubGaussian(mean=0, variance=variance)
    agrees(
        total,
        law=replace(none, mean=200),
        mutants={"tenfold rows": replace(none, mean=2000)},
        alarm=1e-10,
    )


def test_the_table_is_read_after_the_charge_and_never_before(silo: Silo) -> None:
    release = silo.answer()
    assert silo.reads == [release.receipt.cost_units]


def test_the_same_request_gets_the_same_bytes_without_a_charge_or_a_read(silo: Silo) -> None:
    plan = encode_plan(_plan())
    first = silo.gateway().answer(plan=plan, request=_request(_plan()))
    spent = silo.ledger.spent(PROJECT)
    second = silo.gateway().answer(plan=plan, request=_request(_plan()))
    assert first == second
    assert silo.ledger.spent(PROJECT) == spent
    assert len(silo.reads) == 1


def test_another_content_under_the_same_phase_is_refused(silo: Silo) -> None:
    silo.answer()
    spent = silo.ledger.spent(PROJECT)
    other = _request(_plan(), queries=((("sex",), "fine"),))
    refusal = silo.answer(request=other)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "request-conflict"
    assert silo.ledger.spent(PROJECT) == spent


def test_a_whole_plan_fits_its_budget_and_nothing_more_does(silo: Silo) -> None:
    plan = _plan()
    pair = {"queries": ((("age", "sex"), "fine"),)}
    coarse = {"levels": {"c": {"age": [0] * 5 + [1] * 5}}, "queries": ((("age", "sex"), "c"),)}
    assert isinstance(silo.answer(plan), Release)
    assert isinstance(silo.answer(plan, _request(plan, phase=PhaseName.COARSE, **coarse)), Release)
    assert isinstance(silo.answer(plan, _request(plan, phase=PhaseName.TREE, **pair)), Release)
    another = _plan(id="q")
    refusal = silo.answer(another)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "budget-exceeded"
    assert silo.ledger.spent(PROJECT) <= plan_units(plan)


def test_counts_are_right_when_there_is_no_noise(silo: Silo, monkeypatch: Any) -> None:
    def no_noise(noise: Noise, *, count: int, bits: Any) -> np.ndarray:
        return np.zeros(count, dtype=np.int64)

    monkeypatch.setattr("silosynth.client.noise.draw.draw_noise", no_noise)
    plan = _plan()
    request = _request(
        plan,
        phase=PhaseName.TREE,
        levels={"w": {"age": [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]}},
        queries=((("sex", "age"), "w"),),
    )
    release = silo.answer(plan, request)
    assert release.marginals[0].tolist() == [50, 50, 50, 50, 0, 0]


@statistical(alarm=1e-10)
def test_the_noise_has_the_plans_variance(silo: Silo) -> None:
    attributes = [
        {"name": "x", "kind": "integer", "minimum": 0, "maximum": 4095, "source": "public"}
        | {"bins": {"kind": "width", "count": 4096}}
    ]
    schema = parse_schema({"name": "wide", "attributes": attributes})
    plan = new_plan(
        schema, epsilon=1.0, delta=1e-6, silos=("north",), method="independent", plan_id="p"
    )
    table = pa.table({"x": pa.array([], pa.int64())})
    request = _request(plan, queries=((("x",), "fine"),))
    silo.table = table
    release = silo.answer(plan, request, schema=schema)
    assert isinstance(release, Release)
    squares = int((release.marginals[0] ** 2).sum())
    law = SumOfSquares(count=4096, sigma2=float(plan.phases[0].sigma2))
    less = {"0.7 of the variance": replace(law, sigma2=0.7 * law.sigma2)}
    agrees(squares, law=law, mutants=less, alarm=1e-10)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"schema_digest": "sha256:" + "0" * 64}, "schema-mismatch"),
        ({"silos": ["south"]}, "invalid-plan"),
        ({"privacy": {"epsilon": 1.0, "delta": 1e-6, "rows_per_person": 1}, "id": "zz"}, None),
    ],
)
def test_a_foreign_plan_is_refused_before_any_charge(
    silo: Silo, change: dict[str, Any], code: str | None
) -> None:
    answer = silo.answer(_plan(**change))
    if code is None:
        assert isinstance(answer, Release)
        return
    assert isinstance(answer, Refusal)
    assert answer.code == code
    assert silo.ledger.spent(PROJECT) == 0
    assert silo.reads == []


def test_a_plan_that_assumes_fewer_rows_a_person_than_the_silo_has_is_refused(silo: Silo) -> None:
    refusal = silo.answer(policy=Policy(rows_per_person=3))
    assert isinstance(refusal, Refusal)
    assert "rows a person" in refusal.message
    assert silo.ledger.spent(PROJECT) == 0


@pytest.mark.parametrize(
    "policy",
    [
        Policy(max_cells_per_marginal=9),
        Policy(max_cells_per_request=12),
        Policy(max_marginals=1),
        Policy(max_attributes=1),
        Policy(max_message_bytes=100),
    ],
)
def test_a_request_above_a_cap_is_refused_before_any_charge(silo: Silo, policy: Policy) -> None:
    refusal = silo.answer(policy=policy)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "cap-exceeded"
    assert silo.ledger.spent(PROJECT) == 0
    assert silo.reads == []


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 10_000, b"\xff\xfe", b'{"version": 9}'])
def test_bytes_that_are_no_plan_or_request_are_refused(silo: Silo, data: bytes) -> None:
    good = encode_plan(_plan())
    for plan, request in ((data, _request(_plan())), (good, data)):
        answer = decode_release(silo.gateway().answer(plan=plan, request=request))
        assert isinstance(answer, Refusal)
    assert silo.ledger.spent(PROJECT) == 0


def test_a_request_for_another_silo_is_refused(silo: Silo) -> None:
    plan = _plan(silos=["north", "south"])
    assert isinstance(silo.answer(plan, _request(plan, silo="south")), Refusal)


def test_an_empty_silo_answers_with_noise_around_nothing(silo: Silo) -> None:
    silo.table = _table(0)
    release = silo.answer()
    assert isinstance(release, Release)
    assert release.receipt.cells == (10, 3)


def _broken(error: type[Exception]) -> Callable[[], pa.Table]:
    def read() -> pa.Table:
        raise error(f"{SECRET} is no number")

    return read


@pytest.mark.parametrize("error", [InvalidTable, ValueError, MemoryError, pa.ArrowInvalid, OSError])
def test_what_is_wrong_with_the_table_is_told_to_the_operator_alone(
    silo: Silo, error: type[Exception]
) -> None:
    refusal = silo.answer(read=_broken(error))
    assert isinstance(refusal, Refusal)
    assert SECRET not in refusal.model_dump_json()
    assert any(SECRET in line for line in silo.told)


def test_values_that_were_never_declared_are_counted_as_other_and_told_to_the_operator(
    silo: Silo,
) -> None:
    silo.table = pa.table({"age": [1, 2, None, 400], "sex": ["f", SECRET, "m", None]})
    data = silo.gateway().answer(plan=encode_plan(_plan()), request=_request(_plan()))
    assert isinstance(decode_release(data), Release)
    assert SECRET.encode() not in data
    assert any("sex" in line for line in silo.told)


def test_a_crash_between_charge_and_store_is_answered_under_the_same_charge(silo: Silo) -> None:
    class Crash(BaseException):
        pass

    def crash() -> pa.Table:
        raise Crash

    with pytest.raises(Crash):
        silo.answer(read=crash)
    spent = silo.ledger.spent(PROJECT)
    assert spent > 0
    release = silo.answer()
    assert isinstance(release, Release)
    assert silo.ledger.spent(PROJECT) == spent


def test_an_unknown_field_of_a_request_is_refused(silo: Silo) -> None:
    data = json.loads(_request(_plan())) | {"expression": "__import__('os')"}
    refusal = silo.answer(request=json.dumps(data).encode())
    assert isinstance(refusal, Refusal)
    assert decode_request(_request(_plan())).silo == "north"
