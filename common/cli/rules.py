"""What a schema's rules do, in plain words."""

from __future__ import annotations

from silosynth.common.cli.console import show_table
from silosynth.common.schema import Schema


def show_rules(schema: Schema) -> None:
    """Say what each rule does and what it costs."""
    rows = list(zip(schema.rules, schema.ruled.kept, strict=True))
    show_table("rules", ("rule", "how it is kept"), rows, numbers=False)
    counted = {a.name: a for a in schema.coded}
    new = [n for n in counted if n not in {a.name for a in schema.attributes}]
    if new:
        sizes = [(n, str(counted[n].size)) for n in new]
        show_table("counted in the place of columns", ("attribute", "codes"), sizes)


def rule_facts(schema: Schema) -> list[dict[str, str]]:
    """Return the same as plain data."""
    pairs = zip(schema.rules, schema.ruled.kept, strict=True)
    return [{"rule": rule, "kept": kept} for rule, kept in pairs]
