"""Orders between columns as bounds on differences, and each later column as a gap to its lowest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction

import numpy as np
from pydantic import ValidationError

from silosynth.common.rules import UNITS, Arithmetic, Column, Expression, Number, Order, Span
from silosynth.common.rules.spell import spell
from silosynth.common.schema.kinds.attributes import (
    DatetimeAttribute,
    IntegerAttribute,
    NumericAttribute,
    RealAttribute,
    TimeAttribute,
)
from silosynth.common.schema.kinds.bases import UNEVEN, BaseTemporal, bounds_of, scale_of
from silosynth.common.schema.kinds.bins import Edges, EqualWidth
from silosynth.common.schema.kinds.facts import NumberAttribute, has_unit

GAP_BINS = 48
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Apart:
    """``high`` is at least ``low`` + ``least``."""

    low: str
    high: str
    least: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A column that is coded by how far it lies above the greatest of its lower bounds."""

    column: str
    name: str
    lower: tuple[Apart, ...]
    upper: tuple[Apart, ...]
    least: float
    most: float
    scale: float
    whole: bool


def bounds_between(
    rule: Order, *, numbers: Mapping[str, NumericAttribute]
) -> tuple[Apart, ...] | None:
    """Return an order as bounds on differences; None where a term is more than that."""
    terms = [_plain(term) for term in rule.terms]
    found: list[Apart] = []
    for sign, left, right in zip(rule.signs, terms, terms[1:], strict=False):
        if left is None or right is None or left[0] not in numbers or right[0] not in numbers:
            return None
        if left[0] == right[0]:
            if left[1] > right[1] or (sign == "<" and left[1] == right[1]):
                raise ValueError(f"rule {spell(rule)!r} leaves nothing: no value is below itself")
            return None
        sides = (numbers[left[0]], numbers[right[0]])
        unit = 0.0
        if sign == "<":
            real = any(isinstance(a, RealAttribute) for a in sides)
            unit = common_step(*sides) or (0.0 if real else 1.0)
        found.append(Apart(left[0], right[0], left[1] - right[1] + unit))
    return tuple(found)


def _plain(term: Expression) -> tuple[str, float] | None:
    """Return column and what is added to it."""
    if isinstance(term, Column):
        return term.name, 0.0
    if isinstance(term, Arithmetic) and term.sign in ("+", "-") and isinstance(term.left, Column):
        sign = 1 if term.sign == "+" else -1
        if isinstance(term.right, Number):
            return term.left.name, sign * term.right.value
        if isinstance(term.right, Span):
            return term.left.name, sign * term.right.count * UNITS[term.right.unit]
    return None


def narrow(
    aparts: Sequence[Apart], *, bounds: Mapping[str, tuple[float, float]]
) -> dict[str, tuple[float, float]]:
    """Return the bounds that are left of each column; raise ValueError when none are.

    A circle that asks a column to lie above itself never comes to rest: bounds rise until they
    cross.
    """
    low = {name: b[0] for name, b in bounds.items()}
    high = {name: b[1] for name, b in bounds.items()}
    _refuse_circle(aparts)
    for _ in range(len(bounds) + 1):
        for apart in aparts:
            low[apart.high] = max(low[apart.high], low[apart.low] + apart.least)
            high[apart.low] = min(high[apart.low], high[apart.high] - apart.least)
    for name in bounds:
        if low[name] > high[name]:
            raise ValueError(f"the rules leave no value of column {name!r}")
    return {name: (low[name], high[name]) for name in bounds}


def _refuse_circle(aparts: Sequence[Apart]) -> None:
    """Raise ValueError for orders that run in a circle and gain by it (Bellman and Ford)."""
    names = {n for a in aparts for n in (a.low, a.high)}
    far = dict.fromkeys(names, 0.0)
    for _ in range(len(names) + 1):
        before = dict(far)
        for apart in aparts:
            far[apart.high] = max(far[apart.high], far[apart.low] + apart.least)
        if far == before:
            return
    culprit = next(n for n in far if far[n] != before[n])
    raise ValueError(f"the rules contradict one another: column {culprit!r} lies above itself")


def gaps_of(
    aparts: Sequence[Apart],
    *,
    numbers: Mapping[str, NumericAttribute],
    bounds: Mapping[str, tuple[float, float]],
) -> tuple[Gap, ...]:
    """Return the columns that are coded as gaps, each after those that it is a gap to."""
    order = _in_order(aparts)
    place = {name: i for i, name in enumerate(order)}
    gaps: list[Gap] = []
    for name in order:
        lower = tuple(a for a in aparts if a.high == name and place[a.low] < place[name])
        upper = tuple(a for a in aparts if a.low == name and place[a.high] < place[name])
        if not lower and not upper:
            continue
        step = _step_of(name, (*lower, *upper), numbers=numbers)
        gaps.append(
            Gap(
                column=name,
                name=f"{name} above {' and '.join(a.low for a in lower) or 'its least'}"[:128],
                lower=lower,
                upper=upper,
                least=bounds[name][0],
                most=bounds[name][1],
                scale=step or scale_of(numbers[name]),
                whole=step is not None,
            )
        )
    return tuple(gaps)


def _step_of(
    name: str, aparts: Sequence[Apart], *, numbers: Mapping[str, NumericAttribute]
) -> float | None:
    """Return what a gap is counted in where all of its values are so far apart; None else."""
    others = [numbers[a.low if a.high == name else a.high] for a in aparts]
    steps = {common_step(numbers[name], other) for other in others}
    step = steps.pop()
    if isinstance(numbers[name], IntegerAttribute) and step is not None and steps:
        return 1.0
    if steps or step is None or any(abs(a.least / step % 1 - 0.5) < 0.5 - 1e-6 for a in aparts):
        return 1.0 if isinstance(numbers[name], IntegerAttribute) else None
    return step


def common_step(left: NumericAttribute, right: NumericAttribute) -> float | None:
    """Return what the values of both are apart at least, in a rule's units; None if that varies.

    Whole numbers are one apart at least, even where their steps differ.
    """
    grids = (left.grid, right.grid)
    whole = isinstance(left, IntegerAttribute) and isinstance(right, IntegerAttribute)
    same = type(left) is type(right) and grids[0] is not None and grids[0] == grids[1]
    if isinstance(left, BaseTemporal) and isinstance(right, BaseTemporal):
        apart = left.first_tick - right.first_tick
        same = same and left.resolution not in UNEVEN
        same = same and Fraction(apart, 10**6) % (grids[0] or 1) == 0
    elif same and has_unit(left):
        lows = [Fraction(repr(a.limits()[0])) for a in (left, right)]
        same = (lows[0] - lows[1]) % (grids[0] or 1) == 0
    if same:
        return float(grids[0] or 1) * scale_of(left)
    return 1.0 if whole else None


def _widest(lower: Sequence[Apart], upper: Sequence[Apart]) -> list[float]:
    """Return how wide a gap can be where lower and upper bound are of one column."""
    return [-up.least - low.least for low in lower for up in upper if up.high == low.low]


def _in_order(aparts: Sequence[Apart]) -> list[str]:
    """Return the columns so that each stands after what it lies above, where that is possible."""
    before: dict[str, set[str]] = {}
    for apart in sorted(aparts, key=lambda a: a.least < 0):
        before.setdefault(apart.low, set())
        before.setdefault(apart.high, set())
        if not _reaches(apart.high, apart.low, before=before):
            before[apart.high].add(apart.low)
    done: list[str] = []
    while len(done) < len(before):
        done += [n for n in before if n not in done and before[n] <= set(done)][:1]
    return done


def _reaches(start: str, goal: str, *, before: Mapping[str, set[str]]) -> bool:
    """Say whether ``start`` stands before ``goal`` already."""
    if start == goal:
        return True
    return any(_reaches(start, name, before=before) for name in before[goal])


def gap_attribute(gap: Gap, attribute: NumericAttribute) -> NumberAttribute:
    """Return the attribute of a gap: bins that widen with it, since small gaps matter most."""
    span = (gap.most - gap.least) / gap.scale
    widths = _widest(gap.lower, gap.upper)
    if gap.lower and not any(a.least < 0 for a in gap.lower) and widths:
        span = min(span, max(min(widths) / gap.scale, 0))
    common = {
        "name": gap.name,
        "missing": attribute.missing,
        "source": attribute.source,
        "minimum": 0,
    }
    count = max(attribute.values, GAP_BINS)
    if gap.whole:
        span = max(int(span + 1e-6), 1)
        inner = sorted({round(e) for e in np.geomspace(1, span + 1, count)[:-1]})
        bins = Edges(edges=tuple(inner)) if span > count else EqualWidth(count=span + 1)
        return IntegerAttribute.model_validate({**common, "maximum": span, "bins": bins})
    unit = 1.0 if isinstance(attribute, BaseTemporal) and span > 100 else span / 1e4
    inner = np.geomspace(unit, span, count)[:-1].tolist()
    bins = Edges(edges=tuple(inner))
    return RealAttribute.model_validate({**common, "maximum": span, "bins": bins})


def _moment(attribute: NumericAttribute, ticks: float) -> datetime | time | timedelta:
    """Return microseconds as a bound of an attribute."""
    span = timedelta(microseconds=ticks)
    if isinstance(attribute, DatetimeAttribute):
        return _EPOCH + span
    if isinstance(attribute, TimeAttribute):
        return time.max if span >= timedelta(days=1) else (datetime.min + span).time()
    return span


def _on_points(attribute: NumericAttribute, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the outermost values of a number inside of bounds, in a rule's units."""
    if isinstance(attribute, BaseTemporal):
        first, stride = attribute.first_tick, round((attribute.grid or 0) * 10**6)
        above, below = math.ceil(bounds[0]) - first, math.floor(bounds[1]) - first
        return first + -(-above // stride) * stride, first + below // stride * stride
    kind = int if isinstance(attribute, IntegerAttribute) else float
    if attribute.grid is None:
        return kind(bounds[0]), kind(bounds[1])
    step = attribute.grid
    start = Fraction(repr(attribute.limits()[0]))
    low, high = ((Fraction(repr(b)) - start) / step for b in bounds)
    tiny = Fraction(1, 10**6)
    return kind(start + math.ceil(low - tiny) * step), kind(start + math.floor(high + tiny) * step)


def narrowed(attribute: NumericAttribute, bounds: tuple[float, float]) -> NumericAttribute:
    """Return the attribute within narrower bounds; itself where nothing is taken away."""
    if bounds == bounds_of(attribute):
        return attribute
    low, high = bounds
    data = attribute.model_dump()
    if isinstance(attribute, BaseTemporal):
        if attribute.step is not None:
            low, high = _on_points(attribute, bounds)
        data["minimum"], data["maximum"] = (_moment(attribute, b) for b in (low, high))
    else:
        data["minimum"], data["maximum"] = low, high = _on_points(attribute, bounds)
    if isinstance(attribute.bins, Edges):
        scale = scale_of(attribute)
        inner = [e for e in attribute.bins.edges if low < e * scale < high]
        data["bins"] = {"kind": "edges", "edges": inner} if inner else {"kind": "width", "count": 1}
    try:
        return type(attribute).model_validate(data)
    except ValidationError:
        raise ValueError(f"the rules leave too little of column {attribute.name!r}") from None
