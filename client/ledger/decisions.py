"""The ledger's statements about plans: what was decided for whom, and what approvers signed.

Each runs inside a transaction that its caller began.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from silosynth.client.ledger.rows import append, first_row
from silosynth.common.audit import (
    Decision,
    RecordedWord,
    RosterStep,
    Verdict,
    read_decision,
    read_word,
    roster_body,
)
from silosynth.common.errors import RequestConflict


def add_decision(
    connection: sqlite3.Connection, body: str, *, plan_digest: str, signer: str
) -> Decision:
    """Record a decision about the plan that ``signer`` signed, which waits no longer.

    Raises RequestConflict when it approves what was approved for another signer before.
    """
    owner = claimed_by(connection, plan_digest)
    place, head = append(connection, body)
    decision = read_decision(body, sequence=place, head=head)
    if decision.verdict is Verdict.APPROVED:
        if owner not in (None, signer):
            raise RequestConflict(
                f"plan {plan_digest} was approved for another coordinator",
                hint="refuse it, and ask for a plan with another id",
            )
        connection.execute(
            "INSERT INTO claims VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (plan_digest, signer, place),
        )
    connection.execute(
        "INSERT INTO decisions VALUES (?, ?, ?, ?) ON CONFLICT (plan, signer) DO UPDATE "
        "SET decided = excluded.decided, refused = coalesce(excluded.refused, refused)",
        (plan_digest, signer, place, place if decision.verdict is Verdict.REFUSED else None),
    )
    connection.execute(
        "DELETE FROM waiting WHERE plan = ? AND (signer = ? OR signer IS NULL)",
        (plan_digest, signer),
    )
    return decision


def add_roster(connection: sqlite3.Connection, step: RosterStep) -> RosterStep:
    """Record a change of a roster that was just approved; return it with its place.

    Raises RequestConflict unless it is ahead of every change of its project before it.
    """
    row = first_row(
        connection,
        "SELECT max(json_extract(body, '$.version')) FROM entries "
        "WHERE json_extract(body, '$.kind') = 'roster' AND json_extract(body, '$.project') = ?",
        step.project,
    )
    if row is not None and row[0] is not None and step.version <= row[0]:
        raise RequestConflict(
            f"the roster of project {step.project!r} has version {row[0]} here already",
            hint="an older roster, or another one of a version, is never gone back to",
        )
    place, head = append(connection, roster_body(step))
    return replace(step, sequence=place, head=head)


def newest_decision(
    connection: sqlite3.Connection, plan_digest: str, *, signer: str
) -> Decision | None:
    """Return the decision that counts for the plan that ``signer`` signed.

    One of a file before version 4, which does not say who signed, where there is no other.
    """
    row = first_row(
        connection,
        "SELECT sequence, body, head FROM decisions JOIN entries ON decided = sequence "
        "WHERE plan = ? AND (signer = ? OR signer IS NULL) ORDER BY signer IS NULL LIMIT 1",
        plan_digest,
        signer,
    )
    return None if row is None else read_decision(row[1], sequence=row[0], head=row[2])


def decided_signers(connection: sqlite3.Connection, plan_digest: str) -> tuple[str, ...]:
    """Return whose plans of a digest were decided about."""
    rows = connection.execute(
        "SELECT signer FROM decisions WHERE plan = ? AND signer IS NOT NULL ORDER BY decided",
        (plan_digest,),
    )
    return tuple(str(signer) for (signer,) in rows)


def claimed_by(connection: sqlite3.Connection, plan_digest: str) -> str | None:
    """Return the signer for whom a plan was approved first."""
    row = first_row(connection, "SELECT signer FROM claims WHERE plan = ?", plan_digest)
    return None if row is None else str(row[0])


def add_word(connection: sqlite3.Connection, body: str) -> RecordedWord:
    """Record what an approver signed; raise RequestConflict unless it is the approver's newest."""
    place, head = append(connection, body)
    recorded = read_word(body, sequence=place, head=head)
    word = recorded.word
    before = first_row(
        connection,
        "SELECT signed_at FROM words WHERE plan = ? AND signer = ? AND key = ?",
        word.plan_digest,
        word.signer,
        word.key,
    )
    if before is not None and word.signed_at <= before[0]:
        raise RequestConflict(
            f"{word.by} signed this decision, or a newer one, before",
            hint="have it signed anew",
        )
    connection.execute(
        "INSERT INTO words VALUES (?, ?, ?, ?, ?) ON CONFLICT (plan, signer, key) "
        "DO UPDATE SET signed_at = excluded.signed_at, said = excluded.said",
        (word.plan_digest, word.signer, word.key, word.signed_at, place),
    )
    return recorded


def standing_words(
    connection: sqlite3.Connection, plan_digest: str, *, signer: str
) -> tuple[RecordedWord, ...]:
    """Return the newest word of each approver on a plan, given since it was last refused."""
    rows = connection.execute(
        "SELECT sequence, body, head FROM words JOIN entries ON said = sequence "
        "WHERE plan = ?1 AND signer = ?2 AND said > coalesce((SELECT refused FROM decisions "
        "WHERE plan = ?1 AND signer = ?2), 0) ORDER BY said",
        (plan_digest, signer),
    )
    return tuple(read_word(body, sequence=s, head=head) for s, body, head in rows)
