"""Read a Frictionless Table Schema, or the one inside a data package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from silosynth.common.importers.imported import (
    ImportedAttribute,
    ImportedSchema,
    assemble,
    choose_table,
    columns_at,
    date_format,
    describe_attribute,
    key_form,
    list_at,
    lost,
    mapping_at,
    names_at,
)
from silosynth.common.schema import CsvDialect

_KINDS = {
    "boolean": "boolean",
    "integer": "integer",
    "year": "integer",
    "number": "real",
    "date": "datetime",
    "datetime": "datetime",
    "yearmonth": "datetime",
    "time": "time",
    "duration": "duration",
}
_FINEST = {"date": "day", "yearmonth": "month"}
_TAKEN = frozenset(
    [
        "name",
        "type",
        "title",
        "description",
        "constraints",
        "format",
        "missingValues",
        "categories",
        "categoriesOrdered",
        "trueValues",
        "falseValues",
        "decimalChar",
        "groupChar",
        "bareNumber",
        "example",
        "rdfType",
    ]
)
_RULES = frozenset(
    ["required", "unique", "enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
)
_OF_A_RESOURCE: tuple[str, ...] = (
    "name",
    "path",
    "schema",
    "dialect",
    "encoding",
    "type",
    "profile",
    "title",
)
_OF_A_RESOURCE += ("description", "format", "mediatype", "scheme", "hash", "bytes", "$schema")
_OF_A_DIALECT: tuple[str, ...] = (
    "delimiter",
    "quoteChar",
    "header",
    "headerRows",
    "csv",
    "doubleQuote",
)
_OF_A_DIALECT += ("lineTerminator", "csvddfVersion", "$schema")
_ENCODINGS = {
    **dict.fromkeys(("utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii"), "utf-8"),
    **dict.fromkeys(("latin-1", "latin1", "iso-8859-1", "iso8859-1"), "latin-1"),
    **dict.fromkeys(("utf-16", "utf16"), "utf-16"),
    **dict.fromkeys(("utf-16-le", "utf-16le"), "utf-16-le"),
    **dict.fromkeys(("utf-16-be", "utf-16be"), "utf-16-be"),
}
_TRUTHS = {"true", "false", "1", "0", "t", "f", "yes", "no", "y", "n"}


def is_frictionless(document: Mapping[str, Any]) -> bool:
    """Say whether a document looks like a Table Schema or a data package."""
    return isinstance(document.get("fields"), list) or isinstance(document.get("resources"), list)


def import_frictionless(
    document: Mapping[str, Any], *, name: str, table: str | None, origin: str
) -> ImportedSchema:
    """Return the schema document of a Table Schema; its constraints count as declared."""
    written: dict[str, Any] = {}
    told: list[str] = []
    if "resources" in document:
        resources = columns_at(document["resources"], where=f"{origin}: resources")
        name, resource = choose_table(
            {str(r["name"]): r for r in resources}, table=table, origin=origin
        )
        document = mapping_at(resource.get("schema"), where=f"{origin}: {name}: schema")
        written, told = _written(resource)
    keys = names_at(document.get("primaryKey"), where=f"{origin}: primaryKey")
    absent = _absent(document.get("missingValues", [""]), where=f"{origin}: missingValues")
    fields = columns_at(document.get("fields"), where=f"{origin}: fields")
    known = ("fields", "primaryKey", "missingValues", "title", "description", "name", "$schema")
    notes = told + [
        f"{key.get('fields')}: refers to another table; synthetic rows will not join with it"
        for key in list_at(document.get("foreignKeys") or [], where=f"{origin}: foreignKeys")
        if isinstance(key, Mapping)
    ]
    notes += lost(document, taken=(*known, "foreignKeys", "fieldsMatch"))
    described = [_attribute(f, keys=keys, absent=absent) for f in fields]
    made = assemble(described, name=name, notes=notes)
    return replace(made, document={**made.document, **({"csv": written} if written else {})})


def _written(resource: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return how a resource's text file is written, and what of that is lost."""
    said, notes = resource.get("dialect") or {}, lost(resource, taken=_OF_A_RESOURCE)
    if not isinstance(said, Mapping):
        said, notes = {}, [*notes, "not taken over: dialect, which stands in another file"]
    nested = said.get("csv")
    dialect = {**said, **(nested if isinstance(nested, Mapping) else {})}
    found: dict[str, Any] = {}
    for key, fact in (("delimiter", "delimiter"), ("quoteChar", "quote"), ("header", "header")):
        if key in dialect:
            found[fact] = dialect[key]
    if isinstance(row := (dialect.get("headerRows") or [1])[0], int) and row > 1:
        found["skip"] = row - 1
    if isinstance(encoding := resource.get("encoding"), str):
        known = _ENCODINGS.get(encoding.lower().replace("_", "-"))
        if known is None:
            notes.append(f"not taken over: encoding {encoding}; store the file as UTF-8")
        else:
            found["encoding"] = known
    notes += lost(dialect, taken=_OF_A_DIALECT)
    kept: dict[str, Any] = {}
    for fact, value in found.items():
        try:
            ordinary = getattr(CsvDialect(), fact) == getattr(CsvDialect(**{fact: value}), fact)
        except ValidationError:
            notes.append(f"not taken over: {fact} {value!r}")
        else:
            kept |= {} if ordinary else {fact: value}
    return kept, [f"{resource['name']}: {note}" for note in notes]


def _attribute(field: Mapping[str, Any], *, keys: list[str], absent: _Absent) -> ImportedAttribute:
    where, declared = str(field["name"]), str(field.get("type", "string"))
    rules = mapping_at(field.get("constraints") or {}, where=f"{where}: constraints")
    left = lost(field, taken=_TAKEN)
    if where in keys or rules.get("unique") or field.get("format") == "uuid":
        form = key_form(rules.get("pattern"))
        left += lost(rules, taken=(*_RULES, *(["pattern"] if form else [])))
        return describe_attribute(where, "identifier", facts=_description(field) | form, notes=left)
    left += lost(rules, taken=_RULES)
    if "missingValues" in field:
        absent = _absent(field["missingValues"], where=f"{where}: missingValues")
    facts = _description(field)
    facts |= {} if rules.get("required") is True else absent.facts()
    listed = rules.get("enum", field.get("categories"))
    if listed is not None and declared != "boolean":
        values = [_value(v) for v in list_at(listed, where=f"{where}: enum")]
        facts |= {"categories": [v for v in values if str(v) not in absent.words], "other": False}
        kind = "ordinal" if field.get("categoriesOrdered") else "categorical"
        return describe_attribute(where, kind, facts=facts, notes=left)
    kind = _KINDS.get(declared, "text")
    if kind == "text":
        why = f"{declared} without an enum: left out of the model; list categories to include it"
        return describe_attribute(where, "text", facts=_description(field), notes=[why, *left])
    if kind == "boolean":
        spelled, told = _truths(field)
        return describe_attribute(where, kind, facts=facts | spelled, notes=[*told, *left])
    facts |= _bounds(field, rules, kind=kind) | _numbers(field, kind=kind)
    if field.get("bareNumber") is False:
        left.append("has a unit or currency beside it; say which in spelled, as prefix or suffix")
    if kind in ("datetime", "time"):
        facts |= _form(field, declared)
    return describe_attribute(where, kind, facts=facts, notes=left)


def _bounds(field: Mapping[str, Any], rules: Mapping[str, Any], *, kind: str) -> dict[str, Any]:
    """Return the bounds; exclusive ones move by one for whole numbers."""
    facts = {"minimum": rules.get("minimum"), "maximum": rules.get("maximum")}
    for fact, exclusive, move in (
        ("minimum", "exclusiveMinimum", 1),
        ("maximum", "exclusiveMaximum", -1),
    ):
        if facts[fact] is None and (bound := rules.get(exclusive)) is not None:
            whole = kind == "integer" and isinstance(bound, int)
            facts[fact] = bound + move if whole else bound
    return facts


def _form(field: Mapping[str, Any], declared: str) -> dict[str, Any]:
    """Return the format of dates and times, and the finest part that they have."""
    said = str(field.get("format", "default"))
    if said not in ("default", "any"):
        return date_format(said.removeprefix("fmt:"))
    return {"resolution": _FINEST[declared]} if declared in _FINEST else {}


def _numbers(field: Mapping[str, Any], *, kind: str) -> dict[str, Any]:
    """Return how numbers are written as text, where not plainly."""
    if kind not in ("integer", "real"):
        return {}
    spelled = {"thousands": field.get("groupChar"), "decimal": field.get("decimalChar")}
    said = {key: mark for key, mark in spelled.items() if mark}
    if said == {"decimal": "."}:
        return {}
    return {"spelled": said} if said else {}


def _description(field: Mapping[str, Any]) -> dict[str, Any]:
    text = field.get("description") or field.get("title")
    return {"description": str(text)[:2000]} if text else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Absent:
    """Texts that stand for a missing value, and those among them that say in words why."""

    tokens: tuple[str, ...]
    labelled: tuple[str, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """Return all of them."""
        return (*self.tokens, *self.labelled)

    def facts(self) -> dict[str, Any]:
        """Return what a schema says of them; a lone token is written back."""
        alone = len(self.tokens) == 1 and self.tokens != ("",)
        return (
            {"missing": True, "missing_tokens": list(self.tokens)}
            | ({"missing_as": self.tokens[0]} if alone else {})
            | ({"missing_apart": list(self.labelled)} if self.labelled else {})
        )


def _absent(value: object, *, where: str) -> _Absent:
    """Return the texts for missing values; those with a label of their own are kept apart."""
    entries = list_at(value, where=where)
    labelled = [isinstance(e, Mapping) and bool(e.get("label")) for e in entries]
    texts = [str(_value(entry)) for entry in entries]
    apart = tuple(t for t, label in zip(texts, labelled, strict=True) if label)
    return _Absent(tokens=tuple(t for t in texts if t not in apart), labelled=apart)


def _value(entry: object) -> Any:
    """Return an entry's value; version 2 of the format allows a value with a label."""
    return entry.get("value") if isinstance(entry, Mapping) else entry


def _truths(field: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return how false and true are written; a note where there are several ways."""
    where = str(field["name"])
    false, true = (
        [str(value) for value in list_at(field.get(key) or [], where=f"{where}: {key}")]
        for key in ("falseValues", "trueValues")
    )
    if len(false) == len(true) == 1:
        return {"spelled": [false[0], true[0]]}, []
    odd = [value for value in (*false, *true) if value.lower() not in _TRUTHS]
    why = "has several true or false values of its own; make it categorical and list them"
    return {}, [why] if odd else []
