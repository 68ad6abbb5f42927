"""Spans of time."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.common.codec.bins import UNITS, Grid, bin_words, resolution_grid, two_digits
from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.written.moments import to_span_microseconds, write_spans
from silosynth.common.schema import DurationAttribute, Resolution, spell_duration

_FORMATS = (
    (r"^-?\d+ days?,? [+-]?\d{1,2}:\d{2}:\d{2}(\.\d+)?$", "days"),
    (r"^-?\d{1,4}:\d{2}:\d{2}(\.\d+)?$", "clock"),
    (r"^-?\d{1,4}:[0-5]\d$", "hours"),
    (r"^-?P(\d+D)?(T(\d+H)?(\d+M)?([\d.]+S)?)?$", "iso"),
)


_OTHERWISE = {"clock": "long-clock", "iso": "short-iso"}

_UNITS = (1, 60, 3_600, 86_400)
"""Seconds of the units that bounds are rounded to."""


def _read(attribute: DurationAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    del attribute
    return to_span_microseconds(column)


def _build(attribute: DurationAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    del attribute
    return pa.array(np.floor(numbers).astype(np.int64), mask=absent).cast(pa.duration("us"))


def _grid(attribute: DurationAttribute) -> Grid | None:
    return resolution_grid(attribute.resolution)


def _spell(attribute: DurationAttribute, column: pa.Array) -> pa.Array:
    ticks = column.cast(pa.duration("us")).cast(pa.int64())
    texts = write_spans(ticks.fill_null(0).to_numpy(), format=attribute.format)
    return pa.array(texts.to_pylist(), pa.large_string(), mask=ticks.is_null().to_numpy(False))


def _edge(number: float) -> str:
    return spell_duration(timedelta(seconds=number))


def _seconds(text: str) -> float:
    numbers, unreadable = to_span_microseconds(pa.array([text], pa.large_string()))
    if unreadable[0]:
        raise ValueError
    return float(numbers[0]) / 1e6


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose spans of time where the type or all texts say so."""
    format = None
    if column.is_text:
        format = next((name for shape, name in _FORMATS if column.matches(shape)), None)
        if format is None:
            return None
    elif not pt.is_duration(column.values.type):
        return None
    spans, unreadable = to_span_microseconds(column.values)
    if unreadable.any():
        return None
    coarse = (Resolution.DAY, Resolution.HOUR) if column.is_text else ()
    names = [r for r in UNITS if r not in coarse]
    whole = spans.astype(np.int64)
    finest = next(r for r in names if not (whole % UNITS[r]).any())
    low, high = float(whole.min()) / 1e6, float(whole.max()) / 1e6
    unit = max((u for u in _UNITS if u <= (high - low) / 10), default=1)
    low, high = (x * unit for x in two_digits(low / unit, high / unit, step=1.0))
    why: tuple[str, ...] = ()
    if format == "hours":
        why = ("read as hours and minutes; minutes and seconds would be spelled alike",)
    if format in _OTHERWISE and not _writes(column, spans, format):
        format = _OTHERWISE[format]
    facts = {
        "kind": "duration",
        "minimum": _edge(low),
        "maximum": _edge(high),
        "resolution": finest.value,
    }
    return Proposal(facts=facts | ({"format": format} if format else {}), why=why)


def _writes(column: ColumnFacts, spans: np.ndarray, format: str) -> bool:
    """Say whether a format gives the texts again."""
    return bool(write_spans(spans.astype(np.int64), format=format).equals(column.trimmed))


KIND = Kind(
    accepts=lambda _, kind: pt.is_duration(kind),
    store_as="store it as a duration, or as text such as '1 days 02:30:00'",
    codec=lambda attribute: NumericCodec(
        attribute=attribute, scale=Scale(read=_read, build=_build, grid=_grid, per_unit=1_000_000)
    ),
    spell=_spell,
    as_text=lambda attribute: attribute.format is not None,
    words=lambda attribute: bin_words(attribute, spell=_edge),
    edge=_edge,
    read_edge=_seconds,
    draft=_draft,
    needs=("minimum", "maximum"),
    natural="duration[us]",
    reason="all read as spans of time",
)
