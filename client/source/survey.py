"""How a table's rows fit the schema: for the silo's operator alone, and never for a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.client.maps import NO_MAP, Effect, SiloMap, lacking, map_column, map_table, read_by
from silosynth.common.codec import (
    HARDLY,
    Codec,
    EncodingNote,
    ListedCodec,
    NumericCodec,
    add_notes,
    codec_of,
    distinct,
    flatten,
    readable,
    to_texts,
    trim,
)
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Attribute, CodedAttribute, Schema, as_numeric

OF_RULE = "the rule "
"""What the name of a rule begins with, among those of columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What one reading of all rows showed. Private: nothing of it may decide what leaves.

    ``mapped`` are lines on what the silo's map does to them, ``missing`` the rows of each column
    that hold nothing where the schema says that they may.
    """

    rows: int = field(repr=False)
    notes: tuple[EncodingNote, ...] = field(repr=False)
    mapped: tuple[str, ...] = field(default=(), repr=False)
    missing: Mapping[str, int] = field(default_factory=dict, repr=False)

    @property
    def fits(self) -> Mapping[str, float]:
        """Return the share that fits, of each column of which not all do.

        Of a column it is the share of its values, whatever else is missing; of a rule, which is
        named by its text, that of the rows.
        """
        bent = (n for n in self.notes if n.misfits)
        return {_name(n): n.share_fitting(self._values(n)) for n in bent}

    @property
    def hardly(self) -> tuple[str, ...]:
        """Return the columns, and rules, of which hardly anything fits."""
        return tuple(name for name, share in self.fits.items() if share < HARDLY)

    def lines(self) -> tuple[str, ...]:
        """Return what the operator is told."""
        shares = {name: f": {share:.1%} of it fits" for name, share in self.fits.items()}
        bent = (f"{n.of(self._values(n))}{shares.get(n.attribute, '')}" for n in self.notes)
        return (*self.mapped, *bent)

    def _values(self, note: EncodingNote) -> int:
        """Return how many values a note speaks of."""
        missing = 0 if note.broken else self.missing.get(note.attribute, 0)
        return max(self.rows - missing, note.misfits)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberFit:
    """How the rows of one number fit, as a server counted them.

    ``ends`` are (4,) float64, its lowest and highest before and after the map; nan for none.
    """

    absent: int = field(repr=False)
    beyond: int = field(repr=False)
    ends: np.ndarray = field(repr=False)


class Tally:
    """Own what the parts of one table show, wherever each of them was read. Private."""

    def __init__(
        self, *, schema: Schema, silo_map: SiloMap = NO_MAP, codec: Codec | None = None
    ) -> None:
        """Take how the table is read; nothing was yet. ``codec`` is the schema's, where it is."""
        self._schema, self._map = schema, silo_map
        self._spelled = read_by(schema, silo_map)
        self._codec = codec if self._spelled is schema else None
        self._effect = Effect(schema, silo_map)
        self._missing = Counter[str]()
        self._notes: tuple[EncodingNote, ...] = ()
        self.rows = 0

    def add(self, table: pa.Table) -> None:
        """Take in rows as they are stored; none of them is kept."""
        if self._codec is None:
            self._codec = Codec(self._spelled)
        self._effect.add(table)
        mapped = map_table(table, schema=self._schema, silo_map=self._map, person=None)
        encoded = self._codec.encode(mapped, allow_extra=True)
        self.rows += encoded.rows
        self._note(*lacking(encoded.notes, silo_map=self._map))
        self._missing.update(_missing(mapped, schema=self._spelled))

    def add_listed(self, attribute: CodedAttribute, values: pa.Array, *, times: np.ndarray) -> None:
        """Take in a listed column by its distinct values, each with the rows that hold it."""
        codec = codec_of(attribute)
        if not isinstance(codec, ListedCodec):
            raise InvalidTable(f"{attribute.name!r} is not a listed attribute")
        self._effect.add_words(attribute, values, times=times)
        mapped = flatten(map_column(values, self._map.column(attribute.name), attribute))
        self._note(codec.weigh(mapped, times=times))
        if attribute.missing:
            self._missing[attribute.name] += _count_missing(mapped, attribute, times=times)

    def add_number(self, attribute: CodedAttribute, found: NumberFit) -> None:
        """Take in a number's column as it was counted elsewhere."""
        self._effect.add_span(attribute, found.ends)
        undeclared = 0 if attribute.missing else found.absent
        self._note(
            EncodingNote(
                attribute=attribute.name, clipped=found.beyond, undeclared_missing=undeclared
            )
        )
        if attribute.missing:
            self._missing[attribute.name] += found.absent

    def merge(self, other: Tally) -> None:
        """Take in what was read of another part."""
        self.rows += other.rows
        self._note(*other._notes)
        self._missing.update(other._missing)
        self._effect.merge(other._effect)

    def survey(self) -> Survey:
        """Return what all parts showed."""
        told = tuple(self._effect.lines())
        return Survey(rows=self.rows, notes=self._notes, mapped=told, missing=self._missing)

    def _note(self, *notes: EncodingNote) -> None:
        self._notes = add_notes(self._notes, tuple(n for n in notes if n))


def take_survey(
    tables: Iterable[pa.Table],
    *,
    schema: Schema,
    silo_map: SiloMap,
    codec: Codec | None = None,
) -> Survey:
    """Say how rows fit, as they are stored and by their map; none of them is kept.

    Args: codec: the schema's, where many tables are looked at; one is made by default.
    """
    tally = Tally(schema=schema, silo_map=silo_map, codec=codec)
    for table in tables:
        tally.add(table)
    return tally.survey()


def _missing(table: pa.Table, *, schema: Schema) -> dict[str, int]:
    """Return how many rows hold nothing, of each column that says so of itself."""
    return {
        a.name: _count_missing(table[a.name], a)
        for a in schema.attributes
        if getattr(a, "missing", False) and a.name in table.column_names
    }


def _count_missing(
    column: pa.ChunkedArray | pa.Array, attribute: Attribute, *, times: np.ndarray | None = None
) -> int:
    """Count the rows that are null or hold a word for missing; a blank is one among no words.

    Args: times: (values,) in how many rows each value stands; in one without it.
    """
    number = as_numeric(attribute)
    codec = None if number is None else codec_of(number)
    if isinstance(codec, NumericCodec):
        return int(codec.missing(readable(flatten(column))).sum())
    values, places = distinct(readable(flatten(column)))
    texts = trim(to_texts(values))
    words = (
        "",
        *getattr(attribute, "missing_tokens", ()),
        *getattr(attribute, "missing_apart", ()),
    )
    named = pc.is_in(texts, value_set=pa.array(words, texts.type))
    absent = pc.or_(named, pc.is_null(values, nan_is_null=True)).to_numpy(zero_copy_only=False)
    held = np.asarray(absent, dtype=bool)[places]
    return int((held if times is None else held * times).sum())


def _name(note: EncodingNote) -> str:
    return f"{OF_RULE}'{note.attribute}'" if note.broken else note.attribute
