"""The public description of a table: attributes with declared categories or bounds.

A schema is never read off private data without saying so: every attribute carries the
:class:`Source` of its domain, and a plan over an ``unreviewed`` attribute is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.document import (
    describe_fault,
    describe_validation,
    dump_document,
    load_document,
    own_faults,
    parse_sent,
)
from silosynth.common.domain import Domain
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema.code_lists import read_code_lists
from silosynth.common.schema.compiled.ruled import Ruled, compile_rules, unreviewed_rules
from silosynth.common.schema.images import Image, check_images
from silosynth.common.schema.kinds.attributes import (
    Attribute,
    CodedAttribute,
    IgnoredAttribute,
    NumericAttribute,
    TextAttribute,
    as_numeric,
)
from silosynth.common.schema.kinds.bases import Source
from silosynth.common.schema.kinds.bins import PlainModel
from silosynth.common.schema.kinds.facts import has_words
from silosynth.common.schema.kinds.forms import SINCE, CsvDialect, since
from silosynth.common.schema.kinds.generated import GeneratedAttribute, check_people
from silosynth.common.schema.references import Reference, read_references
from silosynth.common.schema.zeros import (
    ImpossibleCells,
    StructuralZeros,
    check_agree,
    impossible_cells,
)

SCHEMA_VERSION = 2


class Schema(PlainModel):
    """The public description of one table.

    ``version`` is the first version of the format that knows all that is declared; it is worked out
    where it is not given.
    """

    version: Literal[1, 2] = 1
    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._-]+$")
    description: str | None = Field(default=None, max_length=2000)
    label: str | None = Field(default=None, description="the attribute to predict, if any")
    attributes: tuple[Attribute, ...] = Field(min_length=1, max_length=4096)
    structural_zeros: tuple[StructuralZeros, ...] = since(
        1, default=(), max_length=256, description="combinations that cannot occur; public facts"
    )
    images: tuple[Image, ...] = since(
        1, default=(), max_length=64, description="attributes that are the pixels of a picture"
    )
    rules: tuple[str, ...] = since(
        2, default=(), max_length=256, description="what every row keeps; public facts, a line each"
    )
    references: dict[str, Reference] = since(
        2, default={}, max_length=32, description="public tables that rules look things up in"
    )
    csv: CsvDialect | None = since(
        2,
        default=None,
        description="how text files of the table are written, if not plainly",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, data: Any) -> Any:
        """Give the file's one ``source`` to all attributes that do not state their own."""
        if not isinstance(data, Mapping) or "source" not in data:
            return data
        rest = {key: value for key, value in data.items() if key != "source"}
        attributes = rest.get("attributes")
        if isinstance(attributes, list | tuple):
            rest["attributes"] = [
                {"source": data["source"], **a} if isinstance(a, Mapping) else a for a in attributes
            ]
        return rest

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [a.name for a in self.attributes]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"attribute {twice[0]!r} stands twice")
        if self.label is not None and self.label not in names:
            raise ValueError(f"label {self.label!r} is not an attribute")
        _ = self.ruled
        check_people(self.generated, listed=[a for a in self.attributes if has_words(a)])
        later = bool(self.csv or self.rules or self.references)
        needed = max(2 if later else 1, *(a.needs_version() for a in self.attributes))
        if "version" not in self.model_fields_set:
            self.__dict__["version"] = needed
        elif self.version < needed:
            raise ValueError(f"what is declared needs version: {needed}")
        check_agree(self.impossible(), coded=self.coded)
        check_images(self.images, coded=self.coded, label=self.label)
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy; its rules are compiled anew, for its own attributes."""
        copied = super().model_copy(update=update, deep=deep)
        copied.__dict__.pop("ruled", None)
        return copied

    def counting(self, attributes: tuple[Attribute, ...]) -> Self:
        """Return the schema with other bins of what is counted; its rules stay as compiled."""
        before = {id(a): new for a, new in zip(self.ruled.attributes, attributes, strict=True)}
        own = tuple(before.get(id(a), a) for a in self.attributes)
        copied = self.model_copy(update={"attributes": own})
        copied.__dict__["ruled"] = replace(self.ruled, attributes=attributes)
        return copied

    def spelled_as(self, attributes: Mapping[str, Attribute]) -> Self:
        """Return the schema with some attributes written otherwise; its codes stay, and its rules.

        Args: attributes: by name, the same attribute in another form.
        """
        own = tuple(attributes.get(a.name, a) for a in self.attributes)
        before = {id(a): new for a, new in zip(self.attributes, own, strict=True)}
        copied = self.model_copy(update={"attributes": own})
        counted = tuple(before.get(id(a), a) for a in self.ruled.attributes)
        copied.__dict__["ruled"] = replace(self.ruled, attributes=counted)
        return copied

    @cached_property
    def ruled(self) -> Ruled:
        """Return the rules, and the attributes that are counted in the place of the table's."""
        return compile_rules(self.rules, attributes=self.attributes, references=self.references)

    @property
    def coded(self) -> tuple[CodedAttribute, ...]:
        """Return the attributes that are counted by their codes, in order.

        Without rules they are the table's own; rules leave out columns that follow from others.
        """
        counted = self.ruled.attributes
        return tuple(a for a in counted if isinstance(a, CodedAttribute) and a.modelled)

    @property
    def constants(self) -> tuple[CodedAttribute, ...]:
        """Return the attributes that have one value alone: not asked, and the same in every row."""
        return tuple(
            a
            for a in self.attributes
            if isinstance(a, CodedAttribute) and not a.modelled and a.kind != "identifier"
        )

    @property
    def texts(self) -> tuple[TextAttribute, ...]:
        """Return the attributes that are free text."""
        return tuple(a for a in self.attributes if isinstance(a, TextAttribute))

    @property
    def generated(self) -> tuple[GeneratedAttribute, ...]:
        """Return the attributes that are made up: no silo's column is loaded for them."""
        return tuple(a for a in self.attributes if isinstance(a, GeneratedAttribute))

    @property
    def unread(self) -> frozenset[str]:
        """Return the columns that no silo loads, whatever its table holds."""
        ignored = (a.name for a in self.attributes if isinstance(a, IgnoredAttribute))
        return frozenset((*ignored, *(a.name for a in self.generated)))

    @property
    def numbers(self) -> tuple[NumericAttribute, ...]:
        """Return the attributes whose codes are bins of numbers, in order."""
        return tuple(a for a in self.coded if isinstance(a, NumericAttribute))

    @property
    def domain(self) -> Domain:
        """Return the sizes of the coded attributes."""
        coded = self.coded
        return Domain(attributes=tuple(a.name for a in coded), shape=tuple(a.size for a in coded))

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of the canonical JSON."""
        data = self.model_dump(mode="json")
        _leave_out_unsaid(self, data)
        for attribute, described in zip(self.attributes, data["attributes"], strict=True):
            _leave_out_unsaid(attribute, described)
        if self.csv is not None:
            _leave_out_unsaid(self.csv, data["csv"])
        return digest_of(canonical_json(data))

    def impossible(self) -> tuple[ImpossibleCells, ...]:
        """Return the structural zeros by code, cliques in column order."""
        declared = impossible_cells(self.structural_zeros, coded=self.coded)
        ruled = self.ruled.zeros
        return (*declared, *ruled)

    def unreviewed(self) -> tuple[str, ...]:
        """Return the attributes whose domain, and the rules, that nobody has vouched for."""
        attributes = [a.name for a in self.attributes if a.source is Source.UNREVIEWED]
        return (*attributes, *unreviewed_rules(self.rules))


def _leave_out_unsaid(model: PlainModel, data: dict[str, Any]) -> None:
    """Take out what came later and says nothing, so that older schemas keep their digest."""
    for name, field in type(model).model_fields.items():
        extra = field.json_schema_extra
        later = isinstance(extra, dict) and SINCE in extra
        if later and name in data and getattr(model, name) == field.default:
            del data[name]


def schema_name(text: str) -> str:
    """Return a text as the name of a schema: what a name cannot hold becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:128] or "table"


def parse_schema(data: Any, *, origin: str = "schema") -> Schema:
    """Build a schema from plain data; raise InvalidSchema naming ``origin`` and the field."""
    if not isinstance(data, Mapping):
        raise InvalidSchema(
            f"{origin}: is not a mapping of fields", hint="start with name: and attributes:"
        )
    if has_tables(data):
        raise InvalidSchema(
            f"{origin}: describes several tables, which is not taken here yet",
            hint="give a schema of one table",
        )
    if data.get("version", SCHEMA_VERSION) not in range(1, SCHEMA_VERSION + 1):
        raise InvalidSchema(
            f"{origin}: version {data['version']!r} is not known",
            hint=f"use version {SCHEMA_VERSION}",
        )
    try:
        return Schema.model_validate(data)
    except ValidationError as err:
        raise InvalidSchema(f"{origin}: {describe_validation(err, data)}") from err


def list_faults(data: Any) -> tuple[str, ...]:
    """Return every fault of a schema document, one line each; none when it is usable."""
    try:
        parse_schema(data)
    except InvalidSchema as err:
        if isinstance(err.__cause__, ValidationError):
            return tuple(describe_fault(fault, data) for fault in own_faults(err.__cause__))
        return (str(err),)
    return ()


def has_tables(document: Any) -> bool:
    """Say whether a schema's document describes several tables."""
    return isinstance(document, Mapping) and "tables" in document and "attributes" not in document


def describes_tables(path: Path) -> bool:
    """Say whether a schema's file describes several tables; raise InvalidSchema naming the file."""
    return has_tables(load_document(path))


def load_schema(path: Path) -> Schema:
    """Read a schema from YAML or JSON; raise InvalidSchema naming the file and the field."""
    return parse_schema(read_schema(path), origin=str(path))


def schema_of_text(text: str, *, origin: str) -> Schema:
    """Build a schema from the YAML that somebody sent; raise InvalidSchema naming ``origin``.

    Guarantees: no file is read, whatever the text names: what files held stands in it, as
    :func:`dump_schema` writes it.
    """
    return parse_schema(parse_sent(text, origin=origin), origin=origin)


def read_schema(path: Path) -> Any:
    """Return the document of a schema file, with the public tables and code lists that it names."""
    document = read_references(load_document(path), folder=path.parent)
    return read_code_lists(document, folder=path.parent)


def dump_schema(schema: Schema) -> str:
    """Return the schema as YAML, leaving out what equals the default.

    Guarantees: reading it again gives an equal schema.
    """
    data = schema.model_dump(mode="json", exclude_defaults=True)
    data["attributes"] = [dump_attribute(a) for a in schema.attributes]
    return dump_document({"version": schema.version} | data)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a schema file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Schema.model_json_schema(),
        "title": "silosynth schema",
    }


def dump_attribute(attribute: Attribute) -> dict[str, Any]:
    """Return one attribute as plain data: name and kind first, its source last."""
    data = attribute.model_dump(mode="json", exclude_defaults=True)
    if (number := as_numeric(attribute)) is not None and "bins" in data:
        data["bins"] = number.bins.model_dump(mode="json")
    rest = {k: v for k, v in data.items() if k not in {"name", "kind", "source"}}
    return {
        "name": attribute.name,
        "kind": attribute.kind,
        **rest,
        "source": attribute.source.value,
    }
