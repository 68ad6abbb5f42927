"""Whose each row is, said in SQL that DuckDB and PostgreSQL both read.

``raw`` is a table with its keys as texts, ``owned`` its rows with their person, ``keys`` its keys
with theirs. A key that stands at several persons is that of the first of them, whatever rows others
have; without a person a row is in none of the last two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from silosynth.common.tables import TablesSchema

PERSON, KEY, BY = "\x01person", "\x01key", "\x01by"
"""Columns that are added to a table's own; no attribute can have such a name."""


def owner_views(schema: TablesSchema, raw: Sequence[str]) -> dict[str, str]:
    """Return a SELECT by view, each of those before it: ``raw0``, ``owned0``, ``keys0``, ...

    Args: raw: by table, from the persons' down, the SELECT of its rows with ``KEY`` and ``BY``.
    """
    views: dict[str, str] = {}
    for i, (name, rows) in enumerate(zip(schema.downward, raw, strict=True)):
        table = schema.tables[name]
        views[f"raw{i}"] = rows
        owned = f'SELECT *, "{KEY}" AS "{PERSON}" FROM raw{i} WHERE "{KEY}" IS NOT NULL'
        if table.parent is not None:
            above = schema.downward.index(table.parent)
            owned = (
                f'SELECT raw{i}.*, keys{above}."{PERSON}" FROM raw{i} '
                f'JOIN keys{above} ON raw{i}."{BY}" = keys{above}."{KEY}"'
            )
        views[f"owned{i}"] = owned
        if table.key is not None:
            views[f"keys{i}"] = (
                f'SELECT "{KEY}", min("{PERSON}") AS "{PERSON}" FROM owned{i} '
                f'WHERE "{KEY}" IS NOT NULL GROUP BY "{KEY}"'
            )
    return views


def rows_sql(place: int) -> str:
    """Return the SELECT of a table's rows by person."""
    return f'SELECT * FROM owned{place} ORDER BY "{PERSON}"'


def nobodys_sql(place: int) -> str:
    """Return the SELECT of how many rows of a table belong to nobody."""
    return f"SELECT (SELECT count(*) FROM raw{place}) - (SELECT count(*) FROM owned{place}) AS lost"


def key_columns(schema: TablesSchema, name: str) -> Mapping[str, str]:
    """Return the columns of a table that say whose its rows are, by what they are added as."""
    table = schema.tables[name]
    return {a: c for a, c in ((KEY, table.key), (BY, table.by)) if c is not None}


def whole_number_sql(name: str, *, whole: str) -> str:
    """Return a number with a point as a key: 7.0 is the key 7, and what is no number is none.

    Args: name: the column, quoted; ``whole``: it as a text without a point.
    """
    finite = f"{name} > '-Infinity' AND {name} < 'Infinity'"
    plain = f"{name} = floor({name}) AND abs({name}) < 1e18"
    return (
        f"CASE WHEN NOT ({finite}) THEN NULL WHEN {plain} THEN {whole} "
        f"ELSE CAST({name} AS VARCHAR) END"
    )


def text_sql(name: str, *, cast: str = "CAST") -> str:
    """Return a column as a key: blanks are none."""
    return f"nullif(trim({cast}({name} AS VARCHAR)), '')"
