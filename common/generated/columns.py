"""The made-up columns of drawn rows, put where the schema has them.

Each value is a function of the seed and of the number of its row, so that neither batches nor
threads change it. Nothing of any silo's column is in them: a gateway never loads one.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from silosynth.common.codec import Form, arrow_type, codec_of, in_form, where_keys
from silosynth.common.errors import InvalidSampler
from silosynth.common.generated.people import make_people, make_places
from silosynth.common.generated.words import as_uniform, row_words, words_by_row
from silosynth.common.rules import parse_pattern, regular
from silosynth.common.schema import (
    PERSONAL,
    DatetimeAttribute,
    EqualWidth,
    GeneratedAttribute,
    Provider,
    Schema,
)

_PART = 1 << 15
_NUMBERS = re.compile(r"\[1-9\]\[0-9\](\{\d{1,2}(,\d{1,2})?\})?")
"""Patterns that write whole numbers of one length or several, and nothing else."""


def complete(
    batches: Generator[pa.Table, None, None],
    *,
    schema: Schema,
    seed: int,
    form: Form = Form.TYPED,
) -> Generator[pa.Table, None, None]:
    """Yield drawn rows with the columns that are made up, and keys in the words of their pattern.

    Guarantees: no two rows of one seed have the same key; the rest of the rows is as it was. Few
    rows are made up at a time, since texts are large.

    Args: batches: all rows of a draw, in order.

    Raises InvalidSampler where a pattern has fewer words than rows, and where Faker is missing.
    """
    if not schema.generated and not schema.ruled.likes:
        yield from batches
        return
    first_row = 0
    with closing(batches):
        for batch in batches:
            for at in range(0, max(batch.num_rows, 1), _PART):
                part, begin = batch.slice(at, _PART), first_row + at
                yield _completed(part, schema=schema, seed=seed, first_row=begin, form=form)
            first_row += batch.num_rows


def _completed(
    rows: pa.Table, *, schema: Schema, seed: int, first_row: int, form: Form
) -> pa.Table:
    columns: dict[str, pa.Array | pa.ChunkedArray] = {n: rows[n] for n in rows.column_names}
    columns |= _made_up(schema.generated, rows, seed=seed, first_row=first_row, form=form)
    described = {a.name: a for a in schema.attributes}
    for name, pattern in schema.ruled.likes.items():
        there = pa.chunked_array([pa.array(np.ones(rows.num_rows, dtype=bool))])
        if name in rows.column_names:
            there = where_keys(described[name], rows[name], first_row=first_row)
            words = words_by_row(
                pattern, seed=seed, column=name, first_row=first_row, rows=rows.num_rows
            )
            told = pc.if_else(there, words, rows[name].cast(pa.large_string()))
            kind = _kind(pattern, running=rows[name].type, form=form)
            columns[name] = told.cast(kind)
        _check(pc.filter(columns[name].cast(pa.large_string()), there), name=name, pattern=pattern)
    return pa.table({a.name: columns[a.name] for a in schema.attributes if a.name in columns})


def _kind(pattern: str, *, running: pa.DataType, form: Form) -> pa.DataType:
    """Return the type of keys: numbers where running ones were, and the pattern writes numbers."""
    if form is Form.SPELLED:
        return pa.large_string()
    return running if pa.types.is_integer(running) and _NUMBERS.fullmatch(pattern) else pa.string()


def _check(column: pa.Array | pa.ChunkedArray, *, name: str, pattern: str) -> None:
    """Raise InvalidSampler unless every key is a word of its pattern."""
    whole = f"^(?:{regular(parse_pattern(pattern))})$"
    if pc.any(pc.invert(pc.match_substring_regex(column, whole))).as_py():
        raise InvalidSampler(f"column {name!r} breaks rule 'like {pattern!r}'; this is our bug")


def _made_up(
    made: Sequence[GeneratedAttribute], rows: pa.Table, *, seed: int, first_row: int, form: Form
) -> dict[str, pa.Array]:
    """Return the made-up columns of a few rows."""
    numbers = np.arange(first_row, first_row + rows.num_rows, dtype=np.uint64)
    found: dict[str, np.ndarray | pa.Array] = {}
    for person in dict.fromkeys(a.person for a in made if a.provider in PERSONAL):
        group = [a for a in made if a.provider in PERSONAL and a.person == person]
        found |= make_people(
            {a.name: a.provider for a in group},
            locale=group[0].locale,
            genders=_genders(group, rows),
            numbers=numbers,
            unique={a.name: a.unique for a in group},
            seed=seed,
            person=person,
        )
    for attribute in made:
        if attribute.name not in found:
            found[attribute.name] = _alone(attribute, numbers, seed=seed, form=form)
    return {a.name: _column(a, found[a.name], form=form) for a in made}


def _alone(
    attribute: GeneratedAttribute, numbers: np.ndarray, *, seed: int, form: Form
) -> np.ndarray | pa.Array:
    """Return values that have nothing to do with other columns."""
    name, first = attribute.name, int(numbers[0]) if numbers.size else 0
    if attribute.pattern is not None:
        return words_by_row(
            attribute.pattern, seed=seed, column=name, first_row=first, rows=len(numbers)
        )
    if attribute.provider is Provider.SEQUENCE:
        return pa.array(attribute.start + numbers.astype(np.int64) * attribute.step)
    if attribute.provider is Provider.ENTRY_DATE:
        return _dates(attribute, row_words(seed=seed, purpose=f"date/{name}", rows=numbers), form)
    return make_places(
        attribute.provider, locale=attribute.locale, numbers=numbers, seed=seed, column=name
    )


def _dates(attribute: GeneratedAttribute, words: np.ndarray, form: Form) -> pa.Array:
    """Return instants of the declared resolution, evenly between the bounds."""
    facts = ("name", "minimum", "maximum", "resolution", "format", "stored")
    document = {f: getattr(attribute, f) for f in facts} | {"bins": EqualWidth(count=1)}
    dates = DatetimeAttribute.model_validate(document)
    codes = np.zeros(len(words), dtype=np.uint8)
    values = codec_of(dates).decode(codes, uniform=lambda _: as_uniform(words))
    column = in_form(dates, values, codes=codes, form=form)
    assert column is not None
    return column


def _genders(group: Sequence[GeneratedAttribute], rows: pa.Table) -> np.ndarray:
    """Return (rows,) 0, 1, 2 or -1 as :func:`make_people` has them: 2 for what is neither."""
    told = next((a for a in group if a.gender is not None), None)
    if told is None or told.gender is None:
        return np.full(rows.num_rows, -1)
    codes = pc.dictionary_encode(rows[told.gender].combine_chunks().cast(pa.large_string()))
    codes = codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes
    means = [told.gender_of(v) for v in codes.dictionary.to_pylist()]
    table = np.array([2 if m is None else m for m in means] + [-1])
    told_of: np.ndarray = table[codes.indices.fill_null(len(means)).to_numpy(zero_copy_only=False)]
    return told_of


def _column(
    attribute: GeneratedAttribute, values: np.ndarray | pa.Array, *, form: Form
) -> pa.Array:
    """Return values in the declared form."""
    array = values if isinstance(values, pa.Array) else pa.array(values, pa.large_string())
    if form is Form.SPELLED:
        return array.cast(pa.large_string())
    if attribute.provider is Provider.ENTRY_DATE:
        return array
    if attribute.stored is not None:
        return array.cast(arrow_type(attribute.stored), safe=False)
    return array.cast(pa.string()) if array.type == pa.large_string() else array
