"""A gateway with a fault that the leak canary must find: it logs a row of its table."""

from __future__ import annotations

import sys
from typing import Any

from silosynth.common.codec import Codec
from silosynth.common.telemetry import log
from tests.support.gateways import serve_main

_encode = Codec.encode


def _leak(self: Codec, table: Any, **options: Any) -> Any:
    """Log the first rows, as somebody who looks for a fault would."""
    log("encoding", rows=str(table.slice(0, 5).to_pylist()))
    return _encode(self, table, **options)


if __name__ == "__main__":
    Codec.encode = _leak  # type: ignore[assignment]
    sys.exit(serve_main.serve.main())
