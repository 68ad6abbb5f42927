"""A schema's rules, compiled: the attributes that are counted, and how the table's come of them.

Each rule is kept in the cheapest way there is: a column that follows from others is not counted at
all, one that lies above another is counted as the gap, what may be null is one small attribute,
combinations of codes are impossible cells, and what is left is looked at row by row when drawing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from pydantic import ValidationError

from silosynth.common.domain import Clique
from silosynth.common.rules import (
    UNREVIEWED,
    Derived,
    Difference,
    Facts,
    Like,
    OneOf,
    Order,
    Rule,
    Step,
    Unique,
    check_reach,
    check_rule,
    columns_of,
    parse_pattern,
    parse_rule,
    words_of,
)
from silosynth.common.rules.spell import spell
from silosynth.common.schema.compiled.nulls import (
    Patterns,
    about_nulls,
    find_patterns,
    null_zeros,
    value_zeros,
)
from silosynth.common.schema.compiled.orders import (
    Apart,
    Gap,
    bounds_between,
    gap_attribute,
    gaps_of,
    narrow,
    narrowed,
)
from silosynth.common.schema.compiled.sums import Follows, choices
from silosynth.common.schema.kinds.attributes import (
    Attribute,
    CategoricalAttribute,
    IdentifierAttribute,
    IntegerAttribute,
    NumericAttribute,
)
from silosynth.common.schema.kinds.bases import bounds_of
from silosynth.common.schema.kinds.bins import EqualWidth
from silosynth.common.schema.kinds.facts import facts_of, range_of, reach_of
from silosynth.common.schema.references import Reference, resolve
from silosynth.common.schema.zeros import ImpossibleCells


@dataclass(frozen=True, slots=True)
class OnGrid:
    """A column that is coded by its place on a grid: multiples of ``size``."""

    column: str
    name: str
    size: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Columns of which one is true, coded as the name of that one."""

    columns: tuple[str, ...]
    name: str


Recipe: TypeAlias = Follows | Gap | OnGrid | Choice


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ruled:
    """Rules and what they make of a schema's attributes.

    ``attributes`` are those that are counted, with identifiers and texts; ``recipes`` say, in the
    order in which they are followed, how the other columns come of them; ``patterns`` are told by
    an attribute each, by name. ``kept`` says in words how each rule is kept.
    """

    rules: tuple[Rule, ...]
    facts: Facts
    attributes: tuple[Attribute, ...]
    recipes: tuple[Recipe, ...]
    patterns: Mapping[str, Patterns]
    zeros: tuple[ImpossibleCells, ...]
    kept: tuple[str, ...]
    grids: Mapping[str, float] = field(default_factory=dict)

    @property
    def likes(self) -> dict[str, str]:
        """Return the pattern of each column whose keys are words of one; a rule goes before."""
        keys = (a for a in self.attributes if isinstance(a, IdentifierAttribute))
        ruled = {r.column: r.pattern for r in self.rules if isinstance(r, Like)}
        return {a.name: a.like for a in keys if a.like is not None} | ruled

    @property
    def replaced(self) -> frozenset[str]:
        """Return the columns of the table that are not counted as they are."""
        return frozenset(c for r in self.recipes for c in targets(r))


def targets(recipe: Recipe) -> tuple[str, ...]:
    """Return the columns that a recipe makes."""
    return recipe.columns if isinstance(recipe, Choice) else (recipe.column,)


def needs(recipe: Recipe) -> tuple[str, ...]:
    """Return the columns of the table that a recipe needs before."""
    if isinstance(recipe, Follows):
        return columns_of(recipe.value)
    if isinstance(recipe, Gap):
        return tuple({*(a.low for a in recipe.lower), *(a.high for a in recipe.upper)})
    return ()


def broken_codes(
    rule: Rule, *, counted: Sequence[Attribute], facts: Facts
) -> tuple[Clique, np.ndarray] | None:
    """Return attributes and a mask over their codes: cells of which no row keeps a rule on values.

    None where there are none to tell. Raises ValueError for a rule that leaves nothing.
    """
    return value_zeros(rule, counted=counted, facts=facts, ranging=range_of)


def unreviewed_rules(rules: Iterable[str]) -> tuple[str, ...]:
    """Return the rules that nobody has vouched for."""
    return tuple(rule for rule in rules if UNREVIEWED.search(rule))


def compile_rules(
    lines: Sequence[str],
    *,
    attributes: Sequence[Attribute],
    references: Mapping[str, Reference] | None = None,
) -> Ruled:
    """Return the rules of a schema, compiled; raise ValueError naming the rule that cannot be."""
    facts = facts_of(attributes)
    rules: list[Rule] = []
    for line in lines:
        rule = parse_rule(line, columns=facts)
        rule = resolve(rule, line=line, facts=facts, references=references or {})
        check_rule(rule, line=line, facts=facts)
        if rule in rules:
            raise ValueError(f"rule {line!r} stands twice")
        rules.append(rule)
    return _Compiler(attributes, rules, facts).compile()


class _Compiler:
    """Decide of each rule how it is kept, the strongest way first."""

    def __init__(
        self, attributes: Sequence[Attribute], rules: Sequence[Rule], facts: Facts
    ) -> None:
        self._attributes, self._rules, self._facts = attributes, tuple(rules), facts
        self._numbers: dict[str, NumericAttribute] = {
            a.name: a for a in attributes if isinstance(a, NumericAttribute)
        }
        self._recipes: list[Recipe] = []
        self._inner: dict[str, Attribute] = {}
        self._kept: dict[Rule, str] = {}
        self._grids: dict[str, float] = {}

    def compile(self) -> Ruled:
        patterns = find_patterns(self._rules, facts=self._facts)
        self._one_of()
        self._derive(patterns)
        self._order()
        self._steps()
        told = self._tell_nulls(patterns)
        counted = self._counted(told)
        nulls = null_zeros(told, inner=self._inner, counted=counted)
        self._check_reach()
        told_of = (ImpossibleCells(clique=c, mask=m) for c, m in nulls)
        zeros = (*told_of, *self._zeros(counted))
        kept = [self._kept.get(r, _LOOKED_AT) for r in self._rules]
        return Ruled(
            rules=self._rules,
            facts=self._facts,
            attributes=counted,
            recipes=self._sorted(),
            patterns=told,
            zeros=zeros,
            kept=tuple(kept),
            grids=self._grids,
        )

    @property
    def _made(self) -> set[str]:
        return {c for r in self._recipes for c in targets(r)}

    def _one_of(self) -> None:
        for rule in self._rules:
            if isinstance(rule, OneOf) and not self._made & set(rule.columns):
                name = f"which of {', '.join(rule.columns)}"[:128]
                made = {"name": name, "categories": rule.columns, "other": False}
                first = next(a for a in self._attributes if a.name == rule.columns[0])
                self._inner[rule.columns[0]] = CategoricalAttribute.model_validate(
                    {**made, "source": first.source}
                )
                self._recipes.append(Choice(rule.columns, name))
                self._kept[rule] = f"counted as one attribute of {len(rule.columns)} codes"
            elif isinstance(rule, Unique):
                self._kept[rule] = "kept by fresh numbers; nothing is counted"
            elif isinstance(rule, Like):
                words = words_of(parse_pattern(rule.pattern))
                self._kept[rule] = f"fresh keys of {words:,} words; nothing is counted"

    def _derive(self, patterns: Sequence[Patterns]) -> None:
        for rule in self._rules:
            if not isinstance(rule, Derived | Difference):
                continue
            good = choices(rule, numbers=self._numbers, patterns=patterns)
            free = [c for c in good if c.column not in self._made]
            chosen = next((c for c in free if not self._circles(c)), None)
            if chosen is None:
                raise ValueError(
                    f"rule {spell(rule)!r}: column {rule.column!r} follows from other rules "
                    "already, or from itself in a circle"
                )
            self._recipes.append(chosen)
            self._kept[rule] = f"{chosen.column} is worked out from the others, and not counted"

    def _circles(self, chosen: Follows) -> bool:
        """Say whether what is to follow is needed for what it follows from."""
        made = {c: needs(r) for r in self._recipes for c in targets(r)} | {
            chosen.column: columns_of(chosen.value)
        }
        seen, open_ = set(), list(made[chosen.column])
        while open_:
            name = open_.pop()
            if name == chosen.column:
                return True
            if name not in seen:
                seen.add(name)
                open_ += made.get(name, ())
        return False

    def _order(self) -> None:
        aparts: list[Apart] = []
        kept: list[Order] = []
        # A gap cannot tell for which reason a value is missing.
        plain = {n: a for n, a in self._numbers.items() if not a.missing_apart}
        for rule in self._rules:
            if isinstance(rule, Order):
                found = bounds_between(rule, numbers=plain)
                if found is not None:
                    aparts += found
                    kept += [rule] if not self._made & set(columns_of(rule)) else []
        bounds = {n: bounds_of(self._numbers[n]) for a in aparts for n in (a.low, a.high)}
        left = narrow(aparts, bounds=bounds)
        own = [a for a in aparts if not self._made & {a.low, a.high}]
        gaps = gaps_of(own, numbers=self._numbers, bounds=left)
        for gap in gaps:
            self._recipes.append(gap)
            self._inner[gap.column] = gap_attribute(gap, self._numbers[gap.column])
        for name in {n for a in own for n in (a.low, a.high)} - {g.column for g in gaps}:
            self._inner[name] = narrowed(self._numbers[name], left[name])
        for rule in kept:
            above = [g.column for g in gaps if g.column in columns_of(rule)]
            self._kept[rule] = f"{', '.join(above)} is counted as what it lies above the others"

    def _steps(self) -> None:
        for rule in self._rules:
            if not isinstance(rule, Step):
                continue
            attribute = self._numbers[rule.column]
            low, high = (b / rule.size for b in bounds_of(attribute))
            least, most = math.ceil(low - 1e-9), math.floor(high + 1e-9)
            if least > most:
                raise ValueError(f"rule {spell(rule)!r} leaves no value of {rule.column!r}")
            if isinstance(attribute, IntegerAttribute) and rule.size != int(rule.size):
                raise ValueError(f"rule {spell(rule)!r}: {rule.column!r} holds whole numbers")
            if any(isinstance(r, Gap) and r.column == rule.column for r in self._recipes):
                self._grids[rule.column] = rule.size
                self._kept[rule] = "rounded up to it when rows are drawn"
            elif attribute.missing_apart:
                continue
            elif rule.column not in self._made and rule.column not in self._inner:
                self._on_grid(rule, attribute, least=least, most=most)

    def _on_grid(self, rule: Step, attribute: NumericAttribute, *, least: int, most: int) -> None:
        name = f"{rule.column} in steps"[:128]
        count = max(min(attribute.values, most - least + 1), 1)
        common = attribute.model_dump(include={"missing", "source"})
        if least == most:
            raise ValueError(f"rule {spell(rule)!r} leaves one value of {rule.column!r}")
        try:
            self._inner[rule.column] = IntegerAttribute.model_validate(
                {**common, "name": name, "minimum": least, "maximum": most}
                | {"bins": EqualWidth(count=count)}
            )
        except ValidationError:
            raise ValueError(f"rule {spell(rule)!r} leaves one value of {rule.column!r}") from None
        self._recipes.append(OnGrid(rule.column, name, rule.size))
        self._kept[rule] = "counted and drawn on the grid"

    def _tell_nulls(self, patterns: Sequence[Patterns]) -> dict[str, Patterns]:
        """Return the pattern attributes by name."""
        dropped = [r.column for r in self._recipes if isinstance(r, Follows)]
        told: dict[str, Patterns] = {}
        for group in patterns:
            left = group.without(dropped)
            for rule in self._rules:
                if about_nulls(rule) and set(columns_of(rule)) <= set(group.columns):
                    codes = len(left.nulls)
                    self._kept[rule] = f"told by one attribute of {codes} null patterns"
            if len(left.nulls) > 1 and len(left.columns) > 1:
                told[f"null pattern of {', '.join(left.columns)}"[:128]] = left
        return told

    def _counted(self, told: Mapping[str, Patterns]) -> tuple[Attribute, ...]:
        """Return what is counted in the place of each column, pattern attributes last."""
        counted: list[Attribute] = []
        for attribute in self._attributes:
            if attribute.name in self._inner:
                counted.append(self._inner[attribute.name])
            elif attribute.name not in self._made:
                counted.append(attribute)
        for name, patterns in told.items():
            made = {"name": name, "categories": patterns.words, "other": False}
            counted.append(CategoricalAttribute.model_validate({**made, "source": "declared"}))
        names = [a.name for a in counted]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"rules make an attribute {twice[0]!r}, and there is one already")
        return tuple(counted)

    def _zeros(self, counted: Sequence[Attribute]) -> list[ImpossibleCells]:
        """Return the cells that rules about values leave empty."""
        zeros: list[ImpossibleCells] = []
        for rule in self._rules:
            if rule in self._kept:
                continue
            cells = value_zeros(rule, counted=counted, facts=self._facts, ranging=range_of)
            if cells is not None:
                clique, mask = cells
                said = spell(rule)
                zeros.append(ImpossibleCells(clique=clique, mask=mask, declared=False, rule=said))
                self._kept[rule] = (
                    f"{int(mask.sum())} of {mask.size} combinations of codes are "
                    "impossible; rows inside a bin are looked at when they are drawn"
                )
        return zeros

    def _check_reach(self) -> None:
        """Raise ValueError where rules over columns that follow from others leave no row."""
        made = [r for r in self._rules if isinstance(r, Derived | Difference)]
        found = [r for r in self._recipes if isinstance(r, Follows)]
        follows = {f.column: (f.value, r) for f, r in zip(found, made, strict=True)}
        if follows:
            reaches = {a.name: r for a in self._attributes if (r := reach_of(a)) is not None}
            check_reach(self._rules, follows=follows, reaches=reaches, facts=self._facts)

    def _sorted(self) -> tuple[Recipe, ...]:
        """Return the recipes so that each comes after those that it needs."""
        done: list[Recipe] = []
        left = list(self._recipes)
        while left:
            waiting = {c for r in left for c in targets(r)}
            ready = next((r for r in left if not waiting & set(needs(r))), None)
            if ready is None:
                names = ", ".join(sorted(waiting))
                raise ValueError(f"the rules run in a circle over columns {names}")
            done.append(ready)
            left.remove(ready)
        return tuple(done)


_LOOKED_AT = "looked at row by row when rows are drawn: those that break it are drawn again"
