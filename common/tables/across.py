"""Rules that name columns of a row and of the rows above it, and what is true of a last row alone.

``patients.born <= visits.admitted`` is about each visit and its patient; ``visits.outcome = dead is
last`` says that nobody has a visit after such a one. Columns are written ``table.column``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.rules import (
    UNREVIEWED,
    Column,
    Compare,
    Expression,
    Keep,
    Never,
    NullWhen,
    Order,
    Rule,
    columns_of,
)
from silosynth.common.schema import (
    Attribute,
    ImpossibleCells,
    Schema,
    broken_codes,
    dump_attribute,
    parse_schema,
)
from silosynth.common.tables.columns import Columns
from silosynth.common.tables.gaps import Gaps, GapScale, gap_scale
from silosynth.common.tables.table import Table, ancestors

IS_LAST = " is last"
DRAWN = (Order, Keep, Never, NullWhen)
"""Rules that drawn rows can be made to keep, row by row."""


class SeveralTables(Protocol):
    """What is known of tables before their rules are."""

    @property
    def tables(self) -> Mapping[str, Table]:
        """Return the tables."""

    @property
    def columns(self) -> Mapping[str, Columns]:
        """Return the columns of each."""

    @property
    def across(self) -> tuple[Across, ...]:
        """Return the rules across them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """A rule over ``tables``, the deepest first, which is the one whose rows keep it or not.

    ``wide`` has its columns by the names that it writes them with. With ``last`` rows that are the
    last of their parent need not keep it.
    """

    text: str
    tables: tuple[str, ...]
    wide: Schema
    last: bool = False

    @property
    def rule(self) -> Rule:
        """Return the rule."""
        return self.wide.ruled.rules[0]


def parse_across(text: str, *, schema: SeveralTables) -> Across:
    """Read a rule whose columns are written ``table.column``.

    Raises InvalidArgument where it names no column, tables of which none is below all others, or
    says what no rule can.
    """
    line = UNREVIEWED.sub("", text).strip()
    last = line.endswith(IS_LAST)
    line = line.removesuffix(IS_LAST) if last else line
    known = {
        f"{name}.{a.name}": (name, a)
        for name, columns in schema.columns.items()
        for a in columns.whole.attributes
    }
    named = []
    for word in sorted(known, key=len, reverse=True):
        if word in line.replace(f"`{word}`", ""):
            named.append(word)
            line = line.replace(f"`{word}`", word).replace(word, f"`{word}`")
    tables = {known[word][0] for word in named}
    deepest = next(
        (t for t in tables if tables <= {t, *ancestors(schema.tables, t)}),
        None,
    )
    if deepest is None:
        raise InvalidArgument(
            f"{text!r} names no row with rows above it",
            hint="write table.column, of one table and of those that it hangs on",
        )
    upward = [deepest, *ancestors(schema.tables, deepest)]
    attributes = [dump_attribute(known[word][1]) | {"name": word} for word in named]
    if last:
        if schema.tables[deepest].parent is None:
            raise InvalidArgument(
                f"{text!r}: rows of {deepest!r} have no parent whose last they could be"
            )
        alone = line.strip() in {f"`{word}`" for word in named}
        line = f"never {line} = true" if alone else f"never {line}"
    try:
        wide = parse_schema({"name": "across", "attributes": attributes, "rules": [line]})
    except InvalidSchema as err:
        raise InvalidArgument(f"{text!r}: {err.message}", hint=err.hint) from None
    return Across(text=text, tables=tuple(t for t in upward if t in tables), wide=wide, last=last)


def check_drawn(rule: Across, *, schema: SeveralTables) -> None:
    """Raise ValueError for a rule that drawn rows cannot be made to keep, by name."""
    if len(rule.tables) == 1 and not rule.last:
        raise ValueError(f"{rule.text!r} names one table alone; write it under that table's rules")
    if not isinstance(rule.rule, DRAWN):
        raise ValueError(
            f"{rule.text!r}: of several tables a rule may order, keep, never let or say what is "
            "null; work columns out within a table"
        )
    own = f"{rule.tables[0]}."
    if isinstance(rule.rule, Order):
        for pair in pairwise(rule.rule.terms):
            if not any(c.startswith(own) for term in pair for c in columns_of(term)):
                raise ValueError(
                    f"{rule.text!r} orders columns above {rule.tables[0]!r}, too; write that as a "
                    "rule of its own"
                )
    kinds = {a.name: a.kind for a in rule.wide.attributes}
    odd = next((n for n, k in kinds.items() if k in ("identifier", "generated", "text")), None)
    if odd is not None:
        raise ValueError(f"{rule.text!r}: {odd!r} is {kinds[odd]}, which no rule can hold to rows")
    deepest = rule.tables[0]
    table, columns = schema.tables[deepest], schema.columns[deepest]
    if rule.last and columns.gaps is None and swaps_rows(schema, deepest):
        raise ValueError(
            f"{rule.text!r}: a rule of {deepest!r} names its order {table.order!r}, so which row "
            "is last is not settled when it is drawn; declare gaps"
        )
    try:
        impossible_across(rule, schema=schema)
    except ValueError as err:
        raise ValueError(f"{rule.text!r}: {err}") from None


def bounding(rule: Across, column: str) -> list[tuple[Expression, str, bool]] | None:
    """Return what an order says of one column of the deepest table by what stands above alone.

    Each part is a term, the sign between, and whether the column stands before it. None where the
    rule says more of the column than that; empty where it says nothing of it.
    """
    own, mine = f"{rule.tables[0]}.", Column(f"{rule.tables[0]}.{column}")
    if mine.name not in columns_of(rule.rule):
        return []
    if rule.last or not isinstance(rule.rule, Order):
        return None
    terms, found = rule.rule.terms, []
    for sign, one, other in zip(rule.rule.signs, terms, terms[1:], strict=False):
        if mine.name not in (*columns_of(one), *columns_of(other)):
            continue
        beside = other if one == mine else one
        if mine not in (one, other) or any(c.startswith(own) for c in columns_of(beside)):
            return None
        found.append((beside, sign, one == mine))
    return found


def step_scales(schema: SeveralTables, name: str) -> dict[str, GapScale]:
    """Return the columns of a table whose steps orders bound by what stands above, and how."""
    columns = schema.columns[name]
    ruled = {c for r in columns.rows.ruled.rules for c in columns_of(r)}
    rules = [r for r in schema.across if r.tables[0] == name]
    found = {}
    for attribute in columns.rows.coded:
        if attribute.name in ruled or not any(bounding(r, attribute.name) for r in rules):
            continue
        step = getattr(attribute, "step", None) or 1
        with suppress(ValueError):
            found[attribute.name] = gap_scale(Gaps(edges=(0, int(step))), attribute)
    return found


def swaps_rows(schema: SeveralTables, name: str) -> bool:
    """Say whether a rule ties a table's order to more of a row than rows of a parent share.

    If so whole rows are put in order, and not the values of that column among them.
    """
    order = schema.tables[name].order
    if order is None:
        return False
    if any(order in columns_of(r) for r in schema.columns[name].rows.ruled.rules):
        return True
    return any(bounding(r, order) is None for r in schema.across if r.tables[0] == name)


def impossible_across(rule: Across, *, schema: SeveralTables) -> list[ImpossibleCells]:
    """Return the cells of codes that break a rule whatever the values in them are.

    Columns of the deepest table have their own names there, those above ``table: column``. What
    cannot be told by codes is in none: such rows are looked at one by one when they are drawn.

    Raises ValueError for a rule that leaves nothing.
    """
    found = []
    counted = _counted(rule, schema=schema)
    for part in _parts(rule.rule):
        if set(columns_of(part)) <= set(counted):
            own = [counted[n] for n in columns_of(part)]
            cells = broken_codes(part, counted=own, facts=rule.wide.ruled.facts)
            if cells is not None:
                clique, mask = cells
                names = tuple(_name_there(word, rule.tables) for word in clique)
                found.append(
                    ImpossibleCells(clique=names, mask=mask, declared=False, rule=rule.text)
                )
    return found


def _parts(rule: Rule) -> list[Rule]:
    """Return an order as what must never be of each two neighbours, other rules as they are."""
    if not isinstance(rule, Order):
        return [rule]
    turned = {"<=": ">", "<": ">="}
    pairs = zip(rule.terms, rule.signs, rule.terms[1:], strict=False)
    return [Never(Compare(low, turned[sign], high)) for low, sign, high in pairs]


def _counted(rule: Across, *, schema: SeveralTables) -> dict[str, Attribute]:
    """Return the rule's columns that are counted as they are, by the names that it writes."""
    found: dict[str, Attribute] = {}
    for name in rule.tables:
        for attribute in schema.columns[name].rows.coded:
            word = f"{name}.{attribute.name}"
            found[word] = attribute.model_copy(update={"name": word})
    return {w: a for w, a in found.items() if w in {b.name for b in rule.wide.attributes}}


def _name_there(word: str, tables: tuple[str, ...]) -> str:
    """Return what a view of the deepest table calls a column."""
    own = max((t for t in tables if word.startswith(f"{t}.")), key=len)
    column = word.removeprefix(f"{own}.")
    return column if own == tables[0] else f"{own}: {column}"


def with_last(cells: ImpossibleCells, *, name: str) -> ImpossibleCells:
    """Return cells that are impossible of all rows but the last, told by a column of two codes.

    Args: name: of that column, which is 1 of a last row.
    """
    mask = np.stack([cells.mask, np.zeros_like(cells.mask)])
    return ImpossibleCells(clique=(name, *cells.clique), mask=mask, declared=False, rule=cells.rule)
