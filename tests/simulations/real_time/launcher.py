"""The launcher of real time for tests: bits that a seed decides, and SuperNodes that ask sooner.

The product has no such seam at its commands: this file is the only way to it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from flwr.supernode import start_client_internal

from silosynth.simulations.real_time.forks import fork_as_asked
from silosynth.simulations.real_time.gateway import run_gateway
from silosynth.simulations.real_time.launcher import ENTRIES, load_late
from tests.support.remembered import remembered_epsilons
from tests.support.tables.worlds import KeyedBits

MODULE = "tests.simulations.real_time.launcher"
_POLL_SECONDS = 0.5


class _Hurried:
    """Time as a SuperNode sees it, which sleeps less between two looks for messages."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _POLL_SECONDS))


def gateway(arguments: Sequence[str]) -> None:
    """Run a gateway with bits that its silo and each request decide."""
    run_gateway(arguments, bits=KeyedBits)


if __name__ == "__main__":
    start_client_internal.time = _Hurried()  # type: ignore[attr-defined]  # of its own import
    with remembered_epsilons():
        load_late(sys.argv[1:])
        fork_as_asked({**ENTRIES, "gateway": gateway})
