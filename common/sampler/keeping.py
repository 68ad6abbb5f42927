"""Rows that keep every rule of their schema: each finished batch is looked at, row by row.

Most rules are kept by how rows are coded and drawn, and nothing is lost here. Where a rule is kept
by drawing again, the rows follow the sampler's law given the rule, which lies exactly 1 - P(kept)
away from its own in total variation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from silosynth.common.codec import Form, keeps_rules, renumber
from silosynth.common.errors import InvalidSampler
from silosynth.common.schema import Schema

LEAST_KEPT = 0.05
_ENOUGH = 1_000
_AGAIN = 2**40

Attempt: TypeAlias = "Callable[[int, int], pa.Table]"
"""Draws ``rows`` rows of a finished table, as a function of the rows and a batch's number."""


@dataclass(slots=True)
class Kept:
    """How many rows were drawn, and how many of them kept every rule."""

    drawn: int = 0
    kept: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def bias(self) -> float:
        """Return how far drawing again moved the rows' law, in total variation."""
        return 1 - self.kept / self.drawn if self.drawn else 0.0

    def add(self, *, drawn: int, kept: int) -> None:
        """Count rows, from any thread."""
        with self._lock:
            self.drawn += drawn
            self.kept += kept


def draw_kept(
    draw: Attempt,
    *,
    rows: int,
    index: int,
    schema: Schema,
    told: Kept,
    form: Form = Form.TYPED,
    first_row: int = 0,
) -> pa.Table:
    """Return ``rows`` rows that keep every rule, a function of draw, rows and index.

    Guarantees: without a broken rule they are the rows of the first attempt.

    Raises InvalidSampler where fewer than 5 % of the rows drawn keep the rules.
    """
    parts, drawn, found, attempt = [], 0, 0, 0
    table = draw(rows, index)
    while True:
        checks = keeps_rules(table, schema=schema)
        mask = np.logical_and.reduce(list(checks.values()))
        drawn, found = drawn + len(mask), found + int(mask.sum())
        parts.append(table if mask.all() else table.filter(pa.array(mask)))
        if found >= rows:
            break
        if drawn >= _ENOUGH and found < LEAST_KEPT * drawn:
            worst = min(checks, key=lambda name: int(checks[name].sum()))
            raise InvalidSampler(
                f"fewer than {LEAST_KEPT:.0%} of the rows keep the rules, rule {worst!r} least",
                hint="take that rule out of the schema, or write it as an order or a sum",
            )
        attempt += 1
        share = max(found / drawn, LEAST_KEPT)
        table = draw(max(int((rows - found) / share * 1.1), _ENOUGH), index + attempt * _AGAIN)
    told.add(drawn=drawn, kept=found)
    kept = pa.concat_tables(parts).slice(0, rows)
    return kept if attempt == 0 else renumber(kept, schema=schema, form=form, first_row=first_row)
