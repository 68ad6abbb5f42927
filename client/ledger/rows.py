"""The ledger's statements. Each runs inside a transaction that its caller began."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from silosynth.client.ledger.file import broken, read_entries
from silosynth.common.accounting import RHO_UNIT, Vector, price_units
from silosynth.common.audit import (
    Cap,
    Parted,
    Scope,
    ScopeKind,
    Sums,
    added,
    cap_body,
    growth,
    next_head,
    plain_scope,
    read_part,
    replay,
    repriced,
    repriced_parts,
)
from silosynth.common.errors import BudgetExceeded, RequestConflict

LOST = "a plan that was lost"
_SET_PART = (
    "INSERT INTO parts VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, name, split) "
    "DO UPDATE SET training = excluded.training, evaluation = excluded.evaluation"
)


def last_entry(connection: sqlite3.Connection) -> tuple[int, str]:
    """Return place and head of the last entry."""
    row = first_row(connection, "SELECT sequence, head FROM entries ORDER BY sequence DESC LIMIT 1")
    if row is None:
        raise broken("it lost its entries")
    return int(row[0]), str(row[1])


def last_body(connection: sqlite3.Connection) -> str:
    """Return the body of the last entry."""
    row = first_row(connection, "SELECT body FROM entries ORDER BY sequence DESC LIMIT 1")
    if row is None:
        raise broken("it lost its entries")
    return str(row[0])


def last_recovery(connection: sqlite3.Connection) -> str | None:
    """Return the body of the newest entry that says that a ledger was lost; None without one."""
    query = "SELECT body FROM entries WHERE body LIKE ? ORDER BY sequence DESC LIMIT 1"
    row = first_row(connection, query, '%"kind":"recovered"%')
    return None if row is None else str(row[0])


def has_head(connection: sqlite3.Connection, head: str) -> bool:
    """Say whether an entry left this head behind, here or in a chain that this one replaced."""
    query = "SELECT 1 FROM entries WHERE head = ?1 UNION SELECT 1 FROM former WHERE head = ?1"
    return first_row(connection, query, head) is not None


def append(connection: sqlite3.Connection, body: str) -> tuple[int, str]:
    """Add an entry to the chain; return its place and head."""
    last, head = last_entry(connection)
    following = next_head(head, sequence=last + 1, body=body)
    connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (last + 1, body, following))
    return last + 1, following


def cap_and_spent(connection: sqlite3.Connection, scope: Scope) -> tuple[int, int]:
    """Return the units that a scope may spend and has spent; zeros for one that is not there."""
    row = first_row(
        connection, "SELECT cap, spent FROM scopes WHERE kind = ? AND name = ?", *_key(scope)
    )
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def series_scopes(connection: sqlite3.Connection) -> tuple[tuple[Scope, int, int], ...]:
    """Return each series and epoch that was begun, with what it may spend and has spent."""
    rows = connection.execute(
        "SELECT kind, name, cap, spent FROM scopes WHERE kind IN (?, ?) ORDER BY name, kind",
        (ScopeKind.SERIES.value, ScopeKind.EPOCH.value),
    )
    return tuple((Scope(kind=ScopeKind(k), name=n), int(c), int(s)) for k, n, c, s in rows)


def order_of(connection: sqlite3.Connection, scope: Scope) -> int | None:
    """Return the Rényi order that a scope's budget is held at; None where it has none."""
    query = "SELECT rdp_order FROM orders WHERE kind = ? AND name = ?"
    row = first_row(connection, query, *_key(scope))
    return None if row is None else int(row[0])


def set_cap(connection: sqlite3.Connection, scope: Scope, *, cap: Cap, at: str) -> None:
    """Set a cap, or what is spent if that is more; record it when it differs.

    At another order, what was spent is added up anew from all charges.
    """
    old, spent = cap_and_spent(connection, scope)
    exists = first_row(connection, "SELECT 1 FROM scopes WHERE kind = ? AND name = ?", *_key(scope))
    moved = exists is not None and cap.order != order_of(connection, scope)
    if moved:
        spent, sums = _spent_at(connection, scope, cap=cap)
        connection.executemany(_SET_PART, [(*_key(s), n, *both) for (s, n), both in sums.items()])
    effective = Cap(units=max(cap.units, spent), order=cap.order)
    if exists and not moved and effective.units == old:
        return
    append(connection, cap_body(scope, cap=effective.units, at=at, order=cap.order))
    connection.execute(
        "INSERT INTO scopes VALUES (?, ?, ?, ?) ON CONFLICT (kind, name) "
        "DO UPDATE SET cap = excluded.cap, spent = excluded.spent",
        (*_key(scope), effective.units, spent),
    )
    connection.execute("DELETE FROM orders WHERE kind = ? AND name = ?", _key(scope))
    if cap.order is not None:
        connection.execute("INSERT INTO orders VALUES (?, ?, ?)", (*_key(scope), cap.order))


def _spent_at(
    connection: sqlite3.Connection, scope: Scope, *, cap: Cap
) -> tuple[int, Mapping[tuple[Scope, str], Sums]]:
    """Return what all charges of a scope, and its losses, take at the order of its next cap."""
    account = replay(read_entries(connection))
    charges = account.charges.values()
    _, sums = repriced_parts(scope, order=cap.order, charges=charges)
    return repriced(scope, cap=cap, charges=charges, losses=account.losses), sums


def part_sums(connection: sqlite3.Connection, scope: Scope, split: str) -> Sums:
    """Return what was charged to both parts of a split, in units; zeros before the first charge."""
    query = "SELECT training, evaluation FROM parts WHERE kind = ? AND name = ? AND split = ?"
    row = first_row(connection, query, *_key(scope), split)
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def add_charge(
    connection: sqlite3.Connection,
    body: str,
    *,
    request: tuple[str, str, int],
    payers: tuple[Scope, ...],
    capped: frozenset[Scope],
    rdp: Vector | None = None,
    part: Parted | None = None,
) -> bytes | None:
    """Charge a request (id, hash, cost) unless it was; return its release if one is stored.

    A release belongs to the consumer who paid for it: no other gets it again.
    """
    request_id, request_hash, cost_units = request
    if first_row(connection, "SELECT 1 FROM lost WHERE request = ?", request_id) is not None:
        raise RequestConflict(
            f"request {request_id} was answered before this silo's ledger was lost",
            hint="the coordinator has the answer, or makes a new plan: nothing is drawn again",
        )
    known = first_row(
        connection,
        "SELECT hash, cost, body FROM requests JOIN entries ON charged = sequence WHERE id = ?",
        request_id,
    )
    if known is not None:
        *content, charged = known
        if content != [request_hash, cost_units]:
            raise RequestConflict(
                f"request {request_id} was made before with other content",
                hint="give a new request a new id",
            )
        stored = _release(connection, request_id)
        _check_resumed(request_id, json.loads(charged), payers=payers, part=part, stored=stored)
        return stored
    _check_epoch(connection, body, payers=payers)
    _spend(connection, cost_units, rdp=rdp, payers=payers, capped=capped, part=part)
    place, _ = append(connection, body)
    connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", (*request, place))
    return None


def _check_epoch(connection: sqlite3.Connection, body: str, *, payers: Iterable[Scope]) -> None:
    """Raise RequestConflict where an epoch that would pay is another plan's, or is over.

    It is over once a later one was answered: the later plan states what the earlier ones cost, and
    people are told so.
    """
    for scope in payers:
        if scope.kind is not ScopeKind.EPOCH:
            continue
        facts = json.loads(body)["facts"]
        series, _, number = scope.name.rpartition("/")
        paid = epoch_plan(connection, scope)
        if paid not in (None, facts.get("plan")):
            raise RequestConflict(
                f"epoch {number} of this series was answered under another plan",
                hint="an epoch is answered once; ask for the next one",
            )
        if (later := later_epoch(connection, scope)) is not None:
            raise RequestConflict(
                f"epoch {number} of this series is over: epoch {later} was answered",
                hint="epochs are asked in order, each to its end; ask for the next one",
            )
        before = cap_and_spent(connection, Scope(kind=ScopeKind.SERIES, name=series))[1]
        if paid is None and before > facts.get("before_units", 0):
            raise RequestConflict(
                f"epoch {number} of this series states less than what those before it cost",
                hint="make its plan with 'silosynth series next'",
            )


def later_epoch(connection: sqlite3.Connection, scope: Scope) -> int | None:
    """Return the next epoch of a series behind this one that paid for anything; None without."""
    series, _, number = scope.name.rpartition("/")
    paid = connection.execute(
        "SELECT name FROM scopes WHERE kind = ? AND name > ? AND name < ? AND spent > 0",
        (ScopeKind.EPOCH.value, f"{series}/", f"{series}0"),
    )
    later = (int(name.rpartition("/")[2]) for (name,) in paid)
    return min((n for n in later if n > int(number)), default=None)


def epoch_plan(connection: sqlite3.Connection, scope: Scope) -> str | None:
    """Return the plan whose requests an epoch's budget paid for; None before the first."""
    if cap_and_spent(connection, scope)[1] == 0:
        return None
    row = first_row(
        connection,
        "SELECT json_extract(body, '$.facts.plan') FROM entries, "
        "json_each(entries.body, '$.scopes') AS payer "
        "WHERE json_extract(payer.value, '$[0]') = ? AND json_extract(payer.value, '$[1]') = ? "
        "ORDER BY sequence LIMIT 1",
        *_key(scope),
    )
    return LOST if row is None or row[0] is None else str(row[0])


def _check_resumed(
    request_id: str,
    charged: Mapping[str, Any],
    *,
    payers: tuple[Scope, ...],
    part: Parted | None,
    stored: bytes | None,
) -> None:
    """Raise RequestConflict where another asks, or other people's rows would be read."""
    paid, asking = _consumers(charged["scopes"]), _consumers(map(plain_scope, payers))
    if paid and asking and paid != asking:
        raise RequestConflict(
            f"request {request_id} was paid for by another coordinator",
            hint="make a plan of your own, with another id",
        )
    if stored is None and read_part(charged) != part:
        raise RequestConflict(
            f"request {request_id} was charged to other people than it would be answered about",
            hint="make a new plan: what this silo holds people out by has changed",
        )


def add_release(
    connection: sqlite3.Connection, body: str, *, request_id: str, release: bytes
) -> bytes:
    """Store a release unless one is; return the one that is stored."""
    if first_row(connection, "SELECT 1 FROM requests WHERE id = ?", request_id) is None:
        raise RequestConflict(
            f"request {request_id} was not charged", hint="charge it before it is answered"
        )
    stored = _release(connection, request_id)
    if stored is not None:
        return stored
    place, _ = append(connection, body)
    connection.execute("INSERT INTO releases VALUES (?, ?, ?)", (request_id, place, release))
    return bytes(release)


def has_release(connection: sqlite3.Connection, request_id: str) -> bool:
    """Say whether a request's release is stored, or was and is known to be lost."""
    query = "SELECT 1 FROM releases WHERE request = ?1 UNION SELECT 1 FROM lost WHERE request = ?1"
    return first_row(connection, query, request_id) is not None


def first_payer(connection: sqlite3.Connection, plan_digest: str, *, prefix: str) -> str | None:
    """Return the consumer who paid for the first request of a plan; None before that.

    Args: prefix: what the ids of the plan's requests begin with.
    """
    for entry in _charges_of(connection, plan_digest, prefix=prefix):
        return next(iter(_consumers(entry["scopes"])), None)
    return None


def paying_parts(
    connection: sqlite3.Connection, plan_digest: str, *, prefix: str
) -> frozenset[Parted | None]:
    """Return the parts that paid for the requests of a plan, None for everybody."""
    return frozenset(map(read_part, _charges_of(connection, plan_digest, prefix=prefix)))


def _charges_of(
    connection: sqlite3.Connection, plan_digest: str, *, prefix: str
) -> Iterator[dict[str, Any]]:
    """Yield the entries of a plan's charges, by the ids of their requests."""
    rows = connection.execute(
        "SELECT body FROM requests JOIN entries ON charged = sequence "
        "WHERE id >= ? AND id < ? ORDER BY id",
        (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
    )
    for (body,) in rows:
        entry = json.loads(body)
        if entry["facts"].get("plan") == plan_digest:
            yield entry


def _spend(
    connection: sqlite3.Connection,
    cost_units: int,
    *,
    rdp: Vector | None,
    payers: tuple[Scope, ...],
    capped: frozenset[Scope],
    part: Parted | None,
) -> None:
    """Add the cost to every payer; raise BudgetExceeded naming one that has too little.

    Where one ``part`` of a split pays, a budget falls by what the larger of its two sums grows.
    """
    if not payers:
        raise BudgetExceeded("no scope pays for the request", hint="grant one a budget")
    for scope in payers:
        cap, spent = cap_and_spent(connection, scope)
        left = cap - spent if scope in capped else 0
        order = order_of(connection, scope) if rdp is not None else None
        priced = price_units(cost_units=cost_units, vector=rdp, order=order)
        sums = (0, 0) if part is None else part_sums(connection, scope, part.split)
        units = priced if part is None else growth(sums, part.side, priced)
        if units > left:
            raise BudgetExceeded(
                f"the request costs {_rho(units)} of zCDP rho; {scope} has {_rho(left)} left",
                hint="ask for less, or have the silo's operator grant more",
            )
        _pay(connection, scope, units)
        if part is not None:
            after = added(sums, part.side, priced)
            connection.execute(_SET_PART, (*_key(scope), part.split, *after))


def _pay(connection: sqlite3.Connection, scope: Scope, units: int) -> None:
    """Add units to what a scope has spent."""
    connection.execute(
        "UPDATE scopes SET spent = spent + ? WHERE kind = ? AND name = ?", (units, *_key(scope))
    )


def _consumers(scopes: Iterable[Sequence[str]]) -> list[str]:
    """Return the consumers among scopes as the file holds them."""
    return [name for kind, name in scopes if kind == ScopeKind.CONSUMER.value]


def _release(connection: sqlite3.Connection, request_id: str) -> bytes | None:
    """Return the stored release of a request."""
    row = first_row(connection, "SELECT content FROM releases WHERE request = ?", request_id)
    return None if row is None else bytes(row[0])


def first_row(connection: sqlite3.Connection, query: str, *values: str | int) -> Any:
    """Return the first row of a query, or None."""
    return connection.execute(query, values).fetchone()


def _key(scope: Scope) -> tuple[str, str]:
    """Return a scope as the file holds it."""
    return scope.kind.value, scope.name


def _rho(units: int) -> str:
    """Return units as a rho with six digits."""
    return f"{units / RHO_UNIT:.6g}"
