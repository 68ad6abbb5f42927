"""The relay: a Flower ClientApp that passes requests in and releases out, and sees no data."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.typing import ConfigRecordValues
from flwr.clientapp import ClientApp

from silosynth.client.rpc import AnswersRequests, RemoteGateway, SpeaksForSilo
from silosynth.common.errors import ConnectionFailed, SilosynthError
from silosynth.common.messages import (
    AGREE,
    DELIVER,
    IDENTIFY,
    MEASURE,
    PROPOSE,
    RECORD,
    UNREACHABLE,
)
from silosynth.common.telemetry import Role, Telemetry, log

Fields: TypeAlias = dict[str, ConfigRecordValues]
Handler: TypeAlias = Callable[[Message, Context], Message]


def make_sealed_relay(
    reach_gateway: Callable[[Context], SpeaksForSilo],
    *,
    telemetry: Telemetry | None = None,
    silo: str | None = None,
) -> ClientApp:
    """Make the ClientApp of a federation's silo: opaque bytes from and to the gateway.

    A gateway that cannot be reached is told to the coordinator in fixed words, with the name of
    the ``silo`` whose it is.
    """
    counted = telemetry or Telemetry(role=Role.RELAY)
    app = ClientApp()

    def pass_on(call: Callable[[SpeaksForSilo, Message], Fields]) -> Handler:
        def handle(message: Message, context: Context) -> Message:
            gateway = reach_gateway(context)
            return _pass(message, lambda: call(gateway, message), telemetry=counted, silo=silo)

        return handle

    app.query(IDENTIFY)(pass_on(_identify))
    app.query(PROPOSE)(pass_on(_propose))
    app.query(MEASURE)(pass_on(_measure))
    app.query(AGREE)(pass_on(_agree))
    app.query(DELIVER)(pass_on(_deliver))
    return app


def _identify(gateway: SpeaksForSilo, message: Message) -> Fields:
    return {"identity": gateway.identify(_bytes(message, "challenge"))}


def _propose(gateway: SpeaksForSilo, message: Message) -> Fields:
    plan, receipts = _bytes(message, "plan"), _many(message, "receipts")
    return {"verdict": gateway.propose(plan=plan, receipts=receipts)}


def _measure(gateway: AnswersRequests, message: Message) -> Fields:
    plan, request = _bytes(message, "plan"), _bytes(message, "request")
    return {"release": gateway.answer(plan=plan, request=request)}


def _agree(gateway: AnswersRequests, message: Message) -> Fields:
    plan, step = _bytes(message, "plan"), _bytes(message, "step")
    return {"statement": gateway.agree(plan=plan, step=step)}


def _deliver(gateway: SpeaksForSilo, message: Message) -> Fields:
    return {"acknowledgement": gateway.deliver(_bytes(message, "bundle"))}


def socket_of(context: Context) -> RemoteGateway:
    """Return the gateway that the SuperNode's node config names: ``gateway="/path/to/socket"``."""
    path = context.node_config.get("gateway")
    if not isinstance(path, str) or not path:
        raise ConnectionFailed(
            "the SuperNode's node config names no gateway",
            hint="""start it with --node-config 'gateway="/run/silosynth/gateway.sock"'""",
        )
    return RemoteGateway(Path(path))


app = make_sealed_relay(socket_of)
"""The component that ``deploy/flower`` names, for a SuperNode that starts its ClientApps itself."""


def _pass(
    message: Message,
    call: Callable[[], Fields],
    *,
    telemetry: Telemetry,
    silo: str | None,
) -> Message:
    """Call the gateway and pass its answer on; count bytes and seconds, look at nothing."""
    kind = message.metadata.message_type.removeprefix("query.")
    begun = time.monotonic()
    try:
        fields = call()
    except SilosynthError as err:
        telemetry.refused(err.code)
        log("gateway-unreachable", kind=kind, code=err.code)
        away: Fields = {UNREACHABLE: err.code}
        return _reply(message, away | {"silo": silo} if silo else away)
    seconds = time.monotonic() - begun
    record = message.content.config_records.get(RECORD, ConfigRecord())
    received, sent = _size(record), _size(fields)
    telemetry.answered(kind, seconds=seconds, received_bytes=received, sent_bytes=sent)
    log("passed", kind=kind, seconds=round(seconds, 3), received_bytes=received, sent_bytes=sent)
    return _reply(message, fields)


def _size(fields: ConfigRecord | Fields) -> int:
    """Return how many bytes a record's byte fields hold."""
    return sum(len(v) for v in fields.values() if isinstance(v, bytes))


def _bytes(message: Message, name: str) -> bytes:
    """Return a field of a message; nothing when it is not there, which no gateway accepts."""
    record = message.content.config_records.get(RECORD, ConfigRecord())
    value = record.get(name)
    return value if isinstance(value, bytes) else b""


def _many(message: Message, name: str) -> list[bytes]:
    """Return a field that is a list of byte strings; an empty one when it is not there."""
    record = message.content.config_records.get(RECORD, ConfigRecord())
    value = record.get(name)
    return [v for v in value if isinstance(v, bytes)] if isinstance(value, list) else []


def _reply(message: Message, fields: Fields) -> Message:
    """Answer ``message`` with one record."""
    return Message(content=RecordDict({RECORD: ConfigRecord(fields)}), reply_to=message)
