"""Listed values in rising order."""

from __future__ import annotations

from dataclasses import replace

from silosynth.common.codec.facts import MANY, ColumnFacts, Proposal
from silosynth.common.codec.kinds import categorical


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose the order that a column's type declares."""
    if not column.ordered or not column.is_text or len(column.values) > MANY:
        return None
    texts = column.values.to_pylist()
    return Proposal(
        facts={"kind": "ordinal", "categories": texts, "other": False},
        why=("its type declares this order",),
    )


KIND = replace(categorical.KIND, draft=_draft)
