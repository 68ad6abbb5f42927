"""The tables of a ledger's file, and what each version of it added to the one before."""

from __future__ import annotations

FILE_VERSION = 7
APPLICATION_ID = 0x53_49_4C_4F
_TABLES_OF_VERSION_1 = (
    "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, body TEXT NOT NULL, "
    "head TEXT NOT NULL) STRICT",
    "CREATE TABLE scopes (kind TEXT NOT NULL, name TEXT NOT NULL, cap INTEGER NOT NULL, "
    "spent INTEGER NOT NULL, PRIMARY KEY (kind, name), CHECK (0 <= spent AND spent <= cap)) "
    "STRICT",
    "CREATE TABLE requests (id TEXT PRIMARY KEY, hash TEXT NOT NULL, "
    "cost INTEGER NOT NULL CHECK (cost > 0), "
    "charged INTEGER NOT NULL UNIQUE REFERENCES entries (sequence)) STRICT",
    "CREATE TABLE releases (request TEXT PRIMARY KEY REFERENCES requests (id), "
    "stored INTEGER NOT NULL UNIQUE REFERENCES entries (sequence), content BLOB NOT NULL) STRICT",
)
_HEADS_OF_VERSION_2 = ("CREATE UNIQUE INDEX entries_by_head ON entries (head)",)
_ADDED_IN_VERSION_3 = (
    "CREATE TABLE orders (kind TEXT NOT NULL, name TEXT NOT NULL, rdp_order INTEGER NOT NULL, "
    "PRIMARY KEY (kind, name), FOREIGN KEY (kind, name) REFERENCES scopes (kind, name)) STRICT",
)
_DECISIONS = (
    "CREATE TABLE decisions (plan TEXT NOT NULL, signer TEXT, "
    "decided INTEGER NOT NULL UNIQUE REFERENCES entries (sequence), "
    "refused INTEGER UNIQUE REFERENCES entries (sequence), UNIQUE (plan, signer)) STRICT"
)
_WAITING = (
    "CREATE TABLE waiting (place INTEGER PRIMARY KEY, plan TEXT NOT NULL, signer TEXT, "
    "at TEXT NOT NULL, sha256 TEXT NOT NULL, content BLOB NOT NULL, UNIQUE (plan, signer)) STRICT"
)
_ADDED_IN_VERSION_4 = (
    "CREATE TABLE claims (plan TEXT PRIMARY KEY, signer TEXT NOT NULL, "
    "claimed INTEGER NOT NULL UNIQUE REFERENCES entries (sequence)) STRICT",
    "CREATE TABLE words (plan TEXT NOT NULL, signer TEXT NOT NULL, key TEXT NOT NULL, "
    "signed_at TEXT NOT NULL, said INTEGER NOT NULL UNIQUE REFERENCES entries (sequence), "
    "PRIMARY KEY (plan, signer, key)) STRICT",
)
_ADDED_IN_VERSION_5 = (
    "CREATE TABLE former (head TEXT PRIMARY KEY) STRICT",
    "CREATE TABLE lost (request TEXT PRIMARY KEY) STRICT",
)
_ADDED_IN_VERSION_6 = (
    "CREATE TABLE parts (kind TEXT NOT NULL, name TEXT NOT NULL, split TEXT NOT NULL, "
    "training INTEGER NOT NULL, evaluation INTEGER NOT NULL, PRIMARY KEY (kind, name, split), "
    "FOREIGN KEY (kind, name) REFERENCES scopes (kind, name)) STRICT",
)
# What was decided, or waits, without its signer on record keeps NULL in the signer's place.
_CHANGED_IN_VERSION_4 = (
    "ALTER TABLE decisions RENAME TO decisions_before",
    _DECISIONS,
    "INSERT INTO decisions SELECT plan, NULL, decided, NULL FROM decisions_before",
    "DROP TABLE decisions_before",
    "ALTER TABLE waiting RENAME TO waiting_before",
    _WAITING,
    "INSERT INTO waiting SELECT place, plan, NULL, at, sha256, content FROM waiting_before",
    "DROP TABLE waiting_before",
    *_ADDED_IN_VERSION_4,
)
_NEWER_THAN_VERSION_1 = (
    *_HEADS_OF_VERSION_2,
    *_ADDED_IN_VERSION_3,
    _DECISIONS,
    _WAITING,
    *_ADDED_IN_VERSION_4,
    *_ADDED_IN_VERSION_5,
    *_ADDED_IN_VERSION_6,
)
TABLES = (*_TABLES_OF_VERSION_1, *_NEWER_THAN_VERSION_1)
ADDED = {
    1: _NEWER_THAN_VERSION_1,
    2: (*_ADDED_IN_VERSION_3, *_CHANGED_IN_VERSION_4, *_ADDED_IN_VERSION_5, *_ADDED_IN_VERSION_6),
    3: (*_CHANGED_IN_VERSION_4, *_ADDED_IN_VERSION_5, *_ADDED_IN_VERSION_6),
    4: (*_ADDED_IN_VERSION_5, *_ADDED_IN_VERSION_6),
    5: _ADDED_IN_VERSION_6,
    6: (),  # budgets of series and epochs, which older programs do not know
}
