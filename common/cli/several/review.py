"""``silosynth schema accept`` and ``review`` of several tables: how they hang together too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import typer
import yaml

from silosynth.common.cli.console import say
from silosynth.common.document import Place, placed_comments, with_placed_comments
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.files import write_text
from silosynth.common.schema import Schema, Source, dump_attribute
from silosynth.common.tables import TablesSchema, dump_tables, load_tables, parse_tables

ALL = "all"
_HELP = "a: it is true, c: change it, s: skip, q: quit"
Ask = Callable[[Schema, str, str, str | None], Schema | None]
"""Shows an attribute of a table, its place and why it was drafted so; returns the table as its
reviewer has it, None to stop."""
Comments = Mapping[Place, str]


def attributes_waiting(schema: TablesSchema) -> tuple[str, ...]:
    """Return ``table.attribute`` of each attribute that nobody has vouched for."""
    return tuple(
        f"{name}.{a.name}"
        for name, table in schema.tables.items()
        for a in table.attributes
        if a.source is Source.UNREVIEWED
    )


def accept_tables(
    path: Path,
    chosen: Mapping[str, Source],
    *,
    rest: Source | None,
    lines: str | None,
    why: str | None,
) -> TablesSchema:
    """Vouch for attributes by ``table.attribute`` and for lines of 'unreviewed:', and write it.

    Args:
        rest: the source of all other unreviewed attributes; None leaves them.
        lines: which lines are true, by number as ``schema check`` lists them, or ``all``.

    Raises InvalidArgument for an attribute or a line that is not there.
    """
    schema = load_tables(path)
    known = {f"{n}.{a.name}" for n, t in schema.tables.items() for a in t.attributes}
    unknown = sorted(chosen.keys() - known)
    if unknown:
        raise InvalidArgument(
            f"there is no attribute {unknown[0]!r}", hint="write it as table.attribute"
        )
    waiting = attributes_waiting(schema) if rest is not None else ()
    sources = {name: rest for name in waiting if rest is not None} | dict(chosen)
    true = _numbered(lines, schema)
    if not sources and not true:
        raise InvalidArgument("nothing is accepted", hint="name attributes, or lines with --lines")
    left = [li for i, li in enumerate(schema.unreviewed) if i not in true]
    accepted = _vouched(schema, sources, left=left, why=why)
    _write(path, accepted, comments=_comments(path))
    return accepted


def _vouched(
    schema: TablesSchema, sources: Mapping[str, Source], *, left: list[str], why: str | None
) -> TablesSchema:
    """Return the schema with the sources of some attributes, and the lines that are left."""
    document = _document(schema)
    for name, table in document["tables"].items():
        for attribute in table.get("attributes", ()):
            source = sources.get(f"{name}.{attribute['name']}")
            if source is not None:
                attribute |= {"source": source.value} | ({"why": why} if why else {})
    return parse_tables({**document, "unreviewed": left}, origin="changed schema")


def review_tables(path: Path, *, ask: Ask) -> TablesSchema:
    """Walk through the lines and attributes of a draft; each answer is written at once."""
    schema = load_tables(path)
    lines, waiting = schema.unreviewed, attributes_waiting(schema)
    total = len(lines) + len(waiting)
    say(f"{path}: {total} facts are unreviewed; first how tables hang together ({_HELP})")
    comments = _comments(path)
    for place, line in enumerate(lines, start=1):
        reason = comments.get(("unreviewed", line))
        reviewed = _ask_line(schema, line, place=f"{place}/{total}", reason=reason)
        if reviewed is None:
            return schema
        schema = _kept(path, schema, reviewed, comments=comments)
    known = {f"{n}.{a.name}": (n, a.name) for n, t in schema.tables.items() for a in t.attributes}
    for place, name in enumerate(waiting, start=len(lines) + 1):
        table, attribute = known[name]
        reason = comments.get(("tables", table, "attributes", attribute))
        where = f"{place}/{total}  {table}"
        answer = _ask_attribute(
            schema, table, attribute, ask=partial(_asked, ask, place=where, reason=reason)
        )
        if answer is None:
            return schema
        schema = _kept(path, schema, answer, comments=comments)
    return schema


def _kept(
    path: Path, schema: TablesSchema, reviewed: TablesSchema, *, comments: Comments
) -> TablesSchema:
    if reviewed != schema:
        _write(path, reviewed, comments=comments)
    return reviewed


def _comments(path: Path) -> Comments:
    """Return why tables, attributes and lines were drafted so, or what else stands above them."""
    return {} if path.suffix == ".json" else placed_comments(path.read_text(encoding="utf-8"))


def _write(path: Path, schema: TablesSchema, *, comments: Comments) -> None:
    text = with_placed_comments(dump_tables(schema, rows=False), comments)
    write_text(path, text, force=True)


def _document(schema: TablesSchema) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(dump_tables(schema))
    return document


def _numbered(lines: str | None, schema: TablesSchema) -> set[int]:
    """Return the places of lines that are named by their numbers from 1 on."""
    count = len(schema.unreviewed)
    if lines == ALL:
        return set(range(count))
    found = set()
    for word in (w.strip() for w in (lines or "").split(",") if w.strip()):
        if not word.isdecimal() or not 1 <= int(word) <= count:
            raise InvalidArgument(
                f"there is no line {word!r} of 'unreviewed:'",
                hint=f"name some of 1 to {count}, or 'all'" if count else "none is left",
            )
        found.add(int(word) - 1)
    return found


def _ask_line(
    schema: TablesSchema, line: str, *, place: str, reason: str | None
) -> TablesSchema | None:
    """Show one line and do what its reviewer answers; None to stop."""
    while True:
        say(f"{place}  {line}")
        if reason:
            say(f"    drafted so: {'; '.join(reason.splitlines())}")
        try:
            answer = typer.prompt("a/c/s/q", prompt_suffix="> ", default="s", err=True)
        except (EOFError, typer.Abort):
            return None
        match answer.strip().lower():
            case "a":
                left = tuple(li for li in schema.unreviewed if li != line)
                return schema.model_copy(update={"unreviewed": left})
            case "c":
                schema = _change(schema)
            case "s":
                return schema
            case "q":
                return None
            case _:
                say(_HELP)


def _change(schema: TablesSchema) -> TablesSchema:
    """Ask for facts until none is given; say what is wrong with one that cannot be."""
    while True:
        text = typer.prompt(
            "table.fact=value, such as visits.children=[0, 1, 2, 5] or visits.order=admitted, or "
            "person=patients; empty when done",
            prompt_suffix="> ",
            default="",
            show_default=False,
            err=True,
        )
        if not text.strip():
            return schema
        try:
            schema = change_fact(schema, text)
        except (InvalidSchema, InvalidArgument) as err:
            say(f"{err.message}; {err.hint}" if err.hint else err.message)


def change_fact(schema: TablesSchema, text: str) -> TablesSchema:
    """Return the schema with ``person=table`` or ``table.fact=value``; null takes a fact away.

    Raises InvalidArgument for what is no fact, InvalidSchema for one that cannot be.
    """
    place, equals, value = text.partition("=")
    table, dot, fact = place.strip().rpartition(".")
    if not equals or (not dot and fact != "person") or (dot and table not in schema.tables):
        raise InvalidArgument(f"{text!r} is no fact of a table", hint="write table.fact=value")
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        raise InvalidArgument(f"{value!r} is no value", hint="write it as in YAML") from None
    document = _document(schema)
    where = document["tables"][table] if dot else document
    where[fact] = read
    if read is None:
        del where[fact]
    return parse_tables(document, origin="changed schema")


def _asked(
    ask: Ask, whole: Schema, attribute: str, *, place: str, reason: str | None
) -> Schema | None:
    return ask(whole, attribute, place, reason)


def _ask_attribute(
    schema: TablesSchema,
    table: str,
    attribute: str,
    *,
    ask: Callable[[Schema, str], Schema | None],
) -> TablesSchema | None:
    """Let an attribute be reviewed as one of its table alone, and put it back."""
    while True:
        whole = schema.columns[table].whole
        reviewed = ask(whole, attribute)
        if reviewed is None or reviewed == whole:
            return None if reviewed is None else schema
        changed = next(a for a in reviewed.attributes if a.name == attribute)
        document = _document(schema)
        listed = document["tables"][table]["attributes"]
        document["tables"][table]["attributes"] = [
            dump_attribute(changed) if a["name"] == attribute else a for a in listed
        ]
        try:
            return parse_tables(document, origin="changed schema")
        except InvalidSchema as err:
            say(f"{err.message}; {err.hint}" if err.hint else err.message)
