"""The kinds there are: the one place that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds import (
    boolean,
    categorical,
    duration,
    identifier,
    instant,
    integer,
    made_up,
    ordinal,
    real,
    time_of_day,
    unmodelled,
)
from silosynth.common.codec.kinds.kind import ColumnCodec, Kind
from silosynth.common.codec.written.affixes import flags_of, without_flags
from silosynth.common.schema import Attribute, CodedAttribute, NumericAttribute

KINDS: dict[str, Kind] = {
    "ignored": unmodelled.IGNORED,
    "empty": unmodelled.EMPTY,
    "boolean": boolean.KIND,
    "ordinal": ordinal.KIND,
    "datetime": instant.KIND,
    "time": time_of_day.KIND,
    "duration": duration.KIND,
    "integer": integer.KIND,
    "real": real.KIND,
    "generated": made_up.KIND,
    "categorical": categorical.KIND,
    "identifier": identifier.KIND,
    "text": unmodelled.TEXT,
}
"""By name, in the order in which they are asked to draft a column."""

_MEASURED = ("integer", "real", "datetime", "time", "duration")
_UNMODELLED = ("identifier", "text", "generated")
MISSING, OTHER = "missing", "other"


def kind_of(attribute: Attribute) -> Kind:
    """Return what the attribute's kind does."""
    return KINDS[attribute.kind]


def codec_of(attribute: CodedAttribute) -> ColumnCodec:
    """Return the codec of an attribute that has codes."""
    build = kind_of(attribute).codec
    assert build is not None
    return build(attribute)


def code_words(
    attribute: CodedAttribute, *, other: str = OTHER, missing: str = MISSING
) -> tuple[str, ...]:
    """Return a word for each code; ``other`` by its own word where the schema gives it one."""
    words = kind_of(attribute).words(attribute)
    if attribute.has_other:
        words.append(getattr(attribute, "other_as", None) or other)
    words += attribute.missing_apart
    return (*words, *([missing] if attribute.missing else []))


def spell_edge(attribute: NumericAttribute, number: float) -> str:
    """Write the edge of a bin as a condition is written."""
    spell = kind_of(attribute).edge
    return str(number) if spell is None else spell(number)


def draft_kind(column: ColumnFacts) -> Proposal:
    """Return what the first kind that knows the column proposes."""
    for kind in KINDS.values():
        if (proposal := kind.draft(column)) is not None:
            return proposal
    raise AssertionError("free text takes every column")


def draft_column(column: ColumnFacts) -> tuple[ColumnFacts, Proposal]:
    """Return what is proposed, and the column as it is understood then.

    A few words among dates or amounts are ways to be missing, and no reason to take all for text;
    nor are marks beside some numbers that would be keys or free text else.
    """
    proposal = draft_kind(column)
    if proposal.facts["kind"] in _MEASURED:
        return column, proposal
    apart = column.without_words()
    if apart is not None and (again := draft_kind(apart)).facts["kind"] in _MEASURED:
        return apart, again
    if proposal.facts["kind"] not in _UNMODELLED:
        return column, proposal
    return _without_flags(apart or column) or (column, proposal)


def _without_flags(column: ColumnFacts) -> tuple[ColumnFacts, Proposal] | None:
    """Return numbers without the marks that stand beside some, and what is proposed then."""
    flags = flags_of(column.trimmed.to_pylist()) if column.is_text else ()
    if not flags:
        return None
    texts = without_flags(column.trimmed, flags).dictionary_encode()
    counts = np.bincount(texts.indices.to_numpy(), weights=column.counts).astype(np.int64)
    plain = replace(column, values=texts.dictionary, counts=counts)
    found = draft_kind(plain)
    if found.facts["kind"] not in ("integer", "real"):
        return None
    spelled = {**found.facts.get("spelled", {}), "flags": list(flags)}
    told = (
        f"{', '.join(map(repr, flags))} beside some numbers is read off and not written; put it "
        "into a column of its own to keep it"
    )
    return plain, replace(found, facts={**found.facts, "spelled": spelled}, why=(told, *found.why))


def spell_special(attribute: CodedAttribute, codes: np.ndarray) -> pa.Array:
    """Return the texts of missing values by code, null for all other rows."""
    first = attribute.size - attribute.missing - len(attribute.missing_apart)
    words: Sequence[str | None] = [*attribute.missing_apart, attribute.missing_as]
    index = codes.astype(np.int64) - first
    return pa.array(words, pa.large_string()).take(pa.array(index, mask=index < 0))
