"""Turn a 1-way marginal on fine codes into at most a page's worth of labelled bars."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np

from silosynth.common.codec import code_words, spell_edge
from silosynth.common.domain import Grouping
from silosynth.common.report.facts import AttributeFacts, Layout
from silosynth.common.report.numbers import DASH, edge
from silosynth.common.schema import CodedAttribute, NumericAttribute, as_numeric

MAX_BINS = 32
MAX_ROWS = 14
_ORDERED_ROWS = 12
_DAY_SECONDS = 86_400


def attribute_facts(
    attribute: CodedAttribute,
    *,
    reference: np.ndarray,
    synthetic: np.ndarray,
    variance: np.ndarray | None = None,
    grouping: Grouping | None = None,
    value: float,
    ceiling: float,
) -> AttributeFacts:
    """Return one attribute's facts, with rare or neighbouring codes merged into one bar.

    Args:
        reference, synthetic, variance: (codes,) float64, shares of all rows and their variance.
        grouping: how the schema's codes were merged into those of the three arrays, if at all.
    """
    codes = (grouping or Grouping()).lookup(attribute.name, attribute.size)
    bars, body = bar_groups(attribute, reference + synthetic, codes=codes)
    layout, shown = attribute_layout(attribute), bars[codes]
    spread = None if variance is None else tuple(np.sqrt(_fold(variance, bars)).tolist())
    return AttributeFacts(
        name=attribute.name,
        kind=attribute.kind,
        codes=len(bars),
        layout=layout,
        labels=bar_labels(attribute, shown),
        edges=_bar_edges(attribute, shown, body=body) if layout is Layout.BINS else (),
        body=body,
        reference=tuple(_fold(reference, bars).tolist()),
        synthetic=tuple(_fold(synthetic, bars).tolist()),
        spread=spread,
        value=value,
        ceiling=ceiling,
    )


def attribute_layout(attribute: CodedAttribute) -> Layout:
    """Return BINS for numbers and for long ordered lists, ROWS for all others."""
    if as_numeric(attribute) or (attribute.rising and attribute.values > _ORDERED_ROWS):
        return Layout.BINS
    return Layout.ROWS


def bar_groups(
    attribute: CodedAttribute, mass: np.ndarray, *, codes: np.ndarray
) -> tuple[np.ndarray, int]:
    """Return the bar of each code of ``mass``, and how many bars stand for bins or listed values.

    Bins merge with their neighbours, the same number into each bar. Of a long list the heaviest
    categories keep a row and the rest share the last one before ``other`` and ``missing``; so do
    categories that were merged before.

    Args: codes: (schema codes,) int64, the code of ``mass`` that each of the schema's stands in.
    """
    first = np.full(len(mass), attribute.size)
    np.minimum.at(first, codes, np.arange(attribute.size))
    merged = np.bincount(codes, minlength=len(mass)) > 1
    last = np.zeros_like(merged) if attribute.rising else merged
    order = np.lexsort((first, last))
    listed = first[order] < attribute.values
    inside, beside = order[listed], order[~listed]
    bars = np.empty(len(mass), dtype=np.int64)
    if attribute_layout(attribute) is Layout.BINS:
        bars[inside] = np.arange(len(inside)) // -(-len(inside) // MAX_BINS)
    elif len(inside) <= MAX_ROWS:
        bars[inside] = np.arange(len(inside))
    else:
        heavy = np.sort(np.argsort(-mass[inside], kind="stable")[: MAX_ROWS - 1])
        bars[inside] = MAX_ROWS - 1
        bars[inside[heavy]] = np.arange(MAX_ROWS - 1)
    body = int(bars[inside].max()) + 1
    bars[beside] = body + np.arange(len(beside))
    return bars, body


def code_labels(attribute: CodedAttribute) -> tuple[str, ...]:
    """Return the name of each code, ``other`` and ``missing`` in brackets."""
    words = code_words(attribute, other="[other]", missing="[missing]")
    number = as_numeric(attribute)
    if number is None:
        return words
    spans = [_span(number, a, b) for a, b in pairwise(number.edges())]
    return (*spans, *words[len(spans) :])


def bar_labels(attribute: CodedAttribute, bars: np.ndarray) -> tuple[str, ...]:
    """Name each bar after the schema's codes in it."""
    names = code_labels(attribute)
    labels: list[str] = []
    for bar in range(int(bars.max()) + 1):
        codes = np.flatnonzero(bars == bar)
        first, last = int(codes[0]), int(codes[-1])
        if len(codes) == 1:
            labels.append(names[first])
        elif (number := as_numeric(attribute)) is not None:
            edges = number.edges()
            labels.append(_span(number, edges[first], edges[last + 1]))
        elif attribute.rising:
            labels.append(f"{names[first]} {DASH} {names[last]}")
        else:
            labels.append(f"[{len(codes)} more]")
    return tuple(labels)


def _bar_edges(attribute: CodedAttribute, bars: np.ndarray, *, body: int) -> tuple[str, ...]:
    """Return the axis of numbers: one edge more than there are bins; nothing for lists."""
    number = as_numeric(attribute)
    if number is None:
        return ()
    edges = number.edges()
    starts = [edges[int(np.flatnonzero(bars == bar)[0])] for bar in range(body)]
    return tuple(_spell(number, e) for e in (*starts, edges[-1] - number.unit))


def _fold(shares: np.ndarray, bars: np.ndarray) -> np.ndarray:
    """Sum shares, or variances, within bars."""
    return np.bincount(bars, weights=shares, minlength=int(bars.max()) + 1)


def _span(attribute: NumericAttribute, low: float, high: float) -> str:
    """Name the values from ``low`` up to, for whole numbers without, ``high``."""
    start, end = _spell(attribute, low), _spell(attribute, high - attribute.unit)
    return start if start == end else f"{start} {DASH} {end}"


def _spell(attribute: NumericAttribute, value: float) -> str:
    """Write one edge as its kind is written."""
    if attribute.kind in ("time", "duration"):
        return spell_edge(attribute, value)
    if attribute.kind == "datetime":
        moment = datetime.fromtimestamp(value, tz=UTC)
        low, high = attribute.limits()
        short = (high - low) / attribute.values < _DAY_SECONDS
        return moment.strftime("%Y-%m-%d %H:%M" if short else "%Y-%m-%d")
    return edge(value)
