"""Column by column: what values there are, how often, and how they are spelled."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec import distinct, to_texts
from silosynth.common.report import ColumnFacts, Side
from silosynth.common.scores import Column, ValueKind, total_variations

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_TEN = 10
_SPELLED = 5_000
_DROPPED_FROM = 10


def column_facts(real: Column, synthetic: Column, ceiling: Column) -> ColumnFacts:
    """Return everything that one column shows."""
    forms = [_spellings(side) for side in (real, synthetic)]
    return ColumnFacts(
        name=real.name,
        kind=real.kind.value,
        shape=shape(real, synthetic),
        ceiling=shape(real, ceiling),
        real=_side(real, ten=_heaviest(real), form=_form(forms[0])),
        synthetic=_side(synthetic, ten=_heaviest(real), form=_form(forms[1])),
        form_off=_form_off(*forms),
        dropped=len(dropped_labels(real, synthetic)),
    )


def shape(real: Column, other: Column) -> float:
    """Return 1 minus the largest gap of distribution functions, or minus half the gap of shares.

    Missing values are a value like any other: a gap in their share counts as much.
    """
    if real.listed:
        return 1 - next(total_variations(real.codes, [other.codes], cells=len(real.labels) + 1))
    gaps = [abs(float(real.missing.mean()) - float(other.missing.mean()))]
    sides = [np.sort(c.numbers[~c.missing]) for c in (real, other)]
    if all(map(len, sides)):
        points = np.unique(np.concatenate(sides))
        below = [np.searchsorted(s, points, side="right") / len(s) for s in sides]
        gaps.append(float(np.abs(below[0] - below[1]).max()))
    elif any(map(len, sides)):
        gaps.append(1.0)
    return 1 - max(gaps)


def dropped_labels(real: Column, synthetic: Column) -> list[tuple[str, int]]:
    """Return the labels of at least ten real rows that no synthetic row has, commonest first."""
    if not real.listed:
        return []
    size = len(real.labels) + 1
    counts = np.bincount(real.codes, minlength=size)
    gone = (counts >= _DROPPED_FROM) & (np.bincount(synthetic.codes, minlength=size) == 0)
    gone[0] = False
    places = np.flatnonzero(gone)
    order = places[np.argsort(-counts[places], kind="stable")]
    return [(real.labels[i - 1], int(counts[i])) for i in order]


def rare_labels(real: Column, synthetic: Column) -> tuple[int, int]:
    """Return how many labels of at most 0.5 % of the real rows there are, and how many occur."""
    if not real.listed:
        return 0, 0
    size = len(real.labels) + 1
    counts = np.bincount(real.codes, minlength=size)
    rare = (counts > 0) & (counts <= 0.005 * len(real.codes))
    rare[0] = False
    return int(rare.sum()), int((rare & (np.bincount(synthetic.codes, minlength=size) > 0)).sum())


def _heaviest(real: Column) -> np.ndarray:
    """Return the ten commonest values of the real column, missing left out."""
    stored = real.codes[real.codes > 0] if real.listed else real.numbers[~real.missing]
    values, counts = np.unique(stored, return_counts=True)
    return values[np.argsort(-counts, kind="stable")[:_TEN]]


def _side(column: Column, *, ten: np.ndarray, form: str) -> Side:
    """Return what one table holds."""
    stored = column.codes if column.listed else column.numbers
    missing, commonest = float(column.missing.mean()), float(np.isin(stored, ten).mean())
    present = stored[~column.missing]
    if column.listed or not len(present):
        return Side(missing=missing, ten_commonest=commonest, form=form)
    return Side(
        missing=missing,
        ten_commonest=commonest,
        zeros=float((stored == 0).mean()) if column.kind is ValueKind.NUMBER else None,
        mean=float(present.mean()),
        spread=float(present.std()),
        quantiles=tuple(float(q) for q in np.quantile(present, _QUANTILES)),
        form=form,
    )


def _spellings(column: Column) -> dict[str, int]:
    """Count how values are spelled: digits as 9, letters as a; numbers by their decimals."""
    values, positions = distinct(column.spelled)
    counts = np.bincount(positions, minlength=len(values))
    order = np.argsort(-counts, kind="stable")[:_SPELLED]
    chosen = values.take(pa.array(order))
    patterns = (
        _decimals(chosen) if column.kind is ValueKind.NUMBER else _patterns(chosen)
    ).to_pylist()
    found: dict[str, int] = {}
    for pattern, count in zip(patterns, counts[order].tolist(), strict=True):
        if pattern:
            found[pattern] = found.get(pattern, 0) + count
    return found


def _decimals(values: pa.Array) -> pa.Array:
    """Name each number by its decimals, as far as it is written with any."""
    trimmed = pc.utf8_trim_whitespace(_texts(values))
    plain = pc.replace_substring_regex(trimmed, r"^[^.eE]*\.?(\d*?)0*(?:[eE].*)?$", r"\1")
    return pc.binary_replace_slice(pc.cast(pc.utf8_length(plain), pa.large_string()), 0, 0, "d")


def _patterns(values: pa.Array) -> pa.Array:
    """Name each value by the kinds of its characters."""
    letters = pc.replace_substring_regex(_texts(values), r"\p{L}+", "a")
    return pc.utf8_slice_codeunits(pc.replace_substring_regex(letters, r"\d", "9"), 0, 40)


def _texts(values: pa.Array) -> pa.Array:
    """Spell distinct values; a dictionary by what it holds."""
    kind = values.type.value_type if pt.is_dictionary(values.type) else values.type
    return to_texts(values.cast(kind) if kind != values.type else values)


def _form(spellings: dict[str, int]) -> str:
    """Name a form in a few words: decimals of numbers, or the commonest pattern."""
    if not spellings:
        return "empty"
    commonest = max(spellings, key=lambda p: (spellings[p], p))
    decimals = [int(p[1:]) for p in spellings if p[:1] == "d" and p[1:].isdigit()]
    if len(decimals) < len(spellings):
        return commonest if len(spellings) == 1 else f"{commonest} and {len(spellings) - 1} more"
    most = max(decimals)
    return "whole" if most == 0 else f"up to {most} decimal{'s' * (most > 1)}"


def _form_off(real: dict[str, int], synthetic: dict[str, int]) -> float:
    """Return the share of synthetic values that are spelled as no real one is.

    Fewer decimals than the real values have are no fault: they may be zeros.
    """
    total = sum(synthetic.values())
    if not total or not real:
        return 0.0 if not total else 1.0
    most = max((int(p[1:]) for p in real if p[:1] == "d" and p[1:].isdigit()), default=-1)
    off = sum(
        count
        for pattern, count in synthetic.items()
        if pattern not in real
        and not (pattern[:1] == "d" and pattern[1:].isdigit() and int(pattern[1:]) <= most)
    )
    return off / total
