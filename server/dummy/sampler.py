"""A sampler of the schema alone: rules and impossible cells kept, every code as likely.

Where a schema says what share a value has, it has that: such shares are public facts of it.

No row was read, so it costs no privacy, and it says nothing of anybody.
"""

from __future__ import annotations

import numpy as np

from silosynth.common.codec import codes_meeting
from silosynth.common.domain import Grouping
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.measurement import Measurement
from silosynth.common.sampler import Sampler, build_sampler
from silosynth.common.schema import CodedAttribute, Schema
from silosynth.server.measuring import merged_zeros
from silosynth.server.methods import draw_order
from silosynth.server.model.fit import fit

MADE_FROM = "the schema alone"
_ROWS = 10_000.0
_ROUNDING = 1e-6


def dummy_sampler(schema: Schema) -> Sampler:
    """Return a sampler whose columns are as even, or have the public shares, as the rules allow.

    Raises InvalidSchema for a schema with facts that were read off data: rows drawn from it would
    not be public; and for shares of values that an attribute does not have.
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
            values=_ROWS * known_shares(a),
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


def known_shares(attribute: CodedAttribute) -> np.ndarray:
    """Return (codes,) float64 that add up to 1: the public shares, and the rest spread evenly.

    Raises InvalidSchema for a share of what is no value, for two of the same value, and where the
    rest has nothing to go to.
    """
    shares, taken = np.zeros(attribute.size), np.zeros(attribute.size, dtype=bool)
    for value, share in attribute.shares.items():
        try:
            meets = codes_meeting(attribute, value)
        except InvalidArgument as err:
            raise InvalidSchema(
                f"{attribute.name!r} has a share of {value!r}, which it cannot be: {err}",
                hint="write values as 'sample --where' takes them, ranges between edges of bins",
            ) from None
        if (taken & meets).any():
            raise InvalidSchema(f"{attribute.name!r} has two shares of {value!r}", hint="keep one")
        shares[meets] = share / max(meets.sum(), 1)
        taken |= meets
    rest = 1 - shares.sum()
    if taken.all() and rest > _ROUNDING:
        raise InvalidSchema(
            f"the shares of {attribute.name!r} add up to {1 - rest:g} and name all it can be",
            hint="let them add up to 1, or leave one value out",
        )
    if not taken.all():
        shares[~taken] = rest / (~taken).sum()
    whole: np.ndarray = shares / shares.sum()
    return whole
