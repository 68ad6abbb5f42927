"""Which column of a table names persons: it repeats, and what a person is stays with it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from silosynth.common.codec import FEW, Proposal, distinct, flatten

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
