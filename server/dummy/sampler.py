"""A sampler of the schema alone: every code as likely, rules and impossible cells kept.

No row was read, so it costs no privacy, and it says nothing of anybody.
"""

from __future__ import annotations

import numpy as np

from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidSchema
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import Sampler, build_sampler
from silosynth.common.schema import BooleanAttribute, Schema
from silosynth.server.measuring import merged_zeros
from silosynth.server.methods import draw_order
from silosynth.server.model.fit import fit

MADE_FROM = "the schema alone"
_ROWS = 10_000.0


def drawable(rows: Schema) -> Schema:
    """Return what is drawn of a row: a coin, which no file has, where nothing is to choose."""
    if rows.coded:
        return rows
    names = {a.name for a in rows.attributes}
    coin = next(n for n in (f"coin {i}" for i in range(len(names) + 1)) if n not in names)
    return rows.model_copy(update={"attributes": (*rows.attributes, BooleanAttribute(name=coin))})


def dummy_sampler(schema: Schema) -> Sampler:
    """Return a sampler whose columns are as even as the rules allow.

    Raises InvalidSchema for a schema with facts that were read off data: rows drawn from it would
    not be public.
    """
    unreviewed = schema.unreviewed()
    if unreviewed:
        raise InvalidSchema(
            f"schema {schema.name!r} has unreviewed facts, of {unreviewed[0]!r} first",
            hint="rows made of it would tell what only the data could; review it before",
        )
    whole = Grouping(groups={})
    even = [
        Measurement(
            clique=(a.name,),
            values=np.full(a.size, _ROWS / a.size),
            variance=np.ones(a.size),
        )
        for a in schema.coded
    ]
    model = fit(even, domain=schema.domain, total=_ROWS, zeros=merged_zeros(schema, grouping=whole))
    return build_sampler(
        schema=schema,
        grouping=whole,
        within={},
        nodes=draw_order(model),
        total=0,
        certificate={"made_from": MADE_FROM, "epsilon": 0},
        plan_digest=schema.digest,
    )
