"""A gateway whose calls are counted and logged: kinds, codes, seconds and bytes, and no value."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from silosynth.client.rpc.calls import SpeaksForSilo
from silosynth.common.errors import SilosynthError
from silosynth.common.messages.release import (
    AGREE,
    DELIVER,
    IDENTIFY,
    MEASURE,
    PROPOSE,
    Refusal,
    decode_release,
    is_answer,
)
from silosynth.common.messages.statements import Answer, Verdict, decode_statement
from silosynth.common.telemetry import Telemetry, log
from silosynth.common.trust.seal import body_of

_LARGEST_REFUSAL = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedGateway:
    """Pass calls on to ``gateway``."""

    gateway: SpeaksForSilo
    telemetry: Telemetry

    def identify(self, challenge: bytes) -> bytes:
        """Pass on a challenge."""
        return self._count(IDENTIFY, len(challenge), lambda: self.gateway.identify(challenge))

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        """Pass on a plan."""
        size = len(plan) + sum(map(len, receipts))
        return self._count(
            PROPOSE, size, lambda: self.gateway.propose(plan=plan, receipts=receipts)
        )

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Pass on a request."""
        size = len(plan) + len(request)
        return self._count(MEASURE, size, lambda: self.gateway.answer(plan=plan, request=request))

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Pass on a step towards a sum."""
        size = len(plan) + len(step)
        return self._count(AGREE, size, lambda: self.gateway.agree(plan=plan, step=step))

    def deliver(self, bundle: bytes) -> bytes:
        """Pass on a result."""
        return self._count(DELIVER, len(bundle), lambda: self.gateway.deliver(bundle))

    def _count(self, kind: str, size: int, call: Callable[[], bytes]) -> bytes:
        """Make a call; count and log it."""
        start = time.monotonic()
        answer = call()
        seconds = time.monotonic() - start
        self.telemetry.answered(kind, seconds=seconds, received_bytes=size, sent_bytes=len(answer))
        outcome = _outcome(kind, answer)
        if outcome not in ("ok", Answer.APPROVED.value):
            self.telemetry.refused(outcome)
        log(
            "answered",
            kind=kind,
            outcome=outcome,
            seconds=round(seconds, 3),
            received_bytes=size,
            sent_bytes=len(answer),
        )
        return answer


def _outcome(kind: str, answer: bytes) -> str:
    """Return the code of a refusal or of a verdict that is none, or ``ok``."""
    if len(answer) > _LARGEST_REFUSAL:
        return "ok"
    try:
        if kind == PROPOSE:
            verdict = decode_statement(body_of(answer), Verdict)
            return verdict.code or verdict.answer.value
        if kind in (MEASURE, IDENTIFY, AGREE) and is_answer(answer):
            found = decode_release(answer)
            return found.code if isinstance(found, Refusal) else "ok"
    except SilosynthError:
        pass
    return "ok"
