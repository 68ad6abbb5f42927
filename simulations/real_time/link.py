"""A silo's line to the SuperLink as a process: slow, thin, lossy, cut, as its scenario says.

    {"begin": {...}}    from now on the world is that of a scenario, and its clock begins
    {"cut": {...}}      nothing passes until a moment
    {"end": {}}         the world is calm again; what was lost, and how many bytes passed

are its orders, one line of JSON each at a socket beside it, answered by one line. Each request to
the SuperLink is a message of the silo, and each answer one to it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx

from silosynth.common.errors import RunFailed
from silosynth.common.messages import AGREE, DELIVER, IDENTIFY, MEASURE, PROPOSE
from silosynth.simulations.real_time.proxy import (
    Asked,
    Door,
    Proxy,
    ServerCerts,
    superlink_route,
    write,
)
from silosynth.simulations.world import (
    SECOND,
    Partition,
    Place,
    Point,
    load_scenario,
    make_places,
    transmission,
)

_KEPT_SECONDS = 2.0
_LOOK_SECONDS = 0.02
_ORDER_SECONDS = 120.0
_NOT_THE_TIME = 401
KINDS = {
    f"query.{IDENTIFY}".encode(): Point.CONNECT,
    f"query.{PROPOSE}".encode(): Point.PROPOSE,
    f"query.{AGREE}".encode(): Point.SET,
    f"query.{MEASURE}".encode(): Point.COUNT,
    f"query.{DELIVER}".encode(): Point.DELIVER,
}
"""What a message's type, which Flower sends in the clear, says of where the protocol stands."""


@dataclass(slots=True, kw_only=True)
class Weather:
    """The world around one line since its clock began, and what it did to messages.

    ``begun`` is of ``time.time``. ``marks`` are pairs of what happened and when.
    """

    place: Place
    begun: float
    back: str
    number: int = 0
    sent: int = 0
    received: int = 0
    queued: int = 0
    marks: list[tuple[str, int]] = field(default_factory=list)
    free: dict[bool, int] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """Return the time that it is, in microseconds from the beginning."""
        return round((time.time() - self.begun) * SECOND)

    def facts(self) -> dict[str, Any]:
        """Return what happened, to be told."""
        names = ("sent", "received", "queued", "marks")
        return {name: getattr(self, name) for name in names}


class SiloLink(Proxy):
    """Own a silo's line; calm until a scenario begins."""

    def __init__(self, certs: ServerCerts, *, back: str) -> None:
        """Take the SuperLink's address; a scenario may lead over a line that silos share."""
        super().__init__(certs, kept_seconds=_KEPT_SECONDS)
        self._back = back
        self._weather: Weather | None = None

    def back(self) -> str:
        """Return where requests go now."""
        return self._weather.back if self._weather else self._back

    def obey(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Do what an order says, and return what there is to tell."""
        (what, said), *_ = order.items()
        if what == "begin":
            scenario = load_scenario(Path(said["scenario"]))
            place = make_places(scenario, [said["silo"]])[said["silo"]]
            back = said["back"] or self._back
            self._weather = Weather(place=place, begun=said["begun"], back=back)
        elif self._weather is not None and what == "cut":
            fault = Partition.model_validate(said["fault"])
            self._weather.place.befallen(fault, now=said["begin"], until=said["until"])
        elif self._weather is not None:
            facts, self._weather = self._weather.facts(), None
            return facts
        return {}

    async def treat(
        self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Let a request pass as the world lets it, and its answer."""
        weather = self._weather
        if weather is None:
            return await super().treat(asked, reader, writer)
        body = asked.request.content
        weather.received += len(body)
        if not await self._passes(weather, body, reader, sending=True):
            return False
        if not weather.place.tells_time(weather.now):
            weather.marks.append(("clock", weather.now))
            await write(writer, _NOT_THE_TIME, b"", _clock_headers(weather))
            return False
        reply = await self.forward(asked)
        if reply is None:
            return False
        weather.sent += len(reply.content)
        if not await self._passes(weather, reply.content, reader, sending=False):
            return False
        await write(writer, reply.status_code, reply.content, reply.headers)
        return True

    async def _passes(
        self, weather: Weather, data: bytes, reader: asyncio.StreamReader, *, sending: bool
    ) -> bool:
        """Let time pass until a message is through; return False where it is lost.

        A cut holds it back: a connection outlives that, if both sides wait so long.
        """
        weather.number += 1
        number, place = weather.number, weather.place
        await _through(weather, reader)
        await asyncio.sleep(place.travel(message=number, size=len(data)) / SECOND)
        await _through(weather, reader)
        if place.loses(message=number, now=weather.now, point=_point(data, sending=sending)):
            weather.marks.append(("lost", weather.now))
            return False
        return not reader.at_eof()


class SharedLine(SiloLink):
    """Own a line that all silos of a region share: messages queue for it, each way.

    What gets lost on it, the silos' own links lose.
    """

    async def _passes(
        self, weather: Weather, data: bytes, reader: asyncio.StreamReader, *, sending: bool
    ) -> bool:
        weather.number += 1
        now, line = weather.now, weather.place.line
        if line is None:
            return True
        begins = max(now, weather.free.get(sending, 0))
        weather.queued += begins - now
        weather.free[sending] = begins + transmission(line, len(data))
        over = weather.free[sending] + weather.place.crossing(message=weather.number)
        await asyncio.sleep((over - now) / SECOND)
        return True


async def _through(weather: Weather, reader: asyncio.StreamReader) -> None:
    """Wait while the silo is cut off; no longer than its end of the connection does."""
    while weather.place.away(weather.now) and not reader.at_eof():
        await asyncio.sleep(_LOOK_SECONDS)


def _point(data: bytes, *, sending: bool) -> Point | None:
    """Return of which point of the protocol a message is; None for what is no letter."""
    point = next((point for kind, point in KINDS.items() if kind in data), None)
    return Point.SEND if sending and point is Point.COUNT else point


def _clock_headers(weather: Weather) -> httpx.Headers:
    """Return the SuperLink's time of day, as far from the silo's as the scenario says."""
    seen = datetime.now(UTC) - timedelta(microseconds=weather.place.skew(weather.now))
    return httpx.Headers({"date": format_datetime(seen, usegmt=True)})


def run_link(arguments: Sequence[str], *, kind: Callable[..., SiloLink] = SiloLink) -> None:
    """Run a line until it is killed: FOLDER PORT SUPERLINK.

    The folder has the certificates, and gets the socket for orders.
    """
    folder, port, back = Path(arguments[0]), int(arguments[1]), arguments[2]
    certs = ServerCerts(
        ca=folder / "ca.pem",
        certificate=folder / "superlink.pem",
        key=folder / "superlink-key.pem",
    )
    link = kind(certs, back=back)
    asyncio.run(_serve(link, port=port, orders=folder / "link.sock"))


def run_line(arguments: Sequence[str]) -> None:
    """Run a line that silos share."""
    run_link(arguments, kind=SharedLine)


async def _serve(link: SiloLink, *, port: int, orders: Path) -> None:
    """Serve requests and orders."""

    async def ordered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        if line:
            writer.write(json.dumps(link.obey(json.loads(line))).encode() + b"\n")
            await writer.drain()
        writer.close()

    orders.unlink(missing_ok=True)
    async with await asyncio.start_unix_server(ordered, str(orders)):
        door = Door(port=port, route=superlink_route(link.back))
        await link.serve([door], until=asyncio.Event())


def give_order(orders: Path, order: Mapping[str, Any]) -> dict[str, Any]:
    """Give a line an order; return what it says. Raises RunFailed where nobody is there."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(_ORDER_SECONDS)
            asking.connect(str(orders))
            asking.sendall(json.dumps(order).encode() + b"\n")
            with asking.makefile("rb") as heard:
                told: dict[str, Any] = json.loads(heard.readline())
                return told
    except (OSError, ValueError) as err:
        raise RunFailed(f"a silo's line is gone: {type(err).__name__}") from err
