"""An audit is checked without the ledger, and no edit of it goes unseen."""

from __future__ import annotations

import hashlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silosynth.common.audit import (
    GENESIS,
    ApproverWord,
    Authority,
    Scope,
    ScopeKind,
    Verdict,
    cap_body,
    charge_body,
    decision_body,
    encode_audit,
    genesis_body,
    next_head,
    release_body,
    verify_audit,
    word_body,
)
from silosynth.common.audit.entries import canonical
from silosynth.common.errors import InvalidAudit

PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
AT = "2026-01-02T12:00:00+00:00"


def charge(request: str, *, cost: int = 7) -> str:
    return charge_body(
        request_id=request,
        request_hash="h",
        cost_units=cost,
        scopes=(PROJECT,),
        facts={"plan": "sha256:aa"},
        at=AT,
    )


def decision(signer: str, verdict: Verdict = Verdict.APPROVED) -> str:
    return decision_body(
        plan_digest="sha256:aa",
        signer=signer,
        verdict=verdict,
        why="w",
        by="b",
        authority=Authority.PERSON,
        at=AT,
    )


def word(signed_at: str, *, key: str = "anna's") -> str:
    said = ApproverWord(
        plan_digest="sha256:aa",
        signer="hub",
        verdict=Verdict.APPROVED,
        why="w",
        by="anna",
        key=key,
        signed_at=signed_at,
        statement="AAAA",
    )
    return word_body(said, at=AT)


BODIES = (
    genesis_body(ledger_id="5" * 32, at=AT),
    cap_body(PROJECT, cap=20, at=AT),
    decision("hub"),
    charge("r1"),
    release_body(request_id="r1", release=b"noised", at=AT),
    charge("r2"),
)


def chain(*bodies: str) -> tuple[tuple[int, str, str], ...]:
    head, rows = GENESIS, []
    for sequence, body in enumerate(bodies, start=1):
        head = next_head(head, sequence=sequence, body=body)
        rows.append((sequence, body, head))
    return tuple(rows)


AUDIT = encode_audit(chain(*BODIES))


def sealed(*bodies: str) -> bytes:
    """Make an audit without asking whether its entries make sense."""
    rows = chain(*bodies)
    first = json.loads(AUDIT.splitlines()[0]) | {"entries": len(rows), "head": rows[-1][2]}
    lines = [first, *({"sequence": s, "body": b, "head": h} for s, b, h in rows)]
    return "".join(canonical(line) + "\n" for line in lines).encode()


def test_an_audit_says_what_was_spent_released_and_decided() -> None:
    summary = verify_audit(AUDIT)
    assert (summary.ledger_id, summary.entries) == ("5" * 32, 6)
    assert (summary.charges, summary.releases, summary.unanswered) == (2, 1, 1)
    assert summary.released_bytes == 6
    (total,) = summary.totals
    assert (total.kind, total.name, total.cap_units, total.spent_units) == (
        "project",
        "census",
        20,
        14,
    )
    assert [d.verdict for d in summary.decisions] == [Verdict.APPROVED]
    assert summary.account.releases["r1"].sha256 == hashlib.sha256(b"noised").hexdigest()


def test_an_audit_can_be_checked_with_a_hash_function_alone() -> None:
    first, *lines = [json.loads(line) for line in AUDIT.splitlines()]
    head = "0" * 64
    for line in lines:
        text = f"{head}\n{line['sequence']}\n{line['body']}"
        head = hashlib.sha256(text.encode()).hexdigest()
        assert head == line["head"]
    assert head == first["head"]


def test_an_audit_holds_no_bytes_of_a_release() -> None:
    assert b"noised" not in AUDIT
    assert b"6e6f69736564" not in AUDIT


def test_sealing_valid_entries_gives_the_audit() -> None:
    assert sealed(*BODIES) == AUDIT


IMPOSSIBLE = {
    "approved for two signers": (*BODIES, decision("rogue")),
    "a word taken in twice": (*BODIES, word("2026-01-02"), word("2026-01-02")),
    "a word older than the last": (*BODIES, word("2026-01-03"), word("2026-01-02")),
    "an authority that is none": (*BODIES, decision("hub").replace('"person"', '"nobody"')),
    "spent above the cap": (*BODIES, charge("r3")),
    "charged twice": (*BODIES, charge("r2", cost=1)),
    "a cost of nothing": (*BODIES, charge("r3", cost=0)),
    "a refund": (*BODIES, charge("r3", cost=-7)),
    "a cost that is a yes": (*BODIES, charge("r3", cost=True)),
    "released without a charge": (
        *BODIES,
        release_body(request_id="r9", release=b"x", at=AT),
    ),
    "released twice": (*BODIES, release_body(request_id="r1", release=b"x", at=AT)),
    "a cap below what was spent": (*BODIES, cap_body(PROJECT, cap=13, at=AT)),
    "a second beginning": (*BODIES, BODIES[0]),
    "no beginning": BODIES[1:],
    "an unknown kind": (*BODIES, canonical({"kind": "refund", "at": AT})),
    "an unknown field": (*BODIES, canonical({**json.loads(charge("r3", cost=1)), "more": 1})),
    "a missing field": (*BODIES, canonical({"kind": "cap", "at": AT})),
    "another spelling": (*BODIES, charge("r3", cost=1).replace(":", ": ")),
    "a field twice": (*BODIES, charge("r3", cost=1).replace('"cost":1', '"cost":1,"cost":1')),
    "an unknown verdict": (*BODIES, BODIES[2].replace("approved", "maybe")),
    "not JSON": (*BODIES, "x"),
    "nothing": (),
}


@pytest.mark.parametrize("bodies", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_entries_that_no_ledger_could_hold_are_refused(bodies: tuple[str, ...]) -> None:
    audit = sealed(*bodies) if bodies else AUDIT.splitlines(keepends=True)[0]
    with pytest.raises(InvalidAudit):
        verify_audit(audit)


def test_a_flipped_bit_anywhere_is_refused() -> None:
    chance = random.Random(1)
    for place in range(len(AUDIT)):
        flipped = bytearray(AUDIT)
        flipped[place] ^= 1 << chance.randrange(8)
        with pytest.raises(InvalidAudit):
            verify_audit(bytes(flipped))


def test_a_truncated_audit_is_refused() -> None:
    for length in range(len(AUDIT)):
        with pytest.raises(InvalidAudit):
            verify_audit(AUDIT[:length])


@pytest.mark.parametrize("line", range(1, 7))
def test_an_entry_that_is_left_out_moved_or_doubled_is_refused(line: int) -> None:
    lines = AUDIT.splitlines(keepends=True)
    without = lines[:line] + lines[line + 1 :]
    for edited in (
        without,
        [*without[:-1], lines[line], *without[-1:]] if line < 5 else without,
        [*lines[:line], lines[line], *lines[line:]],
    ):
        with pytest.raises(InvalidAudit):
            verify_audit(b"".join(edited))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"[" * 100_000 + b"\n",
        b"1" * 10_000 + b"\n",
        b"\xff\n",
        AUDIT + b"\n",
        AUDIT.replace(b'"version":1', b'"version":2'),
        AUDIT.splitlines(keepends=True)[0] + b'{"body":"\\ud800","head":"","sequence":1}\n',
    ],
)
def test_what_is_no_audit_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidAudit):
        verify_audit(data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_random_edits_are_refused_in_words(data: st.DataObject) -> None:
    edited = bytearray(AUDIT)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(edited)))
        stop = data.draw(st.integers(start, min(len(edited), start + 40)))
        edited[start:stop] = data.draw(st.binary(max_size=40))
    if bytes(edited) != AUDIT:
        with pytest.raises(InvalidAudit):
            verify_audit(bytes(edited))
