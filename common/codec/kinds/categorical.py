"""Unordered listed values; also what lists of any order share."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.facts import FEW, MANY, ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.listed import ListedCodec
from silosynth.common.codec.written.columns import is_instant, is_number
from silosynth.common.codec.written.orders import natural_order
from silosynth.common.codec.written.parsing import to_texts
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import ListedAttribute

_SHOWN = 5
_LONG = 50
_SHARED = 2.0
"""Rows for each different text from which on texts are a list, and not keys."""


def listed_words(attribute: ListedAttribute) -> list[str]:
    """Return the categories as text."""
    return [str(category) for category in attribute.categories]


def listed_allowed(attribute: ListedAttribute, value: str) -> np.ndarray:
    """Mark the code of one listed value, or of ``other`` by its word."""
    codes: np.ndarray = np.arange(attribute.size)
    codec = ListedCodec(attribute=attribute)
    found, note = codec.encode(pa.array([value], pa.large_string()))
    if not note.unseen:
        return np.asarray(codes == int(found[0]))
    if attribute.other_as is not None and value == attribute.other_as:
        return np.asarray(codes == attribute.values)
    shown = ", ".join(repr(word) for word in listed_words(attribute)[:_SHOWN])
    more = "" if attribute.values <= _SHOWN else ", ..."
    raise InvalidArgument(
        f"{attribute.name!r} has no value {value!r}", hint=f"its values are {shown}{more}"
    )


def draft_list(column: ColumnFacts) -> Proposal | None:
    """Propose a list where texts repeat, or where there are few; in order where they say one."""
    count = len(column.values)
    if not column.is_text or column.ordered:
        return None
    length = float(pc.mean(pc.utf8_length(column.values)).as_py())
    if count > FEW and (length > _LONG or column.all_differ):
        return None
    if count > MANY or (count > FEW and column.rows < _SHARED * count):
        return None
    texts = sorted(column.values.to_pylist())
    if column.numbers is None and (found := natural_order(texts)) is not None:
        told = f"texts in the order of {found[1]}; make it categorical if that means nothing"
        facts = {"kind": "ordinal", "categories": found[0], "other": False}
        return Proposal(facts=facts, why=(told,))
    why = [] if count > 1 else ["one value in every row; it costs nothing"]
    return Proposal(facts={"kind": "categorical", "categories": texts, "other": False}, why=(*why,))


KIND = Kind(
    accepts=lambda _, kind: is_number(kind) or is_instant(kind) or bool(pt.is_time(kind)),
    store_as="store it as text or whole numbers",
    codec=lambda attribute: ListedCodec(attribute=attribute),
    spell=lambda _, column: to_texts(column),
    words=listed_words,
    allowed=listed_allowed,
    draft=draft_list,
    needs=("categories",),
    natural="dictionary",
    reason="texts that repeat",
)
