"""What a ledger keeps about plans: those that wait, what was decided, and what approvers signed."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from sqlite3 import Connection
from threading import Lock

from silosynth.client.ledger.batch import Batch
from silosynth.client.ledger.checks import MAX_CHANGE, MAX_STATEMENT, MAX_WHY, check_text
from silosynth.client.ledger.decisions import (
    add_decision,
    add_roster,
    add_word,
    claimed_by,
    decided_signers,
    newest_decision,
    standing_words,
)
from silosynth.client.ledger.rows import (
    epoch_plan,
    first_payer,
    last_body,
    last_recovery,
    later_epoch,
    order_of,
    part_sums,
    paying_parts,
    series_scopes,
)
from silosynth.client.ledger.waiting import (
    WaitingPlan,
    add_waiting,
    all_waiting,
    check_size,
    count_waiting,
)
from silosynth.common.audit import (
    ApproverWord,
    Authority,
    Decision,
    Parted,
    RecordedWord,
    RosterStep,
    Scope,
    Verdict,
    decision_body,
    growth,
    word_body,
)
from silosynth.common.errors import InvalidArgument

Clock = Callable[[], datetime]


def time_text(time: datetime) -> str:
    """Return a time in UTC to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds")


class Statements:
    """The part of a ledger that spends nothing: whose a plan is, and who said what about it.

    A decision about a plan of one signer is undone by a newer one alone, and both stand in the
    chain; a plan is approved for one signer and for no other, for good.
    """

    def __init__(self, batch: Batch, *, clock: Clock) -> None:
        """Take an open, checked file."""
        self._batch = batch
        self._clock = clock
        self._rosters: tuple[RosterStep, ...] = ()
        self._remembering = Lock()

    def growth(self, scope: Scope, units: int, *, part: Parted | None) -> int:
        """Return what a charge of so many units would take from a scope."""
        if part is None:
            return units
        sums = self._batch.read(lambda connection: part_sums(connection, scope, part.split))
        return growth(sums, part.side, units)

    def order(self, scope: Scope) -> int | None:
        """Return the Rényi order that a scope's budget is held at, in units of 2^-20, if any."""
        return self._batch.read(lambda connection: order_of(connection, scope))

    def wait(self, plan_digest: str, plan: bytes, *, signer: str) -> tuple[str, ...]:
        """Let a plan as ``signer`` sealed it wait for a person, unless it waits or is refused.

        Guarantees: at most 64 plans of at most 1 MiB wait, so that nobody can fill the disk with
        them. The oldest are pushed out by newer ones; their digests are returned, for the
        operator's log. Nothing is written to the chain.

        Raises CapExceeded when the plan is too large.
        """
        check_text(plan_digest, "plan digest")
        check_text(signer, "key of who signed the plan")
        check_size(plan)
        at = time_text(self._clock())
        return self._batch.write(
            lambda connection: add_waiting(
                connection, plan_digest=plan_digest, signer=signer, plan=plan, at=at
            )
        )

    def pending(self) -> tuple[WaitingPlan, ...]:
        """Return the plans that wait for a person, oldest first."""
        return self._batch.read(all_waiting)

    def waits(self) -> int:
        """Return how many plans wait for a person."""
        return self._batch.read(count_waiting)

    def decide(
        self,
        plan_digest: str,
        verdict: Verdict,
        *,
        signer: str,
        why: str,
        by: str,
        authority: Authority = Authority.PERSON,
        at: datetime | None = None,
    ) -> Decision:
        """Record durably what was decided about the plan that ``signer`` signed.

        It then waits no longer. The newest decision counts; the older ones stay in the chain. A
        plan need not have waited.

        Raises RequestConflict when it approves what was approved for another signer before.
        """
        check_text(plan_digest, "plan digest")
        check_text(signer, "key of who signed the plan")
        check_text(by, "name of who decides")
        check_text(why, "reason", most=MAX_WHY)
        if not isinstance(verdict, Verdict):
            raise InvalidArgument(f"{verdict!r} is no verdict", hint="use a Verdict")
        when = time_text(self._clock() if at is None else at)
        body = decision_body(
            plan_digest=plan_digest,
            signer=signer,
            verdict=verdict,
            why=why,
            by=by,
            authority=authority,
            at=when,
        )
        return self._batch.write(
            lambda connection: add_decision(
                connection, body, plan_digest=plan_digest, signer=signer
            )
        )

    def decision(self, plan_digest: str, *, signer: str) -> Decision | None:
        """Return the decision that counts for the plan that ``signer`` signed, if there is one.

        A decision of a file before version 4 names no signer; it is returned where no newer one
        is, and its caller judges what it is worth.
        """
        return self._batch.read(
            lambda connection: newest_decision(connection, plan_digest, signer=signer)
        )

    def decided(self, plan_digest: str) -> tuple[str, ...]:
        """Return the signers whose plans of this digest were decided about."""
        return self._batch.read(lambda connection: decided_signers(connection, plan_digest))

    def owner(self, plan_digest: str) -> str | None:
        """Return the signer for whom a plan was approved first; for nobody else it ever is."""
        return self._batch.read(lambda connection: claimed_by(connection, plan_digest))

    def payer(self, plan_digest: str, *, prefix: str) -> str | None:
        """Return the consumer who paid for the first request of a plan; None before that.

        Args: prefix: what the ids of the plan's requests begin with.
        """
        return self._batch.read(
            lambda connection: first_payer(connection, plan_digest, prefix=prefix)
        )

    def paid_by(self, plan_digest: str, *, prefix: str) -> frozenset[Parted | None]:
        """Return the parts that paid for the requests of a plan, None for everybody.

        Args: prefix: what the ids of the plan's requests begin with.
        """
        return self._batch.read(
            lambda connection: paying_parts(connection, plan_digest, prefix=prefix)
        )

    def epoch_plan(self, scope: Scope) -> str | None:
        """Return the plan that was answered in an epoch, by its budget; None before the first."""
        return self._batch.read(lambda connection: epoch_plan(connection, scope))

    def later_epoch(self, scope: Scope) -> int | None:
        """Return the next epoch of the series that was answered after one; None without one."""
        return self._batch.read(lambda connection: later_epoch(connection, scope))

    def series(self) -> tuple[tuple[Scope, int, int], ...]:
        """Return each series and epoch that was begun, with its cap and what it has spent."""
        return self._batch.read(series_scopes)

    def now(self) -> datetime:
        """Return the time of day by the clock that entries are written with."""
        return self._clock()

    def recovered(self) -> datetime | None:
        """Return when a lost ledger was put back with less than it held; None where none was."""
        body = self._batch.read(last_recovery)
        return None if body is None else datetime.fromisoformat(json.loads(body)["at"])

    def newest(self) -> datetime:
        """Return when the last entry was written, by the clock of then."""
        entry = json.loads(self._batch.read(last_body))
        return datetime.fromisoformat(entry["at"])

    def take_in(self, word: ApproverWord) -> RecordedWord:
        """Record durably what an approver signed; its caller has checked the signature.

        Guarantees: a word that refuses is a decision that refuses, at once. One that approves is
        none: how many it takes is the policy's to say.

        Raises RequestConflict when this word, or a newer one of this approver on this plan of this
        signer, is on record.
        """
        for text, what in ((word.plan_digest, "plan digest"), (word.by, "name of who decides")):
            check_text(text, what)
        check_text(word.why, "reason", most=MAX_WHY)
        check_text(word.statement, "statement", most=MAX_STATEMENT)
        at = time_text(self._clock())
        body = word_body(word, at=at)
        refusal = decision_body(
            plan_digest=word.plan_digest,
            signer=word.signer,
            verdict=Verdict.REFUSED,
            why=word.why,
            by=word.by,
            authority=Authority.APPROVERS,
            at=at,
        )

        def record(connection: Connection) -> RecordedWord:
            recorded = add_word(connection, body)
            if word.verdict is Verdict.REFUSED:
                add_decision(connection, refusal, plan_digest=word.plan_digest, signer=word.signer)
            return recorded

        return self._batch.write(record)

    def change_roster(self, step: RosterStep, *, why: str) -> RosterStep:
        """Record durably that a change of a roster was approved; from then on it is gone by.

        Guarantees: a project's versions only rise, whoever asks at the same time; the change waits
        no longer; approval and change stand in the chain together or not at all.

        Raises RequestConflict for a version that is not ahead, or a change that was approved for
        another signer.
        """
        check_text(step.by, "name of who decides")
        check_text(why, "reason", most=MAX_WHY)
        check_text(step.statement, "statement", most=MAX_CHANGE)
        at = time_text(self._clock())
        approval = decision_body(
            plan_digest=step.change,
            signer=step.signer,
            verdict=Verdict.APPROVED,
            why=why,
            by=step.by,
            authority=step.authority,
            at=at,
        )

        def record(connection: Connection) -> RosterStep:
            add_decision(connection, approval, plan_digest=step.change, signer=step.signer)
            return add_roster(connection, replace(step, at=at))

        recorded = self._batch.write(record)
        self._take_rosters([recorded])
        return recorded

    @property
    def rosters(self) -> tuple[RosterStep, ...]:
        """Return every change of a roster that was approved here, in order."""
        return self._rosters

    def _take_rosters(self, steps: Collection[RosterStep]) -> None:
        """Remember the changes that the chain holds, so that no request reads it through."""
        with self._remembering:
            known = {s.sequence: s for s in (*self._rosters, *steps)}
            self._rosters = tuple(known[place] for place in sorted(known))

    def words(self, plan_digest: str, *, signer: str) -> tuple[RecordedWord, ...]:
        """Return the newest word of each approver on a plan, given since it was last refused."""
        return self._batch.read(
            lambda connection: standing_words(connection, plan_digest, signer=signer)
        )
