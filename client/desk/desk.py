"""The operator's desk: what a silo's own people ask of its ledger, beside a gateway or without one.

Every answer is plain data of public facts: plans, costs, digests, heads. Only ``notes`` and how
rows fit may speak of the table; they are kept in memory and told over the operator's socket alone.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import TYPE_CHECKING

from pydantic import ValidationError

from silosynth.client.desk.facts import (
    Facts,
    budget_facts,
    plan_facts,
    release_facts,
    spent_facts,
    table_facts,
)
from silosynth.client.desk.fit import all_words, consent, with_fit
from silosynth.client.desk.person import person_of
from silosynth.client.desk.plan_in_words import lack_facts
from silosynth.client.desk.questions import Command, Question, find_plan, is_digest
from silosynth.client.desk.rosters import KIND, all_rosters, change_facts, with_words
from silosynth.client.ledger import Ledger, WaitingPlan
from silosynth.client.policy import PolicyFile, SiloIdentity, approved_by, enough, read_word
from silosynth.client.roster import RosterBook
from silosynth.client.silo import backup_bytes
from silosynth.common.audit import ApproverWord, Authority, Decision, RosterStep, Verdict
from silosynth.common.errors import InvalidArgument, SilosynthError
from silosynth.common.plan import decode_plan
from silosynth.common.trust import Purpose, SigningKey, plain_bytes, plain_text, purpose_of, unseal
from silosynth.common.trust.seal import seal

if TYPE_CHECKING:
    from silosynth.client.silo import Fits

_MOST_NOTES = 100
_PIECE_BYTES = 32_000_000
_UNKNOWN = "unknown"
"""Stands for the signer of a plan that waits in a file that did not say who signed it."""


class Notes:
    """Own the newest sentences for the operator, in memory alone: they may speak of the data."""

    def __init__(self, *, heard: Callable[[], None] = lambda: None) -> None:
        """Begin with none; ``heard`` is called at each, without its text."""
        self._notes: deque[str] = deque(maxlen=_MOST_NOTES)
        self._lock = Lock()
        self._heard = heard

    def tell(self, sentence: str) -> None:
        """Keep a sentence."""
        with self._lock:
            self._notes.append(sentence)
        self._heard()

    def all(self) -> list[str]:
        """Return what is kept, oldest first."""
        with self._lock:
            return list(self._notes)


class Desk:
    """Answer an operator's questions from an open ledger."""

    def __init__(
        self,
        *,
        policy: PolicyFile,
        key: SigningKey,
        ledger: Ledger,
        notes: Notes | None = None,
        fits: Fits | None = None,
    ) -> None:
        """Take what answers are made from."""
        self._fits = fits
        self._policy = policy
        self._key = key
        self._ledger = ledger
        self._notes = notes or Notes()
        self._book = RosterBook(
            silo=policy.silo.name,
            identity=SiloIdentity(key=key, coordinators=policy.consumers()),
            rules=policy.rules(),
            ledger=ledger,
        )

    def ask(self, question: Question, *, user: int) -> Facts:
        """Return the answer to a question; raise a SilosynthError when there is none.

        Args: user: who asks, as the operating system says.
        """
        person = person_of(user, sudo_user=question.sudo_user)
        answers: dict[Command, Callable[[], Facts]] = {
            Command.PENDING: lambda: {"plans": with_fit(with_words(self.pending()), self._fits)},
            Command.PLAN: lambda: self._sealed(question),
            Command.DECIDE: lambda: self._decide(question, by=person),
            Command.TAKE_IN: lambda: self._take_in(question),
            Command.RELEASES: lambda: {"releases": release_facts(self._ledger)},
            Command.SPENT: lambda: {"scopes": spent_facts(self._ledger, self._policy)},
            Command.VERIFY: self._verify,
            Command.EXPORT: self._export,
            Command.NOTES: lambda: {"notes": [*all_words(self._fits), *self._notes.all()]},
            Command.ROSTERS: lambda: {"rosters": all_rosters(self._book)},
            Command.BACKUP: lambda: self._backup(question),
        }
        return answers[question.command]()

    def answer(self, data: bytes, *, user: int) -> bytes:
        """Answer a question's bytes; an error is an answer, too."""
        try:
            reply: Facts = {"data": self.ask(Question.model_validate_json(data), user=user)}
        except ValidationError:
            reply = {"error": {"code": InvalidArgument.code, "message": "no such question"}}
        except SilosynthError as err:
            reply = {"error": {"code": err.code, "message": err.message, "hint": err.hint}}
        return json.dumps(reply).encode()

    def pending(self) -> list[Facts]:
        """Return the facts of each plan that waits; nothing that is slow is worked out for it."""
        return [self._facts(waiting) for waiting in self._ledger.pending()]

    def _facts(self, waiting: WaitingPlan) -> Facts:
        """Return what a person has to know of a plan to decide about it."""
        consumers = self._policy.consumers()
        if purpose_of(waiting.plan) is Purpose.ROSTER:
            return self._change_facts(waiting)
        try:
            opened = unseal(waiting.plan, purpose=Purpose.PLAN, trusted=consumers.keys())
            plan = decode_plan(opened.body)
        except SilosynthError as err:
            # Its coordinator left the policy while it waited: it may be refused, not approved.
            return {
                "digest": waiting.plan_digest,
                "at": waiting.at,
                "signer": waiting.signer or _UNKNOWN,
                "unusable": err.message,
            }
        consumer = consumers[opened.key]
        return {
            **plan_facts(plan),
            **lack_facts(plan, silo=self._policy.silo.name),
            **table_facts(plan, policy=self._policy),
            "digest": waiting.plan_digest,
            "at": waiting.at,
            "coordinator": consumer,
            "signer": opened.key,
            "budgets": budget_facts(
                plan, consumer=consumer, policy=self._policy, ledger=self._ledger
            ),
            "signed": self._signed(waiting.plan_digest, signer=opened.key),
        }

    def _change_facts(self, waiting: WaitingPlan) -> Facts:
        """Return what a person has to know of a change of a roster to decide about it."""
        known: Facts = {"kind": KIND, "digest": waiting.plan_digest, "at": waiting.at}
        try:
            proposed = self._book.read(waiting.plan)
        except SilosynthError as err:
            # Another change was approved while it waited, or its coordinator left the policy.
            return {**known, "signer": waiting.signer or _UNKNOWN, "unusable": err.message}
        return {
            **change_facts(proposed.change),
            **known,
            "removed": list(proposed.difference.removed),
            "coordinator": self._policy.consumers()[proposed.signer],
            "signer": proposed.signer,
            "signed": self._signed(waiting.plan_digest, signer=proposed.signer),
        }

    def _change(self, plan_digest: str) -> bytes | None:
        """Return a change of a roster that waits, as its coordinator signed it."""
        for waiting in self._ledger.pending():
            if (waiting.plan_digest, purpose_of(waiting.plan)) == (plan_digest, Purpose.ROSTER):
                return waiting.plan
        return None

    def _signed(self, plan_digest: str, *, signer: str) -> Facts | None:
        """Return who has signed for a plan; None where the policy asks for no signatures."""
        approvers = self._policy.approving()
        if not approvers.needed:
            return None
        words = self._ledger.words(plan_digest, signer=signer)
        return {"needed": approvers.needed, "by": list(approved_by(words, approvers))}

    def _sealed(self, question: Question) -> Facts:
        """Return a plan that waits as its coordinator sealed it, for those who sign decisions."""
        plan = find_plan(self.pending(), question.plan or "", coordinator=question.coordinator)
        for waiting in self._ledger.pending():
            if waiting.plan_digest == plan["digest"] and self._facts(waiting) == plan:
                return {"plan": plan, "sealed": plain_text(waiting.plan)}
        raise InvalidArgument(f"plan {plan['digest']} waits no longer")

    def _decide(self, question: Question, *, by: str) -> Facts:
        """Record a person's decision about one plan of one coordinator."""
        if question.plan is None or question.approve is None:
            raise InvalidArgument("a decision needs a plan and a verdict")
        plan = self._named(question.plan, coordinator=question.coordinator)
        if question.approve:
            self._check_approvable(plan)
        verdict = Verdict.APPROVED if question.approve else Verdict.REFUSED
        why = question.why or verdict.value
        change = self._change(plan["digest"]) if question.approve else None
        decision: RosterStep | Decision
        if change is not None:
            decision = self._book.approve(change, by=by, authority=Authority.PERSON, why=why)
        else:
            self._check_not_gone_by(plan["digest"])
            if question.approve:
                why += consent(plan, self._fits, although=question.although_unfit)
            decision = self._ledger.decide(
                plan["digest"], verdict, signer=plan["signer"], why=why, by=by
            )
        return {
            "plan": plan,
            "verdict": verdict.value,
            "by": by,
            "at": decision.at,
            "head": decision.head,
        }

    def _check_not_gone_by(self, digest: str) -> None:
        """Raise InvalidArgument for a change of a roster that was approved already."""
        step = next((s for s in self._ledger.rosters if s.change == digest), None)
        if step is not None:
            raise InvalidArgument(
                f"version {step.version} of the roster of {step.project!r} is gone by since "
                f"{step.at}",
                hint="no change is undone but by another one, which the coordinator proposes",
            )

    def _check_approvable(self, plan: Facts) -> None:
        """Raise InvalidArgument unless a person at this desk may approve a plan."""
        if "unusable" in plan:
            raise InvalidArgument(
                f"plan {plan['digest']} cannot be approved: {plan['unusable']}", hint="refuse it"
            )
        needed = self._policy.approving().needed
        if needed:
            raise InvalidArgument(
                f"this silo's policy asks for {needed} signed decisions of its approvers",
                hint="have them sign, and use 'silosynth silo take-in'",
            )

    def _take_in(self, question: Question) -> Facts:
        """Record what an approver signed, and what follows from it."""
        try:
            data = plain_bytes(question.signed or "")
        except ValueError:
            raise InvalidArgument("a signed decision is not base64") from None
        approvers, silo = self._policy.approving(), self._policy.silo.name
        word = read_word(data, approvers=approvers, silo=silo, now=datetime.now(UTC))
        plan = self._check_known(word)
        self._check_not_gone_by(word.plan_digest)
        signs = word.verdict is Verdict.APPROVED and plan.get("kind") != KIND
        told = consent(plan, self._fits, although=question.although_unfit) if signs else ""
        recorded = self._ledger.take_in(word)
        words = self._ledger.words(word.plan_digest, signer=word.signer)
        approved = word.verdict is Verdict.APPROVED and enough(words, approvers)
        change = self._change(word.plan_digest) if approved else None
        if change is not None:
            by = ", ".join(approved_by(words, approvers))
            self._book.approve(change, by=by, authority=Authority.APPROVERS, why="signed decisions")
        elif approved:
            self._ledger.decide(
                word.plan_digest,
                Verdict.APPROVED,
                signer=word.signer,
                why=f"signed decisions{told}",
                by=", ".join(approved_by(words, approvers)),
                authority=Authority.APPROVERS,
            )
        return {
            "plan": word.plan_digest,
            "by": word.by,
            "word": word.verdict.value,
            "verdict": word.verdict.value if approved or word.verdict is Verdict.REFUSED else None,
            "approved_by": list(approved_by(words, approvers)),
            "needed": approvers.needed,
            "at": recorded.at,
            "head": self._ledger.head,
        }

    def _check_known(self, word: ApproverWord) -> Facts:
        """Return what is known of the plan of a word: it waits here, or was decided.

        A plan that waits was checked by the gateway; of any other nothing is known here. Raises
        InvalidArgument for a word about neither.
        """
        named = (word.plan_digest, word.signer)
        plan = next((p for p in self.pending() if (p["digest"], p.get("signer")) == named), None)
        if plan is None and word.signer not in self._ledger.decided(word.plan_digest):
            raise InvalidArgument(
                f"no plan {word.plan_digest} that {word.signer} signed waits here",
                hint="see 'silosynth silo pending'; the coordinator may propose it again",
            )
        return plan or {"digest": word.plan_digest}

    def _named(self, name: str, *, coordinator: str | None) -> Facts:
        """Return the plan that waits by a name, or one that was decided before by its digest."""
        plans = self.pending()
        if is_digest(name) and not any(p["digest"] == name for p in plans):
            consumers = self._policy.consumers()
            # A decision that does not say for whom is one about every coordinator's.
            keys = sorted({*consumers, *self._ledger.decided(name)})
            plans = [
                {"digest": name, "signer": key, "coordinator": consumers.get(key, key)}
                for key in keys
                if self._ledger.decision(name, signer=key) is not None
            ]
        return find_plan(plans, name, coordinator=coordinator)

    def _verify(self) -> Facts:
        """Check every page, entry and release of the ledger again."""
        account = self._ledger.verify()
        return {
            "head": self._ledger.head,
            "entries": account.entries,
            "charges": len(account.charges),
            "releases": len(account.releases),
            "decisions": len(account.decisions),
            "signed": len(account.words),
        }

    def _export(self) -> Facts:
        """Return the ledger's audit, sealed with the silo's key."""
        sealed = seal(self._ledger.audit(), purpose=Purpose.AUDIT, key=self._key)
        return {"audit": base64.b64encode(sealed).decode(), "key": self._key.public}

    def _backup(self, question: Question) -> Facts:
        """Return a piece of a backup; the same last entry makes the same bytes."""
        copied = self._ledger.copied(upto=question.upto)
        whole = backup_bytes(copied, key=self._key)
        piece = whole[question.offset : question.offset + _PIECE_BYTES]
        return {
            "upto": copied.entries,
            "head": copied.head,
            "piece": plain_text(piece),
            "bytes": len(whole),
        }
