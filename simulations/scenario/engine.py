"""The virtual clock: a heap of (time, event) between the real coordinator and real gateways.

Nothing sleeps. A letter's way, a silo's work and a person's night are events; what a gateway and
the coordinator say is computed by them, at the moment that the heap has reached. Letters are sent
again as :mod:`silosynth.server.federation.channel` does over real processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from silosynth.simulations.scenario.letters import Call, Deaths, Letter, Talk, agree
from silosynth.simulations.scenario.running import Connections, Running
from silosynth.simulations.scenario.timeline import Leg, Timeline, What
from silosynth.simulations.world import (
    SECOND,
    STEPS,
    CoordinatorCrash,
    Crash,
    Outage,
    Partition,
    Place,
    Point,
    Sizes,
)

_RESEND_MOST = 30 * SECOND
_ASK_APPROVAL = 5 * SECOND
_FIT = 5 * SECOND


class VirtualTime:
    """Own the virtual clock of one run, and everything that is on its way."""

    def __init__(
        self,
        plan: Plan,
        *,
        federation: Federation,
        places: Mapping[str, Place],
        timeline: Timeline,
        crashes: Sequence[CoordinatorCrash] = (),
    ) -> None:
        """Take the silos and the world; ``plan`` names the silos' keys."""
        self.timeline = timeline
        self.left: dict[str, dict[str, bytes]] = {s: {} for s in plan.silos}
        self.conflicts: list[str] = []
        self._plan, self._silos, self._places = plan, federation, places
        self._sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=federation.key)
        sizes = Sizes(plan, sealed=len(self._sealed))
        self._run = run = Running(
            plan, kill=federation.kill, places=places, timeline=timeline, sizes=sizes
        )
        self._clock, self._links, self._lines = run.clock, run.links, run.lines
        self._ways = Connections(run, connected=self._send, identify=self._identify)
        self._deaths = Deaths(crashes)
        self._talk: Talk | None = None

    @property
    def now(self) -> int:
        """Return the time that it is, in microseconds from the beginning."""
        return self._clock.now

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
        self.timeline.legs.append(leg)
        over = self.now + _FIT
        if killed := self._deaths.by_time(before=over):
            self._clock.now = max(self.now, killed.begin)
            self._deaths.die(leg, killed, now=self.now)
        self._clock.now = leg.until = over

    def over(self) -> None:
        """Mark at the run's end how long people were waited for who have not decided."""
        for silo, link in self._links.items():
            if link.asked_person is not None and not link.decided:
                self.timeline.mark(silo, What.WAIT, link.asked_person, self.now)

    def rest(self, *, until: int) -> None:
        """Let time pass while there is no coordinator: silos work, people decide, answers go by."""
        self._talk = None
        self._deaths.rest(until=until)
        leg = Leg(name="coordinator off", begin=self.now, asked=0, until=until)
        self.timeline.legs.append(leg)
        while self._clock.go_on(before=until):
            pass
        self._clock.now = until

    def _deadline(self) -> int:
        return self.now + self._plan.deadline_seconds * SECOND

    def _letter(self, point: Point, call: Call, *, phase: str | None = None) -> Letter:
        size, answer, work = self._run.sizes.of(point, phase)
        return Letter(point=point, call=call, size=size, answer=answer, work=work, phase=phase)

    def _unheard(self, letters: Mapping[str, Letter]) -> list[str]:
        """Return who did not answer, and mark it."""
        leg = self.timeline.legs[-1]
        leg.missed = missing = [s for s in letters if s not in leg.answered]
        for silo in missing:
            self.timeline.mark(silo, What.LEFT, self.now)
        return missing

    def _converse(
        self, name: str, letters: dict[str, Letter], *, deadline: int
    ) -> Iterator[tuple[str, bytes]]:
        """Let time pass until every silo has answered or the deadline is there."""
        leg = Leg(name=name, begin=self.now, asked=len(letters))
        self.timeline.legs.append(leg)
        talk = self._talk = Talk(leg=leg, waiting=dict(letters))
        for silo in letters:
            if self._links[silo].connected:
                self._send(silo)
            else:
                self._ways.connect(silo)
        while talk.waiting and self._go_on(leg, deadline=deadline):
            heard, talk.heard = talk.heard, []
            leg.until = self.now
            for silo, data in heard:
                letter = letters[silo]
                point, phase = letter.point, letter.phase
                if killed := self._deaths.in_hand(leg, point, phase=phase, now=self.now):
                    self._deaths.die(leg, killed, now=self.now)
                leg.answered[silo] = self.now
                yield silo, data
        if talk.waiting:
            self._clock.now = max(self.now, deadline)
        leg.until = self.now
        self._talk = None

    def _go_on(self, leg: Leg, *, deadline: int) -> bool:
        """Let the next thing happen before a deadline; say whether there was any."""
        killed = self._deaths.by_time(before=deadline)
        if self._clock.go_on(before=killed.begin if killed else deadline):
            return True
        if killed is not None:
            self._clock.now = max(self.now, killed.begin)
            self._deaths.die(leg, killed, now=self.now)
        return False

    def _identify(self, silo: str) -> bool:
        """Ask a silo's gateway who it is; say whether it is who the plan says."""
        data = self._silos.gateway(silo).identify(make_challenge())
        return decode_statement(data, Identity, trusted=(self._plan.roster[silo],)).silo == silo

    def _send(self, silo: str) -> None:
        """Send a silo the letter that waits for it, and look again later."""
        talk, link, place = self._talk, self._links[silo], self._places[silo]
        letter = talk.waiting.get(silo) if talk else None
        if talk is None or letter is None or letter.parked or not link.connected:
            return
        if place.away(self.now):
            self._ways.connect(silo)
            return
        letter.sent += 1
        if letter.sent > 1:
            self.timeline.mark(silo, What.AGAIN, self.now)
        self._clock.at(
            max(self.now + letter.wait, link.busy_until), partial(self._again, silo, letter)
        )
        letter.wait = min(2 * letter.wait, _RESEND_MOST)
        number = self._run.number(silo)
        self.timeline.sent[place.region] += letter.size
        if place.loses(message=number, now=self.now, point=letter.point):
            self.timeline.mark(silo, What.LOST, self.now)
            return
        arrives = self._lines.arrives(
            place, now=self.now, message=number, size=letter.size, inbound=False
        )
        self._clock.at(arrives, partial(self._arrive, silo, letter, talk))

    def _again(self, silo: str, letter: Letter) -> None:
        """Send a letter again that was not answered."""
        if self._talk and self._talk.waiting.get(silo) is letter:
            self._send(silo)

    def _arrive(self, silo: str, letter: Letter, talk: Talk) -> None:
        """Let a silo's gateway begin to work, unless it is at it."""
        place, link = self._places[silo], self._links[silo]
        if place.away(self.now) or link.busy_until > self.now:
            return
        befell = self._run.befell(silo, letter.point, letter.phase)
        if isinstance(befell, Outage | Partition):
            self._run.goes(silo, befell)
            if isinstance(befell, Outage):
                self._ways.connect(silo)
                return
            befell = None
        end = self.now + round(letter.work / place.speed) + self._run.stalled(silo, befell)
        if befell is None and letter.point is Point.COUNT:
            befell = self._run.befell(silo, Point.SEND, letter.phase)
        down = place.goes_down(self.now, end)
        link.busy_until = end if down is None else down
        if down is not None:
            self._clock.at(down, partial(self._die, silo, letter, STEPS[letter.point][0], None))
        elif isinstance(befell, Crash):
            self._clock.at(end, partial(self._die, silo, letter, befell.dies_at, befell))
        else:
            self._clock.at(end, partial(self._work, silo, letter, talk, self.now))

    def _work(self, silo: str, letter: Letter, talk: Talk, begun: int) -> None:
        """Let the real gateway answer, and send the answer off."""
        self.timeline.mark(silo, What.WORK, begun, self.now)
        data = self._watched(silo, letter, self._silos.gateway(silo))
        place, number = self._places[silo], self._run.number(silo)
        leaves, point = self.now, letter.point
        if point is Point.COUNT:
            point = Point.SEND
            sending = self._run.befell(silo, point, letter.phase, answered=True)
            leaves += self._run.stalled(silo, sending)
            if sending is not None:
                self._run.goes(silo, sending, begin=leaves)
        if place.away(leaves) or place.loses(message=number, now=leaves, point=point):
            self.timeline.mark(silo, What.LOST, leaves)
            return
        self.timeline.received[place.region] += letter.answer
        arrives = self._lines.arrives(
            place, now=leaves, message=number, size=letter.answer, inbound=True
        )
        self._clock.at(arrives, partial(self._heard, silo, data, talk))

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
        link = self._links[silo]
        if link.asked_person is None:
            link.asked_person = self.now
            self._clock.at(self._places[silo].decides(self.now), partial(self._decide, silo))

    def _decide(self, silo: str) -> None:
        """Let a silo's person decide, once the machine is on; ask for the verdict soon after."""
        place, asked = self._places[silo], self._links[silo].asked_person
        if place.is_down(self.now):
            back = place.back(self.now)
            if back is not None:
                self._clock.at(back, partial(self._decide, silo))
            return
        self._silos.decide(silo, refuses=place.approval.refuses)
        begun = self.now if asked is None else asked
        self._links[silo].decided = True
        self.timeline.mark(silo, What.WAIT, begun, self.now)
        # A coordinator that was killed meanwhile waits with another letter than the one before.
        letter = self._talk.waiting.get(silo) if self._talk else None
        if letter is not None:
            letter.parked = False
            passed = self.now - begun
            self._clock.at(self.now + -passed % _ASK_APPROVAL, partial(self._again, silo, letter))

    def _die(self, silo: str, letter: Letter, step: str, crash: Crash | None) -> None:
        """Let the real gateway die at a step of its work."""
        self._silos.dying(silo, step=step, call=partial(self._watched, silo, letter))
        if crash is not None:
            self._run.goes(silo, crash)
        else:
            self.timeline.mark(silo, What.CRASH, self.now)
        self._ways.connect(silo)

    def _watched(self, silo: str, letter: Letter, gateway: Gateway) -> bytes:
        """Return what a gateway says, and keep it where it is a release."""
        data = letter.call(gateway)
        if letter.point is Point.COUNT:
            self._watch(silo, data)
        return data

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
