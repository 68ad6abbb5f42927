"""A schema of several tables: read, checked, written and named by its digest.

The unit of privacy is one row of the person's table with all rows below it. What a link names
beside the table above is no part of that: whether it is there is a fact of its own row, whom it
names is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from silosynth.common.digest import canonical_json, digest_of
from silosynth.common.document import (
    describe_fault,
    dump_document,
    load_document,
    own_faults,
)
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.schema import (
    PlainModel,
    Reference,
    dump_attribute,
    read_references,
    unreviewed_rules,
)
from silosynth.common.tables.across import Across, check_drawn, parse_across
from silosynth.common.tables.columns import Columns, columns_of_tables
from silosynth.common.tables.gaps import short_gaps
from silosynth.common.tables.table import Table, tree_faults, with_source

TABLES_VERSION = 3
_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"


class TablesSchema(PlainModel):
    """The public description of a person's table and of those below it.

    ``version`` is 3: the versions before know one table.
    """

    version: Literal[3] = 3
    name: str = Field(default="tables", min_length=1, max_length=128, pattern=_NAME)
    description: str | None = Field(default=None, max_length=2000)
    person: str = Field(description="the table of which each row is one person")
    tables: dict[str, Table] = Field(min_length=1, max_length=64)
    references: dict[str, Reference] = Field(
        default={}, max_length=32, description="public tables that links and rules name"
    )
    rules: tuple[str, ...] = Field(
        default=(),
        max_length=256,
        description="what rows keep together with those above them, columns as table.column, and "
        "what is true of a parent's last row alone",
    )
    unreviewed: tuple[str, ...] = Field(
        default=(),
        max_length=1024,
        description="what a draft took for true of how tables hang together: take each line away "
        "when it is",
    )

    @model_validator(mode="before")
    @classmethod
    def _one_source(cls, data: Any) -> Any:
        """Give the file's one ``source`` to all attributes that do not state their own."""
        if not isinstance(data, Mapping) or not isinstance(data.get("tables"), Mapping):
            return data
        rest = {k: v for k, v in data.items() if k != "source"}
        source = data.get("source")
        tables = {name: with_source(t, source) for name, t in data["tables"].items()}
        return {**rest, "tables": tables}

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        faults = [
            *_odd_names(self.tables),
            *_lost_links(self),
            *tree_faults(self.tables, person=self.person, references=self.references),
        ]
        if faults:
            raise ValueError("\n".join(faults))
        _ = self.columns
        if faults := list(_rule_faults(self)):
            raise ValueError("\n".join(faults))
        return self

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """Return the columns of each table."""
        return columns_of_tables(self.tables, references=self.references)

    @cached_property
    def across(self) -> tuple[Across, ...]:
        """Return the rules that rows keep together with those above them."""
        return tuple(parse_across(line, schema=self) for line in self.rules)

    @cached_property
    def ruled_across(self) -> frozenset[str]:
        """Return the tables whose rows such a rule is about: of each the deepest."""
        return frozenset(rule.tables[0] for rule in self.across)

    @cached_property
    def told_last(self) -> frozenset[str]:
        """Return the tables of which a rule says what is true of a parent's last row alone."""
        return frozenset(rule.tables[0] for rule in self.across if rule.last)

    @property
    def downward(self) -> tuple[str, ...]:
        """Return the tables, each after the one above it."""
        found = [self.person]
        while len(found) < len(self.tables):
            found += [n for n, t in self.tables.items() if t.parent in found and n not in found]
        return tuple(found)

    def below(self, name: str) -> dict[str, Table]:
        """Return the tables whose rows belong to rows of one."""
        return {n: t for n, t in self.tables.items() if t.parent == name}

    @property
    def digest(self) -> str:
        """Return ``sha256:`` and the hash of what each table is and how they hang together."""
        facts = {"key", "parent", "by", "order", "children", "links"}
        data = [
            [
                name,
                # What came later and says nothing is left out, so that older digests stay.
                table.model_dump(
                    mode="json", include=facts | ({"gaps"} if table.gaps is not None else set())
                ),
                columns.whole.digest,
            ]
            for (name, table), columns in zip(
                self.tables.items(), self.columns.values(), strict=True
            )
        ]
        public = {n: r.model_dump(mode="json") for n, r in self.references.items()}
        head = {"version": self.version, "name": self.name, "person": self.person}
        rules = {"rules": list(self.rules)} if self.rules else {}
        return digest_of(canonical_json({**head, "tables": data, "references": public, **rules}))

    def unvouched(self) -> tuple[str, ...]:
        """Return what nobody has vouched for: lines of a draft, ``table.attribute``, rules."""
        columns = (
            f"{name}.{what}" for name, c in self.columns.items() for what in c.whole.unreviewed()
        )
        return (*self.unreviewed, *columns, *unreviewed_rules(self.rules))


def _odd_names(tables: Mapping[str, Table]) -> list[str]:
    """Say which tables could not be files: they bear the names of tables."""
    odd = [n for n in tables if not n.isascii() or table_like(n) != n]
    return [f"tables: {n!r}: a name has letters, digits, '.', '_' and '-' alone" for n in odd]


def table_like(name: str) -> str:
    """Return a text as the name of a table."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return kept.lstrip(".-")[:64] or "table"


def _lost_links(schema: TablesSchema) -> list[str]:
    known = {*schema.tables, *schema.references}
    return [
        f"tables: {name}: link {column!r}: {link.to!r} is neither a table nor a public one"
        for name, table in schema.tables.items()
        for column, link in table.links.items()
        if link.to not in known
    ]


def _rule_faults(schema: TablesSchema) -> Iterator[str]:
    """Yield which rules across tables cannot be read, or no drawn row can be made to keep."""
    for line in schema.rules:
        if schema.rules.count(line) > 1:
            yield f"rules: {line!r} stands twice"
            return
        try:
            check_drawn(parse_across(line, schema=schema), schema=schema)
        except InvalidArgument as err:
            yield f"rules: {err.message}" + (f"; {err.hint}" if err.hint else "")
        except ValueError as err:
            yield f"rules: {err}"


def parse_tables(data: Any, *, origin: str = "schema") -> TablesSchema:
    """Build a schema of tables from plain data; raise InvalidSchema naming ``origin``."""
    faults, found = _parsed(data)
    if found is None:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InvalidSchema(f"{origin}: {faults[0]}{more}")
    return found


def list_tables_faults(data: Any) -> tuple[str, ...]:
    """Return every fault of a document of tables, one line each; none when it is usable."""
    return _parsed(data)[0]


def _parsed(data: Any) -> tuple[tuple[str, ...], TablesSchema | None]:
    if not isinstance(data, Mapping):
        return ("is not a mapping of fields; start with person: and tables:",), None
    if data.get("version", TABLES_VERSION) != TABLES_VERSION:
        told = f"version {data['version']!r} is not known; use version {TABLES_VERSION}"
        return (told,), None
    try:
        return (), TablesSchema.model_validate(data)
    except ValidationError as err:
        lines = [describe_fault(f, data) for f in own_faults(err)]
        return tuple(line for text in lines for line in text.split("\n")), None


def load_tables(path: Path) -> TablesSchema:
    """Read a schema of tables from YAML or JSON; raise InvalidSchema naming file and field."""
    return parse_tables(read_tables_document(path), origin=str(path))


def read_tables_document(path: Path) -> Any:
    """Return the document of a schema of tables, with the rows of its public tables.

    Raises InvalidSchema for a public table without columns, or a file without its digest.
    """
    document = load_document(path)
    found = document.get("references") if isinstance(document, Mapping) else None
    for name, part in found.items() if isinstance(found, Mapping) else ():
        if not isinstance(part, Mapping) or "columns" in part:
            continue
        if part.get("file") is None:
            raise InvalidSchema(f"{path}: reference {name!r} has neither a file nor columns")
        if part.get("sha256") is None:
            raise InvalidSchema(
                f"{path}: reference {name!r} has no sha256, by which all know it for the same",
                hint=f"write that of {part['file']}, as 'sha256sum' prints it",
            )
    return read_references(document, folder=path.parent)


def dump_tables(schema: TablesSchema, *, rows: bool = True) -> str:
    """Return the schema as YAML, leaving out what equals the default.

    Guarantees: reading it again gives an equal schema.

    Args: rows: also write the rows of public tables that are named by their file.
    """
    data = schema.model_dump(mode="json", exclude_defaults=True)
    for reference in data.get("references", {}).values() if not rows else ():
        if "file" in reference:
            del reference["columns"]
    data["tables"] = {name: _dump_table(table) for name, table in schema.tables.items()}
    head = {"version": schema.version, "name": schema.name}
    return dump_document(head | data)


def _dump_table(table: Table) -> dict[str, Any]:
    data = table.model_dump(mode="json", exclude_defaults=True)
    if table.gaps is not None:
        data["gaps"] = short_gaps(data["gaps"])
    if table.links:
        links = table.links.items()
        data["links"] = {
            c: link.to if link == type(link)(to=link.to) else link.model_dump(mode="json")
            for c, link in links
        }
    if table.attributes:
        data["attributes"] = [dump_attribute(a) for a in table.attributes]
    return data


def tables_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a schema of tables, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TablesSchema.model_json_schema(),
        "title": "silosynth schema of several tables",
    }
