"""A gateway with a fault that the leak canary must find: it logs a row of its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from silosynth.common.codec import Codec
from silosynth.common.telemetry.telemetry import log
from tests.support.gateways import serve_main

_encode = Codec.encode


def _leak(self: Codec, table: Any, **options: Any) -> Any:
    """Log the first rows, as somebody who looks for a fault would."""
    log("encoding", rows=str(table.slice(0, 5).to_pylist()))
    return _encode(self, table, **options)


def main(arguments: Sequence[str]) -> int:
    """Serve with the fault."""
    Codec.encode = _leak  # type: ignore[assignment]
    return serve_main.main(arguments)
