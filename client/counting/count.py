"""Count marginals of coded columns: all of a batch in one pass over blocks of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from silosynth.client.counting.kernel import Kernel, choose_kernel
from silosynth.client.counting.layout import lay_out
from silosynth.common.domain import Domain, Grouping
from silosynth.common.errors import InvalidTable
from silosynth.common.measurement import MarginalQuery


def count_marginals(
    columns: Sequence[np.ndarray],
    *,
    domain: Domain,
    queries: Sequence[MarginalQuery],
    levels: Mapping[str, Grouping],
    kernel: Kernel | None = None,
) -> list[np.ndarray]:
    """Count rows per cell of every query, after merging codes by the query's level.

    Guarantees: adding or removing one row changes exactly one cell of each marginal, by one
    (L1 = L2 = 1). Blocks of rows stay in the processor's cache, so memory beyond the tables does
    not grow with the rows.

    Args:    columns: one (rows,) unsigned array per attribute, in the domain's order.
             kernel: how blocks are counted; by what there is to do, without it.
    Returns: one (cells,) int64 per query, row-major in the query's own clique order.
    Errors:  InvalidTable for columns that are not the domain's codes, InvalidPlan for queries that
        name an unknown level or attribute, or an attribute twice.
    """
    check_codes(columns, domain=domain)
    rows = len(columns[0]) if columns else 0
    layout = lay_out(queries, domain=domain, levels=levels, rows=rows)
    totals = layout.zeros()
    kernel = kernel or choose_kernel(increments=rows * len(layout.tables))
    kernel.add(columns, layout=layout, totals=totals)
    return layout.answers(totals)


def check_codes(columns: Sequence[np.ndarray], *, domain: Domain) -> None:
    """Raise InvalidTable unless there is one column of codes per attribute, all of one length."""
    if len(columns) != len(domain.shape) or len({len(c) for c in columns}) > 1:
        raise InvalidTable(f"{len(domain.shape)} columns of one length are needed")
    for name, size, column in zip(domain.attributes, domain.shape, columns, strict=True):
        if column.ndim != 1 or column.dtype not in (np.uint8, np.uint16):
            raise InvalidTable(f"the codes of {name!r} must be one column of uint8 or uint16")
        if column.size and int(column.max()) >= size:
            raise InvalidTable(f"a code of {name!r} is not below its size {size}")
