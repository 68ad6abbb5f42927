"""Columns that are made up: names, mails, and keys of one pattern."""

from __future__ import annotations

import re
from typing import Any

from silosynth.common.codec.facts import FEW, ColumnFacts, Proposal
from silosynth.common.codec.kinds.identifier import pattern_of, running_form
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.schema import Provider, provider_named

_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_MAIL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"


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
    """Return the pattern of keys that no row is without, and that are more than a number.

    Others are identifiers, which have a form of their own and can be missing.
    """
    text = column.trimmed[0].as_py()
    between = re.search(r"[A-Za-z].*\d.*[A-Za-z]", text)
    if not between and (running_form(column) or not re.search(r"[A-Za-z(]", text)):
        return None
    return None if column.nulls or column.tokens else pattern_of(column)


KIND = Kind(accepts=lambda *_: True, draft=_draft)
