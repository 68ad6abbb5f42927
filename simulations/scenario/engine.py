"""The virtual clock: a heap of (time, event) between the real coordinator and real gateways.

Nothing sleeps. A letter's way, a silo's work and a person's night are events; what a gateway and
the coordinator say is computed by them, at the moment that the heap has reached. Letters are sent
again as :mod:`silosynth.server.federation.channel` does over real processes.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from silosynth.client.gateway import Gateway
from silosynth.common.errors import SilosynthError
from silosynth.common.messages import (
    Answer,
    Identity,
    Release,
    Request,
    Verdict,
    decode_release,
    decode_statement,
    encode_sum_statement,
    make_challenge,
)
from silosynth.common.plan import Plan, encode_plan
from silosynth.common.trust import Purpose
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator import (
    Absent,
    Acknowledged,
    Agree,
    Answered,
    Decided,
    Event,
    Mute,
    Silent,
    Stated,
    Undecided,
)
from silosynth.simulations.scenario.federation import Federation
from silosynth.simulations.scenario.letters import Call, Letter, Link, Talk, agree
from silosynth.simulations.scenario.scenario import STEPS, Crash, Point, Stall
from silosynth.simulations.scenario.timeline import Leg, Timeline, What
from silosynth.simulations.scenario.units import SECOND
from silosynth.simulations.scenario.world import Place, Sizes

_RESEND_MOST = 30 * SECOND
_CHALLENGE, _CHALLENGE_MOST = 15 * SECOND, 3600 * SECOND
_ASK_APPROVAL = 5 * SECOND
_FIT = 5 * SECOND


class VirtualTime:
    """Own the virtual clock of one run, and everything that is on its way."""

    def __init__(
        self, plan: Plan, *, federation: Federation, places: Mapping[str, Place], timeline: Timeline
    ) -> None:
        """Take the silos and the world; ``plan`` names the silos' keys."""
        self.now = 0
        self.timeline = timeline
        self.left: dict[str, dict[str, bytes]] = {s: {} for s in plan.silos}
        self.conflicts: list[str] = []
        self._plan, self._silos, self._places = plan, federation, places
        self._sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=federation.key)
        self._sizes = Sizes(plan, sealed=len(self._sealed))
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0
        self._links = {s: Link() for s in plan.silos}
        self._talk: Talk | None = None

    def propose(self, silos: Sequence[str]) -> Iterator[Event]:
        """Show the plan until every silo has decided, or the time for it is over."""

        def call(gateway: Gateway) -> bytes:
            return gateway.propose(plan=self._sealed)

        letters = {s: self._letter(Point.PROPOSE, call) for s in silos}
        deadline = self._plan.approval_seconds * SECOND
        for silo, data in self._converse("propose", letters, deadline=deadline):
            yield Decided(silo=silo, data=data)
        for silo in self._unheard(letters):
            yield Undecided(silo=silo)

    def ask(self, requests: Sequence[Request]) -> Iterator[Event]:
        """Send each request; yield what comes before the deadline, then who is absent."""
        phase = requests[0].phase
        letters = {
            r.silo: self._letter(
                Point.COUNT,
                self._silos.answer(r.silo, r, plan=self._sealed),
                phase=phase.value,
            )
            for r in requests
        }
        for silo, data in self._converse(phase.value, letters, deadline=self._deadline()):
            yield Answered(phase=phase, silo=silo, data=data)
        for silo in self._unheard(letters):
            yield Absent(phase=phase, silo=silo)

    def agree(self, steps: Sequence[Agree]) -> Iterator[Event]:
        """Ask for keys or votes; yield what comes before the deadline, then who is mute."""
        asked, session = steps[0].asked, steps[0].step.session
        letters = {}
        for ask in steps:
            step = encode_sum_statement(ask.step, key=self._silos.key)
            letters[ask.silo] = self._letter(Point.SET, partial(agree, self._sealed, step))
        name = f"agree: {asked.value}"
        for silo, data in self._converse(name, letters, deadline=self._deadline()):
            yield Stated(asked=asked, session=session, silo=silo, data=data)
        for silo in self._unheard(letters):
            yield Mute(asked=asked, session=session, silo=silo)

    def deliver(self, silos: Sequence[str], *, bundle: bytes) -> Iterator[Event]:
        """Hand the result out; yield who took it before the deadline, then who is silent."""
        letters = {
            s: self._letter(Point.DELIVER, lambda gateway: gateway.deliver(bundle)) for s in silos
        }
        for silo, data in self._converse("deliver", letters, deadline=self._deadline()):
            yield Acknowledged(silo=silo, data=data)
        for silo in self._unheard(letters):
            yield Silent(silo=silo)

    def fit(self) -> None:
        """Let the time pass that the coordinator fits for."""
        leg = Leg(name="fit", begin=self.now, asked=0)
        self.now += _FIT
        leg.until = self.now
        self.timeline.legs.append(leg)

    def _deadline(self) -> int:
        return self.now + self._plan.deadline_seconds * SECOND

    def _letter(self, point: Point, call: Call, *, phase: str | None = None) -> Letter:
        size, answer, work = self._sizes.of(point, phase)
        return Letter(point=point, call=call, size=size, answer=answer, work=work, phase=phase)

    def _unheard(self, letters: Mapping[str, Letter]) -> list[str]:
        """Return who did not answer, and mark it."""
        answered = self.timeline.legs[-1].answered
        missing = [s for s in letters if s not in answered]
        for silo in missing:
            self.timeline.mark(silo, What.LEFT, self.now)
        return missing

    def _at(self, moment: int, event: Callable[[], None]) -> None:
        """Let something happen at a moment; of one moment's events the first asked is first."""
        self._count += 1
        heapq.heappush(self._heap, (max(moment, self.now), self._count, event))

    def _converse(
        self, name: str, letters: dict[str, Letter], *, deadline: int
    ) -> Iterator[tuple[str, bytes]]:
        """Let time pass until every silo has answered or the deadline is there."""
        leg = Leg(name=name, begin=self.now, asked=len(letters))
        self.timeline.legs.append(leg)
        talk = self._talk = Talk(leg=leg, waiting=dict(letters))
        for silo in letters:
            self._begin(silo)
        while talk.waiting and self._heap and self._heap[0][0] < deadline:
            moment, _, event = heapq.heappop(self._heap)
            self.now = max(self.now, moment)
            event()
            heard, talk.heard = talk.heard, []
            leg.until = self.now
            yield from heard
        if talk.waiting:
            self.now = max(self.now, deadline)
        leg.until = self.now
        self._talk = None

    def _begin(self, silo: str) -> None:
        """Send a silo its letter of this stage, or let it connect first."""
        if self._links[silo].connected:
            self._send(silo)
        else:
            self._connect(silo)

    def _connect(self, silo: str) -> None:
        """Let a silo connect and prove who it is, as soon as it is there."""
        link = self._links[silo]
        if not link.connecting:
            link.connecting = True
            self._try_connect(silo, _CHALLENGE)

    def _try_connect(self, silo: str, wait: int) -> None:
        """Try to connect once; again later where that fails."""
        place = self._places[silo]
        back = place.back(self.now)
        if back is None:
            return
        if back > self.now:
            self._at(back, partial(self._try_connect, silo, wait))
            return
        later = partial(self._try_connect, silo, min(2 * wait, _CHALLENGE_MOST))
        if not place.tells_time(self.now):
            self.timeline.mark(silo, What.CLOCK, self.now)
            self._at(self.now + wait, later)
            return
        befell = self._befell(silo, Point.CONNECT, None)
        if isinstance(befell, Crash):
            self._crash(silo, befell)
            self._at(self.now, later)
            return
        number = self._number(silo)
        if place.loses(message=number, now=self.now, point=Point.CONNECT):
            self.timeline.mark(silo, What.LOST, self.now)
            self._at(self.now + wait, later)
            return
        size, _, work = self._sizes.of(Point.CONNECT, None)
        stall = self._stalled(silo, befell)
        trip = 2 * place.travel(message=number, size=size) + round(work / place.speed) + stall
        self._at(self.now + trip, partial(self._connected, silo))

    def _connected(self, silo: str) -> None:
        """Take a silo's identity, and send it what waits for it."""
        link = self._links[silo]
        link.connecting = False
        if self._places[silo].away(self.now):
            self._connect(silo)
            return
        challenge = make_challenge()
        data = self._silos.gateway(silo).identify(challenge)
        said = decode_statement(data, Identity, trusted=(self._plan.roster[silo],))
        link.connected = said.silo == silo
        self._send(silo)

    def _send(self, silo: str) -> None:
        """Send a silo the letter that waits for it, and look again later."""
        talk, link, place = self._talk, self._links[silo], self._places[silo]
        letter = talk.waiting.get(silo) if talk else None
        if talk is None or letter is None or letter.parked or not link.connected:
            return
        if place.away(self.now):
            link.connected = False
            self._connect(silo)
            return
        letter.sent += 1
        if letter.sent > 1:
            self.timeline.mark(silo, What.AGAIN, self.now)
        self._at(max(self.now + letter.wait, link.busy_until), partial(self._again, silo, letter))
        letter.wait = min(2 * letter.wait, _RESEND_MOST)
        number = self._number(silo)
        self.timeline.sent[place.region] += letter.size
        if place.loses(message=number, now=self.now, point=letter.point):
            self.timeline.mark(silo, What.LOST, self.now)
            return
        arrives = self.now + place.travel(message=number, size=letter.size)
        self._at(arrives, partial(self._arrive, silo, letter, talk))

    def _again(self, silo: str, letter: Letter) -> None:
        """Send a letter again that was not answered."""
        if self._talk and self._talk.waiting.get(silo) is letter:
            self._send(silo)

    def _arrive(self, silo: str, letter: Letter, talk: Talk) -> None:
        """Let a silo's gateway begin to work, unless it is at it."""
        place, link = self._places[silo], self._links[silo]
        if place.away(self.now) or link.busy_until > self.now:
            return
        befell = self._befell(silo, letter.point, letter.phase)
        end = self.now + round(letter.work / place.speed) + self._stalled(silo, befell)
        if befell is None and letter.point is Point.COUNT:
            sending = self._befell(silo, Point.SEND, letter.phase)
            befell = sending if isinstance(sending, Crash) else None
        down = place.goes_down(self.now, end)
        link.busy_until = end if down is None else down
        if down is not None:
            self._at(down, partial(self._die, silo, letter, STEPS[letter.point][0], None))
        elif isinstance(befell, Crash):
            self._at(end, partial(self._die, silo, letter, befell.dies_at, befell))
        else:
            self._at(end, partial(self._work, silo, letter, talk, self.now))

    def _work(self, silo: str, letter: Letter, talk: Talk, begun: int) -> None:
        """Let the real gateway answer, and send the answer off."""
        self.timeline.mark(silo, What.WORK, begun, self.now)
        data = letter.call(self._silos.gateway(silo))
        if letter.point is Point.COUNT:
            self._watch(silo, data)
        place, number = self._places[silo], self._number(silo)
        sending = None
        if letter.point is Point.COUNT:
            sending = self._befell(silo, Point.SEND, letter.phase, stalls=True)
        leaves = self.now + self._stalled(silo, sending)
        point = Point.SEND if letter.point is Point.COUNT else letter.point
        if place.away(leaves) or place.loses(message=number, now=leaves, point=point):
            self.timeline.mark(silo, What.LOST, leaves)
            return
        self.timeline.received[place.region] += letter.answer
        arrives = leaves + place.travel(message=number, size=letter.answer)
        self._at(arrives, partial(self._heard, silo, data, talk))

    def _heard(self, silo: str, data: bytes, talk: Talk) -> None:
        """Take an answer, unless its silo was cut off meanwhile or nobody waits for it."""
        if self._places[silo].away(self.now):
            self.timeline.mark(silo, What.LOST, self.now)
            return
        if talk is not self._talk or silo not in talk.waiting:
            what = What.LATE if silo not in talk.leg.answered else What.HEARD
            self.timeline.mark(silo, what, self.now)
            return
        letter = talk.waiting[silo]
        if letter.point is Point.PROPOSE and self._is_pending(silo, data):
            self._wait_for_person(silo, letter)
            return
        del talk.waiting[silo]
        talk.leg.answered[silo] = self.now
        talk.heard.append((silo, data))

    def _is_pending(self, silo: str, data: bytes) -> bool:
        """Say whether a silo's people have not decided yet."""
        try:
            verdict = decode_statement(data, Verdict, trusted=(self._plan.roster[silo],))
        except SilosynthError:
            return False
        return verdict.answer is Answer.PENDING

    def _wait_for_person(self, silo: str, letter: Letter) -> None:
        """Leave a silo alone until its person has decided; the channel would ask every 5 s."""
        letter.parked = True
        link, place = self._links[silo], self._places[silo]
        if not link.decided:
            link.decided = True
            self._at(place.decides(self.now), partial(self._decide, silo, letter, self.now))

    def _decide(self, silo: str, letter: Letter, asked: int) -> None:
        """Let a silo's person decide, once the machine is on; ask for the verdict soon after."""
        place = self._places[silo]
        if place.is_down(self.now):
            back = place.back(self.now)
            if back is not None:
                self._at(back, partial(self._decide, silo, letter, asked))
            return
        self._silos.decide(silo, refuses=place.approval.refuses)
        self.timeline.mark(silo, What.WAIT, asked, self.now)
        letter.parked = False
        passed = self.now - asked
        self._at(self.now + -passed % _ASK_APPROVAL, partial(self._again, silo, letter))

    def _die(self, silo: str, letter: Letter, step: str, crash: Crash | None) -> None:
        """Let the real gateway die at a step of its work."""
        self._silos.dying(silo, step=step, call=partial(self._watched, silo, letter))
        if crash is not None:
            self._crash(silo, crash)
        else:
            self.timeline.mark(silo, What.CRASH, self.now)
        self._links[silo].connected = False
        self._connect(silo)

    def _watched(self, silo: str, letter: Letter, gateway: Gateway) -> bytes:
        data = letter.call(gateway)
        if letter.point is Point.COUNT:
            self._watch(silo, data)
        return data

    def _crash(self, silo: str, crash: Crash) -> None:
        """Take a silo down for as long as a crash lasts."""
        until = self.now + max(1, crash.lasts)
        self._silos.kill(silo)
        self._places[silo].crash(now=self.now, until=until)
        self.timeline.mark(silo, What.CRASH, self.now, until)

    def _befell(
        self, silo: str, point: Point, phase: str | None, *, stalls: bool = False
    ) -> Stall | Crash | None:
        """Return what befalls a silo at a point now, and count it."""
        befalls = self._places[silo].befalls
        return self._links[silo].meets(
            befalls, point=point, phase=phase, now=self.now, stalls=stalls
        )

    def _stalled(self, silo: str, befell: Stall | Crash | None) -> int:
        """Return how long a stall lasts, and mark it."""
        if not isinstance(befell, Stall):
            return 0
        self.timeline.mark(silo, What.STALL, self.now, self.now + befell.lasts)
        return befell.lasts

    def _number(self, silo: str) -> int:
        """Return the number of a silo's next message."""
        self._links[silo].messages += 1
        return self._links[silo].messages

    def _watch(self, silo: str, data: bytes) -> None:
        """Keep what left a silo: one request may have one answer, whatever happens."""
        try:
            answer = decode_release(data, trusted=(self._plan.roster[silo],))
        except SilosynthError:
            return
        if isinstance(answer, Release):
            known = self.left[silo].setdefault(answer.receipt.request_id, data)
            if known != data:
                self.conflicts.append(silo)
