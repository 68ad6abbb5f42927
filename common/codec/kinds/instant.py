"""Dates and instants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.bins import UNITS, Grid, bin_words, temporal_grid
from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.instant_formats import (
    MILLISECONDS,
    WITH_OFFSET,
    listed_formats,
    worked_out_formats,
)
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.numeric import NumericCodec, Scale
from silosynth.common.codec.steps import find_step, told_hours
from silosynth.common.codec.written.columns import is_instant, is_number
from silosynth.common.codec.written.moment_parts import FINE, said_words
from silosynth.common.codec.written.moment_words import LEAP_YEAR, is_yearless
from silosynth.common.codec.written.moments import (
    are_months,
    epoch_text,
    have_offsets,
    local_instants,
    midnights,
    write_instants,
)
from silosynth.common.codec.written.parsing import (
    numbers_as_text,
    to_microseconds,
    to_texts,
)
from silosynth.common.schema import (
    DatetimeAttribute,
    MomentWords,
    Resolution,
    epoch_seconds,
    reading_format,
)

_MONTHS = (Resolution.QUARTER, Resolution.MONTH)
_DAYS = (Resolution.YEAR, *_MONTHS, Resolution.WEEK, Resolution.DAY)
_PARTS = (
    (("%f",), "microsecond"),
    (("%S",), "second"),
    (("%M",), "minute"),
    (("%H", "%I"), "hour"),
    (("%d", "%j", "%u"), "day"),
    (("%V",), "week"),
    (("%b", "%B", "%m"), "month"),
)
_LAST = {"hour": "T23:00:00", "minute": "T23:59:00", "second": "T23:59:59"}
_LAST |= dict.fromkeys(("year", "quarter", "month", "week", "day"), "")
_ISO = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?( ?(Z|[+-]\d{2}:?\d{2}))?)?$"
_MICROSECONDS = r":\d{2}\.\d{4}"
_ISO_CLOCKS = (
    (r":\d{2}\.\d+", "%H:%M:%S.%f"),
    (r"[ T]\d{2}:\d{2}:\d{2}", "%H:%M:%S"),
    ("", "%H:%M"),
)
_FEWEST_NUMBERED = 3
_OF_MILLISECONDS = 3
"""Digits of a second's fraction up to which it is milliseconds."""
_FAR_YEARS = 15
_SENTINELS = (1, 1111, 1753, 1799, 1800, 1899, 1900, 1970, 2099, 2199, 2999, 3000, 9999)
_ISO_DAY = r"^\d{4}-\d{2}-\d{2}$"
_OFFSET = r"(?P<o>Z|[+-]\d{2}:?\d{2})$"
_TAIL = r"(?P<t> ?[A-Z]{3,4}|[+-]00|\[[A-Za-z_/+-]+\])$"
"""Words that stand behind every instant: UTC, CET, PostgreSQL's +00, a zone in brackets."""
_UTC = ("UTC", "GMT", "+00", "-00")
_ZONES = (
    *("Europe/London", "Europe/Berlin", "Europe/Helsinki", "America/New_York"),
    *("America/Chicago", "America/Denver", "America/Los_Angeles", "Australia/Sydney"),
)


def _read(attribute: DatetimeAttribute, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    if attribute.format is not None:
        column = numbers_as_text(column)
    instants, unreadable = to_microseconds(column, format=attribute.format, words=attribute.words)
    if attribute.local and attribute.zone is not None:
        moments = have_offsets(column, format=attribute.format)
        instants = np.where(moments, local_instants(instants, zone=attribute.zone), instants)
    return instants, unreadable


def _build(attribute: DatetimeAttribute, numbers: np.ndarray, absent: np.ndarray) -> pa.Array:
    """Return a date, a timestamp without a zone or one in it, as the schema says."""
    whole = pa.array(np.floor(numbers).astype(np.int64), mask=absent)
    if attribute.zone is not None:
        if attribute.local:
            return midnights(whole, zone=attribute.zone)
        return whole.cast(pa.timestamp("us", tz=attribute.zone))
    if attribute.resolution in _DAYS:
        return whole.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    if attribute.resolution is None and attribute.format is None and attribute.stored is None:
        return whole.cast(pa.timestamp("us", tz="UTC"))
    return whole.cast(pa.timestamp("us"))


def _grid(attribute: DatetimeAttribute) -> Grid | None:
    """Return the declared step or resolution as points."""
    return temporal_grid(attribute)


def _spell(attribute: DatetimeAttribute, column: pa.Array) -> pa.Array:
    """Write instants by the format, or as ISO 8601 to their resolution."""
    unit = "ms" if attribute.resolution is Resolution.MILLISECOND else "us"
    if attribute.format is not None:
        return write_instants(column, format=attribute.format, unit=unit, words=attribute.words)
    if attribute.resolution is Resolution.YEAR:
        return write_instants(column, format="%Y")
    if attribute.resolution in _MONTHS:
        return write_instants(column, format="%Y-%m")
    if pt.is_timestamp(column.type) and column.type.tz == "UTC" and attribute.zone is None:
        return column.cast(pa.large_string())
    if attribute.resolution in (Resolution.MINUTE, Resolution.HOUR):
        zoned = "%:z" if attribute.zone else ""
        return write_instants(column, format=f"%Y-%m-%d %H:%M{zoned}")
    coarse = (*_DAYS, Resolution.SECOND)
    seconds = attribute.resolution in coarse
    return write_instants(column, format=None, seconds=seconds, unit=unit)


def _seconds(text: str) -> float:
    return epoch_seconds(datetime.fromisoformat(text))


def _edge(number: float) -> str:
    return epoch_text(number)


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose instants, and the step between them where they are many and lie on one."""
    found = _unstepped(column)
    if found is None or Resolution(found.facts["resolution"]) not in UNITS:
        return found
    plain = DatetimeAttribute.model_validate({"name": "x", **found.facts})
    # With a step instants are read by the clocks of their zone.
    likely = plain.model_copy(update={"step": 1})
    numbers, _ = _read(likely, column.trimmed if column.is_text else column.values)
    unit = UNITS[Resolution(found.facts["resolution"])]
    step = find_step(numbers, unit=unit, bounds=plain.limits(), daily=True)
    hours = told_hours(numbers, stride=unit if step is None else step.stride)
    if step is None:
        return replace(found, why=(*found.why, *hours))
    finest = found.facts["resolution"]
    coarser = {"format", "zone"} & found.facts.keys()
    told = step.in_hours(finest) if coarser else {"step": step.count}
    return Proposal(
        facts={**found.facts, **told, **step.moments}, why=(*found.why, step.why, *hours)
    )


def _unstepped(column: ColumnFacts) -> Proposal | None:
    """Propose instants where the type, or one format of all texts, says so."""
    if is_instant(column.values.type):
        return _typed(column)
    if not column.is_text:
        return _numbered(column)
    if column.matches(_ISO):
        instants, unreadable = to_microseconds(column.trimmed, format=None)
        return None if unreadable.any() else _written_iso(column, instants)
    return _written(column) or _tailed(column) or _parted(column)


def _tailed(column: ColumnFacts) -> Proposal | None:
    """Propose instants behind all of which the same words stand, which stay as they are."""
    tails = pc.struct_field(pc.extract_regex(column.trimmed, _TAIL), "t")
    tail = tails[0].as_py() if len(tails) else None
    if tail is None or not pc.all(pc.equal(tails, tail).fill_null(False)).as_py():
        return None
    bare = pc.replace_substring_regex(column.trimmed, _TAIL, "")
    found = _unstepped(replace(column, values=bare))
    if found is None:
        return None
    iso = "%Y-%m-%d" if found.facts["resolution"] == "day" else "%Y-%m-%d %H:%M:%S"
    facts = {**found.facts, "format": f"{found.facts.get('format', iso)}{tail}"}
    if "%H" in facts["format"] or "%I" in facts["format"]:
        zone = {"zone": "UTC"} if tail.strip() in _UTC else {}
        facts = {**zone, **facts, "stored": "timestamp[us]"}
    told = f"all end in {tail.strip()}, which stays; say the zone if it means one"
    return Proposal(facts=facts, why=(*found.why, *(() if "zone" in facts else (told,))))


def _numbered(column: ColumnFacts) -> Proposal | None:
    """Propose dates for whole numbers that all read as year, month and day, of several years."""
    numbers = column.numbers if is_number(column.values.type) else None
    if numbers is None or len(numbers) < _FEWEST_NUMBERED or not np.isfinite(numbers).all():
        return None
    texts = replace(column, values=to_texts(column.values))
    if texts.matches(r"^(19|20)\d{4}(\d{2})?$"):
        return _written(texts)
    return _parted(texts) if texts.matches(r"^(19|20)\d{10}(\d{2})?$") else None


def _typed(column: ColumnFacts) -> Proposal:
    kind = column.values.type
    instants, _ = to_microseconds(column.values, format=None)
    zoned = pt.is_timestamp(kind) and kind.tz is not None
    local = local_instants(instants, zone=kind.tz) if zoned else instants
    finest = "day" if pt.is_date(kind) else _finest(local)
    if zoned and finest != "day":
        finest = "hour" if (f := _finest(instants)) == "day" else f
    instants = local if finest == "day" else instants
    finest = _or_months(instants, finest)
    facts = {"kind": "datetime", "resolution": finest, **_bounds(instants, finest=finest)}
    facts |= {"format": "%Y-%m-%d"} if finest == "month" and not zoned else {}
    return Proposal(facts=facts | ({"zone": kind.tz} if zoned else {}))


def _or_months(instants: np.ndarray, finest: str) -> str:
    """Return month for days that are all the first of one, and many."""
    return "month" if finest == "day" and are_months(instants, more_than=FEW) else finest


def _written_iso(column: ColumnFacts, instants: np.ndarray) -> Proposal:
    """Propose a format for ISO 8601, with its zone where texts have offsets."""
    texts = column.trimmed
    finest = _finest(instants)
    zoned = column.some_match(_OFFSET)
    finest = "hour" if zoned and finest == "day" else finest
    # What is written says how finely, where it is more than three digits.
    finest = "microsecond" if column.some_match(_MICROSECONDS) else finest
    facts: dict[str, Any] = {"kind": "datetime", "resolution": finest}
    facts |= _bounds(instants, finest=finest)
    if column.matches(_ISO_DAY):
        if _or_months(instants, finest) == "month":
            facts |= {"resolution": "month", "format": "%Y-%m-%d"}
        return Proposal(facts=facts, why=_far_off(column, instants))
    partly = "some are written without a time of day; all come out with one"
    fractions = column.some_match(r":\d{2}\.\d") and not column.matches(r":\d{2}\.\d")
    why: tuple[str, ...] = (partly,) if column.some_match(_ISO_DAY) else ()
    why += ("some are written without a fraction; all come out with one",) if fractions else ()
    separator = "T" if column.some_match("T") else " "
    clock = next(f for shape, f in _ISO_CLOCKS if column.some_match(shape))
    for digits, fine in FINE:
        if column.matches(rf":\d{{2}}\.\d{{{digits}}}(\D|$)"):
            clock, finest = f"%H:%M:%S.%{digits}N", fine
            facts["resolution"] = fine
    offsets = pc.struct_field(pc.extract_regex(texts, _OFFSET), "o")
    if not zoned:
        if separator == "T" or finest != "second" or clock != "%H:%M:%S":
            facts |= {"format": f"%Y-%m-%d{separator}{clock}", "stored": "timestamp[us]"}
        return Proposal(facts=facts, why=(*why, *_far_off(column, instants)))
    zone, told = _zone(instants, offsets.to_pylist())
    written = "Z" if column.matches("Z$") else "%:z" if column.some_match(":..$") else "%z"
    apart = " " if column.matches(rf" {_OFFSET}") else ""
    spelled = f"%Y-%m-%d{separator}{clock}{apart}{written}"
    facts |= {"zone": zone, "format": spelled, "stored": "timestamp[us]"}
    local = local_instants(instants, zone=zone)
    if _finest(local) == "day":
        facts |= {"resolution": "day", **_bounds(local, finest="day")}
    return Proposal(facts=facts, why=(*why, *told, *_far_off(column, instants)))


def _far_off(column: ColumnFacts, instants: np.ndarray) -> tuple[str, ...]:
    """Name a day such as 1900-01-01 or 9999-12-31 that may stand for a missing one."""
    if len(instants) <= FEW:
        return ()
    order = np.argsort(instants)
    years = instants[order].astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970
    found = []
    for end, near in ((0, 1), (-1, -2)):
        far = abs(int(years[end]) - int(years[near])) > _FAR_YEARS
        if far and int(years[end]) in _SENTINELS and column.counts[order[end]] > 1:
            found.append(str(column.values[int(order[end])].as_py()))
    return tuple(
        f"{text} stands apart from the rest; if it means missing, put it into missing_tokens"
        for text in found
    )


def _zone(instants: np.ndarray, offsets: Sequence[str | None]) -> tuple[str, tuple[str, ...]]:
    """Return the zone that gives every instant its offset; UTC with a note where none does."""
    plain = ["+00:00" if o in (None, "Z") else f"{o[:3]}:{o[-2:]}" for o in offsets]
    if len(set(plain)) == 1:
        only = plain[0]
        return ("UTC", ()) if only == "+00:00" else (only, ())
    moments = [datetime.fromtimestamp(i / 1e6, tz=UTC) for i in instants[:2000].tolist()]
    for name in _ZONES:
        zone = ZoneInfo(name)
        if all(_offset(m.astimezone(zone)) == o for m, o in zip(moments, plain, strict=False)):
            return name, (f"its offsets are those of {name}; correct the zone if it is another",)
    return "UTC", ("no zone has these offsets; synthetic instants will be in UTC",)


def _offset(moment: datetime) -> str:
    seconds = int((moment.utcoffset() or timedelta()).total_seconds())
    sign, size = ("-", -seconds) if seconds < 0 else ("+", seconds)
    return f"{sign}{size // 3600:02}:{size % 3600 // 60:02}"


def _written(column: ColumnFacts) -> Proposal | None:
    """Propose the format that reads every text, and name a second one that does too."""
    found = listed_formats(column)
    return _proposed(column, found[0], found=found[1:]) if found else None


def _parted(column: ColumnFacts) -> Proposal | None:
    """Propose the format that the parts of texts say, where it gives every one of them again."""
    found = worked_out_formats(column)
    if not found:
        return None
    chosen, words = found[0]
    return _proposed(column, chosen, found=[format for format, _ in found], words=words)


def _offsets(column: ColumnFacts) -> list[str | None]:
    """Return the offset that stands in each text."""
    found = pc.extract_regex(column.trimmed, rf"{WITH_OFFSET}")
    offsets: list[str | None] = pc.struct_field(found, "o").to_pylist()
    return offsets


def _proposed(
    column: ColumnFacts, chosen: str, *, found: Sequence[str], words: MomentWords | None = None
) -> Proposal | None:
    """Propose instants that are written by ``chosen``, the first that was found."""
    instants, _ = to_microseconds(column.trimmed, format=chosen, words=words)
    finest = _resolution_of(chosen)
    if finest == "microsecond" and column.matches(MILLISECONDS):
        finest = "millisecond"
    finest = finest if "z" in reading_format(chosen) else _or_months(instants, finest)
    bounds = _bounds(instants, finest=finest)
    if chosen == "%Y%m" and bounds["minimum"][:4] == bounds["maximum"][:4]:
        return None
    facts = {"kind": "datetime", "format": chosen, "resolution": finest, **bounds}
    facts |= said_words(words)
    told: tuple[str, ...] = ()
    if "%z" in chosen or "%:z" in chosen:
        zone, told = _zone(instants, _offsets(column))
        facts |= {"zone": zone, "stored": "timestamp[us]"}
    why = [f"all read as dates written {chosen}"]
    if is_yearless(chosen):
        why = [
            f"all read as days without a year, written {chosen}; they are kept as of {LEAP_YEAR}"
        ]
    if len(found) > 1:
        why = [f"dates read as {chosen} and as {found[1]}; say which in format"]
    return Proposal(facts=facts, why=(*why, *told, *_far_off(column, instants)))


def _resolution_of(format: str) -> str:
    """Return the finest part that a format writes."""
    plain = reading_format(format)
    if "%q" in format:
        return "quarter"
    if fraction := re.search("%([1-9])N", format):
        return "millisecond" if int(fraction[1]) <= _OF_MILLISECONDS else "microsecond"
    return next((name for marks, name in _PARTS if any(m in plain for m in marks)), "year")


def _finest(instants: np.ndarray) -> str:
    """Return the coarsest resolution that holds all instants."""
    whole = instants[~np.isnan(instants)].astype(np.int64)
    return next((r.value for r in UNITS if not (whole % UNITS[r]).any()), "microsecond")


def _bounds(instants: np.ndarray, *, finest: str) -> dict[str, str]:
    """Bound instants by the first and the last day of their years, or that day's last moment."""
    years = np.array([instants.min(), instants.max()]).astype("datetime64[us]")
    first, last = years.astype("datetime64[Y]").astype(int) + 1970
    first, last = max(int(first), 1), min(int(last), 9999)
    clock = _LAST.get(finest, "T23:59:59.999999")
    return {"minimum": f"{first:04}-01-01", "maximum": f"{last:04}-12-31{clock}"}


KIND = Kind(
    accepts=lambda attribute, kind: (
        is_instant(kind)
        or (attribute.format is not None and is_number(kind) and not pt.is_boolean(kind))
    ),
    store_as="store it as a timestamp, a date or ISO 8601 text",
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
    reason="all read as dates",
)
