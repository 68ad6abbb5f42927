"""The launcher of real time for tests: bits that a seed decides, and SuperNodes that ask sooner.

The product has no such seam at its commands: this file is the only way to it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from silosynth.simulations.real_time.forks import fork_as_asked
from silosynth.simulations.real_time.gateway import run_gateway
from silosynth.simulations.real_time.launcher import ENTRIES, load_late
from tests.processes.hurried import hurry_nodes
from tests.support.remembered import remembered_epsilons
from tests.support.tables.worlds import KeyedBits

MODULE = "tests.simulations.real_time.launcher"


def gateway(arguments: Sequence[str]) -> None:
    """Run a gateway with bits that its silo and each request decide."""
    run_gateway(arguments, bits=KeyedBits)


if __name__ == "__main__":
    hurry_nodes()
    with remembered_epsilons():
        load_late(sys.argv[1:])
        fork_as_asked({**ENTRIES, "gateway": gateway})
