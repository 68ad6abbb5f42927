"""Fork a silo's processes from one that has loaded what they need: starting Python costs seconds.

    python -m silosynth.simulations.real_time.launcher [PLAN]

A gateway loads the accountant when it is shown a plan, which takes a second; with a plan of the
kind that is to come, it is loaded here, once. Each is a process of its own, runs what the product's
command runs, and ends with this one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from silosynth.client.relay import main as relay
from silosynth.common.certificate import certify_plan
from silosynth.common.plan import load_plan
from silosynth.simulations.real_time.forks import Entry, fork_as_asked
from silosynth.simulations.real_time.gateway import run_gateway
from silosynth.simulations.real_time.link import run_line, run_link

MODULE = "silosynth.simulations.real_time.launcher"


def run_relay(arguments: Sequence[str]) -> int:
    """Run the product's relay; return its exit code."""
    return relay(list(arguments))


def run_program(arguments: Sequence[str]) -> None:
    """Become another program, which still ends with what forked it."""
    os.execv(arguments[0], list(arguments))


ENTRIES: Mapping[str, Entry] = {
    "gateway": run_gateway,
    "line": run_line,
    "link": run_link,
    "program": run_program,
    "relay": run_relay,
}


def load_late(plans: Sequence[str]) -> None:
    """Load what a gateway needs for a plan, by certifying plans: their paths."""
    for path in plans:
        certify_plan(load_plan(Path(path)))


if __name__ == "__main__":
    load_late(sys.argv[1:])
    fork_as_asked(ENTRIES)
