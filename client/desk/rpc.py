"""The operator's socket: questions to a running gateway, or to the ledger when none runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from silosynth.client.desk.desk import Desk
from silosynth.client.desk.facts import Facts
from silosynth.client.desk.questions import Question, read_answer
from silosynth.client.policy import PolicyFile
from silosynth.client.rpc import Caller
from silosynth.client.rpc import gateway_pb2 as proto
from silosynth.common.errors import ConnectionFailed

SERVICE = "silosynth.gateway.v1.Operator"
_TIMEOUT_SECONDS = 300.0
_LOOK_SECONDS, _ABSENT_SECONDS = 30.0, 2.0
Ask = Callable[[Question], Facts]


def relay_socket(policy: PolicyFile) -> Path:
    """Return where relays reach the gateway."""
    return Path(policy.relay.socket or Path(policy.silo.directory) / "gateway.sock")


def operator_socket(policy: PolicyFile) -> Path:
    """Return where the operator reaches the gateway."""
    return Path(policy.relay.operator_socket or Path(policy.silo.directory) / "operator.sock")


@contextmanager
def open_desk(policy: PolicyFile) -> Iterator[Ask]:
    """Yield a way to ask: the running gateway, or the ledger itself when none runs.

    Raises ConnectionFailed when a gateway runs that does not let this user in, and what
    :meth:`silosynth.client.ledger.ledger.Ledger.open` raises.
    """
    path = operator_socket(policy)
    if somebody_listens(path):
        caller = Caller(path, service=SERVICE, timeout_seconds=_TIMEOUT_SECONDS)
        try:
            yield lambda question: _ask(caller, question)
        finally:
            caller.close()
        return
    # Only here, because a question to a running gateway needs neither.
    from silosynth.client.ledger import Ledger
    from silosynth.client.silo import fits_of, ledger_path, load_identity

    key = load_identity(policy)
    with Ledger.open(
        ledger_path(policy), caps=policy.scope_caps(), mirror=policy.mirror()
    ) as ledger:
        desk = Desk(policy=policy, key=key, ledger=ledger, fits=fits_of(policy))
        yield partial(desk.ask, user=os.geteuid())


@contextmanager
def open_gateway_desk(policy: PolicyFile) -> Iterator[Ask]:
    """Yield a way to ask the running gateway, and never the ledger: whoever only looks holds none.

    Raises ConnectionFailed when no gateway runs, or when it does not let this user in.
    """
    path = operator_socket(policy)
    if not somebody_listens(path):
        raise ConnectionFailed(
            "the gateway of this silo does not run", hint="start it; this page waits for it"
        )
    caller = Caller(
        path,
        service=SERVICE,
        timeout_seconds=_LOOK_SECONDS,
        restart_seconds=_ABSENT_SECONDS,
    )
    try:
        yield lambda question: _ask(caller, question)
    finally:
        caller.close()


def _ask(caller: Caller, question: Question) -> Facts:
    """Send a question to a gateway."""
    request = proto.AskRequest(question=question.model_dump_json().encode())
    return read_answer(caller.call("Ask", request, proto.AskReply).answer)


def somebody_listens(path: Path) -> bool:
    """Say whether a gateway is at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as err:
            raise ConnectionFailed(
                f"cannot reach the gateway at {path}: {err.strerror}",
                hint="run this as the gateway's own user",
            ) from None
    return True
