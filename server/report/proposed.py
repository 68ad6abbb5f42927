"""Impossible combinations that noised counts propose for a schema, for a person to look at.

Post-processing of releases: nothing is asked and nothing is spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from silosynth.common.domain import Grouping
from silosynth.common.plan import OF_COLUMNS
from silosynth.common.schema import (
    CodedAttribute,
    ImpossibleCells,
    Schema,
    as_numeric,
    write_zeros,
)
from silosynth.server.coordinator import State
from silosynth.server.measuring import rounds_measured
from silosynth.server.measuring.soft_zeros import soft_zeros

MOST_PAIRS = 20
_HEADER = (
    "# unreviewed: read off noised counts, which may be wrong about any of them. A person who\n"
    "# knows the field says which cannot occur; delete every cell that merely did not.\n"
)


def propose_zeros(state: State) -> str:
    """Return cells that hold next to nobody as ``structural_zeros`` of the run's schema.

    Those of pairs that rounds measured; none where a plan has no rounds. At most 100 cells of each
    of 20 pairs, and none that the schema forbids already or has no words for.
    """
    measured = state.measured()
    found = soft_zeros(
        rounds_measured(measured),
        measured.get(OF_COLUMNS[0], ()),
        domain=state.coded.domain,
        grouping=Grouping(),
    )
    return spell_zeros(found, coded=state.coded, schema=state.table)


def spell_zeros(zeros: Sequence[ImpossibleCells], *, coded: Schema, schema: Schema) -> str:
    """Write cells as a schema does, marked as not reviewed; nothing where there is none.

    Args: coded: has the bins that were counted; schema: those that a person declared.
    """
    declared = {a.name: a for a in schema.coded}
    entries = {a.name: _entries(a, declared.get(a.name)) for a in coded.coded}
    known = {z.clique: z.mask for z in schema.impossible()}
    found = []
    for cells in list({z.clique: z for z in zeros}.values())[:MOST_PAIRS]:
        nothing = np.zeros(cells.mask.shape, dtype=bool)
        new = cells.mask & ~known.get(cells.clique, nothing)
        found.append((cells.clique, new, [entries[a] for a in cells.clique]))
    return write_zeros(found, note=_HEADER)


def _entries(attribute: CodedAttribute, declared: CodedAttribute | None) -> dict[int, Any]:
    """Return how a schema spells each code of one attribute, where it can."""
    found: dict[int, Any] = {}
    for value in _values(attribute):
        codes = attribute.codes_of(value)
        if len(codes) == 1 and declared is not None and declared.codes_of(value):
            found.setdefault(codes[0], list(value) if isinstance(value, tuple) else value)
    return found


def _values(attribute: CodedAttribute) -> Iterable[Any]:
    """Yield every value that a cell of a schema may name."""
    yield from (None, True, False, *getattr(attribute, "missing_apart", ()))
    yield from getattr(attribute, "categories", ())
    numeric = as_numeric(attribute)
    if numeric is not None:
        yield from pairwise(float(edge) for edge in numeric.edges())
