"""How a table's rows fit the schema: for the silo's operator alone, and never for a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.client.maps import Effect, SiloMap, lacking, map_table, read_by
from silosynth.common.codec import (
    HARDLY,
    Codec,
    EncodingNote,
    add_notes,
    distinct,
    flatten,
    readable,
    to_texts,
    trim,
)
from silosynth.common.schema import Attribute, Schema

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


def take_survey(tables: Iterable[pa.Table], *, schema: Schema, silo_map: SiloMap) -> Survey:
    """Say how rows fit, as they are stored and by their map; none of them is kept."""
    spelled = read_by(schema, silo_map)
    effect, codec = Effect(schema, silo_map), Codec(spelled)
    rows, notes, missing = 0, tuple[EncodingNote, ...](), Counter[str]()
    for table in tables:
        effect.add(table)
        mapped = map_table(table, schema=schema, silo_map=silo_map, person=None)
        encoded = codec.encode(mapped, allow_extra=True)
        found = lacking(encoded.notes, silo_map=silo_map)
        rows, notes = rows + encoded.rows, add_notes(notes, found)
        missing.update(_missing(mapped, schema=spelled))
    return Survey(rows=rows, notes=notes, mapped=tuple(effect.lines()), missing=missing)


def _missing(table: pa.Table, *, schema: Schema) -> dict[str, int]:
    """Return how many rows hold nothing, of each column that says so of itself."""
    return {
        a.name: _count_missing(table[a.name], a)
        for a in schema.attributes
        if getattr(a, "missing", False) and a.name in table.column_names
    }


def _count_missing(column: pa.ChunkedArray, attribute: Attribute) -> int:
    """Count the rows that are null or hold a word for missing; a blank is one among no words."""
    values, places = distinct(readable(flatten(column)))
    texts = trim(to_texts(values))
    words = (
        "",
        *getattr(attribute, "missing_tokens", ()),
        *getattr(attribute, "missing_apart", ()),
    )
    named = pc.is_in(texts, value_set=pa.array(words, texts.type))
    absent = pc.or_(named, pc.is_null(values, nan_is_null=True)).to_numpy(zero_copy_only=False)
    return int(np.asarray(absent, dtype=bool)[places].sum())


def _name(note: EncodingNote) -> str:
    return f"{OF_RULE}'{note.attribute}'" if note.broken else note.attribute
