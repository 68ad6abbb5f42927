"""What DuckDB's sniffer finds out about a text file."""

from __future__ import annotations

from pathlib import Path

import duckdb


def sniff_csv(path: Path) -> tuple[str, str] | None:
    """Return delimiter and quote as DuckDB's sniffer finds them, None where it finds nothing."""
    try:
        found = duckdb.connect().execute("SELECT Delimiter, Quote FROM sniff_csv(?)", [str(path)])
        row = found.fetchone()
    except (duckdb.Error, RuntimeError):
        return None
    return None if row is None else (str(row[0]), str(row[1]))
