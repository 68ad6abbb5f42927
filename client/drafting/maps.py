"""Draft a silo's map beside its table, for its operator to correct.

A draft is read off private data: every column of it is ``unreviewed``, and no gateway serves by it
until a person has vouched for it. Its notes are for the operator alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from silosynth.client.maps import (
    ABSENT,
    ColumnMap,
    SiloMap,
    map_column,
    own_words,
    spelled_by_silo,
    words_of,
)
from silosynth.client.source import TableSource, read_untyped
from silosynth.common.codec import (
    HARDLY,
    accepts,
    codec_of,
    distinct,
    flatten,
    read_numbers,
    readable,
    to_texts,
    trim,
)
from silosynth.common.schema import (
    Attribute,
    CsvDialect,
    DatetimeAttribute,
    NumberAttribute,
    Schema,
    WordedAttribute,
    has_unit,
    has_words,
)

_NEAR = 0.72
_MOST_WORDS = 200
_FITS = 0.9
_KNOWN_WORDS = (
    ("f", "female", "w", "woman", "weiblich", "femme", "mujer"),
    ("m", "male", "man", "männlich", "homme", "hombre"),
    ("yes", "y", "true", "t", "ja", "j", "oui", "si", "1"),
    ("no", "n", "false", "nein", "non", "0"),
)
_NONE = ("", "na", "n/a", "null", "none", "nan", "?", "-", ".", "unknown", "unk", "unbekannt")
_UNITS = (
    ("pounds to kilograms", 0.45359237, 0.0),
    ("kilograms to pounds", 1 / 0.45359237, 0.0),
    ("inches to centimetres", 2.54, 0.0),
    ("centimetres to inches", 1 / 2.54, 0.0),
    ("metres to centimetres", 100.0, 0.0),
    ("centimetres to metres", 0.01, 0.0),
    ("months to years", 1 / 12, 0.0),
    ("years to months", 12.0, 0.0),
    ("Fahrenheit to Celsius", 5 / 9, -160 / 9),
    ("Celsius to Fahrenheit", 1.8, 32.0),
    ("mmol/l to mg/dl of cholesterol", 38.67, 0.0),
    ("mg/dl to mmol/l of cholesterol", 1 / 38.67, 0.0),
    ("mmol/l to mg/dl of glucose", 18.016, 0.0),
    ("mg/dl to mmol/l of glucose", 1 / 18.016, 0.0),
    ("kPa to mmHg", 7.50062, 0.0),
    ("a thousandth", 0.001, 0.0),
    ("a thousandfold", 1000.0, 0.0),
)
_FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%m-%Y", "%d.%m.%y", "%Y/%m/%d")


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftedMap:
    """A map that nobody has reviewed, and why each column of it is so; both are private."""

    silo_map: SiloMap
    notes: tuple[str, ...] = field(repr=False)


def draft_map(
    source: TableSource, *, schema: Schema, dialect: CsvDialect | None = None
) -> DraftedMap:
    """Guess where each column of a schema is in a table, and how it is spelled and counted.

    Names are matched by their letters, then what is left by how well values fit; words by the
    schema's lists, numbers by where their quartiles lie within the public bounds.
    """
    table = read_untyped(source, dialect=dialect)
    columns: dict[str, ColumnMap | str] = {}
    notes = []
    found = _match_names(table.column_names, schema=schema)
    for attribute in schema.attributes:
        if attribute.kind in ("ignored", "empty"):
            continue
        name = attribute.name
        if name not in found:
            columns[name] = ABSENT
            notes.append(f"{name}: no column is called like it; taken for absent")
            continue
        how, why = _draft_column(table[found[name]], attribute, origin=found[name])
        if how != ColumnMap():
            columns[name] = how.model_copy(update={"unreviewed": True})
            notes += [f"{name}: {line}" for line in why]
    silo_map = SiloMap.model_validate({"unreviewed": True, "columns": columns})
    return DraftedMap(silo_map=silo_map, notes=tuple(notes))


def _match_names(names: Sequence[str], *, schema: Schema) -> dict[str, str]:
    """Return the table's name of each column that has one: equal, then near."""
    wanted = [a.name for a in schema.attributes]
    found = {n: n for n in wanted if n in names}
    for near in (1.0, _NEAR):
        left = [n for n in names if n not in found.values()]
        for name in (w for w in wanted if w not in found):
            scored = [(_alike(name, other), other) for other in left]
            best = max(scored, default=(0.0, ""))
            if best[0] >= near:
                found[name] = best[1]
                left.remove(best[1])
    return found


def _alike(one: str, other: str) -> float:
    """Return how alike two names are, 1 where only case and signs differ."""
    plain = [re.sub(r"[\W_]+", "", n).lower() for n in (one, other)]
    if plain[0] == plain[1]:
        return 1.0
    short, long = sorted(plain, key=len)
    inside = 0.8 if len(short) >= 3 and short in long else 0.0
    return max(inside, difflib.SequenceMatcher(None, plain[0], plain[1]).ratio())


def _draft_column(
    column: pa.ChunkedArray, attribute: Attribute, *, origin: str
) -> tuple[ColumnMap, list[str]]:
    """Return how one column is read, and why; as it is where it fits."""
    renamed = ColumnMap.model_validate({} if origin == attribute.name else {"from": origin})
    why = [] if renamed.origin is None else [f"from {origin!r}, which is called like it"]
    if pa.types.is_nested(column.type):
        return renamed, why
    for how, reason in _proposals(column, attribute):
        proposed = how.model_copy(update={"origin": renamed.origin})
        return proposed, [*why, reason]
    return renamed, why


def _proposals(column: pa.ChunkedArray, attribute: Attribute) -> Iterator[tuple[ColumnMap, str]]:
    """Yield what would make a column fit that does not."""
    if has_words(attribute):
        yield from _of_words(column, attribute)
    elif has_unit(attribute):
        yield from _of_unit(column, attribute)
    elif attribute.kind == "datetime" and accepts(attribute, column.type):
        yield from _of_format(column, attribute)


def _share(column: pa.ChunkedArray, how: ColumnMap, attribute: Attribute) -> float:
    """Return the share of the rows that fit when they are read so."""
    spelled = attribute
    if has_unit(attribute) and how.calculates:
        spelled = attribute.model_copy(update={"spelled": None})
    elif how.format is not None:
        spelled = spelled_by_silo(attribute, how)
    mapped = readable(flatten(map_column(column, how, attribute)))
    _, note = codec_of(spelled).encode(mapped)  # type: ignore[arg-type]  # it has codes
    return note.share_fitting(len(mapped))


def _of_words(
    column: pa.ChunkedArray, attribute: WordedAttribute
) -> Iterator[tuple[ColumnMap, str]]:
    """Yield a map of the words that the schema does not list."""
    values, _ = distinct(readable(flatten(column)))
    texts = [t for t in trim(to_texts(values)).to_pylist() if t is not None]
    if len(texts) > _MOST_WORDS or _share(column, ColumnMap(), attribute) >= _FITS:
        return
    listed = {w.strip().lower(): w for w in reversed(words_of(attribute))}
    words = dict(_pair(texts, listed, missing=attribute.missing))
    left = [t for t in texts if t and t not in words]
    targets = [w for w in own_words(attribute) if w not in words.values()]
    if left and len(left) == len(targets):
        # As many words as are left over: in their order, which a person has to look at.
        words |= dict(zip(_in_order(left), targets, strict=True))
    how = ColumnMap.model_validate({"map": words}) if words else ColumnMap()
    if _share(column, how, attribute) > _share(column, ColumnMap(), attribute):
        unsure = sorted(set(texts) - set(words) - {""})
        told = f"; {', '.join(map(repr, unsure))} found no word" if unsure else ""
        yield how, f"its words are brought to those that are listed{told}"


def _in_order(words: Sequence[str]) -> list[str]:
    """Return words in the order of their numbers, or of their letters."""
    if all(re.fullmatch(r"[+-]?\d+(\.\d+)?", w) for w in words):
        return sorted(words, key=float)
    return sorted(words)


def _pair(
    texts: Sequence[str], listed: Mapping[str, str], *, missing: bool
) -> Iterator[tuple[str, str | None]]:
    """Yield each word with the listed one that it is another spelling of."""
    for text in texts:
        plain = text.strip().lower()
        group = next((g for g in _KNOWN_WORDS if plain in g), (plain,))
        known = next((listed[w] for w in (plain, *group) if w in listed), None)
        if known is None and plain in _NONE:
            if missing and plain:
                yield text, None
            continue
        near = difflib.get_close_matches(plain, listed, n=1, cutoff=0.8) if len(plain) > 3 else []
        if known is not None or near:
            yield text, listed[near[0]] if known is None else known


def _of_unit(
    column: pa.ChunkedArray, attribute: NumberAttribute
) -> Iterator[tuple[ColumnMap, str]]:
    """Yield the unit whose quartiles lie within the bounds, where the column's own do not."""
    if not accepts(attribute, column.type):
        return
    numbers = read_numbers(attribute, readable(flatten(column)))
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers) or _inside(numbers, attribute):
        return
    for name, scale, offset in _UNITS:
        how = ColumnMap(scale=scale, offset=offset)
        share = _share(column, how, attribute)
        converted = numbers * scale + offset
        span = float(np.subtract(*np.quantile(converted, [0.75, 0.25])))
        wide = span >= HARDLY / 2 * (attribute.maximum - attribute.minimum)
        if share >= _FITS and wide and _inside(converted, attribute):
            yield how, f"its quartiles lie within the bounds once {name} are converted"
            return


def _inside(numbers: np.ndarray, attribute: NumberAttribute) -> bool:
    """Say whether the quartiles of numbers lie within the public bounds."""
    low, high = np.quantile(numbers, [0.25, 0.75])
    return bool(attribute.minimum <= low <= high <= attribute.maximum)


def _of_format(
    column: pa.ChunkedArray, attribute: DatetimeAttribute
) -> Iterator[tuple[ColumnMap, str]]:
    """Yield the form in which most of a column's texts are dates, where its own is none."""
    if _share(column, ColumnMap(), attribute) >= _FITS:
        return
    best = max(_FORMATS, key=lambda f: _share(column, ColumnMap(format=f), attribute))
    if _share(column, ColumnMap(format=best), attribute) >= _FITS:
        yield ColumnMap(format=best), f"its dates are written as {best}"
