"""Plans that wait for a person of the silo: few, small, and never in the way of the chain."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from silosynth.common.audit import digest
from silosynth.common.errors import CapExceeded

MAX_WAITING = 64
MAX_PLAN_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPlan:
    """A sealed plan as it came, and when; ``signer`` is None in what version 3 of the file kept."""

    plan_digest: str
    signer: str | None
    plan: bytes
    at: str


def check_size(plan: bytes) -> None:
    """Raise CapExceeded when a plan is too large to wait."""
    if len(plan) > MAX_PLAN_BYTES:
        raise CapExceeded(
            f"a plan of {len(plan)} bytes cannot wait for approval; "
            f"this silo keeps up to {MAX_PLAN_BYTES}",
            hint="make a smaller plan",
        )


def seal_row(*, place: int, plan_digest: str, signer: str, at: str, plan: bytes) -> str:
    """Return what a row of the table has to have: all of it is held, and not the plan alone.

    Rows of files before version 5 have the digest of the plan alone.
    """
    return digest(f"{place}\n{plan_digest}\n{signer}\n{at}\n".encode() + plan)


def add_waiting(
    connection: sqlite3.Connection, *, plan_digest: str, signer: str, plan: bytes, at: str
) -> tuple[str, ...]:
    """Let a plan of a signer wait, unless it does or is refused; return those pushed out."""
    for place in ("waiting WHERE", "decisions WHERE refused = decided AND"):
        query = f"SELECT 1 FROM {place} plan = ? AND signer = ?"
        if connection.execute(query, (plan_digest, signer)).fetchone():
            return ()
    # The same bytes from a file that did not say who signed them.
    connection.execute("DELETE FROM waiting WHERE signer IS NULL AND sha256 = ?", (digest(plan),))
    (last,) = connection.execute("SELECT coalesce(max(place), 0) FROM waiting").fetchone()
    next_place = int(last) + 1
    held = seal_row(place=next_place, plan_digest=plan_digest, signer=signer, at=at, plan=plan)
    connection.execute(
        "INSERT INTO waiting (place, plan, signer, at, sha256, content) VALUES (?, ?, ?, ?, ?, ?)",
        (next_place, plan_digest, signer, at, held, plan),
    )
    gone = connection.execute(
        "SELECT place, plan FROM waiting ORDER BY place DESC LIMIT -1 OFFSET ?", (MAX_WAITING,)
    ).fetchall()
    connection.executemany("DELETE FROM waiting WHERE place = ?", [(place,) for place, _ in gone])
    return tuple(plan for _, plan in gone)


def restore_waiting(connection: sqlite3.Connection, plans: Mapping[bytes, bytes]) -> None:
    """Put plans in the place of what stands for them, for simulations alone.

    Args: plans: by what stands for each in a ledger that many silos' plans would not fit beside.
    """
    columns = "place, plan, signer, at, content"
    rows = connection.execute(f"SELECT {columns} FROM waiting").fetchall()
    for place, plan_digest, signer, at, content in rows:
        if (plan := plans.get(bytes(content))) is None:
            continue
        held = seal_row(place=place, plan_digest=plan_digest, signer=signer, at=at, plan=plan)
        connection.execute(
            "UPDATE waiting SET sha256 = ?, content = ? WHERE place = ?", (held, plan, place)
        )


def count_waiting(connection: sqlite3.Connection) -> int:
    """Return how many plans wait."""
    (count,) = connection.execute("SELECT count(*) FROM waiting").fetchone()
    return int(count)


def all_waiting(connection: sqlite3.Connection) -> tuple[WaitingPlan, ...]:
    """Return the plans that wait, oldest first."""
    rows = connection.execute("SELECT plan, signer, content, at FROM waiting ORDER BY place")
    return tuple(WaitingPlan(plan_digest=p, signer=s, plan=bytes(c), at=at) for p, s, c, at in rows)
