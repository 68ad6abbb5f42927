"""What programs read of us: one JSON object around what was asked, or around what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silosynth.common.errors import SilosynthError

ENVELOPE_VERSION = 1


def envelope(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the envelope of what went well."""
    return {"schema_version": ENVELOPE_VERSION, "status": "ok", "data": dict(data)}


def fault(error: SilosynthError) -> dict[str, Any]:
    """Return an error as a program reads it."""
    return {"code": error.code, "message": error.message, "hint": error.hint}


def fault_envelope(error: SilosynthError) -> dict[str, Any]:
    """Return the envelope of what went wrong."""
    return {"schema_version": ENVELOPE_VERSION, "status": "error", "error": fault(error)}
