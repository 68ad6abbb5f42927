"""The map of a silo: where each column of the schema is in its own table, and how it is spelled.

A map lies beside the table that it is for, and its content stays there. What a person wrote or
reviewed in it is a fact of the table's form, never of its rows.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from silosynth.common.digest import canonical_json
from silosynth.common.document import describe_validation, dump_document, load_document
from silosynth.common.errors import InvalidMap, InvalidSchema
from silosynth.common.schema import (
    Attribute,
    NumberText,
    PlainModel,
    WordedAttribute,
    has_unit,
)

MAP_VERSION = 1
ABSENT = "absent"
LARGEST_FACTOR = 1e100


def _word(value: object) -> str:
    """Return what YAML made of a word of the silo's own; refuse an unquoted yes."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a word of the table is text or a number; put it in quotes")
    return str(value)


Word = Annotated[str, BeforeValidator(_word)]
Target = str | bool | int | float | None


class ColumnMap(PlainModel):
    """How one column is read: ``from`` another name, and its values by words or by a formula.

    A value is looked up in ``map`` first; any other number becomes ``value * scale + offset``, and
    any other word of a listed column is one that the schema does not list. The empty word is null.
    """

    model_config = ConfigDict(populate_by_name=True)

    origin: str | None = Field(default=None, alias="from", min_length=1, max_length=512)
    words: Mapping[Word, Target] | None = Field(
        default=None, alias="map", min_length=1, max_length=65_536
    )
    scale: float = 1.0
    offset: float = Field(default=0.0, ge=-1e15, le=1e15)
    format: str | NumberText | None = Field(
        default=None, description="strptime's, of dates and times; of numbers, as spelled says"
    )
    unreviewed: bool = False

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not 1 / LARGEST_FACTOR <= abs(self.scale) <= LARGEST_FACTOR:
            raise ValueError("scale is not 0, and between 1e-100 and 1e100 in size")
        return self

    @property
    def calculates(self) -> bool:
        """Say whether numbers are changed."""
        return (self.scale, self.offset) != (1.0, 0.0)


class SiloMap(PlainModel):
    """The map of one table, by the schema's names; a column that it does not name is as it is."""

    version: Literal[1] = 1
    unreviewed: bool = Field(default=False, description="drafted: nobody has vouched for it")
    columns: Mapping[str, ColumnMap | Literal["absent"]] = Field(
        default_factory=dict, max_length=4096
    )

    @property
    def absent(self) -> frozenset[str]:
        """Return the columns that the silo declares not to hold. Public."""
        return frozenset(n for n, column in self.columns.items() if column == ABSENT)

    def column(self, name: str) -> ColumnMap:
        """Return how a column that the silo holds is read."""
        column = self.columns.get(name)
        return column if isinstance(column, ColumnMap) else _AS_IT_IS

    def origin(self, name: str) -> str:
        """Return what the silo's own table calls a column."""
        return self.column(name).origin or name

    def drafted(self) -> tuple[str, ...]:
        """Return the columns that were drafted and nobody has vouched for; none of all columns."""
        own = tuple(n for n in self.columns if self.column(n).unreviewed)
        return own or tuple(self.columns) * self.unreviewed

    def digest(self, secret: bytes) -> str:
        """Return the name of this content, which tells nothing to whoever lacks the secret.

        A map has few likely contents; a plain hash of it could be found out by trying them.
        """
        data = canonical_json(self.model_dump(mode="json", by_alias=True))
        key = hashlib.blake2b(b"map", key=secret[:64], digest_size=32).digest()
        return "sha256:" + hmac.new(key, data, hashlib.sha256).hexdigest()


_AS_IT_IS = ColumnMap()
NO_MAP = SiloMap()


def load_map(path: Path) -> SiloMap:
    """Read a map from YAML or JSON; raise InvalidMap naming the file and the field."""
    try:
        data = load_document(path)
    except InvalidSchema as err:
        raise InvalidMap(err.message, hint=err.hint) from None
    return parse_map(data, origin=str(path))


def parse_map(data: Any, *, origin: str = "map") -> SiloMap:
    """Build a map from plain data; raise InvalidMap naming ``origin`` and the field."""
    if not isinstance(data, Mapping) or "columns" not in data:
        raise InvalidMap(f"{origin}: is no map of columns", hint="start with version: and columns:")
    if data.get("version") != MAP_VERSION:
        raise InvalidMap(
            f"{origin}: version {data.get('version')!r} is not known",
            hint=f"write version: {MAP_VERSION}",
        )
    for name, column in _columns(data["columns"], origin=origin).items():
        if not (column == ABSENT or isinstance(column, Mapping)):
            raise InvalidMap(
                f"{origin}: column {name!r} is neither 'absent' nor a mapping of fields",
                hint="write absent, or {from: ..., map: ..., scale: ..., offset: ..., format: ...}",
            )
    try:
        return SiloMap.model_validate(data)
    except ValidationError as err:
        raise InvalidMap(f"{origin}: {describe_validation(err, data)}") from None


def _columns(data: Any, *, origin: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise InvalidMap(f"{origin}: columns is not a mapping", hint="write a column a line")
    return data


def dump_map(silo_map: SiloMap) -> str:
    """Return a map as YAML; reading it again gives an equal map."""
    columns = {
        name: column
        if isinstance(column, str)
        else column.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        for name, column in silo_map.columns.items()
    }
    marked = {"unreviewed": True} if silo_map.unreviewed else {}
    return dump_document({"version": MAP_VERSION, **marked, "columns": columns})


def spelled_by_silo(attribute: Attribute, column: ColumnMap) -> Attribute:
    """Return the attribute as the silo writes it; its codes stay what they are.

    Raises ValidationError for a form that its kind does not have.
    """
    if column.format is None:
        return attribute
    field = "spelled" if has_unit(attribute) else "format"
    data = attribute.model_dump() | {field: column.format}
    return type(attribute).model_validate(data)


def words_of(attribute: WordedAttribute) -> tuple[str, ...]:
    """Return every word that stands for a code of a listed attribute."""
    own = (*own_words(attribute), *(getattr(attribute, "spelled", None) or ()))
    other = getattr(attribute, "other_as", None)
    return (*own, *((other,) * bool(other)), *attribute.missing_apart, *attribute.missing_tokens)


def own_words(attribute: WordedAttribute) -> tuple[str, ...]:
    """Return the word of each code of a listed attribute, as a map names it."""
    return tuple(map(str, getattr(attribute, "categories", ("false", "true"))))


def spell_target(target: Target) -> str:
    """Return a value that a map leads to as the schema's lists spell it."""
    return str(target).lower() if isinstance(target, bool) else str(target)
