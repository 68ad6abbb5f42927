"""Keys: the form in which rows are numbered, so that a column of another table can name them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from silosynth.common.rules import Like, parse_pattern, words_of
from silosynth.common.schema.compiled.ruled import Ruled
from silosynth.common.schema.kinds.attributes import Attribute, IdentifierAttribute
from silosynth.common.schema.kinds.bases import Source
from silosynth.common.schema.kinds.generated import GeneratedAttribute, Provider

KeyAttribute: TypeAlias = IdentifierAttribute | GeneratedAttribute


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyForm:
    """How keys are written: running numbers in a form, words of ``pattern``, or a sequence."""

    attribute: KeyAttribute
    pattern: str | None

    @property
    def sequence(self) -> tuple[int, int] | None:
        """Return start and step where keys are a declared sequence."""
        a = self.attribute
        if self.pattern is None and isinstance(a, GeneratedAttribute):
            return a.start, a.step
        return None

    @property
    def facts(self) -> tuple[Any, ...]:
        """Return what two keys must share, so that one can name the other."""
        if self.pattern is not None:
            return ("text", self.pattern)
        a = self.attribute
        if isinstance(a, GeneratedAttribute):
            return ("number",)
        dressed = (a.prefix, a.digits, a.suffix)
        return ("text", *dressed) if any(dressed) or a.stored_as_text else ("number",)

    def describe(self) -> str:
        """Say in words how the keys are written."""
        kind, *rest = self.facts
        if kind == "number":
            return "whole numbers"
        if self.pattern is not None:
            return f"text like {self.pattern!r}"
        prefix, digits, suffix = rest
        start = getattr(self.attribute, "start", 1)
        shown = f"{prefix}{str(start).rjust(digits, '0')}{suffix}"
        return f"text as {shown!r}"

    @property
    def most(self) -> int | None:
        """Return how many keys there are, None where they do not end."""
        return None if self.pattern is None else words_of(parse_pattern(self.pattern))

    @property
    def missing(self) -> bool:
        """Say whether a row may have no key."""
        return isinstance(self.attribute, IdentifierAttribute) and self.attribute.size > 1


def key_form(attribute: Attribute, ruled: Ruled) -> KeyForm | None:
    """Return how a column's keys are written; None where the column can hold none."""
    pattern = next(
        (r.pattern for r in ruled.rules if isinstance(r, Like) and r.column == attribute.name), None
    )
    if isinstance(attribute, IdentifierAttribute):
        return KeyForm(attribute=attribute, pattern=pattern or attribute.like)
    if isinstance(attribute, GeneratedAttribute):
        own = pattern or attribute.pattern
        if own is not None or attribute.provider is Provider.SEQUENCE:
            return KeyForm(attribute=attribute, pattern=own)
    return None


def rows_with_keys(attributes: Iterable[Attribute], ruled: Ruled, *, most: int) -> int:
    """Return how many rows, at most so many, have a key each in every column of keys."""
    forms = [form for a in attributes if (form := key_form(a, ruled)) is not None]
    return min([most, *(form.most for form in forms if form.most is not None)])


def plain_key(name: str) -> IdentifierAttribute:
    """Return the attribute of a key that a table does not describe: running whole numbers."""
    return IdentifierAttribute(name=name, source=Source.DECLARED)


def names_keys(attribute: Attribute) -> bool:
    """Say whether a column can name rows of a table."""
    return isinstance(attribute, IdentifierAttribute)


def says_no_form(attribute: Attribute, ruled: Ruled) -> bool:
    """Say whether nothing is declared of how the keys that a column names are written."""
    if not isinstance(attribute, IdentifierAttribute):
        return False
    form = key_form(attribute, ruled)
    dressed = attribute.prefix or attribute.digits or attribute.suffix or attribute.stored
    return not dressed and (form is None or form.pattern is None)


def named_alike(attribute: Attribute, form: KeyForm) -> Attribute:
    """Return a column that names keys, written as they are."""
    a = form.attribute
    facts: dict[str, Any] = {"stored": a.stored}
    if isinstance(a, IdentifierAttribute):
        dressed = ("prefix", "digits", "suffix", "start", "like")
        facts |= {name: getattr(a, name) for name in dressed}
    if form.pattern is not None and a.stored is None:
        facts["stored"] = "string"
    return attribute.model_copy(update=facts)
