"""Draft a schema beside the data, for its operator to correct.

A draft is read off private data: every attribute is ``unreviewed``, and a plan over it is refused
until a person has vouched for its domain. Its notes are for the operator alone. A column names
persons where it repeats, and what a person is stays with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from silosynth.client.drafting.found import check_names, find_dialect, told_sheets, told_unnamed
from silosynth.client.source import TableSource, read_untyped, stored_schema
from silosynth.common.codec import (
    CENSORED,
    FEW,
    KINDS,
    ColumnFacts,
    Proposal,
    distinct,
    draft_column,
    flatten,
    key_form_of,
    stored_name,
    summarise,
)
from silosynth.common.document import with_comments
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import CsvDialect, Schema, Source, dump_schema, parse_schema

_NAMED = re.compile(
    r"(^|[_\W])(person|patient|subject|user|customer|client|member|participant|student|employee"
    r"|respondent|household|insured|visitor|account|holder)[_\W]*(id|nr|nbr|no|num|number|key)$"
    r"|(^|[_\W])(mrn|ssn|pid|uid|person|patient|subject|respondent|participant)$",
    re.IGNORECASE,
)
_MOST_ROWS = 50_000
_REPEATS = 1.05
_MOST_COLUMNS = 40
_LISTS = ("categorical", "boolean", "ordinal", "datetime")
_KEYS = ("integer", "identifier", "categorical")


def person_keys(table: pa.Table, *, proposals: Mapping[str, Proposal]) -> dict[str, str]:
    """Return, per column that looks like a person's key, a line for the operator.

    Such a column repeats; it is called like one, or values of other columns never change with it.
    """
    part = table.slice(0, _MOST_ROWS)
    coded = {n: _codes(part[n]) for n, p in proposals.items() if p.facts["kind"] in _LISTS + _KEYS}
    coded = {name: codes for name, codes in coded.items() if len(codes)}
    found = {
        name: _persons(name, part[name], coded, proposals=proposals)
        for name in coded
        if proposals[name].facts["kind"] in _KEYS
    }
    return {name: why for name, why in found.items() if why is not None}


def _persons(
    name: str,
    column: pa.ChunkedArray,
    coded: Mapping[str, np.ndarray],
    *,
    proposals: Mapping[str, Proposal],
) -> str | None:
    """Say what makes a column look like a person's key, by the rows that have a value there."""
    there = flatten(column).is_valid().to_numpy(zero_copy_only=False)
    codes = coded[name][there]
    size = len(np.unique(codes))
    if size <= FEW or len(codes) < _REPEATS * size:
        return None
    named = _NAMED.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    others = {n: c[there] for n, c in coded.items() if proposals[n].facts["kind"] in _LISTS}
    steady, often = _steady(name, codes, size, others=others), len(codes) >= 1.5 * size
    if not (named or (steady and often and proposals[name].facts["kind"] == "identifier")):
        return None
    why = f"; {steady!r} never changes with it" if steady else ""
    return (
        f"its values repeat and look like a person's key{why}: name it as the person column of "
        "the policy, plan with --rows-per-person, and leave it out of the schema"
    )


def _steady(
    key: str, codes: np.ndarray, size: int, *, others: Mapping[str, np.ndarray]
) -> str | None:
    """Return a column that has one value for each value of the key, though it has several."""
    for name, values in list(others.items())[:_MOST_COLUMNS]:
        top, most = np.bincount(values).max(initial=0), int(values.max(initial=0))
        if name == key or top > 0.9 * len(values):
            continue
        pairs = len(np.unique(codes.astype(np.int64) * (most + 1) + values))
        if pairs <= 1.02 * size:
            return name
    return None


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """Return (rows,) numbers of a column's values; none where no kind can hold them."""
    flat = flatten(column)
    if pa.types.is_nested(flat.type):
        return np.zeros(0, dtype=np.int64)
    return distinct(flat)[1]


_WARNING = (
    "categories and bounds were read off the data: replace what only the data could tell, "
    "set each source, and do not share the draft before"
)
_UNCODED = ("text", "empty", "ignored")
_PLACE = re.compile(r"column_(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A schema that nobody has reviewed, and what its reviewer should look at.

    ``reasons`` say in a line, per attribute, why it was drafted so; they hold no count, since they
    stand in the file as comments, which a hand that edits it may leave there.
    """

    schema: Schema
    notes: tuple[str, ...]
    reasons: Mapping[str, str] = field(repr=False)

    def text(self) -> str:
        """Return the schema as YAML, the reason for each attribute in a comment above it."""
        return with_comments(dump_schema(self.schema), self.reasons)


def draft_schema(source: TableSource, *, name: str, dialect: CsvDialect | None = None) -> Draft:
    """Guess a schema from a table; every attribute comes out ``unreviewed``.

    Bounds are rounded outward to two digits of their span. How a text file is written is found out,
    told and put into the schema.

    Args: dialect: what is known of how a text file is written.

    Raises InvalidTable when no column can be drafted.
    """
    how, told = find_dialect(source, like=dialect)
    table = read_untyped(source, dialect=how)
    told = (*told, *told_sheets(source), *told_unnamed(source))
    if table.num_rows == 0:
        raise InvalidTable("the table has no rows to draft from", hint="import a description")
    check_names(table.column_names)
    stored = None if how is not None else stored_schema(source)
    columns = [_facts(table, n, stored=stored) for n in table.column_names]
    drafted = [_propose(c) for c in columns]
    columns = [column for column, _ in drafted]
    proposals = {c.name: proposal for c, proposal in drafted}
    persons = person_keys(table, proposals=proposals)
    attributes, lines, reasons = [], dict[str, list[str]](), {}
    for column in columns:
        attribute, why = _attribute(column, proposals[column.name], stored=stored)
        if column.name in persons:
            attribute = _person_key(column, proposals[column.name], stored=stored)
            why = [persons[column.name]]
        attributes.append(attribute)
        for line in why:
            lines.setdefault(line, []).append(column.name)
        kind = attribute["kind"]
        said = [line for line in proposals[column.name].why if not re.search(r"\b\d", line)]
        reasons[column.name] = said[0] if said else (KINDS[kind].reason or kind)
    if all(attribute["kind"] == "ignored" for attribute in attributes):
        raise InvalidTable("the table has no column that can be drafted")
    document: dict[str, Any] = {"name": name, "attributes": attributes}
    if how is not None and how != CsvDialect():
        document["csv"] = how.model_dump(exclude_defaults=True)
    schema = parse_schema(document, origin="draft")
    notes = (*told, *_first_row(columns, dialect=how), *_by_line(lines))
    return Draft(schema=schema, notes=(_WARNING, *notes), reasons=reasons)


_ALIKE, _NAMED_ALIKE = 4, 5
"""Columns from which on one line is said of all, and how many of them it names."""


def _by_line(lines: Mapping[str, Sequence[str]]) -> list[str]:
    """Say each line of its columns: of many at once, where one is said of many."""
    said = []
    for line, names in lines.items():
        if len(names) < _ALIKE:
            said += [f"{name}: {line}" for name in names]
            continue
        more = len(names) - _NAMED_ALIKE
        shown = ", ".join(names[:_NAMED_ALIKE]) + (f" and {more} more" if more > 0 else "")
        said.append(f"{shown}: {line}")
    return said


_NO_NAMES = (
    "the first line reads like a row and not like names; if it is one, draft again with "
    "--no-header, since names of columns leave this machine"
)


def _first_row(columns: Sequence[ColumnFacts], *, dialect: CsvDialect | None) -> tuple[str, ...]:
    """Say so where every name of a text file is written like its column's values."""
    named = dialect is not None and dialect.header and len(columns) > 1
    return (_NO_NAMES,) if named and all(map(_like_a_value, columns)) else ()


def _like_a_value(column: ColumnFacts) -> bool:
    """Say whether a column's name is one of its values, or has the digits of some."""
    if not (column.is_text and len(column.values)):
        return False
    shape = re.sub(r"\d+", r"\\d+", re.escape(column.name))
    return column.some_match(f"^{shape}$")


def _facts(table: pa.Table, name: str, *, stored: pa.Schema | None) -> ColumnFacts:
    kind = table.schema.field(name).type if stored is None else stored.field(name).type
    if pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        # Nothing is read of what no kind can hold.
        values = table[name].combine_chunks()[:1]
        return ColumnFacts(name=name, values=values, counts=_one(values), nulls=False, kind=kind)
    return summarise(name, flatten(table[name]), stored=kind)


def _one(values: pa.Array) -> Any:
    return values.is_valid().to_numpy(zero_copy_only=False).astype(int)


def _propose(column: ColumnFacts) -> tuple[ColumnFacts, Proposal]:
    """Propose a kind; a column without a name that counts rows, or holds nothing, is ignored."""
    column, proposal = draft_column(column)
    place = _PLACE.fullmatch(column.name)
    nameless = place is not None and proposal.facts["kind"] in ("empty", "identifier")
    if not nameless:
        return column, proposal
    what = "holds nothing" if proposal.facts["kind"] == "empty" else "numbers the rows"
    why = f"has no name and {what}; it is not read or written"
    return column, Proposal(facts={"kind": "ignored"}, why=(why,))


def _attribute(
    column: ColumnFacts, proposal: Proposal, *, stored: pa.Schema | None
) -> tuple[dict[str, Any], list[str]]:
    """Return one attribute as plain data, and what its reviewer should know."""
    facts, why = dict(proposal.facts), list(proposal.why)
    attribute = {"name": column.name, **facts}
    if facts["kind"] not in _UNCODED:
        missing, told = _missing(column)
        attribute |= missing
        why += told
    attribute |= _stored(column, facts["kind"], stored=stored)
    return attribute | {"source": Source.UNREVIEWED}, why


def _person_key(
    column: ColumnFacts, proposal: Proposal, *, stored: pa.Schema | None
) -> dict[str, Any]:
    """Return a person's key as plain data, in the form that was found."""
    form = proposal.facts if proposal.facts["kind"] == "identifier" else {}
    form = form or key_form_of(column)
    plain = {"name": column.name, **form, "kind": "identifier", "source": Source.UNREVIEWED}
    return plain | _missing(column)[0] | _stored(column, "identifier", stored=stored)


def _told_missing(bounds: list[str], others: list[str], blanks: list[str]) -> list[str]:
    """Say which words are taken for missing, and which for a bound of what was measured."""
    told = []
    if bounds:
        told.append(f"{', '.join(map(repr, bounds))} stands beside numbers, with a code of its own")
    if others:
        told.append(f"{', '.join(map(repr, others))} taken for missing; list it if it is a value")
    return [*told, "a blank is taken for missing"] if blanks else told


def _missing(column: ColumnFacts) -> tuple[dict[str, Any], list[str]]:
    """Say how values are missing: each word for it stands apart where there are several ways."""
    words = [token for token in column.tokens if token.strip()]
    blanks = [token for token in column.tokens if not token.strip()]
    if not (column.nulls or column.tokens):
        return {}, []
    bounds = [token for token in words if re.match(CENSORED, token)]
    others = [token for token in words if token not in bounds]
    told = _told_missing(bounds, others, blanks)
    if len(words) + bool(column.nulls or blanks) > 1 or bounds:
        facts: dict[str, Any] = {"missing_apart": words}
        facts |= {"missing": True} if column.nulls or blanks else {}
        if others:
            told.append(
                "each of them is kept apart; join them in missing_tokens if they mean the same"
            )
        return facts | _blanks(column, blanks), told
    if words:
        return {"missing": True, "missing_tokens": words, "missing_as": words[0]}, told
    return {"missing": True, **_blanks(column, blanks)}, told


def _blanks(column: ColumnFacts, blanks: Sequence[str]) -> dict[str, Any]:
    """Return blanks as missing tokens, written back where no row is null."""
    if not blanks:
        return {}
    written = {} if column.nulls or len(blanks) > 1 else {"missing_as": blanks[0]}
    return {"missing_tokens": list(blanks), **written}


def _stored(column: ColumnFacts, kind: str, *, stored: pa.Schema | None) -> dict[str, Any]:
    """Return the stored type where the file has types, and another one than the kind's own."""
    if stored is None:
        lettered = column.is_text and column.numbers is None
        return {"stored": "string"} if kind == "identifier" and lettered else {}
    name = stored_name(column.kind)
    if name is None or kind in ("ignored", "text") or name == KINDS[kind].natural:
        return {}
    return {"stored": name}
