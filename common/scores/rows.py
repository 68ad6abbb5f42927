"""Rows as a comparison needs them: as codes and as a table, drawn again, or shuffled."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import (
    Codec,
    TableLike,
    as_table,
    code_words,
    codec_of,
    distinct,
    flatten,
    readable,
    to_texts,
    trim,
)
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CodedAttribute, Schema, as_numeric
from silosynth.common.scores.column_scores import Reads, read_columns
from silosynth.common.scores.metrics import bootstrap, independent_columns
from silosynth.common.scores.sides import MOST_COMPARED
from silosynth.common.seeded import SeededWords

MAX_BINS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """The same rows twice: ``codes``, one (rows,) column per coded attribute, and as they ``read``.

    ``bent`` are, by attribute, the rows whose code is that of another value, for want of their own.
    """

    codes: tuple[np.ndarray, ...]
    read: Reads
    bent: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return the number of rows."""
        return len(self.codes[0])

    def take(self, chosen: np.ndarray) -> Rows:
        """Return the rows at ``chosen``."""
        codes = tuple(column[chosen] for column in self.codes)
        bent = {name: rows[chosen] for name, rows in self.bent.items()}
        return Rows(codes=codes, read=tuple(r.take(chosen) for r in self.read), bent=bent)


def read_rows(table: TableLike, *, codec: Codec, origin: str, beside: Rows | None = None) -> Rows:
    """Read a table so that it can be compared; raise InvalidTable when it cannot or is empty.

    Listed values come back as the schema spells them, numbers stay as they are, and whatever the
    schema takes for missing is null.

    Args: beside: the real rows that these are held against.
    """
    arrow = as_table(table, origin=origin)
    if arrow.num_rows == 0:
        raise InvalidTable(f"{origin}: has no rows", hint="a comparison needs some on both sides")
    encoded = codec.encode(arrow, allow_extra=True, origin=origin)
    codes, bent = encoded.codes, {n.attribute for n in encoded.notes if n.unseen}
    noted = {n.attribute for n in encoded.notes}
    arrow = codec.counted(arrow)
    columns = [
        _named(a, code, raw=flatten(arrow[a.name]) if a.name in bent else None)
        if as_numeric(a) is None
        else _keep_numbers(flatten(arrow[a.name]), code >= a.values)
        for a, code in zip(codec.schema.coded, codes, strict=True)
    ]
    table = pa.table(columns, names=list(codec.domain.attributes))
    found = {
        a.name: codec_of(a).misfits(readable(flatten(arrow[a.name])))
        for a in codec.schema.coded
        if a.name in noted
    }
    read = read_columns(table, schema=codec.schema, beside=None if beside is None else beside.read)
    return Rows(codes=codes, read=read, bent={n: b for n, b in found.items() if b.any()})


def some_rows(table: pa.Table, *, seed: int) -> pa.Table:
    """Return at most 30,000 rows, chosen at random, in their order."""
    if table.num_rows <= MOST_COMPARED:
        return table
    order = SeededWords(seed=seed, purpose="some-rows").permutation(table.num_rows)
    return table.take(pa.array(np.sort(order[:MOST_COMPARED])))


def draw_again(rows: Rows, *, seed: int) -> Rows:
    """Return as many rows, drawn with replacement: the ceiling."""
    places = np.arange(rows.count)
    return rows.take(bootstrap((places,), seed=seed)[0])


def shuffle_columns(rows: Rows, *, seed: int) -> Rows:
    """Return the rows with each column shuffled by itself: the floor."""
    places = np.arange(rows.count)
    orders = independent_columns((places,) * len(rows.codes), seed=seed)
    named = dict(zip((r.name for r in rows.read), orders, strict=True))
    return Rows(
        codes=tuple(c[order] for c, order in zip(rows.codes, orders, strict=True)),
        bent={name: bent[named[name]] for name, bent in rows.bent.items()},
        read=tuple(r.take(order) for r, order in zip(rows.read, orders, strict=True)),
    )


def nested_subsamples(rows: Rows, *, fractions: Sequence[float], seed: int) -> list[Rows]:
    """Return one subsample without replacement at each fraction, the small within the large."""
    order = SeededWords(seed=seed, purpose="subsample").permutation(rows.count)
    return [rows.take(order[: round(f * len(order))]) for f in fractions]


def merge_bins(
    schema: Schema, rows: Rows, *, bent: Collection[str] = ()
) -> tuple[Domain, tuple[np.ndarray, ...]]:
    """Return domain and codes with at most 32 bins for each number, merged with neighbours.

    Args: bent: attributes that get one code more, for values that have none of their own.
    """
    groups = {a.name: _neighbours(a.values, a.size) for a in schema.numbers if a.values > MAX_BINS}
    grouping = Grouping(groups=groups)
    codes = tuple(
        grouping.lookup(a.name, a.size)[c] for a, c in zip(schema.coded, rows.codes, strict=True)
    )
    domain = grouping.domain(schema.domain)
    if not bent:
        return domain, codes
    shape = zip(domain.attributes, domain.shape, strict=True)
    wider = Domain(attributes=domain.attributes, shape=tuple(s + (n in bent) for n, s in shape))
    sized = zip(domain.attributes, domain.shape, codes, strict=True)
    return wider, tuple(np.where(rows.bent[n], s, c) if n in rows.bent else c for n, s, c in sized)


def _neighbours(values: int, size: int) -> tuple[int, ...]:
    """Return the group of each code: bins in runs of one length, ``missing`` by itself."""
    step = -(-values // MAX_BINS)
    bins = [i // step for i in range(values)]
    return (*bins, *range(bins[-1] + 1, bins[-1] + 1 + size - values))


def _named(attribute: CodedAttribute, codes: np.ndarray, *, raw: pa.Array | None) -> pa.Array:
    """Return the words of codes as a dictionary, null for missing: ``other`` is a word too.

    Values that have no code of their own stay as they are, so that a bent column shows.
    """
    words = code_words(attribute)
    known = len(words) - attribute.missing
    index = pa.array(codes.astype(np.int32), mask=codes >= known)
    named = pa.DictionaryArray.from_arrays(index, pa.array(words[:known]))
    if raw is None or attribute.has_other:
        return named
    values, positions = distinct(raw)
    texts = to_texts(values).take(pa.array(positions))
    plain = named.cast(pa.large_string())
    listed = pc.is_in(trim(texts), value_set=pa.array(words, pa.large_string()))
    return pc.if_else(pc.fill_null(listed, True), plain, texts).dictionary_encode()


def _keep_numbers(column: pa.Array, missing: np.ndarray) -> pa.Array:
    """Return a column with null wherever its code says that the value is missing."""
    return pc.if_else(pa.array(missing), pa.scalar(None, type=column.type), column)
