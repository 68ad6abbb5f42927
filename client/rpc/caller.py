"""The gateway's socket as the relay sees it: gRPC over a Unix-domain socket.

Nothing here can read data, a ledger or a key, and a relay imports nothing of a gateway but this.
Every call may be made again: the same request gets the same bytes, without a new charge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from silosynth.client.rpc import gateway_pb2 as proto
from silosynth.common.errors import (
    CapExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidArgument,
    SilosynthError,
)

SERVICE = "silosynth.gateway.v1.Gateway"
MESSAGE_BYTES = 1_024_000_000
"""The largest message that a policy can allow; which one it allows is the gateway's to say."""

TIMEOUT_SECONDS = 3600.0
RESTART_SECONDS = 60.0
FRAME_BYTES = 65_536
"""What field tags and lengths may add to a message on its way."""

_HEALTH_SECONDS = 2.0
_SERVING = b"\x08\x01"
_LONGEST_PATH = 107
_SERVED_SECONDS = 1.5
"""An attempt that took longer had reached a gateway, which has gone away since."""

_AWAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0
_Reply = TypeVar("_Reply", bound=Message)


def socket_address(path: Path) -> str:
    """Return gRPC's name of a socket; raise InvalidArgument when no socket can have that path."""
    text = str(path.absolute())
    if len(text.encode()) > _LONGEST_PATH:
        raise InvalidArgument(
            f"the socket path {text} is longer than {_LONGEST_PATH} bytes",
            hint="choose a shorter directory",
        )
    return f"unix:{text}"


def message_options(message_bytes: int) -> list[tuple[str, int]]:
    """Return the channel options that let messages of so many bytes through and no larger ones."""
    limit = message_bytes + FRAME_BYTES
    return [
        ("grpc.max_receive_message_length", limit),
        ("grpc.max_send_message_length", limit),
        ("grpc.enable_http_proxy", 0),
    ]


class Caller:
    """Own a channel to a socket, and call methods of a service behind it.

    A call that finds nobody there is made again: a gateway that restarts is back within seconds,
    and answers from its ledger. How long nobody may be there, ``restart_seconds``, is less than
    how long an answer may take with all its attempts, ``timeout_seconds``: counting takes minutes,
    and whoever waits for a gateway that is not running wants to be told.
    """

    def __init__(
        self,
        socket: Path,
        *,
        service: str = SERVICE,
        timeout_seconds: float = TIMEOUT_SECONDS,
        restart_seconds: float = RESTART_SECONDS,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        """Prepare a channel; nothing is connected before the first call."""
        self._socket = socket
        self._service = service
        self._timeout_seconds = timeout_seconds
        self._restart_seconds = restart_seconds
        options: list[tuple[str, Any]] = [
            *message_options(message_bytes),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.default_authority", "localhost"),
        ]
        self._channel = grpc.insecure_channel(socket_address(socket), options=options)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def call(self, method: str, request: Message, reply: type[_Reply]) -> _Reply:
        """Call a method and return its reply.

        Raises DeadlineExceeded when the gateway took too long, ConnectionFailed when nobody who
        lets us in was there all the time, CapExceeded when a message is too large.
        """
        stub: Callable[..., _Reply] = self._channel.unary_unary(
            f"/{self._service}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=reply.FromString,
        )
        return self._patiently(method, lambda seconds: stub(request, timeout=seconds))

    def _patiently(self, method: str, call: Callable[[float], _Reply]) -> _Reply:
        """Make a call, and again while nobody is there, until one of the two times is up."""
        begun = absent_since = time.monotonic()
        end = begun + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(max(end - begun, 0.001))
            except grpc.RpcError as err:
                failed = time.monotonic()
                if failed - begun > _SERVED_SECONDS:
                    absent_since, pause = failed, _FIRST_PAUSE_SECONDS
                give_up = min(end, absent_since + self._restart_seconds)
                if not _passes(err) or failed + pause >= give_up:
                    raise self._error(method, err.code()) from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            begun = time.monotonic()

    def _error(self, method: str, code: grpc.StatusCode) -> SilosynthError:
        """Return our error for a status; the status' text is left out, it is not ours."""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(
                f"the gateway did not answer '{method}' within {self._timeout_seconds:g} s"
            )
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return CapExceeded(f"a message of '{method}' is larger than the gateway allows")
        if code in _AWAY:
            return ConnectionFailed(
                f"no gateway lets this user in at {self._socket}",
                hint="see that it runs, and that its policy names this user under [relay] users",
            )
        return ConnectionFailed(f"the gateway failed at '{method}' ({code.name})")


def _passes(error: grpc.RpcError) -> bool:
    """Say whether a failure passes by waiting: nobody is there, or all threads are taken."""
    return error.code() in _AWAY or "Concurrent RPC limit" in (error.details() or "")


def is_serving(socket: Path, *, seconds: float = _HEALTH_SECONDS) -> bool:
    """Tell whether a gateway lets us in at ``socket`` and says that it serves.

    It asks gRPC's health service in its own bytes: an empty request, and field 1 of the answer.
    """
    with grpc.insecure_channel(
        socket_address(socket),
        options=[
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.default_authority", "localhost"),
            ("grpc.enable_http_proxy", 0),
        ],
    ) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check")
        try:
            return bool(check(b"", timeout=seconds) == _SERVING)
        except grpc.RpcError:
            return False


class RemoteGateway:
    """A gateway behind a socket: :class:`silosynth.client.rpc.calls.SpeaksForSilo` by gRPC.

    Raises from every method DeadlineExceeded, ConnectionFailed or CapExceeded; see
    :meth:`Caller.call`.
    """

    def __init__(
        self,
        socket: Path,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        restart_seconds: float = RESTART_SECONDS,
    ) -> None:
        """Prepare a channel to the gateway at ``socket``; the times are :class:`Caller`'s."""
        self._caller = Caller(
            socket, timeout_seconds=timeout_seconds, restart_seconds=restart_seconds
        )

    def __enter__(self) -> Self:
        """Return the gateway."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the channel."""
        self.close()

    def close(self) -> None:
        """Close the channel."""
        self._caller.close()

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's identity over a fresh challenge."""
        request = proto.IdentifyRequest(challenge=challenge)
        return self._caller.call("Identify", request, proto.IdentifyReply).identity

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        """Return the silo's verdict on a plan."""
        request = proto.ProposeRequest(plan=plan, receipts=receipts)
        return self._caller.call("Propose", request, proto.ProposeReply).verdict

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release or a refusal."""
        message = proto.MeasureRequest(plan=plan, request=request)
        return self._caller.call("Measure", message, proto.MeasureReply).release

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's keys of a sum, its vote on a set, or a refusal."""
        message = proto.AgreeRequest(plan=plan, step=step)
        return self._caller.call("Agree", message, proto.AgreeReply).statement

    def deliver(self, bundle: bytes) -> bytes:
        """Return the silo's acknowledgement of a run's result."""
        request = proto.DeliverRequest(bundle=bundle)
        return self._caller.call("Deliver", request, proto.DeliverReply).acknowledgement
