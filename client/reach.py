"""The relay's side of the gateway's socket: sealed bytes in and out, nothing understood."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import grpc

from silosynth.client.gateway_pb2 import (
    AgreeReply,
    AgreeRequest,
    DeliverReply,
    DeliverRequest,
    IdentifyReply,
    IdentifyRequest,
    MeasureReply,
    MeasureRequest,
    ProposeReply,
    ProposeRequest,
)
from silosynth.common.errors import ConnectionFailed

MAX_MESSAGE_BYTES = 256 * 2**20
_SERVICE = "/silosynth.gateway.v1.Gateway"
_RETRY_SECONDS = 0.25
_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
Reply = TypeVar("Reply")


class ReachesGateway(Protocol):
    """What a relay passes on; every argument and answer is opaque to it."""

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's signed identity."""
        ...

    def propose(self, *, plan: bytes, receipts: Sequence[bytes]) -> bytes:
        """Return the silo's signed verdict."""
        ...

    def measure(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release or a refusal."""
        ...

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's signed keys of a sum, or its signed vote."""
        ...

    def deliver(self, bundle: bytes) -> bytes:
        """Return the silo's signed acknowledgement."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a relay waits for its gateway: to come back, and to answer."""

    restart_seconds: float = 60.0
    answer_seconds: float = 3600.0


class GatewaySocket:
    """Own a channel to the gateway behind a Unix socket; calls wait while it restarts."""

    def __init__(self, socket: Path, *, patience: Patience | None = None) -> None:
        """Take the path of the socket; nothing is connected before the first call."""
        self._socket = socket
        self._patience = patience or Patience()
        self._channel = grpc.insecure_channel(
            f"unix:{socket.absolute()}",
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 1000),
                ("grpc.use_local_subchannel_pool", 1),
            ),
        )

    def __enter__(self) -> Self:
        """Return the socket."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the channel."""
        self._channel.close()

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's signed identity."""
        request = IdentifyRequest(challenge=challenge)
        return bytes(self._call("Identify", request, IdentifyReply.FromString).identity)

    def propose(self, *, plan: bytes, receipts: Sequence[bytes]) -> bytes:
        """Return the silo's signed verdict."""
        request = ProposeRequest(plan=plan, receipts=receipts)
        return bytes(self._call("Propose", request, ProposeReply.FromString).verdict)

    def measure(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release or a refusal; asking again is free and gets the same bytes."""
        asked = MeasureRequest(plan=plan, request=request)
        return bytes(self._call("Measure", asked, MeasureReply.FromString).release)

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's signed keys of a sum, its signed vote, or a refusal."""
        asked = AgreeRequest(plan=plan, step=step)
        return bytes(self._call("Agree", asked, AgreeReply.FromString).statement)

    def deliver(self, bundle: bytes) -> bytes:
        """Return the silo's signed acknowledgement."""
        request = DeliverRequest(bundle=bundle)
        return bytes(self._call("Deliver", request, DeliverReply.FromString).acknowledgement)

    def _call(self, method: str, request: Any, parse: Callable[[bytes], Reply]) -> Reply:
        """Call the gateway; while it restarts, try again. Raises ConnectionFailed in the end."""
        call = self._channel.unary_unary(
            f"{_SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=parse,
        )
        give_up = time.monotonic() + self._patience.restart_seconds
        while True:
            try:
                reply: Reply = call(request, timeout=self._patience.answer_seconds)
                return reply
            except grpc.RpcError as err:
                if err.code() not in _AGAIN or time.monotonic() > give_up:
                    raise ConnectionFailed(
                        f"the gateway did not answer {method.lower()}: {err.code().name.lower()}",
                        hint=f"is 'silosynth silo serve' running at {self._socket}?",
                    ) from None
            time.sleep(_RETRY_SECONDS)
