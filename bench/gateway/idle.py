"""What a silo holds in memory while it waits, as real processes: gateway, relay, SuperNode.

    make bench-idle

prints a table, writes bench/gateway/results/idle.json, and exits with 1 when a gate is missed. The
figures are proportional set sizes (PSS): memory that processes share counts once among them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.support.results import Figure, publish

MOST_MIB = 150.0
SETTLED_SECONDS = 10.0


def main() -> int:
    """Start a SuperLink and a silo, let them wait, and measure the silo."""
    from tests.processes.federation import SILOS, Federation

    silo = SILOS[0]
    with tempfile.TemporaryDirectory(prefix="idle-") as name, Federation(Path(name)) as federation:
        federation.start_superlink()
        federation.admit()
        # Not the tests' own gateway, which loads beforehand what it needs later.
        federation.start_product_gateway(silo)
        federation.start_relay(silo)
        federation.wait_online([silo])
        time.sleep(SETTLED_SECONDS)
        relay = federation.processes[f"relay-{silo}"].pid
        gateway = shared_mib(federation.processes[f"gateway-{silo}"].pid)
        node = shared_mib(_child(relay))
        ours = gateway + shared_mib(relay)
    return publish(
        "idle",
        (
            Figure(figure="gateway that waits", value=gateway, unit="MiB"),
            Figure(figure="relay that waits", value=ours - gateway, unit="MiB"),
            Figure(figure="Flower's SuperNode", value=node, unit="MiB"),
            Figure(figure="a silo that waits", value=ours + node, unit="MiB", at_most=MOST_MIB),
        ),
        room="gateway",
    )


def shared_mib(pid: int) -> float:
    """Return a process's proportional set size."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def _child(pid: int) -> int:
    """Return the one process that a process has started."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return next(int(word) for path in lists for word in path.read_text().split())


if __name__ == "__main__":
    sys.exit(main())
