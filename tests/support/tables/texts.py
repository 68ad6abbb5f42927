"""A table of short messages of two kinds, which rows vote with."""

from __future__ import annotations

from silosynth.common.schema import Schema, parse_schema


def messages(*, max_bytes: int = 30) -> Schema:
    """Return the schema of messages, each of one kind of two."""
    kind = {"name": "kind", "kind": "categorical", "categories": ["ham", "spam"], "other": False}
    text = {"name": "text", "kind": "text", "max_bytes": max_bytes}
    data = {"name": "messages", "label": "kind", "attributes": [kind | {"source": "public"}, text]}
    return parse_schema(data)
