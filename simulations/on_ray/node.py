"""The ClientApp of a simulated node: it passes a chunk's requests to hosts, and their answers back.

Flower's engine gives a message to whichever of its workers is free, and a silo's gateway is open in
one process: so a worker passes on, and hosts, which Ray keeps, answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import ray
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from silosynth.simulations.on_ray.chunks import (
    AGREE,
    ANSWER,
    IDENTIFY,
    RECORD,
    Fields,
    pack_answers,
    unpack,
)

_TRIES = 60
_BACK_SECONDS = 1.0


def make_node() -> ClientApp:
    """Make the app of every node; it knows nothing but what messages say."""
    app = ClientApp()

    @app.query(IDENTIFY)
    def identify(message: Message, context: Context) -> Message:
        return _reply(message, {"chunk": int(context.node_config["partition-id"])})

    @app.query(ANSWER)
    def answer(message: Message, _context: Context) -> Message:
        return _passed(message, ANSWER)

    @app.query(AGREE)
    def agree(message: Message, _context: Context) -> Message:
        return _passed(message, AGREE)

    return app


def _passed(message: Message, kind: str) -> Message:
    """Ask hosts what a message asks, all at once, and answer with what their silos say."""
    fields = message.content.config_records[RECORD]
    plan, asked = fields["plan"], unpack(fields)
    waiting = {n: getattr(_host(n), kind).remote(plan, of_host) for n, of_host in asked.items()}
    answers: dict[str, bytes] = {}
    for number, answer in waiting.items():
        answers |= _got(
            answer, again=partial(getattr(_host(number), kind).remote, plan, asked[number])
        )
    return _reply(message, pack_answers(answers))


def _got(answer: Any, *, again: Callable[[], Any]) -> dict[str, bytes]:
    """Wait for a host's answers; ask again while it comes back, and give up in the end.

    A silo answers the same request with the same bytes, and what died with a host has left nobody's
    hands. Ray would ask again by itself, and write so where the command's results go.
    """
    for _ in range(_TRIES):
        try:
            said: dict[str, bytes] = ray.get(answer)
            return said
        except ray.exceptions.RayActorError:
            time.sleep(_BACK_SECONDS)
            answer = again()
    return {}


@cache
def _host(number: int) -> Any:
    """Return a host by its number; see :mod:`silosynth.simulations.on_ray.hosts`."""
    return ray.get_actor(f"host-{number}")


def _reply(message: Message, fields: Fields) -> Message:
    """Answer ``message`` with one record."""
    return Message(content=RecordDict({RECORD: ConfigRecord(fields)}), reply_to=message)
