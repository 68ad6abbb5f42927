"""One table of several: its key, the table above it, its links, and what may be wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from silosynth.common.schema import (
    Attribute,
    BooleanAttribute,
    CsvDialect,
    Edges,
    EqualWidth,
    IntegerAttribute,
    PlainModel,
    Schema,
    Source,
    StructuralZeros,
)
from silosynth.common.tables.gaps import Gaps, spelled_out

MOST_CHILDREN = 65_535
ColumnName = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f]+$")]


class Within(StrEnum):
    """Whose rows a link may name."""

    ANYONE = "anyone"
    PERSON = "person"


class Link(PlainModel):
    """A column that names a row of another table, or of its own, beside the one above it."""

    to: str = Field(description="a table, or a public table of references")
    within: Within = Field(
        default=Within.ANYONE, description="person: only rows of the same person are named"
    )


def _spelled_out(value: object) -> object:
    """Take the name of a table for a link to it."""
    return {"to": value} if isinstance(value, str) else value


class Table(PlainModel):
    """One table: the person's own, or one whose rows each belong to a row of ``parent``.

    ``children`` are rising edges of how many rows a parent has: bins begin at each, the last edge
    is the most there may be, and a last step of one makes it a bin of its own.
    """

    description: str | None = Field(default=None, max_length=2000)
    key: ColumnName | None = Field(default=None, description="the column that tells rows apart")
    parent: str | None = Field(default=None, description="the table that its rows belong to")
    by: ColumnName | None = Field(default=None, description="its column with the parent's key")
    order: ColumnName | None = Field(
        default=None, description="the column by which the rows of a parent come one after another"
    )
    gaps: Annotated[Gaps, BeforeValidator(spelled_out)] | None = Field(
        default=None,
        description="rising edges of how long after the row before it a row of a parent comes, in "
        "units of the order column",
    )
    children: tuple[int, ...] | None = Field(
        default=None, max_length=256, description="rising edges of the rows that a parent has"
    )
    links: dict[ColumnName, Annotated[Link, BeforeValidator(_spelled_out)]] = Field(
        default={}, max_length=64, description="columns that name rows of other tables"
    )
    attributes: tuple[Attribute, ...] = Field(default=(), max_length=4096)
    structural_zeros: tuple[StructuralZeros, ...] = Field(default=(), max_length=256)
    rules: tuple[str, ...] = Field(default=(), max_length=256)
    csv: CsvDialect | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        said = [f for f in ("parent", "by", "children") if getattr(self, f) is not None]
        if said and len(said) < 3:
            lacking = next(f for f in ("parent", "by", "children") if f not in said)
            raise ValueError(f"{said[0]} is given, so {lacking} is needed too")
        if self.order is not None and self.parent is None:
            raise ValueError("order says how the rows of a parent follow; there is no parent")
        if self.gaps is not None and self.order is None:
            raise ValueError("gaps are those of the order column; say which it is under order")
        if self.children is not None:
            _check_children(self.children)
        keys = [c for c in (self.key, self.by, *self.links) if c is not None]
        twice = next((c for c in keys if keys.count(c) > 1), None)
        if twice is not None:
            raise ValueError(f"column {twice!r} is two of key, by and links; it can be one alone")
        if len({a.name for a in self.attributes} | set(keys)) == 0:
            raise ValueError("has neither a key nor attributes")
        return self


def _check_children(edges: tuple[int, ...]) -> None:
    if not edges or any(a >= b for a, b in pairwise(edges)):
        raise ValueError("children must rise, as [0, 1, 2, 4, 10]")
    if edges[0] < 0 or not 1 <= edges[-1] <= MOST_CHILDREN:
        raise ValueError(f"children must lie between 0 and {MOST_CHILDREN:,}, the last above 0")


def number_name(child: str) -> str:
    """Return the name of the parent's attribute that says how many rows of ``child`` it has."""
    return f"number of {child}"


def number_attribute(child: str, edges: tuple[int, ...]) -> IntegerAttribute:
    """Return how many rows of a table a parent has, as an attribute of the parent.

    A number beyond the last edge is put there, one below the first edge there.

    >>> number_attribute("visits", (0, 1, 2, 4, 10)).edges()
    (0, 1.0, 2.0, 4.0, 11)
    """
    low, most = edges[0], edges[-1]
    inner = edges[1:] if len(edges) > 1 and most - edges[-2] == 1 else edges[1:-1]
    bins = Edges(edges=inner) if inner else EqualWidth(count=1)
    return IntegerAttribute(
        name=number_name(child),
        minimum=low,
        maximum=most,
        bins=bins,
        source=Source.DECLARED,
        stored="int64",
    )


def with_source(data: Any, source: object) -> Any:
    """Return a table's document whose attributes have a source, where they state none."""
    if not isinstance(data, Mapping):
        return data
    own = data.get("source", source)
    rest = {k: v for k, v in data.items() if k != "source"}
    attributes = rest.get("attributes")
    if own is not None and isinstance(attributes, list | tuple):
        rest["attributes"] = [
            {"source": own, **a} if isinstance(a, Mapping) else a for a in attributes
        ]
    return rest


def drawable(rows: Schema) -> Schema:
    """Return what is drawn of a row: a coin, which no file has, where nothing is to choose."""
    if rows.coded:
        return rows
    names = {a.name for a in rows.attributes}
    coin = next(n for n in (f"coin {i}" for i in range(len(names) + 1)) if n not in names)
    return rows.model_copy(update={"attributes": (*rows.attributes, BooleanAttribute(name=coin))})


_DEEPEST = 8


def tree_faults(
    tables: Mapping[str, Table], *, person: str, references: Collection[str]
) -> Iterator[str]:
    """Yield what keeps the tables from being one tree below the person's, nothing if they are."""
    if person not in tables:
        yield f"person: {person!r} is no table; declared: {', '.join(tables)}"
        return
    if tables[person].parent is not None:
        yield f"tables: {person}: holds the persons, so it has no parent"
    yield from (
        f"tables: {name}: is a public table of references too; give one of them another name"
        for name in tables
        if name in references
    )
    for name, table in tables.items():
        if table.parent == name:
            yield (
                f"tables: {name}: is its own parent, so one person could have everybody below it "
                "and there is no finite unit; name the column under links"
            )
        elif table.parent is not None and table.parent not in tables:
            yield _no_parent(name, table.parent, references)
    yield from _circles(tables)
    yield from _roots(tables, person=person)
    for name, table in tables.items():
        if (above := tables.get(table.parent or "")) is not None and above.key is None:
            yield f"tables: {table.parent}: has no key, which {name!r} names in {table.by!r}"
        if len(ancestors(tables, name)) > _DEEPEST:
            yield f"tables: {name}: lies more than {_DEEPEST} tables below the person"


def ancestors(tables: Mapping[str, Table], name: str) -> list[str]:
    """Return the tables above one, nearest first; those of a circle once."""
    found: list[str] = []
    above = tables[name].parent
    while above is not None and above in tables and above not in found:
        found.append(above)
        above = tables[above].parent
    return found


def _no_parent(name: str, parent: str, references: Collection[str]) -> str:
    if parent in references:
        return (
            f"tables: {name}: parent {parent!r} is a public table; name the column under links, "
            "and make the table of the person whom the row belongs to its parent"
        )
    return f"tables: {name}: parent {parent!r} is no table"


def _circles(tables: Mapping[str, Table]) -> Iterator[str]:
    told: set[str] = set()
    for name in tables:
        above = ancestors(tables, name)
        if name in above and name not in told and tables[name].parent != name:
            ring = above[: above.index(name) + 1]
            told |= set(ring)
            yield f"tables: {', '.join(repr(r) for r in ring)} are parents in a circle"


def _roots(tables: Mapping[str, Table], *, person: str) -> Iterator[str]:
    """Yield the other tables without a parent: what they hold is told only if it is public."""
    for name, table in tables.items():
        if table.parent is not None or name == person:
            continue
        below = [n for n in tables if n == name or name in ancestors(tables, n)]
        meets = next(
            (n for n in tables if any(link.to in below for link in tables[n].links.values())), None
        )
        where = f" and meets {person!r} in {meets!r}" if meets and meets not in below else ""
        yield (
            f"tables: {name}: has no parent{where}; if it holds people too, one person's rows "
            "would be another's: give it a parent, or make it a public table of references"
        )
