"""The federation's Flower edge: sealed letters to the silos of the roster, and what they answer.

Flower loses a message when the SuperNode that has it dies, and never says so. So every letter is
sent again, less and less often, and at once when a node was away and is back, until its silo
answers or the deadline passes. A silo answers the same letter with the same bytes, at no charge.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.typing import ConfigRecordValues

from silosynth.common.errors import RunFailed, SilosynthError
from silosynth.common.messages.release import AGREE, DELIVER, IDENTIFY, MEASURE, PROPOSE, RECORD
from silosynth.common.messages.request import Request, encode_request
from silosynth.common.messages.statements import (
    CHALLENGE_BYTES,
    Answer,
    Identity,
    Verdict,
    decode_statement,
)
from silosynth.common.messages.sums import encode_sum_statement
from silosynth.common.plan.plan import Plan, encode_plan
from silosynth.common.telemetry import log
from silosynth.common.trust.keys import PublicKey, Purpose, SigningKey
from silosynth.common.trust.seal import seal
from silosynth.server.coordinator.state import (
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
from silosynth.server.driver.drive import Checkpoint
from silosynth.server.federation.calls import Calls, Grid
from silosynth.server.federation.link import Patience

Fields = dict[str, ConfigRecordValues]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often things are tried, in seconds."""

    poll_seconds: float = 0.2
    idle_poll_seconds: float = 2.0
    nodes_seconds: float = 1.0
    challenge_seconds: float = 15.0
    resend_seconds: float = 15.0
    resend_most_seconds: float = 30.0
    failed_seconds: float = 2.0
    approval_seconds: float = 5.0
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    """What is sent to a silo until it answers, and when to send it next."""

    kind: str
    fields: Fields
    due: float = 0.0
    wait_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Challenge:
    """What a node was asked to sign."""

    node: int
    challenge: bytes


@dataclass(slots=True)
class _Post:
    """Letters on their way: message ids, and when each node may be challenged again.

    ``listed`` are the nodes that were connected when they were last looked at.
    """

    letters: dict[str, str] = field(default_factory=dict)
    challenges: dict[str, _Challenge] = field(default_factory=dict)
    challenge_due: dict[int, float] = field(default_factory=dict)
    listed: frozenset[int] | None = None
    nodes_due: float = 0.0
    active: float = 0.0


class Channel:
    """Own what is on its way between a coordinator and the silos of one plan.

    Only a node that signs a fresh challenge with a key of the roster is that silo; a node that
    cannot gets no plan. ``stopping`` ends every wait with RunFailed.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        plan: Plan,
        key: SigningKey,
        receipts: Callable[[str], Sequence[bytes]] = lambda _: (),
        stopping: Callable[[], bool] = lambda: False,
        checkpoint: Checkpoint = lambda _: None,
        pace: Pace | None = None,
    ) -> None:
        """Take Flower's grid, the signed plan's roster and the coordinator's key."""
        self._plan = plan
        self._key = key
        self._receipts = receipts
        self._stopping = stopping
        self._checkpoint = checkpoint
        self._pace = pace or Pace()
        self._calls = Calls(grid, patience=self._pace.patience)
        self._sealed = seal(encode_plan(plan), purpose=Purpose.PLAN, key=key)
        self._nodes: dict[str, int] = {}
        self._post = _Post()

    def propose(self, silos: Sequence[str], *, deadline: float) -> Iterator[Event]:
        """Show the plan to silos until each has decided; who has not by ``deadline`` is named.

        Args: deadline: of ``time.monotonic``.
        """
        letters = {
            s: self._letter(PROPOSE, {"plan": self._sealed, "receipts": list(self._receipts(s))})
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
        letters = {
            r.silo: self._letter(
                MEASURE,
                {
                    "plan": self._sealed,
                    "request": seal(encode_request(r), purpose=Purpose.REQUEST, key=self._key),
                },
            )
            for r in requests
        }
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
        letters = {
            a.silo: self._letter(
                AGREE,
                {"plan": self._sealed, "step": encode_sum_statement(a.step, key=self._key)},
            )
            for a in steps
        }
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
        letters = {s: self._letter(DELIVER, {"bundle": bundle}) for s in silos}
        heard = set()
        deadline = time.monotonic() + self._plan.deadline_seconds
        for silo, data in self._converse(letters, field="acknowledgement", deadline=deadline):
            heard.add(silo)
            yield Acknowledged(silo=silo, data=data)
        for silo in silos:
            if silo not in heard:
                yield Silent(silo=silo)

    def _letter(self, kind: str, fields: Fields) -> _Letter:
        """Write a letter that is due at once."""
        return _Letter(kind=kind, fields=fields, wait_seconds=self._pace.resend_seconds)

    def _converse(
        self, letters: Mapping[str, _Letter], *, field: str, deadline: float
    ) -> Iterator[tuple[str, bytes]]:
        """Send letters until every silo has answered or the deadline passes."""
        waiting = dict(letters)
        self._post = _Post(active=time.monotonic())
        while waiting and time.monotonic() < deadline:
            if self._stopping():
                raise RunFailed(
                    "the run was stopped", hint="resume it with 'silosynth run --resume'"
                )
            self._look_at_nodes(waiting)
            self._send_due(waiting)
            for silo, data in self._pull(waiting, field=field):
                if field == "verdict" and self._is_pending(silo, data):
                    due = time.monotonic() + self._pace.approval_seconds
                    waiting[silo] = replace(waiting[silo], due=due)
                    continue
                del waiting[silo]
                yield silo, data
            self._sleep()

    def _sleep(self) -> None:
        """Wait a moment, longer when nothing has happened for a while."""
        idle = time.monotonic() - self._post.active > 60
        time.sleep(self._pace.idle_poll_seconds if idle else self._pace.poll_seconds)

    def _look_at_nodes(self, waiting: dict[str, _Letter]) -> None:
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
        for node in nodes:
            if listed is not None and node not in listed:
                self._take_back(node, waiting, now=now)
        if any(self._nodes.get(silo) not in nodes for silo in waiting):
            self._challenge(sorted(nodes), now=now)

    def _take_back(self, node: int, waiting: dict[str, _Letter], *, now: float) -> None:
        """Send again to a node that was away: what its SuperNode had is lost."""
        self._post.challenge_due.pop(node, None)
        for silo, known in self._nodes.items():
            if known == node and silo in waiting:
                log("silo-returned", silo=silo)
                waiting[silo] = replace(waiting[silo], due=min(waiting[silo].due, now))

    def _challenge(self, nodes: Iterable[int], *, now: float) -> None:
        """Ask nodes that are nobody yet to prove who they are; the first failure ends the round."""
        known = set(self._nodes.values())
        due = self._post.challenge_due
        for node in sorted(nodes, key=lambda n: due.get(n, 0.0)):
            if node in known or now < due.get(node, 0.0):
                continue
            challenge = secrets.token_bytes(CHALLENGE_BYTES)
            message = self._push(node, IDENTIFY, {"challenge": challenge})
            if not message:
                due[node] = time.monotonic() + self._pace.failed_seconds
                return
            self._post.challenges[message] = _Challenge(node=node, challenge=challenge)
            due[node] = now + self._pace.challenge_seconds

    def _send_due(self, waiting: dict[str, _Letter]) -> None:
        """Send or resend the letters whose time has come, to nodes that proved who they are.

        A node that is away gets nothing: it would find a pile. A letter that cannot be pushed is
        tried again soon, after the others, and what came meanwhile is looked at before.
        """
        sent = False
        for silo, letter in sorted(waiting.items(), key=lambda item: item[1].due):
            node, now = self._nodes.get(silo), time.monotonic()
            if node is None or now < letter.due or self._is_away(node):
                continue
            message = self._push(node, letter.kind, letter.fields)
            if not message:
                due = time.monotonic() + self._pace.failed_seconds
                waiting[silo] = replace(letter, due=due)
                break
            self._post.letters[message] = silo
            waiting[silo] = self._later(letter, now=now)
            sent = True
            if letter.due:
                log("sent-again", silo=silo, kind=letter.kind)
        if sent:
            self._checkpoint("after-send")

    def _is_away(self, node: int) -> bool:
        """Tell whether a node was not connected when they were last looked at."""
        return self._post.listed is not None and node not in self._post.listed

    def _later(self, letter: _Letter, *, now: float) -> _Letter:
        """Return a letter that was just sent, due again after a wait that doubles."""
        most = self._pace.resend_most_seconds
        return replace(
            letter,
            due=now + letter.wait_seconds,
            wait_seconds=min(2 * letter.wait_seconds, most),
        )

    def _push(self, node: int, kind: str, fields: Fields) -> str:
        """Give one message to Flower; return its id, or nothing when it was not taken."""
        message = Message(
            content=RecordDict({RECORD: ConfigRecord(fields)}),
            dst_node_id=node,
            message_type=f"query.{kind}",
        )
        return self._calls.push(message, size=_size(fields))

    def _pull(self, waiting: dict[str, _Letter], *, field: str) -> Iterator[tuple[str, bytes]]:
        """Take replies; yield what silos answered, once each."""
        answered = set()
        for reply in self._calls.pull((*self._post.letters, *self._post.challenges)):
            self._post.active = time.monotonic()
            sent = reply.metadata.reply_to_message_id
            challenge = self._post.challenges.pop(sent, None)
            if challenge is not None:
                self._check_identity(challenge, _field(reply, "identity"))
                continue
            silo = self._post.letters.pop(sent, None)
            if silo not in waiting or silo in answered:
                continue
            data = _field(reply, field)
            if isinstance(data, bytes):
                answered.add(silo)
                yield silo, data
            else:
                self._hurry(waiting, silo)

    def _hurry(self, waiting: dict[str, _Letter], silo: str) -> None:
        """Look for the silo's node anew and send again soon: its node failed, or its gateway."""
        self._nodes.pop(silo, None)
        log("silo-failed", silo=silo, kind=waiting[silo].kind)
        due = time.monotonic() + self._pace.failed_seconds
        waiting[silo] = replace(waiting[silo], due=due)

    def _check_identity(self, asked: _Challenge, data: ConfigRecordValues | None) -> None:
        """Take a node for the silo whose key signed its challenge; log any other."""
        if not isinstance(data, bytes):
            self._post.challenge_due[asked.node] = time.monotonic() + self._pace.failed_seconds
            return
        for silo, key in self._plan.roster.items():
            try:
                identity = decode_statement(data, Identity, trusted=(key,))
            except SilosynthError:
                continue
            if (identity.silo, identity.challenge) == (silo, asked.challenge.hex()):
                self._nodes[silo] = asked.node
                log("silo-connected", silo=silo)
                return
        log("node-rejected", node=str(asked.node))

    def _is_pending(self, silo: str, data: bytes) -> bool:
        """Tell whether a silo's people have not decided yet."""
        trusted: tuple[PublicKey, ...] = (self._plan.roster[silo],)
        try:
            verdict = decode_statement(data, Verdict, trusted=trusted)
        except SilosynthError:
            return False
        return verdict.answer is Answer.PENDING


def _size(fields: Fields) -> int:
    """Return how many bytes a letter carries, about."""
    values = [v for f in fields.values() for v in (f if isinstance(f, list) else [f])]
    return sum(len(v) for v in values if isinstance(v, bytes))


def _field(reply: Message, name: str) -> ConfigRecordValues | None:
    """Return a field of a reply; None when the node failed or answered something else."""
    if reply.has_error() or not reply.has_content():
        return None
    return reply.content.config_records.get(RECORD, ConfigRecord()).get(name)
