"""Coordinators and relays with shorter limits, and relays that reach their SuperNodes by a proxy.

Both read the environment: CALL_SECONDS is how long a call into Flower may take, NODE_PROXY the port
of the proxy.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient

from silosynth.client.relay import process, relay
from silosynth.server.federation.superlink_calls import Pace, Patience

CALL_SECONDS = "SILOSYNTH_TEST_CALL_SECONDS"
NODE_PROXY = "SILOSYNTH_TEST_NODE_PROXY"


def pace(usual: Pace, *, environment: Mapping[str, str] = os.environ) -> Pace:
    """Return a coordinator's pace: the product's times of sending again where calls are limited."""
    seconds = environment.get(CALL_SECONDS)
    if seconds is None:
        return usual
    real = Pace()
    return replace(
        usual,
        resend_seconds=real.resend_seconds,
        resend_most_seconds=real.resend_most_seconds,
        patience=Patience(call_seconds=float(seconds)),
    )


def run_relay(arguments: Sequence[str]) -> None:
    """Run the product's relay."""
    relay._PASS_SECONDS = float(os.environ.get(CALL_SECONDS, relay._PASS_SECONDS))
    if proxy := os.environ.get(NODE_PROXY):
        relay._client = _by_proxy(relay._client, proxy)
    if code := process.main(list(arguments[1:])):
        raise SystemExit(code)


def _by_proxy(direct: Any, proxy: str) -> Any:
    """Return the relay's client of a SuperNode, led over a proxy."""

    def client(port: int, interceptor: Any) -> RuntimeHttpClient:
        made: RuntimeHttpClient = direct(port, interceptor)
        made._base_url = f"http://127.0.0.1:{proxy}/{port}"
        made._interceptors = (_Door(port), *made._interceptors)
        return made

    return client


class _Door:
    """Refuses a call to a port that nobody listens on, as the kernel does without a proxy."""

    def __init__(self, port: int) -> None:
        self._port = port

    def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
        """Pass a call on where somebody listens."""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self._port)):
                raise httpx.ConnectError("refused")
        return call_next(context)
