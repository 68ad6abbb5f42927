"""Which formats all texts of a column are written by, and that give every one of them again."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec.facts import FEW, ColumnFacts
from silosynth.common.codec.written.moment_parts import Found, moment_formats
from silosynth.common.codec.written.moment_shapes import shaped_formats
from silosynth.common.codec.written.moment_words import is_yearless
from silosynth.common.codec.written.moments import write_instants
from silosynth.common.codec.written.parsing import to_microseconds, trim
from silosynth.common.schema import MomentWords

MILLISECONDS = r"\d{2}[.,]\d{3}(\D|$)"
WITH_OFFSET = r"(?P<c>:\d\d[^+-]*)(?P<o>[+-]\d\d:?\d\d)"
_SHOWN = 500
"""Distinct texts that formats are worked out from; all are read by one then."""
_MOST_MONTHS, _MOST_DAYS = 10, 20
"""Of a year, which days without one must show."""


def listed_formats(column: ColumnFacts) -> list[str]:
    """Return the format that texts are written by, then all usual ones that read them."""
    found = [f for f in shaped_formats(column.matches) if _reads_all(column, f)]
    if not found:
        return []
    chosen = found[0]
    if not _writes(column, chosen, like=chosen):
        loose = [re.sub(rf"%([{letters}])", r"%-\1", chosen) for letters in ("dmHI", "dm", "HI")]
        cased = [re.sub("%([bB])", r"%^\1", f).replace("%p", "%P") for f in (chosen, *loose)]
        chosen = _writes(column, *dict.fromkeys((*loose, *cased)), like=chosen) or chosen
    return [chosen, *found]


def worked_out_formats(column: ColumnFacts) -> list[Found]:
    """Return the formats that parts of texts say, each with its words; those with a year first."""
    if len(column.values) <= FEW or not column.some_match(r"\pN"):
        return []
    shown = column.trimmed.slice(0, _SHOWN)
    some = replace(column, values=shown, counts=column.counts[: len(shown)])
    found = [
        (format, words)
        for format, words in moment_formats(shown.to_pylist(), dated=True)
        if all(_is_written(c, format, words=words) for c in (some, column))
    ]
    dated = [way for way in found if not is_yearless(way[0])]
    days = [w for w in found if is_yearless(w[0]) and _names_days(column, w[0], words=w[1])]
    # Two digits beside a month's name are a year, unless they are most days of months.
    short = all("%y" in format and not re.search("%-?d", format) for format, _ in dated)
    return days if days and (not dated or short) else dated


def _names_days(column: ColumnFacts, format: str, *, words: MomentWords | None) -> bool:
    """Say whether texts without a year are days of a year by more than chance.

    They must show most of the days that a month has, and most months where those have no names.
    """
    instants, _ = to_microseconds(column.trimmed, format=format, words=words)
    days = instants.astype("datetime64[us]").astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    named = re.search("%[-^]*[bB]", format) is not None
    many = named or len(np.unique(months)) >= _MOST_MONTHS
    return many and len(np.unique(days - months.astype("datetime64[D]"))) >= _MOST_DAYS


def _is_written(column: ColumnFacts, format: str, *, words: MomentWords | None) -> bool:
    """Say whether a format reads all texts and gives them again."""
    if not _reads_all(column, format, words=words):
        return False
    return _writes(column, format, like=format, words=words) is not None


def _reads_all(column: ColumnFacts, format: str, *, words: MomentWords | None = None) -> bool:
    instants, unreadable = to_microseconds(column.trimmed, format=format, words=words)
    if unreadable.any() or np.isnan(instants).any():
        return False
    years = instants.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970
    return bool(years.min() >= 1800 and years.max() <= 2200) or "%Y%m%d" not in format


def _writes(
    column: ColumnFacts, *formats: str, like: str, words: MomentWords | None = None
) -> str | None:
    """Return the first of some formats that gives all texts again, but for their offsets.

    What stands behind the sixth digit of a second is not looked at: it comes out as zeros.

    Args: like: a format that reads them.
    """
    texts = column.trimmed
    if _without_offset(like) != like:
        texts = trim(pc.replace_substring_regex(texts, WITH_OFFSET, r"\1"))
    instants, _ = to_microseconds(texts, format=_without_offset(like), words=words)
    if np.isnan(instants).any():
        return None
    texts = pc.replace_substring_regex(texts, r"([.,]\d{6})(\d{1,3})(\D|$)", r"\1000\3")
    moments = pa.array(instants.astype(np.int64), pa.timestamp("us"))
    how = {"unit": "ms" if column.matches(MILLISECONDS) else "us", "words": words}
    right = (f for f in formats if _gives(moments, texts, format=_without_offset(f), **how))
    return next(right, None)


def _without_offset(format: str) -> str:
    return re.sub("%:?z", "", format).strip()


def _gives(moments: pa.Array, texts: pa.Array, *, format: str, **how: Any) -> bool:
    """Say whether moments are written as texts are."""
    few = write_instants(moments[:_SHOWN], format=format, **how).equals(texts[:_SHOWN])
    return few and bool(write_instants(moments, format=format, **how).equals(texts))
