"""Instants and times of day: read from text, and written as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.written.affixes import join_texts, other_digits
from silosynth.common.codec.written.columns import is_text
from silosynth.common.codec.written.moment_words import spell_marks, to_plain
from silosynth.common.codec.written.parsing import distinct, to_microseconds, trim
from silosynth.common.schema import MomentWords

DAY = 86_400_000_000
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_CLOCK = r"^(?P<h>\d{1,2}):(?P<m>[0-5]\d)(?::(?P<s>[0-5]\d)(?P<f>\.\d{1,6})?\d*)?$"

WHOLE_CLOCKS = {
    f"%-H%M{seconds}{ending}": (digits, ending)
    for seconds, digits in (("", 4), ("%S", 6))
    for ending in ("", ".0")
}
"""Formats of times of day as whole numbers, 517 for 05:17: their digits, and what follows them."""

_EACH = ("%-", "%_", "%0", "%#", "%^", "%P", "%f", "%y", "%a", "%A", "%G", "%e", "%z", "%q", "N")
"""What Arrow does not write as Python does."""

Read = tuple[np.ndarray, np.ndarray]


def to_day_microseconds(
    column: pa.Array,
    *,
    format: str | None,
    midnight: str | None = None,
    words: MomentWords | None = None,
) -> Read:
    """Return (rows,) float64 microseconds since midnight, and where a text was unreadable.

    Args: midnight: another text for the beginning of a day, such as 2400.
    """
    if is_text(column.type) or pt.is_dictionary(column.type):
        return by_value(
            column,
            lambda values: _read_clock(values, format=format, midnight=midnight, words=words),
        )
    if pt.is_time(column.type):
        return scaled(column)
    return np.full(len(column), np.nan), np.zeros(len(column), dtype=bool)


def write_instants(
    instants: pa.Array,
    *,
    format: str | None,
    seconds: bool = True,
    unit: str = "us",
    words: MomentWords | None = None,
) -> pa.Array:
    """Write dates or timestamps as text; ISO 8601 without a format.

    Args:
        seconds: whether instants have no fraction of a second.
        unit: that fractions are written to, ``ms`` or ``us``.
        words: that stand for marks of the format.
    """
    if pt.is_date(instants.type):
        instants = instants.cast(pa.date32()).cast(pa.timestamp("s"))
        format = format or "%Y-%m-%d"
    if format is None:
        format = "%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M:%S.%f"
        format += "%:z" if instants.type.tz else ""
    fine = format.replace("%S.%f", "")
    if words is not None or any(mark in fine for mark in _EACH):
        return _write_each(instants, format, unit=unit, words=words)
    if "%f" not in format:
        # Seconds of finer timestamps would be written with their fraction.
        instants = instants.cast(pa.timestamp("s", tz=instants.type.tz), safe=False)
    else:
        instants = instants.cast(pa.timestamp(unit, tz=instants.type.tz), safe=False)
        format = format.replace("%S.%f", "%S")
    return pc.strftime(instants, format=format.replace("%:z", "%Ez")).cast(pa.large_string())


def write_clock(
    microseconds: np.ndarray,
    *,
    format: str | None,
    finest: str,
    words: MomentWords | None = None,
) -> pa.Array:
    """Write times of day as text; HH:MM, HH:MM:SS or with a fraction by ``finest``."""
    instants = pa.array(microseconds.astype(np.int64), pa.timestamp("us"))
    if format is None:
        format = {"hour": "%H:%M", "minute": "%H:%M", "second": "%H:%M:%S"}.get(
            finest, "%H:%M:%S.%f"
        )
    unit = "ms" if finest == "millisecond" else "us"
    texts = write_instants(instants, format=format, unit=unit, words=words)
    if format not in WHOLE_CLOCKS:
        return texts
    # Half past midnight is 30, and no 030.
    return pc.replace_substring_regex(texts, r"^0{1,5}(\d)", r"\1")


def _write_each(
    instants: pa.Array, format: str, *, unit: str, words: MomentWords | None
) -> pa.Array:
    """Write each distinct instant by Python, which knows days without a zero before them."""
    values, positions = distinct(instants)
    texts = []
    for moment in values.to_pylist():
        offset = moment.strftime("%z") if isinstance(moment, datetime) else ""
        spelled = format.replace("%:z", f"{offset[:3]}:{offset[3:]}")
        if unit == "ms" and isinstance(moment, datetime):
            spelled = spelled.replace("%f", f"{moment.microsecond // 1000:03}")
        written = None if moment is None else spell_marks(moment, spelled, words=words)
        texts.append(None if written is None else moment.strftime(written))
    found = pa.array(texts, pa.large_string())
    if words is not None and words.zero:
        found = other_digits(found, zero=words.zero)
    return found.take(pa.array(positions))


def by_value(column: pa.Array, read: Callable[[pa.Array], Read]) -> Read:
    """Read the distinct values of a text column."""
    values, positions = distinct(column)
    if not is_text(values.type):
        values = values.cast(pa.large_string())
    numbers, unreadable = read(trim(values.cast(pa.large_string())))
    return numbers[positions], unreadable[positions]


def scaled(column: pa.Array) -> Read:
    """Return typed times or spans in microseconds, rounded down."""
    whole = column.cast(pa.int32() if pt.is_time32(column.type) else pa.int64())
    ticks = whole.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    unit = column.type.unit
    numbers = np.floor(ticks / 1000) if unit == "ns" else ticks * _MICROSECONDS[unit]
    return numbers, np.zeros(len(numbers), dtype=bool)


def _read_clock(
    trimmed: pa.Array,
    *,
    format: str | None,
    midnight: str | None = None,
    words: MomentWords | None = None,
) -> Read:
    if midnight is not None:
        numbers, unreadable = _read_clock(trimmed, format=format, words=words)
        there = pc.fill_null(pc.equal(trimmed, midnight), False).to_numpy(zero_copy_only=False)
        return np.where(there, 0.0, numbers), unreadable & ~there
    if format in WHOLE_CLOCKS:
        digits, ending = WHOLE_CLOCKS[format]
        whole = pc.match_substring_regex(trimmed, rf"^\d{{1,{digits}}}{re.escape(ending)}$")
        padded = pc.utf8_lpad(pc.if_else(whole, trimmed, None), digits + len(ending), "0")
        format = "%H%M" + "%S" * (digits == 6) + ending
        numbers, _ = _read_clock(padded, format=format)
        return numbers, np.isnan(numbers) & says_something(trimmed)
    if format is not None:
        plain, format = to_plain(trimmed, format=format, words=words)
        dated = join_texts("1970-01-01 ", plain)
        numbers, unreadable = to_microseconds(dated, format=f"%Y-%m-%d {format}")
        said = pc.fill_null(pc.greater(pc.utf8_length(trimmed), 0), False).to_numpy(False)
        return numbers, np.isnan(numbers) & said
    parts = pc.extract_regex(trimmed, _CLOCK)
    hours, minutes, seconds, fractions = (
        _float(pc.struct_field(parts, name)) for name in ("h", "m", "s", "f")
    )
    total = hours * 3600 + minutes * 60 + np.nan_to_num(seconds)
    numbers = np.floor(total * 1e6 + np.rint(np.nan_to_num(fractions) * 1e6))
    numbers = np.where(total < 86_400, numbers, np.nan)
    return numbers, np.isnan(numbers) & says_something(trimmed)


def _float(texts: pa.Array) -> np.ndarray:
    filled = pc.if_else(pc.equal(pc.utf8_length(texts), 0), None, texts)
    numbers: np.ndarray = filled.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def says_something(trimmed: pa.Array) -> np.ndarray:
    """Mark texts that say something."""
    said = pc.fill_null(pc.invert(pc.match_substring_regex(trimmed, r"^(?i:nan|nat)?$")), False)
    marked: np.ndarray = said.to_numpy(zero_copy_only=False)
    return marked


def epoch_text(seconds: float) -> str:
    """Write seconds since 1970 in UTC as ISO 8601."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat()


_FARTHEST_LOCAL = 20_000.0 * 366 * DAY


def local_instants(instants: np.ndarray, *, zone: str) -> np.ndarray:
    """Return (rows,) float64, what clocks of a zone show at microseconds since 1970 in UTC."""
    # Further away no schema has days, and an int64 or a zone would fail by a row.
    inside = np.abs(instants) < _FARTHEST_LOCAL
    whole = pa.array(np.where(inside, instants, 0).astype(np.int64))
    there = pc.local_timestamp(whole.cast(pa.timestamp("us", tz=zone)))
    return np.where(inside, there.cast(pa.int64()).to_numpy().astype(np.float64), instants)


def midnights(days: pa.Array, *, zone: str) -> pa.Array:
    """Return the instants at which days begin in a zone, given as microseconds of its clocks.

    A day whose midnight there is not, since clocks are put forward then, begins with the first
    moment after it; one that has two, with the earlier.
    """
    clocks = days.cast(pa.timestamp("us"))
    return pc.assume_timezone(clocks, timezone=zone, ambiguous="earliest", nonexistent="latest")


_OFFSET = r"(Z|[+-]\d{2}:?\d{2})$"


def have_offsets(column: pa.Array, *, format: str | None) -> np.ndarray:
    """Mark rows, (rows,) bool, that are moments everywhere, and not the clocks of one place.

    Of a text, that it says itself: another row's offset tells nothing of it. By a format without a
    zone none does, whatever its last digits look like.
    """
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    zoned = pt.is_timestamp(kind) and kind.tz is not None
    if not is_text(kind) or (format is not None and "z" not in format.lower()):
        return np.full(len(column), zoned)
    values, positions = distinct(column)
    found = pc.match_substring_regex(trim(values.cast(pa.large_string())), _OFFSET)
    marked: np.ndarray = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    chosen: np.ndarray = marked[positions]
    return chosen


def are_months(instants: np.ndarray, *, more_than: int) -> bool:
    """Say whether instants are all the first moments of months, of more than so many."""
    there = instants[~np.isnan(instants)].astype("datetime64[us]")
    months = there.astype("datetime64[M]")
    if not (months.astype("datetime64[us]") == there).all():
        return False
    return len(np.unique(months)) > more_than
