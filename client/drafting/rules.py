"""Propose rules that nearly all rows keep, beside the data, for a person to review.

A proposal is read off private data: it is marked ``unreviewed``, and no plan is made of a schema
that holds one until a person has vouched for it and taken the mark away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
import pyarrow as pa

from silosynth.common.codec import read_values
from silosynth.common.rules import (
    Arithmetic,
    Column,
    Derived,
    Facts,
    IsNull,
    Kind,
    NullTogether,
    NullWhen,
    Order,
    Rule,
    RuleFault,
    Step,
    check_rule,
    columns_of,
    holds,
    parse_rule,
)
from silosynth.common.rules.spell import spell
from silosynth.common.schema import Schema

LEAST_SHARE = 0.995
_LOOKED_AT = 2_000
_MOST_NUMBERS = 40
_STEPS = (1000.0, 500.0, 100.0, 50.0, 25.0, 10.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A rule and the share of the rows that keep it. The share is private."""

    rule: str
    share: float


def propose_rules(table: pa.Table, *, schema: Schema) -> tuple[Proposal, ...]:
    """Return the rules that at least 99.5 % of the rows keep, and that say something."""
    facts = schema.ruled.facts
    names = [f.name for f in facts.values() if f.kind not in (Kind.KEY, Kind.OTHER)]
    values = read_values(table, schema=schema, names=names)
    if table.num_rows == 0:
        return ()
    few = {n: v[: min(_LOOKED_AT, len(v))] for n, v in values.items()}
    known = {spell(r) for r in schema.ruled.rules}
    found: list[Proposal] = []
    for rule in _candidates(few, facts=facts):
        text = spell(rule)
        if text in known or not _makes_sense(rule, text, facts=facts):
            continue
        if _share(rule, few, facts=facts) < LEAST_SHARE:
            continue
        share = _share(rule, values, facts=facts)
        if share >= LEAST_SHARE and not _repeats(rule, found, facts=facts):
            found.append(Proposal(rule=text, share=share))
    return tuple(found)


def _share(rule: Rule, values: dict[str, np.ndarray], *, facts: Facts) -> float:
    return float(holds(rule, rows=values, facts=facts).mean())


def _makes_sense(rule: Rule, text: str, *, facts: Facts) -> bool:
    try:
        check_rule(rule, line=text, facts=facts)
    except RuleFault:
        return False
    return True


def _repeats(rule: Rule, found: list[Proposal], *, facts: Facts) -> bool:
    """Say whether the same columns are in a sum or told null together already."""
    names = set(columns_of(rule))
    if isinstance(rule, Derived):
        return any(" = " in p.rule and names == _named(p.rule, facts) for p in found)
    if isinstance(rule, NullWhen):
        told = [p for p in found if p.rule.startswith("null together")]
        return any(names <= _named(p.rule, facts) for p in told)
    return False


def _named(text: str, facts: Facts) -> set[str]:
    return set(columns_of(parse_rule(text, columns=facts)))


def _candidates(few: dict[str, np.ndarray], *, facts: Facts) -> Iterator[Rule]:
    """Yield what might hold: sums, orders, nulls, steps."""
    numbers = [n for n in few if facts[n].kind is Kind.NUMBER and not facts[n].listed]
    numbers = [n for n in numbers if np.unique(few[n][~np.isnan(few[n])]).size > 2][:_MOST_NUMBERS]
    for left, right in combinations(numbers, 2):
        for sign, named in ((s, n) for n in numbers if n not in (left, right) for s in "+-"):
            value = few[left] + few[right] if sign == "+" else few[left] - few[right]
            near = np.isclose(value, few[named], equal_nan=True)
            if near.mean() >= LEAST_SHARE and not np.isnan(value).all():
                yield Derived(named, Arithmetic(sign, Column(left), Column(right)))
    yield from _orders(few, numbers=numbers, facts=facts)
    yield from _nulls(few, facts=facts)
    for name in numbers:
        column = few[name][~np.isnan(few[name])]
        size = next((s for s in _STEPS if column.size and (column % s == 0).mean() > 0.99), None)
        if size is not None and (column != 0).mean() > 0.05:
            yield Step(name, size)


def _orders(few: dict[str, np.ndarray], *, numbers: list[str], facts: Facts) -> Iterator[Rule]:
    """Yield orders of columns whose values overlap, so that the order is no accident of units."""
    instants = [n for n in few if facts[n].kind is Kind.INSTANT]
    for low, high in [*permutations(instants, 2), *permutations(numbers, 2)]:
        both = ~(np.isnan(few[low]) | np.isnan(few[high]))
        if both.sum() < 20:
            continue
        a, b = few[low][both], few[high][both]
        overlap = np.mean(b[:, None][:200] < a[None, :200])
        if overlap > 0.05 and (a < b).any() and (a <= b).mean() >= LEAST_SHARE:
            yield Order((Column(low), Column(high)), ("<=",))


def _nulls(few: dict[str, np.ndarray], *, facts: Facts) -> Iterator[Rule]:
    """Yield columns that are null in the same rows, and columns that are null where another is."""
    nulls = {n: np.isnan(v) for n, v in few.items() if facts[n].missing and np.isnan(v).any()}
    groups: list[list[str]] = []
    for name, null in nulls.items():
        same = next((g for g in groups if (nulls[g[0]] == null).mean() >= LEAST_SHARE), None)
        if same is None:
            groups.append([name])
        else:
            same.append(name)
    yield from (NullTogether(tuple(g)) for g in groups if len(g) > 1)
    for first, second in permutations([g[0] for g in groups], 2):
        if nulls[second].sum() >= 3 and (nulls[first] | ~nulls[second]).all():
            yield NullWhen(first, "if", IsNull(second))
