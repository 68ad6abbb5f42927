"""Columns that no model holds: free text, those that hold nothing, and those that are not read."""

from __future__ import annotations

import pyarrow.types as pt

from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.written.columns import is_instant, is_number, is_text


def _draft_empty(column: ColumnFacts) -> Proposal | None:
    """Propose an empty column where no row holds a value."""
    if len(column.values):
        return None
    return Proposal(facts={"kind": "empty"}, why=("holds no value; it comes out empty",))


def _draft_ignored(column: ColumnFacts) -> Proposal | None:
    """Propose to ignore a column whose type no kind can hold."""
    kind = column.values.type
    if is_text(kind) or is_number(kind) or is_instant(kind) or pt.is_null(kind):
        return None
    if pt.is_time(kind) or pt.is_duration(kind):
        return None
    how = "take its fields apart" if pt.is_struct(kind) else "spread it over columns"
    how = how if pt.is_nested(kind) else "store it as text"
    return Proposal(
        facts={"kind": "ignored"},
        why=(f"type {kind} cannot be modelled; it is not read, so {how} to model it",),
    )


EMPTY = Kind(accepts=lambda *_: True, draft=_draft_empty, natural="string")
IGNORED = Kind(accepts=lambda *_: True, draft=_draft_ignored)


def _draft_text(column: ColumnFacts) -> Proposal | None:
    """Propose free text for texts that are neither a list nor keys."""
    if not column.is_text:
        return Proposal(
            facts={"kind": "text", "blank": True},
            why=("holds no usable number; say what it should hold",),
        )
    return Proposal(
        facts={"kind": "text", "blank": True},
        why=("long texts; drafted as free text, which is not modelled and comes out empty",),
    )


TEXT = Kind(
    accepts=lambda attribute, _: not attribute.max_bytes,
    store_as="store it as text",
    draft=_draft_text,
)
