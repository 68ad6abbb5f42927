"""A silo's gateway as a process: charges, a large request, a whole run. See idle.py for its memory.

    make bench-gateway

prints a table, writes results/gateway.json, and exits with 1 when a gate is missed. QUICK=1
takes fewer rows and rounds, no run over processes, and less than a minute.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.gateway.charges import charge_figures
from bench.gateway.latency import latency_figures
from bench.gateway.run import run_figures
from bench.support.results import is_quick, publish

ROWS = (100_000,) if is_quick() else (1_000_000, 10_000_000)


def main() -> int:
    """Measure everything and publish it."""
    here, silos = Path(__file__).resolve().parent, Path(tempfile.gettempdir())
    figures = [*charge_figures(here)]
    for rows in ROWS:
        figures += latency_figures(silos, rows=rows, gated=rows == 1_000_000)
    return publish("gateway", figures if is_quick() else [*figures, *run_figures()], room="gateway")


if __name__ == "__main__":
    sys.exit(main())
