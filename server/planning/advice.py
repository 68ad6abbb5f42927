"""Which method a schema asks for, and what a method would lose of a schema.

The rule follows what was measured; see docs/decisions/030. It reads the schema alone, which is
public.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from silosynth.common.codec import modelled_texts
from silosynth.common.plan import Method
from silosynth.common.schema import Schema
from silosynth.server.methods import METHODS

MOST_MARGINAL_ATTRIBUTES = 100
"""Marginals were nearer to the data at 16, 24 and 48 attributes and not at 137; no width between
was measured, see docs/decisions/030. Over 137, a plan for AIM asks for over 10,000 marginals,
which no silo answers by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A method, and in one line why."""

    method: Method
    reason: str


def advise(schema: Schema) -> Advice:
    """Return the method to take for a schema: one order held at every budget measured."""
    texts = tuple(modelled_texts(schema))
    if texts:
        return Advice(
            method=Method.DP_SGD,
            reason=f"{texts[0]!r} is free text, which a generator alone carries",
        )
    if schema.impossible():
        return Advice(
            method=Method.AIM,
            reason="marginals alone keep the schema's impossible combinations apart",
        )
    if schema.images:
        return Advice(
            method=Method.ONE_SHOT,
            reason=f"marginals know the image {schema.images[0].name!r} by pairs of pixels and "
            "draw no pictures",
        )
    width = len(schema.coded)
    if width == 1:
        return Advice(
            method=Method.INDEPENDENT, reason="one attribute alone has no pairs to measure"
        )
    if width > MOST_MARGINAL_ATTRIBUTES:
        return Advice(
            method=Method.ONE_SHOT,
            reason=f"{width} attributes make {width * (width - 1) // 2:,} pairs, too many for "
            "marginals to share one budget",
        )
    return Advice(
        method=Method.AIM,
        reason=f"marginals are nearer to the data on tables of this width ({width} attributes)",
    )


def remarks(schema: Schema, *, method: Method) -> Iterator[str]:
    """Yield, a line each, what ``method`` loses of ``schema`` and which method carries it."""
    left_out = [text.name for text in schema.texts if text.max_bytes is None]
    if left_out:
        yield (
            f"free text is left out: {', '.join(left_out)}; to learn it, give it max_bytes in the "
            f"schema and take --method {Method.DP_SGD.value}"
        )
    advice = advise(schema)
    if advice.method is not method and METHODS[advice.method].draws is not METHODS[method].draws:
        yield f"{advice.reason}: --method {advice.method.value} is advised, not {method.value}"
