"""``schema accept`` and ``schema review`` of proposed rules: each is true of the world, or not."""

from __future__ import annotations

from collections.abc import Callable

import typer
import yaml

from silosynth.common.cli.console import say
from silosynth.common.cli.several.review import ALL
from silosynth.common.errors import InvalidArgument, InvalidSchema
from silosynth.common.rules import UNREVIEWED
from silosynth.common.schema import Schema, dump_schema, parse_schema

HELP = "a: it is true of the world, c: change it, d: drop it, s: skip, q: quit"


def proposed_rules(schema: Schema) -> tuple[str, ...]:
    """Return the rules that nobody has vouched for, with their mark."""
    return tuple(rule for rule in schema.rules if UNREVIEWED.search(rule))


def accept_rules(schema: Schema, numbers: str | None) -> Schema:
    """Return the schema with some proposed rules in force.

    Args: numbers: which of them, from 1 on as ``schema check`` lists them, or ``all``.

    Raises InvalidArgument for a number that none has, InvalidSchema where rules contradict.
    """
    proposed = proposed_rules(schema)
    chosen = proposed if numbers == ALL else _numbered(numbers, proposed)
    for rule in chosen:
        schema = replace_rule(schema, rule, UNREVIEWED.sub("", rule))
    return schema


def _numbered(numbers: str | None, proposed: tuple[str, ...]) -> tuple[str, ...]:
    words = [word.strip() for word in (numbers or "").split(",") if word.strip()]
    for word in words:
        if not word.isdecimal() or not 1 <= int(word) <= len(proposed):
            raise InvalidArgument(
                f"there is no proposed rule {word!r}",
                hint=f"name some of 1 to {len(proposed)}, or 'all'" if proposed else "none is left",
            )
    return tuple(proposed[int(word) - 1] for word in dict.fromkeys(words))


def replace_rule(schema: Schema, rule: str, text: str | None) -> Schema:
    """Return the schema with another rule in a rule's place; None leaves it out.

    Raises InvalidSchema for a rule that cannot be read, or that contradicts another one.
    """
    document = yaml.safe_load(dump_schema(schema))
    document.pop("version", None)
    rules = [text if r == rule else r for r in schema.rules if r != rule or text is not None]
    return parse_schema({**document, "rules": rules}, origin="changed schema")


def review_rules(schema: Schema, *, kept: Callable[[Schema], None]) -> Schema:
    """Walk through the proposed rules; hand the schema to ``kept`` after each answer."""
    proposed = proposed_rules(schema)
    if proposed:
        say(f"{len(proposed)} rules are proposed ({HELP})")
    for place, rule in enumerate(proposed, start=1):
        reviewed = _ask(schema, rule, place=f"{place}/{len(proposed)}")
        if reviewed is None:
            break
        if reviewed != schema:
            schema = reviewed
            kept(schema)
    return schema


def _ask(schema: Schema, rule: str, *, place: str) -> Schema | None:
    """Show one rule and do what its reviewer answers; None to stop."""
    text = UNREVIEWED.sub("", rule)
    while True:
        say(f"{place}  {text}")
        try:
            answer = typer.prompt("a/c/d/s/q", prompt_suffix="> ", default="s", err=True)
            match answer.strip().lower():
                case "a":
                    return replace_rule(schema, rule, text)
                case "c":
                    text = typer.prompt("the rule", prompt_suffix="> ", default=text, err=True)
                    return replace_rule(schema, rule, text)
                case "d":
                    return replace_rule(schema, rule, None)
                case "s":
                    return schema
                case "q":
                    return None
                case _:
                    say(HELP)
        except (EOFError, typer.Abort):
            return None
        except InvalidSchema as err:
            say(f"{err.message}; {err.hint}" if err.hint else err.message)
