"""Coordinators, relays and SuperNodes with less patience, and relays that reach theirs by a proxy.

The first two read the environment: CALL_SECONDS is how long a call into Flower may take,
NODE_PROXY the port of the proxy.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode import start_client_internal

from silosynth.client.relay import process, relay
from silosynth.common.reach import past_proxies
from silosynth.server.federation.superlink_calls import Pace, Patience

CALL_SECONDS = "SILOSYNTH_TEST_CALL_SECONDS"
NODE_PROXY = "SILOSYNTH_TEST_NODE_PROXY"
_LOOK_SECONDS = 0.5


class _Hurried:
    """Time as a SuperNode sees it, which sleeps less between two looks for messages."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _LOOK_SECONDS))


def hurry_nodes() -> None:
    """Let SuperNodes that are forked from here look for messages twice a second, not once in three.

    A run waits for little else; and whoever waits looks, too.
    """
    start_client_internal.time = _Hurried()  # type: ignore[attr-defined]  # of its own import


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
    """Run the product's relay, as its command does."""
    os.environ.update(past_proxies(os.environ))
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
