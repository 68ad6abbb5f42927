"""The gateway's doors: the relay's and the operator's sockets, and who is let in at which."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from socket import socket

from silosynth.client.desk import SERVICE as OPERATOR_SERVICE
from silosynth.client.desk import Desk, Notes, operator_socket, relay_socket
from silosynth.client.policy import PolicyFile
from silosynth.client.rpc import (
    DoorRules,
    FrontDoor,
    Method,
    RpcServer,
    Service,
    TurnedAway,
    bind_socket,
    gateway_service,
    given_socket,
    remove_socket,
)
from silosynth.client.rpc import gateway_pb2 as proto
from silosynth.client.serving.metered import CountedGateway
from silosynth.client.serving.run_as import ROOT, gateway_user, group_id, user_ids
from silosynth.client.silo import Fits, Silo
from silosynth.common.errors import InvalidArgument
from silosynth.common.telemetry import (
    Telemetry,
    log,
)

GRACE_SECONDS = 300.0
_OPERATOR_MESSAGE_BYTES = 256_000_000
_OPERATOR_THREADS = 4


@contextmanager
def relay_listener(policy: PolicyFile) -> Iterator[socket]:
    """Listen for the relay; take the socket's file away in the end."""
    with _listen(policy) as listener:
        try:
            yield listener
        finally:
            remove_socket(relay_socket(policy))


def _listen(policy: PolicyFile) -> socket:
    """Return the relay's socket: systemd's, or one bound here and given to the relay's user."""
    as_root = os.geteuid() == ROOT
    if as_root:
        gateway_user(policy)
    given = given_socket(os.environ)
    if given is not None:
        return given
    owner = None
    if as_root:
        relays = sorted(user_ids(policy.relay.users))
        if len(relays) > 1:
            raise InvalidArgument(
                "a socket of mode 0600 has one owner, and the policy names several relay users",
                hint="name one, or let systemd make the socket",
            )
        owner = relays[0] if relays else min(user_ids([gateway_user(policy)]))
    return bind_socket(relay_socket(policy), owner=owner, group=group_id(policy.relay.group))


@contextmanager
def open_doors(
    silo: Silo,
    *,
    relay: socket,
    relays: frozenset[int],
    notes: Notes,
    fits: Fits,
    metrics: Telemetry,
) -> Iterator[None]:
    """Open the relay's door and the operator's; close them when the requests at hand are done."""
    ours = frozenset({os.geteuid(), ROOT})
    inner = _private_folder(Path(silo.policy.silo.directory) / "inner")
    counted = CountedGateway(gateway=silo.gateway, telemetry=metrics)
    desk = Desk(policy=silo.policy, key=silo.key, ledger=silo.ledger, notes=notes, fits=fits)
    public = operator_socket(silo.policy)
    with (
        _door(
            {inner / "g": gateway_service(counted)},
            listener=relay,
            inner=dict.fromkeys(relays | ours, inner / "g"),
            message_bytes=silo.policy.caps.message_mb * 1_000_000,
        ),
        _door(
            {inner / f"o{user}": _operator_service(desk, user=user) for user in ours},
            listener=bind_socket(public),
            inner={user: inner / f"o{user}" for user in ours},
            message_bytes=_OPERATOR_MESSAGE_BYTES,
            threads=_OPERATOR_THREADS,
        ),
    ):
        yield
    remove_socket(public)


@contextmanager
def _door(
    services: Mapping[Path, Service],
    *,
    listener: socket,
    inner: Mapping[int, Path],
    message_bytes: int,
    threads: int = 16,
) -> Iterator[None]:
    """Answer services behind a front door, and let the calls at hand finish at the end.

    Args: inner: at which of the services' sockets each user who is let in arrives.
    """
    name = next(iter(services.values())).name.rpartition(".")[2].lower()

    def failed(method: str, error: BaseException) -> None:
        log("failed", level=logging.ERROR, method=method, exception=type(error).__name__)

    def turned_away(why: TurnedAway, user: int) -> None:
        log("turned-away", level=logging.WARNING, door=name, why=why.value, user=user)

    servers = [
        RpcServer(service, socket=at, message_bytes=message_bytes, threads=threads, failed=failed)
        for at, service in services.items()
    ]
    rules = DoorRules(users=frozenset(inner))
    door = FrontDoor(listener, inner=inner.__getitem__, rules=rules, turned_away=turned_away)
    try:
        yield
    finally:
        door.close_to_new()
        for stopped in [server.stop(grace_seconds=GRACE_SECONDS) for server in servers]:
            stopped.wait()
        door.close()


def _operator_service(desk: Desk, *, user: int) -> Service:
    """Return the service through which one user reaches the desk.

    gRPC does not tell who speaks: the front door knows, and leads each user to a socket apart.
    """
    ask = Method(
        request=proto.AskRequest,
        respond=lambda m: proto.AskReply(answer=desk.answer(m.question, user=user)),
    )
    return Service(name=OPERATOR_SERVICE, methods={"Ask": ask})


def _private_folder(path: Path) -> Path:
    """Return a folder that this user alone can enter, without sockets of a gateway before."""
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    for left_over in path.iterdir():
        remove_socket(left_over)
    return path
