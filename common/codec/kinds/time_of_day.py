"""Times of day."""

from __future__ import annotations

from datetime import time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from silosynth.common.codec.bins import bin_words
from silosynth.common.codec.edges import Grid, resolution_grid
from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.written.moments import DAY, to_day_microseconds, write_clock
from silosynth.common.schema import TimeAttribute, day_seconds

_FORMATS = (
    (r"^\d{2}:\d{2}$", None, "minute"),
    (r"^\d{2}:\d{2}:\d{2}$", None, "second"),
    (r"^([01]\d|2[0-3])[0-5]\d$", "%H%M", "minute"),
    (r"^([01]\d|2[0-3])[0-5]\d[0-5]\d$", "%H%M%S", "second"),
    (r"^\d{1,2}:\d{2}$", "%-H:%M", "minute"),
    (r"^\d{1,2}:\d{2}:\d{2}$", "%-H:%M:%S", "second"),
    (r"^\d{2}:\d{2}:\d{2}\.\d{1,6}$", None, "microsecond"),
    (r"^\d{2}:\d{2} [AP]M$", "%I:%M %p", "minute"),
    (r"^\d{1,2}:\d{2} [AP]M$", "%-I:%M %p", "minute"),
    (r"^\d{2}:\d{2}:\d{2} [AP]M$", "%I:%M:%S %p", "second"),
    (r"^\d{1,2}:\d{2}:\d{2} [AP]M$", "%-I:%M:%S %p", "second"),
    (r"^\d{2}:\d{2}[AP]M$", "%I:%M%p", "minute"),
    (r"^\d{1,2}:\d{2}[AP]M$", "%-I:%M%p", "minute"),
    (r"^\d{2}:\d{2}:\d{2}[AP]M$", "%I:%M:%S%p", "second"),
    (r"^\d{1,2}:\d{2}:\d{2}[AP]M$", "%-I:%M:%S%p", "second"),
)


def _read(attribute: TimeAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    return to_day_microseconds(column, format=attribute.format)


def _build(attribute: TimeAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    del attribute
    inside = np.minimum(np.floor(numbers), DAY - 1).astype(np.int64)
    return pa.array(inside, mask=absent).cast(pa.time64("us"))


def _grid(attribute: TimeAttribute) -> Grid | None:
    return resolution_grid(attribute.resolution)


def _spell(attribute: TimeAttribute, column: pa.Array) -> pa.Array:
    ticks = column.cast(pa.time64("us")).cast(pa.int64())
    finest = "microsecond" if attribute.resolution is None else attribute.resolution.value
    texts = write_clock(ticks.fill_null(0).to_numpy(), format=attribute.format, finest=finest)
    return pa.array(texts.to_pylist(), pa.large_string(), mask=ticks.is_null().to_numpy(False))


def _edge(number: float) -> str:
    minutes, seconds = divmod(int(number), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


def _seconds(text: str) -> float:
    return 86_400.0 if text == "24:00" else day_seconds(time.fromisoformat(text))


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose times of day where the type or all texts say so; the whole day bounds them."""
    if pt.is_time(column.values.type):
        ticks, _ = to_day_microseconds(column.values, format=None)
        finest = "second" if not (ticks % 1e6).any() else "microsecond"
        return Proposal(facts={"kind": "time", "resolution": finest})
    if not column.is_text or len(column.values) < 2:
        return None
    for pattern, format, finest in _FORMATS:
        if not column.matches(pattern):
            continue
        if ":" not in pattern and not (column.some_match("^0") and len(column.values) > FEW):
            continue
        if to_day_microseconds(column.trimmed, format=format)[1].any():
            return None
        if column.matches(r"\.\d{3}$"):
            finest = "millisecond"
        facts: dict[str, Any] = {"kind": "time", "resolution": finest}
        return Proposal(facts=facts | ({"format": format} if format else {}))
    return None


KIND = Kind(
    accepts=lambda _, kind: pt.is_time(kind),
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
