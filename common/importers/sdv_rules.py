"""SDV's constraints as rules: the open classes, and those of its paid edition that have a rule.

One constraint is ``{constraint_class, constraint_parameters, table_name}``, as SDV 1 writes it; the
parameters may also stand beside the class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from silosynth.common.errors import InvalidSchema
from silosynth.common.importers.imported import list_at, mapping_at
from silosynth.common.rules import spell_name, spell_number

Bounds = dict[str, dict[str, Any]]
_OLD = {"GreaterThan": "Inequality", "Between": "Range", "UniqueCombinations": "FixedCombinations"}


def import_constraints(
    document: Mapping[str, Any], *, table: str
) -> tuple[list[str], Bounds, list[str]]:
    """Return the rules of SDV's constraints, bounds of columns, and what could not be taken over.

    Rules that people wrote for SDV are public facts like any other that they declare.
    """
    rules: list[str] = []
    bounds: Bounds = {}
    notes: list[str] = []
    for entry in list_at(document.get("constraints") or [], where="constraints"):
        given = mapping_at(entry, where="constraints")
        if given.get("table_name", table) not in (None, table):
            continue
        name = str(given.get("constraint_class", given.get("constraint_name", "?"))).split(".")[-1]
        name = _OLD.get(name, name)
        more = mapping_at(given.get("constraint_parameters") or {}, where=name)
        facts = {**given, **more}
        if name in _BOUNDS:
            column, fact = _BOUNDS[name](facts)
            bounds.setdefault(column, {}).update(fact)
        elif name in _RULES:
            rules += _RULES[name](facts)
        else:
            notes.append(f"constraint {name} was dropped; {_WHY.get(name, 'write it as a rule')}")
    return rules, bounds, notes


def _need(facts: Mapping[str, Any], name: str) -> Any:
    if facts.get(name) is None:
        raise InvalidSchema(f"constraints: {facts.get('constraint_class')}: {name} is not declared")
    return facts[name]


def _column(facts: Mapping[str, Any], name: str) -> str:
    return spell_name(str(_need(facts, name)))


def _columns(facts: Mapping[str, Any], name: str = "column_names") -> str:
    return ", ".join(spell_name(str(c)) for c in _names(facts, name))


def _names(facts: Mapping[str, Any], name: str = "column_names") -> Sequence[Any]:
    return list_at(_need(facts, name), where=name)


def _inequality(facts: Mapping[str, Any]) -> list[str]:
    sign = "<" if facts.get("strict_boundaries") else "<="
    return [f"{_column(facts, 'low_column_name')} {sign} {_column(facts, 'high_column_name')}"]


def _range(facts: Mapping[str, Any]) -> list[str]:
    sign = "<" if facts.get("strict_boundaries", True) else "<="
    names = ("low_column_name", "middle_column_name", "high_column_name")
    return [f" {sign} ".join(_column(facts, n) for n in names)]


def _chained(facts: Mapping[str, Any]) -> list[str]:
    sign = "<" if facts.get("strict_boundaries") else "<="
    name = "column_names" if "column_names" in facts else "chained_column_names"
    return [f" {sign} ".join(spell_name(str(c)) for c in _names(facts, name))]


def _increments(facts: Mapping[str, Any]) -> list[str]:
    return [f"{_column(facts, 'column_name')} step {spell_number(_need(facts, 'increment_value'))}"]


def _scalar_inequality(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    value, relation = _need(facts, "value"), str(_need(facts, "relation"))
    side = "minimum" if relation.startswith(">") else "maximum"
    return str(_need(facts, "column_name")), {side: _inside(value, relation)}


def _scalar_range(facts: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    low, high = _need(facts, "low_value"), _need(facts, "high_value")
    strict = bool(facts.get("strict_boundaries", True))
    ends = (_inside(low, ">" if strict else ">="), _inside(high, "<" if strict else "<="))
    return str(_need(facts, "column_name")), dict(zip(("minimum", "maximum"), ends, strict=True))


def _sign(facts: Mapping[str, Any], *, positive: bool) -> tuple[str, dict[str, Any]]:
    relation = (">" if positive else "<") + ("" if facts.get("strict_boundaries") else "=")
    side = "minimum" if positive else "maximum"
    return str(_need(facts, "column_name")), {side: _inside(0, relation)}


def _inside(value: Any, relation: str) -> Any:
    """Return the outermost value that a bound leaves, where it is a whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or relation.endswith("="):
        return value
    return value + 1 if relation == ">" else value - 1


_RULES: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "Inequality": _inequality,
    "Range": _range,
    "ChainedInequality": _chained,
    "OneHotEncoding": lambda facts: [f"one of: {_columns(facts)}"],
    "FixedIncrements": _increments,
    "Unique": lambda facts: [f"unique: {_columns(facts)}"],
}
_BOUNDS: Mapping[str, Callable[[Mapping[str, Any]], tuple[str, dict[str, Any]]]] = {
    "ScalarInequality": _scalar_inequality,
    "ScalarRange": _scalar_range,
    "Positive": lambda facts: _sign(facts, positive=True),
    "Negative": lambda facts: _sign(facts, positive=False),
}
_WHY = {
    "FixedCombinations": "SDV reads them off the data: list them in a public table, and write "
    "'together: ... from NAME'",
    "FixedNullCombinations": "SDV reads off the data which columns are null together: write "
    "'null together: a, b' or 'a null if b null'",
    "CustomConstraint": "it is code: write it as 'keep CONDITION'",
}


def one_hot(document: Mapping[str, Any]) -> set[str]:
    """Return the columns of which exactly one is true: SDV keeps them as numbers or categories."""
    found = list_at(document.get("constraints") or [], where="constraints")
    hot = [
        c for c in found if isinstance(c, Mapping) and "OneHot" in str(c.get("constraint_class"))
    ]
    each = [{**c, **(c.get("constraint_parameters") or {})} for c in hot]
    return {str(n) for facts in each for n in _names(facts)}
