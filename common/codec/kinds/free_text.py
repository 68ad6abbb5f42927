"""Free text."""

from __future__ import annotations

from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind


def _draft(column: ColumnFacts) -> Proposal | None:
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


KIND = Kind(
    accepts=lambda attribute, _: not attribute.max_bytes,
    store_as="store it as text",
    draft=_draft,
)
