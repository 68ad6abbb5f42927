"""A ledger made from its entries: every table follows from the chain, as the check of it does."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from silosynth.client.ledger.copied import Copy, CopyKind
from silosynth.client.ledger.file import (
    connect,
    open_file,
    read_account,
    read_entries,
    translated,
    write_schema,
)
from silosynth.common.audit import Account, Row, Verdict, next_head, replay
from silosynth.common.errors import LedgerUnavailable
from silosynth.common.files import sync_directory

_DATABASE = b"SQLite format 3\0"


def lengthened(rows: tuple[Row, ...], bodies: tuple[str, ...]) -> tuple[Row, ...]:
    """Return a chain with entries of these bodies behind it."""
    chain, head = list(rows), rows[-1][2]
    for body in bodies:
        place = len(chain) + 1
        head = next_head(head, sequence=place, body=body)
        chain.append((place, body, head))
    return tuple(chain)


def rebuild(
    path: Path,
    rows: tuple[Row, ...],
    *,
    releases: Mapping[str, bytes],
    reached: Callable[[str], None] = lambda _: None,
) -> Account:
    """Make a ledger of a chain and its releases, where there is none; return what it adds up to.

    Guarantees: ``path`` is a whole ledger afterwards, durably, or is not there. Releases that the
    chain calls lost are left out.

    Args: reached: a seam for tests, called with the name of each step before it.
    Raises LedgerUnavailable when it is there, or cannot be written durably.
    """
    account = replay(rows)
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        reached("recover:write")
        with translated("make"), closing(connect(new)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            write_schema(connection)
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)
            _fill(connection, account, releases)
            reached("recover:commit")
            connection.execute("COMMIT")
        reached("recover:link")
        os.link(new, path)
    except FileExistsError as err:
        raise LedgerUnavailable(f"{path} exists already", hint="move it away first") from err
    except OSError as err:
        raise LedgerUnavailable(f"cannot make the ledger {path}: {err.strerror}") from err
    finally:
        new.unlink(missing_ok=True)
    sync_directory(path.parent)
    return account


def is_ledger(path: Path) -> bool:
    """Say whether a file is a database, as a ledger is."""
    try:
        with path.open("rb") as file:
            return file.read(len(_DATABASE)) == _DATABASE
    except OSError:
        return False


def read_ledger(path: Path) -> Copy:
    """Read a ledger that nobody has open, such as one that is fenced; it is left as it is.

    Raises LedgerUnavailable when it does not hold.
    """
    with TemporaryDirectory(prefix="silosynth-") as folder:
        taken = Path(folder) / path.name
        for name in (path, path.with_name(f"{path.name}-journal")):
            if name.exists():
                shutil.copyfile(name, taken.with_name(name.name))
        with closing(open_file(taken)) as connection:
            account = read_account(connection)
            rows = tuple(read_entries(connection))
            kept = connection.execute("SELECT request, content FROM releases")
            releases = {str(request): bytes(content) for request, content in kept}
    size = path.stat().st_size
    return Copy(
        kind=CopyKind.LEDGER, account=account, rows=rows, releases=releases, size=size, torn=False
    )


def _fill(connection: sqlite3.Connection, account: Account, releases: Mapping[str, bytes]) -> None:
    """Fill the tables with what a chain adds up to."""
    scopes = [(s.kind.value, s.name, cap, account.spent[s]) for s, cap in account.caps.items()]
    orders = [(s.kind.value, s.name, order) for s, order in account.orders.items()]
    parts = [(s.kind.value, s.name, n, *both) for (s, n), both in account.parts.items()]
    requests = [
        (c.request_id, c.request_hash, c.cost_units, c.sequence) for c in account.charges.values()
    ]
    kept = [
        (r.request_id, r.sequence, releases[r.request_id])
        for r in account.releases.values()
        if r.request_id not in account.lost
    ]
    claims = [(plan, d.signer, d.sequence) for plan, d in account.claims.items()]
    words = {(r.word.plan_digest, r.word.signer, r.word.key): r for r in account.words}
    said = [(*key, r.word.signed_at, r.sequence) for key, r in words.items()]
    tables: tuple[tuple[str, int, list[tuple[object, ...]]], ...] = (
        ("scopes", 4, [*scopes]),
        ("orders", 3, [*orders]),
        ("parts", 5, [*parts]),
        ("requests", 4, [*requests]),
        ("releases", 3, [*kept]),
        ("decisions", 4, _decisions(account)),
        ("claims", 3, [*claims]),
        ("words", 5, [*said]),
        ("former", 1, [(head,) for head in account.heads]),
        ("lost", 1, [(request,) for request in account.lost]),
    )
    for table, columns, content in tables:
        places = ", ".join("?" * columns)
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", content)


def _decisions(account: Account) -> list[tuple[object, ...]]:
    """Return the newest decision on each plan of each signer, and the newest refusal."""
    newest, refused = {}, {}
    for decision in account.decisions:
        key = (decision.plan_digest, decision.signer)
        newest[key] = decision.sequence
        if decision.signer is not None and decision.verdict is Verdict.REFUSED:
            refused[key] = decision.sequence
    return [(*key, place, refused.get(key)) for key, place in newest.items()]
