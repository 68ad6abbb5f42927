"""Count marginals of coded columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.common.domain import Domain, Grouping
from silosynth.common.measurement import MarginalQuery

_BLOCK_ROWS = 1 << 16


def count_marginals(
    columns: Sequence[np.ndarray],
    *,
    domain: Domain,
    queries: Sequence[MarginalQuery],
    levels: Mapping[str, Grouping],
) -> list[np.ndarray]:
    """Count rows per cell of every query in one pass over blocks of rows."""
    domains = {name: grouping.domain(domain) for name, grouping in levels.items()}
    counts = [np.zeros(domains[q.level].size(q.clique), dtype=np.int64) for q in queries]
    rows = len(columns[0]) if columns else 0
    for start in range(0, rows, _BLOCK_ROWS):
        block: dict[tuple[str, str], np.ndarray] = {}
        for query, count in zip(queries, counts, strict=True):
            flat = None
            for attribute in query.clique:
                key = (query.level, attribute)
                if key not in block:
                    column = domain.index(attribute)
                    codes = columns[column][start : start + _BLOCK_ROWS]
                    lookup = levels[query.level].lookup(attribute, domain.shape[column])
                    block[key] = lookup[codes]
                size = domains[query.level].sizes((attribute,))[0]
                flat = block[key] if flat is None else flat * size + block[key]
            count += np.bincount(flat, minlength=len(count))
    return counts
