"""Draft a schema of several tables from files beside one another, for their operator to correct.

All of it is read off private data: attributes are ``unreviewed``, and so are, a line each, which
table is the persons', what hangs on what, how many rows a parent has, and what is public.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from silosynth.client.csv import sniff_dialect
from silosynth.client.drafting.draft import Draft, draft_schema
from silosynth.client.drafting.links import Found, FoundLink, Known, find_key, find_links
from silosynth.client.source import is_text_file, read_untyped, table_name, tables_in
from silosynth.common.codec import flatten, key_form_of, stored_name, summarise
from silosynth.common.errors import InvalidTable
from silosynth.common.schema import Resolution, dump_attribute, read_references
from silosynth.common.tables import (
    TablesSchema,
    below,
    choose_parents,
    dump_tables,
    parse_tables,
    table_like,
)

_PEOPLE = re.compile(
    r"person|patient|subject|user|customer|client|member|participant|student|employee|respondent"
    r"|insured|visitor|account|holder|people|citizen|resident|household",
    re.IGNORECASE,
)
_ORDER = re.compile(r"start|begin|admit|admission|open|date|time|from|day|seq|order|_nr$", re.I)
_EDGES = (0, 1, 2, 3, 4, 6, 10, 20, 40, 80, 160, 320, 640, 1280, 5000, 20_000)
_MOST_EDGE = 65_535
_DAYS = (0, 1, 8, 31, 91, 366, 3_650)
_HOURS = (0, 1, 6, 24, 168, 744, 8_784)
"""Public round figures: a day, a week, a month, a quarter, a year and ten of them."""
Line = tuple[str, str]
"""What is to be reviewed, and why it was taken for true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesDraft:
    """A schema of tables that nobody has reviewed, and what its reviewer should look at."""

    schema: TablesSchema
    notes: tuple[str, ...]
    reasons: tuple[str, ...]
    whys: tuple[str, ...]

    def text(self) -> str:
        """Return the schema as YAML, with the reason for each attribute and line above it."""
        lines, reasons, whys = [], iter(self.reasons), iter(self.whys)
        for line in dump_tables(self.schema, rows=False).splitlines():
            if line.startswith("    - name:"):
                lines.append(f"    # {next(reasons)}")
            if line.startswith("- "):
                lines.append(f"# {next(whys)}")
            lines.append(line)
        return "\n".join(lines) + "\n"


def draft_tables(folder: Path, *, name: str, beside: Path) -> TablesDraft:
    """Guess a schema from the files of a folder, a table each; everything is ``unreviewed``.

    Args: beside: the folder that the schema is to lie in, from where it names public files.

    Raises InvalidTable for a folder without two tables, and where no table is the persons'.
    """
    paths = tables_in(folder)
    if len(paths) < 2:
        raise InvalidTable(f"{folder} holds fewer than two tables", hint="name a file instead")
    named = {table_like(table_name(p)): p for p in paths}
    if len(named) < len(paths):
        raise InvalidTable(f"two files of {folder} have one name but for their ending")
    drafts = {n: draft_schema(p, name=n) for n, p in named.items()}
    files = [_found(n, p, drafts[n]) for n, p in named.items()]
    keys = {f.name: key for f in files if (key := find_key(f)) is not None}
    links = find_links(files, keys)
    person = _person(files, keys, links)
    parents = choose_parents(links, person=person)
    tree = {person, *parents}
    public = [
        n
        for n, path in named.items()
        if n not in tree
        and path.suffix.lower() == ".csv"
        and any(link.to == n and link.table in tree for link in links)
    ]
    naming = {f"{link.table}: {link.column}: " for link in links}
    naming |= {f"{n}: {key}: " for n, key in keys.items()}
    notes = [f"{n}: {line}" for n in named if n in tree for line in drafts[n].notes[1:]]
    notes = [n for n in notes if not n.startswith(tuple(naming))]
    notes += [
        f"{n}: hangs on no other table and is left out" for n in named if n not in tree | {*public}
    ]
    notes += [
        f"{link.table}.{link.column}: {1 - link.share:.1%} of its rows name no row of {link.to!r}"
        for link in links
        if link.share < 1 and link.table in tree
    ]
    by_name = {f.name: f for f in files}
    known = Known(files=by_name, keys=keys, parents=parents, person=person)
    tables, reasons, lines = {}, [], [_told_person(person, links)]
    for table in [n for n in named if n in tree]:
        own = [link for link in links if link.table == table and link.to in {*tree, *public}]
        document, why, said = _table(
            by_name[table], drafts[table], known, own, parent=parents.get(table)
        )
        tables[table] = document
        reasons += why
        lines += said
    references = {n: _reference(named[n], keys[n], beside=beside) for n in public}
    read = read_references({"references": references}, folder=beside)["references"]
    lines += [
        (
            f"{n} is public: everybody may read it, and it holds nobody",
            "tables name its rows, and it names nobody's; public it is only if anybody may have it",
        )
        for n in public
    ]
    schema = parse_tables(
        {
            "name": name,
            "person": person,
            "unreviewed": [line for line, _ in lines],
            "tables": tables,
            "references": read,
        },
        origin="draft",
    )
    return TablesDraft(
        schema=schema,
        notes=(drafts[person].notes[0], *notes),
        reasons=tuple(reasons),
        whys=tuple(why for _, why in lines),
    )


def _found(name: str, path: Path, draft: Draft) -> Found:
    dialect = sniff_dialect(path) if is_text_file(path) else None
    kinds = {a.name: a.kind for a in draft.schema.attributes}
    table = read_untyped(path, dialect=dialect)
    return Found(name=name, text=dialect, table=table, kinds=kinds)


def _person(files: Sequence[Found], keys: Mapping[str, str], links: Sequence[FoundLink]) -> str:
    """Return the table that others hang on: one called like people, else with most rows below."""
    hanging = {link.table for link in links if link.to != link.table}
    roots = [n for n in keys if n not in hanging] or list(keys)
    rows = {f.name: f.table.num_rows for f in files}
    under = {n: below(n, links) for n in roots}
    held = [n for n in roots if under[n]]
    if not held:
        raise InvalidTable("no table names rows of another", hint="draft each file by itself")
    return max(
        held, key=lambda n: (bool(_PEOPLE.search(n)), rows[n], sum(rows[b] for b in under[n]))
    )


def _told_person(person: str, links: Sequence[FoundLink]) -> Line:
    """Say which table holds the persons, and why it was taken for them."""
    rest = len(below(person, links))
    other = "table hangs" if rest == 1 else "tables hang"
    called = "it is called like people, and " if _PEOPLE.search(person) else ""
    return f"{person} is the table of persons", f"{called}{rest} other {other} on it"


def _table(
    file: Found,
    draft: Draft,
    known: Known,
    links: Sequence[FoundLink],
    *,
    parent: FoundLink | None,
) -> tuple[dict[str, Any], list[str], list[Line]]:
    """Return a table as plain data, the reason for each attribute, and what is to be reviewed."""
    document: dict[str, Any] = {}
    said: list[Line] = []
    if (key := known.keys.get(file.name)) is not None:
        document["key"] = key
        said.append((f"{file.name}.{key} is the key", "no two rows have the same in it"))
    linked = {link.column: link for link in links if link != parent}
    if parent is not None:
        edges = _edges(file, parent, known.files[parent.to], known.keys[parent.to])
        document |= {"parent": parent.to, "by": parent.column, "children": edges}
        said.append((f"{file.name} belongs to {parent.to} by {parent.column}", parent.why))
        said.append(
            (
                f"a row of {parent.to} has {edges[0]} to {edges[-1]} of {file.name}",
                "the fewest and the most that were found; put what everybody knows in their place",
            )
        )
        if (order := _order(draft)) is not None:
            document["order"] = order
            said.append(
                (
                    f"{file.name} of one {parent.to} follow one another by {order}",
                    "of its columns of times, the first that is called like a beginning, or else "
                    "the first",
                )
            )
            if edges[-1] > 1 and (gaps := _gaps(draft, order)) is not None:
                document["gaps"] = gaps
                said.append(
                    (
                        f"{file.name} come {_told_gaps(gaps)} after one another",
                        "round figures: put in what tells apart what you want to, the last the "
                        "longest there is, or take gaps away",
                    )
                )
    if linked:
        document["links"] = {c: known.link(link) for c, link in linked.items()}
        said += [(f"{file.name}.{c} names rows of {k.to}", k.why) for c, k in linked.items()]
    attributes, reasons = [], []
    for attribute in draft.schema.attributes:
        plain = dump_attribute(attribute)
        if parent is not None and attribute.name == parent.column:
            # It says nothing of its own; it is listed so that columns keep their order.
            attributes.append({"name": attribute.name, "kind": "identifier", "source": "declared"})
            reasons.append(f"written as the keys of {parent.to}, which it names")
            continue
        if attribute.name == key and attribute.kind not in ("identifier", "generated"):
            plain = _key(plain, file)
        elif (link := linked.get(attribute.name)) is not None:
            plain = _linked(plain, link, known)
        attributes.append(plain)
        reasons.append(draft.reasons[attribute.name])
    document["attributes"] = attributes
    if file.text is not None:
        document["csv"] = file.text.model_dump(exclude_defaults=True)
    return document, reasons, said


def _key(plain: Mapping[str, Any], file: Found) -> dict[str, Any]:
    """Return a key that was drafted as another kind, in the form of its values."""
    kept = {k: v for k, v in plain.items() if k in ("name", "stored", "source")}
    column = flatten(file.table[plain["name"]])
    form = key_form_of(summarise(plain["name"], column, stored=column.type))
    # Another kind has types of its own, which it need not name.
    named = {} if file.text is not None else {"stored": stored_name(column.type)}
    return {**named, **kept, "kind": "identifier", **form}


def _linked(plain: Mapping[str, Any], link: FoundLink, known: Known) -> dict[str, Any]:
    """Return a link's column; that of a public table lists its keys."""
    head = {"name": link.column, "source": plain["source"]}
    if link.to in known.tree:
        missing = {"missing": True} if link.missing or known.may_lack(link) else {}
        return {**head, "kind": "identifier", **missing}
    keys = pc.unique(known.files[link.to].texts(known.keys[link.to])).to_pylist()
    listed = {"kind": "categorical", "categories": sorted(keys), "other": False}
    if not link.missing:
        return {**head, **listed, "source": "public"}
    return {**head, **listed, "missing": True}


def _edges(file: Found, link: FoundLink, above: Found, key: str) -> list[int]:
    """Return edges of how many rows a parent has, the last one rounded up to two digits."""
    counts = pc.value_counts(file.texts(link.column).drop_null())
    there = pc.is_in(counts.field("values"), above.texts(key))
    numbers = counts.field("counts").filter(there)
    most = int(pc.max(numbers).as_py())
    digits = max(len(str(most)) - 2, 0)
    most = min(-(-most // 10**digits) * 10**digits, _MOST_EDGE)
    least = 0 if len(numbers) < above.table.num_rows else int(pc.min(numbers).as_py())
    inner = [e for e in _EDGES if least < e < most]
    return [least, *inner, most] if most > least else [most]


def _order(draft: Draft) -> str | None:
    """Return the column by which rows follow one another: the first of times called like it."""
    rising = [a for a in draft.schema.attributes if a.rising and a.modelled]
    times = [a.name for a in rising if a.kind == "datetime"]
    called = [n for n in times if _ORDER.search(n)]
    return next(iter([*called, *times]), None)


def _gaps(draft: Draft, order: str) -> dict[str, Any] | None:
    """Return round edges of how long after one another rows come; None where nothing says so."""
    (column,) = (a for a in draft.schema.attributes if a.name == order)
    resolution = getattr(column, "resolution", None)
    if column.kind != "datetime" or resolution in (Resolution.YEAR, Resolution.MONTH):
        return None
    whole = resolution is Resolution.DAY
    return {"edges": list(_DAYS if whole else _HOURS), "unit": "days" if whole else "hours"}


def _told_gaps(gaps: Mapping[str, Any]) -> str:
    edges = ", ".join(map(str, gaps["edges"][:-1]))
    return f"{edges} to {gaps['edges'][-1]} {gaps['unit']}"


def _reference(path: Path, key: str, *, beside: Path) -> dict[str, Any]:
    """Return a public table by its file and the digest of it."""
    file = os.path.relpath(path.resolve(), beside.resolve())
    return {"key": key, "file": file, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
