"""What descriptions of several tools have in common: forms of dates, keys and numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

_RESOLUTIONS = (
    (("%f",), "microsecond"),
    (("%S", "%T", "%X"), "second"),
    (("%M",), "minute"),
    (("%H", "%I"), "hour"),
    (("%d", "%j", "%x"), "day"),
    (("%m", "%b", "%B"), "month"),
    (("%Y", "%y"), "year"),
)
_KEY = re.compile(r"^\^?([^\[\](){}\\.*+?|^$]*)(?:\[0-9\]|\\d)(\{(\d+)\}|\+|\*)?\$?$")


def date_format(format: object) -> dict[str, Any]:
    """Return the facts of a strptime format: itself, and the finest part that it writes."""
    if not isinstance(format, str) or "%" not in format:
        return {"format": format} if format else {}
    found = next((name for marks, name in _RESOLUTIONS if any(m in format for m in marks)), None)
    return {"format": format} | ({"resolution": found} if found else {})


def key_form(pattern: object) -> dict[str, Any]:
    """Return prefix and digits of a key's regular expression, where it is no more than that.

    >>> key_form("HID_[0-9]{3}")
    {'prefix': 'HID_', 'digits': 3}
    """
    found = _KEY.match(pattern) if isinstance(pattern, str) else None
    if found is None:
        return {}
    form: dict[str, Any] = {"prefix": found[1]} if found[1] else {}
    return form | ({"digits": int(found[3])} if found[3] else {})


def lost(described: Mapping[str, Any], *, taken: Collection[str]) -> list[str]:
    """Say which facts of a description have no place in a schema."""
    left = sorted(key for key, value in described.items() if key not in taken and value)
    return [f"not taken over: {', '.join(left)}"] if left else []
