"""Calls to a SuperLink: its clients, which errors are worth another try, and how long we wait.

Source: Flower 1.41 and 1.42, Control and Runtime APIs as their protocol buffers define them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from silosynth.common.errors import ConnectionFailed, InvalidArgument
from silosynth.common.flower.wire import (
    ControlHttpClient,
    RunNotRunningException,
    RuntimeHttpClient,
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from silosynth.common.reach import Overdue, certificate_words, clock_hint, clock_words, within
from silosynth.common.telemetry import log
from silosynth.server.federation.settings import Federation

T = TypeVar("T")
_DENIED = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
_PASSING = (
    httpx.codes.REQUEST_TIMEOUT,
    httpx.codes.TOO_EARLY,
    httpx.codes.TOO_MANY_REQUESTS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long one call into Flower is waited for, and calls of one kind that all fail.

    A call that carries data has a second more for every ``bytes_per_second`` of it.
    """

    call_seconds: float = 20.0
    bytes_per_second: int = 250_000
    away_seconds: float = 60.0
    retry_seconds: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often things are tried, in seconds.

    A silo that waits for a person is asked again after ``approval_seconds``, then after twice as
    long each time, up to ``approval_most_seconds``; in the last ``approval_last_seconds`` before
    the deadline after ``approval_seconds`` again, so that no approval comes too late by the wait.
    """

    poll_seconds: float = 0.2
    idle_poll_seconds: float = 2.0
    nodes_seconds: float = 1.0
    challenge_seconds: float = 15.0
    resend_seconds: float = 15.0
    resend_most_seconds: float = 30.0
    failed_seconds: float = 2.0
    approval_seconds: float = 5.0
    approval_most_seconds: float = 300.0
    approval_last_seconds: float = 60.0
    patience: Patience = field(default_factory=Patience)


class SuperLinkLost(ConnectionFailed):
    """The SuperLink ended our run there, or stayed away: begin another run and go on."""


class SuperLinkFault(ConnectionFailed):
    """A call failed in a way that may pass: the same call may be tried again."""


@contextmanager
def open_control(federation: Federation) -> Iterator[ControlHttpClient]:
    """Yield a client of the Control API."""
    client = ControlHttpClient.from_server_address(
        server_address=federation.superlink,
        insecure=False,
        root_certificates=_read_ca(federation),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    )
    try:
        yield client
    finally:
        client.close()


@contextmanager
def open_runtime(
    federation: Federation,
    interceptor: SuperExecAuthHttpInterceptor | RuntimeTokenHttpInterceptor,
) -> Iterator[RuntimeHttpClient]:
    """Yield a client of the Runtime API."""
    version = RuntimeVersionHttpInterceptor(component_name="flwr-serverapp")
    client = RuntimeHttpClient.from_server_address(
        server_address=federation.superlink,
        insecure=False,
        root_certificates=_read_ca(federation),
        interceptors=[version, interceptor],
    )
    try:
        yield client
    finally:
        client.close()


def _read_ca(federation: Federation) -> bytes:
    """Return the CA's certificate."""
    try:
        return federation.ca.read_bytes()
    except OSError as err:
        raise InvalidArgument(f"cannot read the CA {federation.ca}: {err.strerror}") from None


def ask(call: Callable[[], T], *, patience: Patience, what: str, begun: bool = False) -> T:
    """Make one call to the SuperLink, no longer than it may take."""

    def converting() -> T:
        with converted(begun=begun):
            return call()

    return within(patience.call_seconds, converting, what=what)


def insist(step: Callable[[], T], *, patience: Patience, begun: bool = False) -> T:
    """Take a step of several calls; take it again, for a while, where its failure may pass."""
    until = time.monotonic() + patience.away_seconds
    while True:
        try:
            return step()
        except (SuperLinkFault, Overdue) as err:
            log("superlink-fault", why=type(err.__cause__ or err).__name__)
            if time.monotonic() > until:
                kind = SuperLinkLost if begun else ConnectionFailed
                raise kind(err.message, hint=err.hint) from err
        time.sleep(patience.retry_seconds)


@contextmanager
def converted(*, begun: bool = False) -> Iterator[None]:
    """Turn the errors of HTTP and of Flower into ours.

    What may pass becomes SuperLinkFault. The rest is final: SuperLinkLost for a run that has
    ``begun``, because another one can be, and ConnectionFailed otherwise.
    """
    final = SuperLinkLost if begun else ConnectionFailed
    try:
        yield
    except RunNotRunningException as err:
        raise final("the SuperLink ended the run") from err
    except httpx.HTTPStatusError as err:
        code = err.response.status_code
        kind = SuperLinkFault if code >= 500 or code in _PASSING else final
        clock = clock_words(err.response.headers.get("date"), now=time.time())
        if code in _DENIED and clock is not None:
            raise final(f"the SuperLink answered {code}: {clock}", hint=clock_hint()) from err
        raise kind(
            f"the SuperLink answered {code} to {err.request.url.path}",
            hint="is the superexec secret the SuperLink's?" if code in _DENIED else None,
        ) from err
    except httpx.HTTPError as err:
        if (words := certificate_words(str(err))) is not None:
            raise final(
                f"no connection to the SuperLink: {words}",
                hint="its certificate has to be signed by the federation's ca, for its name",
            ) from err
        raise SuperLinkFault(
            f"no connection to the SuperLink: {type(err).__name__}",
            hint="is it running, and is its certificate signed by the federation's CA?",
        ) from err
    except ValueError as err:  # of Flower: a body that is no answer to this call
        raise SuperLinkFault(
            "the SuperLink's answer cannot be read", hint="is there a proxy before it?"
        ) from err
