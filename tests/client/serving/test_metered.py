"""A plan that waits is no refusal and is said once; refusals are counted and logged each time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO

import pytest

from silosynth.client.serving.metered import CountedGateway
from silosynth.common.errors import ApprovalPending, PlanRefused
from silosynth.common.messages import Answer, Verdict, encode_statement
from silosynth.common.telemetry.telemetry import Role, Telemetry, start_logging
from silosynth.common.trust import SigningKey

KEY = SigningKey.generate()


class Judge:
    """Answers every proposal by what is next in ``verdicts``."""

    def __init__(self, *verdicts: tuple[str, Answer, str | None]) -> None:
        self.verdicts = list(verdicts)

    def propose(self, *, plan: bytes, receipts: object) -> bytes:
        digest, answer, code = self.verdicts.pop(0)
        verdict = Verdict(silo="north", plan_digest=digest, answer=answer, code=code)
        return encode_statement(verdict, key=KEY)


@pytest.fixture
def lines() -> Iterator[StringIO]:
    stream = StringIO()
    start_logging(as_json=True, stream=stream)
    yield stream
    start_logging(as_json=False)


def _digest(i: int) -> str:
    return f"sha256:{i:064x}"


def _propose(*verdicts: tuple[str, Answer, str | None]) -> bytes:
    telemetry = Telemetry(role=Role.GATEWAY)
    gateway = CountedGateway(gateway=Judge(*verdicts), telemetry=telemetry)  # type: ignore[arg-type]  # proposals alone
    for _ in verdicts:
        gateway.propose(plan=b"plan")
    return telemetry.text()


def _outcomes(lines: StringIO) -> list[str]:
    return [json.loads(line)["outcome"] for line in lines.getvalue().splitlines()]


PENDING = (Answer.PENDING, ApprovalPending.code)
REFUSED = (Answer.REFUSED, PlanRefused.code)


def test_a_plan_that_waits_is_logged_once_and_never_counted_as_a_refusal(lines: StringIO) -> None:
    text = _propose(*[(_digest(1), *PENDING)] * 50, (_digest(1), Answer.APPROVED, None))
    assert _outcomes(lines) == ["approval-pending", "approved"]
    assert b"silosynth_refusals_total{" not in text
    assert b'silosynth_requests_total{kind="propose",role="gateway"} 51.0' in text


def test_each_plan_that_waits_is_logged_and_so_is_one_that_waits_anew(lines: StringIO) -> None:
    one, two = (_digest(1), *PENDING), (_digest(2), *PENDING)
    _propose(one, two, one, two, (_digest(1), Answer.APPROVED, None), one, one)
    assert _outcomes(lines) == [
        "approval-pending",
        "approval-pending",
        "approved",
        "approval-pending",
    ]


def test_a_refusal_is_counted_and_logged_each_time(lines: StringIO) -> None:
    text = _propose(*[(_digest(1), *REFUSED)] * 3)
    assert _outcomes(lines) == ["plan-refused"] * 3
    assert b'silosynth_refusals_total{code="plan-refused",role="gateway"} 3.0' in text


def test_what_is_remembered_of_waiting_plans_is_bounded(lines: StringIO) -> None:
    telemetry = Telemetry(role=Role.GATEWAY)
    verdicts = [(_digest(i), *PENDING) for i in range(2_500)]
    gateway = CountedGateway(gateway=Judge(*verdicts), telemetry=telemetry)  # type: ignore[arg-type]  # proposals alone
    for _ in verdicts:
        gateway.propose(plan=b"plan")
    assert len(gateway._waiting) <= 1_000
