"""The control code of a text: its row's attributes in words, which stand before it.

``kind: spam | region: north``, as in Yue et al. 2022, section 4. Names and words are those of the
public schema; numbers are spelled as their bins.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from silosynth.common.codec.conditions import spell_edge
from silosynth.common.codec.listed import ListedCodec
from silosynth.common.schema.attributes import CodedAttribute, IntegerAttribute, NumericAttribute
from silosynth.common.schema.schema import Schema

SEPARATOR, BEFORE_TEXT = " | ", "\n"
_MISSING, _OTHER = "missing", "other"


def control_words(schema: Schema) -> dict[str, tuple[str, ...]]:
    """Return, for each attribute with codes, the words of each code: ``kind: spam``."""
    return {a.name: tuple(f"{a.name}: {word}" for word in _words(a)) for a in schema.coded}


def _words(attribute: CodedAttribute) -> list[str]:
    """Return the words of the codes of one attribute, in order."""
    if isinstance(attribute, NumericAttribute):
        edges, step = attribute.edges(), int(isinstance(attribute, IntegerAttribute))
        bins = [
            f"{spell_edge(attribute, low)} to {spell_edge(attribute, high - step)}"
            for low, high in pairwise(edges)
        ]
        return [*bins, _MISSING][: attribute.size]
    codes = np.arange(attribute.size, dtype=np.uint16)
    found = ListedCodec(attribute=attribute).decode(codes, uniform=np.zeros).to_pylist()
    last = attribute.size - 1 if attribute.missing else attribute.size
    return [
        str(word) if word is not None else _MISSING if code == last else _OTHER
        for code, word in enumerate(found)
    ]
