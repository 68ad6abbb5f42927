"""Fork gateways for tests, the healthy one and those with a fault or in a hurry."""

from __future__ import annotations

# Loaded late by a gateway, whose user may not read the copy of the project that it runs.
import silosynth.common.accounting.loss  # noqa: F401
from silosynth.simulations.real_time.forks import fork_as_asked
from tests.support.gateways import serve_main, serve_mutant, serve_watchful
from tests.support.remembered import remembered_epsilons

MAINS = (serve_main, serve_mutant, serve_watchful)

if __name__ == "__main__":
    with remembered_epsilons():
        fork_as_asked({module.__name__: module.main for module in MAINS})
