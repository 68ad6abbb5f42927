"""False and true, in any spelling."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from silosynth.common.codec.facts import ColumnFacts, Proposal
from silosynth.common.codec.kinds.kind import Kind
from silosynth.common.codec.listed import ListedCodec
from silosynth.common.codec.written.columns import is_number
from silosynth.common.errors import InvalidArgument
from silosynth.common.schema import BooleanAttribute

_PAIRS = (
    *(("false", "true"), ("no", "yes"), ("n", "y"), ("f", "t"), ("off", "on")),
    *(("no", "sí"), ("no", "si"), ("não", "sim"), ("nie", "tak"), ("нет", "да"), ("ne", "ano")),
    *(("nej", "ja"), ("nei", "ja"), ("ei", "kyllä"), ("hayır", "evet"), ("否", "是"), ("✗", "✓")),
    *(("nein", "ja"), ("nee", "ja"), ("falsch", "wahr"), ("non", "oui"), ("faux", "vrai")),
)


def _spell(attribute: BooleanAttribute, column: pa.Array) -> pa.Array:
    false, true = attribute.spelled or ("false", "true")
    return pc.if_else(column, true, false).cast(pa.large_string())


def _allowed(attribute: BooleanAttribute, value: str) -> np.ndarray:
    codes, note = ListedCodec(attribute=attribute).encode(pa.array([value], pa.large_string()))
    if note.unseen:
        false, true = attribute.spelled or ("false", "true")
        raise InvalidArgument(
            f"{attribute.name!r} has no value {value!r}",
            hint=f"its values are {false!r}, {true!r}",
        )
    allowed: np.ndarray = np.equal(np.arange(attribute.size), codes[0])
    return allowed


def _draft(column: ColumnFacts) -> Proposal | None:
    """Propose truth values where the type or a known pair of words says so."""
    if pt.is_boolean(column.values.type):
        return Proposal(facts={"kind": "boolean"})
    if not column.is_text or len(column.values) != 2:
        return None
    by_word = {text.strip().lower(): text for text in column.values.to_pylist()}
    for false, true in _PAIRS:
        if set(by_word) == {false, true}:
            spelled = [by_word[false], by_word[true]]
            facts = {} if spelled == ["false", "true"] else {"spelled": spelled}
            return Proposal(facts={"kind": "boolean", **facts})
    return None


KIND = Kind(
    accepts=lambda _, kind: is_number(kind) and not pt.is_decimal(kind),
    store_as="store it as true and false, or 1 and 0",
    codec=lambda attribute: ListedCodec(attribute=attribute),
    spell=_spell,
    as_text=lambda attribute: attribute.spelled is not None,
    words=lambda attribute: list(attribute.spelled or ("false", "true")),
    allowed=_allowed,
    draft=_draft,
    natural="bool",
    reason="two values that mean false and true",
)
