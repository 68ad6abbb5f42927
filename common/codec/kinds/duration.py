"""Spans of time."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.bins import UNITS, Grid, bin_words, temporal_grid, two_digits
from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.steps import find_step
from silosynth.common.codec.written.spans import (
    span_pattern,
    to_span_microseconds,
    write_spans,
)
from silosynth.common.schema import DurationAttribute, Resolution, span_marks, spell_duration

_FORMATS = (
    (r"^-?\d+ days?,? [+-]?\d{1,2}:\d{2}:\d{2}(\.\d+)?$", ("days", "python", "postgres")),
    (r"^-?\d{1,4}:\d{2}:\d{2}(\.\d+)?$", ("clock", "long-clock")),
    (
        r"^((-?\d+ days?,? )?[+-]?\d{1,2}:\d{2}:\d{2}(\.\d+)?|-?\d+ days?)$",
        ("python", "postgres"),
    ),
    (r"^-?\d{1,4}:[0-5]\d$", ("hours",)),
    (r"^-?(\d{1,4}:)?[0-5]?\d:[0-5]\d$", ("lap", "long-lap")),
    (r"^-?P(\d+D)?(T(\d+H)?(\d+M)?([\d.]+S)?)?$", ("iso", "short-iso")),
)
"""Shapes of texts, and the formats that may write them."""
_FRACTION = r":[0-5]\d\.(?P<f>\d{1,6})$"
_FRACTIONED = (
    (r"^-?\d{1,4}:[0-5]\d:", ("clock", "long-clock")),
    (r"^-?(\d{1,4}:)?[0-5]?\d:[0-5]\d\.", ("lap", "long-lap")),
)
"""Beginnings of texts that all have as many digits of a second, and what may write them."""

_UNITS = (1, 60, 3_600, 86_400)
"""Seconds of the units that bounds are rounded to."""


def _read(attribute: DurationAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    return to_span_microseconds(column, format=attribute.format)


def _build(attribute: DurationAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    del attribute
    return pa.array(np.floor(numbers).astype(np.int64), mask=absent).cast(pa.duration("us"))


def _grid(attribute: DurationAttribute) -> Grid | None:
    return temporal_grid(attribute)


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
        format = _format_of(column)
        if format is None:
            return None
    elif not pt.is_duration(column.values.type):
        return None
    spans, unreadable = to_span_microseconds(column.values, format=format)
    if unreadable.any():
        return None
    whole = spans.astype(np.int64)
    low, high = float(whole.min()) / 1e6, float(whole.max()) / 1e6
    unit = max((u for u in _UNITS if u <= (high - low) / 10), default=1)
    low, high = (x * unit for x in two_digits(low / unit, high / unit, step=1.0))
    why: tuple[str, ...] = ()
    if pt.is_interval(column.kind):
        why = ("intervals are kept as spans of time, in which a month is thirty days",)
    if format == "hours":
        why = ("read as hours and minutes; minutes and seconds would be spelled alike",)
    finest = _finest(whole, format=format)
    step = find_step(spans, unit=UNITS[finest], bounds=(low, high), daily=False)
    if step is not None:
        low, high, why = step.first / 1e6, step.last / 1e6, (*why, step.why)
    facts = {
        "kind": "duration",
        "minimum": _edge(low),
        "maximum": _edge(high),
        "resolution": finest.value,
        **({} if step is None else {"step": step.count}),
    }
    return Proposal(facts=facts | ({"format": format} if format else {}), why=why)


def _format_of(column: ColumnFacts) -> str | None:
    """Return the first format that gives all texts again, or the first that reads them."""
    shaped = next((formats for shape, formats in _FORMATS if column.matches(shape)), ())
    shaped = (*shaped, *_fractioned(column))
    pattern = span_pattern(column.trimmed)
    formats = (*shaped, *([] if pattern is None else [pattern]))
    return next((f for f in formats if _writes(column, f)), next(iter(shaped), None))


def _fractioned(column: ColumnFacts) -> tuple[str, ...]:
    """Return the formats of clocks with as many digits of a second as all texts have."""
    fractions = pc.struct_field(pc.extract_regex(column.trimmed, _FRACTION), "f")
    digits = pc.unique(pc.utf8_length(fractions)).to_pylist()
    if len(digits) != 1 or digits[0] is None:
        return ()
    shaped = next((formats for shape, formats in _FRACTIONED if column.matches(shape)), ())
    return tuple(f"{format}.{digits[0]}" for format in shaped)


def _writes(column: ColumnFacts, format: str) -> bool:
    """Say whether a format gives the texts again."""
    spans, _ = to_span_microseconds(column.trimmed, format=format)
    if np.isnan(spans).any():
        return False
    return bool(write_spans(spans.astype(np.int64), format=format).equals(column.trimmed))


def _finest(whole: np.ndarray, *, format: str | None) -> Resolution:
    """Return the coarsest resolution that holds all spans, and that texts are written to."""
    marks = span_marks(format)
    if marks is not None:
        last = {"d": Resolution.DAY, "h": Resolution.HOUR, "m": Resolution.MINUTE}
        written = last.get(marks[-1], Resolution.SECOND)
    else:
        written = Resolution.DAY if format is None else Resolution.MINUTE
    names = list(UNITS)
    finer = names[names.index(written) :]
    return next(r for r in finer if not (whole % UNITS[r]).any())


KIND = Kind(
    accepts=lambda _, kind: pt.is_duration(kind) or bool(pt.is_interval(kind)),
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
