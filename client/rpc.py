"""The gateway's socket as the relay sees it: gRPC over a Unix-domain socket.

Nothing here can read data, a ledger or a key, so a relay imports this file alone. Every call may be
made again: a gateway answers the same request with the same bytes and without a new charge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from google.protobuf.message import Message

from silosynth.client import gateway_pb2 as proto
from silosynth.common.errors import (
    CapExceeded,
    ConnectionFailed,
    DeadlineExceeded,
    InvalidArgument,
    SilosynthError,
)

SERVICE = "silosynth.gateway.v1.Gateway"
MESSAGE_BYTES = 64_000_000
FRAME_BYTES = 65_536
"""What field tags and lengths may add to a message on its way."""

_LONGEST_PATH = 107
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

    A call that finds nobody there is made again until ``timeout_seconds`` have passed: a gateway
    that restarts is back within seconds, and answers from its ledger.
    """

    def __init__(
        self,
        socket: Path,
        *,
        service: str = SERVICE,
        timeout_seconds: float = 600.0,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        """Prepare a channel; nothing is connected before the first call."""
        self._socket = socket
        self._service = service
        self._timeout_seconds = timeout_seconds
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
        """Make a call, and again while nobody is there, until the deadline."""
        end = time.monotonic() + self._timeout_seconds
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return call(max(end - time.monotonic(), 0.001))
            except grpc.RpcError as err:
                if not _passes(err) or end - time.monotonic() <= pause:
                    raise self._error(method, err.code()) from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _error(self, method: str, code: grpc.StatusCode) -> SilosynthError:
        """Return our error for a status; the status' text is left out, it is not ours."""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(
                f"the gateway did not answer '{method}' within {self._timeout_seconds:g} s"
            )
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            return CapExceeded(f"a message of '{method}' is larger than the gateway allows")
        if code is grpc.StatusCode.UNAVAILABLE:
            return ConnectionFailed(
                f"no gateway lets this user in at {self._socket}",
                hint="see that it runs, and that its policy names this user under [relay] users",
            )
        return ConnectionFailed(f"the gateway failed at '{method}' ({code.name})")


def _passes(error: grpc.RpcError) -> bool:
    """Say whether a failure passes by waiting: nobody is there, or all threads are taken."""
    busy = "Concurrent RPC limit" in (error.details() or "")
    return error.code() is grpc.StatusCode.UNAVAILABLE or busy


class RemoteGateway:
    """A gateway behind a socket: :class:`silosynth.client.contract.SpeaksForSilo` by gRPC.

    Raises from every method DeadlineExceeded, ConnectionFailed or CapExceeded; see
    :meth:`Caller.call`.
    """

    def __init__(
        self,
        socket: Path,
        *,
        timeout_seconds: float = 600.0,
        message_bytes: int = MESSAGE_BYTES,
    ) -> None:
        """Prepare a channel to the gateway at ``socket``.

        Args: timeout_seconds: for each call, with all its attempts.
        """
        self._caller = Caller(socket, timeout_seconds=timeout_seconds, message_bytes=message_bytes)

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
