"""A gateway whose calls are counted and logged, and its page of metrics, health and budgets.

Kinds, codes, seconds and bytes, and no value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket

from silosynth.client.desk import budget
from silosynth.client.ledger import Ledger
from silosynth.client.rpc import (
    SpeaksForSilo,
    bind_socket,
    remove_socket,
)
from silosynth.client.serving.run_as import group_id
from silosynth.client.silo import Silo
from silosynth.common.audit import Scope
from silosynth.common.errors import ApprovalPending, SilosynthError
from silosynth.common.messages import (
    AGREE,
    DELIVER,
    IDENTIFY,
    MEASURE,
    PROPOSE,
    Answer,
    Refusal,
    Verdict,
    decode_release,
    decode_statement,
    is_answer,
)
from silosynth.common.telemetry import (
    Role,
    Telemetry,
    TelemetryServer,
    log,
)
from silosynth.common.trust import body_of

_LARGEST_REFUSAL = 65_536
_MOST_REMEMBERED = 1_000
_NO_REFUSALS = frozenset({"ok", Answer.APPROVED.value, ApprovalPending.code})


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedGateway:
    """Pass calls on to ``gateway``.

    A plan that waits for a person is proposed again and again, which is no refusal and is logged
    once; ``_waiting`` are the digests of those that were.
    """

    gateway: SpeaksForSilo
    telemetry: Telemetry
    _waiting: set[str] = field(default_factory=set, init=False)

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
        if outcome not in _NO_REFUSALS:
            self.telemetry.refused(outcome)
        if kind == PROPOSE and not self._is_news(answer):
            return answer
        log(
            "answered",
            kind=kind,
            outcome=outcome,
            seconds=round(seconds, 3),
            received_bytes=size,
            sent_bytes=len(answer),
        )
        return answer

    def _is_news(self, answer: bytes) -> bool:
        """Tell whether a verdict is other than that a plan waits, which is said once a plan."""
        verdict = _verdict(answer)
        if verdict is None or verdict.code != ApprovalPending.code:
            if verdict is not None:
                self._waiting.discard(verdict.plan_digest)
            return True
        if verdict.plan_digest in self._waiting:
            return False
        if len(self._waiting) >= _MOST_REMEMBERED:
            self._waiting.clear()
        self._waiting.add(verdict.plan_digest)
        return True


def _verdict(answer: bytes) -> Verdict | None:
    """Return a verdict; None where the answer is something else."""
    try:
        return decode_statement(body_of(answer), Verdict)
    except SilosynthError:
        return None


def _outcome(kind: str, answer: bytes) -> str:
    """Return the code of a refusal or of a verdict that is none, or ``ok``."""
    if len(answer) > _LARGEST_REFUSAL:
        return "ok"
    if kind == PROPOSE:
        verdict = _verdict(answer)
        return "ok" if verdict is None else verdict.code or verdict.answer.value
    try:
        if kind in (MEASURE, IDENTIFY, AGREE) and is_answer(answer):
            found = decode_release(answer)
            return found.code if isinstance(found, Refusal) else "ok"
    except SilosynthError:
        pass
    return "ok"


@contextmanager
def open_metrics(silo: Silo) -> Iterator[Telemetry]:
    """Serve metrics and health on loopback where the policy names a port."""
    telemetry = Telemetry(role=Role.GATEWAY)
    metrics = silo.policy.metrics
    if metrics.port is None and metrics.socket is None:
        yield telemetry
        return

    def healthy() -> bool:
        with suppress(SilosynthError):
            return bool(silo.ledger.head)
        return False

    def show() -> None:
        _show_budgets(silo.ledger, scopes, telemetry)
        with suppress(SilosynthError):
            telemetry.waits(silo.policy.silo.name, plans=silo.ledger.waits())

    scopes = tuple(silo.policy.scope_caps())
    place: int | socket = metrics.port or 0
    if metrics.socket is not None:
        path, group = Path(metrics.socket), group_id(silo.policy.relay.group)
        place = bind_socket(path, group=group)
    with TelemetryServer(
        telemetry,
        port=place,
        healthy=healthy,
        before_metrics=show,
    ) as server:
        log("metrics", at=metrics.socket or str(server.port))
        yield telemetry
    if metrics.socket is not None:
        remove_socket(Path(metrics.socket))


def _show_budgets(ledger: Ledger, scopes: Sequence[Scope], telemetry: Telemetry) -> None:
    """State each scope's budget; nothing when the ledger cannot be read."""
    with suppress(SilosynthError):
        for scope in scopes:
            figures = budget(ledger, scope)
            telemetry.budget(scope=scope.kind.value, name=scope.name, **figures)
