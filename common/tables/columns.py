"""The columns of each table: as its file holds them, and as its rows are counted and drawn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from silosynth.common.document import describe_validation
from silosynth.common.rules import Like, Unique, columns_of
from silosynth.common.schema import (
    Attribute,
    CategoricalAttribute,
    KeyForm,
    Reference,
    Schema,
    Source,
    key_form,
    named_alike,
    names_keys,
    plain_key,
    says_no_form,
    schema_name,
)
from silosynth.common.tables.gaps import GapScale, gap_scale
from silosynth.common.tables.table import Link, Table, Within, ancestors, number_attribute


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """A table's columns, and what they are without those that only say which row is which.

    ``whole`` is the table as a file holds it. ``rows`` is what is counted and drawn of a row: no
    key, no column of the parent's, of a link that may be missing whether it is there, and how many
    rows each table below has. ``key`` is None where nothing names its rows, ``gaps``
    where they are not counted by how long after one another they come.
    """

    whole: Schema
    rows: Schema
    key: KeyForm | None
    gaps: GapScale | None = None


def columns_of_tables(
    tables: Mapping[str, Table], *, references: Mapping[str, Reference]
) -> dict[str, Columns]:
    """Return the columns of every table; raise ValueError, a line a fault, for what cannot be.

    Args: tables: one tree, as :func:`tree_faults` finds none of its faults.
    """
    first, faults = {}, []
    for name, table in tables.items():
        try:
            first[name] = _whole(name, table, references=references)
        except ValueError as err:
            faults.append(f"tables: {name}: {_one_line(err)}")
    if faults:
        raise ValueError("\n".join(faults))
    forms = {name: _key_of(tables[name], whole) for name, whole in first.items()}
    for name, table in tables.items():
        faults += [
            f"tables: {name}: {f}"
            for f in _faults(name, table, first[name], tables=tables, forms=forms)
        ]
        faults += [f"tables: {name}: {f}" for f in _public_faults(table, first[name], references)]
    if faults:
        raise ValueError("\n".join(faults))
    found = {}
    for name, table in tables.items():
        whole = _alike(first[name], table, tables=tables, forms=forms)
        try:
            rows = _rows(name, table, whole, tables=tables)
            gaps = _gaps(table, rows)
        except ValueError as err:
            raise ValueError(f"tables: {name}: {_one_line(err)}") from err
        found[name] = Columns(whole=whole, rows=rows, key=forms[name], gaps=gaps)
    return found


def _one_line(err: ValueError) -> str:
    if isinstance(err, ValidationError):
        return describe_validation(err, {})
    return str(err)


def _whole(name: str, table: Table, *, references: Mapping[str, Reference]) -> Schema:
    """Return a table with the columns that it does not describe, links in plain numbers yet."""
    listed = {a.name for a in table.attributes}
    front: list[Attribute] = [
        plain_key(c) for c in (table.key, table.by) if c is not None and c not in listed
    ]
    linked = [
        _public_link(c, references[link.to]) if link.to in references else plain_key(c)
        for c, link in table.links.items()
        if c not in listed
    ]
    return Schema(
        name=schema_name(name),
        description=table.description,
        attributes=(*front, *linked, *table.attributes),
        structural_zeros=table.structural_zeros,
        rules=table.rules,
        references=dict(references) if table.rules else {},
        csv=table.csv,
    )


def _public_link(name: str, reference: Reference) -> Attribute:
    """Return a column that names a row of a public table: its keys are all there are."""
    keys = reference.columns[reference.key] if reference.key else ("?",)
    listed = tuple(k if type(k) is int else str(k) for k in keys if k is not None)
    return CategoricalAttribute(name=name, categories=listed, other=False, source=Source.PUBLIC)


def _key_of(table: Table, whole: Schema) -> KeyForm | None:
    key = next((a for a in whole.attributes if a.name == table.key), None)
    return None if key is None else key_form(key, whole.ruled)


def _faults(
    name: str,
    table: Table,
    whole: Schema,
    *,
    tables: Mapping[str, Table],
    forms: Mapping[str, KeyForm | None],
) -> list[str]:
    """Return what is wrong with a table's key, its order and its links to tables."""
    known = {a.name: a for a in whole.attributes}
    found = _same_but_for_case(known)
    if table.key is not None and (form := forms[name]) is None:
        kind = known[table.key].kind
        found.append(f"key {table.key!r} is {kind}; make it an identifier or a pattern")
    elif table.key is not None and form is not None and form.missing:
        found.append(f"key {table.key!r} may be missing; a key is in every row")
    if table.order is not None and not (
        table.order in known and known[table.order].rising and known[table.order].modelled
    ):
        found.append(f"order {table.order!r} is no column of numbers, times or ranks")
    if table.parent is not None and table.by is not None:
        found += _named(table.by, known, table.parent, forms[table.parent], whole)
    for column, link in table.links.items():
        if link.to in tables:
            found += _named(column, known, link.to, forms[link.to], whole)
            found += _reach(name, column, link, known[column], tables=tables)
    return found


def _same_but_for_case(names: Iterable[str]) -> list[str]:
    """Return which columns one database takes for another: it joins tables, and tells no case."""
    first: dict[str, str] = {}
    found = []
    for name in names:
        alike = first.setdefault(name.encode().lower().decode(), name)
        if alike != name:
            found.append(
                f"columns {alike!r} and {name!r} differ in case alone, which what joins tables "
                "does not tell apart; rename one"
            )
    return found


def _named(
    column: str,
    known: Mapping[str, Attribute],
    target: str,
    form: KeyForm | None,
    whole: Schema,
) -> list[str]:
    """Return what keeps a column from naming the keys of a table."""
    if form is None:
        return [f"{column!r} names rows of {target!r}, which has no key"]
    attribute = known[column]
    if not names_keys(attribute):
        return [f"{column!r} is {attribute.kind}; what names rows of {target!r} is an identifier"]
    own = key_form(attribute, whole.ruled)
    if own is None or says_no_form(attribute, whole.ruled) or own.facts == form.facts:
        return []
    return [
        f"{column!r} is {own.describe()}, and the key of {target!r} is {form.describe()}; "
        "write them alike, or leave the column out of the attributes"
    ]


def _reach(
    name: str, column: str, link: Link, attribute: Attribute, *, tables: Mapping[str, Table]
) -> list[str]:
    """Return why a link could find nobody to name."""
    if getattr(attribute, "missing", False):
        return []
    declare = f"declare {column!r} as an identifier with missing: true"
    if link.to == name:
        return [f"link {column!r} to its own table begins with nobody to name; {declare}"]
    if link.within is Within.PERSON and link.to not in ancestors(tables, name):
        return [f"link {column!r} may find no row of its person in {link.to!r}; {declare}"]
    return []


def _public_faults(table: Table, whole: Schema, references: Mapping[str, Reference]) -> list[str]:
    """Return what keeps links from naming rows of public tables."""
    found = []
    known = {a.name: a for a in whole.attributes}
    for column, link in table.links.items():
        reference = references.get(link.to)
        if reference is None:
            continue
        attribute = known[column]
        keys = {str(k) for k in reference.columns[reference.key]} if reference.key else set()
        if not keys:
            found.append(f"link {column!r}: reference {link.to!r} has no key; declare one")
        elif link.within is Within.PERSON:
            found.append(f"link {column!r}: {link.to!r} is public, so within says nothing")
        elif not (listed := getattr(attribute, "categories", ())):
            found.append(f"link {column!r} is {attribute.kind}; list its values to look them up")
        elif lacking := sorted({str(c) for c in listed} - keys):
            found.append(
                f"link {column!r}: reference {link.to!r} lacks key {lacking[0]!r}, a value of it"
            )
    return found


def _alike(
    whole: Schema,
    table: Table,
    *,
    tables: Mapping[str, Table],
    forms: Mapping[str, KeyForm | None],
) -> Schema:
    """Return a table whose columns that name keys are written as those keys."""
    named = {c: link.to for c, link in table.links.items() if link.to in tables}
    if table.parent is not None and table.by is not None:
        named[table.by] = table.parent
    changed: dict[str, Attribute] = {}
    for attribute in whole.attributes:
        form = forms[named[attribute.name]] if attribute.name in named else None
        if form is not None and says_no_form(attribute, whole.ruled):
            changed[attribute.name] = named_alike(attribute, form)
    return whole.spelled_as(changed) if changed else whole


def _rows(name: str, table: Table, whole: Schema, *, tables: Mapping[str, Table]) -> Schema:
    """Return what is counted and drawn of a row."""
    missing = {a.name for a in whole.attributes if getattr(a, "missing", False)}
    links = {c for c, link in table.links.items() if link.to in tables}
    dropped = {c for c in (table.key, table.by) if c is not None} | (links - missing)
    numbers = [
        number_attribute(child, t.children)
        for child, t in tables.items()
        if t.parent == name and t.children is not None
    ]
    clash = next((n.name for n in numbers if n.name in {a.name for a in whole.attributes}), None)
    if clash is not None:
        raise ValueError(f"column {clash!r} has the name that its own count is given; rename it")
    kept = []
    for line, rule in zip(whole.rules, whole.ruled.rules, strict=True):
        named = set(columns_of(rule))
        if isinstance(rule, Like | Unique) and named & (dropped | links):
            continue
        if named & dropped:
            raise ValueError(f"rule {line!r} names a key; only 'like' and 'unique' may")
        kept.append(line)
    attributes = (*(a for a in whole.attributes if a.name not in dropped), *numbers)
    return Schema(
        name=whole.name,
        attributes=attributes or (plain_key(table.key or table.by or "row"),),
        structural_zeros=whole.structural_zeros,
        rules=tuple(kept),
        references=whole.references if kept else {},
        csv=whole.csv,
    )


def _gaps(table: Table, rows: Schema) -> GapScale | None:
    """Return how long after one another rows come, of a table that says so."""
    if table.gaps is None or (table.children or (1,))[-1] < 2:
        return None
    column = next((a for a in rows.coded if a.name == table.order), None)
    if column is None:
        raise ValueError(
            f"gaps: a rule has order {table.order!r} follow from other columns; leave gaps or the "
            "rule out"
        )
    return gap_scale(table.gaps, column)
