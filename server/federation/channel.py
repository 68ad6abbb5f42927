"""The federation's Flower edge: sealed letters to the silos of the roster, and what they answer.

Flower loses a message when the SuperNode that has it dies, and never says so. So every letter is
sent again, less and less often, and at once when a node was away and is back, until its silo
answers or the deadline passes. A silo answers the same letter with the same bytes, at no charge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from flwr.app import ConfigRecord, Message, RecordDict

from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.messages import (
    AGREE,
    DELIVER,
    IDENTIFY,
    MEASURE,
    PROPOSE,
    RECORD,
    UNREACHABLE,
    Answer,
    Identity,
    Left,
    Request,
    Verdict,
    check_version,
    decode_statement,
    encode_request,
    encode_sum_statement,
    make_challenge,
)
from silosynth.common.plan import Plan
from silosynth.common.telemetry import log
from silosynth.common.trust import Purpose, SigningKey
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
from silosynth.server.driver import Reached
from silosynth.server.federation.grid import TOGETHER
from silosynth.server.federation.letters import (
    Addressees,
    Calls,
    Challenge,
    Fields,
    Grid,
    Letter,
    Post,
    field_of,
    seal_plan,
    size_of,
)
from silosynth.server.federation.standing import Standing, Waiting, Watch, printable
from silosynth.server.federation.superlink_calls import Pace

ABSENT, ASKED = Standing.ABSENT, Standing.ASKED
_TOGETHER_BYTES = 4 << 20


class Channel:
    """Own what is on its way between a coordinator and the silos of one plan.

    Only a node that signs a fresh challenge with a key of the roster is that silo; no other gets a
    plan. ``stopping`` ends every wait with RunFailed; ``standing`` is told why silos are awaited.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        plan: Plan | Addressees,
        key: SigningKey,
        receipts: Callable[[str], Sequence[bytes]] = lambda _: (),
        stopping: Callable[[], bool] = lambda: False,
        reached: Reached = lambda _: None,
        standing: Callable[[Mapping[str, Waiting]], None] = lambda _: None,
        left: Callable[[str, Mapping[str, Left]], None] = lambda *_: None,
        pace: Pace | None = None,
    ) -> None:
        """Take Flower's grid, the plan (or what is proposed instead), and our key."""
        self._plan = plan
        self._key = key
        self._receipts = receipts
        self._stopping = stopping
        self._reached = reached
        self._pace = pace or Pace()
        self._calls = Calls(grid, patience=self._pace.patience)
        self._sealed = plan.sealed if isinstance(plan, Addressees) else seal_plan(plan, key)
        self._nodes: dict[str, int] = {}
        self._post = Post()
        self._watch, self._left = Watch(standing), left

    def propose(self, silos: Sequence[str], *, deadline: float) -> Iterator[Event]:
        """Show the plan to silos until each has decided; who has not by ``deadline`` is named.

        Args: deadline: of ``time.monotonic``.
        """
        letters = {
            s: self._letter(PROPOSE, partial(self._proposal, receipts=list(self._receipts(s))))
            for s in silos
        }
        decided = set()
        for silo, data in self._converse(letters, field="verdict", deadline=deadline):
            decided.add(silo)
            yield Decided(silo=silo, data=data)
        for silo in silos:
            if silo not in decided:
                yield Undecided(silo=silo)

    def ask(self, requests: Sequence[Request]) -> Iterator[Event]:
        """Send each request to its silo; yield one event for each silo, as they answer."""
        phase = requests[0].phase
        letters = {r.silo: self._letter(MEASURE, partial(self._question, r)) for r in requests}
        answered = set()
        deadline = time.monotonic() + self._plan.deadline_seconds
        for silo, data in self._converse(letters, field="release", deadline=deadline):
            answered.add(silo)
            yield Answered(phase=phase, silo=silo, data=data)
        for silo in letters:
            if silo not in answered:
                yield Absent(phase=phase, silo=silo)

    def agree(self, steps: Sequence[Agree]) -> Iterator[Event]:
        """Ask silos for their keys or votes; yield one event for each silo, as they answer."""
        asked, session = steps[0].asked, steps[0].step.session
        sealed = {s: encode_sum_statement(s, key=self._key) for s in {a.step for a in steps}}
        letters = {a.silo: self._letter(AGREE, partial(self._step, sealed[a.step])) for a in steps}
        heard = set()
        deadline = time.monotonic() + self._plan.deadline_seconds
        for silo, data in self._converse(letters, field="statement", deadline=deadline):
            heard.add(silo)
            yield Stated(asked=asked, session=session, silo=silo, data=data)
        for silo in letters:
            if silo not in heard:
                yield Mute(asked=asked, session=session, silo=silo)

    def deliver(self, silos: Sequence[str], *, bundle: bytes) -> Iterator[Event]:
        """Send the signed result to silos; who says nothing until the deadline is named."""
        letters = {s: self._letter(DELIVER, lambda: {"bundle": bundle}) for s in silos}
        heard = set()
        deadline = time.monotonic() + self._plan.deadline_seconds
        for silo, data in self._converse(letters, field="acknowledgement", deadline=deadline):
            heard.add(silo)
            yield Acknowledged(silo=silo, data=data)
        for silo in silos:
            if silo not in heard:
                yield Silent(silo=silo)

    def _proposal(self, *, receipts: list[bytes]) -> Fields:
        return {"plan": self._sealed, "receipts": receipts}

    def _question(self, request: Request) -> Fields:
        sealed = seal(encode_request(request), purpose=Purpose.REQUEST, key=self._key)
        return {"plan": self._sealed, "request": sealed}

    def _step(self, sealed: bytes) -> Fields:
        return {"plan": self._sealed, "step": sealed}

    def _letter(self, kind: str, write: Callable[[], Fields]) -> Letter:
        """Return a letter that is due at once."""
        return Letter(
            kind=kind,
            write=write,
            wait_seconds=self._pace.resend_seconds,
            approval_seconds=self._pace.approval_seconds,
        )

    def _converse(
        self, letters: Mapping[str, Letter], *, field: str, deadline: float
    ) -> Iterator[tuple[str, bytes]]:
        """Send letters until every silo has answered or the deadline passes."""
        waiting = dict(letters)
        self._post = Post(active=time.monotonic())
        self._watch.begin({s: ASKED if s in self._nodes else ABSENT for s in waiting})
        while waiting and time.monotonic() < deadline:
            if self._stopping():
                raise RunFailed("the run was stopped", hint="resume it by 'silosynth run --resume'")
            self._look_at_nodes(waiting)
            self._send_due(waiting)
            for silo, data in self._pull(waiting, field=field):
                pending = self._pending(silo, data) if field == "verdict" else None
                if pending is not None:
                    self._watch.stand(silo, Standing.PENDING, why=printable(pending.message))
                    waiting[silo] = self._left_alone(waiting[silo], deadline=deadline)
                    continue
                del waiting[silo]
                self._watch.heard(silo)
                yield silo, data
            self._watch.tell()
            self._sleep()
        self._watch.tell()

    def _left_alone(self, letter: Letter, *, deadline: float) -> Letter:
        """Return a letter that a person has to decide on, due again after a wait that doubles."""
        pace, now = self._pace, time.monotonic()
        soonest, last = now + pace.approval_seconds, deadline - pace.approval_last_seconds
        return replace(
            letter,
            due=min(now + letter.approval_seconds, max(soonest, last)),
            approval_seconds=min(2 * letter.approval_seconds, pace.approval_most_seconds),
            wait_seconds=pace.resend_seconds,
            pending=True,
        )

    def _sleep(self) -> None:
        """Wait a moment, longer when nothing has happened for a while."""
        idle = time.monotonic() - self._post.active > 60
        time.sleep(self._pace.idle_poll_seconds if idle else self._pace.poll_seconds)

    def _look_at_nodes(self, waiting: dict[str, Letter]) -> None:
        """See who is connected: send anew to who was away, challenge who is nobody yet."""
        now = time.monotonic()
        if now < self._post.nodes_due:
            return
        nodes, listed = self._calls.nodes(), self._post.listed
        now = time.monotonic()
        self._post.nodes_due = now + self._pace.nodes_seconds
        if nodes is None:
            return
        self._post.listed = nodes
        for silo in waiting:
            if silo in self._nodes and self._nodes[silo] not in nodes:
                self._watch.stand(silo, ABSENT)
        for node in nodes:
            if listed is not None and node not in listed:
                self._take_back(node, waiting, now=now)
        if any(self._nodes.get(silo) not in nodes for silo in waiting):
            self._challenge(sorted(nodes), now=now)

    def _take_back(self, node: int, waiting: dict[str, Letter], *, now: float) -> None:
        """Send again to a node that was away: what its SuperNode had is lost."""
        self._post.challenge_due.pop(node, None)
        for silo, known in self._nodes.items():
            if known == node and silo in waiting:
                log("silo-returned", silo=silo)
                self._watch.stand(silo, ASKED)
                waiting[silo] = replace(waiting[silo], due=min(waiting[silo].due, now))

    def _challenge(self, nodes: Iterable[int], *, now: float) -> None:
        """Ask nodes that are nobody yet to prove who they are; the first failure ends the round."""
        known = set(self._nodes.values())
        due = self._post.challenge_due
        for node in sorted(nodes, key=lambda n: due.get(n, 0.0)):
            if node in known or now < due.get(node, 0.0):
                continue
            challenge = make_challenge()
            fields: Fields = {"challenge": challenge}
            (message,) = self._calls.push([_message(node, IDENTIFY, fields)], size=size_of(fields))
            if not message:
                due[node] = time.monotonic() + self._pace.failed_seconds
                return
            self._post.challenges[message] = Challenge(node=node, challenge=challenge)
            due[node] = now + self._pace.challenge_seconds

    def _send_due(self, waiting: dict[str, Letter]) -> None:
        """Send or resend the letters whose time has come, to nodes that proved who they are.

        A node that is away gets nothing: it would find a pile. A letter that cannot be pushed is
        tried again soon, after the others, and what came meanwhile is looked at before.
        """
        before = len(self._post.letters)
        due = sorted(waiting.items(), key=lambda item: item[1].due)
        left = [(s, letter) for s, letter in due if self._is_due(s, letter)]
        while left and self._send_some(waiting, left):
            pass
        if len(self._post.letters) > before:
            self._reached("after-send")

    def _is_due(self, silo: str, letter: Letter) -> bool:
        """Say whether a letter is to be sent now."""
        node = self._nodes.get(silo)
        return node is not None and letter.due <= time.monotonic() and not self._is_away(node)

    def _send_some(self, waiting: dict[str, Letter], left: list[tuple[str, Letter]]) -> bool:
        """Send the first letters of those left, as many as go together; say whether all went."""
        now, messages, size = time.monotonic(), dict[str, Message](), 0
        while left and len(messages) < TOGETHER and size < _TOGETHER_BYTES:
            silo, letter = left.pop(0)
            fields = letter.write()
            messages[silo] = _message(self._nodes[silo], letter.kind, fields)
            size += size_of(fields)
        ids = self._calls.push(list(messages.values()), size=size)
        for silo, message in zip(messages, ids, strict=True):
            letter = waiting[silo]
            if not message:
                due = time.monotonic() + self._pace.failed_seconds
                waiting[silo] = replace(letter, due=due)
                continue
            self._post.letters[message] = silo
            waiting[silo] = self._later(letter, now=now)
            if letter.due and not letter.pending:
                log("sent-again", silo=silo, kind=letter.kind)
        return all(ids)

    def _is_away(self, node: int) -> bool:
        """Tell whether a node was not connected when they were last looked at."""
        return self._post.listed is not None and node not in self._post.listed

    def _later(self, letter: Letter, *, now: float) -> Letter:
        """Return a letter that was just sent, due again after a wait that doubles."""
        most = self._pace.resend_most_seconds
        return replace(
            letter,
            due=now + letter.wait_seconds,
            wait_seconds=min(2 * letter.wait_seconds, most),
            pending=False,
        )

    def _pull(self, waiting: dict[str, Letter], *, field: str) -> Iterator[tuple[str, bytes]]:
        """Take replies; yield what silos answered, once each."""
        answered = set()
        for reply in self._calls.pull((*self._post.letters, *self._post.challenges)):
            self._post.active = time.monotonic()
            sent = reply.metadata.reply_to_message_id
            challenge = self._post.challenges.pop(sent, None)
            if challenge is not None:
                self._check_identity(challenge, reply)
                continue
            silo = self._post.letters.pop(sent, None)
            if silo not in waiting or silo in answered:
                continue
            data = field_of(reply, field)
            if isinstance(data, bytes):
                answered.add(silo)
                yield silo, data
            else:
                away = field_of(reply, UNREACHABLE) is not None
                self._watch.stand(silo, Standing.GATEWAY_AWAY if away else Standing.ABSENT)
                self._hurry(waiting, silo)

    def _hurry(self, waiting: dict[str, Letter], silo: str) -> None:
        """Look for the silo's node anew and send again soon: its node failed, or its gateway."""
        self._nodes.pop(silo, None)
        log("silo-failed", silo=silo, kind=waiting[silo].kind)
        due = time.monotonic() + self._pace.failed_seconds
        waiting[silo] = replace(waiting[silo], due=due)

    def _check_identity(self, asked: Challenge, reply: Message) -> None:
        """Take a node for the silo whose key signed its challenge, if we can speak with it."""
        data = field_of(reply, "identity")
        if not isinstance(data, bytes):
            self._note_away(reply)
            self._post.challenge_due[asked.node] = time.monotonic() + self._pace.failed_seconds
            return
        for silo, key in self._plan.roster.items():
            try:
                identity = decode_statement(data, Identity, trusted=(key,))
            except SilosynthError:
                continue
            if (identity.silo, identity.challenge) == (silo, asked.challenge.hex()):
                check_version(identity.wire, who=f"silo {silo}")
                self._nodes[silo] = asked.node
                log("silo-connected", silo=silo)
                self._watch.stand(silo, ASKED)
                self._left(silo, identity.left)
                return
        log("node-rejected", node=str(asked.node))

    def _note_away(self, reply: Message) -> None:
        """Believe a relay without a gateway whose it is: nobody has signed that, it is only shown.

        A silo that has proved who it is, is not spoken for.
        """
        silo = field_of(reply, "silo")
        if isinstance(silo, str) and self._watch.is_absent(silo):
            self._watch.stand(silo, Standing.GATEWAY_AWAY)

    def _pending(self, silo: str, data: bytes) -> Verdict | None:
        """Return a silo's word that its people have not decided yet; None for any other word."""
        try:
            verdict = decode_statement(data, Verdict, trusted=(self._plan.roster[silo],))
        except SilosynthError:
            return None
        return verdict if verdict.answer is Answer.PENDING else None


def _message(node: int, kind: str, fields: Fields) -> Message:
    """Make one message to one node."""
    content = RecordDict({RECORD: ConfigRecord(fields)})
    return Message(content=content, dst_node_id=node, message_type=f"query.{kind}")
