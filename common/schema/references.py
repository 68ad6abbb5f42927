"""Public tables that rules look things up in: they travel in the schema, and are in its digest."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, model_validator

from silosynth.common.errors import InvalidSchema
from silosynth.common.rules import (
    Arithmetic,
    Derived,
    Expression,
    Fact,
    Facts,
    Kind,
    Lookup,
    Rule,
    RuleFault,
    Together,
    instant,
    spelled,
)
from silosynth.common.schema.kinds.bins import PlainModel

MOST_CELLS = 200_000
Cell = str | int | float | bool | None
Parsed = TypeVar("Parsed")


class Reference(PlainModel):
    """A public table: a column of keys, and others; ``file`` and ``sha256`` say where it is from.

    A schema's file may name the file alone: its rows are read in when the schema is loaded.
    """

    key: str | None = None
    file: str | None = Field(default=None, max_length=512)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    columns: dict[str, tuple[Cell, ...]] = Field(min_length=1, max_length=256)

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        lengths = {len(c) for c in self.columns.values()}
        if len(lengths) != 1 or lengths == {0}:
            raise ValueError("the columns of a reference need one length, and a row at least")
        if lengths.pop() * len(self.columns) > MOST_CELLS:
            raise ValueError(f"a reference holds at most {MOST_CELLS:,} cells; leave columns out")
        if self.key is not None:
            if self.key not in self.columns:
                raise ValueError(f"key {self.key!r} is no column of the reference")
            keys = [_word(v) for v in self.columns[self.key]]
            twice = next((k for k in keys if keys.count(k) > 1), None) if len(keys) < 2000 else None
            if twice is not None or len(set(keys)) < len(keys):
                raise ValueError(f"key {twice or self.key!r} stands twice in the reference")
        return self


def read_references(document: Any, *, folder: Path) -> Any:
    """Return a schema's document with the rows of its references' files in it.

    Raises InvalidSchema for a file that is not there, or not the one that ``sha256`` says.
    """
    found = document.get("references") if isinstance(document, Mapping) else None
    if not isinstance(found, Mapping):
        return document
    read = {name: _read(name, part, folder=folder) for name, part in found.items()}
    return {**document, "references": read}


def _read(name: str, part: Any, *, folder: Path) -> Any:
    if not isinstance(part, Mapping) or "columns" in part or not isinstance(part.get("file"), str):
        return part
    path = folder / part["file"]
    try:
        rows = read_public(path, sha256=part.get("sha256"), rows_of=_rows_of)
    except InvalidSchema as err:
        raise InvalidSchema(f"reference {name!r}: {err.message}", hint=err.hint) from err
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        raise InvalidSchema(f"reference {name!r}: {path} is no table with a header and rows")
    columns = {n: [r[i] or None for r in rows[1:]] for i, n in enumerate(rows[0])}
    return {**part, "columns": columns}


def _rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def read_public(path: Path, *, sha256: object, rows_of: Callable[[str], Parsed]) -> Parsed:
    """Return what a public CSV file holds; raise InvalidSchema unless it has this digest."""
    try:
        data = path.read_bytes()
        rows = rows_of(data.decode("utf-8-sig"))
    except OSError as err:
        raise InvalidSchema(f"{path} cannot be read: {err.strerror}") from err
    except (UnicodeDecodeError, csv.Error, TypeError) as err:
        raise InvalidSchema(f"{path} is no CSV file in UTF-8") from err
    digest = hashlib.sha256(data).hexdigest()
    if sha256 != digest:
        raise InvalidSchema(
            f"{path} is not the file of its sha256",
            hint=f"write sha256: {digest} if this is the right one",
        )
    return rows


def resolve(rule: Rule, *, line: str, facts: Facts, references: Mapping[str, Reference]) -> Rule:
    """Return the rule with what it looks up in references; raise RuleFault for what is not there.

    Raises RuleFault for a reference, column or key that is missing.
    """
    if isinstance(rule, Together):
        known = _named(rule.reference, line=line, references=references)
        absent = [c for c in rule.columns if c not in known.columns]
        if absent:
            raise _fault(line, f"reference {rule.reference!r} has no column {absent[0]!r}")
        odd = [c for c in rule.columns if not _lists(facts[c])]
        if odd:
            raise _fault(line, f"column {odd[0]!r} has no list of values; 'together' needs one")
        rows = zip(*(known.columns[c] for c in rule.columns), strict=True)
        coded = [
            tuple(_code(facts[c], v) for c, v in zip(rule.columns, r, strict=True)) for r in rows
        ]
        allowed = dict.fromkeys(r for r in coded if None not in r)
        if not allowed:
            raise _fault(line, f"leaves nothing: no row of {rule.reference!r} has listed values")
        return replace(rule, allowed=tuple(allowed))  # type: ignore[arg-type]  # None is left out
    if isinstance(rule, Derived):
        value = _resolved(rule.value, rule.column, line=line, facts=facts, references=references)
        return replace(rule, value=value)
    return rule


def _resolved(
    part: Expression,
    target: str,
    *,
    line: str,
    facts: Facts,
    references: Mapping[str, Reference],
    alone: bool = True,
) -> Expression:
    if isinstance(part, Arithmetic):
        left, right = (
            _resolved(p, target, line=line, facts=facts, references=references, alone=False)
            for p in (part.left, part.right)
        )
        return replace(part, left=left, right=right)
    if not isinstance(part, Lookup):
        return part
    known = _named(part.reference, line=line, references=references)
    field = part.field or target
    if known.key is None:
        raise _fault(line, f"reference {part.reference!r} has no key; declare one")
    if field not in known.columns:
        raise _fault(line, f"reference {part.reference!r} has no column {field!r}")
    by = facts[part.column]
    if not _lists(by):
        raise _fault(line, f"column {part.column!r} has no list of values to look up")
    keys = [_word(k) for k in known.columns[known.key]]
    unknown = sorted(set(_words(by)) - set(keys))
    if unknown:
        raise _fault(
            line,
            f"reference {part.reference!r} has no key {unknown[0]!r}, a value of {part.column!r}",
        )
    fact = facts[target] if alone else Fact(name=field, kind=Kind.NUMBER)
    pairs = []
    for key, value in zip(keys, known.columns[field], strict=True):
        if key in _words(by) and value is not None:
            number = _code(fact, value) if fact.listed else _number(fact, value)
            if number is None:
                raise _fault(
                    line, f"{_word(value)!r} of {part.reference!r} is no value of {target!r}"
                )
            pairs.append((_code(by, key), number))
    return replace(part, pairs=tuple(sorted(pairs)), gives=fact.kind.value)  # type: ignore[arg-type]  # keys are listed


def _named(name: str, *, line: str, references: Mapping[str, Reference]) -> Reference:
    if name not in references:
        listed = ", ".join(sorted(references)) or "none"
        raise _fault(line, f"there is no reference {name!r}; declared: {listed}")
    return references[name]


def _fault(line: str, what: str) -> RuleFault:
    return RuleFault(what, line=line, place=1)


def _lists(fact: Fact) -> bool:
    return fact.listed or fact.kind is Kind.TRUTH


def _words(fact: Fact) -> tuple[str, ...]:
    return ("false", "true") if fact.kind is Kind.TRUTH else fact.words


def _word(value: Cell) -> str:
    return "" if value is None else spelled(value)


def _code(fact: Fact, value: Cell) -> float | None:
    """Return the number that stands for a listed value; None where it is not listed."""
    word = _word(value)
    if word not in _words(fact):
        return None
    return float(word) if fact.kind is Kind.NUMBER else float(_words(fact).index(word))


def _number(fact: Fact, value: Cell) -> float | None:
    try:
        return instant(str(value)) if fact.kind is Kind.INSTANT else float(str(value))
    except ValueError:
        return None
