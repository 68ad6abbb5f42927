"""What an import yields: a schema document, and what the other description did not say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from silosynth.common.codec import KINDS
from silosynth.common.document import dump_document
from silosynth.common.errors import InvalidSchema
from silosynth.common.importers.settled import plain_bounds, settled
from silosynth.common.schema import Schema, Source, parse_schema

_GAP = re.compile(r"^(\s+(?:minimum|maximum|categories): null)$", re.MULTILINE)
_NAME = re.compile(r"[^\x00-\x1f]{1,512}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedAttribute:
    """One attribute as plain data; facts that nobody declared are null."""

    document: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the attribute's name."""
        return str(self.document["name"])

    @property
    def gaps(self) -> tuple[str, ...]:
        """Return the facts that a person must still declare."""
        return tuple(key for key, value in self.document.items() if value is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedSchema:
    """A schema document, perhaps with gaps; ``missing_facts`` names each of them."""

    document: Mapping[str, Any]
    notes: tuple[str, ...]
    missing_facts: tuple[str, ...]

    def schema(self) -> Schema:
        """Return the schema; raise InvalidSchema naming what is still to be declared."""
        if self.missing_facts:
            named = "; ".join(self.missing_facts[:5])
            more = f"; and {len(self.missing_facts) - 5} more" if self.missing_facts[5:] else ""
            raise InvalidSchema(f"imported schema: {named}{more}", hint="write them in")
        return parse_schema(self.document, origin="imported schema")

    def text(self) -> str:
        """Return the document as YAML, each gap marked by a comment."""
        return _GAP.sub(r"\1  # declare this, then set source", dump_document(self.document))


def describe_attribute(
    name: object,
    kind: str,
    *,
    facts: Mapping[str, Any] | None = None,
    source: Source = Source.DECLARED,
    notes: Iterable[str] = (),
) -> ImportedAttribute:
    """Build one attribute; a fact that its kind needs and ``facts`` lacks becomes a gap.

    An attribute with a gap is ``unreviewed`` until a person fills it in. A column of text that
    nothing learns stays in the table, empty.
    """
    given = {key: value for key, value in (facts or {}).items() if value is not None}
    given = plain_bounds(kind, given)
    given |= {"blank": True} if kind == "text" else {}
    needed = {key: given.pop(key, None) for key in KINDS[kind].needs}
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidSchema(
            f"a column is called {str(name)[:40]!r}",
            hint="a name has 1 to 512 letters and marks, and no control sign; correct it there",
        )
    document, told = settled({"name": name, "kind": kind, **needed, **given})
    gap = any(document[key] is None for key in needed)
    document["source"] = (Source.UNREVIEWED if gap else source).value
    return ImportedAttribute(document=document, notes=(*notes, *told))


def assemble(
    attributes: Sequence[ImportedAttribute],
    *,
    name: str,
    label: str | None = None,
    description: str | None = None,
    notes: Iterable[str] = (),
) -> ImportedSchema:
    """Join attributes to a schema document, and collect what is told about each."""
    if not attributes:
        raise InvalidSchema(f"{name}: describes no column that can be an attribute")
    known = [attribute.name for attribute in attributes]
    twice = sorted({n for n in known if known.count(n) > 1}) if len({*known}) < len(known) else []
    if twice:
        raise InvalidSchema(f"{name}: {twice[0]!r} names two columns", hint="name them apart")
    head = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-")[:128] or "imported",
        "description": description,
        "label": label if label in known else None,
    }
    return ImportedSchema(
        document={key: value for key, value in head.items() if value is not None}
        | {"attributes": [dict(attribute.document) for attribute in attributes]},
        notes=(*notes, *(f"{a.name}: {note}" for a in attributes for note in a.notes)),
        missing_facts=tuple(
            f"{a.name}: {' and '.join(a.gaps)} must be declared" for a in attributes if a.gaps
        ),
    )


def with_rules(imported: ImportedSchema, rules: Sequence[str]) -> ImportedSchema:
    """Return an imported schema with the rules that the other description states."""
    if not rules:
        return imported
    return replace(imported, document={**imported.document, "rules": list(rules)})


def choose_table(tables: Mapping[str, Any], *, table: str | None, origin: str) -> tuple[str, Any]:
    """Return the wanted table, or the only one; raise InvalidSchema listing what there is."""
    names = [name for name in tables if table in (None, name, name.rpartition(".")[0])]
    if len(names) == 1:
        return names[0], tables[names[0]]
    listed = ", ".join(repr(name) for name in tables) or "no table"
    wrong = "several tables" if table is None else f"no table {table!r}"
    raise InvalidSchema(f"{origin}: {wrong}", hint=f"choose one of {listed}")


def mapping_at(value: object, *, where: str) -> Mapping[str, Any]:
    """Return ``value`` if it is a mapping; raise InvalidSchema naming ``where``."""
    if not isinstance(value, Mapping):
        raise InvalidSchema(f"{where}: a mapping of fields is expected here")
    return value


def list_at(value: object, *, where: str) -> list[Any]:
    """Return ``value`` if it is a list; raise InvalidSchema naming ``where``."""
    if not isinstance(value, list):
        raise InvalidSchema(f"{where}: a list is expected here")
    return value


def names_at(value: object, *, where: str) -> list[str]:
    """Return the names in a list, or the one that stands alone; nothing for null."""
    several = [value] if isinstance(value, str) else list_at(value or [], where=where)
    if not all(isinstance(name, str) for name in several):
        raise InvalidSchema(f"{where}: a list of names is expected here")
    return several


def columns_at(value: object, *, where: str) -> list[Mapping[str, Any]]:
    """Return column descriptions that each have a ``name``, given as a list or by name."""
    if isinstance(value, Mapping):
        return [dict(mapping_at(c, where=f"{where}: {n}"), name=str(n)) for n, c in value.items()]
    columns = [mapping_at(c, where=where) for c in list_at(value, where=where)]
    if not all(isinstance(column.get("name"), str) for column in columns):
        raise InvalidSchema(f"{where}: a column has no name")
    return columns


_RESOLUTIONS = (
    (("%f",), "microsecond"),
    (("%S", "%T", "%X"), "second"),
    (("%M",), "minute"),
    (("%H", "%I"), "hour"),
    (("%d", "%j", "%x"), "day"),
    (("%m", "%b", "%B"), "month"),
    (("%Y", "%y"), "year"),
)
_KEY = re.compile(r"^\^?([^\[\](){}\\.*+?|^$]*)(?:\[0-9\]|\\d)(\{(\d+)\}|\+|\*)?\$?$")


def date_format(format: object) -> dict[str, Any]:
    """Return the facts of a strptime format: itself, and the finest part that it writes."""
    if not isinstance(format, str) or "%" not in format:
        return {"format": format} if format else {}
    found = next((name for marks, name in _RESOLUTIONS if any(m in format for m in marks)), None)
    return {"format": format} | ({"resolution": found} if found else {})


def key_form(pattern: object) -> dict[str, Any]:
    """Return prefix and digits of a key's regular expression, where it is no more than that.

    >>> key_form("HID_[0-9]{3}")
    {'prefix': 'HID_', 'digits': 3}
    """
    found = _KEY.match(pattern) if isinstance(pattern, str) else None
    if found is None:
        return {}
    form: dict[str, Any] = {"prefix": found[1]} if found[1] else {}
    return form | ({"digits": int(found[3])} if found[3] else {})


def lost(described: Mapping[str, Any], *, taken: Collection[str]) -> list[str]:
    """Say which facts of a description have no place in a schema."""
    left = sorted(key for key, value in described.items() if key not in taken and value)
    return [f"not taken over: {', '.join(left)}"] if left else []
