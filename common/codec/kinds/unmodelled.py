"""Columns that hold nothing, and columns that are not read."""

from __future__ import annotations

import pyarrow.types as pt

from silosynth.common.codec.columns import is_instant, is_number, is_text
from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind


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
