"""The gateway's side of its socket: gRPC messages to calls of a gateway, and nothing more.

The socket that this file binds lies in a directory of the gateway alone; whoever comes from
outside has passed the front door (:mod:`silosynth.client.rpc.front_door`), which asks the operating
system who it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2

from silosynth.client.rpc import gateway_pb2 as proto
from silosynth.client.rpc.caller import SERVICE, message_options, socket_address
from silosynth.client.rpc.calls import SpeaksForSilo
from silosynth.common.errors import InvalidArgument

_HEALTH_SERVICE = "grpc.health.v1.Health"
_MOST_CALLS_WAITING = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of a service: what it takes, and the call that answers it."""

    request: type[Message]
    respond: Callable[[Any], Message]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service's full name and its methods."""

    name: str
    methods: Mapping[str, Method]


def gateway_service(gateway: SpeaksForSilo) -> Service:
    """Return the service through which a relay reaches ``gateway``."""
    return Service(
        name=SERVICE,
        methods={
            "Identify": Method(
                request=proto.IdentifyRequest,
                respond=lambda m: proto.IdentifyReply(identity=gateway.identify(m.challenge)),
            ),
            "Propose": Method(
                request=proto.ProposeRequest,
                respond=lambda m: proto.ProposeReply(
                    verdict=gateway.propose(plan=m.plan, receipts=tuple(m.receipts))
                ),
            ),
            "Measure": Method(
                request=proto.MeasureRequest,
                respond=lambda m: proto.MeasureReply(
                    release=gateway.answer(plan=m.plan, request=m.request)
                ),
            ),
            "Agree": Method(
                request=proto.AgreeRequest,
                respond=lambda m: proto.AgreeReply(
                    statement=gateway.agree(plan=m.plan, step=m.step)
                ),
            ),
            "Deliver": Method(
                request=proto.DeliverRequest,
                respond=lambda m: proto.DeliverReply(acknowledgement=gateway.deliver(m.bundle)),
            ),
        },
    )


class RpcServer:
    """Own a Unix-domain socket, and answer a service and its health on it.

    Guarantees: a failure of a method is told as INTERNAL without its text, which may speak of the
    data. A message above the limit is refused before it is parsed. At most ``threads`` calls are
    answered at once, and a bounded number waits.
    """

    def __init__(
        self,
        service: Service,
        *,
        socket: Path,
        message_bytes: int,
        threads: int = 16,
        failed: Callable[[str, BaseException], None] = lambda _method, _error: None,
    ) -> None:
        """Bind the socket and start to answer.

        Args: failed: is told of the method and error of each failure.
        Raises InvalidArgument when the socket cannot be bound.
        """
        self._health = health.HealthServicer(experimental_non_blocking=False)
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=threads, thread_name_prefix="gateway"),
            handlers=[_handler(service, failed), _health_handler(self._health)],
            options=message_options(message_bytes),
            maximum_concurrent_rpcs=threads + _MOST_CALLS_WAITING,
        )
        try:
            bound = self._server.add_insecure_port(socket_address(socket))
        except RuntimeError:
            bound = 0
        if not bound:
            raise InvalidArgument(f"the socket {socket} cannot be bound")
        self._server.start()
        for name in ("", service.name):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, *, grace_seconds: float) -> threading.Event:
        """Take no new calls and let those at hand finish; the event says when all have ended."""
        self._health.enter_graceful_shutdown()
        stopped: threading.Event = self._server.stop(grace_seconds)
        return stopped


def _handler(service: Service, failed: Callable[[str, BaseException], None]) -> Any:
    """Return gRPC's handler of a service."""
    return grpc.method_handlers_generic_handler(
        service.name,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _guarded(name, method, failed),
                response_serializer=lambda reply: reply.SerializeToString(),
            )
            for name, method in service.methods.items()
        },
    )


def _guarded(
    name: str, method: Method, failed: Callable[[str, BaseException], None]
) -> Callable[[bytes, grpc.ServicerContext], Message]:
    """Return a behaviour whose failures tell the caller nothing.

    The bytes are parsed in here, because gRPC would log what cannot be parsed.
    """

    def behave(data: bytes, context: grpc.ServicerContext) -> Message:
        if not context.is_active():
            context.abort(grpc.StatusCode.CANCELLED, "the caller has gone")
        try:
            message = method.request.FromString(data)
        except Exception:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the message cannot be read")
        try:
            return method.respond(message)
        except Exception as err:
            failed(name, err)
        context.abort(grpc.StatusCode.INTERNAL, "the gateway failed; its operator's log says more")
        raise AssertionError("unreachable: abort raises")

    return behave


def _health_handler(servicer: health.HealthServicer) -> Any:
    """Return gRPC's handler of the health service, without its endless stream."""
    return grpc.method_handlers_generic_handler(
        _HEALTH_SERVICE,
        {
            "Check": grpc.unary_unary_rpc_method_handler(
                servicer.Check,
                request_deserializer=health_pb2.HealthCheckRequest.FromString,
                response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
            )
        },
    )
