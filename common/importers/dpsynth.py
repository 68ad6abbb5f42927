"""dpsynth's constraints: lists of combinations that are possible, or impossible, or a function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from silosynth.common.errors import InvalidSchema
from silosynth.common.importers.imported import list_at, mapping_at
from silosynth.common.rules import spell_name, spell_text

_MODES = ("possible_combinations", "impossible_combinations", "functional_dependency")


def dpsynth_rules(constraints: object) -> tuple[list[str], dict[str, Any]]:
    """Return rules, and the public tables that they name, of a list of constraints.

    A dependency of two attributes becomes a column that is worked out of the finer one.
    """
    rules: list[str] = []
    references: dict[str, Any] = {}
    for entry in list_at(constraints, where="constraints"):
        given = mapping_at(entry, where="constraints")
        names = [str(n) for n in list_at(given.get("attribute_names"), where="attribute_names")]
        said = [m for m in _MODES if given.get(m) is not None]
        if len(said) != 1:
            raise InvalidSchema(
                f"constraints: {', '.join(names)}: state one of {', '.join(_MODES)}"
            )
        table = f"list_{len(references) + 1}"
        columns = ", ".join(map(spell_name, names))
        if said[0] == "impossible_combinations":
            rules += [_never(names, row) for row in _rows(given[said[0]], names)]
        elif said[0] == "possible_combinations":
            rows = _rows(given[said[0]], names)
            listed = {n: [row[i] for row in rows] for i, n in enumerate(names)}
            references[table] = {"columns": listed}
            rules.append(f"together: {columns} from {table}")
        else:
            if len(names) != 2:
                raise InvalidSchema("constraints: a functional_dependency is of two attributes")
            fine, coarse = names
            pairs = mapping_at(given[said[0]], where=said[0])
            references[table] = {
                "key": fine,
                "columns": {fine: list(pairs), coarse: list(pairs.values())},
            }
            rules.append(f"{spell_name(coarse)} = lookup({table}, {spell_name(fine)})")
    return rules, references


def _rows(listed: object, names: Sequence[str]) -> list[Sequence[Any]]:
    """Return the combinations of a list; raise InvalidSchema for one of another length."""
    where = f"constraints: {', '.join(names)}"
    rows: list[Sequence[Any]] = [list_at(row, where=where) for row in list_at(listed, where=where)]
    if not rows or any(len(row) != len(names) for row in rows):
        raise InvalidSchema(f"{where}: a value for each attribute is expected")
    return rows


def _never(names: Sequence[str], values: Sequence[Any]) -> str:
    parts = []
    for name, value in zip(names, values, strict=True):
        word = (
            f"= {spell_text(str(value))}" if not isinstance(value, bool) else f"= {value}".lower()
        )
        parts.append(f"{spell_name(name)} {'null' if value is None else word}")
    return f"never {' and '.join(parts)}"
