"""Which method a schema asks for, and what a method would lose of a schema.

The rule follows what was measured; see docs/decisions/178. It reads the schema alone, which is
public, and what a public bound on the rows says: how crowded a table is, and how dense.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from silosynth.common.codec import modelled_texts
from silosynth.common.generator import MOST_PIXELS
from silosynth.common.plan import MEMBERS, MOST_MARGINALS, OF_VALUES, Method, Plan
from silosynth.common.schema import Schema
from silosynth.server.methods import METHODS, most_groups

FEWEST_WIDE_ATTRIBUTES = 101
"""From so many on all pairs at once are fitted: choosing among them was not measured there."""

FEWEST_MIDDLE_ATTRIBUTES, DENSE_FROM = 12, 300
"""From so many on, and so many rows to a cell of a pair, no pair needs to be asked finer.

Then all of the budget is better spent on all pairs at once; see docs/decisions/178.
"""

FEWEST_WIDE_GROUPS = 8
"""Where a mixture would have to merge numbers into fewer, cuts in two lose no more."""

CROWDED_FROM = 5.0
"""Rows that the noise of all 1-ways adds up to, to a row: from so many on no pair is worth it."""

DROWNED_FROM = 3.0
"""Rows that the noise of one 1-way count adds up to over all codes, to a row; see decision 088."""
FEWEST_SHARED = 3
"""Two silos that sum in secret know one another's part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A method, and in one line why."""

    method: Method
    reason: str


def advise(schema: Schema, *, crowded: float = 0.0, rows: int = 0) -> Advice:
    """Return the method to take for a schema.

    Args: crowded: what :func:`~silosynth.server.methods.crowding` says, where a bound on the rows
        is known. rows: that bound.
    """
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
            method=Method.CENTRAL if _has_middle(schema) else Method.ONE_SHOT,
            reason=f"marginals know the image {schema.images[0].name!r} by pairs of pixels and "
            "draw no pictures",
        )
    width = len(schema.coded)
    alone = "one attribute alone has no pairs to measure" if width == 1 else None
    if alone is None and crowded >= CROWDED_FROM:
        alone = "the noise of so many codes is larger than what so few rows say of pairs"
    if alone is not None:
        return Advice(method=Method.INDEPENDENT, reason=alone)
    if width >= FEWEST_WIDE_ATTRIBUTES:
        return _advise_wide(schema)
    if width >= FEWEST_MIDDLE_ATTRIBUTES and rows >= DENSE_FROM * _cells_of_a_pair(schema):
        return Advice(
            method=Method.MIXTURE,
            reason="so many rows say all pairs at once as finely as pairs that are chosen",
        )
    reason = f"marginals are nearer to the data on tables of this width ({width} attributes)"
    return Advice(method=Method.AIM, reason=reason)


def _cells_of_a_pair(schema: Schema) -> float:
    """Return how many cells a pair of attributes has on average."""
    sizes = schema.domain.shape
    both = sum(sizes) ** 2 - sum(size**2 for size in sizes)
    return both / max(len(sizes) * (len(sizes) - 1), 1)


def reason_for(schema: Schema, method: Method) -> str:
    """Say why a plan has the method that it was advised, however many rows its table has."""
    found = (advise(schema), advise(schema, crowded=math.inf), advise(schema, rows=2**62))
    return next((a.reason for a in found if a.method is method), advise(schema).reason)


def _has_middle(schema: Schema) -> bool:
    """Say whether pictures are few enough pixels, with a class to sum them by."""
    pixels = sum(len(image.attributes) for image in schema.images)
    return schema.label in schema.domain.attributes and pixels <= MOST_PIXELS


def _advise_wide(schema: Schema) -> Advice:
    """Return the method for a table whose pairs are too many to be chosen among."""
    width = len(schema.coded)
    pairs = width * (width - 1) // 2
    if pairs > MOST_MARGINALS:
        return Advice(
            method=Method.ONE_SHOT,
            reason=f"{width} attributes make {pairs:,} pairs, more than can be asked for",
        )
    groups = most_groups(schema.domain)
    cut = groups < FEWEST_WIDE_GROUPS and any(a.size > groups for a in schema.coded)
    if cut and all(a.rising or a.size == _CUT for a in schema.coded):
        return Advice(
            method=Method.COPULA,
            reason=f"{width} attributes in order or of two codes go together as a cut in two says",
        )
    return Advice(
        method=Method.MIXTURE,
        reason=f"{width} attributes make {pairs:,} pairs, which say more when all are fitted at "
        f"once than by themselves; impossible combinations want --method {Method.AIM.value}",
    )


_CUT = 2


def remarks(schema: Schema, *, method: Method) -> Iterator[str]:
    """Yield, a line each, what ``method`` loses of ``schema`` and which method carries it."""
    if method not in METHODS:  # it makes no sampler, so nothing is lost by it
        return
    left_out = [text.name for text in schema.texts if text.max_bytes is None]
    if left_out:
        yield (
            f"free text is left out: {', '.join(left_out)}; to learn it, give it max_bytes in the "
            f"schema and take --method {Method.DP_SGD.value}"
        )
    advice = advise(schema)
    if MEMBERS[method].reads_texts and modelled_texts(schema):
        return
    if (
        advice.method is not method
        and MEMBERS[advice.method].whole_rows is not MEMBERS[method].whole_rows
    ):
        yield f"{advice.reason}: --method {advice.method.value} is advised, not {method.value}"


def what_helps(plan: Plan, schema: Schema, *, rows: int) -> tuple[str, ...]:
    """Say, a line each, where pairs drown in noise and independent columns are nearer, what helps.

    By the codes of all columns times the noise of a count of the first phase, over the rows: half
    of it is about how far all 1-ways together are off. Nothing where pairs are worth their budget.

    Args: rows: about how many all silos have together: a public guess.
    """
    counted = [p for p in plan.phases if p.name not in OF_VALUES and p.bound == 1]
    if len(counted) < 2:
        return ()
    phase = counted[0]
    noise = math.sqrt(plan.noise(phase).variance(silos=len(plan.silos)))
    codes = sum(schema.domain.shape)
    drowned = codes * noise / rows / DROWNED_FROM
    if drowned < 1:
        return ()
    helps = [
        f"{codes:,} codes and a noise of ± {noise:.1f} rows are much for {rows:,} rows: in pairs "
        "--method independent would be nearer to the data than this plan"
    ]
    if not plan.masked and len(plan.silos) >= FEWEST_SHARED:
        shared = noise / math.sqrt(len(plan.silos))
        helps.append(f"--trust shared would bring the noise to about ± {shared:.1f} rows")
    binned = sum(a.values for a in schema.numbers)
    if 2 * binned > codes:
        helps.append(f"{binned:,} of the codes are bins of numbers: fewer bins have less noise")
    helps.append(f"{drowned:.1f} times the budget, or the rows, would be enough for pairs")
    return tuple(helps)
