"""Fork a federation's processes from one that has imported everything already."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from flwr.superlink.cli import flower_superlink

from silosynth.common.certificate import certify_plan
from silosynth.common.cli.app import build_app
from silosynth.common.cli.app import main as app_main
from silosynth.common.plan import load_plan
from silosynth.simulations.real_time.forks import fork_as_asked
from tests.processes import gateway_main, hurried, killable_coordinator, killable_gateway
from tests.support.remembered import remembered_epsilons


def superlink(arguments: Sequence[str]) -> None:
    """Run the SuperLink."""
    sys.argv = ["flower-superlink", *arguments]
    flower_superlink()


def command(arguments: Sequence[str]) -> None:
    """Run a command of the product."""
    sys.argv = ["silosynth", *arguments]
    app_main()


def seeded(arguments: Sequence[str]) -> None:
    """Run a gateway with seeded bits."""
    sys.argv = ["gateway", *arguments]
    gateway_main.main()


LATE = ("pyarrow.dataset", "scipy.optimize", "scipy.sparse", "silosynth.server.federation.run")
"""What the product imports where it is needed: here by all, once."""

ENTRIES: dict[str, Callable[[Sequence[str]], None]] = {
    "gateway": killable_gateway.main,
    "seeded": seeded,
    "command": command,
    "coordinator": killable_coordinator.main,
    "superlink": superlink,
    "relay": hurried.run_relay,
}


def main() -> None:
    """Start what is asked for until there is nobody who asks; certify the named plans before."""
    build_app()
    hurried.hurry_nodes()
    for name in LATE:
        import_module(name)
    with remembered_epsilons():
        for path in sys.argv[1:]:
            certify_plan(load_plan(Path(path)))
        fork_as_asked(ENTRIES)


if __name__ == "__main__":
    main()
