"""25,000 messages that are almost valid go through the real gateway, and 5,000 at every turn.

Half are altered after they were signed, as a network or a relay could. Half are altered first and
then signed by the trusted coordinator, as a hostile one would. No answer may be anything but a
release, a refusal, a verdict or an acknowledgement that the silo signed; none may hold a value of
the table, a path or a foreign error; none may take long; and the budgets hold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from silosynth.common.messages import Answer, Bundle, Release
from silosynth.common.plan import encode_plan
from silosynth.common.trust import Purpose, body_of
from silosynth.common.trust.seal import seal
from tests.faults.hostile_campaign import Target, campaign, open_target

MESSAGES = (5_000, 25_000)
WORKERS = 2


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with open_target() as target:
        yield target


@pytest.mark.parametrize("messages", MESSAGES)
def test_mutated_messages_neither_crash_nor_hang_nor_leak(messages: int) -> None:
    tally: Counter[str] = Counter()
    if messages == max(MESSAGES):
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
            for part in pool.map(campaign, range(WORKERS), [messages // WORKERS] * WORKERS):
                tally.update(part)
    else:
        tally.update(campaign(WORKERS, messages))
    assert tally.total() == messages
    assert tally["answer request-conflict"] > messages // 10_000, "few came as far as the ledger"
    assert tally["propose pending approval-pending"] > messages // 10_000
    assert len(tally) > 12, f"the mutants are all alike: {tally}"


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=400), signed=st.sampled_from((None, *Purpose)))
def test_any_bytes_at_all_are_answered(target: Target, data: bytes, signed: Purpose | None) -> None:
    sent = data if signed is None else seal(data, purpose=signed, key=target.federation.hub)
    target.propose(sent, sent)
    target.propose(target.plan, sent)
    target.answer(sent, sent)
    target.answer(target.plan, sent)
    target.deliver(sent)
    target.deliver(Bundle(statement=sent, sampler=data).encode())
    target.send("identify", lambda: target.silo.gateway.identify(data[:31]))


def test_the_valid_messages_that_the_mutants_come_from_are_answered(target: Target) -> None:
    f, gateway = target.federation, target.silo.gateway
    propose = gateway.propose(plan=target.plan, receipts=(target.receipt,))
    assert f.verdict(propose).answer is Answer.APPROVED
    for request in target.requests:
        assert isinstance(f.read(gateway.answer(plan=target.plan, request=request)), Release)
    assert encode_plan(f.plan(method="mst")) == body_of(target.plan)
