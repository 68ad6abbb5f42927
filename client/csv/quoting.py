"""Which fields of a text file stand in quotes that they do not need, and get again."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from silosynth.common.schema import CsvDialect

_BARE = ("NA", "N/A", "NaN", "nan", "NULL", "null", "None", "\\N", "<NA>")
"""Words for a missing value that programs write without quotes where they quote all texts."""

_Record = list[tuple[str, bool]]
"""The fields of a line, each with whether it stands in quotes."""


def quoting_of(lines: Sequence[str], *, dialect: CsvDialect, whole: bool) -> dict[str, object]:
    """Return the facts of a dialect that say what is quoted; nothing where only what must be.

    A column is quoted where every field is that says something, and one of them need not be.

    Args:
        lines: the first lines of a file from its header on.
        whole: whether there are no others; the last record may be cut off otherwise.
    """
    records = _records("".join(lines), dialect=dialect)[: None if whole else -1]
    if not records or any(len(r) != len(records[0]) for r in records):
        return {}
    columns = [list(c) for c in zip(*records[dialect.header :], strict=True)]
    free = [_is_free(c, dialect=dialect) for c in columns]
    named = dialect.header and _is_free(records[0], dialect=dialect)
    facts: dict[str, object] = {"quoted_header": True} if named else {}
    if any(free) and all(f or _is_quoted(c) for f, c in zip(free, columns, strict=True)):
        facts |= {"quoted": "all"}
    elif any(free) and dialect.header:
        names = [n.strip() or f"column_{i}" for i, (n, _) in enumerate(records[0], start=1)]
        facts["quoted"] = tuple(n for n, f in zip(names, free, strict=True) if f)
    return facts | _bare(c for c, f in zip(columns, free, strict=True) if f)


def _bare(quoted: Iterable[_Record]) -> dict[str, object]:
    """Return the words that stand without quotes in columns that are quoted."""
    words = {text for fields in quoted for text, within in fields if text and not within}
    return {"bare": tuple(sorted(words))} if words else {}


def _records(text: str, *, dialect: CsvDialect) -> list[_Record]:
    """Return the records of a text; blank lines are none."""
    mark, quote = re.escape(dialect.delimiter), re.escape(dialect.quote)
    field = re.compile(
        rf"(?:{quote}((?:[^{quote}]|{quote}{quote})*){quote}|([^{mark}\r\n]*))({mark}|\r\n|\n|\r|\Z)"
    )
    records: list[_Record] = []
    open_: _Record = []
    at = 0
    while at < len(text) and (found := field.match(text, at)) is not None:
        inner, plain, end = found.groups()
        open_.append((plain or "", False) if inner is None else (inner, True))
        at = found.end()
        if end != dialect.delimiter:
            records += [open_] if open_ != [("", False)] else []
            open_ = []
    return records


def _is_quoted(fields: _Record) -> bool:
    """Say whether all fields that say something stand in quotes, or are a word for missing."""
    return all(quoted or not text or text in _BARE for text, quoted in fields)


def _is_free(fields: _Record, *, dialect: CsvDialect) -> bool:
    """Say whether all are quoted, and some that would be read alike without."""
    needed = re.compile(rf"[{re.escape(dialect.delimiter)}{re.escape(dialect.quote)}\r\n]|^\s|\s$")
    unneeded = any(quoted and text and not needed.search(text) for text, quoted in fields)
    return unneeded and _is_quoted(fields)
