"""Times of day."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from datetime import datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.bins import UNITS, Grid, bin_words, temporal_grid
from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.steps import find_step
from silosynth.common.codec.written.columns import is_number
from silosynth.common.codec.written.moment_parts import FINE, moment_formats, said_words
from silosynth.common.codec.written.moments import (
    DAY,
    to_day_microseconds,
    write_clock,
    write_instants,
)
from silosynth.common.codec.written.parsing import numbers_as_text, to_texts
from silosynth.common.schema import Resolution, TimeAttribute, day_seconds

_FORMATS = (
    (r"^\d{2}:\d{2}$", None, "minute"),
    (r"^\d{2}:\d{2}:\d{2}$", None, "second"),
    (r"^(([01]\d|2[0-3])[0-5]\d|2400)$", "%H%M", "minute"),
    (r"^(([01]\d|2[0-3])[0-5]\d[0-5]\d|240000)$", "%H%M%S", "second"),
    (r"^\d{1,2}:\d{2}$", "%-H:%M", "minute"),
    (r"^\d{1,2}:\d{2}:\d{2}$", "%-H:%M:%S", "second"),
    (r"^\d{2}:\d{2}:\d{2}\.\d{3}$", None, "millisecond"),
    (r"^\d{2}:\d{2}:\d{2}\.\d{6}$", None, "microsecond"),
    *((rf"^\d{{2}}:\d{{2}}:\d{{2}}\.\d{{{n}}}$", f"%H:%M:%S.%{n}N", fine) for n, fine in FINE),
    (r"^\d{2}:\d{2}:\d{2}\.\d{1,9}$", None, "microsecond"),
    (r"^\d{2}:\d{2} [AP]M$", "%I:%M %p", "minute"),
    (r"^\d{1,2}:\d{2} [AP]M$", "%-I:%M %p", "minute"),
    (r"^\d{2}:\d{2}:\d{2} [AP]M$", "%I:%M:%S %p", "second"),
    (r"^\d{1,2}:\d{2}:\d{2} [AP]M$", "%-I:%M:%S %p", "second"),
    (r"^\d{2}:\d{2}[AP]M$", "%I:%M%p", "minute"),
    (r"^\d{1,2}:\d{2}[AP]M$", "%-I:%M%p", "minute"),
    (r"^\d{2}:\d{2}:\d{2}[AP]M$", "%I:%M:%S%p", "second"),
    (r"^\d{1,2}:\d{2}:\d{2}[AP]M$", "%-I:%M:%S%p", "second"),
    (r"^\d{2}h\d{2}$", "%Hh%M", "minute"),
    (r"^\d{1,2}h\d{2}$", "%-Hh%M", "minute"),
    (r"^\d{2}:\d{2} [ap]m$", "%I:%M %P", "minute"),
    (r"^\d{1,2}:\d{2} [ap]m$", "%-I:%M %P", "minute"),
    (r"^\d{2}:\d{2}[ap]m$", "%I:%M%P", "minute"),
    (r"^\d{1,2}:\d{2}[ap]m$", "%-I:%M%P", "minute"),
)
_LAST_MINUTE = 2400
_MOST_AN_HOUR = 4
"""Endings of one hour that count as evidence: neighbours hold no more."""
_CHANCE = math.log(1e-4)
_SHOWN = 500
"""Distinct texts that formats are worked out from; all are read by one then."""


def _read(attribute: TimeAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    if attribute.format is not None:
        column = numbers_as_text(column)
    return to_day_microseconds(
        column, format=attribute.format, midnight=attribute.midnight, words=attribute.words
    )


def _build(attribute: TimeAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    inside = np.minimum(np.floor(numbers), DAY - 1).astype(np.int64)
    if attribute.step is not None and attribute.grid is not None:
        # The end of the day is no time of it: the last point before it stands there.
        stride = int(attribute.grid * 1_000_000)
        inside -= (inside - attribute.first_tick) % stride
    return pa.array(inside, mask=absent).cast(pa.time64("us"))


def _grid(attribute: TimeAttribute) -> Grid | None:
    return temporal_grid(attribute)


def _spell(attribute: TimeAttribute, column: pa.Array) -> pa.Array:
    ticks = column.cast(pa.time64("us")).cast(pa.int64())
    finest = "microsecond" if attribute.resolution is None else attribute.resolution.value
    texts = write_clock(
        ticks.fill_null(0).to_numpy(),
        format=attribute.format,
        finest=finest,
        words=attribute.words,
    )
    if attribute.midnight is not None:
        texts = pc.if_else(pc.equal(ticks, 0), attribute.midnight, texts)
    return pa.array(texts.to_pylist(), pa.large_string(), mask=ticks.is_null().to_numpy(False))


def _edge(number: float) -> str:
    minutes, seconds = divmod(int(number), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


def _seconds(text: str) -> float:
    return 86_400.0 if text == "24:00" else day_seconds(time.fromisoformat(text))


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose times of day, and the step between them where they are many and lie on one."""
    found = _unstepped(column)
    if found is None:
        return None
    plain = TimeAttribute.model_validate({"name": "x", **found.facts})
    numbers, _ = _read(plain, column.trimmed if column.is_text else column.values)
    unit = UNITS[Resolution(found.facts["resolution"])]
    step = find_step(numbers, unit=unit, bounds=plain.limits(), daily=True)
    if step is None:
        return found
    off = {"minimum": _clock(step.first), "maximum": _clock(step.last)} if step.first else {}
    return Proposal(facts={**found.facts, "step": step.count, **off}, why=(*found.why, step.why))


def _clock(ticks: int) -> str:
    return (datetime.min + timedelta(microseconds=ticks)).time().isoformat()


def _unstepped(column: ColumnFacts) -> Proposal | None:
    """Propose times of day where the type or all texts say so; the whole day bounds them."""
    if pt.is_time(column.values.type):
        ticks, _ = to_day_microseconds(column.values, format=None)
        finest = "second" if not (ticks % 1e6).any() else "microsecond"
        return Proposal(facts={"kind": "time", "resolution": finest})
    if len(column.values) < 2:
        return None
    found = _numbered(column)
    return found if found is not None or not column.is_text else _written(column)


def _written(column: ColumnFacts) -> Proposal | None:
    """Propose the first format whose shape all texts have."""
    for pattern, format, finest in _FORMATS:
        if not column.matches(pattern):
            continue
        bare = re.search("[:h]", pattern) is None
        if bare and not (column.some_match("^0") and len(column.values) > FEW):
            continue
        midnight = _midnight(column)
        if to_day_microseconds(column.trimmed, format=format, midnight=midnight)[1].any():
            return None
        facts: dict[str, Any] = {"kind": "time", "resolution": finest}
        facts |= {"format": format} if format else {}
        return Proposal(facts=facts | ({"midnight": midnight} if midnight else {}))
    return _parted(column)


def _parted(column: ColumnFacts) -> Proposal | None:
    """Propose the format that the parts of texts say, where it gives every one of them again.

    Without a colon numbers of another meaning look alike, unless a zero stands before some.
    """
    clock = column.some_match(r"\pN") and (column.matches(":") or column.some_match("^0"))
    if len(column.values) <= FEW or not clock:
        return None
    texts, unit = column.trimmed, "ms" if column.matches(r"\d[.,]\d{3}(\D|$)") else "us"
    for format, words in moment_formats(texts.slice(0, _SHOWN).to_pylist(), dated=False):
        ticks, unreadable = to_day_microseconds(texts, format=format, words=words)
        moments = pa.array(np.nan_to_num(ticks).astype(np.int64), pa.timestamp("us"))
        if "/" in format.partition("%M")[2]:
            continue  # a pace, of minutes and seconds
        again = write_instants(moments, format=format, unit=unit, words=words)
        if unreadable.any() or not again.equals(texts):
            continue
        finest = "minute" if "%M" in format else "hour"
        finest = "second" if "%S" in format else finest
        fine = "millisecond" if unit == "ms" else "microsecond"
        facts = {"kind": "time", "resolution": fine if "%f" in format else finest, "format": format}
        facts |= said_words(words)
        return Proposal(facts=facts, why=(f"all read as times of day written {format}",))
    return None


def _midnight(column: ColumnFacts) -> str | None:
    """Return how the end of a day is written, where some text is one: 24:00, 2400."""
    ends = pc.match_substring_regex(column.trimmed, r"^24(:?00){1,2}$")
    found = pc.unique(column.trimmed.filter(ends)).to_pylist()
    return found[0] if len(found) == 1 else None


def _numbered(column: ColumnFacts) -> Proposal | None:
    """Propose times of day for whole numbers that read as hours and minutes: 517, 2359.

    Numbers that mean something else have endings from 60 to 99 too: so many hours hold none that
    chance does not make them.
    """
    if not (column.is_text or is_number(column.values.type)) or len(column.values) < FEW:
        return None
    found = replace(column, values=column.trimmed if column.is_text else to_texts(column.values))
    ending = ".0" if column.is_text and found.matches(r"\.0$") else ""
    if not found.matches(rf"^(0|[1-9]\d{{0,5}}){re.escape(ending)}$"):
        return None
    whole = pc.replace_substring(found.values, ending, "") if ending else found.values
    numbers = whole.cast(pa.int64()).to_numpy(zero_copy_only=False)
    seconds = int(numbers.max()) > _LAST_MINUTE
    if not _reads_as_clock(numbers, seconds=seconds):
        return None
    facts = _whole_clock(found, ending=ending, seconds=seconds)
    facts |= {"stored": "double" if ending else "int64"} if column.is_text else {}
    told = f"all read as times of day written {facts['format']}; write integer if they are amounts"
    return Proposal(facts=facts, why=(told,))


def _whole_clock(column: ColumnFacts, *, ending: str, seconds: bool) -> dict[str, Any]:
    """Return the facts of times of day that are whole numbers with an ending."""
    end = f"24{'00' * (1 + seconds)}{ending}"
    midnight = {"midnight": end} if column.some_match(f"^{re.escape(end)}$") else {}
    format = f"%-H%M{'%S' if seconds else ''}{ending}"
    finest = "second" if seconds else "minute"
    return {"kind": "time", "resolution": finest, "format": format, **midnight}


def _reads_as_clock(numbers: np.ndarray, *, seconds: bool) -> bool:
    """Say whether numbers are hours and minutes in more than chance makes them."""
    minutes = numbers // 100 if seconds else numbers
    last = minutes % 100
    unreal = (minutes > _LAST_MINUTE) | ((minutes == _LAST_MINUTE) & seconds & (numbers % 100 > 0))
    if unreal.any() or (last >= 60).any() or (seconds and (numbers % 100 >= 60).any()):
        return False
    several = np.unique(minutes[minutes >= 100])
    step = int(np.gcd.reduce([100, *several.tolist()]))
    endings = np.arange(0, 100, step)
    _, hourly = np.unique(several // 100, return_counts=True)
    shown = int(np.minimum(hourly, _MOST_AN_HOUR).sum())
    late = last.max() >= 45 or set(last.tolist()) == {0, 30}
    return bool(late and shown * math.log((endings < 60).mean()) < _CHANCE)


KIND = Kind(
    accepts=lambda attribute, kind: (
        pt.is_time(kind)
        or (attribute.format is not None and is_number(kind) and not pt.is_boolean(kind))
    ),
    store_as="store it as a time, or as text such as 09:30:00",
    codec=lambda attribute: NumericCodec(
        attribute=attribute, scale=Scale(read=_read, build=_build, grid=_grid, per_unit=1_000_000)
    ),
    spell=_spell,
    as_text=lambda attribute: attribute.format is not None,
    words=lambda attribute: bin_words(attribute, spell=_edge),
    edge=_edge,
    read_edge=_seconds,
    draft=_draft,
    natural="time64[us]",
    reason="all read as times of day",
)
