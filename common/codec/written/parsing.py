"""Columns of any storage to plain numbers and text, without an error that depends on a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.written.columns import is_instant, is_number, is_text
from silosynth.common.codec.written.dress import undress
from silosynth.common.codec.written.moment_words import reads_fractions, to_plain
from silosynth.common.schema import MomentWords, NumberText

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
_ISO = re.compile(r"%Y-%m-%d[ T]%H:%M(:%S(\.%f|\.%\dN)?)?( ?(Z|%z|%:z))?")
_ISO_TEXT = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|[+-]\d{2}:?\d{2}))?)?$"
_NANOSECONDS = r"([.,]\d{6})\d+"
_LARGEST_WHOLE = 2.0**53
_MOST_SCALE = 22
_DAY = 86_400_000_000
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def flatten(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return one array; text becomes a dictionary, so that its length is no limit.

    Types that Arrow has few functions for become those that hold the same values.
    """
    column = _common(column)
    kind = column.type
    if pt.is_dictionary(kind) and isinstance(column, pa.ChunkedArray) and column.num_chunks > 1:
        if not any(chunk.dictionary.null_count for chunk in column.chunks):
            return column.unify_dictionaries().combine_chunks()
        column, kind = column.cast(kind.value_type), kind.value_type
    if is_text(kind):
        column = column.dictionary_encode()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _common(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Return a column of extensions, runs or views as plain values, and short numbers as longer."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        stored = column.cast(kind.storage_type)
        return _extended(stored, kind.extension_name)
    if pt.is_interval(kind):
        return _spans_of(column)
    if pt.is_run_end_encoded(kind):
        return _common(pc.run_end_decode(column))
    if pt.is_dictionary(kind) and kind.value_type not in (pa.string(), pa.large_string()):
        # Dictionaries of anything else cannot be unified.
        return plain_values(column)
    longer = {
        pa.string_view(): pa.large_string(),
        pa.binary_view(): pa.large_binary(),
        pa.float16(): pa.float32(),
    }
    if pt.is_decimal32(kind) or pt.is_decimal64(kind):
        longer[kind] = pa.decimal128(kind.precision, kind.scale)
    return column.cast(longer[kind]) if kind in longer else column


_DAYS_OF_A_MONTH, _MOST_DAYS = 30, 10**8
_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])


def _extended(stored: pa.ChunkedArray | pa.Array, name: str) -> pa.ChunkedArray | pa.Array:
    """Return the stored values of an extension, UUIDs as text."""
    if name != "arrow.uuid":
        return _common(stored)
    texts = [None if b is None else str(UUID(bytes=b)) for b in stored.to_pylist()]
    return pa.array(texts, pa.large_string())


def _spans_of(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a database's intervals as spans of time, a month as thirty days."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    data = whole.buffers()[1]
    parts = np.zeros(0, _INTERVAL) if data is None else np.frombuffer(data, _INTERVAL)
    parts = parts[whole.offset : whole.offset + len(whole)]
    days = parts["months"].astype(np.int64) * _DAYS_OF_A_MONTH + parts["days"]
    # As far as an int64 goes: the longest would come out below zero.
    spans = np.clip(days, -_MOST_DAYS, _MOST_DAYS) * _DAY + parts["nanoseconds"] // 1000
    there = whole.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(spans, pa.int64(), mask=~there).cast(pa.duration("us"))


def plain_values(column: pa.ChunkedArray | pa.DictionaryArray) -> pa.ChunkedArray:
    """Return what a column of dictionaries says, also where Arrow cannot cast it, as of views."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if not chunks:
        return _common(pa.chunked_array([], column.type.value_type))
    return pa.chunked_array([_common(c.dictionary).take(c.indices) for c in chunks])


def readable(column: pa.Array) -> pa.Array:
    """Replace what is not UTF-8 in a flattened column's texts; files are not checked for it."""
    if not (pt.is_dictionary(column.type) and is_text(column.type.value_type)):
        return column
    try:
        column.dictionary.validate(full=True)
    except pa.ArrowInvalid:
        stored = column.dictionary.cast(pa.large_binary()).to_pylist()
        texts = [None if text is None else text.decode("utf-8", "replace") for text in stored]
        return pa.DictionaryArray.from_arrays(column.indices, pa.array(texts, pa.large_string()))
    return column


def distinct(column: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Return the distinct values, null last, and (rows,) the position of each row's value."""
    if not pt.is_dictionary(column.type):
        column = column.dictionary_encode()
    values, positions = column.dictionary, column.indices
    if positions.null_count:
        positions = pc.fill_null(positions.cast(pa.int64()), len(values))
    return pa.concat_arrays([values, pa.nulls(1, values.type)]), positions.to_numpy()


def to_numbers(
    column: pa.Array, *, spelled: NumberText | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows,) float64, NaN where there is no number, and where a text was unreadable.

    Args: spelled: how numbers are written in texts, where not plainly.
    """
    if is_text(column.type) or pt.is_dictionary(column.type):
        values, positions = distinct(column)
        if pt.is_dictionary(column.type) and not is_text(values.type):
            numbers, unreadable = to_numbers(values)
        else:
            numbers, unreadable = _parse_numbers(values, spelled=spelled)
        return numbers[positions], unreadable[positions]
    if pt.is_boolean(column.type):
        column = column.cast(pa.uint8())
    numbers = _as_float(column)
    return numbers, np.zeros(len(numbers), dtype=bool)


def to_microseconds(
    column: pa.Array, *, format: str | None, words: MomentWords | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return (rows,) float64 microseconds since 1970 in UTC, rounded down, and what was unreadable.

    Values without a zone are taken as UTC. Text is read as ISO 8601, or by ``format`` and the
    ``words`` that stand for its marks.
    """
    if is_text(column.type) or pt.is_dictionary(column.type):
        values, positions = distinct(column)
        if is_text(values.type):
            instants, unreadable = _parse_instants(values, format=format, words=words)
        else:
            instants, unreadable = to_microseconds(values, format=format)
        return instants[positions], unreadable[positions]
    if pt.is_date32(column.type):
        instants = _as_float(column.cast(pa.int32())) * 86_400e6
    elif pt.is_date64(column.type):
        instants = _as_float(column.cast(pa.int64())) * 1e3
    elif is_instant(column.type):
        ticks = column.cast(pa.int64())
        if column.type.unit == "ns":
            instants = _as_float(_floor_thousandth(ticks))
        else:
            instants = _as_float(ticks) * _MICROSECONDS[column.type.unit]
    else:
        instants = np.full(len(column), np.nan)
    return instants, np.zeros(len(instants), dtype=bool)


def to_texts(values: pa.Array) -> pa.Array:
    """Spell distinct values as the schema lists them: 3.0 as "3", a date as "2020-01-31"."""
    if is_text(values.type):
        return values.cast(pa.large_string())
    kind = values.type
    if pt.is_integer(kind) or pt.is_date(kind) or pt.is_boolean(kind) or pt.is_time(kind):
        return values.cast(pa.large_string())
    if pt.is_decimal(kind):
        # Exact: two long decimals may be one float.
        return values.cast(pa.large_string())
    if pt.is_timestamp(values.type):
        return pc.replace_substring_regex(
            values.cast(pa.large_string()), r"[ T]00:00:00(\.0+)?Z?$|Z$", ""
        )
    return spell_numbers(_as_float(values))


def numbers_as_text(column: pa.Array) -> pa.Array:
    """Return whole numbers such as 20231130 as a dictionary of texts; others as they are."""
    kind = column.type.value_type if pt.is_dictionary(column.type) else column.type
    if not is_number(kind):
        return column
    values, positions = distinct(column)
    return pa.DictionaryArray.from_arrays(pa.array(positions), to_texts(values))


def spell_numbers(numbers: np.ndarray) -> pa.Array:
    """Spell distinct floats: whole ones without a point, NaN as null."""
    return pa.array([_spell_number(number) for number in numbers.tolist()], pa.large_string())


def trim(texts: pa.Array) -> pa.Array:
    """Cut white space at both ends."""
    return pc.utf8_trim_whitespace(texts)


def _spell_number(number: float) -> str | None:
    if number != number:
        return None
    return str(int(number)) if abs(number) <= _LARGEST_WHOLE and number % 1 == 0 else repr(number)


def _as_float(column: pa.Array) -> np.ndarray:
    """Return (rows,) float64 with NaN for null."""
    if pt.is_null(column.type):
        return np.full(len(column), np.nan)
    numbers: np.ndarray = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    if pt.is_decimal(column.type) and 0 < column.type.scale <= _MOST_SCALE:
        # Arrow's are a bit off; a quotient of whole numbers is the float that the decimal spells.
        power = 10.0**column.type.scale
        near = np.abs(numbers) * power < _LARGEST_WHOLE
        numbers = np.where(near, np.rint(numbers * power) / power, numbers)
    return numbers


def _floor_thousandth(ticks: pa.Array) -> pa.Array:
    """Divide by 1,000 and round down, in integers."""
    values = pc.fill_null(ticks, 0).to_numpy(zero_copy_only=False) // 1000
    return pa.array(values, mask=pc.is_null(ticks).to_numpy(zero_copy_only=False))


def _parse_numbers(
    texts: pa.Array, *, spelled: NumberText | None = None
) -> tuple[np.ndarray, np.ndarray]:
    trimmed = trim(texts.cast(pa.large_string()))
    if spelled is not None and spelled.dressed:
        trimmed = undress(trimmed, spelled)
    readable = pc.fill_null(pc.match_substring_regex(trimmed, _NUMBER), False)
    numbers = pc.cast(pc.if_else(readable, trimmed, None), pa.float64())
    return _as_float(numbers), _both(pc.invert(readable), _says_something(trimmed))


def _parse_instants(
    texts: pa.Array, *, format: str | None, words: MomentWords | None
) -> tuple[np.ndarray, np.ndarray]:
    from silosynth.common.codec.written.frames import read_instants  # see there why not above

    trimmed = trim(texts.cast(pa.large_string()))
    plain = trimmed
    if format is not None:
        plain, format = to_plain(trimmed, format=format, words=words)
    # Without a digit pandas would read "now" and "today" from the clock.
    dated = pc.if_else(pc.match_substring_regex(plain, r"\d"), plain, None)
    if format is None or reads_fractions(format):
        dated = pc.replace_substring_regex(dated, _NANOSECONDS, r"\1")
    numbers = _read_again(dated, read=partial(read_instants, format=format))
    if format is not None and _ISO.fullmatch(format):
        # Some programs leave out a fraction, or a clock, that is zero.
        others = pc.if_else(pa.array(np.isnan(numbers)), dated, None)
        others = pc.if_else(pc.match_substring_regex(others, _ISO_TEXT), others, None)
        again = _read_again(others, read=partial(read_instants, format=None))
        numbers = np.where(np.isnan(numbers), again, numbers)
    return numbers, np.isnan(numbers) & _both(_says_something(trimmed))


def _read_again(texts: pa.Array, *, read: Callable[[pa.Array], pa.Array]) -> np.ndarray:
    """Return (texts,) float64 microseconds, NaN of what is unreadable by itself.

    One text with nanoseconds makes pandas read all in them. Then it loses the years before 1677 and
    after 2262, so that a row would change another's code. What is lost is read again, by halves
    until no other text stands beside it: were all read so, that row would show in an answer's time.
    """
    instants = read(texts)
    numbers, _ = to_microseconds(instants, format=None)
    if len(texts) > 1 and instants.type.unit == "ns":
        numbers = np.array(numbers)
        lost = np.flatnonzero(np.isnan(numbers) & texts.is_valid().to_numpy(zero_copy_only=False))
        for half in np.array_split(lost, 2):
            if len(half):
                numbers[half] = _read_again(texts.take(pa.array(half)), read=read)
    return numbers


def _says_something(trimmed: pa.Array) -> pa.Array:
    """Mark texts that are neither null, empty nor a spelling of not-a-number."""
    return pc.fill_null(pc.invert(pc.match_substring_regex(trimmed, r"^(?i:nan|nat)?$")), False)


def _both(*masks: pa.Array) -> np.ndarray:
    both: np.ndarray = np.logical_and.reduce([m.to_numpy(zero_copy_only=False) for m in masks])
    return both
