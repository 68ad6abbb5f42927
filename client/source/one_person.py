"""Columns that name persons, which a database must tell apart as they are told apart here.

Two persons who come as one would share what one is charged for, and one who comes as two would have
twice as many rows as were charged. What a column is decides it, and no value of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from silosynth.client.source.sql import quote
from silosynth.common.codec import is_text
from silosynth.common.errors import InvalidTable

_TIMETZ = "time with time zone"
_ALIKE = (("a", "A"), ("a", "\u00e1"), ("\u00e9", "e\u0301"))
"""Texts that collations call equal: by case, by accents, by how a letter is put together."""


def refuse_times_of_zones(kinds: Mapping[str, str], *, names: Sequence[str]) -> None:
    """Raise InvalidTable for a column of DuckDB's times with zones, which come without theirs.

    Args: kinds: DuckDB's type of each column.
    """
    for name in names:
        if kinds.get(name) == _TIMETZ:
            raise InvalidTable(
                f"column {name!r} names persons by times with a zone, which is not read",
                hint="cast it to text in the query, as x::varchar",
            )


def refuse_collated(name: str, *, ask: Callable[[str], Sequence[Sequence[Any]]]) -> None:
    """Raise InvalidTable for a column of texts whose collation in DuckDB calls some equal.

    Args: ask: runs a SELECT on ``source``, the table without its rows.
    """
    column = f"(SELECT {quote(name)} FROM source)"
    probes = ", ".join(f"coalesce({column}, '{a}') = '{b}'" for a, b in _ALIKE)
    (found,) = ask(f"SELECT {probes}")
    if any(found):
        raise _collated(name)


def refuse_loose_collation(
    name: str, *, columns: pa.Schema, query: str, fetch: Callable[[str], pa.Table]
) -> None:
    """Raise InvalidTable for a column of PostgreSQL whose collation calls different texts equal.

    Args:
        columns: as the driver describes those of ``query``.
        fetch: runs a SELECT; it is one that reads no row.
    """
    if not is_text(columns.field(name).type):
        return
    one = f"(SELECT {quote(name)} FROM ({query}) AS source LIMIT 0)"
    loose = (
        "SELECT EXISTS (SELECT FROM pg_collation WHERE NOT collisdeterministic "
        f"AND oid = to_regcollation(pg_collation_for({one}))) AS loose"
    )
    if fetch(loose)["loose"].to_pylist() != [False]:
        raise _collated(name)


def _collated(name: str) -> InvalidTable:
    return InvalidTable(
        f"column {name!r} names persons, and its collation calls different texts equal",
        hint="cast it in the query to text that is the same for each person, as by "
        'lower(x) COLLATE "C"',
    )
