"""Plans that wait for a person of the silo: few, small, and never in the way of the chain."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from silosynth.common.audit.entries import digest
from silosynth.common.errors import CapExceeded

MAX_WAITING = 64
MAX_PLAN_BYTES = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingPlan:
    """A sealed plan as it came, and when."""

    plan_digest: str
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


def add_waiting(
    connection: sqlite3.Connection, *, plan_digest: str, plan: bytes, at: str
) -> tuple[str, ...]:
    """Let a plan wait, unless it does or was decided; return the digests of those pushed out."""
    for table in ("waiting", "decisions"):
        query = f"SELECT 1 FROM {table} WHERE plan = ?"
        if connection.execute(query, (plan_digest,)).fetchone():
            return ()
    connection.execute(
        "INSERT INTO waiting (plan, at, sha256, content) VALUES (?, ?, ?, ?)",
        (plan_digest, at, digest(plan), plan),
    )
    pushed_out = tuple(
        plan
        for (plan,) in connection.execute(
            "SELECT plan FROM waiting ORDER BY place DESC LIMIT -1 OFFSET ?", (MAX_WAITING,)
        )
    )
    connection.executemany("DELETE FROM waiting WHERE plan = ?", [(p,) for p in pushed_out])
    return pushed_out


def all_waiting(connection: sqlite3.Connection) -> tuple[WaitingPlan, ...]:
    """Return the plans that wait, oldest first."""
    rows = connection.execute("SELECT plan, content, at FROM waiting ORDER BY place")
    return tuple(WaitingPlan(plan_digest=p, plan=bytes(c), at=at) for p, c, at in rows)
