"""A silo's line does to each request what the scenario says, and to nothing else."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from silosynth.common.reach import free_port
from silosynth.simulations.real_time import link as module
from silosynth.simulations.real_time.link import SharedLine, SiloLink
from silosynth.simulations.real_time.proxy import LOOPBACK, Asked, Door, Proxy, ServerCerts
from silosynth.simulations.world import SECOND, load_scenario, make_places

NOWHERE = ServerCerts(ca=Path("x"), certificate=Path("x"), key=Path("x"))
ASKING = b"is there anything"
ANSWER = b"a reply of type query.measure"
BEGUN = 1_800_000_000.0


class Clock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.now = BEGUN

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0)


class Writer:
    """What was written back, of a connection."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        return None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(asyncio, "sleep", made.sleep)
    return made


def lined(
    tmp_path: Path, *, kind: type[SiloLink] = SiloLink, reply: bytes = b"nothing", **more: Any
) -> tuple[SiloLink, list[bytes]]:
    """Return a line in a world, and the list of what gets through it to the SuperLink."""
    calm = {"silos": ["north"], "link": {"delay": "50ms", "distribution": "fixed"}}
    world = {"name": "test", "regions": {"eu": calm | more.pop("eu", {})}} | more
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(world))
    line, passed = kind(NOWHERE, back="superlink:1"), []

    async def forward(asked: Asked) -> httpx.Response:
        passed.append(asked.request.content)
        return httpx.Response(200, content=reply)

    line.forward = forward  # type: ignore[method-assign]  # no SuperLink here
    order = {"scenario": str(path), "silo": "north", "begun": BEGUN, "back": None}
    assert line.obey({"begin": order}) == {}
    return line, passed


def send(line: SiloLink, body: bytes = ASKING, *, gone: bool = False) -> bytes:
    """Send one request over a line; return what comes back."""

    async def ask() -> bytes:
        reader, writer = asyncio.StreamReader(), Writer()
        if gone:
            reader.feed_eof()
        request = httpx.Request("POST", "https://superlink:1/x", content=body)
        await line.treat(Asked(kind="fleet/x", request=request), reader, writer)  # type: ignore[arg-type]  # as much of one as is used
        return writer.written

    return asyncio.run(ask())


def facts(line: SiloLink) -> Mapping[str, Any]:
    return line.obey({"end": {}})


def test_a_message_takes_its_delay_and_its_bytes_time_each_way(
    tmp_path: Path, clock: Clock
) -> None:
    thin = {"link": {"delay": "50ms", "distribution": "fixed", "bandwidth_mbit": 0.008}}
    line, passed = lined(tmp_path, eu=thin, reply=b"x" * 500)
    assert send(line, b"y" * 1000).endswith(b"x" * 500)
    assert clock.now - BEGUN == pytest.approx(0.05 + 1.0 + 0.05 + 0.5)
    assert passed == [b"y" * 1000]
    found = facts(line)
    assert (found["received"], found["sent"], found["marks"]) == (1000, 500, [])


def test_what_is_lost_of_one_point_is_that_alone(tmp_path: Path, clock: Clock) -> None:
    lost = [{"kind": "loss", "at": "send", "probability": 1.0}]
    line, passed = lined(tmp_path, faults=lost, reply=ANSWER)
    assert send(line).endswith(ANSWER)
    assert send(line, b"an answer of type query.measure") == b""
    assert send(line, b"a verdict of type query.propose").endswith(ANSWER)
    assert passed == [ASKING, b"a verdict of type query.propose"]
    assert [what for what, _ in facts(line)["marks"]] == ["lost"]


def test_an_answer_that_is_lost_was_passed_on(tmp_path: Path, clock: Clock) -> None:
    lost = [{"kind": "loss", "at": "count", "probability": 1.0}]
    line, passed = lined(tmp_path, faults=lost, reply=ANSWER)
    assert send(line) == b""
    assert passed == [ASKING]


def test_nothing_passes_while_a_silo_is_cut_off_and_all_of_it_afterwards(
    tmp_path: Path, clock: Clock
) -> None:
    cut = [{"kind": "partition", "from": "0s", "until": "10s"}]
    line, passed = lined(tmp_path, faults=cut)
    assert send(line).endswith(b"nothing")
    assert 10.0 <= clock.now - BEGUN < 10.2
    later = round((clock.now - BEGUN) * SECOND)
    fault = {"kind": "partition", "at": "count", "lasts": "5s"}
    line.obey({"cut": {"fault": fault, "begin": later, "until": later + 5 * SECOND}})
    before = clock.now
    send(line)
    assert 5.0 <= clock.now - before < 5.2
    assert len(passed) == 2


def test_who_gives_up_while_a_silo_is_cut_off_is_not_passed_on(
    tmp_path: Path, clock: Clock
) -> None:
    line, passed = lined(tmp_path, faults=[{"kind": "partition"}])
    assert send(line, gone=True) == b""
    assert passed == []


def test_a_clock_that_is_ahead_is_refused_with_the_superlinks_time(
    tmp_path: Path, clock: Clock
) -> None:
    line, passed = lined(tmp_path, eu={"clock": {"offset": "20s"}})
    answer = send(line).decode()
    assert answer.startswith("HTTP/1.1 401")
    date = next(w for w in answer.split("\r\n") if w.startswith("date: "))
    assert parsedate_to_datetime(date.removeprefix("date: ")).tzinfo is not None
    assert passed == []
    assert [what for what, _ in facts(line)["marks"]] == ["clock"]


def test_messages_queue_for_a_line_that_silos_share_each_way_by_itself(
    tmp_path: Path, clock: Clock
) -> None:
    thin = {"regions": ["eu", "cloud"], "delay": 0, "bandwidth_mbit": 0.008}
    line, _ = lined(
        tmp_path, kind=SharedLine, coordinator={"region": "cloud"}, between=[thin], reply=b"x"
    )
    send(line, b"y" * 1000)
    # The line is still taken by a message that a moment ago began to go the same way.
    clock.now = BEGUN + 0.4
    send(line, b"y" * 1000)
    assert clock.now - BEGUN == pytest.approx(2.0 + 0.001, abs=0.01)
    assert facts(line)["queued"] == pytest.approx(0.6 * SECOND, abs=0.01 * SECOND)


def test_a_line_is_calm_again_after_a_run(tmp_path: Path, clock: Clock) -> None:
    line, passed = lined(tmp_path, faults=[{"kind": "loss", "probability": 1.0}])
    assert send(line) == b""
    assert facts(line)["marks"]
    assert send(line).endswith(b"nothing")
    assert passed == [ASKING]
    assert line.obey({"end": {}}) == {}


def test_the_same_seed_loses_the_same_messages_as_by_the_virtual_clock(
    tmp_path: Path, clock: Clock
) -> None:
    line, _ = lined(tmp_path, eu={"link": {"loss": 0.4}})
    place = make_places(load_scenario(tmp_path / "scenario.json"), ["north"])["north"]
    came = [bool(send(line)) for _ in range(12)]
    number, expected = 0, []
    for _ in range(12):
        number += 1
        there = not place.loses(message=number, now=0, point=None)
        back = there and not place.loses(message=number + 1, now=0, point=None)
        number += there
        expected.append(back)
    assert came == expected
    assert {True, False} == set(came)


# Its end


def test_no_connection_outlives_a_proxy() -> None:
    """One that said nothing yet, one within a request, and one that would begin as it ends."""

    async def ended() -> list[bytes]:
        proxy = Proxy(NOWHERE)
        door = Door(port=free_port(), route=lambda path: (path, path), tls=False)
        server = await proxy._listen(door, ssl.create_default_context())
        silent, asking = [await asyncio.open_connection(LOOPBACK, door.port) for _ in range(2)]
        asking[1].write(b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf")
        last = asyncio.open_connection(LOOPBACK, door.port)
        ends, begun = await asyncio.gather(proxy._hang_up([server]), last, return_exceptions=True)
        assert ends is None
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set()
        connections = [silent, asking, *([] if isinstance(begun, OSError) else [begun])]
        said = [await reader.read() for reader, _ in connections]
        for _, writer in connections:
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, door.port)
        return said

    assert set(asyncio.run(ended())) == {b""}
