"""A silo's gateway as a process of its own, to which a scenario happens.

The gateway, its ledger and what it answers are the real ones, at a socket that a relay reaches.
Around it stand the world's doings: it is killed at a step of its work, stalls, is slow, loses its
line, waits for its person, or lies. What happens is written down, and outlives the process.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from silosynth.client.gateway import Gateway, Records
from silosynth.client.ledger import Ledger
from silosynth.client.maps import SiloMap
from silosynth.client.rpc import RpcServer, gateway_service
from silosynth.common.codec import Codec
from silosynth.common.errors import SilosynthError
from silosynth.common.messages import (
    Answer,
    Release,
    Verdict,
    decode_release,
    decode_request,
    decode_statement,
)
from silosynth.common.plan import Plan, load_plan
from silosynth.common.schema import load_schema
from silosynth.common.trust import PublicKey, SigningKey, body_of
from silosynth.simulations.one_process import write_private
from silosynth.simulations.real_time.link import give_order
from silosynth.simulations.real_time.parcels import (
    KEY,
    LEDGER,
    LEFT,
    NOTES,
    PLAN,
    SCENARIO,
    SCHEMA,
    SECRET,
    SETTINGS,
    STATE,
    TABLE,
)
from silosynth.simulations.scenario import (
    Encounters,
    Member,
    RequestBits,
    RowsOf,
    caps_of,
    decide,
    lied,
    make_gateway,
)
from silosynth.simulations.world import (
    SECOND,
    Befalling,
    Crash,
    Outage,
    Partition,
    Place,
    Point,
    Sizes,
    Stall,
    load_scenario,
    make_places,
)

DIED = 75
"""The exit code of a gateway that the scenario ended; its notes say for how long."""
MESSAGE_BYTES = 1_024_000_000


@dataclass(kw_only=True)
class SiloWorld:
    """Own what happens to one gateway, and the files that say so.

    ``begun`` is when the scenario's clock began, of ``time.time``; ``link`` the socket of its line.
    """

    folder: Path
    place: Place
    begun: float
    link: Path
    sizes: Sizes
    met: Encounters = field(default_factory=Encounters)
    asked_person: int | None = None
    is_stale: bool = False

    def __post_init__(self) -> None:
        """Go on from what an earlier process of this silo knew."""
        path = self.folder / STATE
        if path.exists():
            kept = json.loads(path.read_text())
            self.asked_person = kept["asked_person"]
            self.met.befell.update({int(n): times for n, times in kept["befell"].items()})

    @property
    def now(self) -> int:
        """Return the time that it is, in microseconds from the beginning."""
        return round((time.time() - self.begun) * SECOND)

    def keep(self) -> None:
        """Write down what the next process has to know."""
        state = {"asked_person": self.asked_person, "befell": dict(self.met.befell)}
        write_private(self.folder / STATE, json.dumps(state).encode())

    def note(self, what: str, begin: int, until: int | None = None, **more: Any) -> None:
        """Write down what happened."""
        until = begin if until is None else until
        _append(self.folder / NOTES, {"what": what, "begin": begin, "until": until, **more})

    def meets(self, point: Point, phase: str | None, *, answered: bool = False) -> Befalling | None:
        """Return what befalls the silo here, and write it down as over before it begins."""
        found = self.met.meets(
            self.place.befalls, point=point, phase=phase, now=self.now, answered=answered
        )
        if found is not None:
            self.keep()
        return found

    def befall(self, fault: Befalling | None, member: Member) -> None:
        """Let a fault begin: stand still, lose the line, be killed now or at a later step."""
        now = self.now
        if isinstance(fault, Stall):
            self.note("stall", now, now + fault.lasts)
            time.sleep(fault.lasts / SECOND)
        elif isinstance(fault, Partition):
            until = now + fault.away
            cut = {"fault": fault.model_dump(mode="json", by_alias=True)}
            give_order(self.link, {"cut": cut | {"begin": now, "until": until}})
            self.note("partition", now, until, fault=cut["fault"])
        elif isinstance(fault, Outage):
            self.die(fault)
        elif isinstance(fault, Crash):
            member.dies_at, member.dies = fault.dies_at, partial(self.die, fault)

    def die(self, fault: Crash | Outage) -> NoReturn:
        """End this process as a kill does; its notes say when it comes back."""
        now = self.now
        said = fault.model_dump(mode="json", by_alias=True)
        self.note(fault.kind, now, now + fault.away, fault=said)
        os._exit(DIED)


class SiloGateway:
    """A silo's gateway in its world: what a relay speaks to. It does one thing at a time."""

    def __init__(
        self,
        world: SiloWorld,
        member: Member,
        gateway: Gateway,
        *,
        plan: Plan,
        reask: Callable[[], None],
        lie: Callable[..., bytes],
    ) -> None:
        """Take a gateway; ``reask`` lets the silo's person decide, ``lie`` makes answers others."""
        self._world, self._member, self._gateway = world, member, gateway
        self._plan, self._reask, self._lie = plan, reask, lie
        self._lock = threading.Lock()
        self._known: set[tuple[str, str]] = set()

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's signed identity over a challenge."""
        return self._work(Point.CONNECT, lambda: self._gateway.identify(challenge))

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        """Return the silo's signed verdict on a plan; its person hears of one that waits."""
        data = self._work(
            Point.PROPOSE, lambda: self._gateway.propose(plan=plan, receipts=receipts)
        )
        if self._world.asked_person is None and self._is_pending(data):
            self._world.asked_person = self._world.now
            self._world.note("asked", self._world.now)
            self._world.keep()
            self._reask()
        return data

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release or a refusal, and write down what leaves."""
        asked = decode_request(body_of(request))
        member, phase = self._member, asked.phase.value
        step = asked.training.round if asked.training else 0

        def call() -> bytes:
            if member.bits is not None:
                member.bits.begin(f"{phase} {step}")
            member.keep()
            data = self._gateway.answer(plan=plan, request=request)
            data = self._lie(member, data)
            self._note_release(data)
            return data

        return self._work(Point.COUNT, call, phase=phase, letter=asked.id)

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's keys of a sum, or its vote on who takes part."""
        return self._work(Point.SET, lambda: self._gateway.agree(plan=plan, step=step))

    def deliver(self, bundle: bytes) -> bytes:
        """Return the silo's signed acknowledgement of a result."""
        return self._work(Point.DELIVER, lambda: self._gateway.deliver(bundle))

    def _work(
        self, point: Point, call: Callable[[], bytes], *, phase: str | None = None, letter: str = ""
    ) -> bytes:
        """Do one thing as the world lets it be done."""
        world, member = self._world, self._member
        with self._lock:
            self._put_back()
            if (known := (point.value, letter)) in self._known and letter:
                world.note("again", world.now)
            self._known.add(known)
            befell = world.meets(point, phase)
            world.befall(befell, member)
            if befell is None and point is Point.COUNT:
                world.befall(world.meets(Point.SEND, phase), member)
            begun = world.now
            self._take_time(point, phase)
            data = call()
            world.note("work", begun, world.now)
            if point is Point.COUNT:
                world.befall(world.meets(Point.SEND, phase, answered=True), member)
            return data

    def _take_time(self, point: Point, phase: str | None) -> None:
        """Let a slow machine be slow: by as much as it is slower than one of speed 1."""
        slower = 1 / self._world.place.speed - 1
        if slower > 0:
            time.sleep(self._world.sizes.of(point, phase)[2] * slower / SECOND)

    def _put_back(self) -> None:
        """Where the silo lies so, put an old ledger in place of its own, and begin anew with it."""
        if self._world.is_stale and self._member.kept is not None:
            ledger = self._member.opened
            if ledger is not None:
                ledger[1].close()
            write_private(self._world.folder / LEDGER, self._member.kept)
            os._exit(DIED)

    def _note_release(self, data: bytes) -> None:
        """Write down a release before it leaves."""
        try:
            answer = decode_release(data, trusted=(self._member.key.public,))
        except SilosynthError:
            return
        if isinstance(answer, Release):
            kept = base64.b64encode(data).decode()
            line = {"request": answer.receipt.request_id, "data": kept}
            _append(self._world.folder / LEFT, line)

    def _is_pending(self, data: bytes) -> bool:
        """Say whether the silo's people have not decided yet."""
        verdict = decode_statement(data, Verdict, trusted=(self._member.key.public,))
        return verdict.answer is Answer.PENDING


def _append(path: Path, line: dict[str, Any]) -> None:
    """Add a line that is whole on the disk before this returns."""
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def run_gateway(
    arguments: Sequence[str], *, bits: Callable[[str], RequestBits | None] = lambda _: None
) -> None:
    """Run the gateway of a folder until it is killed: FOLDER SOCKET LINK.

    Args: bits: a seam for tests, which the commands do not have: a silo's bits.
    """
    folder, socket, link = (Path(word) for word in arguments)
    settings = json.loads((folder / SETTINGS).read_text())
    silo, plan = settings["silo"], load_plan(folder / PLAN)
    place = make_places(load_scenario(folder / SCENARIO), [silo])[silo]
    world = SiloWorld(
        folder=folder,
        place=place,
        begun=settings["begun"],
        link=link,
        sizes=Sizes(plan, sealed=settings["sealed"]),
    )
    member = _member(folder, world, silo, silo_map=settings["map"], bits=bits(silo))
    rows = RowsOf(
        person_column=settings["person_column"], rows_per_person=settings["rows_per_person"]
    )
    with Ledger.open(
        folder / LEDGER, caps=caps_of(plan), clock=member.now, reached=member.reached
    ) as ledger:
        serve = _serving(world, member, ledger, plan=plan, rows=rows, settings=settings)
        server = RpcServer(gateway_service(serve), socket=socket, message_bytes=MESSAGE_BYTES)
        threading.Event().wait()
        server.stop(grace_seconds=0)


def _member(
    folder: Path, world: SiloWorld, silo: str, *, silo_map: dict[str, Any], bits: RequestBits | None
) -> Member:
    """Return the silo as its files say it; what its operator is told is written down."""
    with pa.memory_map(str(folder / TABLE)) as source:
        table = pa.ipc.open_file(source).read_all()
    return Member(
        name=silo,
        key=SigningKey.load(folder / KEY),
        table=table,
        directory=folder,
        person=world.place.approval.by == "person",
        lie=world.place.lie,
        bits=bits,
        now=lambda: world.place.time(world.now),
        silo_map=SiloMap.model_validate(silo_map),
        secret=(folder / SECRET).read_bytes(),
        told=_Told(world),
    )


class _Told(list[str]):
    """What a silo's operator is told, written down for who looks at the run."""

    def __init__(self, world: SiloWorld) -> None:
        super().__init__()
        self._world = world

    def append(self, line: str) -> None:
        """Write a line down."""
        super().append(line)
        self._world.note("told", self._world.now, line=line)


def _serving(
    world: SiloWorld,
    member: Member,
    ledger: Ledger,
    *,
    plan: Plan,
    rows: RowsOf,
    settings: dict[str, Any],
) -> SiloGateway:
    """Put the gateway and its world together; its person goes on deciding, if there is one."""
    coordinator, codec = settings["coordinator"], Codec(load_schema(world.folder / SCHEMA))
    gateway = make_gateway(
        member,
        plan=plan,
        codec=codec,
        rows=rows,
        ledger=ledger,
        coordinator=coordinator,
        records=Records(world.folder),
    )
    member.opened = gateway, ledger

    def lie(member: Member, data: bytes) -> bytes:
        if member.kept is not None:
            world.is_stale = True
            return data
        return lied(member, data)

    reask = partial(_ask_person, world, member, ledger, plan=plan, coordinator=coordinator)
    if world.asked_person is not None and not ledger.decided(plan.digest):
        reask()
    return SiloGateway(world, member, gateway, plan=plan, reask=reask, lie=lie)


def _ask_person(
    world: SiloWorld, member: Member, ledger: Ledger, *, plan: Plan, coordinator: PublicKey
) -> None:
    """Let the silo's person decide when the time for it has come."""
    asked = world.now if world.asked_person is None else world.asked_person
    decides = world.place.decides(asked)

    def say() -> None:
        refuses = world.place.approval.refuses
        decide(member, ledger, plan, coordinator=coordinator, refuses=refuses)
        world.note("wait", asked, world.now)

    timer = threading.Timer(max(0.0, (decides - world.now) / SECOND), say)
    timer.daemon = True
    timer.start()
