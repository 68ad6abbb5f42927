"""Columns that are made up: names, mails, and keys of one pattern."""

from __future__ import annotations

import re
from typing import Any

from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.identifier import form_of
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.schema import Provider, provider_named

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_MAIL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"
_SIGNS = (("0-9", r"\d"), ("A-Z", "[A-Z]"), ("a-z", "[a-z]"))
_LONGEST = 40


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose made-up values for names and mails, and for keys that all have one shape."""
    if not column.is_text or len(column.values) <= FEW:
        return None
    if column.matches(_UUID):
        return _proposal("every value is a UUID", provider=Provider.UUID)
    if column.matches(_MAIL):
        return _proposal("every value is a mail address", provider=Provider.EMAIL)
    named = provider_named(column.name)
    if named is not None and named is not Provider.UUID and not column.matches(r"^[\d\s.,-]+$"):
        what = named.value.replace("_", " ")
        return _proposal(f"reads like a person's {what}, going by its name", provider=named)
    pattern = _pattern(column) if column.all_differ else None
    if pattern is None:
        return None
    return _proposal("keys of one shape", provider=Provider.PATTERN, more={"like": pattern})


def _proposal(why: str, *, provider: Provider, more: dict[str, Any] | None = None) -> Proposal:
    facts = {"kind": "generated", "provider": provider.value, **(more or {})}
    told = f"{why}; made up, and a gateway does not load it, or list categories to model it"
    return Proposal(facts=facts, why=(told,))


def _pattern(column: ColumnFacts) -> str | None:
    """Return the pattern of keys that hold letters between digits; others have prefix and digits.

    Also of those with several prefixes. A letter or digit is any of its class, a sign between them
    stays: no key of anybody is in it.
    """
    texts = column.trimmed.to_pylist()
    shapes = {_shape(text) for text in texts[:FEW]}
    between = re.search(r"[A-Za-z].*\d.*[A-Za-z]", texts[0])
    if len(shapes) != 1 or not re.search(r"\d", texts[0]) or (form_of(column) and not between):
        return None
    if column.nulls or column.tokens or not (between or re.search(r"[A-Za-z(]", texts[0])):
        return None
    shape = shapes.pop()
    return shape if len(texts[0]) <= _LONGEST and column.matches(f"^{shape}$") else None


def _shape(text: str) -> str:
    """Return a pattern that is as wide as the classes of a text's signs.

    >>> _shape("AB12-x")
    '[A-Z]{2}[0-9]{2}-[a-z]{1}'
    """
    parts: list[tuple[str, int]] = []
    for sign in text:
        group = next((f"[{g}]" for g, p in _SIGNS if re.fullmatch(p, sign, re.ASCII)), "")
        name = group or re.sub(r"([][(){}|?*+.^$\\])", r"\\\1", sign)
        if group and parts and parts[-1][0] == name:
            parts[-1] = (name, parts[-1][1] + 1)
        else:
            parts.append((name, 1))
    return "".join(f"{name}{{{count}}}" if name[0] == "[" else name for name, count in parts)


KIND = Kind(accepts=lambda *_: True, draft=_draft)
