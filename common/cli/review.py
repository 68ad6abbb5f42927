"""Commands that turn a draft into a schema: a person accepts, changes or drops its attributes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from silosynth.common.cli.console import Json, emit, say
from silosynth.common.cli.ruled import accept_rules, review_rules
from silosynth.common.cli.several.review import accept_tables, review_tables
from silosynth.common.document import comments_of, with_comments
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.files import write_text
from silosynth.common.schema import (
    Schema,
    Source,
    describes_tables,
    dump_schema,
    load_schema,
    parse_schema,
    provider_named,
)

_HELP = "a: accept as declared, p: public, c: change, g: generate, d: drop, s: skip, q: quit"
_SHOWN = 8
_PLAIN = ("name", "kind", "source", "why")


def schema_accept(
    path: Annotated[Path, typer.Argument(metavar="SCHEMA", help="A draft in YAML or JSON.")],
    public: Annotated[
        str | None, typer.Option(help="Attributes whose domain is public knowledge, as 'age,sex'.")
    ] = None,
    declared: Annotated[
        str | None, typer.Option(help="Attributes whose domain a person declares.")
    ] = None,
    all_public: Annotated[
        bool, typer.Option("--all-public", help="All unreviewed attributes.")
    ] = False,
    all_declared: Annotated[
        bool, typer.Option("--all-declared", help="All unreviewed attributes.")
    ] = False,
    lines: Annotated[
        str | None,
        typer.Option(
            help="Proposed rules, or lines of 'unreviewed:' of several tables, that are true: "
            "1,3 or all."
        ),
    ] = None,
    why: Annotated[
        str | None, typer.Option(help="Where that is written, as 'data dictionary 2024'.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Vouch for attributes of a draft: say that what it states was known before the data.

    An attribute of several tables is named as table.attribute. Rules that were proposed are named
    by their place, and need a look each: a rule that holds in these rows may be false elsewhere.

    [dim]silosynth schema accept schema.yaml --public age,sex --why "census codes"[/dim]
    [dim]silosynth schema accept schema.yaml --all-declared --why "data dictionary 2024"[/dim]
    [dim]silosynth schema accept ruled.yaml --lines 1,3[/dim]
    [dim]silosynth schema accept tables.yaml --declared visits.ward --lines 1,2[/dim]
    """
    several = describes_tables(path)
    chosen = _names(public, Source.PUBLIC) | _names(declared, Source.DECLARED)
    rest = Source.PUBLIC if all_public else Source.DECLARED if all_declared else None
    if rest is not None and not why:
        raise InvalidArgument(
            "a whole draft is accepted with a reason alone",
            hint='say where its domains are written, as --why "data dictionary 2024"',
        )
    if several:
        tables = accept_tables(path, chosen, rest=rest, lines=lines, why=why)
        left = tables.unvouched()
    else:
        schema = load_schema(path)
        chosen = (dict.fromkeys(_waiting(schema), rest) if rest else {}) | chosen
        if not chosen and lines is None:
            raise InvalidArgument(
                "nothing is accepted", hint="name attributes with --public, or rules with --lines"
            )
        accepted = accept_rules(accept(schema, chosen, why=why), lines)
        _write(path, accepted, comments=_comments(path))
        left = accepted.unreviewed()
    say(f"wrote {path}: {len(left)} unreviewed")
    emit({"path": str(path), "unreviewed": list(left)}, as_json=as_json)


def schema_review(
    path: Annotated[Path, typer.Argument(metavar="SCHEMA", help="A draft in YAML or JSON.")],
    why: Annotated[str | None, typer.Option(help="Where declared domains are written.")] = None,
    as_json: Json = False,
) -> None:
    """Walk through a draft attribute by attribute: accept, change, declare public, or drop.

    After them come the rules that were proposed.

    Each answer is kept at once, so that the same command goes on where it was stopped.

    [dim]silosynth schema review schema.yaml[/dim]
    """
    if describes_tables(path):
        left = review_tables(
            path, ask=lambda s, n, p, r: _ask(s, n, place=p, why=why, reason=r)
        ).unvouched()
        _say_left(path, left, as_json=as_json)
        return
    schema = load_schema(path)
    waiting, comments = _waiting(schema), _comments(path)
    say(f"{path}: {len(waiting)} of {len(schema.attributes)} attributes are unreviewed ({_HELP})")
    for place, name in enumerate(waiting, start=1):
        where = f"{place}/{len(waiting)}"
        reviewed = _ask(schema, name, place=where, why=why, reason=comments.get(name))
        if reviewed is None:
            break
        if reviewed != schema:
            schema = reviewed
            _write(path, schema, comments=comments)
    else:
        schema = review_rules(schema, kept=lambda s: _write(path, s, comments=comments))
    _say_left(path, schema.unreviewed(), as_json=as_json)


def _comments(path: Path) -> dict[str, str]:
    """Return why each attribute was drafted as it is, or what else stands above it."""
    return {} if path.suffix == ".json" else comments_of(path.read_text(encoding="utf-8"))


def _write(path: Path, schema: Schema, *, comments: Mapping[str, str]) -> None:
    write_text(path, with_comments(dump_schema(schema), comments), force=True)


def _say_left(path: Path, left: Sequence[str], *, as_json: bool) -> None:
    say(f"{len(left)} facts are unreviewed" if left else f"{path} is reviewed")
    emit({"path": str(path), "unreviewed": list(left)}, as_json=as_json)


def _waiting(schema: Schema) -> tuple[str, ...]:
    """Return the attributes that nobody has vouched for."""
    return tuple(a.name for a in schema.attributes if a.source is Source.UNREVIEWED)


def accept(schema: Schema, sources: dict[str, Source], *, why: str | None) -> Schema:
    """Return the schema with the sources of some attributes; raise InvalidArgument for no such."""
    unknown = sorted(set(sources) - {a.name for a in schema.attributes})
    if unknown:
        raise InvalidArgument(
            f"there is no attribute {unknown[0]!r}", hint="'schema check' lists them"
        )
    for name, source in sources.items():
        facts = {"source": source.value} | ({"why": why} if why else {})
        schema = change(schema, name, facts)
    return schema


def change(schema: Schema, name: str, facts: dict[str, Any]) -> Schema:
    """Return the schema with facts of one attribute changed; null takes a fact away."""
    document = yaml.safe_load(dump_schema(schema))
    document.pop("version", None)
    for place, attribute in enumerate(document["attributes"]):
        if attribute["name"] == name:
            changed = {k: v for k, v in (attribute | facts).items() if v is not None}
            if changed["kind"] != attribute["kind"]:
                kept = {"name", "kind", "source", "description", *facts}
                changed = {k: v for k, v in changed.items() if k in kept}
            document["attributes"][place] = changed
    return parse_schema(document, origin="changed schema")


def _ask(
    schema: Schema, name: str, *, place: str, why: str | None, reason: str | None = None
) -> Schema | None:
    """Show one attribute and do what its reviewer answers; None to stop."""
    while True:
        for line in _describe(schema, name, place=place):
            say(line)
        if reason:
            say(f"    drafted so: {'; '.join(reason.splitlines())}")
        try:
            answer = typer.prompt("a/p/c/g/d/s/q", prompt_suffix="> ", default="s", err=True)
        except (EOFError, typer.Abort):
            return None
        match answer.strip().lower():
            case "a" | "p":
                source = Source.DECLARED if answer.strip().lower() == "a" else Source.PUBLIC
                return accept(schema, {name: source}, why=why)
            case "d":
                return change(schema, name, {"kind": "ignored", "source": "declared"})
            case "g":
                return _generate(schema, name)
            case "s":
                return schema
            case "q":
                return None
            case "c":
                schema = _change(schema, name)
            case _:
                say(_HELP)


def _generate(schema: Schema, name: str) -> Schema:
    """Let a column be made up, and not be read: by its name, else as keys of its form."""
    attribute = next(a for a in schema.attributes if a.name == name)
    provider = provider_named(name)
    if provider is not None:
        facts: dict[str, Any] = {"provider": provider.value}
    else:
        digits = getattr(attribute, "digits", 0) or 8
        before, after = (re.escape(getattr(attribute, f, "")) for f in ("prefix", "suffix"))
        facts = {"provider": "pattern", "like": f"{before}[0-9]{{{digits}}}{after}"}
    say(f"{name}: made up by {', '.join(map(str, facts.values()))}; no gateway loads it")
    return change(schema, name, {"kind": "generated", "source": "declared", **facts})


def _change(schema: Schema, name: str) -> Schema:
    """Ask for facts until none is given; say what is wrong with one that cannot be."""
    while True:
        text = typer.prompt(
            "fact=value, such as maximum=120 or kind=ordinal; empty when done",
            prompt_suffix="> ",
            default="",
            show_default=False,
            err=True,
        )
        if not text.strip():
            return schema
        try:
            schema = change(schema, name, dict([_fact(text)]))
        except (InvalidSchema, InvalidArgument) as err:
            say(f"{err.message}; {err.hint}" if err.hint else err.message)


def _fact(text: str) -> tuple[str, Any]:
    """Read ``fact=value``, the value as YAML has it."""
    key, equals, value = text.partition("=")
    if not equals or key.strip() == "name":
        raise InvalidArgument(f"{text!r} is no fact", hint="write it as fact=value")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise InvalidArgument(f"{value!r} is no value", hint="write it as in YAML") from None


def _describe(schema: Schema, name: str, *, place: str) -> list[str]:
    """Return one attribute in a few lines."""
    document = yaml.safe_load(dump_schema(schema))
    attribute = next(a for a in document["attributes"] if a["name"] == name)
    lines = [f"{place}  {name}: {attribute['kind']}"]
    for key, value in attribute.items():
        if key not in _PLAIN:
            lines.append(f"    {key}: {_short(value)}")
    return lines


def _short(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    shown = ", ".join(str(entry) for entry in value[:_SHOWN])
    return shown if len(value) <= _SHOWN else f"{shown}, ... ({len(value)})"


def _names(text: str | None, source: Source) -> dict[str, Source]:
    return {name.strip(): source for name in (text or "").split(",") if name.strip()}
