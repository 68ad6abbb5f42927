"""Data sets of one policy that may hold the same people: each has a budget, and a person pays both.

The ledger keeps the budgets of two data sets apart, which is right for two tables of different
people. It cannot see that they are one table under two names.
"""

from __future__ import annotations

import shlex
from itertools import combinations, product
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from silosynth.client.policy.file import PolicyFile
from silosynth.client.policy.sections import DatasetSection


def shared_rows_warnings(policy: PolicyFile) -> tuple[str, ...]:
    """Return a sentence for each two data sets whose rows come from one place; nothing is read."""
    return tuple(
        f"data sets {a.name!r} and {b.name!r} both read {place}. A person with rows in both may "
        "lose both budgets together. If they hold the same people, make them one data set"
        for a, b in combinations(policy.datasets, 2)
        if (place := _common_place(a, b)) is not None
    )


def _common_place(a: DatasetSection, b: DatasetSection) -> str | None:
    """Return where both data sets' rows are, without a password; None when that differs."""
    for first, second in product(a.paths, b.paths):
        if _overlap(first, second):
            return str(first)
    for one, other in product(a.uris, b.uris):
        database = _database(one)
        if database == _database(other):
            return f"the PostgreSQL database {database[2] or 'of one user'!r}"
    return None


def _overlap(first: Path, second: Path) -> bool:
    """Say whether two paths are one file, or one lies in the other."""
    if first.exists() and second.exists() and first.samefile(second):
        return True
    one, two = first.resolve(), second.resolve()
    return one == two or one in two.parents or two in one.parents


def _database(uri: str) -> tuple[str, str, str]:
    """Return host, port and name of the database that a connection string or URI means."""
    if "://" not in uri:
        words = (part.partition("=") for part in _split(uri))
        return _place({key.strip(): value for key, _, value in words})
    parts = urlsplit(uri)
    host, _, port = parts.netloc.rpartition("@")[2].rpartition(":")
    if not port.isdigit():
        host, port = parts.netloc.rpartition("@")[2], ""
    stated = {
        "user": unquote(parts.netloc.rpartition("@")[0].partition(":")[0]),
        "host": unquote(host),
        "port": port,
        "dbname": unquote(parts.path.lstrip("/")),
    }
    return _place({k: v for k, v in stated.items() if v} | dict(parse_qsl(parts.query)))


def _place(stated: dict[str, str]) -> tuple[str, str, str]:
    """Return host, port and name with the defaults of libpq."""
    name = stated.get("dbname") or stated.get("user", "")
    return stated.get("host", ""), stated.get("port") or "5432", name


def _split(words: str) -> list[str]:
    """Split a connection string; one that cannot be split is taken as a whole."""
    try:
        return shlex.split(words)
    except ValueError:
        return [words]
