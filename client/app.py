"""The relay: a Flower ClientApp that passes requests in and releases out, and sees no data."""

from __future__ import annotations

from collections.abc import Callable

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.typing import ConfigRecordValues
from flwr.clientapp import ClientApp

from silosynth.client.gateway import AnswersRequests
from silosynth.common.wire import AGREE, IDENTIFY, MEASURE, RECORD


def make_relay(
    *, name_silo: Callable[[Context], str], reach_gateway: Callable[[Context], AnswersRequests]
) -> ClientApp:
    """Make the ClientApp of a silo.

    Args: name_silo: the silo's name from the SuperNode's context.
        reach_gateway: the gateway behind it; in a simulation it lives in the worker's process.
    """
    app = ClientApp()

    @app.query(IDENTIFY)
    def identify(message: Message, context: Context) -> Message:
        return _reply(message, {"silo": name_silo(context)})

    @app.query(MEASURE)
    def measure(message: Message, context: Context) -> Message:
        gateway = reach_gateway(context)
        plan, request = (_bytes(message, name) for name in ("plan", "request"))
        return _reply(message, {"release": gateway.answer(plan=plan, request=request)})

    @app.query(AGREE)
    def agree(message: Message, context: Context) -> Message:
        gateway = reach_gateway(context)
        plan, step = (_bytes(message, name) for name in ("plan", "step"))
        return _reply(message, {"statement": gateway.agree(plan=plan, step=step)})

    return app


def _bytes(message: Message, name: str) -> bytes:
    """Return a field of a message; nothing when it is not there, which no gateway accepts."""
    record = message.content.config_records.get(RECORD, ConfigRecord())
    value = record.get(name)
    return value if isinstance(value, bytes) else b""


def _reply(message: Message, fields: dict[str, ConfigRecordValues]) -> Message:
    """Answer ``message`` with one record."""
    return Message(content=RecordDict({RECORD: ConfigRecord(fields)}), reply_to=message)
