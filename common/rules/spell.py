"""Rules back to text: reading what is printed gives the same rule."""

from __future__ import annotations

from silosynth.common.rules.rule import (
    Among,
    Both,
    Column,
    Compare,
    Condition,
    Derived,
    Difference,
    Expression,
    IsNull,
    Keep,
    Like,
    Lookup,
    Never,
    Not,
    NullTogether,
    NullWhen,
    Number,
    OneOf,
    Order,
    Rule,
    Scalar,
    Span,
    Step,
    Together,
    Unique,
)
from silosynth.common.rules.tokens import spell_name, spell_number, spell_text


def spell(rule: Rule) -> str:
    """Return a rule as one line.

    >>> spell(Order((Column("start"), Column("end")), ("<=",)))
    'start <= end'
    """
    if isinstance(rule, Order):
        words = [_expression(rule.terms[0])]
        for sign, term in zip(rule.signs, rule.terms[1:], strict=True):
            words += [sign, _expression(term)]
        return " ".join(words)
    if isinstance(rule, Derived):
        return f"{spell_name(rule.column)} = {_expression(rule.value)}"
    if isinstance(rule, Difference):
        high, low = spell_name(rule.high), spell_name(rule.low)
        return f"{spell_name(rule.column)} = difference({high}, {low})"
    if isinstance(rule, NullWhen):
        return f"{spell_name(rule.column)} null {rule.word} {_condition(rule.condition)}"
    if isinstance(rule, Step):
        return f"{spell_name(rule.column)} step {spell_number(rule.size)}"
    if isinstance(rule, Like):
        return f"{spell_name(rule.column)} like {spell_text(rule.pattern)}"
    if isinstance(rule, Never | Keep):
        return f"{type(rule).__name__.lower()} {_condition(rule.condition)}"
    if isinstance(rule, Together):
        columns = ", ".join(spell_name(c) for c in rule.columns)
        return f"together: {columns} from {spell_name(rule.reference)}"
    begin = {NullTogether: "null together", OneOf: "one of", Unique: "unique"}[type(rule)]
    return f"{begin}: {', '.join(spell_name(c) for c in rule.columns)}"


def _expression(part: Expression, *, inside: bool = False) -> str:
    if isinstance(part, Column):
        return spell_name(part.name)
    if isinstance(part, Number):
        return spell_number(part.value)
    if isinstance(part, Span):
        return f"{spell_number(part.count)} {part.unit}s"
    if isinstance(part, Lookup):
        named = [part.reference, part.column, *([part.field] if part.field else [])]
        return f"lookup({', '.join(spell_name(n) for n in named)})"
    left, right = _expression(part.left, inside=True), _expression(part.right, inside=True)
    text = f"{left} {part.sign} {right}"
    return f"({text})" if inside else text


def _condition(part: Condition, *, inside: bool = False) -> str:
    if isinstance(part, Compare):
        right = part.right
        shown = _scalar(right) if isinstance(right, str | bool) else _expression(right)
        return f"{_expression(part.left, inside=True)} {part.sign} {shown}"
    if isinstance(part, Among):
        return f"{spell_name(part.column)} in ({', '.join(_scalar(v) for v in part.values)})"
    if isinstance(part, IsNull):
        return f"{spell_name(part.column)} {'null' if part.null else 'not null'}"
    if isinstance(part, Not):
        return f"not {_condition(part.part, inside=True)}"
    word = " and " if isinstance(part, Both) else " or "
    text = word.join(_condition(p, inside=True) for p in part.parts)
    return f"({text})" if inside else text


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return spell_text(value) if isinstance(value, str) else spell_number(value)
