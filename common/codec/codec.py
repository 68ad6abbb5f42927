"""Tables to unsigned integer codes by a schema, and back.

Every value gets a code, so that what a silo holds can never make it fail:

====================================  ==========================================================
a value                               its code
====================================  ==========================================================
listed, or a number                   its own; a number beyond the bounds takes the nearest bin
not listed                            ``other``, else missing, else the first code
null, NaN, a missing token            missing, else ``other``, else the first code
text where a number should be         as null
bytes that are not UTF-8 in a text    replaced by U+FFFD, then as any text
====================================  ==========================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from silosynth.common.codec.examples import decode_texts, encode_texts, modelled_texts
from silosynth.common.codec.fit import check_columns
from silosynth.common.codec.kinds.kind import ColumnCodec
from silosynth.common.codec.kinds.table import codec_of
from silosynth.common.codec.notes import EncodingNote, Uniform
from silosynth.common.codec.numeric import NumericCodec
from silosynth.common.codec.ruled import from_counted, to_counted
from silosynth.common.codec.written.columns import TableLike, as_table
from silosynth.common.codec.written.form import Form, in_form
from silosynth.common.codec.written.parsing import flatten, readable
from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CodedAttribute, Schema
from silosynth.common.values import Spread, ValueGrid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """A table as codes: one contiguous unsigned column per coded attribute of the schema.

    ``codes`` are uint8 where the attribute has at most 256 codes, else uint16. ``codes``, ``rows``
    and ``notes`` are private; the notes, one per attribute that had to bend a value, are for the
    silo's own operator and never leave.
    """

    domain: Domain
    codes: tuple[np.ndarray, ...] = field(repr=False)
    rows: int = field(repr=False)
    notes: tuple[EncodingNote, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Codec:
    """Turn tables of one schema into codes, and codes into tables.

    Guarantees: ``encode(decode(c)) == c`` for all codes, except that ``other`` without a word of
    its own decodes to a listed value; ``decode(encode(x))`` lies in the bin of ``x`` and on the
    declared grid, and has the declared form.

    >>> schema = Schema.model_validate(
    ...     {"name": "t", "attributes": [{"name": "sex", "kind": "categorical",
    ...      "categories": ["f", "m"], "missing": True}]})
    >>> encoded = Codec(schema).encode(pa.table({"sex": ["m", None, "x"]}))
    >>> encoded.codes[0].tolist()
    [1, 3, 2]
    """

    schema: Schema
    domain: Domain = field(init=False)
    _columns: tuple[ColumnCodec, ...] = field(init=False, repr=False, compare=False)
    _constants: tuple[ColumnCodec, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "domain", self.schema.domain)
        columns = tuple(codec_of(attribute) for attribute in self.schema.coded)
        object.__setattr__(self, "_columns", columns)
        constants = tuple(
            codec_of(a)
            for a in self.schema.ruled.attributes
            if isinstance(a, CodedAttribute) and not a.modelled and a.kind != "identifier"
        )
        object.__setattr__(self, "_constants", constants)

    def encode(
        self, table: TableLike, *, allow_extra: bool = False, origin: str = "table"
    ) -> Encoded:
        """Return the codes of ``table``; raise InvalidTable for its columns, never for a value."""
        arrow = as_table(table, origin=origin)
        check_columns(arrow.schema, schema=self.schema, allow_extra=allow_extra, origin=origin)
        arrow, broken = self._counted(arrow)
        codes, notes = [], [*broken]
        for column in self._columns:
            code, note = column.encode(readable(flatten(arrow[column.attribute.name])))
            codes.append(code)
            notes.extend([note] if note else [])
        for column in self._constants:
            if (name := column.attribute.name) in arrow.column_names:
                _, note = column.encode(readable(flatten(arrow[name])))
                notes.extend([note] if note else [])
        return Encoded(
            domain=self.domain, codes=tuple(codes), rows=arrow.num_rows, notes=tuple(notes)
        )

    def counted(self, table: pa.Table) -> pa.Table:
        """Return what is counted of a table of the schema; the table itself without rules."""
        return self._counted(table)[0]

    def _counted(self, table: pa.Table) -> tuple[pa.Table, tuple[EncodingNote, ...]]:
        return to_counted(table, schema=self.schema) if self.schema.rules else (table, ())

    def find_points(
        self, table: TableLike, *, grids: Mapping[str, ValueGrid], origin: str = "table"
    ) -> dict[str, np.ndarray]:
        """Return (rows,) int64 for each number of ``grids``: its points, -1 for missing."""
        arrow = as_table(table, origin=origin)
        check_columns(arrow.schema, schema=self.schema, allow_extra=True, origin=origin)
        arrow, _ = self._counted(arrow)
        return {
            c.attribute.name: c.find_points(
                readable(flatten(arrow[c.attribute.name])), grid=grids[c.attribute.name]
            )
            for c in self._columns
            if isinstance(c, NumericCodec) and c.attribute.name in grids
        }

    def encode_texts(
        self, table: TableLike, *, origin: str = "table"
    ) -> tuple[tuple[np.ndarray, ...], tuple[EncodingNote, ...]]:
        """Return (rows, max_bytes) uint16 for each text that a generator learns, and notes."""
        arrow = as_table(table, origin=origin)
        check_columns(arrow.schema, schema=self.schema, allow_extra=True, origin=origin)
        parts = [
            encode_texts(arrow[name], name=name, max_bytes=length)
            for name, length in modelled_texts(self.schema).items()
        ]
        return tuple(codes for codes, _ in parts), tuple(note for _, note in parts if note)

    def decode(
        self,
        codes: Sequence[np.ndarray],
        texts: Sequence[np.ndarray] = (),
        *,
        uniform: Uniform,
        first_row: int = 0,
        form: Form = Form.TYPED,
        spreads: Mapping[str, Spread] | None = None,
        numbers: Mapping[str, np.ndarray] | None = None,
    ) -> pa.Table:
        """Return a table with the schema's columns in order, in the form that the schema declares.

        Without a declared form categories come back as dictionaries (ordered for ordinal
        attributes), numbers drawn uniformly inside their bin, datetimes as microseconds in UTC,
        identifiers as the prefix and a running number from ``first_row + 1`` (whole numbers without
        a prefix). Text without codes is left out, or an empty column where the schema wants it so.

        Args:
            codes: one (rows,) unsigned column per coded attribute, in the schema's order.
            texts: what :meth:`encode_texts` returned; none where no text is to come back.
            uniform: returns ``count`` float64 in [0, 1); called for each numeric attribute in the
                schema's order, so that a seeded source gives the same table everywhere.
            spreads: how values lie inside the codes of numbers; evenly where there is none.
            numbers: by attribute (rows,) float64, values that are known already, each in its code.
            first_row: rows decoded before, when a large table is decoded in parts.
            form: typed as Parquet holds it, or all as text, as a CSV file spells it.
        """
        self._check_codes(codes)
        rows = len((*codes, *texts)[0]) if (*codes, *texts) else 0
        by_name = {c.attribute.name: c for c in (*self._columns, *self._constants)}
        coded = dict(zip(self.domain.attributes, codes, strict=True))
        learnt = dict(zip(modelled_texts(self.schema), texts, strict=False))
        ruled = self.schema.ruled
        plain = {a.name for a in self.schema.attributes} - ruled.replaced
        decoded: dict[str, pa.Array] = {}
        for attribute in ruled.attributes:
            name, codec, values = attribute.name, by_name.get(attribute.name), None
            code = coded.get(name, np.zeros(rows, dtype=np.uint8))
            if isinstance(codec, NumericCodec) and name in (numbers or {}):
                values = codec.build(code, (numbers or {})[name])
            elif isinstance(codec, NumericCodec) and name in (spreads or {}):
                values = codec.decode(code, uniform=uniform, spread=(spreads or {})[name])
            elif codec is not None:
                values = codec.decode(code, uniform=uniform if name in coded else np.zeros)
            elif name in learnt:
                values = decode_texts(learnt[name])
            column = values
            if name in plain:
                column = in_form(attribute, values, codes=code, form=form, first_row=first_row)
            if column is not None:
                decoded[name] = column
        if self.schema.rules:
            return from_counted(pa.table(decoded), schema=self.schema, form=form)
        return pa.table(decoded)

    def _check_codes(self, codes: Sequence[np.ndarray]) -> None:
        """Raise InvalidTable unless every column has one length and codes within its size."""
        if len(codes) != len(self._columns) or len({len(code) for code in codes}) > 1:
            raise InvalidTable(f"{len(self._columns)} code columns of one length are needed")
        for name, size, code in zip(self.domain.attributes, self.domain.shape, codes, strict=True):
            if code.ndim != 1 or code.dtype.kind != "u":
                raise InvalidTable(f"the codes of {name!r} must be one unsigned integer column")
            if code.size and int(code.max()) >= size:
                raise InvalidTable(f"a code of {name!r} is not below its size {size}")
