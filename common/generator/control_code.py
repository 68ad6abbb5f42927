"""The control code of a text: its row's attributes in words, which stand before it.

``kind: spam | region: north``, as in Yue et al. 2022, section 4. Names and words are those of the
public schema; numbers are spelled as their bins.
"""

from __future__ import annotations

from silosynth.common.codec import code_words
from silosynth.common.schema import CodedAttribute, Schema

SEPARATOR, BEFORE_TEXT = " | ", "\n"


def control_words(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return, for each attribute with codes, the words of each code: ``kind: spam``."""
    return {a.name: tuple(f"{a.name}: {word}" for word in _words(a)) for a in schema.coded}


def _words(attribute: CodedAttribute) -> tuple[str, ...]:
    """Return the words of an attribute's codes, as networks that were trained before know them."""
    words = code_words(attribute)
    plain = attribute.kind == "boolean" and attribute.spelled is None
    return ("False", "True", *words[2:]) if plain else words
