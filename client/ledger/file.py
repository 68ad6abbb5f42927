"""The ledger's SQLite file: made whole or not at all, opened by one process, checked throughout."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from silosynth.client.ledger.tables import ADDED, APPLICATION_ID, FILE_VERSION, TABLES
from silosynth.client.ledger.waiting import seal_row
from silosynth.common.audit import (
    GENESIS,
    Account,
    BrokenChain,
    Scope,
    ScopeKind,
    Verdict,
    digest,
    genesis_body,
    next_head,
    replay,
)
from silosynth.common.errors import LedgerUnavailable
from silosynth.common.files import replace_file, sync_directory

_IMAGE_PAGE_BYTES = 1024
_IMAGE_STATEMENTS = 4
_SETTINGS = (
    "locking_mode = EXCLUSIVE",
    "synchronous = EXTRA",
    "foreign_keys = ON",
    "trusted_schema = OFF",
    "cell_size_check = ON",
)
_HEADER_BYTES = 100
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED")


def create_file(path: Path, *, at: str) -> None:
    """Make an empty ledger, readable by its owner alone.

    Guarantees: ``path`` is a whole ledger afterwards, or is not there. A file that is there
    already is left alone.

    Raises LedgerUnavailable when it is there, or cannot be written durably.
    """
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with translated("make"), closing(connect(new)) as connection:
            _write_empty(connection, at=at)
        os.link(new, path)
    except FileExistsError as err:
        raise LedgerUnavailable(
            f"{path} exists already", hint="open it, or choose another path"
        ) from err
    except OSError as err:
        raise LedgerUnavailable(f"cannot make the ledger {path}: {err.strerror}") from err
    finally:
        new.unlink(missing_ok=True)
    sync_directory(path.parent)


def new_image(*, at: str) -> bytes:
    """Return the bytes of an empty ledger, for simulations alone: nothing of it is on a disk."""
    with translated("make"), closing(_memory()) as connection:
        connection.execute(f"PRAGMA page_size = {_IMAGE_PAGE_BYTES}")
        _write_empty(connection, at=at)
        return connection.serialize()


def open_image(image: bytes, *, known: bool = False) -> sqlite3.Connection:
    """Open a ledger's bytes in memory, for simulations alone: a commit reaches no disk.

    Args: known: they are of a ledger that this process opened before, and left as it was.

    Raises LedgerUnavailable when they are no ledger, or one of an unknown version.
    """
    with translated("open"):
        connection = _memory()
        try:
            connection.deserialize(image)
            _set(connection)
            if not known:
                _lock(connection, None)
        except BaseException:
            connection.close()
            raise
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """Open a ledger for this process alone, and check that it can be written.

    Raises LedgerUnavailable when it is missing, not a ledger, of an unknown version, read-only or
    open elsewhere.
    """
    if not path.is_file():
        raise LedgerUnavailable(f"there is no ledger at {path}", hint="make one first")
    with translated("open"):
        connection = connect(path)
        try:
            _lock(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def read_account(connection: sqlite3.Connection) -> Account:
    """Check every page, table, entry and release, and return what they add up to.

    Raises LedgerUnavailable naming the first thing that does not hold.
    """
    with translated("read"):
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise broken("its pages are not consistent")
        made = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
        if sorted(sql for (sql,) in made) != sorted(TABLES):
            raise broken("its tables are not those of a ledger")
        try:
            account = replay(read_entries(connection))
        except BrokenChain as err:
            raise broken(str(err)) from err
        _check_tables(connection, account)
        _check_contents(connection, account)
    return account


def read_entries(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str]]:
    """Return every entry in order, as (sequence, body, head)."""
    return connection.execute("SELECT sequence, body, head FROM entries ORDER BY sequence")


def broken(why: str) -> LedgerUnavailable:
    """Return the error of a ledger that does not hold what it held."""
    return LedgerUnavailable(
        f"the ledger is damaged: {why}",
        hint="keep the file as it is, and restore the newest copy whose head peers know",
    )


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn the database's errors into LedgerUnavailable."""
    try:
        yield
    except UnicodeDecodeError as err:
        # What is damaged may be a table's own text, which SQLite quotes in its error.
        raise broken("its tables are not those of a ledger") from err
    except sqlite3.Error as err:
        name = getattr(err, "sqlite_errorname", "")
        if name.startswith(_LOCKED):
            raise LedgerUnavailable(
                "another process has the ledger open", hint="stop it, or use another ledger"
            ) from err
        raise LedgerUnavailable(
            f"cannot {what} the ledger: {err}", hint="check the disk, then start again"
        ) from err


def connect(path: Path) -> sqlite3.Connection:
    """Connect with every commit durable before it returns."""
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _set(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _memory() -> sqlite3.Connection:
    """Connect to a database of this process's own memory.

    A process has thousands of them, and a statement that was prepared is larger than an entry.
    """
    return sqlite3.connect(
        ":memory:",
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_IMAGE_STATEMENTS,
    )


def _set(connection: sqlite3.Connection) -> None:
    """Set what every ledger is kept by."""
    for pragma in _SETTINGS:
        connection.execute(f"PRAGMA {pragma}")


def file_version(path: Path) -> int:
    """Return the version of a ledger's file without opening it, beside a gateway or without one.

    Source: sqlite.org, Database File Format, section 1.3.
    Raises LedgerUnavailable when it cannot be read, or is no ledger.
    """
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
    except OSError as err:
        raise LedgerUnavailable(f"the ledger {path} cannot be read: {err.strerror}") from err
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise LedgerUnavailable(f"{path} is not a ledger", hint="check the path")
    return int.from_bytes(header[60:64], "big")


def copy_before(path: Path, version: int) -> Path:
    """Return where a ledger of an older version is kept before its file is changed.

    >>> copy_before(Path("/var/lib/silosynth/ledger.sqlite"), 4).name
    'ledger.sqlite.version-4'
    """
    return path.with_name(f"{path.name}.version-{version}")


def _keep_before(path: Path, version: int) -> None:
    """Keep a ledger as it is before its file is changed; nobody else has it open now."""
    try:
        replace_file(copy_before(path, version), path.read_bytes())
    except OSError as err:
        raise LedgerUnavailable(
            f"cannot keep a copy of the ledger before its file is changed: {err.strerror}",
            hint="make room beside it; nothing was changed",
        ) from err


def _lock(connection: sqlite3.Connection, path: Path | None) -> None:
    """Take the file for this process until the connection ends; bring it to this version.

    A ledger in memory, which has no ``path``, is not kept as it was.
    """
    connection.execute("BEGIN EXCLUSIVE")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise LedgerUnavailable("the file is not a ledger", hint="check the path")
    if version in ADDED:
        if path is not None:
            _keep_before(path, version)
        for statement in ADDED[version]:
            connection.execute(statement)
    elif version != FILE_VERSION:
        raise LedgerUnavailable(
            f"the ledger has version {version}; this program knows {FILE_VERSION}",
            hint="use the program that wrote it, or a newer one",
        )
    connection.execute(f"PRAGMA user_version = {FILE_VERSION}")
    connection.execute("COMMIT")
    (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
    if mode != "delete":
        raise LedgerUnavailable(f"the ledger's journal mode is {mode}", hint="do not change it")


def _write_empty(connection: sqlite3.Connection, *, at: str) -> None:
    """Write the tables and the first entry, in one transaction."""
    body = genesis_body(ledger_id=secrets.token_hex(16), at=at)
    connection.execute("BEGIN EXCLUSIVE")
    write_schema(connection)
    connection.execute(
        "INSERT INTO entries VALUES (1, ?, ?)", (body, next_head(GENESIS, sequence=1, body=body))
    )
    connection.execute("COMMIT")


def write_schema(connection: sqlite3.Connection) -> None:
    """Write what says that a file is a ledger, and its empty tables."""
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FILE_VERSION}")
    for table in TABLES:
        connection.execute(table)


def _check_tables(connection: sqlite3.Connection, account: Account) -> None:
    """Raise unless the tables hold what the chain adds up to."""
    scopes = {
        Scope(kind=ScopeKind(kind), name=name): (cap, spent)
        for kind, name, cap, spent in connection.execute("SELECT * FROM scopes")
        if kind in set(ScopeKind)
    }
    if scopes != {s: (cap, account.spent[s]) for s, cap in account.caps.items()}:
        raise broken("its budgets are not the sum of its entries")
    orders = connection.execute("SELECT kind, name, rdp_order FROM orders")
    if {Scope(kind=ScopeKind(k), name=n): o for k, n, o in orders} != account.orders:
        raise broken("its orders are not those of its entries")
    parts = connection.execute("SELECT kind, name, split, training, evaluation FROM parts")
    sums = {(Scope(kind=ScopeKind(k), name=n), s): (t, e) for k, n, s, t, e in parts}
    if sums != account.parts:
        raise broken("the sums of its splits are not those of its entries")
    requests = set(connection.execute("SELECT id, hash, cost, charged FROM requests"))
    if requests != {
        (c.request_id, c.request_hash, c.cost_units, c.sequence) for c in account.charges.values()
    }:
        raise broken("its requests are not those of its entries")
    decided = {(d.plan_digest, d.signer): d.sequence for d in account.decisions}
    refused = {
        (d.plan_digest, d.signer): d.sequence
        for d in account.decisions
        if d.signer is not None and d.verdict is Verdict.REFUSED
    }
    newest = "SELECT plan, signer, refused FROM decisions WHERE refused IS NOT NULL"
    if (
        _keyed(connection, "SELECT plan, signer, decided FROM decisions") != decided
        or _keyed(connection, newest) != refused
    ):
        raise broken("its decisions are not those of its entries")
    claims = {(plan, d.signer): d.sequence for plan, d in account.claims.items()}
    if _keyed(connection, "SELECT plan, signer, claimed FROM claims") != claims:
        raise broken("its claims are not those of its entries")
    words = {
        (r.word.plan_digest, r.word.signer, r.word.key, r.word.signed_at): r.sequence
        for r in {
            (r.word.plan_digest, r.word.signer, r.word.key): r for r in account.words
        }.values()
    }
    if _keyed(connection, "SELECT plan, signer, key, signed_at, said FROM words") != words:
        raise broken("its approvers' words are not those of its entries")
    gone = ("SELECT head FROM former", account.heads), ("SELECT request FROM lost", account.lost)
    if any({text for (text,) in connection.execute(query)} != stated for query, stated in gone):
        raise broken("what it says was lost is not what its entries say")


def _keyed(connection: sqlite3.Connection, query: str) -> dict[tuple[str | None, ...], int]:
    """Return the rows of a query: the last column by the others."""
    return {tuple(row[:-1]): row[-1] for row in connection.execute(query)}


def _check_contents(connection: sqlite3.Connection, account: Account) -> None:
    """Raise unless every release, and every plan that waits, has the digest that is on record."""
    seen = 0
    for request, stored, content in connection.execute(
        "SELECT request, stored, content FROM releases"
    ):
        entry = account.releases.get(request)
        if entry is None or (entry.sequence, entry.sha256) != (stored, digest(content)):
            raise broken("a stored release is not the one that was charged")
        if request in account.lost:
            raise broken("a release is there that its entries call lost")
        seen += 1
    if seen != len(account.releases.keys() - account.lost):
        raise broken("a release is missing")
    rows = connection.execute("SELECT place, plan, signer, at, sha256, content FROM waiting")
    for place, plan, signer, at, sha256, content in rows:
        whole = seal_row(place=place, plan_digest=plan, signer=signer or "", at=at, plan=content)
        if sha256 not in (whole, digest(content)):
            raise broken("a plan that waits is not the one that came")
