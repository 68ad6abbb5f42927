"""A SuperNode in a process of its own that ends where it would wait or stand still.

By itself a SuperNode waits without end for an answer that trickles, goes on without a heartbeat
when that met an error, and stays as a process that does nothing when its loop met one. A relay
cannot see any of this, but it sees a process end, and starts another. It also looks for messages
more often while there are some: by itself it waits for 3 s after each look that found none.
Source: Flower 1.41 and 1.42, ``flwr.supernode``.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from silosynth.client.relay.post import touching
from silosynth.common.flower.node_process import (
    RetryInvoker,
    constant,
    fleet_http_connection,
    flower_supernode,
    make_simple_http_retry_invoker,
)
from silosynth.common.flower.supernode import FleetHttpClient

BYTES_PER_SECOND = 250_000
"""A call that carries data has a second more for every so many bytes."""
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 0.4
_FLOWERS_SECONDS = 3.0
"""How long a SuperNode waits between two looks for messages by itself."""
_PATIENCE = 0.25
"""Of the time since the last message: how long the next look waits."""


def main(
    seconds: float, *, stuck: int, heard: str | None = None, post: str | None = None
) -> NoReturn:
    """Run a SuperNode whose calls to the SuperLink take at most ``seconds`` each, and end with it.

    Flower's options are taken from the command line. Args: stuck: the exit code where it ends
    though nobody asked it to. heard: the file that is touched whenever the SuperLink answers well.
    post: the file that is touched whenever a message came.
    """
    end = functools.partial(_end, stuck)
    threading.excepthook = lambda _: end()
    fleet_http_connection.make_simple_http_retry_invoker = _retries  # type: ignore[attr-defined]  # of its own import
    path = Path(heard) if heard else None
    limited = _limited(FleetHttpClient._unary_unary, seconds=seconds, end=end, heard=path)
    FleetHttpClient._unary_unary = limited  # type: ignore[method-assign]  # Flower has no seam here
    pull = _attentive(FleetHttpClient.PullMessages, came=touching(post))
    FleetHttpClient.PullMessages = pull  # type: ignore[method-assign]  # nor one here
    code = stuck
    try:
        flower_supernode()
    except SystemExit as err:
        code = err.code if isinstance(err.code, int) else stuck
    finally:
        _end(code)


def _limited(
    call: Callable[..., Any], *, seconds: float, end: Callable[[], NoReturn], heard: Path | None
) -> Callable[..., Any]:
    """Return a call that ends the process when it does not return in time, and notes its answer."""

    @functools.wraps(call)
    def limited(*args: Any, **named: Any) -> Any:
        size = named["request"].ByteSize() if "request" in named else 0
        timer = threading.Timer(seconds + size / BYTES_PER_SECOND, end)
        timer.daemon = True
        timer.start()
        try:
            answer = call(*args, **named)
            if heard is not None:
                heard.touch()
            return answer
        finally:
            timer.cancel()

    return limited


def _attentive(
    pull: Callable[..., Any],
    *,
    came: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[..., Any]:
    """Return a look for messages that looks again soon while a run asks one question after another.

    Flower would sleep for 3 s after each look that found none. One that found none here is done
    again, each time after a quarter of the time since the last message, or since the beginning,
    until that is as long as Flower's own wait: 3 s are waited by whoever is not asked for 12 s.

    Args: came: is called when there is a message.
    """
    heard = now()

    @functools.wraps(pull)
    def pulled(*args: Any, **named: Any) -> Any:
        nonlocal heard
        while not (answer := pull(*args, **named)).messages_list:
            wait = max(_LOOK_SECONDS, _PATIENCE * (now() - heard))
            if wait >= _FLOWERS_SECONDS:
                return answer
            sleep(wait)
        heard = now()
        came()
        return answer

    return pulled


def _retries() -> RetryInvoker:
    """Return Flower's retries with short waits: a SuperLink that is back is seen at once."""
    retries = make_simple_http_retry_invoker()
    retries.wait_gen_factory = lambda: constant(_RETRY_SECONDS)
    return retries


def _end(code: int) -> NoReturn:
    """End the process at once, whatever its other threads do or hold."""
    os._exit(code)
