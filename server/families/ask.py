"""Which questions go into which phase, and how the budget is split: from the schema alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from statistics import median_low

from silosynth.common.domain import Clique
from silosynth.common.families import (
    FIRST,
    PLACE,
    PREVIOUS,
    SAME,
    SECOND,
    Phase,
    Question,
    above_link,
    first_of,
    has_later,
    later_link,
    later_of,
    single_views,
)
from silosynth.common.tables import TablesSchema, ancestors, number_name

FEW_SCALES, MANY_SCALES = (2, 2), (3, 1)
"""Of a later row's own attributes, on which all pairs lean, and of each beside the rows before it.

Where persons have few rows, few have others before them, and noise hides those first; where they
have many, what each row is by itself adds up from row to row.
"""
PERSONS_SHARE, FEW_SHARE, NORMS_SHARE = Fraction(1, 10), Fraction(1, 5), Fraction(1, 100)
"""Of persons, of persons where each has many rows, and of how long their counts are.

Persons are then few beside their rows, and are what noise hides first.
"""
MANY_ROWS = 10
LEAST_FIRST, MOST_FIRST = Fraction(1, 10), Fraction(1, 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the three phases ask: persons and first rows plainly, all other rows weighed.

    ``later`` has no weighing: how long persons are is not known yet.
    """

    persons: Phase
    first: Phase
    later: Phase


def ask_families(schema: TablesSchema, *, left_out: Collection[str] = ()) -> Asked:
    """Return what is asked of families.

    Args: left_out: links that are not modelled, by :func:`link_names`.
    """
    single = single_views(schema)
    plain: list[Question] = []
    weighed: list[Question] = []
    for name in schema.downward[1:]:
        later = (later_of(name),) if has_later(schema, name) else ()
        for view in (first_of(name), *later):
            for clique in view_cliques(schema, name, view=view, left_out=left_out):
                scale = 1 if view in single else _scale(schema, clique)
                question = Question(view=view, clique=clique, scale=scale)
                (plain if view in single else weighed).append(question)
    own = _telling(schema, schema.person)
    persons = [Question(view=schema.person, clique=c) for c in _own_cliques(own)]
    return Asked(
        persons=Phase(plain=tuple(persons), weighed=tuple(weighed)),
        first=Phase(plain=tuple(plain)),
        later=Phase(weighed=tuple(weighed)),
    )


def _scale(schema: TablesSchema, clique: Clique) -> int:
    own, before = MANY_SCALES if _usual(schema) > MANY_ROWS else FEW_SCALES
    if len(clique) == 1:
        return own
    return before if clique[0].startswith((PREVIOUS, SECOND, FIRST)) else 1


def view_cliques(
    schema: TablesSchema, name: str, *, view: str, left_out: Collection[str] = ()
) -> Iterator[Clique]:
    """Yield what is asked of a view of a table: one-ways and pairs, and what stands above each.

    Of a later row of a table with gaps the order column follows from its gap: it is asked with the
    row's other columns, for what changes as time goes on, and the gap with all else.
    """
    own = _telling(schema, name)
    yield from _own_cliques(own)
    gaps = schema.columns[name].gaps if view == later_of(name) else None
    timed: Clique = ()
    if gaps is not None:
        own = tuple(a for a in own if a != gaps.column)
        timed = (gaps.name,) if gaps.codes > 1 else ()
        yield from ((a,) for a in timed)
        yield from ((a, b) for a in timed for b in own)
    above = tuple(_above(schema, name, left_out=left_out))
    yield from ((a, b) for a in above for b in (*timed, *own))
    if view == later_of(name) and later_link(name) not in left_out:
        longest = schema.tables[name].children[-1]  # type: ignore[index]  # a table below has some
        if gaps is not None and timed:
            if gaps.size > 1:
                yield (f"{PREVIOUS}{gaps.column}", gaps.name)
            if longest > 2:
                yield (f"{PREVIOUS}{gaps.name}", gaps.name)
        yield from ((f"{PREVIOUS}{a}", a) for a in own)
        yield from ((PLACE, a) for a in (*timed, *own))
        number = f"{schema.tables[name].parent}: {number_name(name)}"
        yield from ((number, f"{SAME}{a}") for a in own)
        for row, least in ((SECOND, 3), (FIRST, 4)):
            if longest >= least:
                yield from ((f"{row}{a}", a) for a in own)


def _telling(schema: TablesSchema, name: str) -> Clique:
    """Return the attributes of a table's rows that have several codes; all where none has.

    A column that only orders rows may be declared with one bin: then nothing is asked of it.
    """
    domain = schema.columns[name].rows.domain
    return tuple(a for a in domain.attributes if domain.size((a,)) > 1) or domain.attributes


def _own_cliques(own: Clique) -> Iterator[Clique]:
    yield from ((a,) for a in own)
    yield from combinations(own, 2)


def _above(schema: TablesSchema, name: str, *, left_out: Collection[str]) -> Iterator[str]:
    """Yield the columns above that a row is asked with: of all tables, and how many rows there are.

    What a row has of its parent does not say what it has of the row above that: a visit of a
    person's kind may have drugs of none. The number of a person's rows decides what its rows
    weigh, so it stands in every law of a row.
    """
    tables = ancestors(schema.tables, name)
    path = [name, *tables]
    for below, table in zip(path, tables, strict=False):
        linked = above_link(name, table) not in left_out
        for attribute in _telling(schema, table):
            if linked or attribute == number_name(below):
                yield f"{table}: {attribute}"


def rho_shares(schema: TablesSchema) -> dict[str, Fraction]:
    """Return the share of rho of ``persons``, ``norms``, ``first`` and ``later``; they add up to 1.

    First rows get less where a parent has many rows. How many is the schema's to tell, before any
    is counted: edges are declared narrow where numbers are common, so the middle one is taken.
    """
    asked = ask_families(schema)
    norms = NORMS_SHARE if asked.later.weighed else Fraction(0)
    below = asked.first.plain or asked.later.weighed
    share = FEW_SHARE if _usual(schema) > MANY_ROWS else PERSONS_SHARE
    persons = share if below else Fraction(1)
    rest, first = 1 - persons - norms, _first_share(schema, asked)
    return {
        "persons": persons,
        "norms": norms,
        "first": rest * first,
        "later": rest * (1 - first),
    }


def _first_share(schema: TablesSchema, asked: Asked) -> Fraction:
    """Return the part of what rows below persons get that goes to first rows."""
    if not asked.later.weighed:
        return Fraction(1)
    if not asked.first.plain:
        return Fraction(0)
    return min(max(Fraction(1, _usual(schema)), LEAST_FIRST), MOST_FIRST)


def _usual(schema: TablesSchema) -> int:
    """Return how many rows a person usually has, as the schema's edges tell it; 1 at least."""
    direct = schema.below(schema.person).values()
    return max((median_low(t.children) for t in direct if t.children), default=1) or 1
