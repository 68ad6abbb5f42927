"""A SuperNode in a process of its own that ends where it would wait or stand still.

By itself a SuperNode waits without end for an answer that trickles, goes on without a heartbeat
when that met an error, and stays as a process that does nothing when its loop met one. A relay
cannot see any of this, but it sees a process end, and starts another.
Source: Flower 1.41, ``flwr.supernode``.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from flwr.supercore.retry import RetryInvoker, constant, make_simple_http_retry_invoker
from flwr.supernode import fleet_http_connection
from flwr.supernode.cli import flower_supernode
from flwr.supernode.fleet_http_client import FleetHttpClient

BYTES_PER_SECOND = 250_000
"""A call that carries data has a second more for every so many bytes."""
_RETRY_SECONDS = 1.0


def main(seconds: float, *, stuck: int) -> NoReturn:
    """Run a SuperNode whose calls to the SuperLink take at most ``seconds`` each, and end with it.

    Flower's options are taken from the command line. Args: stuck: the exit code where it ends
    though nobody asked it to.
    """
    end = functools.partial(_end, stuck)
    threading.excepthook = lambda _: end()
    fleet_http_connection.make_simple_http_retry_invoker = _retries  # type: ignore[attr-defined]  # of its own import
    limited = _limited(FleetHttpClient._unary_unary, seconds=seconds, end=end)
    FleetHttpClient._unary_unary = limited  # type: ignore[method-assign]  # Flower has no seam here
    code = stuck
    try:
        flower_supernode()
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else stuck
    finally:
        _end(code)


def _limited(
    call: Callable[..., Any], *, seconds: float, end: Callable[[], NoReturn]
) -> Callable[..., Any]:
    """Return a call that ends the process when it does not return in time."""

    @functools.wraps(call)
    def limited(*args: Any, **named: Any) -> Any:
        size = named["request"].ByteSize() if "request" in named else 0
        timer = threading.Timer(seconds + size / BYTES_PER_SECOND, end)
        timer.daemon = True
        timer.start()
        try:
            return call(*args, **named)
        finally:
            timer.cancel()

    return limited


def _retries() -> RetryInvoker:
    """Return Flower's retries with short waits: a SuperLink that is back is seen at once."""
    retries = make_simple_http_retry_invoker()
    retries.wait_gen_factory = lambda: constant(_RETRY_SECONDS)
    return retries


def _end(code: int) -> NoReturn:
    """End the process at once, whatever its other threads do or hold."""
    os._exit(code)
