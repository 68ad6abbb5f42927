"""See to it that what is imported of a column can stand in a schema.

Bounds that are written in the column's own form are read, and what no schema can hold is left to
declare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from silosynth.common.codec import KINDS
from silosynth.common.errors import InvalidSchema
from silosynth.common.schema import list_faults, reading_format

_BOUNDS = ("minimum", "maximum")
_NUMBERS = ("integer", "real")
_INSTANTS = ("datetime", "time")
_PART_OF_A_DAY = re.compile(r"^\d{4}(-\d{2})?$")
_ANY: Mapping[str, Mapping[str, Any]] = {
    "integer": {"minimum": 0, "maximum": 1},
    "real": {"minimum": 0, "maximum": 1},
    "datetime": {"minimum": "1900-01-01", "maximum": "2100-01-01"},
    "duration": {"minimum": 0, "maximum": 86_400},
}
_FIRST = ("categories",)


def plain_bounds(kind: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with bounds that are texts in the column's own form as a schema has them.

    One that cannot be read stays as it is.

    >>> plain_bounds("datetime", {"format": "%d.%m.%Y", "minimum": "01.01.1920"})["minimum"]
    '1920-01-01'
    """
    read = {key: _plain(kind, facts, facts[key]) for key in _BOUNDS if facts.get(key) is not None}
    return {**facts, **read}


def settled(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return an attribute without what no schema can hold, and a note on what that was.

    A fact that its kind needs becomes a gap, any other is left out. Raises InvalidSchema where
    that does not help.
    """
    if not _faults(document):
        return dict(document), ()
    needed = KINDS[str(document["kind"])].needs
    loose = [key for key in document if key not in ("name", "kind", "source")]
    loose = [key for key in loose if document[key] is not None]
    for dropped in (*([key] for key in loose), [k for k in loose if k not in needed], loose):
        kept = {k: v for k, v in document.items() if k not in dropped or k in needed}
        kept |= {key: None for key in dropped if key in needed}
        if not _faults(kept):
            told = ", ".join(f"{key} {_shown(document[key])}" for key in dropped)
            return kept, (f"cannot stand in a schema, so it was left out: {told}",)
    raise InvalidSchema(f"{document['name']!r}: {_faults(document)[0]}")


def _faults(document: Mapping[str, Any]) -> Sequence[str]:
    """Return what is wrong with an attribute, whatever will be declared in its gaps."""
    kind = str(document["kind"])
    filled = {key: value for key, value in document.items() if value is not None}
    gaps = [key for key, value in document.items() if value is None]
    for key in gaps:
        other = filled.get(_BOUNDS[key == _BOUNDS[0]]) if key in _BOUNDS else None
        filled[key] = ["a"] if key in _FIRST else other or _ANY.get(kind, {}).get(key, 0)
    if gaps and _BOUNDS[0] in gaps and _BOUNDS[1] in gaps:
        filled |= _ANY.get(kind, {})
    one = {"kind": "categorical", "name": "\u2060", "categories": ["a"], "other": False}
    return list_faults({"name": "t", "attributes": [filled, one]})


def _plain(kind: str, facts: Mapping[str, Any], bound: Any) -> Any:
    """Return a bound as a schema has it; itself where it cannot be read."""
    if not isinstance(bound, str):
        return bound
    if kind in _NUMBERS:
        return _number(kind, facts.get("spelled") or {}, bound)
    if kind not in _INSTANTS:
        return bound
    form = facts.get("format")
    if isinstance(form, str):
        try:
            moment = datetime.strptime(bound, reading_format(form))
        except ValueError:
            pass
        else:
            if kind == "time":
                return moment.time().isoformat()
            whole = not any(f"%{mark}" in reading_format(form) for mark in "HIMSfzXcr")
            return moment.date().isoformat() if whole else moment.isoformat()
    if kind == "datetime" and _PART_OF_A_DAY.match(bound):
        return bound + "-01-01"[3 * ("-" in bound) :]
    return bound


def _number(kind: str, spelled: Mapping[str, Any], bound: str) -> Any:
    text = bound.strip().replace(str(spelled.get("thousands") or "\0"), "")
    text = text.replace(str(spelled.get("decimal") or "."), ".")
    try:
        return int(text) if kind == "integer" else float(text)
    except ValueError:
        return bound


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
